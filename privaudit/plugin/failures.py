"""The failures that the plugin itself decides on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from privaudit.record import AttackResult, AuditRecord

__all__ = [
    "AlreadyDecided",
    "AuditInconclusive",
    "AuditInvalid",
    "GateFailure",
    "PrivacyBudgetExceeded",
    "PrivacyClaimExceeded",
    "PrivacyRegression",
    "failure_kind",
]


class GateFailure(pytest.fail.Exception):  # type: ignore[name-defined,misc]
    """Any failure that the plugin itself decided on: its message says all, without a traceback."""

    def __init__(self, message: str) -> None:
        super().__init__(message, pytrace=False)


class PrivacyBudgetExceeded(GateFailure):
    """The failure of a test whose membership attack went over the privacy budget.

    Use it in ``pytest.mark.xfail(raises=privaudit.PrivacyBudgetExceeded, strict=True)`` to
    expect a leak without hiding any other failure.
    """


class PrivacyClaimExceeded(PrivacyBudgetExceeded):
    """The failure of a test that found more ε than a ``privacy_claim`` marker claims."""


class PrivacyRegression(GateFailure):
    """The failure of a test whose model leaks more than that of the baseline.

    It is no :class:`PrivacyBudgetExceeded`: who expects a leak does not expect a larger one.
    """


class AuditInconclusive(GateFailure):
    """The failure of a test whose samples were too few for the gate to decide."""


class AuditInvalid(GateFailure):
    """The failure of a test from which nothing could be concluded, whatever the model.

    Attributes
    ----------
    record
        What was found out before that.
    """

    def __init__(self, message: str, record: AuditRecord | None = None) -> None:
        super().__init__(message)
        self.record = record


class AlreadyDecided(pytest.skip.Exception):  # type: ignore[name-defined,misc]
    """The skip of a result that a sequential audit does not need: another one had decided."""


def failure_kind(result: AttackResult) -> type[GateFailure]:
    """Return what a result is that did not pass.

    Parameters
    ----------
    result
        Whose verdict is not ``"pass"``.
    """
    if result.claim_exceeded:
        return PrivacyClaimExceeded
    if result.comparison is not None and result.comparison.verdict == "fail":
        return PrivacyRegression
    tpr = result.tpr_budget
    verdicts = {result.auc_verdict, "pass" if tpr is None else tpr.verdict}
    if verdicts == {"pass"}:
        return AuditInconclusive  # it is within its budget, and not known to be below the baseline
    # By the gate point an AUC over the budget is one, shown or not.
    point = result.gate == "point" and not result.sequential
    checked = tpr is None or tpr.point is not None
    over = "fail" in verdicts or (point and (checked or result.auc_verdict != "pass"))
    return PrivacyBudgetExceeded if over else AuditInconclusive
