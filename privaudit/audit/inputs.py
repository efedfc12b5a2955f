"""What a user supplies for one audit, under the names of the plugin's fixtures."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from privaudit.attacks.registry import WEIGHTS
from privaudit.audit.threat_models import PAPER_SHADOW_MODEL, SCENARIOS, SHADOW_MODEL
from privaudit.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from privaudit.audit.threat_models import ThreatModel
    from privaudit.record import Claim
    from privaudit.samples import CoinSplit, Sample
    from privaudit.settings import AuditSettings

__all__ = ["CORE", "RECIPE", "REQUIRED", "SHADOW", "AuditInputs", "check_claim"]


REQUIRED = ("target_model", "members", "non_members")
"""What no audit can do without."""
CORE = (*REQUIRED, "coin_split", "image_encoder", "base_model", "sample_groups")
"""What is asked of the user for every scenario."""
SHADOW = ("shadow_model", "shadow_members", "shadow_non_members")
RECIPE = ("auxiliary_samples", "fine_tune")
"""What a shadow model can be made from."""


@dataclass(frozen=True)
class AuditInputs:
    """Models and samples of one audit; what only some scenarios need may be ``None``.

    Attributes
    ----------
    target_model
        A diffusers pipeline, a :class:`privaudit.SavedPipeline`, a target, or a callable
        ``generate(prompts, seeds)``.
    members, non_members
        The samples whose membership is asked about.
    image_encoder
        What :func:`privaudit.encoders.as_encoder` takes; ``None`` for the one of the settings.
    base_model
        The model that the target was fine-tuned from, in any form that the target may have:
        a target that draws what it draws is no fine-tune.
    captioner
        What :func:`privaudit.captioners.as_captioner` takes; II and IV need it.
    shadow_model, shadow_members, shadow_non_members
        The attacker's own fine-tune; III and IV need it.
    auxiliary_samples, fine_tune
        In place of those three: ``fine_tune(samples) -> model`` is called once. In the paper's
        protocol I and II need ``fine_tune``, too, which is then called once more.
    coin_split
        What :func:`privaudit.split_by_coin` returned, if it made members and non-members.
    sample_groups
        A group of each sample, by id, such as a column of its metadata.
    claim
        A claimed ε, to be disproved.
    """

    target_model: Any
    members: Sequence[Sample]
    non_members: Sequence[Sample]
    image_encoder: Any = None
    base_model: Any = None
    captioner: Any = None
    shadow_model: Any = None
    shadow_members: Sequence[Sample] | None = None
    shadow_non_members: Sequence[Sample] | None = None
    auxiliary_samples: Sequence[Sample] | None = None
    fine_tune: Callable[[Sequence[Sample]], Any] | None = None
    coin_split: CoinSplit | None = None
    sample_groups: Mapping[str, object] | None = None
    claim: Claim | None = None

    def lacking(self, threat_model: ThreatModel, protocol: str) -> list[str]:
        """Name all that a threat model needs and is not there, each with its alternative.

        Parameters
        ----------
        threat_model
            Who attacks.
        protocol
            As of :meth:`privaudit.audit.scenarios.Scenario.shadow`.
        """
        lacking = [name for name in REQUIRED if getattr(self, name) is None]
        if not threat_model.knows_captions and self.captioner is None:
            lacking.append("captioner")
        shadow = threat_model.shadow(protocol)
        if shadow == PAPER_SHADOW_MODEL and self.fine_tune is None:
            lacking.append("fine_tune")
        if shadow == SHADOW_MODEL and any(getattr(self, name) is None for name in RECIPE):
            absent = [name for name in SHADOW if getattr(self, name) is None]
            if absent:
                lacking.append(f"{', '.join(absent)} (or {' and '.join(RECIPE)})")
        return lacking

    def check_protocol(self, settings: AuditSettings, *scenarios: ThreatModel) -> None:
        """Refuse the paper's protocol without what makes its shadow model.

        It is asked for by name, so a scenario that cannot have it is an error, and not skipped.

        Parameters
        ----------
        settings
            Those of the audit.
        scenarios
            What will be asked.

        Raises
        ------
        SettingError
            If there is no ``fine_tune``; the message names all that these scenarios lack.
        """
        protocol = settings.protocol
        asked = [one for one in scenarios if one.shadow(protocol) == PAPER_SHADOW_MODEL]
        if not asked or self.fine_tune is not None:
            return
        lacking = dict.fromkeys(name for one in asked for name in self.lacking(one, protocol))
        msg = (
            f"{' and '.join(one.name for one in asked)} cannot be asked without "
            f"{', '.join(lacking)}: with protocol={protocol} ({settings.source('protocol')}) the "
            "calibration is on a shadow model that fine_tune makes of known members of the target, "
            "and a shadow_model that was trained on others cannot stand in for it; write what is "
            "lacking, or leave protocol at target, which calibrates on the target itself"
        )
        raise SettingError(msg)

    def filled(self, other: AuditInputs) -> AuditInputs | None:
        """Return these inputs with what another scenario supplied beside them.

        Returns
        -------
        AuditInputs or None
            ``None`` if one of them is another object: it is then another audit.
        """
        changes = {}
        for field in dataclasses.fields(self):
            mine, its = getattr(self, field.name), getattr(other, field.name)
            if mine is None:
                changes[field.name] = its
            elif its is not None and its is not mine and field.name != "claim":
                return None
        return dataclasses.replace(self, **changes)


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
