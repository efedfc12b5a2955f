"""What an owner brings to a study: the inputs of one audit, and what some axes need beside them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from privaudit.audit import Audit
from privaudit.audit.shadows import ShadowMaker
from privaudit.audit.threat_models import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from privaudit.audit import AuditInputs
    from privaudit.engines import Engine
    from privaudit.runs import Checkpoint
    from privaudit.settings import AuditSettings
    from privaudit.store import Store

__all__ = ["Owner"]


@dataclass
class Owner:
    """The inputs and settings of one audit, from which every cell of a study is made.

    Attributes
    ----------
    inputs, settings
        Those of the audit.
    store, engine
        Shared by all cells, so that no image is drawn twice over all axes.
    name
        Of the audit.
    encoders
        Names of further image encoders, for the axis ``encoders``.
    models
        Further fine-tunes on the same members by name, for the axis ``defences``.
    shadows
        Further shadow models on the same auxiliary samples by name, for the axis ``shadows``.
    checkpoints
        Of the run that made the target, for the axis ``epochs``.
    trigger
        The word that stands before a caption on the axis ``prompts``.
    drawn
        Images that were drawn so far.
    """

    inputs: AuditInputs
    settings: AuditSettings
    store: Store
    engine: Engine
    name: str = "audit"
    encoders: Sequence[str] = ()
    models: Mapping[str, Any] = field(default_factory=dict)
    shadows: Mapping[str, Any] = field(default_factory=dict)
    checkpoints: Sequence[Checkpoint] = ()
    trigger: str = "sks"
    drawn: int = 0
    _audits: dict[tuple[Any, ...], Audit] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Fix what every cell shares: a shadow model is fine-tuned once."""
        given = self.inputs.fine_tune
        if given is not None and not isinstance(given, ShadowMaker):
            maker = ShadowMaker(given, self.store)
            self.inputs = dataclasses.replace(self.inputs, fine_tune=maker)
        if self.settings.sequential:
            self.settings = self.settings.replace(sequential=False)

    @property
    def scenarios(self) -> tuple[str, ...]:
        """The scenarios for which the inputs suffice, in order."""
        return tuple(s for s in self.settings.scenarios if not self.lacking(s))

    def lacking(self, scenario: str) -> list[str]:
        """Name what a scenario needs and is not there."""
        return self.inputs.lacking(SCENARIOS[scenario], self.settings.protocol)

    def audit(self, inputs: Mapping[str, Any] | None = None, **settings: Any) -> Audit:
        """Make the audit of one cell; the same cell of two axes is one audit.

        Parameters
        ----------
        inputs
            Inputs in place of the owner's own, by field of :class:`privaudit.AuditInputs`.
        **settings
            Settings in place of the owner's own.
        """
        given = dataclasses.replace(self.inputs, **(inputs or {}))
        chosen = self.settings.replace(**settings)
        key = (
            *(id(getattr(given, one.name)) for one in dataclasses.fields(given)),
            *map(repr, chosen.values().items()),
        )
        if key not in self._audits:
            self._audits[key] = Audit(
                given,
                chosen,
                self.store,
                self.engine,
                name=self.name,
                scenarios=self.scenarios,
                progress=self._count,
                check_passes=False,  # left out, the weakest cells of an axis would be missing
            )
        return self._audits[key]

    def forget(self) -> None:
        """Let go of the audits of an axis, and of the models that they hold."""
        own = self.audit()
        self._audits = {key: one for key, one in self._audits.items() if one is own}

    def _count(self, n: int) -> None:
        self.drawn += n


def named_models(flag: str, given: Sequence[str]) -> dict[str, Path]:
    """Read ``NAME=FOLDER`` of a command line.

    Parameters
    ----------
    flag
        What they follow, for the message.
    given
        One a model.

    Raises
    ------
    SettingError
        If one is not of that form, or two have one name.
    """
    from pathlib import Path

    from privaudit.errors import SettingError

    found: dict[str, Path] = {}
    for one in given:
        name, equals, folder = one.partition("=")
        if not (name and equals and folder) or name in found:
            msg = f"{flag} {one!r} is no NAME=FOLDER with a name of its own"
            raise SettingError(msg)
        found[name] = Path(folder)
    return found
