"""A second measurement, in one file: from the answers that are there, without a new image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter
from skimage import metrics

from privaudit.engines.local import LocalEngine
from privaudit.engines.task import Task
from privaudit.measurements import AnswerSimilarity, Features, ReconstructionSimilarity
from privaudit.measurements.pixels import (
    PixelSimilarity,
    _square,
    pixel_similarities,
    structural_similarities,
)
from privaudit.store import Store
from privaudit.targets import Capabilities
from privaudit.targets.queries import plan_queries
from privaudit.testing import ObliviousTarget
from tests.parts.encoders import PixelEncoder


class Storable(ObliviousTarget):
    capabilities = Capabilities(ignores_prompts=True)
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
    assert features.vectors.shape == (6, 14)
    assert len(features) == 6


def test_many_pairs_at_one_time_are_compared_as_each_alone(emoji: dict[str, Any]) -> None:
    """To the last bit, whatever else is in the block: what was measured before is still true."""
    samples = emoji["member"][:12]
    queries = dict(enumerate(plan_queries(samples, [s.caption for s in samples], 2, 0)))
    drawn = ObliviousTarget().generate([""] * 30, range(30))
    images = {
        i: drawn[i] if i % 3 else emoji["member"][i // 2 + i % 2].image.resize((40, 24))
        for i in queries
    }
    images[23] = images[5] = Image.new("RGB", (64, 64), "white")
    rows = PixelSimilarity().rows(ObliviousTarget(), queries, images)
    for (i, query), row in zip(queries.items(), rows, strict=True):
        pixels = pixel_similarities(query.sample.image, images[i])
        alike = structural_similarities([query.sample.image], [images[i]])
        alone = np.append(pixels, alike)
        assert row.tobytes() == alone.astype(np.float32).tobytes()
    assert PixelSimilarity().rows(ObliviousTarget(), {}, {}) == []


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


def test_structure_sees_a_copy_then_a_blurred_one_then_another_picture(
    emoji: dict[str, Any],
) -> None:
    image, other = emoji["member"][0].image, emoji["member"][1].image
    blurred = image.filter(ImageFilter.GaussianBlur(1))
    large = image.resize((96, 96), Image.Resampling.LANCZOS)
    others = [image, large, blurred, other]
    copy, enlarged, near, far = structural_similarities([image] * 4, others)
    assert copy == 1.0
    assert enlarged > near > far


def test_structure_is_that_of_the_library_whatever_pictures_are_beside(
    emoji: dict[str, Any],
) -> None:
    queries = [sample.image.convert("RGB") for sample in emoji["member"][:12]]
    answers = [*ObliviousTarget().generate([""] * 11, range(11)), Image.new("RGB", (32, 32), "red")]
    together = structural_similarities(queries, answers)
    for query, answer, alike in zip(queries, answers, together, strict=True):
        assert structural_similarities([query], [answer]) == [alike]
        planes = (np.asarray(_square(image, 32)) / 255 for image in (query, answer))
        library = metrics.structural_similarity(*planes, channel_axis=2, data_range=1.0)
        assert alike == pytest.approx(library, abs=1e-12)
    assert structural_similarities([], []).shape == (0,)


def test_blocks_hold_mean_and_best_whatever_the_aggregation(emoji: dict[str, Any]) -> None:
    samples = emoji["member"][:2]
    queries = dict(enumerate(plan_queries(samples, ["a", "b"], 3, 0)))
    others = [sample.image for sample in emoji["non_member"][:6]]
    others[1] = samples[0].image  # one answer in three is a copy
    measurement = PixelSimilarity()
    rows: Any = measurement.rows(None, queries, dict(enumerate(others)))  # type: ignore[arg-type]
    stacked = np.stack(rows).reshape(2, 3, measurement.width)
    features = measurement.features(stacked, "min")
    assert {name: block.shape for name, block in features.blocks.items()} == {
        "pixels": (2, 12),
        "structure": (2, 2),
    }
    np.testing.assert_allclose(
        features.blocks["pixels"][:, :6], stacked[..., :6].mean(axis=1), atol=1e-6
    )
    np.testing.assert_allclose(
        features.blocks["pixels"][:, 6:], stacked[..., :6].max(axis=1), atol=1e-6
    )
    assert features.blocks["structure"][0, 1] == pytest.approx(1.0)
    assert features.blocks["structure"][0, 0] < 0.9


def test_the_papers_models_read_the_encoder_alone_and_the_combined_one_all(
    emoji: dict[str, Any],
) -> None:
    samples = emoji["member"][:4]
    queries = dict(enumerate(plan_queries(samples, list("abcd"), 2, 0)))
    images = {i: emoji["non_member"][i].image for i in queries}
    paper = ReconstructionSimilarity(PixelEncoder(), "cosine", "token")
    both = AnswerSimilarity(paper)
    alone, together = (
        m.features(np.stack(m.rows(None, queries, images)).reshape(4, 2, -1), "mean")  # type: ignore[arg-type]
        for m in (paper, both)
    )
    np.testing.assert_array_equal(together.vectors, alone.vectors)
    np.testing.assert_array_equal(together.similarity, alone.similarity)
    np.testing.assert_array_equal(together.facts, alone.facts)
    assert list(together.blocks) == ["encoder", "pixels", "structure"]
    assert together.side_by_side.shape == (4, 2 + 12 + 2)
    joined = Features.joined([together, together])
    np.testing.assert_array_equal(joined.side_by_side[4:], together.side_by_side)
    assert both.identity != paper.identity
