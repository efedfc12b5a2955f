"""From scores of two audits to what is said of the change: one decision for the whole audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scipy.stats import norm

from privaudit import statistics
from privaudit.audit.facts import SAMPLES, differences, needed, refusal
from privaudit.audit.verdict import decide, worst
from privaudit.record import BaselineUsed, Comparison, Interval
from privaudit.record.baseline import keyed
from privaudit.statistics import ResultScores

if TYPE_CHECKING:
    from collections.abc import Mapping

    from privaudit.record import AttackResult, Baseline
    from privaudit.record.baseline import BaselineResult
    from privaudit.settings import AuditSettings
    from privaudit.statistics import AucChange

__all__ = ["Reference", "Terms", "judged"]


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
        found = differences(old, needed(facts, scenario, attack), samples=not other_samples)
        if not found:
            return ""
        counts = [
            f"{name}: {facts[name]['count']}, and were {old.get(name, {}).get('count')}"
            for name in SAMPLES
            if name in found
        ]
        return refusal(found, self.where, f"other samples ({'; '.join(counts)})", self.command)

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
