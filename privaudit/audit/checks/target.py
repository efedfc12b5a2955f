"""Checks of the target: how it takes seeds and prompts, refusals, answers that are no pictures."""

from __future__ import annotations

import collections
import dataclasses
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from privaudit.engines.missing import Missing, refusal_key
from privaudit.engines.task import generate
from privaudit.errors import InvalidAuditError, StoreError
from privaudit.fingerprint import fingerprint_code, fingerprint_values
from privaudit.measurements.liveness import is_flat
from privaudit.record import Answers, Conduct
from privaudit.targets.capabilities import capabilities_of
from privaudit.targets.pictures import largest_difference, mean_difference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from privaudit.audit.scoring import Scorer
    from privaudit.audit.sets import LabelledSet, Sets
    from privaudit.engines.task import Task
    from privaudit.samples import Sample
    from privaudit.targets import Query

__all__ = [
    "Refusals",
    "check_none_refused",
    "conduct_of",
    "find_refusals",
    "judge_answers",
    "judge_conduct",
    "may_refuse",
]


PAIRS = 20
"""Pairs of prompts that are asked with one seed, once a first pair gave one picture."""
ALIKE = 1.0
"""Levels of 255 that two pictures of one query may differ by, on average: kernels of a GPU may
round otherwise from call to call, and a new draw is tens of levels away."""
UNCHANGED = 0.1
"""Levels of 255, on average, that a stored answer and a new one of the same model may differ by
where two answers of one session did not differ at all: fifty times what batches of another size
moved in half precision on an H200 (benchmarks/notes/performance.md)."""
SAME = 1.0
"""Levels of 255 that no value of two equal pictures differs by more than: the last bit."""
LARGEST_IGNORED_SHARE = 0.05
AT_ONCE = 4


def conduct_of(scorer: Scorer, labelled: LabelledSet) -> Conduct:
    """Find out how a target takes seeds and prompts, once for all sessions of the same target.

    The first query is asked twice, and its seed with another prompt. The first answer is kept as
    any other, so that costs two images. A pipeline, which is given its noise, is judged by its
    probe, whose pictures are there; a :class:`privaudit.SavedPipeline` draws its probe for it.
    A target whose fingerprint is its owner's word is asked again, in each later session, for one
    answer that is stored: one image.

    Parameters
    ----------
    scorer
        Asks, measures and keeps the first answer.
    labelled
        The target, and whom it will be asked about.

    Raises
    ------
    StoreError
        If that answer is another picture now.
    """
    target = labelled.target
    task, queries = scorer.task(target), scorer.queries(labelled.samples)
    able = capabilities_of(target)
    if not (task.asks and able.answers_any) or able.ignores_prompts:
        return Conduct()
    key = fingerprint_values(conduct=target.fingerprint, code=fingerprint_code())
    changes = fingerprint_values(change=target.fingerprint)

    def ask() -> dict[str, Any]:
        conduct = _observe(scorer, task, queries).to_dict()
        scorer.store.remembered(changes, lambda: None, persistent=False)
        return conduct

    conduct = Conduct(**scorer.store.remembered(key, ask, persistent=task.target.persistent))
    if not (conduct.seeds_honoured and able.recheck):
        return conduct

    def compare() -> float | None:
        return _measure_change(scorer, task, queries, conduct.noise)

    return conduct.model_copy(
        update={"change": scorer.store.remembered(changes, compare, persistent=False)}
    )


def judge_conduct(role: str, conduct: Conduct) -> list[str]:
    """Say why nothing can be concluded from a target that ignores its prompts.

    Parameters
    ----------
    role
        Who was asked, such as ``"target_model"``.
    conduct
        What was found.
    """
    if conduct.ignored <= LARGEST_IGNORED_SHARE * conduct.prompts:
        return []
    return [
        f"{conduct.ignored} of {conduct.prompts} pairs of prompts, each with one seed, got one "
        f"picture of {role}: it ignores its prompts, and so cannot give anything away\nlook at "
        "what it draws, and whether the prompt reaches the model"
    ]


def _observe(scorer: Scorer, task: Task, queries: Sequence[Query]) -> Conduct:
    target: Any = task.target
    able = capabilities_of(target)
    if able.ignores_probe_prompts is not None:
        alike = able.ignores_probe_prompts()
        return (
            _compare_prompts(task, queries, _draw(task, queries[:1])[0])
            if alike
            else Conduct(prompts=1)
        )
    if not able.takes_seeds:
        return Conduct(seeds_honoured=False)
    first, was_stored = _answer_first(scorer, task, queries[0])
    image = task.keys(queries[:1])[0][0]
    if scorer.store.texts([refusal_key(image)]):
        return Conduct()  # one that will not draw the first query is judged by its answers alone
    again = _draw(task, queries[:1])[0]
    noise = mean_difference(first, again)
    if noise > ALIKE:
        # An older answer differs from those of another model, too: two new ones tell which it is.
        if was_stored and mean_difference(again, _draw(task, queries[:1])[0]) <= ALIKE:
            raise _change_error(task, noise, ALIKE)
        return Conduct(seeds_honoured=False)
    others = _other_prompts(queries)
    conduct = Conduct()
    if others and not is_flat(first):  # flat answers have a reason of their own
        conduct = Conduct(prompts=1)
        if largest_difference(first, _draw(task, others[:1])[0]) <= SAME:
            conduct = _compare_prompts(task, queries, first)
    return conduct.model_copy(update={"seeds_honoured": True, "noise": noise})


def _measure_change(
    scorer: Scorer, task: Task, queries: Sequence[Query], noise: float | None
) -> float | None:
    """Ask again for the first answer that is stored, and return how far the new one is from it."""
    images = task.keys(queries)[0]
    refused = scorer.store.texts([refusal_key(image) for image in images])
    for image, query in zip(images, queries, strict=True):
        stored = None if refusal_key(image) in refused else scorer.store.image(image)
        if stored is not None:
            change = mean_difference(stored, _draw(task, [query])[0])
            most = min(ALIKE, max(UNCHANGED, 4 * (noise or 0)))
            if change > most:
                raise _change_error(task, change, most)
            return change
    return None


def _change_error(task: Task, change: float, most: float) -> StoreError:
    what = task.target.describe()
    name = f"{what.get('class')} {what.get('version', what.get('identity'))!r}"
    apart = "another size" if math.isinf(change) else f"{change:.3g} levels of 255 away on average"
    return StoreError(
        f"the store has answers of {name}, and asked again for one of them it drew another picture "
        f"({apart}; {most:.3g} may be rounding)\n"
        "another model answers now under the version or fingerprint that you gave, or the service "
        "draws otherwise than it did: give a new version or fingerprint, and everything is asked "
        "anew; where the model is surely the same, recheck=False takes the stored answers"
    )


def _answer_first(scorer: Scorer, task: Task, query: Query) -> tuple[Image.Image, bool]:
    """Return the answer to the first query, and whether it was stored; a new one is kept.

    The target is locked as the engines lock it, so that two processes do not both draw it.
    """
    drawn, was_stored = None, True
    if Missing(task, [query], scorer.store):
        with scorer.store.alone(task.target.fingerprint):
            missing = Missing(task, [query], scorer.store)
            if missing:
                images = missing.stored([0])
                was_stored = bool(images)
                if not images:
                    generate(task.target, {0: query}, 1, images, missing.heard)
                    scorer.progress(1)
                missing.answer([0], task.measure({0: query}, images))
                drawn = images[0]
    if drawn is None and task.keeps_images:
        drawn = scorer.store.image(task.keys([query])[0][0])
    if drawn is None:
        return _draw(task, [query])[0], False
    return drawn, was_stored


def _compare_prompts(task: Task, queries: Sequence[Query], first: Image.Image) -> Conduct:
    """Compare the first answer with those to more prompts, with its seed."""
    pictures = _draw(task, _other_prompts(queries)[:PAIRS])
    ignored = sum(largest_difference(first, picture) <= SAME for picture in pictures)
    return Conduct(prompts=len(pictures), ignored=ignored)


def _other_prompts(queries: Sequence[Query]) -> list[Query]:
    """Return the first query with each other prompt, those that share the fewest words first."""
    first = queries[0]
    words = set(first.prompt.lower().split())
    prompts = dict.fromkeys(query.prompt for query in queries if query.prompt != first.prompt)
    ordered = sorted(prompts, key=lambda prompt: len(words & set(prompt.lower().split())))
    return [dataclasses.replace(first, prompt=prompt) for prompt in ordered]


def _draw(task: Task, queries: Sequence[Query]) -> list[Image.Image]:
    pictures: dict[int, Image.Image] = {}
    generate(task.target, dict(enumerate(queries)), AT_ONCE, pictures)
    return [pictures[i] for i in range(len(queries))]


@dataclass(frozen=True)
class Refusals:
    """What the models of one threat model will not draw, by a policy of their own.

    Attributes
    ----------
    sets
        What is left of the sets.
    answers
        How many queries each model refused.
    reasons
        Why nothing can be concluded, if that is too many.
    notes
        A sentence for each model that refused.
    """

    sets: Sets
    answers: dict[str, Answers]
    reasons: list[str]
    notes: list[str]


def may_refuse(scorer: Scorer, sets: Sets) -> bool:
    """Tell whether any model of a threat model is one that may have a policy."""
    models = [sets.calibration.target, sets.evaluation.target, scorer.base]
    return any(capabilities_of(model).may_refuse for model in models)


def find_refusals(scorer: Scorer, sets: Sets) -> Refusals:
    """Ask all queries, and leave out the samples that one of them was refused for.

    Parameters
    ----------
    scorer
        Asks.
    sets
        Whom, about whom.
    """
    scorer.prefetch(sets.labelled)
    codes: dict[str, dict[str, list[str]]] = collections.defaultdict(dict)
    n_queries: dict[str, int] = collections.Counter()
    for labelled in sets.labelled:
        models = {labelled.role: labelled.target}
        if scorer.base is not None:
            models["base_model"] = scorer.base
        for name, model in models.items():
            codes[name] |= _refusal_codes(scorer, model, labelled.samples)
            n_queries[name] += scorer.m * len(labelled.samples)
    gone = {sample for refusals in codes.values() for sample in refusals}
    left = [_without(labelled, gone) for labelled in sets.labelled]
    reasons, notes, answers = [], [], {}
    for name, refusals in codes.items():
        n = sum(map(len, refusals.values()))
        if not n:
            continue
        answers[f"{name} by {sets.threat_model.words}, refusals"] = Answers(
            n=n_queries[name], refused=n
        )
        code = collections.Counter(c for each in refusals.values() for c in each)
        sentence = (
            f"{name} refused {n} of {n_queries[name]} queries by a policy of its own "
            f"({code.most_common(1)[0][0]})"
        )
        members = sum(sample.id in refusals for one in sets.labelled for sample in one.members)
        others = len(refusals) - members
        notes.append(f"{sentence}: {members} members and {others} non-members are left out")
        if n > LARGEST_DEAD_SHARE * n_queries[name]:
            reasons.append(
                f"{sentence}, and a model that will not draw what it knows hides whatever it "
                "memorised\nhave the filter turned off for the audit, or audit other samples"
            )
    if not reasons and not all(side for s in left for side in (s.members, s.non_members)):
        reasons.append("after refusals, a set of members or non-members is empty: add samples")
    sets = replace(sets, calibration=left[0], evaluation=left[1])
    return Refusals(sets, answers, reasons, notes)


def _refusal_codes(
    scorer: Scorer, model: object, samples: Sequence[Sample]
) -> dict[str, list[str]]:
    """Return the codes by which a model refused, by the id of the sample."""
    queries = scorer.queries(samples)
    keys = [refusal_key(image) for image in scorer.task(model).keys(queries)[0]]
    texts = scorer.store.texts(keys)
    codes: dict[str, list[str]] = collections.defaultdict(list)
    for query, key in zip(queries, keys, strict=True):
        if key in texts:
            codes[query.sample.id].append(texts[key])
    return dict(codes)


def check_none_refused(scorer: Scorer, *sets: LabelledSet) -> None:
    """Refuse to conclude anything from a sequential audit that was refused a picture.

    It cannot leave samples out: it asks pair by pair, and stops by what it saw.

    Raises
    ------
    InvalidAuditError
        If there was a refusal.
    """
    models = [(labelled.target, labelled.samples) for labelled in sets]
    if scorer.base is not None:
        models += [(scorer.base, labelled.samples) for labelled in sets]
    n = sum(
        len(codes)
        for model, samples in models
        if capabilities_of(model).may_refuse
        for codes in _refusal_codes(scorer, model, samples).values()
    )
    if n:
        msg = (
            f"{n} queries were refused by a policy of the service's own, and a sequential audit "
            "cannot leave samples out: run it without --privaudit-sequential, which asks nothing "
            "again"
        )
        raise InvalidAuditError(msg)


def _without(labelled: LabelledSet, gone: set[str]) -> LabelledSet:
    members, others = (
        [sample for sample in side if sample.id not in gone]
        for side in (labelled.members, labelled.non_members)
    )
    return replace(labelled, members=members, non_members=others)


LARGEST_DEAD_SHARE = 0.05
"""Share of the answers that may be of one colour, or the same for several prompts."""


def judge_answers(role: str, answers: Answers) -> list[str]:
    """Say why nothing can be concluded from answers, if too many of them are no pictures.

    Parameters
    ----------
    role
        Who answered, such as ``"target_model"``.
    answers
        What was counted.
    """
    kinds = {
        "of one colour": (
            answers.flat,
            "a safety filter, or a float16 overflow, hides whatever was memorised: turn the filter "
            "off, or load the model in float32",
        ),
        "the same picture as the answer to another prompt": (
            answers.repeated,
            "a model that ignores its prompt cannot give anything away: look at what it draws",
        ),
    }
    return [
        f"{count} of {answers.n} answers of {role} are {what}\n{way_out}"
        for what, (count, way_out) in kinds.items()
        if count > LARGEST_DEAD_SHARE * answers.n
    ]
