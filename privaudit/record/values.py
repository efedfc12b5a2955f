"""The typed values that records are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from privaudit.errors import RecordError
from privaudit.files import parse_json

__all__ = [
    "Answers",
    "Chance",
    "Claim",
    "Counts",
    "DetectableAUC",
    "EpsilonBound",
    "ExposedMember",
    "GroupAUC",
    "Interval",
    "NearCopies",
    "OperatingPoint",
    "Rate",
    "SequentialPath",
    "SequentialStep",
    "TprBudget",
    "Value",
]


Share = Annotated[float, Field(ge=0, le=1)]
"""An AUC, a rate or a p-value."""
Count = Annotated[int, Field(ge=0)]
Verdict = Annotated[str, Field(pattern="^(pass|fail|inconclusive)$")]


def plain(value: Any) -> Any:
    """Turn NumPy's scalars and arrays into what JSON and xdist can carry."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value.tolist() if hasattr(value, "tolist") else value


class Value(BaseModel):
    """A frozen record of plain Python values, which refuses unknown fields, NaN and infinity.

    A NumPy scalar would stop an xdist worker from sending its report, and pytest would then end
    green: every value is made plain when the record is made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: Any) -> Any:
        return plain(given) if isinstance(given, Mapping) else given

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "the record") -> Self:
        """Read what :meth:`to_json` wrote.

        Parameters
        ----------
        text
            The JSON.
        where
            What it is called in an error, such as the name of its file.

        Raises
        ------
        RecordError
            If it is something else: no JSON, of another schema version, or with a value of another
            type or out of its range.
        """
        content = parse_json(text, where, RecordError)
        version = cls.model_fields.get("schema_version")
        if version is not None:
            there = content.get("schema_version") if isinstance(content, dict) else None
            if type(there) is not int or there != version.default:
                msg = (
                    f"{where} has schema version {str(there)[:20]}, and this privaudit reads "
                    f"{version.default}: write it again, or use the privaudit that wrote it"
                )
                raise RecordError(msg)
        try:
            json.dumps(content, allow_nan=False)  # in what has no type, too
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))[:200]
            msg = f"{where} is damaged at {place!r} ({first['msg'][:200]}): write it again"
            raise RecordError(msg) from None  # the cause would quote what is in it
        except ValueError:
            msg = f"{where} has a number that is not finite: write it again"
            raise RecordError(msg) from None

    def to_json(self) -> str:
        """Return the record as JSON, indented."""
        return self.model_dump_json(indent=2)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain dictionaries and lists."""
        return self.model_dump(mode="json")


class Answers(Value):
    """How many answers of a target were counted, and how many of them are no pictures.

    Attributes
    ----------
    n
        Answers.
    flat
        Those that are one colour, or nearly so.
    repeated
        Those that were also, or nearly, given to another prompt.
    refused
        Queries that a policy of the target's own left without a picture; their samples are left
        out of all that is scored.
    """

    n: Count = 0
    flat: Count = 0
    repeated: Count = 0
    refused: Count = 0


class Chance(Value):
    """What samples and gate can be expected to do, known before anything is generated.

    Attributes
    ----------
    false_red
        How often the gate ``point`` is red of a model that leaks nothing, at most.
    least
        Evaluated samples of each class with which that is 5 %; ``None`` if 10 million are too
        few.
    to_decide
        Evaluated samples of each class with which, four times in five, a model that leaks
        nothing passes ``certify``, and an AUC of ``leak`` is shown to be over the budget.
    leak
        As far above the budget as 0.5 is below it, or half-way to 1.
    n_results
        Results that are decided together.
    evaluated
        The smallest evaluation set of the audit.
    """

    false_red: float
    least: int | None
    to_decide: int | None
    leak: float
    n_results: int
    evaluated: Counts


class NearCopies(Value):
    """How many samples of the evaluation set were redrawn nearly exactly.

    Attributes
    ----------
    threshold
        Structural similarity of the best answer from which it counts as a copy: halfway between
        the highest of a calibration non-member and 1.
    members, non_members
        How many are above it.
    """

    threshold: float
    members: Count
    non_members: Count


class Counts(Value):
    """How many samples of each class."""

    members: Count
    non_members: Count


class Interval(Value):
    """Bounds of a quantity, which hold with this confidence."""

    low: float
    high: float
    confidence: Share

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low <= self.high:
            msg = f"its lower bound, {self.low:g}, is above its upper one, {self.high:g}"
            raise ValueError(msg)
        return self


def _in_unit(interval: Interval) -> Interval:
    if not 0 <= interval.low <= interval.high <= 1:
        msg = f"its bounds, {interval.low:g} and {interval.high:g}, are not in [0, 1]"
        raise ValueError(msg)
    return interval


ShareInterval = Annotated[Interval, AfterValidator(_in_unit)]
"""Bounds of an AUC or a rate."""


class Rate(Value):
    """A share of samples in [0, 1], with its interval (Clopper & Pearson 1934)."""

    value: Share
    interval: ShareInterval


class OperatingPoint(Value):
    """Rates at a threshold that was fixed on calibration non-members.

    Attributes
    ----------
    target_fpr
        The false positive rate that the threshold was chosen for.
    threshold
        Scores above it are called members.
    tpr, fpr
        True and false positive rates that it achieved on the evaluation set.
    true_positives, false_positives
        The counts behind them.
    """

    target_fpr: Share
    threshold: float
    tpr: Rate
    fpr: Rate
    true_positives: Count
    false_positives: Count


class TprBudget(Value):
    """The largest share of members that may be found at a low false positive rate.

    Attributes
    ----------
    max_tpr, source
        The largest true positive rate accepted, and where that number was set.
    at_fpr
        The false positive rate that the threshold was chosen for, on calibration non-members.
    needed
        Calibration non-members that such a threshold needs.
    point
        What the threshold achieved, with bounds that hold for all results of the audit together;
        ``None`` if there were too few calibration non-members.
    verdict
        As of a result; ``"inconclusive"`` if there is no such threshold.
    """

    max_tpr: Share
    source: str
    at_fpr: Share
    needed: Count
    point: OperatingPoint | None
    verdict: Verdict


class ExposedMember(Value):
    """A member whose score stands out from those of the non-members.

    Attributes
    ----------
    id, score
        Whose, and which.
    p_value
        How often a new non-member would score as high, in (0, 1].
    """

    id: str
    score: float
    p_value: Share


class GroupAUC(Value):
    """The AUC within one group of samples.

    Attributes
    ----------
    group
        Its name.
    evaluation
        Members and non-members of it.
    auc, interval
        ``None`` with fewer than two of a class. The intervals of all groups hold together.
    """

    group: str
    evaluation: Counts
    auc: Share | None
    interval: ShareInterval | None


class DetectableAUC(Value):
    """Smallest AUC that so many samples tell from 0.5, and from the budget, four times in five.

    ``None`` where there is none.
    """

    from_half: float | None
    from_budget: float | None


class SequentialStep(Value):
    """The state of a sequential test after a chunk of pairs."""

    n_pairs: int
    auc: float
    low: float
    high: float


class SequentialPath(Value):
    """How a sequential audit came to its end.

    Attributes
    ----------
    n_pairs, max_pairs
        Pairs that were asked, and that there were.
    estimate
        AUC, corrected for stopping; the shares of ``path`` are what the verdict rests on, and
        chance has carried the last of them away from the budget.
    verdict
        ``"pass"``, ``"fail"`` or, if the pairs ran out, ``None``.
    pairs_needed
        Pairs that would decide, if the AUC stays, or ``None``.
    path
        The state after every chunk.
    """

    n_pairs: int
    max_pairs: int
    estimate: float
    verdict: str | None
    pairs_needed: int | None
    path: list[SequentialStep]


class Claim(Value):
    """A claimed differential privacy guarantee.

    Attributes
    ----------
    epsilon, delta
        What is claimed.
    mechanism
        What gives it: ``"gaussian"`` for noise as DP-SGD adds it, with which far fewer samples
        refute a claim, or ``"any"``.
    attack
        The one result that checks the claim, named beforehand, such as ``"III-threshold"``;
        ``None`` for all that can, which then share the error.
    guesses
        The share of the coins that is guessed, the surest of them, fixed beforehand; ``None`` tries
        five shares, each with a fifth of the error. A strong attack refutes more with one.
    """

    epsilon: float
    delta: float
    mechanism: Literal["any", "gaussian"] = "any"
    attack: str | None = None
    guesses: Annotated[float, Field(gt=0, le=1)] | None = None


class EpsilonBound(Value):
    """A lower bound on ε, and what it rests on.

    Attributes
    ----------
    epsilon, delta
        The bound at this δ; it holds for all results of attack-III and attack-IV together, or
        for the one that a claim names.
    mechanism
        What it holds for: ``"any"`` (Steinke, Nasr & Jagielski 2023), or a ``"gaussian"`` one
        (Mahloujifar, Melis & Chaudhuri 2024).
    provable
        The largest ε that so many samples could have proved of any model.
    coins_needed
        Where these could not have refuted the claim: how many coins could, every guess right;
        ``None`` if they could, if there is no claim, or if no number is known.
    from_rates
        The same by Clopper–Pearson bounds on the rates at the calibrated threshold, which take
        samples for independent.
    coin_split
        The record that proves how membership was decided.
    """

    epsilon: float
    delta: float
    mechanism: Literal["any", "gaussian"]
    provable: float
    coins_needed: int | None = None
    from_rates: float
    coin_split: dict[str, Any]
