"""What a target can do, and what is known of it, beside its answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from PIL import Image

    from privaudit.targets.queries import Query

__all__ = ["Capabilities", "capabilities_of"]


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """All that an audit wants to know of a target beside its answers and its fingerprint.

    The defaults are those of a plain callable: it is asked for any text and seed, from any
    process, and its answers are kept. A target states what is otherwise in its attribute
    ``capabilities``, and nothing else of it is looked at.

    Parameters
    ----------
    worth_storing
        Whether its answers are kept in the store; ``False`` where they are quicker made than read.
    stays_here
        Whether only the session's own process may ask it, and no worker of Ray.
    answers_any
        Whether it answers any query; ``False`` for a list of answers that were made before.
    ignores_prompts
        Whether it draws the same for any text on purpose, as a control does. Any other target
        that does makes an audit invalid.
    takes_seeds
        Whether a seed reaches the model; whether it is honoured is found out.
    may_refuse
        Whether it may answer with ``Answer(query, image, "CODE")``, by a policy of its own.
    paid
        Whether each answer costs money: it is asked in small batches, so that a failure loses
        little.
    recheck
        Whether the fingerprint is its owner's word: one answer of an earlier session is then asked
        for again, and must be the same.
    unchecked
        Sentences on what a reader of the record must take on trust.
    pace
        What all targets that are as fast have in common: one of them is timed. By default the
        fingerprint.
    seconds_per_image
        Estimates the time of an answer in seconds; returns ``None`` where it does not know.
    plan_notes
        Sentences for the plan, given the number of new answers.
    knows
        Whether it has an answer to a query, where it does not answer any.
    vary
        Draws pictures anew, as of :class:`privaudit.targets.image_to_image.Varies`.
    vary_once
        Draws pictures anew in one step without guidance, with the arguments of ``vary``.
    pipeline
        Returns the diffusers pipeline inside, for attacks with the weights.
    draws_as_base
        Whether it draws what its base draws; ``None`` where it knows no base.
    ignores_probe_prompts
        Whether its own probe shows that it ignores its prompts.

    Examples
    --------
    >>> Capabilities(may_refuse=True, paid=True).answers_any
    True
    """

    worth_storing: bool = True
    stays_here: bool = False
    answers_any: bool = True
    ignores_prompts: bool = False
    takes_seeds: bool = True
    may_refuse: bool = False
    paid: bool = False
    recheck: bool = False
    unchecked: tuple[str, ...] = ()
    pace: str | None = None
    seconds_per_image: Callable[[], float | None] | None = None
    plan_notes: Callable[[int], Iterable[str]] | None = None
    knows: Callable[[Query], bool] | None = None
    vary: Callable[..., list[Image.Image]] | None = None
    vary_once: Callable[..., list[Image.Image]] | None = None
    pipeline: Callable[[], Any] | None = None
    draws_as_base: Callable[[], bool | None] | None = None
    ignores_probe_prompts: Callable[[], bool] | None = None


def capabilities_of(target: Any) -> Capabilities:
    """Return what a target states of itself, or the defaults.

    Parameters
    ----------
    target
        Any target; one without ``capabilities`` that has a method ``vary`` takes pictures.

    Raises
    ------
    TypeError
        If its ``capabilities`` are something else: they would be passed over.
    """
    stated = getattr(target, "capabilities", None)
    if stated is None:
        return Capabilities(vary=getattr(target, "vary", None))
    if not isinstance(stated, Capabilities):
        msg = (
            f"capabilities of {type(target).__name__} is a {type(stated).__name__}: give "
            "privaudit.targets.Capabilities(...)"
        )
        raise TypeError(msg)
    return stated
