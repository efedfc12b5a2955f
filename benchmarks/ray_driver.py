"""How many images a second the process that runs an audit can take from a cluster.

``python benchmarks/ray_driver.py`` has two Ray actors answer with images that cost little to draw,
and prints the processor time that each image took of this process, which keeps the store. Beside
it stand the images a second that 64 GPUs make of the models of docs/cost.md.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import ray
from common import SPREAD, show, spread
from cost import GPUS, SECONDS_AN_IMAGE
from PIL import Image

from privaudit import Sample
from privaudit.encoders import as_encoder
from privaudit.engines.ray import RayEngine
from privaudit.engines.task import Task
from privaudit.measurements import ReconstructionSimilarity
from privaudit.store import Store
from privaudit.targets import as_target
from privaudit.targets.queries import Query

BATCH = 16


class Grainy:
    """Draws smooth noise with fine grain, which compresses about as a photograph does."""

    fingerprint = "grainy-1"

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        """Draw one picture a seed."""
        images = []
        for seed in seeds:
            draws = np.random.default_rng(seed % 2**32)
            coarse = Image.fromarray(draws.integers(0, 256, (16, 16, 3), dtype=np.uint8))
            smooth = np.asarray(coarse.resize((self.size, self.size), Image.Resampling.BICUBIC))
            grain = draws.normal(0, 3, smooth.shape)
            images.append(Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)))
        return images


class Corners:
    """Encodes an image as sixteen of its pixels: the encoder runs on the workers too."""

    fingerprint = "corners-1"

    def encode(self, images: list[Image.Image]) -> np.ndarray:
        """Return one token an image."""
        rows = [np.asarray(image.resize((4, 4), Image.Resampling.NEAREST)) for image in images]
        return np.stack(rows).reshape(len(rows), 1, -1).astype(np.float32)


def main() -> None:
    """Measure both sizes of image."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    ray.init(num_cpus=2, log_to_driver=False)
    rows = []
    for name, seconds in SECONDS_AN_IMAGE.items():
        size = int(name.split()[-2])
        sample = Sample(Image.new("RGB", (64, 64)), "a picture", id="one")
        queries = [Query(sample, sample.caption, 0, seed) for seed in range(chosen.images)]
        measurement = ReconstructionSimilarity(as_encoder(Corners()), "cosine", "channel")
        task = Task(as_target(Grainy(size)), measurement, BATCH)
        engine = RayEngine()
        engine.run(task, queries[: 4 * BATCH], Store(None), lambda _: None)  # start the actors
        took = []
        for _ in range(chosen.runs):
            with tempfile.TemporaryDirectory() as folder:
                started = time.process_time()
                engine.run(task, queries, Store(Path(folder)), lambda _: None)
                took.append((time.process_time() - started) / chosen.images)
        engine.close()
        rows.append(
            [
                name,
                *spread([1000 * value for value in took], ".1f"),
                f"{1 / np.median(took):.0f} images/s",
                f"{max(GPUS) / seconds:.0f} images/s",
            ]
        )
    header = ["an image takes, ms", *SPREAD, "so at most", f"{max(GPUS)} GPUs make"]
    show(rows, header)


if __name__ == "__main__":
    main()
