"""An audit's wall time over the bare pipeline's, and the reference workflow's over an audit's.

``python benchmarks/throughput.py`` measures, in one process and in alternation, with the base
model and the emoji of ``audits/``, m = 3 and 100+100 samples:

- *bare*: one loop of batched calls of the diffusers pipeline, the same prompts, seeds and batch
  size, the images thrown away;
- *audit*: attack-I with the threshold, from samples to verdict, with an empty store on disk;
- *stored*: the same again, everything stored;
- *reference*: as the paper's code goes about it, from its description: one call of the pipeline
  an image, each written to a JPEG file, then each loaded and embedded alone, its query with it.

It prints the ratios of each run: minimum, median and maximum.
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
from PIL import Image
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).parents[1] / "audits"))

import emoji_sets
from privaudit import PipelineGenerator, load_encoder, load_pipeline
from privaudit.arms import Ingredients
from privaudit.audit import run_attack
from privaudit.config import resolve
from privaudit.queries import plan_queries
from privaudit.similarity import similarity_vector
from privaudit.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

M, STEPS, GUIDANCE, BATCH = 3, 10, 3.0, 64


class Bench:
    """One model, one encoder, one set of samples, and the workflows to time on them."""

    def __init__(self, n: int) -> None:
        self.pipeline: Any = load_pipeline(emoji_sets.MODELS / "base", device="cpu")
        self.encoder: Any = load_encoder("efficientnet-lite0", device="cpu")
        self.members = emoji_sets.twemoji("member")[:n]
        self.non_members = emoji_sets.twemoji("non_member")[:n]
        samples = [*self.members, *self.non_members]
        self.queries = plan_queries(samples, [s.caption for s in samples], M, 0)
        self.settings = resolve({}, {})._replace(batch_size=BATCH, queries=M)

    def bare(self) -> None:
        """Call the pipeline on one batch after the other."""
        for start in range(0, len(self.queries), BATCH):
            part = self.queries[start : start + BATCH]
            self._call(part, "np")

    def audit(self, store: Path) -> None:
        """Run attack-I from samples to verdict."""
        given = Ingredients(
            target_model=PipelineGenerator(
                self.pipeline, num_inference_steps=STEPS, guidance_scale=GUIDANCE
            ),
            members=self.members,
            non_members=self.non_members,
            image_encoder=self.encoder,
        )
        run_attack("I", "threshold", given, self.settings, Store(store))

    def reference(self, folder: Path) -> None:
        """Generate to files one by one, then load and embed one by one."""
        for i, query in enumerate(self.queries):
            self._call([query], "pil").images[0].save(folder / f"{i}.jpg", "JPEG")
        for i, query in enumerate(self.queries):
            with Image.open(folder / f"{i}.jpg") as image:
                generated = self.encoder.encode([image])[0]
            asked = self.encoder.encode([query.sample.image])[0]
            similarity_vector(asked, generated)

    def _call(self, queries: Any, kind: str) -> Any:
        return self.pipeline(
            [query.prompt for query in queries],
            generator=[torch.Generator("cpu").manual_seed(query.seed) for query in queries],
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            output_type=kind,
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
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    bench = Bench(chosen.samples)
    bench._call(bench.queries[:BATCH], "np")  # warm up
    ratios: dict[str, list[float]] = {}
    seconds: dict[str, list[float]] = {}
    for _ in range(chosen.runs):
        with tempfile.TemporaryDirectory() as scratch:
            store, files = Path(scratch) / "store", Path(scratch) / "files"
            files.mkdir()
            took = {
                "bare": timed(bench.bare),
                "audit": timed(lambda: bench.audit(store)),  # noqa: B023  # called at once
                "stored": timed(lambda: bench.audit(store)),  # noqa: B023
                "reference": timed(lambda: bench.reference(files)),  # noqa: B023
            }
        for name, value in took.items():
            seconds.setdefault(name, []).append(value)
        for name, over in (
            ("audit / bare", ("audit", "bare")),
            ("reference / audit", ("reference", "audit")),
            ("stored / audit", ("stored", "audit")),
        ):
            ratios.setdefault(name, []).append(took[over[0]] / took[over[1]])
    print(f"{chosen.samples}+{chosen.samples} samples, m = {M}, {STEPS} steps, batch {BATCH}")
    rows = [
        [name, *(f"{value:.3f}" for value in (min(v), float(np.median(v)), max(v)))]
        for name, v in ratios.items()
    ]
    print(tabulate(rows, ["ratio", "min", "median", "max"], tablefmt="github"))
    print({name: f"{np.median(value):.1f} s" for name, value in seconds.items()})


if __name__ == "__main__":
    main()
