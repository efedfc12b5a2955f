"""What a ``privacy_claim`` marker claims of an audit's model, and what can check it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from privaudit.record import Claim
    from privaudit.settings import AuditSettings

__all__ = ["check_claim", "claim_of"]


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


def check_claim(settings: AuditSettings, coin_split: Any, named: str | None) -> None:
    """Fail an item whose claim nothing in its audit can check."""
    from privaudit.audit.scenarios import SCENARIOS

    if settings.sequential or all(SCENARIOS[s].knows_members for s in settings.scenarios):
        pytest.fail(
            "a privacy_claim is checked by attack-III and attack-IV of an audit that is not "
            "sequential, and here are none: drop --privaudit-sequential, or add a scenario",
            pytrace=False,
        )
    if named is not None:
        scenario, _, attack = named.partition("-")
        if scenario not in settings.scenarios or attack not in settings.attacks:
            pytest.fail(
                f"privacy_claim(attack={named!r}) is checked by a result that this audit does not "
                f"have: add it to scenarios and attacks, which are {','.join(settings.scenarios)} "
                f"and {','.join(settings.attacks)}",
                pytrace=False,
            )
    if coin_split is None:
        pytest.fail(
            "a privacy_claim without a coin_split cannot be checked: split with "
            "privaudit.split_by_coin, and return its result from a coin_split fixture",
            pytrace=False,
        )
