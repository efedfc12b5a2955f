"""The comparison of an audit with its baseline, or with another audit."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from scipy.stats import norm

from privaudit import statistics
from privaudit.attacks.registry import registered
from privaudit.audit.provenance import described, versions
from privaudit.audit.threat_models import SCENARIOS
from privaudit.audit.verdict import decide, worst
from privaudit.errors import BaselineError, SettingError
from privaudit.record import BaselineUsed, Comparison, Interval, read_baseline
from privaudit.record.baseline import keyed
from privaudit.record.values import plain
from privaudit.statistics import ResultScores
from privaudit.targets.capabilities import capabilities_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from privaudit.audit.models import Models
    from privaudit.audit.sets import Sets
    from privaudit.record import AttackResult, Baseline, SampleSet
    from privaudit.record.baseline import BaselineResult
    from privaudit.settings import AuditSettings
    from privaudit.statistics import AucChange

__all__ = [
    "KEY",
    "SAMPLES",
    "Against",
    "Comparer",
    "Differences",
    "Reference",
    "Terms",
    "baseline_file",
    "baseline_key",
    "differences",
    "facts_of",
    "judged",
    "load_reference",
    "needed",
    "refusal",
]


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
    models, settings
        The audit's.
    against
        What it is compared with.
    """

    def __init__(self, models: Models, settings: AuditSettings, against: Against) -> None:
        self._models, self._settings, self._against = models, settings, against
        self._terms = Terms.of(settings)
        self._changes: dict[str, dict[str, Comparison]] = {}
        self._replaced = ""

    @property
    def _reference(self) -> Reference | None:
        return None if self._replaced else self._against.reference

    def check(self, sets: Sets, attack: str) -> None:
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
        models = self._models
        if (load := capabilities_of(models.target).pipeline) is not None:
            load()  # a saved one knows its arguments once loaded
        used = {role: described(model) for role, model in models.models_used().items()}
        facts = facts_of(used, models.sample_sets(), models.recorded_settings(), self._against.key)
        if self._reference is None:
            return
        why = self._reference.differences(
            facts, sets.threat_model.name, attack, other_samples=self._terms.other_samples
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
                named, self._identity, max(1, len(self._models.scenarios)), self._terms
            )
        return judged(result, self._changes[scenario][result.name])

    @property
    def _identity(self) -> str | None:
        return described(self._models.target).get("identity")

    def used(self) -> BaselineUsed | None:
        """Return what the record says of the baseline; ``None`` if nothing was compared."""
        if self._reference is None:
            return None
        settings = self._settings
        decided = [f"attack-{s}-{a}" for s in self._models.scenarios for a in settings.attacks]
        return self._reference.used(self._identity, versions(), decided)

    def notes(self) -> list[str]:
        """Say why nothing was compared, where a baseline is replaced."""
        return [f"{self._replaced}: nothing was compared"] if self._replaced else []


@dataclass(frozen=True)
class Terms:
    """When a change is red.

    Attributes
    ----------
    confidence
        Of all bounds of one side of an audit together.
    gate
        ``"point"``, ``"evidence"`` or ``"certify"``.
    max_rise
        The largest rise accepted; ``None`` for any that is not shown.
    source
        Where that was set.
    other_samples
        Whether the sample sets may differ.
    """

    confidence: float
    gate: str
    max_rise: float | None = None
    source: str = "default"
    other_samples: bool = False

    @classmethod
    def of(cls, settings: AuditSettings) -> Terms:
        """Return those of an audit's settings."""
        return cls(
            settings.confidence,
            settings.gate,
            settings.max_rise,
            settings.source("max_rise"),
            settings.baseline_samples == "other",
        )

    def verdict(self, change: AucChange, low: float, high: float, most: float) -> str:
        """Decide on one change.

        Without a tolerance, a rise is red when it is shown. With one, the gate decides as on a
        budget, but ``"point"`` asks that a rise be shown at all: no point difference alone is red.

        Parameters
        ----------
        change
            Of one result.
        low, high
            Its bounds.
        most
            The largest lower bound that any new scores could have had: where even that is within
            the tolerance, nothing could be red, and that is no gate.
        """
        limit = self.max_rise or 0.0
        if self.max_rise is not None and self.gate == "certify":
            return decide(change.change, low, high, limit, "certify")
        if not most > limit:
            return "inconclusive"
        verdict = decide(change.change, low, high, limit, "evidence")
        over = self.max_rise is not None and self.gate == "point" and not change.change <= limit
        return "inconclusive" if verdict == "pass" and over and low > 0 else verdict


@dataclass(frozen=True)
class Reference:
    """A baseline, and how samples of an audit are found in it.

    Attributes
    ----------
    baseline
        What to compare with.
    key
        With which its sample ids are hashed.
    where
        What messages call it.
    command
        What writes it anew.
    """

    baseline: Baseline
    key: str
    where: str
    command: str

    def differences(
        self, facts: Mapping[str, Any], scenario: str, attack: str, *, other_samples: bool
    ) -> str:
        """Say why one result cannot be compared with that of the baseline; empty if it can.

        Parameters
        ----------
        facts
            The audit's, see :func:`privaudit.audit.facts.facts_of`.
        scenario, attack
            Which result.
        other_samples
            Whether the sample sets may differ.
        """
        name = f"{scenario}-{attack}"
        there = [result.name for result in self.baseline.results]
        if name not in there:
            return (
                f"not comparable with baseline {self.where}: it has no {name}, and has "
                f"{', '.join(there)}\naudit the old model as this one is audited, and write it "
                f"anew:\n  {self.command}"
            )
        old = needed(self.baseline.facts, scenario, attack)
        changes = differences(old, needed(facts, scenario, attack), samples=not other_samples)
        if not changes:
            return ""
        counts = [
            f"{name}: {facts[name]['count']}, and were {old.get(name, {}).get('count')}"
            for name in SAMPLES
            if name in changes
        ]
        return refusal(changes, self.where, f"other samples ({'; '.join(counts)})", self.command)

    def changes(
        self,
        results: Mapping[str, ResultScores],
        identity: str | None,
        n_scenarios: int,
        terms: Terms,
    ) -> dict[str, Comparison]:
        """Compare all results of one scenario, whose changes deviate together.

        The error is shared as that of the budget's bounds is, see
        :func:`privaudit.audit.multiplicity.together`: over the inference models of a scenario by
        the largest of their deviations, over the scenarios evenly.

        Parameters
        ----------
        results
            Scores by sample id, by the name of the result.
        identity
            Of the target model; ``None`` if nobody can know it again.
        n_scenarios
            Scenarios that are decided.
        terms
            When a change is red.
        """
        known = {result.name: result for result in self.baseline.results}
        pairs = {
            name: (ResultScores(*self.baseline.scores(name)), self._hashed(scores))
            for name, scores in results.items()
            if name in known
        }
        level = 1 - (1 - terms.confidence) / n_scenarios
        reach = statistics.change_reach(pairs, level)
        same = identity is not None and identity == self.baseline.target
        return {
            name: _comparison(known[name], *pair, reach, terms, same_model=same and _equal(*pair))
            for name, pair in pairs.items()
        }

    def _hashed(self, scores: ResultScores) -> ResultScores:
        return ResultScores(
            *(
                {keyed(self.key, "sample", who): score for who, score in side.items()}
                for side in (scores.members, scores.non_members)
            )
        )

    def used(
        self, identity: str | None, versions: Mapping[str, str | None], decided: list[str]
    ) -> BaselineUsed:
        """Return what a record says of the baseline.

        Parameters
        ----------
        identity
            Of the target model.
        versions
            Of the libraries that decide a score.
        decided
            Names of the audit's results.
        """
        old = self.baseline
        notes = []
        if old.verdict != "pass":
            notes.append(f"the baseline is of an audit that was {old.verdict.upper()}")
        changed = [
            f"{name} {old.versions.get(name)} to {version}"
            for name, version in versions.items()
            if old.versions.get(name) != version
        ]
        if changed:
            notes.append(
                f"versions changed since the baseline, and a score may have: {', '.join(changed)}"
            )
        left = [result.name for result in old.results if result.name not in decided]
        if left:
            notes.append(f"the baseline has what this audit does not decide: {', '.join(left)}")
        return BaselineUsed(
            where=self.where,
            verdict=old.verdict,
            written=old.written,
            commit=old.commit,
            privaudit_version=old.privaudit_version,
            same_model=identity is not None and identity == old.target,
            notes=notes,
        )


def _equal(old: ResultScores, new: ResultScores) -> bool:
    return old.members == new.members and old.non_members == new.non_members


def _comparison(
    known: BaselineResult,
    old: ResultScores,
    new: ResultScores,
    reach: float,
    terms: Terms,
    *,
    same_model: bool,
) -> Comparison:
    confidence = terms.confidence
    change = statistics.auc_change(old, new, confidence)
    above = float(norm.ppf(confidence)) if terms.gate == "certify" else reach
    low, high = statistics.change_bounds(old, new, reach, above)
    before, after = ((len(one.members), len(one.non_members)) for one in (old, new))
    most = statistics.largest_shown_rise(before, after, reach)
    if same_model:
        low = high = 0.0  # the same function of the same samples: there is nothing to estimate
    return Comparison(
        auc=known.auc,
        interval=known.interval,
        evaluation=known.evaluation,
        change=change.change,
        bounds=Interval(low=low, high=high, confidence=confidence),
        p_value=change.p_value,
        n_shared=change.n_shared,
        paired=change.n_shared == sum(before) == sum(after),
        correlation=change.correlation,
        detectable=statistics.detectable_rise(change, reach),
        provable=most,
        same_model=same_model,
        tpr=known.tpr,
        near_copies=known.near_copies,
        max_rise=terms.max_rise,
        source=terms.source,
        verdict="pass" if same_model else terms.verdict(change, low, high, most),
    )


def judged(result: AttackResult, comparison: Comparison) -> AttackResult:
    """Return a result with its comparison, which can only make its verdict worse."""
    return result.model_copy(
        update={"comparison": comparison, "verdict": worst(result.verdict, comparison.verdict)}
    )


SETTINGS = (
    "queries",
    "seed",
    "aggregation",
    "calibration",
    "protocol",
    "similarity",
    "similarity_axis",
)
"""Settings that always reach what they are for, and decide which scores there are."""
BEFORE = {"protocol": "target"}
"""What held before there was a choice, so that older baselines stay of use."""
SAMPLES = ("members", "non_members")
FLAGS = {
    "call.num_inference_steps": "--privaudit-num-inference-steps",
    "call.guidance_scale": "--privaudit-guidance-scale",
    **{name: f"--privaudit-{name.replace('_', '-')}" for name in (*SETTINGS, "scheduler")},
}
"""What sets a fact again."""
OTHER_SAMPLES = "privacy_budget(baseline_samples='other')"
LONGEST = 60
"""Characters of two values that a message shows; of hashes it only says that they differ."""
Differences = dict[str, tuple[Any, Any]]
"""The old and the new value of each fact that differs, by its name."""


def facts_of(
    models: Mapping[str, Mapping[str, Any]],
    samples: Mapping[str, SampleSet],
    settings: Mapping[str, Any],
    key: str,
) -> dict[str, Any]:
    """Collect what has to be the same, as plain values by name.

    It is taken from what ran, not from what was asked for. The model itself, its dtype and its
    device are none of it: they are what a release changes.

    Parameters
    ----------
    models
        As of a record's provenance.
    samples
        The sample sets, whose digests are hashed with the key.
    settings
        As a record has them.
    key
        The baseline's.

    Raises
    ------
    BaselineError
        If the encoder, or a captioner that was used, cannot be known again.
    """
    facts: dict[str, Any] = {name: settings.get(name) for name in SETTINGS}
    facts["scheduler"] = settings.get("scheduler")
    for role, name in (("image_encoder", "encoder"), ("captioner", "captioner")):
        if role in models:
            facts[name] = _known(role, models[role])
    facts["measurement"] = dict(models.get("measurement", {}))
    if pool := facts["measurement"].pop("pool", None):
        facts["pool"] = pool
    if clip := facts["measurement"].pop("clip", None):
        facts["clip"] = clip["identity"]
    facts["base model asked"] = bool(settings.get("base_calibration")) and "base_model" in models
    facts |= {f"call.{n}": value for n, value in models["target_model"].get("call", {}).items()}
    for name in SAMPLES:
        sample_set = samples[name]
        facts[name] = {"count": sample_set.count, "digest": keyed(key, "set", sample_set.digest)}
    return cast("dict[str, Any]", plain(facts))  # as a file gives them back


def _known(role: str, model: Mapping[str, Any]) -> str:
    identity = model.get("identity")
    if identity is None:
        msg = (
            f"{role} ({model.get('class')}) has no fingerprint, so no later session can know that "
            "it is the same one: give it an attribute `fingerprint`, a text that changes whenever "
            "what it returns would"
        )
        raise BaselineError(msg)
    return str(identity)


def needed(facts: Mapping[str, Any], scenario: str, attack: str) -> dict[str, Any]:
    """Leave out what has no effect on one result.

    Parameters
    ----------
    facts
        All of an audit's.
    scenario
        ``"attack-I"`` to ``"attack-IV"``.
    attack
        The inference model.
    """
    without, entry = set(), registered(attack)
    if SCENARIOS[scenario.removeprefix("attack-")].knows_captions:
        without.add("captioner")
    if not SCENARIOS[scenario.removeprefix("attack-")].knows_members:
        without.add("protocol")
    if not entry.reads_base:
        without.add("base model asked")
    if not entry.reads_pool:
        without.add("pool")
    if not entry.reads_clip:
        without.add("clip")
    return {name: value for name, value in facts.items() if name not in without}


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], *, samples: bool = True
) -> Differences:
    """List the facts that differ, those that only one of the two has among them.

    Parameters
    ----------
    old, new
        Facts of one result.
    samples
        Whether the sample sets have to be the same.
    """
    pairs = {
        name: (old.get(name, BEFORE.get(name)), new.get(name, BEFORE.get(name)))
        for name in dict.fromkeys((*old, *new))
        if samples or name not in SAMPLES
    }
    return {name: values for name, values in pairs.items() if values[0] != values[1]}


def refusal(changes: Differences, where: str, counts: str, command: str) -> str:
    """Say why two audits cannot be compared, and what makes them comparable.

    Parameters
    ----------
    changes
        What differs.
    where
        The baseline.
    counts
        How many samples each has, in words.
    command
        What writes the baseline anew.
    """
    sentences = [
        _difference(name, *values) for name, values in changes.items() if name not in SAMPLES
    ]
    flags = [
        f"{FLAGS[name]}={_shown(old)}"
        for name, (old, _) in changes.items()
        if name in FLAGS and old is not None
    ]
    ways = [f"ask as it was asked:\n  {' '.join(flags)}"] if flags else []
    if changes.keys() & set(SAMPLES):
        sentences.append(counts)
        ways.append("compare with other samples, which shows less:\n  " + OTHER_SAMPLES)
    ways.append(f"audit the old model as this one is audited, and write it anew:\n  {command}")
    return f"not comparable with baseline {where}: {'; '.join(sentences)}\n" + "\n".join(ways)


def _difference(name: str, old: Any, new: Any) -> str:
    name = name.removeprefix("call.")
    if isinstance(old, dict) or isinstance(new, dict) or len(f"{old}{new}") > LONGEST:
        return f"another {name}"
    return f"{name} is {_shown(new)}, and was {_shown(old)}"


def _shown(value: Any) -> str:
    return "not known" if value is None else f"{value:g}" if type(value) is float else str(value)
