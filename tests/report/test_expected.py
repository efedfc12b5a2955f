"""A failure that its own test expects is recorded as expected, and no other is."""

from __future__ import annotations

from tests.parts.audit_folder import GATED, LEAKING, SAFE, AuditFolder
from tests.parts.documents import read_session

XFAIL = "@pytest.mark.xfail(raises=privaudit.PrivacyBudgetExceeded, strict=False)"
ARGUMENTS = ("--privaudit-json=out.json", "--privaudit-scenarios=I,III")


def test_the_record_has_which_failures_were_expected(audit_folder: AuditFolder) -> None:
    one = ("--privaudit-attacks=threshold", *ARGUMENTS)
    audit_folder.write(LEAKING, XFAIL, GATED)
    audit_folder.run(*one)
    (audit,) = read_session(audit_folder.path / "out.json").audits
    assert audit.expected == ["attack-I-threshold", "attack-III-threshold"]
    assert audit.unexpected == []
    audit_folder.write(LEAKING, GATED)
    audit_folder.run(*one)
    (audit,) = read_session(audit_folder.path / "out.json").audits
    assert audit.expected == []
    assert audit.unexpected == ["attack-I-threshold", "attack-III-threshold"]


def test_a_pass_that_was_expected_to_fail_is_none(plain_folder: AuditFolder) -> None:
    plain_folder.write(SAFE, XFAIL, GATED)
    plain_folder.run("--privaudit-attacks=threshold", "--privaudit-budget=0.99", *ARGUMENTS)
    (audit,) = read_session(plain_folder.path / "out.json").audits
    assert audit.verdict == "pass"
    assert audit.expected == []
    assert audit.unexpected == []
