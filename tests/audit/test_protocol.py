"""``protocol="paper"``: I and II calibrate on a shadow model that was fine-tuned on known members."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import privaudit
from privaudit import Audit, AuditInputs, AuditSettings, statistics
from privaudit.audit.baseline import differences, needed
from privaudit.audit.models import Models
from privaudit.errors import BaselineError, SampleError, SettingError
from privaudit.record import AuditRecord
from privaudit.report.terminal import render
from privaudit.store import Store
from tests.parts.drawn import Model, Pixels, audit, drawn_samples
from tests.parts.encoders import PixelEncoder

SAMPLES = drawn_samples(80)
MEMBERS, NON_MEMBERS = SAMPLES[:40], SAMPLES[40:]
AUXILIARY = drawn_samples(24, seed=1)


class Recipe:
    """A ``fine_tune`` whose model remembers all that it is given, and which notes what that was."""

    fingerprint = "remembers all"

    def __init__(self) -> None:
        self.given: list[list[str]] = []

    def __call__(self, samples: list[privaudit.Sample]) -> Model:
        self.given.append([sample.id for sample in samples])
        return Model(samples)


def ids(samples: Any) -> list[str]:
    return [sample.id for sample in samples]


def inputs(recipe: Any, **changes: Any) -> AuditInputs:
    values = {
        "target_model": Model(MEMBERS),
        "members": MEMBERS,
        "non_members": NON_MEMBERS,
        "image_encoder": Pixels(),
        "captioner": lambda images: ["a picture"] * len(images),
        "fine_tune": recipe,
        **changes,
    }
    return AuditInputs(**values)


PAPER = AuditSettings(
    protocol="paper", queries=1, attacks="threshold", gate="evidence", duplicate_limit=2
)


# ---------------------------------------------------------------------------- who is in which set


@hypothesis_settings(max_examples=40)
@given(
    n_members=st.integers(2, 40),
    n_non_members=st.integers(2, 40),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 2**31),
    auxiliary=st.booleans(),
    scenario=st.sampled_from(["I", "II"]),
)
def test_who_is_evaluated_calibrated_nothing_and_trained_nothing(
    *,
    n_members: int,
    n_non_members: int,
    share: float,
    seed: int,
    auxiliary: bool,
    scenario: str,
) -> None:
    recipe = Recipe()
    more = AUXILIARY if auxiliary else None
    members, non_members = MEMBERS[:n_members], NON_MEMBERS[:n_non_members]
    changes = {"members": members, "non_members": non_members, "auxiliary_samples": more}
    settings = PAPER.replace(calibration=share, seed=seed)
    models = Models(inputs(recipe, **changes), settings, Store(None))
    try:
        sets = models.sets(scenario)
    except SampleError:
        assert not recipe.given  # so few cannot be split, which is found before the fine-tune
        return
    known, asked = sets.calibration, sets.evaluation
    [trained] = recipe.given
    assert trained == ids(known.members)
    seen = {*trained, *ids(known.samples)}
    assert seen.isdisjoint(ids(asked.samples))
    # Nobody is lost: a sample of the audit is known to the attacker, or it is evaluated.
    for side, (left, right) in zip(
        (members, non_members),
        ((asked.members, known.members), (asked.non_members, known.non_members)),
        strict=True,
    ):
        own = set(ids(side))
        assert set(ids(left)) | (set(ids(right)) & own) == own
        assert set(ids(right)) & own
        assert set(ids(right)) - own <= set(ids(AUXILIARY if auxiliary else []))
    assert set(trained).isdisjoint(ids(non_members))  # what it does not know, it was not taught
    assert asked.target is models.target
    assert known.target is not models.target
    assert (known.role, asked.role) == ("paper_shadow_model", "target_model")


def test_both_scenarios_share_one_shadow_model_and_three_has_another() -> None:
    recipe = Recipe()
    models = Models(inputs(recipe, auxiliary_samples=AUXILIARY), PAPER, Store(None))
    sets = {name: models.sets(name).calibration for name in ("I", "II", "III", "IV")}
    assert sets["I"].target is sets["II"].target
    assert sets["III"].target is sets["IV"].target
    assert len(recipe.given) == 2
    heads = ids(sets["III"].members)
    assert ids(sets["I"].members)[-len(heads) :] == heads
    assert len(sets["I"].members) == 20 + len(heads)


@pytest.mark.parametrize("scenario", ["III", "IV"])
def test_the_protocol_changes_nothing_for_who_knows_no_member(scenario: str) -> None:
    found = []
    for protocol in ("target", "paper"):
        settings = PAPER.replace(protocol=protocol)
        models = Models(inputs(Recipe(), auxiliary_samples=AUXILIARY), settings, Store(None))
        one = models.sets(scenario)
        found.append((*map(ids, (one.calibration.members, one.evaluation.samples)), one.prompts))
    assert found[0] == found[1]


def test_a_sample_that_would_train_and_be_evaluated_is_found_first() -> None:
    recipe = Recipe()
    twin = privaudit.Sample(MEMBERS[0].image.copy(), "other words", id="twin")
    changes = {"members": [MEMBERS[0], twin], "non_members": NON_MEMBERS}
    # Two members, one of which trains the shadow: whichever it is, its twin is evaluated.
    model = Model(MEMBERS)
    models = Models(
        inputs(recipe, target_model=model, **changes), PAPER.replace(calibration=1), Store(None)
    )
    with pytest.raises(SampleError, match="of the evaluation set is the same image"):
        models.sets("I")
    with pytest.raises(SampleError, match="is in both"):
        Models(
            inputs(recipe, auxiliary_samples=[*AUXILIARY, MEMBERS[30]]), PAPER, Store(None)
        ).sets("I")
    assert model.calls == 0
    assert not recipe.given  # found before the time that a fine-tune takes


def test_known_members_need_the_captions_that_they_are_trained_with() -> None:
    silent = [privaudit.Sample(s.image, " ", id=s.id) for s in MEMBERS]
    recipe = Recipe()
    models = Models(inputs(recipe, members=silent), PAPER, Store(None))
    with pytest.raises(SampleError, match="of the known members has an empty caption"):
        models.sets("II")
    assert not recipe.given


# ---------------------------------------------------------------------------- what it finds


@pytest.mark.parametrize(("remembered", "least", "most"), [(MEMBERS, 1, 1), ([], 0.2, 0.8)])
def test_the_target_is_what_is_judged(remembered: Any, least: float, most: float) -> None:
    """Its shadow remembers whom it was given: nobody else, and those are not evaluated."""
    one = Audit(inputs(Recipe(), target_model=Model(remembered)), PAPER, Store(None))
    sets = one.sets("I")
    scores = one.scorer(sets).scores("threshold", sets.calibration, sets.evaluation)
    assert least <= statistics.auc(scores.members, scores.non_members) <= most
    assert len(scores.members) == 20


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> AuditRecord:
    """Return a small audit in the paper's protocol, whose store cannot keep its shadow model."""
    given = {"members": MEMBERS[:12], "non_members": NON_MEMBERS[:12]}
    one = Audit(
        inputs(Recipe(), **given),
        PAPER,
        Store(tmp_path_factory.mktemp("store")),
        scenarios=("I",),
    )
    one.result("I", "threshold")
    return one.record()


def of_target(paper: AuditRecord) -> AuditRecord:
    """Return the same record, as if the target had calibrated."""
    return paper.model_copy(update={"settings": {**paper.settings, "protocol": "target"}})


def test_the_record_and_the_terminal_say_which_protocol_ran(paper: AuditRecord) -> None:
    assert paper.settings["protocol"] == "paper"
    ran = paper.provenance
    assert ran is not None
    assert "paper_shadow_model" in ran.models
    assert ran.samples["paper_shadow_members"].count == 6
    assert ran.samples["paper_shadow_non_members"].count == 6
    asked = {"paper_shadow_model by caption": 12, "target_model by caption": 12}
    assert ran.images.asked == asked
    said, own = (
        "\n".join(render([record], width=400, verbose=True)) for record in (paper, of_target(paper))
    )
    assert "; I calibrates as in the paper, on a shadow model fine-tuned on known members\n" in said
    assert "; I calibrates on known members of the target itself\n" in own


def test_a_shadow_model_that_cannot_be_kept_is_said(paper: AuditRecord) -> None:
    [note] = [note for note in paper.notes if "made again" in note]
    assert note.startswith("the shadow model of I and II is made again in each session: a Model ")


def test_two_protocols_are_not_compared(paper: AuditRecord) -> None:
    with pytest.raises(BaselineError, match="protocol is paper, and was target"):
        privaudit.compare(of_target(paper), paper)
    assert privaudit.compare(paper, paper).results


def test_older_baselines_are_of_the_protocol_that_there_was() -> None:
    old, own, paper = {"queries": 3}, {"queries": 3, "protocol": "target"}, {"protocol": "paper"}
    assert differences(old, own) == {}
    assert differences(old, {**old, **paper}) == {"protocol": ("target", "paper")}
    for scenario, kept in (("I", True), ("II", True), ("III", False), ("IV", False)):
        assert ("protocol" in needed(own, f"attack-{scenario}", "threshold")) == kept


# ---------------------------------------------------------------------------- what it costs


def test_the_plan_counts_the_images_of_the_shadow_model_before_it_is_made() -> None:
    recipe = Recipe()
    one = Audit(inputs(recipe), PAPER.replace(queries=2), Store(None), name="faces")
    estimate = one.estimate(scenario="I")
    assert estimate.n_new == 2 * (40 + 40)
    lines = list(estimate.lines())
    assert "  paper_shadow_model of faces: 80 to generate, 0 in the store" in lines
    assert "  target_model of faces: 80 to generate, 0 in the store" in lines
    assert "  paper_shadow_model of faces is fine-tuned first, which takes time of its own" in lines
    assert not recipe.given


# ---------------------------------------------------------------------------- what it lacks


def test_without_a_recipe_all_that_is_lacking_is_one_typed_error() -> None:
    model = Model(MEMBERS)
    shadow = (Model(AUXILIARY[:12]), AUXILIARY[:12], AUXILIARY[12:])
    with pytest.raises(SettingError) as raised:
        audit(model, SAMPLES, protocol="paper", scenarios="I,II,III", shadow=shadow)
    said = str(raised.value)
    assert said.startswith("attack-I and attack-II cannot be asked without fine_tune, captioner: ")
    assert "protocol=paper (argument)" in said
    assert "a shadow_model that was trained on others cannot stand in for it" in said
    assert "leave protocol at target" in said
    assert model.calls == 0
    one = Audit(inputs(None), PAPER)
    with pytest.raises(SettingError, match="attack-I cannot be asked without fine_tune: "):
        one.result("I", "threshold")
    assert one.models.scenarios == ()


# ---------------------------------------------------------------------------- a real pipeline


@pytest.mark.slow  # a fine-tune that memorises: a minute of one core
def test_what_a_real_shadow_model_learnt_finds_the_members_of_a_real_target(
    tmp_path: Path, emoji: dict[str, Any]
) -> None:
    """The target is the audits' own over-fitted model, its shadow a fine-tune on 12 of its members."""
    import emoji_sets

    base, made = emoji_sets.MODELS / "base", []

    def memorise(samples: Any) -> Any:
        made.append(ids(samples))
        return privaudit.finetune(
            privaudit.load_pipeline(base, device="cpu"),
            samples,
            method="full",
            steps=200,
            batch_size=6,
            learning_rate=1e-3,
            lr_scheduler="cosine",
            progress=False,
        )

    memorise.fingerprint = "200 steps"  # type: ignore[attr-defined]
    unet = emoji_sets.MODELS / "overfit" / "unet"
    members, non_members = emoji["member"][:24], emoji["non_member"][:24]
    settings = PAPER.replace(
        num_inference_steps=10, guidance_scale=3.0, gate="point", blind_limit=1
    )
    records, store = [], tmp_path / "store"
    for _ in range(2):
        given = AuditInputs(
            privaudit.SavedPipeline(base, unet=unet, device="cpu"),
            members,
            non_members,
            image_encoder=PixelEncoder(),
            fine_tune=memorise,
        )
        one = Audit(given, settings, Store(store), scenarios=("I",))
        assert one.result("I", "threshold").auc > 0.85
        records.append(one.record())
    # The second session made nothing and asked nothing, and found the same.
    assert len(made) == 1
    [first], [second] = (record.results for record in records)
    assert first == second
    assert [r.provenance.images.generated for r in records if r.provenance][1] == 0
    assert first.verdict != "pass"
    assert {*made[0], *first.member_scores} == {*ids(members)}
    assert set(made[0]).isdisjoint(first.member_scores)
    # The shadow tells its own members too, and its line divides those of the target.
    sets = one.sets("I")
    own = one.scorer(sets).scores("threshold", sets.calibration, sets.evaluation)
    assert statistics.auc(own.calibration[:12], own.calibration[12:]) > 0.65
    assert first.success_rate.value > 0.65
