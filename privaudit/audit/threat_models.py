"""The threat models: what an attacker knows of the target, and what it may touch."""

from __future__ import annotations

from dataclasses import dataclass

from privaudit.attacks.registry import ACCESSES

__all__ = ["ATTACKERS", "PAPER_SHADOW_MODEL", "SCENARIOS", "SHADOW_MODEL", "Scenario", "attacker"]


SHADOW_MODEL, PAPER_SHADOW_MODEL = "shadow_model", "paper_shadow_model"
"""What a record calls the shadow model of III and IV, and that of I and II after the paper."""


@dataclass(frozen=True)
class Scenario:
    """One attacker.

    Attributes
    ----------
    name
        ``"attack-I"`` to ``"attack-IV"``.
    knows_captions
        Whether the attacker has the query's caption; if not, a captioner writes one.
    knows_members
        Whether the attacker knows some of the target's members; if not, a shadow model with its
        own members stands in.
    is_fitted
        Whether scores depend on known samples. Those of an attacker with more than text do not:
        known ones fix a threshold alone.
    """

    name: str
    knows_captions: bool
    knows_members: bool
    is_fitted: bool = True

    @property
    def words(self) -> str:
        """Whose words models are asked with: ``"caption"`` or ``"captioner"``."""
        return "caption" if self.knows_captions else "captioner"

    def shadow(self, protocol: str) -> str | None:
        """Name the shadow model that calibrates, or ``None`` if the target itself does.

        Parameters
        ----------
        protocol
            ``"target"``: who knows members calibrates on the target's answers to them. ``"paper"``
            (Pang & Wang, NDSS 2025): on those of a shadow model that was fine-tuned on them.

        Examples
        --------
        >>> [SCENARIOS[name].shadow("target") for name in ("I", "III")]
        [None, 'shadow_model']
        >>> [SCENARIOS[name].shadow("paper") for name in ("I", "III")]
        ['paper_shadow_model', 'shadow_model']
        """
        if not self.is_fitted:
            return None
        if not self.knows_members:
            return SHADOW_MODEL
        return PAPER_SHADOW_MODEL if protocol == "paper" else None


SCENARIOS = {
    "I": Scenario("attack-I", knows_captions=True, knows_members=True),
    "II": Scenario("attack-II", knows_captions=False, knows_members=True),
    "III": Scenario("attack-III", knows_captions=True, knows_members=False),
    "IV": Scenario("attack-IV", knows_captions=False, knows_members=False),
}
"""The scenarios by their Roman numeral."""
ATTACKERS = {
    name: Scenario(name, knows_captions=True, knows_members=True, is_fitted=False)
    for name in ACCESSES
}
"""None of the four, by access: each reads captions, and a threshold from known members."""


def attacker(name: str) -> Scenario:
    """Return a scenario by its numeral, or an attacker with more than text by the access."""
    return ATTACKERS[name] if name in ATTACKERS else SCENARIOS[name]
