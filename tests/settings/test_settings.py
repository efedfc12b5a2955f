"""Settings: one list, two kinds, each value with where it was set."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privaudit.errors import SettingError
from privaudit.settings import OPTIONS, AuditSettings, SessionSettings, resolve_settings


def test_every_option_belongs_to_one_of_the_two() -> None:
    names = [option.name for kind in (AuditSettings, SessionSettings) for option in kind.options]
    assert sorted(names) == sorted(option.name for option in OPTIONS)
    for kind in (AuditSettings, SessionSettings):
        declared = {n for n in kind.__annotations__ if n != "options"}
        assert declared == {option.name for option in kind.options}


def test_defaults_are_those_of_the_list() -> None:
    values = {**AuditSettings().values(), **SessionSettings().values()}
    assert values == {option.name: option.default for option in OPTIONS}


def test_the_default_of_each_setting_may_be_named() -> None:
    named = {option.name: option.unset for option in OPTIONS if option.unset == "none"}
    assert "clip" in named
    audit, _ = resolve_settings(named, {})
    assert audit.clip is None


def test_settings_are_frozen_and_equal_by_value() -> None:
    settings = AuditSettings(max_auc=0.7)
    with pytest.raises(AttributeError, match="replace"):
        settings.budget = 0.8
    assert settings == AuditSettings(budget=0.7)
    assert hash(settings) == hash(AuditSettings(budget=0.7))
    assert settings != AuditSettings()
    assert settings.replace(queries=5).budget == 0.7


def test_where_a_value_was_set_is_known() -> None:
    audit, _ = resolve_settings(
        {"budget": "0.7", "seed": "3"}, {"num_inference_steps": "5", "budget": "0.8"}
    )
    marked = audit.with_marker((0.9,), {"queries": 2})
    assert marked.budget == 0.9
    sources = {n: marked.source(n) for n in ("budget", "seed", "num_inference_steps", "queries")}
    assert sources == {
        "budget": "marker",
        "seed": "command line",
        "num_inference_steps": "ini",
        "queries": "marker",
    }
    assert marked.source("gate") == "default"


@pytest.mark.parametrize(
    "given_",
    [{"no_such": 1}, {"budget": 0.2}, {"json": "x"}, {"seed": "1.5"}],
)
def test_a_bad_setting_is_a_typed_error(given_: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        AuditSettings(**given_)


def test_two_names_of_one_setting_are_an_error() -> None:
    with pytest.raises(SettingError, match=r"budget and .*max_auc are one setting: name it once"):
        AuditSettings(budget=0.99, max_auc=0.6)
    with pytest.raises(
        SettingError, match=r"privacy_budget\(budget=…\) and privacy_budget\(max_auc"
    ):
        AuditSettings().with_marker((), {"max_auc": 0.6, "budget": 0.99})


def test_a_rate_is_written_with_its_share() -> None:
    audit, _ = resolve_settings({"max_tpr": "0.05@0.1"}, {"max_tpr": "0.5@0.2"})
    assert (audit.max_tpr, audit.at_fpr) == (0.05, 0.1)
    assert AuditSettings(max_tpr="0.05@0.1") == audit
    assert AuditSettings().with_marker((), {"max_tpr": "0.05@0.1"}) == audit


@pytest.mark.parametrize(
    ("engine", "ray"),
    [
        ("local", None),
        ("ray", (None, None)),
        ("ray?workers=4", (None, 4)),
        ("ray://host:10001?workers=2", ("ray://host:10001", 2)),
    ],
)
def test_an_engine_says_where_and_with_how_many(engine: str, ray: object) -> None:
    assert SessionSettings(engine=engine).ray == ray


@given(st.floats(0.501, 1), st.integers(1, 50), st.sampled_from(["point", "evidence", "certify"]))
def test_parsing_what_was_parsed_changes_nothing(budget: float, m: int, gate: str) -> None:
    settings = AuditSettings(budget=budget, queries=m, gate=gate)
    assert AuditSettings(**settings.values()) == settings
    assert settings.replace() == settings
