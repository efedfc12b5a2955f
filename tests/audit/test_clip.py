"""A CLIP in whole audits: asked where it is named and read, and otherwise not even loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from privaudit import Audit, AuditInputs, AuditSettings
from privaudit.attacks import registry
from privaudit.audit import models
from privaudit.audit.baseline import needed
from privaudit.errors import SettingError
from privaudit.samples import split_by_coin
from privaudit.store import Store
from tests.parts.attacks import BY_CLIP
from tests.parts.clips import tiny_clip
from tests.parts.drawn import Model, Pixels, drawn_samples

SAMPLES = drawn_samples(80)
FIRST = registry.default_names()[0]
READER = next(
    entry.name for entry in registry.REGISTRY if entry.reads_clip and not entry.needs_clip
)
SETTINGS = AuditSettings(duplicate_limit=2.0, queries=2, scenarios="I")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_clip(tmp_path_factory.mktemp("clip")))


def audited(
    *attacks: str, clip: str | None, model: Any = None, store: Any = None, **changes: Any
) -> Audit:
    given = {
        "target_model": Model(SAMPLES[:40]) if model is None else model,
        "members": SAMPLES[:40],
        "non_members": SAMPLES[40:],
        "image_encoder": Pixels(),
        **{n: changes.pop(n) for n in ("members", "non_members", "base_model") if n in changes},
    }
    named = {} if clip is None else {"clip": clip}
    settings = SETTINGS.replace(
        **{"source": "command line", "attacks": ",".join(attacks), **named, **changes}
    )
    return Audit(AuditInputs(**given), settings, Store(None) if store is None else store)


def test_a_leak_is_seen_and_no_other_result_changes(folder: str) -> None:
    audit, plain = audited(FIRST, *BY_CLIP, clip=folder), audited(FIRST, clip=None)
    assert audit.result("I", BY_CLIP[0]).auc > 0.95
    one, other = audit.result("I", FIRST), plain.result("I", FIRST)
    assert one.member_scores == other.member_scores
    assert one.non_member_scores == other.non_member_scores
    assert "clip" not in plain.models.measurement.describe()
    document = json.loads(audit.record().to_json())
    assert document["settings"]["clip"] == folder
    said = document["provenance"]["models"]["measurement"]["clip"]
    assert said["name"] == folder
    assert len(said["identity"]) > 8


def test_without_a_name_it_is_refused_before_anything_is_drawn() -> None:
    model = Model(SAMPLES[:40])
    audit = audited(FIRST, *BY_CLIP, clip=None, model=model)
    with pytest.raises(SettingError, match=f"{BY_CLIP[0]} compares .* --privaudit-clip="):
        audit.models.target  # noqa: B018  # before a shadow is fine-tuned, or a caption is written
    with pytest.raises(SettingError, match=BY_CLIP[0]):
        audit.result("I", FIRST)
    assert model.calls == 0


def test_where_nothing_reads_it_it_is_not_loaded_and_said() -> None:
    audit = audited(FIRST, clip="/nowhere/at/all")
    plain = audited(FIRST, clip=None)
    assert audit.result("I", FIRST).member_scores == plain.result("I", FIRST).member_scores
    assert audit.models.measurement.identity == plain.models.measurement.identity
    assert any(models.IDLE in note for note in audit.models.notes())
    assert audit.record().settings["clip"] is None
    assert "clip" in audit.record().settings["without_effect"]


def test_an_audit_file_that_sets_what_nothing_reads_is_refused() -> None:
    with pytest.raises(SettingError, match=r"clip of privacy_budget.*reads what a CLIP sees"):
        audited(FIRST, clip="/nowhere/at/all", source="marker").result("I", FIRST)


def test_the_combined_model_reads_it_too_with_what_it_is_over_the_base(folder: str) -> None:
    base = Model([], 3)
    found = audited(READER, clip=folder, base_model=base).result("I", READER)
    assert {"clip", "clip over base"} <= set(found.blocks)
    assert "clip" not in audited(READER, clip=None).models.measurement.describe()


@pytest.mark.slow  # three audits
def test_a_store_has_the_images_and_a_second_audit_draws_nothing(
    folder: str, tmp_path: Path
) -> None:
    store, model = Store(tmp_path), Model(SAMPLES[:40])
    audited(FIRST, clip=None, model=model, store=store).result("I", FIRST)
    model.calls = 0
    first = audited(*BY_CLIP, clip=folder, model=model, store=store).result("I", BY_CLIP[0])
    again = audited(*BY_CLIP, clip=folder, model=model, store=store).result("I", BY_CLIP[0])
    assert model.calls == 0
    assert first.member_scores == again.member_scores


def test_a_comparison_with_another_clip_is_not_the_same_measurement() -> None:
    facts = {"clip": "one", "pool": {}, "base model asked": False}
    assert "clip" in needed(facts, "attack-I", BY_CLIP[0])
    assert "clip" in needed(facts, "attack-I", READER)
    assert "clip" not in needed(facts, "attack-I", FIRST)


@pytest.mark.slow  # ten audits
def test_over_many_coins_a_model_that_remembers_nobody_is_at_chance(folder: str) -> None:
    aucs = []
    for seed in range(10):
        samples = drawn_samples(120, 10 + seed)
        members, others = split_by_coin(samples, seed)
        model = Model([], seed)
        audit = audited(
            *BY_CLIP,
            clip=folder,
            model=model,
            members=members,
            non_members=others,
            seed=seed,
            budget=1,
        )
        aucs.append(audit.result("I", BY_CLIP[0]).auc)
    assert abs(np.mean(aucs) - 0.5) < 3 * 0.075 / np.sqrt(10)
