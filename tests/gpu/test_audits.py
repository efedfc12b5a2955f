"""Audits on a card: whole ones, in every dtype, faster, and stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from privaudit import AuditRecord, PipelineTarget, Sample, run_audit
from privaudit.encoders import as_encoder
from tests.parts.encoders import tiny_vit

SIDE = 24
STEPS = 20


def audited(pipeline: Any, emoji: dict[str, list[Sample]], **settings: Any) -> AuditRecord:
    asked = {
        "scenarios": "I",
        "attacks": "threshold",
        "queries": 2,
        "gate": "evidence",
        "duplicate_limit": 2,
    }
    return run_audit(
        pipeline,
        emoji["member"][:SIDE],
        emoji["non_member"][:SIDE],
        image_encoder=as_encoder(tiny_vit()),
        num_inference_steps=STEPS,
        **{"store": "none"} | asked | settings,
    )


@pytest.fixture(scope="module")
def auc_on_a_cpu(emoji: dict[str, list[Sample]]) -> float:
    import emoji_sets
    from privaudit import load_pipeline

    unet = emoji_sets.MODELS / "overfit" / "unet"
    pipeline: Any = load_pipeline(emoji_sets.MODELS / "base", unet=unet, device="cpu")
    return audited(pipeline, emoji).results[0].auc


@pytest.mark.parametrize("dtype", [None, "float16", "bfloat16"])
def test_an_audit_says_what_it_says_on_a_cpu(
    overfit: Any, emoji: dict[str, list[Sample]], auc_on_a_cpu: float, dtype: str | None
) -> None:
    record = audited(overfit, emoji, **{} if dtype is None else {"dtype": dtype})
    model = record.provenance.models["target_model"]
    assert model["device"].startswith("cuda")
    assert model["dtype"] == (dtype or "float32")
    assert next(overfit.unet.parameters()).dtype.itemsize == 4  # left as it was
    print(f"AUC on a CPU {auc_on_a_cpu:.3f}, here in {dtype} {record.results[0].auc:.3f}")
    assert record.results[0].auc == pytest.approx(auc_on_a_cpu, abs=0.03)


@pytest.mark.parametrize("how", ["channels_last", "compile"])
def test_a_faster_way_is_recorded_and_changes_little(
    overfit: Any, emoji: dict[str, list[Sample]], auc_on_a_cpu: float, how: str
) -> None:
    record = audited(overfit, emoji, **{how: True})
    assert record.provenance.models["target_model"]["acceleration"] == {how: True}
    assert record.results[0].auc == pytest.approx(auc_on_a_cpu, abs=0.03)


@pytest.mark.parametrize("dtype", [None, "float16"])
def test_a_second_audit_draws_nothing(
    overfit: Any, emoji: dict[str, list[Sample]], tmp_path: Any, dtype: str | None
) -> None:
    settings = {"store": str(tmp_path)} | ({} if dtype is None else {"dtype": dtype})
    first, second = (audited(overfit, emoji, **settings) for _ in range(2))
    assert first.provenance.images.generated >= 4 * SIDE
    assert second.provenance.images.generated == 0
    assert first.results == second.results


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_picture_is_nearly_the_same_whatever_it_shares_a_batch_with(
    overfit: Any, emoji: dict[str, list[Sample]], dtype: str
) -> None:
    """How far is printed: docs/performance.md has it."""
    from privaudit.targets.acceleration import Acceleration

    faster = Acceleration(dtype=dtype)
    target = PipelineTarget(overfit, num_inference_steps=STEPS, acceleration=faster)
    prompts, seeds = [s.caption for s in emoji["member"][:32]], list(range(32))
    drawn = {
        size: np.stack(
            [
                np.asarray(picture, int)
                for start in range(0, 32, size)
                for picture in target.generate(
                    prompts[start : start + size], seeds[start : start + size]
                )
            ]
        )
        for size in (1, 8, 32)
    }
    again = np.stack([np.asarray(picture, int) for picture in target.generate(prompts, seeds)])
    apart = {size: np.abs(drawn[size] - drawn[1]) for size in (8, 32)}
    print(
        f"{dtype}: repeated, at most {np.abs(again - drawn[32]).max()} levels of 255; batches of "
        + ", ".join(f"{n} from 1: max {a.max()}, mean {a.mean():.4f}" for n, a in apart.items())
    )
    assert max(a.mean() for a in apart.values()) < 1
    if dtype == "float32":
        assert max(np.percentile(a, 99.9) for a in apart.values()) <= 1
