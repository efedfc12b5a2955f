"""Attackers who hand pictures in, or have the weights: beside an audit's results, never among them."""

from __future__ import annotations

import random
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

import privaudit
from privaudit import AuditRecord, PipelineTarget, Sample, SavedPipeline, split_by_coin
from privaudit.audit import Audit
from privaudit.audit.inputs import AuditInputs
from privaudit.audit.plan import Estimate
from privaudit.errors import GeneratorError, SettingError
from privaudit.measurements.variation import STRENGTHS
from privaudit.record import (
    AttackResult,
    BlindBaseline,
    Claim,
    Interval,
    NotCompleted,
    SessionRecord,
)
from privaudit.report.terminal import render
from privaudit.report.wording import access_lines, headline, ruler_lines
from privaudit.samples import CoinSplit
from privaudit.settings import AuditSettings
from privaudit.statistics import epsilon_one_run
from privaudit.testing import MemorizingTarget
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
    settings = AuditSettings(release="weights", budget=0.6, **common)
    assert settings.weights_attacks == ("denoising",)
    audit = Audit(inputs, settings)
    result = audit.result("weights", "denoising")
    assert result.verdict == ("pass" if result.auc <= 0.6 else result.auc_verdict)
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


class Service:
    """Takes pictures beside texts, and gives back what it was trained on."""

    def __init__(self, members: list[Sample], fingerprint: str = "service 1") -> None:
        self.fingerprint, self._known = fingerprint, {s.image.tobytes() for s in members}
        self.asked = self.drawn = 0

    def generate(self, prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        self.drawn += len(prompts)
        said = [
            f"{prompt} {seed} {self.fingerprint}"
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        return [noise(zlib.crc32(text.encode())) for text in said]

    def vary(
        self, images: list[Image.Image], prompts: list[str], seeds: list[int], strength: float
    ) -> list[Image.Image]:
        self.asked += len(images)
        return [
            Image.blend(
                image, noise(seed), strength * (0.2 if image.tobytes() in self._known else 1)
            )
            for image, seed in zip(images, seeds, strict=True)
        ]


def noise(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


HANDED_IN = {"white_box": "none", "img2img": True, "queries": 2}


def test_pictures_that_are_handed_in_are_reported_beside_the_results(
    emoji: dict[str, Any],
) -> None:
    service = Service(emoji["member"])
    record = audited(emoji, service, **HANDED_IN)
    [result] = record.img2img
    assert (result.name, result.verdict) == ("img2img-variation", "reported")
    assert result.member_scores.keys() == record.results[0].member_scores.keys()
    assert result.n_queries == service.asked == 16 * 2 * len(STRENGTHS)
    assert result.auc == 1.0
    assert record.verdict == record.results[0].verdict
    session = SessionRecord(privaudit_version="0", audits=[record])
    [read] = SessionRecord.from_json(session.to_json()).audits
    assert read.img2img == record.img2img
    missing = NotCompleted(scenario="img2img", attack="variation", outcome="error", reason="cut")
    part = record.model_copy(update={"img2img": [], "not_completed": [missing]})
    whole = part.merged(record).sorted(["img2img-variation"])
    assert (whole.img2img, whole.not_completed) == (record.img2img, [])
    assert record.model_copy(update={"results": [], "weights": []}).captured_img2img is None


def test_where_pictures_are_taken_the_budget_holds_too(emoji: dict[str, Any]) -> None:
    more = {**HANDED_IN, "img2img": False, "release": "img2img"}
    record = audited(emoji, Service(emoji["member"]), **more)
    assert [r.verdict for r in record.img2img] == ["inconclusive"]
    assert record.img2img[0].auc > record.img2img[0].budget
    assert (record.verdict, record.n_over) == ("inconclusive", 1)
    assert audited(emoji, Service([]), **more).verdict == "pass"


@pytest.mark.parametrize(
    ("given", "asked", "decides"),
    [
        ({}, [], []),
        ({"img2img": True}, ["img2img-variation"], []),
        ({"release": "img2img"}, ["img2img-variation"], ["img2img"]),
        (
            {"release": "img2img", "white_box": "pia"},
            ["img2img-variation", "weights-pia"],
            ["img2img"],
        ),
        ({"release": "weights"}, ["weights-denoising"], ["img2img", "weights"]),
        (
            {"release": "weights", "img2img": True},
            ["img2img-variation", "weights-denoising"],
            ["img2img", "weights"],
        ),
    ],
)
def test_a_wider_release_lets_the_narrower_accesses_decide_that_were_asked(
    given: dict[str, Any], asked: list[str], decides: list[str]
) -> None:
    settings = AuditSettings(scenarios="I", attacks="threshold", **given)
    assert [f"{access}-{attack}" for access, attack in settings.asked_results[1:]] == asked
    assert [access for access in ("img2img", "weights") if settings.decides(access)] == decides


def test_what_the_base_gives_back_is_taken_off(emoji: dict[str, Any]) -> None:
    """A base that was trained on all of them gives nobody away, and a service like it neither."""
    everyone = [*emoji["member"], *emoji["non_member"]]
    base, some = Service(everyone, "base"), Service(emoji["non_member"][::2], "base 2")
    own = audited(emoji, Service(emoji["member"]), **HANDED_IN).img2img[0]
    over = audited(emoji, Service(emoji["member"]), base=base, **HANDED_IN).img2img[0]
    scores = {**own.member_scores, **own.non_member_scores}
    less = {**over.member_scores, **over.non_member_scores}
    theirs = audited(emoji, base, **HANDED_IN).img2img[0]
    known = {**theirs.member_scores, **theirs.non_member_scores}
    assert {i: round(scores[i] - known[i], 6) for i in scores} == {
        i: round(less[i], 6) for i in less
    }
    without = audited(
        emoji, Service(emoji["member"]), base=some, base_calibration=False, **HANDED_IN
    )
    assert without.img2img[0].member_scores == own.member_scores


def test_a_plan_counts_the_pictures_that_are_drawn_anew(emoji: dict[str, Any]) -> None:
    from privaudit.store import Store

    service, base = Service(emoji["member"]), Service([], "base")
    sets = (emoji["member"][:8], emoji["non_member"][:8])
    inputs = AuditInputs(service, *sets, PixelEncoder(), base_model=base)
    common = {"scenarios": "I", "attacks": "threshold", "duplicate_limit": 2}
    store = Store(None)
    audit = Audit(inputs, AuditSettings(img2img=True, queries=1, **common), store)
    planned = audit.estimate(Estimate(store), scenario="img2img")
    assert planned.n_new == 2 * 16 * len(STRENGTHS)
    said = f"handed pictures: {16 * len(STRENGTHS)} to generate"
    assert sum(said in line for line in planned.lines()) == 2
    assert service.asked == 0
    service.drawn = base.drawn = 0
    audit.result("img2img", "variation")
    assert max(service.drawn, base.drawn) < 16  # two pictures tell whether it is its own base
    assert service.asked == base.asked == 16 * len(STRENGTHS)
    assert audit.estimate(Estimate(store), scenario="img2img").n_new == 0


def test_a_target_that_takes_no_picture_is_an_error(emoji: dict[str, Any]) -> None:
    with pytest.raises(GeneratorError, match=r"MemorizingTarget takes no picture .*leave img2img"):
        audited(emoji, MemorizingTarget(emoji["member"]), **HANDED_IN)


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
    assert any(
        "weights-sima; so many samples" in line
        for line in render([record], width=400, verbose=True)
    )


def test_a_green_says_that_it_was_asked_by_text_alone(record: AuditRecord) -> None:
    passing = [one.model_copy(update={"verdict": "pass"}) for one in record.results]
    by_text = record.model_copy(update={"results": passing, "weights": [], "img2img": []})
    [line] = access_lines(by_text)
    assert line.startswith(
        "only attackers who ask by text were audited: whoever may hand pictures in"
    )
    red = [one.model_copy(update={"verdict": "fail"}) for one in record.results]
    for other in ({"results": red}, {"weights": record.weights}):
        lines = list(access_lines(by_text.model_copy(update=other)))
        assert not any("who ask by text" in each for each in lines)


def test_a_green_says_what_the_strongest_attack_sees_in_the_same_pictures(
    record: AuditRecord,
) -> None:
    passing = [one.model_copy(update={"verdict": "pass"}) for one in record.results]
    seen = BlindBaseline(auc=0.524, interval=Interval(low=0.4, high=0.65, confidence=0.95))
    validity = record.validity.model_copy(update={"stronger": {"attack-I-combined": seen}})
    update = {"results": passing, "weights": [], "img2img": [], "validity": validity}
    green = record.model_copy(update=update)
    [line] = ruler_lines(green)
    assert "AUC attack-I 0.524, none shown" in line
    assert line in list(render([green], width=400, verbose=True))
    red = [passing[0].model_copy(update={"verdict": "fail"}), *passing[1:]]
    silent = validity.model_copy(update={"stronger": {}})
    for other in ({"results": red}, {"validity": silent}):
        assert not list(ruler_lines(green.model_copy(update=other)))


def test_a_sequential_audit_checks_a_claim_by_the_weights_all_the_same(
    emoji: dict[str, Any], target: Any
) -> None:
    [sima] = claimed(emoji, target, 40, "weights-sima", sequential=True).weights
    assert sima.epsilon is not None
    assert sima.epsilon.provable == largest_provable(40)
