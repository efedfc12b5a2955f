"""How faithfully a picture that is handed in comes back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from privaudit import PipelineTarget, SavedPipeline, statistics
from privaudit.attacks import registry
from privaudit.errors import GeneratorError, SettingError
from privaudit.measurements.pixels import structural_similarities
from privaudit.measurements.variation import STRENGTHS, VariationFidelity
from privaudit.targets import as_target
from privaudit.targets.image_to_image import varied
from privaudit.targets.queries import plan_queries
from privaudit.testing import ObliviousTarget
from tests.parts import AUDITS
from tests.parts.pipelines import tiny_pipeline


def rows(target: Any, samples: list[Any], m: int = 1, **given: Any) -> Any:
    queries = plan_queries(samples, [sample.caption for sample in samples], m, 0)
    return np.stack(VariationFidelity(**given).rows(target, dict(enumerate(queries)), {}))


def test_a_row_is_the_structural_similarity_of_what_comes_back_at_each_strength(
    emoji: dict[str, Any],
) -> None:
    target, samples = PipelineTarget(tiny_pipeline(), num_inference_steps=4), emoji["member"][:3]
    found = rows(target, samples)
    assert found.shape == (3, len(STRENGTHS))
    assert found.dtype == np.float32
    queries = plan_queries(samples, [sample.caption for sample in samples], 1, 0)
    images = [sample.image for sample in samples]
    for column, strength in enumerate(STRENGTHS):
        pictures = varied(
            target, images, [q.prompt for q in queries], [q.seed for q in queries], strength
        )
        expected = structural_similarities(images, pictures)
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-6)
    alone = np.concatenate([rows(target, [sample]) for sample in samples])
    np.testing.assert_allclose(found, alone, atol=2e-3)


def test_draws_are_averaged_and_the_base_is_taken_off() -> None:
    draws = np.array([[[0.1, 0.3], [0.3, 0.9]], [[0.0, 0.0], [0.0, 0.4]]], dtype=np.float32)
    for aggregation in ("mean", "max"):
        found = VariationFidelity().features(draws, aggregation)
        np.testing.assert_allclose(found.vectors, [[0.2, 0.6], [0.0, 0.2]], atol=1e-6)
        np.testing.assert_allclose(found.similarity, [0.4, 0.1], atol=1e-6)
    less = found.less(VariationFidelity().features(draws[::-1], "mean"))
    np.testing.assert_allclose(less.similarity, [0.3, -0.3], atol=1e-6)
    np.testing.assert_allclose(less.vectors, [[0.2, 0.4], [-0.2, -0.4]], atol=1e-6)


def test_other_strengths_are_another_measurement() -> None:
    assert VariationFidelity((0.2,)).identity != VariationFidelity((0.3,)).identity
    assert VariationFidelity((0.2, 0.3)).pictures == 2
    made = registry.make_with_access("img2img", "variation")
    assert (made.identity, made.access) == (VariationFidelity().identity, "image-to-image")
    assert made.describe()["strengths"] == list(STRENGTHS)
    with pytest.raises(SettingError, match=r"img2img attack 'rediffuse' is unknown: .* variation"):
        registry.make_with_access("img2img", "rediffuse")


def test_what_takes_no_picture_is_an_error(emoji: dict[str, Any]) -> None:
    with pytest.raises(GeneratorError, match="ObliviousTarget takes no picture beside the text"):
        rows(ObliviousTarget(), emoji["member"][:1])


@pytest.mark.slow
def test_a_real_fine_tune_gives_its_members_back_and_others_do_not(emoji: dict[str, Any]) -> None:
    models, n = AUDITS / "models", 30
    samples = [*emoji["member"][:n], *emoji["non_member"][:n]]
    parts: dict[str, dict[str, Any]] = {
        "base": {},
        "overfit": {"unet": models / "overfit" / "unet"},
        "dp": {"biases": models / "dp"},
    }
    scores = {}
    for which, given in parts.items():
        saved: Any = SavedPipeline(models / "base", device="cpu", **given)
        target = as_target(saved, num_inference_steps=10, guidance_scale=3.0)
        scores[which] = rows(target, samples).mean(axis=1)
    found = {
        "base": scores["base"],
        "overfit": scores["overfit"],
        "overfit, over base": scores["overfit"] - scores["base"],
        "dp, over base": scores["dp"] - scores["base"],
    }
    aucs = {name: statistics.auc(values[:n], values[n:]) for name, values in found.items()}
    assert min(aucs["overfit"], aucs["overfit, over base"]) >= 0.9
    assert max(aucs["base"], aucs["dp, over base"]) < 0.68
