"""Who is exposed: members who stand out one by one, and groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from privaudit import AuditInputs, AuditSettings, make_canaries
from privaudit.audit.results import exposed, group_aucs
from privaudit.errors import SampleError, SettingError
from privaudit.statistics import exposed_members
from privaudit.store import Store
from privaudit.testing import MemorizingTarget
from tests.parts.audits import one_result
from tests.parts.encoders import PixelEncoder


def test_of_a_clean_model_nobody_is_named_more_often_than_is_said() -> None:
    draws = np.random.default_rng(0)
    named = [
        bool(exposed_members(draws.normal(size=40), draws.normal(size=1000)).any())
        for _ in range(600)
    ]
    assert 0 < np.mean(named) < 0.05 + 3 * (0.05 * 0.95 / 600) ** 0.5


def test_few_of_those_named_are_named_by_chance() -> None:
    draws = np.random.default_rng(1)
    shares, found = [], []
    for _ in range(200):
        scores = draws.normal(size=100)
        scores[:30] += 4
        named = exposed_members(scores, draws.normal(size=2000))
        shares.append(named[30:].sum() / max(1, named.sum()))
        found.append(named[:30].mean())
    assert np.mean(shares) <= 0.05
    assert np.mean(found) > 0.7


def test_the_highest_come_first_and_everybody_above_is_named() -> None:
    others = {f"n{i}": i / 100 for i in range(99)}
    found = exposed({"a": 3.0, "b": 5.0, "c": 0.2, "d": 4.0}, others, 0.95)
    assert [(one.id, one.p_value) for one in found] == [("b", 0.01), ("d", 0.01), ("a", 0.01)]
    assert exposed({"c": 0.2}, others, 0.95) == []
    with pytest.raises(SettingError, match="false_share=1"):
        exposed_members([1], [0], 1)


def test_each_group_has_an_auc_of_its_own() -> None:
    inside = {"a": 3.0, "b": 2.0, "c": 0.0, "d": 1.0, "e": 9.0}
    outside = {"f": 0.0, "g": 1.0, "h": 2.0, "i": 3.0}
    groups = {"a": "x", "b": "x", "f": "x", "g": "x", "c": "y", "d": "y", "h": "y", "i": "y"}
    low, high, few = group_aucs(inside, outside, {**groups, "e": "zz"}, 0.95)
    assert (low.group, low.auc, high.group, high.auc) == ("x", 1.0, "y", 0.0)
    assert (few.group, few.auc, few.evaluation.members) == ("zz", None, 1)
    alone = group_aucs(inside, outside, {k: v for k, v in groups.items() if v == "x"}, 0.95)[0]
    assert low.interval is not None
    assert alone.interval is not None
    assert alone.interval.low > low.interval.low


class Forgetful(MemorizingTarget):
    """Remembers only what it was shown sixteen times."""

    def __init__(self, canaries: Any) -> None:
        super().__init__([s for s in canaries.members if canaries.exposures[s.id] == 16])


def test_canaries_are_grouped_by_exposure_and_others_as_somebody_says() -> None:
    canaries = make_canaries(120, seed=4, size=32)
    given = {
        "target_model": Forgetful(canaries),
        "members": canaries.members,
        "non_members": canaries.non_members,
        "image_encoder": PixelEncoder(),
        "coin_split": canaries,
    }
    settings = AuditSettings(
        queries=1, scenarios="I", attacks="threshold", duplicate_limit=2, calibration=0.3
    )
    found = one_result("I", "threshold", AuditInputs(**given), settings, Store(None))
    aucs = {group.group: group.auc for group in found.groups}
    assert set(aucs) == {"exposure 1", "exposure 4", "exposure 16"}
    assert aucs["exposure 16"] == 1.0
    assert max(aucs["exposure 1"] or 1, aucs["exposure 4"] or 1) < 0.8
    assert {canaries.exposures[one.id] for one in found.exposed} <= {16}
    with pytest.raises(SampleError, match="sample_groups is a dict that knows none of 120"):
        one_result(
            "I",
            "threshold",
            AuditInputs(**given, sample_groups={"nobody": 1}),
            settings,
            Store(None),
        )
