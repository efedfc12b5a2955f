"""Records of real audits, of tiny targets: one of every kind that a report has to say something of.

``python -m tests.parts.records FOLDER`` writes them as JSON, to look at their reports.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import privaudit
from privaudit.record import AuditRecord, CheckpointName, SessionRecord, runs_of

SIZE = 8


class Pixels:
    """Pictures as they are."""

    fingerprint = "pixels"

    def encode(self, images: list[Image.Image]) -> Any:
        return np.stack(
            [np.float32(image.resize((SIZE, SIZE))).reshape(SIZE, -1) / 255 for image in images]
        )


class Fading:
    """Gives its members back, mixed with noise: the more of it, the less it leaks."""

    persistent = True

    def __init__(self, members: list[Any], noise: float) -> None:
        self._known = {member.caption: np.float32(member.image) for member in members}
        self._noise = noise
        self.fingerprint = f"fading-{noise}-{len(members)}"

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        pictures = []
        for prompt, seed in zip(prompts, seeds, strict=True):
            draws = np.random.default_rng([seed, *prompt.encode()])
            noise = draws.uniform(0, 255, (SIZE, SIZE, 3))
            known = self._known.get(prompt, noise)
            mixed = (1 - self._noise) * known + self._noise * noise
            pictures.append(Image.fromarray(np.uint8(mixed)))
        return pictures


@functools.cache
def samples(n: int, start: int = 0) -> tuple[list[Any], list[Any]]:
    """n members and n non-members, of noise, with captions that tell nothing."""
    draws = np.random.default_rng(start)
    pictures = draws.integers(0, 256, (2 * n, SIZE, SIZE, 3), dtype=np.uint8)
    numbers = draws.permutation(2 * n)
    both = [
        privaudit.Sample(
            Image.fromarray(picture), f"picture {start + number:06}", id=f"p{start + number:06}"
        )
        for picture, number in zip(pictures, numbers, strict=True)
    ]
    return both[:n], both[n:]


def audit(
    noise: float, n: int = 60, name: str = "audits/test_faces.py::test_leak", **more: Any
) -> AuditRecord:
    members, non_members = samples(n)
    options = {
        "scenarios": "I",
        "attacks": "threshold,distribution,classifier",
        "queries": 1,
        "store": "none",
    }
    return privaudit.run_audit(
        Fading(members, noise),
        members,
        non_members,
        image_encoder=Pixels(),
        name=name,
        **options | more,
    )


def fail() -> AuditRecord:
    return audit(0.1)


def shown_pass() -> AuditRecord:
    return audit(1.0, n=400, budget=0.7)


def not_shown() -> AuditRecord:
    return audit(1.0, n=44, attacks="threshold")


def inconclusive() -> AuditRecord:
    return audit(0.94, budget=0.6)


def invalid() -> AuditRecord:
    """Members and non-members of two kinds: that much is seen without the model."""
    members, _ = samples(60)
    others = [
        privaudit.Sample(Image.new("RGB", (SIZE, SIZE), (i, i, i)), f"grey no. {i}", id=f"g{i}")
        for i in range(60)
    ]
    return privaudit.run_audit(
        Fading(members, 0.1),
        members,
        others,
        image_encoder=Pixels(),
        scenarios="I",
        attacks="threshold",
        queries=1,
        store="none",
        name="audits/test_faces.py::test_two_sources",
    )


def sequential() -> AuditRecord:
    return audit(0.1, sequential=True, attacks="threshold")


def baseline() -> AuditRecord:
    return audit(0.1, baseline=audit(0.85))


def shadowed() -> AuditRecord:
    """Two scenarios, of which one needs a shadow model."""
    theirs, others = samples(60, start=1000)
    return audit(0.1, scenarios="I,III", shadow=(Fading(theirs, 0.1), theirs, others))


def large() -> AuditRecord:
    return audit(0.9, n=5000, attacks="threshold")


def checkpoints() -> list[AuditRecord]:
    """Ten checkpoints of a run, the later the more it leaks."""
    audits = []
    for place in range(10):
        one = audit(
            1.0 - place / 10,
            name=f"audits/test_run.py::test_run[checkpoint-{100 * place}]",
            attacks="threshold",
        )
        checkpoint = CheckpointName(
            run="runs/stamps",
            name=f"checkpoint-{100 * place}",
            step=100 * place,
            unit="step",
            place=place,
        )
        audits.append(one.model_copy(update={"checkpoint": checkpoint}))
    return audits


def expected() -> AuditRecord:
    record = fail()
    return record.model_copy(update={"expected": [one.name for one in record.results]})


def session(*audits: AuditRecord, exit_status: int | None = None) -> SessionRecord:
    return SessionRecord(
        privaudit_version="0.1.0",
        exit_status=exit_status,
        complete=all(audit.complete for audit in audits),
        audits=list(audits),
        runs=runs_of(audits),
    )


KINDS = {
    kind.__name__: kind
    for kind in (
        fail,
        shown_pass,
        not_shown,
        inconclusive,
        invalid,
        sequential,
        baseline,
        shadowed,
        expected,
    )
}
"""The quick ones, each less than a second or two."""


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in {**KINDS, "large": large, "checkpoints": checkpoints}.items():
        made = make()
        record = session(*(made if isinstance(made, list) else [made]))
        (folder / f"{name}.json").write_text(record.to_json())
        print(name, [(one.verdict, [r.auc for r in one.results]) for one in record.audits])
