"""What an audit adds to generation, what it saves beside the reference workflow, and when stored.

``python benchmarks/throughput.py`` measures, in one process and in alternation, with the
over-fitted model and the emoji of ``audits/``, m = 3 and 100+100 samples:

- *bare*: one loop of batched calls of the diffusers pipeline, the same prompts, seeds and batch
  size, the images thrown away;
- *audit*: attack-I with the threshold, from samples to verdict, with an empty store on disk;
- *stored*: the same again, everything stored, which must not call the model at all;
- *reference*: as the paper's code goes about it, from its description: one call of the pipeline
  an image, each written to a JPEG file, then each loaded and embedded alone, its query with it.

It prints the ratios of each run, and where an audit's time goes beside generation.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from common import SPREAD, shares, show, spread
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "audits"))

import emoji_sets
from privaudit import PipelineTarget, load_encoder, load_pipeline, run_audit
from privaudit.measurements.similarity import similarity_vector
from privaudit.targets.queries import plan_queries

if TYPE_CHECKING:
    from collections.abc import Callable

M, BATCH = 3, 32


class Bench:
    """One model, one encoder, one set of samples, and the workflows to time on them."""

    def __init__(self, n: int, steps: int, size: int = 32) -> None:
        unet = emoji_sets.MODELS / "overfit" / "unet"
        self.pipeline: Any = load_pipeline(emoji_sets.MODELS / "base", unet=unet, device="cpu")
        self.call: dict[str, Any] = {"num_inference_steps": steps, "guidance_scale": 7.5}
        self.call |= {"height": size, "width": size}
        self.encoder: Any = load_encoder("efficientnet-lite0", device="cpu")
        self.members = emoji_sets.twemoji("member")[:n]
        self.non_members = emoji_sets.twemoji("non_member")[:n]
        samples = [*self.members, *self.non_members]
        self.queries = plan_queries(samples, [s.caption for s in samples], M, 0)
        self.made = 0

    def bare(self) -> None:
        """Call the pipeline on one batch after the other."""
        for start in range(0, len(self.queries), BATCH):
            self._call(self.queries[start : start + BATCH], "np")

    def audit(self, store: Path) -> None:
        """Run attack-I from samples to verdict."""
        self.made = 0
        run_audit(
            PipelineTarget(self.pipeline, **self.call),
            self.members,
            self.non_members,
            image_encoder=self.encoder,
            scenarios="I",
            attacks="threshold",
            batch_size=BATCH,
            queries=M,
            store=store,
            progress=self._count,
        )

    def _count(self, n: int) -> None:
        self.made += n

    def reference(self, folder: Path) -> None:
        """Generate to files one by one, then load and embed one by one."""
        for i, query in enumerate(self.queries):
            self._call([query], "pil").images[0].save(folder / f"{i}.jpg", "JPEG")
        for i, query in enumerate(self.queries):
            with Image.open(folder / f"{i}.jpg") as image:
                generated = self._encode(image)
            similarity_vector(self._encode(query.sample.image), generated)

    def _encode(self, image: Image.Image) -> Any:
        """Encode one image as torch code would, without the padding that ours gives a batch."""
        with torch.inference_mode():
            states = self.encoder._features(self.encoder._preprocess(image.convert("RGB"))[None])
        return states.flatten(2).transpose(1, 2)[0].numpy()

    def _call(self, queries: Any, kind: str) -> Any:
        return self.pipeline(
            [query.prompt for query in queries],
            generator=[torch.Generator("cpu").manual_seed(query.seed) for query in queries],
            output_type=kind,
            **self.call,
        )


def timed(work: Callable[[], object]) -> float:
    """Seconds that a piece of work took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Time the workflows in alternation, and print their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=100, help="members, and as many others")
    parser.add_argument("--steps", type=int, default=30, help="denoising steps")
    parser.add_argument("--size", type=int, default=32, help="height and width in pixels")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-reference", action="store_true", help="leave the longest part out")
    chosen = parser.parse_args()
    bench = Bench(chosen.samples, chosen.steps, chosen.size)
    bench._call(bench.queries[:BATCH], "np")  # warm up
    bench.encoder.encode([bench.members[0].image])
    ratios: dict[str, list[float]] = {}
    seconds: dict[str, list[float]] = {}
    parts: dict[str, list[float]] = {}
    for _ in range(chosen.runs):
        with tempfile.TemporaryDirectory() as scratch:
            store, files = Path(scratch) / "store", Path(scratch) / "files"
            files.mkdir()
            took = {"bare": timed(bench.bare)}
            with shares(parts):
                took["audit"] = timed(lambda: bench.audit(store))  # noqa: B023  # called at once
            assert bench.made == len(bench.queries)
            took["stored"] = timed(lambda: bench.audit(store))  # noqa: B023
            assert bench.made == 0
            if not chosen.no_reference:
                took["reference"] = timed(lambda: bench.reference(files))  # noqa: B023
        for name, value in took.items():
            seconds.setdefault(name, []).append(value)
        for name, over in (
            ("audit / bare", ("audit", "bare")),
            ("reference / audit", ("reference", "audit")),
            ("stored / audit", ("stored", "audit")),
        ):
            if over[0] in took:
                ratios.setdefault(name, []).append(took[over[0]] / took[over[1]])
        print({name: f"{value:.1f} s" for name, value in took.items()}, flush=True)
    print(
        f"{chosen.samples}+{chosen.samples} samples, m = {M}, {chosen.size} px, "
        f"{chosen.steps} steps, batch {BATCH}, {torch.get_num_threads()} threads, "
        f"{chosen.runs} runs"
    )
    rows = [[name, *spread(values, ".3f")] for name, values in ratios.items()]
    show(rows, ["ratio", *SPREAD])
    whole = float(np.median(seconds["audit"]))
    spent = {name: float(np.median(v)) / whole for name, v in parts.items()}
    spent["all else"] = 1 - sum(spent.values())
    print("an audit's time: " + ", ".join(f"{name} {share:.1%}" for name, share in spent.items()))


if __name__ == "__main__":
    main()
