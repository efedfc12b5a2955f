"""Peak resident memory of an audit of 1,000+1,000 samples over one of 100+100.

``python benchmarks/memory.py`` runs each in a process of its own, five times: pictures of 512 px
in a folder, a generator that draws its answers at once, the real encoder of ``audits/``, m = 3,
attack-I with the threshold and the distribution, an empty store on disk.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from pathlib import Path

import numpy as np
from common import SPREAD, fresh_python, show, spread

ANSWER = 32
"""Edge of the generated images in pixels: they are never held together, and take long to file."""


def draw(n: int, side: int, folder: Path) -> None:
    """Write an image folder of n pictures."""
    from PIL import Image

    folder.mkdir()
    draws = np.random.default_rng(n)
    coarse = draws.integers(0, 256, (n, 4, 4, 3), dtype=np.uint8)
    rows = []
    # Captions in order would tell members from non-members.
    for i, (pixels, number) in enumerate(zip(coarse, draws.permutation(n), strict=True)):
        picture = Image.fromarray(pixels).resize((side, side))
        picture.save(folder / f"{i}.png", compress_level=1)
        rows.append(json.dumps({"file_name": f"{i}.png", "text": f"picture {number}"}))
    (folder / "metadata.jsonl").write_text("\n".join(rows))


def audit(folder: Path) -> None:
    """Audit half of a folder against the other half, and print the peak of this process in MB."""
    import torch

    from privaudit import load_encoder, load_samples, run_audit
    from privaudit.testing import ObliviousTarget

    torch.set_num_threads(1)
    samples = load_samples(folder)
    with tempfile.TemporaryDirectory() as scratch:
        run_audit(
            ObliviousTarget((ANSWER, ANSWER)),
            samples[::2],
            samples[1::2],
            image_encoder=load_encoder("efficientnet-lite0", device="cpu"),
            scenarios="I",
            attacks="threshold,distribution",
            # Noise has no near-duplicates to speak of, but four by four pixels can be alike by
            # chance.
            duplicate_limit=2.0,
            blind_limit=1.0,
            store=scratch,
        )
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    """Compare the peaks of small and large audits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audit", type=Path, help="audit this folder, in this process")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--side", type=int, default=512, help="edge of the samples in pixels")
    chosen = parser.parse_args()
    if chosen.audit:
        audit(chosen.audit)
        return
    peaks: dict[int, list[float]] = {100: [], 1000: []}
    with tempfile.TemporaryDirectory() as scratch:
        for n in peaks:
            draw(2 * n, chosen.side, Path(scratch) / str(n))
        for _ in range(chosen.runs):
            for n, found in peaks.items():
                found.append(float(fresh_python(__file__, "--audit", Path(scratch) / str(n))))
    ratios = [large / small for small, large in zip(*peaks.values(), strict=True)]
    rows = [[f"{n}+{n} samples, MB", *spread(values, ".0f")] for n, values in peaks.items()]
    rows.append(["ratio", *spread(ratios, ".3f")])
    show(rows, ["peak", *SPREAD])


if __name__ == "__main__":
    main()
