"""What a ``privacy_claim`` marker claims of an audit's model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from privaudit.record import Claim

__all__ = ["claim_of"]


def claim_of(marked: Mapping[str, Any], model: Any) -> Claim:
    """Return a claim; where the marker names no numbers, with those that the model came with.

    Parameters
    ----------
    marked
        What the marker says.
    model
        The target, as its fixture returned it.

    Raises
    ------
    StatementError
        If what the fine-tune wrote beside the weights cannot be trusted.
    """
    from privaudit.record import Claim

    if "epsilon" in marked:
        return Claim(**marked)
    from privaudit.targets.statement import statement_of

    stated = statement_of(model)
    if stated is None:
        pytest.fail(
            "privacy_claim() names no numbers, and nothing beside the weights of target_model says "
            "what its training did: write privacy_claim(epsilon, delta), or save what "
            "privaudit.finetune returned with its save(folder)",
            pytrace=False,
        )
    return Claim(**marked, epsilon=stated.epsilon, delta=stated.delta)
