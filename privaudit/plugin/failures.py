"""The failures that the plugin itself decides on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from privaudit.record import AuditRecord

__all__ = [
    "AuditInconclusive",
    "AuditInvalid",
    "GateFailure",
    "PrivacyBudgetExceeded",
    "PrivacyClaimExceeded",
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
