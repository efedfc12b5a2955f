"""An audit's baseline: where its file is, with which key, and what is compared with it."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from privaudit.audit.comparison import Reference, Terms, judged
from privaudit.audit.facts import facts_of
from privaudit.audit.provenance import described, versions
from privaudit.errors import BaselineError, SettingError
from privaudit.record import read_baseline
from privaudit.record.baseline import keyed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from privaudit.audit.experiment import Experiment
    from privaudit.audit.setup import Setup
    from privaudit.record import AttackResult, BaselineUsed, Comparison
    from privaudit.settings import AuditSettings
    from privaudit.statistics import ResultScores

__all__ = ["KEY", "Against", "Comparer", "baseline_file", "baseline_key", "load_reference"]

KEY = "PRIVAUDIT_BASELINE_KEY"


def baseline_key(stated: str | None) -> str:
    """Return the key that sample ids are hashed with.

    Parameters
    ----------
    stated
        That of the settings; without one, the environment's.

    Raises
    ------
    BaselineError
        If there is none, or it is too short.
    """
    key = stated or os.environ.get(KEY, "")
    keyed(key, "key", "privaudit")
    return key


def baseline_file(place: Path, audit: str) -> Path:
    """Return the file of one audit's baseline.

    Parameters
    ----------
    place
        A file that ends in ``.json``, or a folder, which has one file for each audit.
    audit
        Its name.

    Examples
    --------
    >>> from pathlib import Path
    >>> baseline_file(Path("baselines"), "audits/test_faces.py::test_leak").name
    'audits.test_faces.test_leak-24fba44f.json'
    """
    if place.suffix == ".json" and not place.is_dir():
        return place
    # What two names have in common once their punctuation is gone, the digits tell apart.
    readable = re.sub(r"\W+", ".", audit.replace(".py", "")).strip(".")[:100]
    digits = hashlib.blake2b(audit.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return place / f"{readable}-{digits}.json"


@dataclass(frozen=True)
class Against:
    """What an audit is compared with, or will be written down as.

    Attributes
    ----------
    key
        With which sample ids are hashed.
    reference
        The baseline; ``None`` where it is about to be written for the first time.
    update
        Whether it is about to be written: then one that cannot be compared with does not matter.
    """

    key: str
    reference: Reference | None
    update: bool = False


def load_reference(place: Path, audit: str, key: str, *, update: bool = False) -> Against:
    """Read the baseline of an audit.

    Parameters
    ----------
    place
        As of :func:`baseline_file`.
    audit
        Its name.
    key
        With which sample ids are hashed.
    update
        Whether the file will be written: then it may be absent.

    Raises
    ------
    BaselineError
        If it is absent, or anything but an unchanged baseline of this audit and key.
    """
    path = baseline_file(place, audit)
    command = (
        f"pytest {shlex.quote(audit.partition('[')[0])} --privaudit-baseline={place} "
        "--privaudit-update-baseline"
    )
    if not path.exists():
        if update:
            return Against(key, None, update)
        msg = (
            f"baseline {path} does not exist, so there is nothing to compare with: audit the model "
            f"that you would compare with, and write it\n  {command}"
        )
        raise BaselineError(msg)
    return Against(key, Reference(read_baseline(path, key, audit), key, str(path), command), update)


class Comparer:
    """Compares the results of one audit with its baseline.

    Parameters
    ----------
    setup, settings
        The audit's.
    against
        What it is compared with.
    """

    def __init__(self, setup: Setup, settings: AuditSettings, against: Against) -> None:
        self._setup, self._settings, self._against = setup, settings, against
        self._terms = Terms.of(settings)
        self._changes: dict[str, dict[str, Comparison]] = {}
        self._replaced = ""

    @property
    def _reference(self) -> Reference | None:
        return None if self._replaced else self._against.reference

    def check(self, experiment: Experiment, attack: str) -> None:
        """Refuse what cannot be compared, before anything is generated.

        Raises
        ------
        BaselineError
            If the baseline is not comparable, or no later audit could be compared with this one.
        SettingError
            If the audit is sequential.
        """
        if self._settings.sequential:
            msg = (
                "a baseline needs the scores of all samples, and a sequential audit stops when the "
                "AUC tells it to: drop --privaudit-sequential, or the baseline"
            )
            raise SettingError(msg)
        setup = self._setup
        setup.calibration_base  # noqa: B018  # it is then among the models used
        getattr(setup.target, "pipeline", None)  # a saved one knows its arguments once it is loaded
        models = {role: described(model) for role, model in setup.models_used().items()}
        facts = facts_of(models, setup.sample_sets(), setup.recorded_settings(), self._against.key)
        if self._reference is None:
            return
        why = self._reference.differences(
            facts, experiment.scenario.name, attack, other_samples=self._terms.other_samples
        )
        if why and not self._against.update:
            raise BaselineError(why)
        self._replaced = why.partition("\n")[0]

    def compared(self, result: AttackResult, scores: Mapping[str, ResultScores]) -> AttackResult:
        """Put the baseline's result beside one of the audit's.

        Parameters
        ----------
        result
            One result.
        scores
            Those of all inference models of its scenario.
        """
        if self._reference is None:
            return result
        scenario = result.scenario
        if scenario not in self._changes:
            named = {f"{scenario}-{attack}": found for attack, found in scores.items()}
            self._changes[scenario] = self._reference.changes(
                named, self._identity, max(1, len(self._setup.scenarios)), self._terms
            )
        return judged(result, self._changes[scenario][result.name])

    @property
    def _identity(self) -> str | None:
        return described(self._setup.target).get("identity")

    def used(self) -> BaselineUsed | None:
        """Return what the record says of the baseline; ``None`` if nothing was compared."""
        if self._reference is None:
            return None
        settings = self._settings
        decided = [f"attack-{s}-{a}" for s in self._setup.scenarios for a in settings.attacks]
        return self._reference.used(self._identity, versions(), decided)

    def notes(self) -> list[str]:
        """Say why nothing was compared, where a baseline is replaced."""
        return [f"{self._replaced}: nothing was compared"] if self._replaced else []
