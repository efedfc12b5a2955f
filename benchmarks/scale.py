"""Planning, statistics and report for up to 100,000+100,000 stored scores.

``python benchmarks/scale.py`` fills a store by one audit of each size (a generator and an encoder
that cost next to nothing, m = 1), then times, in fresh processes, what a second audit does:
the plan, attack-I with the threshold, the terminal's table and the JSON document.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import fresh_python, show, spread

SIZES = (25_000, 50_000, 100_000)


class Corners:
    """Encodes an image as its pixels, one token each."""

    fingerprint = "corners"

    def encode(self, images: Any) -> Any:
        """Return (n, 16, 3)."""
        return np.stack([np.asarray(i, dtype=np.float32).reshape(16, 3) for i in images]) / 255


def audit(n: int, folder: Path) -> dict[str, float]:
    """Run one audit of n+n samples, and return the seconds of its parts."""
    from PIL import Image

    from privaudit import Audit, AuditInputs, AuditSettings, Sample
    from privaudit.record import SessionRecord, write_json
    from privaudit.report.terminal import render
    from privaudit.store import Store
    from privaudit.testing import ObliviousTarget

    draws = np.random.default_rng(0)
    pixels = draws.integers(0, 256, (2 * n, 4, 4, 3), dtype=np.uint8)
    numbers = draws.permutation(2 * n)  # captions in order would tell members from non-members
    samples = [
        Sample(Image.fromarray(p), f"picture {number}", id=str(i))
        for i, (p, number) in enumerate(zip(pixels, numbers, strict=True))
    ]
    given = AuditInputs(
        target_model=ObliviousTarget((4, 4)),
        members=samples[:n],
        non_members=samples[n:],
        image_encoder=Corners(),
    )
    settings = AuditSettings(
        queries=1,
        duplicate_limit=2.0,
        blind_limit=1.0,  # of small sets, noise alone may tell some halves apart
        batch_size=512,
        scenarios="I",
        attacks="threshold",
    )
    took = {}
    start = time.perf_counter()
    benchmark = Audit(given, settings, Store(folder), name="benchmark")
    list(benchmark.estimate(scenario="I").lines())
    took["plan"] = time.perf_counter() - start
    start = time.perf_counter()
    benchmark.result("I", "threshold")
    took["statistics"] = time.perf_counter() - start
    start = time.perf_counter()
    record = benchmark.record()
    list(render([record], []))
    write_json(folder / "out.json", SessionRecord(privaudit_version="0", audits=[record]))
    took["report"] = time.perf_counter() - start
    return took


def main() -> None:
    """Time the sizes in alternation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audit", type=int, help="run one audit, in this process")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    if chosen.audit:
        print(json.dumps(audit(chosen.audit, chosen.store)))
        return
    found: dict[int, list[dict[str, float]]] = {n: [] for n in SIZES}
    with tempfile.TemporaryDirectory() as scratch:
        for run in range(chosen.runs + 1):
            for n in SIZES:
                folder = Path(scratch) / str(n)
                took = json.loads(fresh_python(__file__, "--audit", n, "--store", folder))
                if run:  # the first fills the store
                    found[n].append(took)
    rows = []
    for n, runs in found.items():
        totals = [sum(took.values()) for took in runs]
        parts = [f"{np.median([took[name] for took in runs]):.1f}" for name in runs[0]]
        rows.append([f"{n:,}+{n:,}", *spread(totals, ".1f"), *parts])
    show(rows, ["scores", "min s", "median s", "max s", "plan", "statistics", "report"])


if __name__ == "__main__":
    main()
