"""Peak resident memory of an audit of 1,000+1,000 samples over one of 100+100.

``python benchmarks/memory.py`` runs each in a process of its own, five times: a generator that
draws pictures at once, the real encoder of ``audits/``, m = 3, attack-I with the threshold and the
distribution, an empty store on disk.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from tabulate import tabulate

SIDE = 32


def audit(n: int) -> None:
    """Run one audit of n+n samples, and print the peak of this process in MB."""
    import torch
    from PIL import Image

    from privaudit import AuditSettings, ObliviousTarget, Sample, load_encoder
    from privaudit.audit.experiment import AuditInputs
    from privaudit.store import Store

    torch.set_num_threads(1)
    draws = np.random.default_rng(0)
    coarse = draws.integers(0, 256, (2 * n, 4, 4, 3), dtype=np.uint8)
    numbers = draws.permutation(2 * n)  # captions in order would tell members from non-members
    samples = [
        Sample(Image.fromarray(pixels).resize((SIDE, SIDE)), f"picture {number}", id=str(i))
        for i, (pixels, number) in enumerate(zip(coarse, numbers, strict=True))
    ]
    given = AuditInputs(
        target_model=ObliviousTarget((SIDE, SIDE)),
        members=samples[:n],
        non_members=samples[n:],
        image_encoder=load_encoder("efficientnet-lite0", device="cpu"),
    )
    # Noise has no near-duplicates to speak of, but four by four pixels can be alike by chance.
    settings = AuditSettings(duplicate_limit=2.0, blind_limit=1.0)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        for attack in ("threshold", "distribution"):
            one_result("I", attack, given, settings, store)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    """Compare the peaks of small and large audits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audit", type=int, help="run one audit, in this process")
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    if chosen.audit:
        audit(chosen.audit)
        return
    peaks: dict[int, list[float]] = {100: [], 1000: []}
    for _ in range(chosen.runs):
        for n, found in peaks.items():
            command = [sys.executable, __file__, "--audit", str(n)]
            said = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
            found.append(float(said.stdout.split()[-1]))
    ratios = [large / small for small, large in zip(*peaks.values(), strict=True)]
    rows = [
        [f"{n}+{n} samples, MB", *(f"{v:.0f}" for v in (min(p), np.median(p), max(p)))]
        for n, p in peaks.items()
    ]
    rows.append(["ratio", *(f"{v:.3f}" for v in (min(ratios), np.median(ratios), max(ratios)))])
    print(tabulate(rows, ["peak", "min", "median", "max"], tablefmt="github"))


if __name__ == "__main__":
    main()
