"""How a target takes what it is asked: whether the seed decides what it draws, and the prompt.

A target that answers one query with two pictures is asked no second time: its answers are draws.
One that draws the same whatever the prompt was never asked what its owner believes.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from privaudit.engines.missing import Missing, refusal_key
from privaudit.engines.task import generate
from privaudit.fingerprint import fingerprint_code, fingerprint_values
from privaudit.measurements.liveness import is_flat
from privaudit.record import Conduct
from privaudit.targets.pictures import largest_difference, mean_difference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from privaudit.audit.experiment import LabelledSet
    from privaudit.audit.scoring import Scorer
    from privaudit.engines.task import Task
    from privaudit.targets import Query

__all__ = ["conduct_of", "judge_conduct"]

PAIRS = 20
"""Pairs of prompts that are asked with one seed, once a first pair gave one picture."""
ALIKE = 1.0
"""Levels of 255 that two pictures of one query may differ by, on average: kernels of a GPU may
round otherwise from call to call, and a new draw is tens of levels away."""
SAME = 1.0
"""Levels of 255 that no value of two equal pictures differs by more than: the last bit."""
LARGEST_IGNORED_SHARE = 0.05
AT_ONCE = 4


def conduct_of(scorer: Scorer, labelled: LabelledSet) -> Conduct:
    """Find out how a target takes seeds and prompts, once for all sessions of the same target.

    The first query is asked twice, and its seed with another prompt. The first answer is kept as
    any other, so that costs two images. A pipeline, which is given its noise, is judged by its
    probe, whose pictures are there; a :class:`privaudit.SavedPipeline` draws its probe for it.

    Parameters
    ----------
    scorer
        Asks, measures and keeps the first answer.
    labelled
        The target, and whom it will be asked about.
    """
    target = labelled.target
    task, queries = scorer.task(target), scorer.queries(labelled.samples)
    freely = getattr(target, "answers_any", True)
    if not (task.asks and freely) or getattr(target, "ignores_prompts", False):
        return Conduct()
    key = fingerprint_values(conduct=target.fingerprint, code=fingerprint_code())

    def ask() -> dict[str, Any]:
        return _asked(scorer, task, queries).to_dict()

    return Conduct(**scorer.store.remembered(key, ask, persistent=task.target.persistent))


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


def _asked(scorer: Scorer, task: Task, queries: Sequence[Query]) -> Conduct:
    target: Any = task.target
    if hasattr(type(target), "ignores_probe_prompts"):
        alike = target.ignores_probe_prompts()
        return _more(task, queries, _drawn(task, queries[:1])[0]) if alike else Conduct(prompts=1)
    if not getattr(target, "takes_seeds", True):
        return Conduct(seeds_honoured=False)
    first = _first(scorer, task, queries[0])
    image = task.keys(queries[:1])[0][0]
    if scorer.store.texts([refusal_key(image)]):
        return Conduct()  # one that will not draw the first query is judged by its answers alone
    honoured = mean_difference(first, _drawn(task, queries[:1])[0]) <= ALIKE
    others = _others(queries)
    if not honoured or not others or is_flat(first):  # flat answers have a reason of their own
        return Conduct(seeds_honoured=honoured)
    found = Conduct(prompts=1)
    if largest_difference(first, _drawn(task, others[:1])[0]) <= SAME:
        found = _more(task, queries, first)
    return found.model_copy(update={"seeds_honoured": True})


def _first(scorer: Scorer, task: Task, query: Query) -> Image.Image:
    """Return the answer to the first query: the stored one, or a new one, which is kept.

    It is claimed as the engines claim theirs, so that two processes do not both draw it.
    """
    missing, drawn = Missing(task, [query], scorer.store), None
    while missing:
        with missing.claim(1) as part:
            if not part:
                continue
            images = missing.stored(part)
            if not images:
                generate(task.target, {0: query}, 1, images, missing.heard)
                scorer.progress(1)
            missing.answer(part, task.measure({0: query}, images))
            drawn = images[0]
    if drawn is None and task.keeps_images:
        drawn = scorer.store.image(task.keys([query])[0][0])
    return _drawn(task, [query])[0] if drawn is None else drawn


def _more(task: Task, queries: Sequence[Query], first: Image.Image) -> Conduct:
    """Compare the first answer with those to more prompts, with its seed."""
    pictures = _drawn(task, _others(queries)[:PAIRS])
    ignored = sum(largest_difference(first, picture) <= SAME for picture in pictures)
    return Conduct(prompts=len(pictures), ignored=ignored)


def _others(queries: Sequence[Query]) -> list[Query]:
    """Return the first query with each other prompt, those that share the fewest words first."""
    first = queries[0]
    words = set(first.prompt.lower().split())
    prompts = dict.fromkeys(query.prompt for query in queries if query.prompt != first.prompt)
    ordered = sorted(prompts, key=lambda prompt: len(words & set(prompt.lower().split())))
    return [dataclasses.replace(first, prompt=prompt) for prompt in ordered]


def _drawn(task: Task, queries: Sequence[Query]) -> list[Image.Image]:
    made: dict[int, Image.Image] = {}
    generate(task.target, dict(enumerate(queries)), AT_ONCE, made)
    return [made[i] for i in range(len(queries))]
