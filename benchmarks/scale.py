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

    from privaudit import ObliviousTarget, Sample
    from privaudit.audit.audit import plan_attack, run_attack
    from privaudit.audit.estimate import Plan
    from privaudit.audit.experiment import Ingredients
    from privaudit.report.json_file import write_json
    from privaudit.report.log import AuditLog
    from privaudit.report.terminal import render
    from privaudit.settings.resolve import resolve
    from privaudit.store import Store

    draws = np.random.default_rng(0)
    pixels = draws.integers(0, 256, (2 * n, 4, 4, 3), dtype=np.uint8)
    numbers = draws.permutation(2 * n)  # captions in order would tell members from non-members
    samples = [
        Sample(Image.fromarray(p), f"picture {number}", id=str(i))
        for i, (p, number) in enumerate(zip(pixels, numbers, strict=True))
    ]
    given = Ingredients(
        target_model=ObliviousTarget((4, 4)),
        members=samples[:n],
        non_members=samples[n:],
        image_encoder=Corners(),
    )
    settings = resolve({}, {})._replace(queries=1, duplicate_limit=2.0, batch_size=512)
    settings = settings._replace(scenarios=("I",), attacks=("threshold",))
    took = {}
    start = time.perf_counter()
    store = Store(folder)
    plan = Plan(store)
    plan_attack("I", "benchmark", given, settings, plan)
    list(plan.lines())
    took["plan"] = time.perf_counter() - start
    start = time.perf_counter()
    result = run_attack("I", "threshold", given, settings, store)
    took["statistics"] = time.perf_counter() - start
    start = time.perf_counter()
    log = AuditLog()
    entry = {
        "audit": "benchmark",
        "scenario": "attack-I",
        "attack": "threshold",
        "budget": 0.6,
        "budget_source": "default",
        "settings": settings.to_dict(),
        "outcome": "completed",
        "reason": "",
        "result": result.to_dict(),
    }
    log.add("benchmark", entry)
    list(render(log))
    write_json(folder / "out.json", log.document("0", 0))
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
