"""What the processes of tests/store/test_store.py run: a module of their own, light to import."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from privaudit.engines.local import LocalEngine
from privaudit.engines.task import Task
from privaudit.measurements import ReconstructionSimilarity
from privaudit.samples import Sample
from privaudit.store import Store
from privaudit.store.locks import Locks
from privaudit.targets.base import CallableTarget
from privaudit.targets.queries import Query


class Slow:
    """Draws a picture from the seed, and remembers what it was asked."""

    fingerprint = "slow-1"

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        self.asked += zip(prompts, seeds, strict=True)
        time.sleep(0.02)
        return [Image.fromarray(np.full((8, 8, 3), seed % 256, np.uint8)) for seed in seeds]


class Colour:
    """Encodes an image as its pixels."""

    fingerprint = "colour-1"

    def encode(self, images: Any) -> Any:
        return np.stack([np.asarray(image, np.float32).reshape(-1, 3) for image in images])


def hammer(folder: Path, number: int) -> None:
    """Answer 200 queries on a store that others use for the same, and say what was done."""
    sample = Sample(Image.new("RGB", (8, 8), (10, 20, 30)), "x", id="x")
    queries = [Query(sample, f"prompt {i}", 0, i) for i in range(200)]
    function, store = Slow(), Store(folder / "store")
    task = Task(
        CallableTarget(function), ReconstructionSimilarity(Colour(), "cosine", "channel"), 8
    )
    # All begin together, however long each took to start.
    (folder / f"up{number}").touch()
    while len(list(folder.glob("up*"))) < 2:
        time.sleep(0.005)
    LocalEngine().run(task, queries, store, lambda _: None)
    keys = task.keys(queries)[1]
    found = store.arrays(keys)
    answers = [found[key].tolist() for key in keys]
    (folder / f"asked{number}.json").write_text(json.dumps(function.asked))
    (folder / f"answers{number}.json").write_text(json.dumps(answers))


def hold(folder: Path) -> None:
    """Hold a lock, and never let go."""
    with Locks(folder).hold("ab", print):
        (folder / "holding").touch()
        time.sleep(600)
