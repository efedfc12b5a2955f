"""Whether anything in an audit can check what is claimed of its model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privaudit.attacks.registry import WEIGHTS
from privaudit.audit.scenarios import SCENARIOS
from privaudit.errors import SettingError

if TYPE_CHECKING:
    from privaudit.record import Claim
    from privaudit.samples import CoinSplit
    from privaudit.settings import AuditSettings

__all__ = ["check_claim"]


def check_claim(claim: Claim, coin_split: CoinSplit | None, settings: AuditSettings) -> None:
    """Refuse a claim that no result of the audit could refute: it would pass unseen.

    Parameters
    ----------
    claim
        What is claimed, and by which result it is checked.
    coin_split
        How membership was decided, if it was by coins.
    settings
        Of the audit.

    Raises
    ------
    SettingError
        If nothing checks the claim.
    """
    scenario, _, attack = (claim.attack or "").partition("-")
    by_weights = scenario == WEIGHTS
    unseen = settings.sequential or all(SCENARIOS[s].knows_members for s in settings.scenarios)
    if unseen and not by_weights:
        msg = (
            "a privacy_claim is checked by attack-III and attack-IV of an audit that is not "
            "sequential, and here are none: drop --privaudit-sequential, or add a scenario"
        )
        raise SettingError(msg)
    if by_weights and attack not in settings.weights_attacks:
        msg = (
            f"privacy_claim(attack={claim.attack!r}) is checked by an attack on the weights that "
            f"this audit does not run: add it to white_box, which is "
            f"{','.join(settings.weights_attacks) or 'none'}"
        )
        raise SettingError(msg)
    known = scenario in settings.scenarios and attack in settings.attacks
    if claim.attack is not None and not by_weights and not known:
        msg = (
            f"privacy_claim(attack={claim.attack!r}) is checked by a result that this audit does "
            f"not have: add it to scenarios and attacks, which are {','.join(settings.scenarios)} "
            f"and {','.join(settings.attacks)}"
        )
        raise SettingError(msg)
    if coin_split is None:
        msg = (
            "a privacy_claim without a coin_split cannot be checked: split with "
            "privaudit.split_by_coin, and return its result from a coin_split fixture"
        )
        raise SettingError(msg)
