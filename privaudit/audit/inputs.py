"""What a user supplies for one audit, under the names of the plugin's fixtures."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from privaudit.audit.scenarios import Scenario
    from privaudit.record import Claim
    from privaudit.samples import CoinSplit, Sample

__all__ = ["CORE", "RECIPE", "REQUIRED", "SHADOW", "AuditInputs"]

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
        In place of those three: ``fine_tune(samples) -> model`` is called once.
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

    def lacking(self, scenario: Scenario) -> list[str]:
        """Name all that a scenario needs and is not there, each with its alternative."""
        lacking = [name for name in REQUIRED if getattr(self, name) is None]
        if not scenario.knows_captions and self.captioner is None:
            lacking.append("captioner")
        if not scenario.knows_members and any(getattr(self, name) is None for name in RECIPE):
            absent = [name for name in SHADOW if getattr(self, name) is None]
            if absent:
                lacking.append(f"{', '.join(absent)} (or {' and '.join(RECIPE)})")
        return lacking

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
