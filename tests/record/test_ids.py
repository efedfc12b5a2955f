"""Sample ids that are hashed: in every place of a record, and the same in each session."""

from __future__ import annotations

import pytest

from privaudit.record import ExposedMember, NearDuplicate, SessionRecord, Validity, hash_ids
from privaudit.store import seals
from tests.parts.audit_folder import LEAKING, AuditFolder
from tests.parts.documents import read_session
from tests.record.test_schema import part, result

NAMES = ("anna.png", "o'brien \u00e9.png", "somebody else", "auc", "1")


def record() -> SessionRecord:
    first, second, third, fourth, fifth = NAMES
    pair = NearDuplicate(
        first=first, second=second, first_set="members", second_set="non_members", cosine=0.99
    )
    one = result(
        member_scores={first: 0.1, fourth: 0.2},
        non_member_scores={second: 0.3, fifth: 0.4},
        exposed=[ExposedMember(id=first, score=0.1, p_value=0.5)],
    )
    validity = Validity(
        near_duplicates=[pair],
        reasons=[f"{first!r} and {second!r} look alike", f"{third!r} is in no set"],
    )
    return SessionRecord(privaudit_version="1", audits=[part("a", one, validity=validity)])


def test_no_id_is_left_and_nothing_else_is_changed() -> None:
    names = {one: f"hash{i}" for i, one in enumerate(NAMES)}
    hashed = hash_ids(record(), names.__getitem__)
    text = hashed.to_json()
    for name in NAMES[:2]:
        assert name not in text
    [audit] = hashed.audits
    assert list(audit.results[0].member_scores.items()) == [("hash0", 0.1), ("hash3", 0.2)]
    assert list(audit.results[0].non_member_scores) == ["hash1", "hash4"]
    assert audit.results[0].exposed[0].id == "hash0"
    assert audit.validity is not None
    assert (audit.validity.near_duplicates[0].first, audit.validity.near_duplicates[0].second) == (
        "hash0",
        "hash1",
    )
    assert audit.validity.reasons[0] == "'hash0' and \"hash1\" look alike"
    assert audit.validity.reasons[1] == "'somebody else' is in no set"
    back = {name: one for one, name in names.items()}
    assert hash_ids(hashed, back.__getitem__) == record()


def test_a_hash_is_the_same_each_time_and_needs_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    one = seals.get_id_names()("anna.png")
    assert seals.get_id_names()("anna.png") == one
    assert len(one) == 20
    monkeypatch.setenv(seals.VARIABLE, "the key of somebody else")
    assert seals.get_id_names()("anna.png") != one


def test_a_session_writes_hashed_ids(plain_folder: AuditFolder) -> None:
    test = (
        "def test_leak(membership_attack, members):\n"
        "    text = '\\n'.join(sample.id for sample in members)\n"
        "    open('ids.txt', 'w').write(text)"
    )
    plain_folder.write(LEAKING, test)
    picked = ["--privaudit-scenarios=I", "--privaudit-attacks=threshold"]
    plain_folder.run(*picked, "--privaudit-json=out.json", "--privaudit-record-ids=hashed")
    text = (plain_folder.path / "out.json").read_text()
    names = (plain_folder.path / "ids.txt").read_text().split("\n")
    assert len(names) > 5
    assert not [name for name in names if f'"{name}"' in text]
    [audit] = read_session(plain_folder.path / "out.json").audits
    assert len(audit.results[0].member_scores) > 5
