"""The threat models: what an attacker knows of the target, and what it may touch.

The four scenarios of Pang & Wang (NDSS 2025, section IV, table I) send text and receive images.
Beside them stand attackers who may touch more: who hand in a picture, or who hold the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from privaudit.attacks.registry import ACCESSES, similarity_names

if TYPE_CHECKING:
    from privaudit.settings import AuditSettings

__all__ = [
    "PAPER_SHADOW_MODEL",
    "SCENARIOS",
    "SHADOW_MODEL",
    "TEXT",
    "THREAT_MODELS",
    "ThreatModel",
    "get_threat_model",
]

SHADOW_MODEL, PAPER_SHADOW_MODEL = "shadow_model", "paper_shadow_model"
"""What a record calls the shadow model of III and IV, and that of I and II in the paper."""
TEXT = "text"
"""The access of the four scenarios: text in, images out."""


@dataclass(frozen=True)
class ThreatModel:
    """What one attacker knows, and what it may touch.

    Attributes
    ----------
    name
        ``"attack-I"`` to ``"attack-IV"``, ``"img2img"`` or ``"weights"``.
    knows_captions
        Whether the attacker has the query's caption; if not, a captioner writes one.
    knows_members
        Whether the attacker knows some of the target's members; if not, a shadow model with its
        own members stands in.
    access
        ``"text"``, or what the attacker may touch beside it: ``"img2img"`` or ``"weights"``.
    """

    name: str
    knows_captions: bool = True
    knows_members: bool = True
    access: str = TEXT

    @property
    def by_text(self) -> bool:
        """Whether the attacker sends text alone: one of the four scenarios."""
        return self.access == TEXT

    @property
    def words(self) -> str:
        """Whose words models are asked with: ``"caption"`` or ``"captioner"``."""
        return "caption" if self.knows_captions else "captioner"

    def attacks(self, settings: AuditSettings) -> tuple[str, ...]:
        """List the attacks that an audit with these settings runs under this threat model."""
        return settings.attacks if self.by_text else settings.by_access[self.access]

    def decides(self, settings: AuditSettings) -> bool:
        """Tell whether its results decide: where this access, or more, is released."""
        return self.by_text or settings.decides(self.access)

    def inference_model(self, attack: str) -> str:
        """Name the inference model that an attack fits.

        What is measured with more than text is a score by itself, and a threshold its model.
        """
        return attack if self.by_text else similarity_names()[0]

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
        if not self.by_text:
            return None
        if not self.knows_members:
            return SHADOW_MODEL
        return PAPER_SHADOW_MODEL if protocol == "paper" else None


SCENARIOS = {
    "I": ThreatModel("attack-I"),
    "II": ThreatModel("attack-II", knows_captions=False),
    "III": ThreatModel("attack-III", knows_members=False),
    "IV": ThreatModel("attack-IV", knows_captions=False, knows_members=False),
}
"""The four scenarios of the paper, by Roman numeral."""
THREAT_MODELS = {**SCENARIOS, **{name: ThreatModel(name, access=name) for name in ACCESSES}}
"""Every threat model, by what a test id calls it."""


def get_threat_model(name: str) -> ThreatModel:
    """Return a threat model by numeral, access or full name.

    Examples
    --------
    >>> get_threat_model("attack-II") is get_threat_model("II")
    True
    >>> get_threat_model("weights").access
    'weights'
    """
    return THREAT_MODELS[name.removeprefix("attack-")]
