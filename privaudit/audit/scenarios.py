"""The four scenarios of the paper (section IV, table I): what the attacker knows."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from privaudit.attacks.registry import ACCESSES
from privaudit.errors import SampleError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privaudit.samples import Sample

__all__ = [
    "ATTACKERS",
    "PAPER_SHADOW_MODEL",
    "SCENARIOS",
    "SHADOW_MODEL",
    "Scenario",
    "attacker",
    "n_evaluated",
    "split_calibration",
]

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


def _n_known(n_members: int, calibration: float) -> int:
    return round(calibration * n_members) if calibration < 1 else int(calibration)


def n_evaluated(
    what: Scenario, n_members: int, n_non_members: int, calibration: float
) -> tuple[int, int]:
    """Count the members and non-members that are left to evaluate.

    Parameters
    ----------
    what
        The scenario.
    n_members, n_non_members
        All samples of the audit.
    calibration
        As of :func:`split_calibration`.
    """
    known = _n_known(n_members, calibration) if what.knows_members else 0
    return max(0, n_members - known), max(0, n_non_members - known)


def split_calibration(
    members: Sequence[Sample], non_members: Sequence[Sample], calibration: float, seed: int
) -> tuple[list[Sample], list[Sample], list[Sample], list[Sample]]:
    """Choose which samples the attacker of scenarios I and II calibrates on.

    Parameters
    ----------
    members, non_members
        All samples of the audit.
    calibration
        How many members the attacker knows: a share below 1, or a whole number from 1. As many
        non-members join them.
    seed
        Seed of the choice, which depends on the ids only.

    Returns
    -------
    calibration members, calibration non-members, evaluation members, evaluation non-members

    Raises
    ------
    SampleError
        If nothing would be left to evaluate, or nothing to calibrate on.
    """
    known = _n_known(len(members), calibration)
    least = min(len(members), len(non_members))
    if not 0 < known < least:
        msg = (
            f"{len(members)} members and {len(non_members)} non-members cannot be split: "
            f"calibrating on {known} of each leaves none to evaluate or none to calibrate on; "
            "add samples or change --privaudit-calibration"
        )
        raise SampleError(msg)
    parts: list[list[Sample]] = []
    for name, samples in (("members", members), ("non-members", non_members)):
        ids = sorted(sample.id for sample in samples)
        chosen = set(random.Random(f"{seed}/{name}").sample(ids, known))  # noqa: S311
        parts.append([sample for sample in samples if sample.id in chosen])
        parts.append([sample for sample in samples if sample.id not in chosen])
    return parts[0], parts[2], parts[1], parts[3]
