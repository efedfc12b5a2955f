"""An attacker with the weights, beside an audit's results and never among them."""

from __future__ import annotations

import random
from typing import Any

import pytest

import privaudit
from privaudit import AuditRecord, CoinSplit, PipelineTarget, Sample, SavedPipeline, split_by_coin
from privaudit.audit import Audit
from privaudit.audit.inputs import AuditInputs
from privaudit.errors import SettingError
from privaudit.record import AttackResult, Claim, Interval, SessionRecord
from privaudit.report.terminal import render
from privaudit.report.wording import headline
from privaudit.settings import AuditSettings
from privaudit.statistics import epsilon_one_run
from tests.parts.encoders import PixelEncoder
from tests.parts.pipelines import tiny_pipeline


@pytest.fixture(scope="module")
def target() -> Any:
    return PipelineTarget(tiny_pipeline(), num_inference_steps=1)


def audited(emoji: dict[str, Any], target: Any, **more: Any) -> AuditRecord:
    given: dict[str, Any] = {
        "members": emoji["member"][:8],
        "non_members": emoji["non_member"][:8],
        "image_encoder": PixelEncoder(),
        "scenarios": "I",
        "attacks": "threshold",
        "queries": 1,
        "white_box": "sima",
        "duplicate_limit": 2,
        "budget": 0.9,
        "store": "none",
    }
    return privaudit.run_audit(target, **given | more)


@pytest.fixture(scope="module")
def record(emoji: dict[str, Any], target: Any) -> AuditRecord:
    return audited(emoji, target, white_box="sima,pia")


def test_it_evaluates_the_samples_of_scenario_i_and_asks_for_no_image(record: AuditRecord) -> None:
    assert [(r.name, r.verdict, r.n_queries) for r in record.weights] == [
        ("weights-pia", "reported", 0),
        ("weights-sima", "reported", 0),
    ]
    assert [r.name for r in record.results] == ["attack-I-threshold"]
    for result in record.weights:
        assert result.member_scores.keys() == record.results[0].member_scores.keys()
        assert result.n_results == 2
        assert result.epsilon is None
    assert record.provenance is not None
    assert record.provenance.images.generated == 16


def test_a_record_is_read_as_it_was_written_and_its_parts_are_put_together(
    record: AuditRecord,
) -> None:
    session = SessionRecord(privaudit_version="0", audits=[record])
    [read] = SessionRecord.from_json(session.to_json()).audits
    assert read.weights == record.weights
    parts = [record.model_copy(update={"weights": [one]}) for one in reversed(record.weights)]
    whole = parts[0].merged(parts[1]).sorted(["weights-pia", "weights-sima"])
    assert whole.weights == record.weights


def changed(record: AuditRecord, *, black: float, white: float, low: float) -> AuditRecord:
    def of(result: AttackResult, auc: float) -> AttackResult:
        bounds = Interval(low=low, high=1.0, confidence=0.95)
        return result.model_copy(update={"auc": auc, "interval": bounds})

    return record.model_copy(
        update={
            "results": [of(record.results[0], black)],
            "weights": [of(record.weights[0], 0.5), of(record.weights[1], white)],
        }
    )


def test_what_is_captured_is_the_strongest_result_over_the_highest_ceiling(
    record: AuditRecord,
) -> None:
    assert changed(record, black=0.7, white=0.9, low=0.6).captured == pytest.approx(0.5)
    assert changed(record, black=0.4, white=0.9, low=0.6).captured == 0
    assert changed(record, black=0.7, white=0.9, low=0.5).captured is None
    assert record.model_copy(update={"weights": []}).captured is None
    assert record.model_copy(update={"results": []}).captured is None


def test_of_released_weights_the_budget_holds_too(emoji: dict[str, Any], target: Any) -> None:
    inputs = AuditInputs(target, emoji["member"][:8], emoji["non_member"][:8], PixelEncoder())
    common = {"scenarios": "I", "attacks": "threshold", "queries": 1, "duplicate_limit": 2}
    settings = AuditSettings(release="weights", budget=0.51, **common)
    assert settings.weights_attacks == ("denoising",)
    audit = Audit(inputs, settings)
    result = audit.result("weights", "denoising")
    assert result.verdict == ("pass" if result.auc <= 0.51 else result.auc_verdict)
    written = audit.record()
    assert written.verdict == result.verdict
    assert written.n_over == (result.verdict != "pass")
    assert AuditSettings(white_box="none").weights_attacks == ()


def test_sets_that_are_told_apart_without_the_model_are_invalid_here_too(
    emoji: dict[str, Any], target: Any
) -> None:
    loud = [Sample(s.image, s.caption.upper(), id=s.id) for s in emoji["member"][:20]]
    record = audited(emoji, target, members=loud, non_members=emoji["non_member"][:20])
    assert record.verdict == "invalid"
    assert {one.name for one in record.not_completed} == {"attack-I-threshold", "weights-sima"}
    assert not record.weights


def test_a_base_that_tells_the_sets_apart_makes_it_invalid(
    emoji: dict[str, Any], target: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from privaudit.measurements.white_box import ScoreNorm

    base = PipelineTarget(tiny_pipeline(seed=1), num_inference_steps=1)
    members = {sample.digest for sample in emoji["member"]}
    measured = ScoreNorm.rows

    def knows(self: Any, asked: Any, queries: Any, images: Any) -> Any:
        rows = measured(self, asked, queries, images)
        told = [query.sample.digest in members for query in queries.values()]
        return [row + 100 * known for row, known in zip(rows, told, strict=True)]

    monkeypatch.setattr(ScoreNorm, "rows", knows)
    sets = {"members": emoji["member"][:20], "non_members": emoji["non_member"][:20]}
    record = audited(emoji, target, base=base, **sets)
    [reason] = {one.reason for one in record.not_completed if one.scenario == "weights"}
    assert "by weights-sima: the base model, which was fine-tuned on nobody, tells" in reason
    assert audited(emoji, target, base=base, base_calibration=False, **sets).weights


def flipped(emoji: dict[str, Any], n: int) -> CoinSplit:
    """Split as if coins had chosen the members of the emoji: who is one is named accordingly."""
    draws, sides = random.Random(0), {name: iter(emoji[name]) for name in ("member", "non_member")}
    drawn = [next(sides["member" if draws.random() < 0.5 else "non_member"]) for _ in range(n)]
    return split_by_coin(
        [Sample(one.image, one.caption, id=f"{i:04}") for i, one in enumerate(drawn)], 0
    )


def claimed(emoji: dict[str, Any], target: Any, n: int, attack: str, **more: Any) -> AuditRecord:
    coins = flipped(emoji, n)
    claim = Claim(epsilon=1.0, delta=1e-3, mechanism="gaussian", attack=attack)
    sets = {"members": coins.members, "non_members": coins.non_members, "coin_split": coins}
    return audited(emoji, target, **sets, claim=claim, **more)


def test_a_claim_is_checked_by_the_attack_that_it_names_on_every_coin(
    emoji: dict[str, Any], target: Any
) -> None:
    record = claimed(emoji, target, 40, "weights-sima", white_box="sima,pia")
    pia, sima = record.weights
    assert sima.epsilon is not None
    # Half of the samples fix a threshold, which no score depends on: all coins are counted.
    assert sima.epsilon.provable == largest_provable(40)
    assert sima.evaluation.members + sima.evaluation.non_members < 40
    assert (pia.epsilon, record.results[0].epsilon) == (None, None)
    assert "names weights-sima" in pia.epsilon_refused
    assert sima.verdict == "reported"
    assert record.verdict == record.results[0].verdict


def largest_provable(n: int) -> float:
    apart = epsilon_one_run([1.0] * (n // 2), [0.0] * (n // 2), delta=1e-3, hypothesis="gaussian")
    return apart.provable


@pytest.mark.parametrize(
    ("attack", "more", "said"),
    [
        ("weights-secmi", {}, "that this audit does not run: add it to white_box, which is sima"),
        ("III-threshold", {}, "checked by attack-III and attack-IV"),
        ("IV-threshold", {"scenarios": "I,III"}, "a result that this audit does not have"),
        ("weights-sima", {"coin_split": None}, "without a coin_split"),
    ],
)
def test_a_claim_that_nothing_checks_is_refused(
    attack: str, more: dict[str, Any], said: str, emoji: dict[str, Any], target: Any
) -> None:
    coins, claim = flipped(emoji, 16), Claim(epsilon=1.0, delta=1e-3, attack=attack)
    with pytest.raises(SettingError, match=said):
        audited(emoji, target, **{"coin_split": coins, "claim": claim} | more)


@pytest.mark.slow
def test_a_model_that_remembers_is_red_by_its_claim_where_the_weights_decide_nothing_else(
    emoji: dict[str, Any],
) -> None:
    import emoji_sets

    models = emoji_sets.MODELS
    unet = models / "overfit" / "unet"
    target = SavedPipeline(models / "base", unet=unet, device="cpu")
    record = claimed(emoji, target, 120, "weights-sima", num_inference_steps=1, budget=1.0)
    [sima] = record.weights
    assert sima.claim_exceeded
    assert sima.verdict == record.verdict == "fail"
    assert "1 over the claimed epsilon" in headline(record)
    assert "only reported" in headline(record)
    assert any("weights-sima; so many samples" in line for line in render([record], []))
