"""Seconds and memory to open a folder of 100,000 pictures with caption files.

``python benchmarks/sources.py`` opens it in a process of its own, five times. Nothing is decoded.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import tempfile
import time
from pathlib import Path

from common import SPREAD, fresh_python, show, spread

N = 100_000


def draw(folder: Path) -> None:
    """Write pictures of 512 px, all alike, and their captions."""
    from PIL import Image

    file = io.BytesIO()
    Image.effect_noise((512, 512), 50).convert("RGB").save(file, "JPEG")
    for i in range(N):
        if i % 1000:  # a file system has so many links of one file at most
            os.link(folder / f"{i - i % 1000}.jpg", folder / f"{i}.jpg")
        else:
            (folder / f"{i}.jpg").write_bytes(file.getvalue())
        (folder / f"{i}.txt").write_text(f"picture {i}", encoding="utf-8")


def load(folder: Path) -> None:
    """Open it, and print seconds and the growth of the peak in MB."""
    from privaudit import load_samples

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    samples = load_samples(folder)
    took = time.perf_counter() - started
    assert len(samples) == N
    print(took, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def main() -> None:
    """Print the spread of five runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--load", type=Path, help="open this folder, in this process")
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    if chosen.load:
        load(chosen.load)
        return
    with tempfile.TemporaryDirectory() as scratch:
        draw(Path(scratch))
        printed = [fresh_python(__file__, "--load", scratch).split() for _ in range(chosen.runs)]
    seconds, memory = zip(*[(float(s), float(m)) for s, m in printed], strict=True)
    show(
        [["seconds", *spread(seconds, ".2f")], ["MB", *spread(memory, ".0f")]],
        [f"{N:,} pictures", *SPREAD],
    )


if __name__ == "__main__":
    main()
