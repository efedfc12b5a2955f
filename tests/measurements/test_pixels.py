"""A second measurement, in one file: from the answers that are there, without a new image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from privaudit import ObliviousTarget
from privaudit.engines.local import LocalEngine
from privaudit.engines.task import Task
from privaudit.measurements import ReconstructionSimilarity
from privaudit.measurements.pixels import PixelSimilarity, pixel_similarities
from privaudit.store import Store
from privaudit.targets.queries import plan_queries
from tests.parts.encoders import PixelEncoder


class Storable(ObliviousTarget):
    worth_storing = True
    asked = 0

    def answer(self, queries: Any) -> Any:
        self.asked += len(queries)
        return super().answer(queries)


def test_another_measurement_asks_the_target_nothing(emoji: dict[str, Any], tmp_path: Path) -> None:
    target, store = Storable(), Store(tmp_path)
    samples = emoji["member"][:6]
    queries = plan_queries(samples, [s.caption for s in samples], 3, 0)
    first = ReconstructionSimilarity(PixelEncoder(), "cosine", "token")
    LocalEngine().run(Task(target, first, 16), queries, store, lambda _: None)
    assert target.asked == 18
    second = Task(target, PixelSimilarity(), 16)
    LocalEngine().run(second, queries, store, lambda _: None)
    assert target.asked == 18
    keys = second.keys(queries)[1]
    rows = np.stack([store.arrays(keys)[key] for key in keys]).reshape(6, 3, -1)
    features = PixelSimilarity().features(rows, "mean")
    assert features.vectors.shape[0] == len(features) == 6
    half = features.vectors.shape[1] // 2
    assert (features.vectors[:, half:] >= features.vectors[:, :half]).all()  # best, and mean


def test_a_copy_is_most_alike_then_a_blurred_one_then_another_picture(
    emoji: dict[str, Any],
) -> None:
    image, other = emoji["member"][0].image, emoji["member"][1].image
    blurred = image.filter(ImageFilter.GaussianBlur(2))
    copy, near, far = (pixel_similarities(image, i) for i in (image, blurred, other))
    assert np.allclose(copy[0::2], 1.0)
    assert (copy[0::2] > near[0::2]).all()
    assert (near[0::2] > far[0::2]).all()


def test_a_picture_of_one_colour_is_like_nothing(emoji: dict[str, Any]) -> None:
    values = pixel_similarities(emoji["member"][0].image, Image.new("RGB", (32, 32), "white"))
    assert np.isfinite(values).all()
    assert np.allclose(values[0::2], 0.0)
