"""What the target is asked: how often, and in which words."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from privaudit.study.axes.base import Axis
from privaudit.study.cells import Cell, LeftOut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from privaudit.audit.sets import Sets
    from privaudit.study.owner import Owner

__all__ = ["Prompts", "Queries"]


class Queries(Axis):
    """Budgets of 1 to 10 queries a sample, out of one set of ten."""

    name = "queries"
    question = "How many queries a sample does an attacker need?"
    x_label = "query budget m (images a sample)"

    def cells(self, owner: Owner) -> Iterable[Cell]:
        """Yield the ten budgets: the first m of ten answers have the seeds of a smaller audit."""
        most = 10
        for m in (most, *range(1, most)):  # the ten first: all others are among them
            yield Cell(str(m), owner.audit(queries=m), float(m))


class Prompts(Axis):
    """The same samples, asked for in other words."""

    name = "prompts"
    question = "Does the attacker need the caption that a sample was trained with?"
    x_label = "prompt"
    only = ("I", "III")  # II and IV are the cell of the captioner's words

    def cells(self, owner: Owner) -> Iterable[Cell | LeftOut]:
        """Yield the caption, three changes of it, and what a captioner writes."""
        audit = owner.audit()
        yield Cell("caption", audit)
        words: dict[str, Callable[[str], str]] = {
            "first half of it": _shortened,
            f"with {owner.trigger!r} before it": lambda text: f"{owner.trigger} {text}",
            "a picture of it": lambda text: f"a picture of {text}",
            "empty": lambda _: "",
        }
        for label, rewrite in words.items():
            yield Cell(label, audit, change=_reworded(rewrite))
        if owner.inputs.captioner is None:
            yield LeftOut("needs a captioner", "captioner's")
            return

        def written(sets: Sets) -> Sets:
            return dataclasses.replace(sets, prompts=audit.sets(_by_captioner(sets)).prompts)

        yield Cell("captioner's", audit, change=written)


def _by_captioner(sets: Sets) -> str:
    return "II" if sets.threat_model.knows_members else "IV"


def _shortened(text: str) -> str:
    words = text.split()
    return " ".join(words[: max(1, len(words) // 2)])


def _reworded(rewrite: Callable[[str], str]) -> Callable[[Sets], Sets]:
    def change(sets: Sets) -> Sets:
        prompts = {name: rewrite(text) for name, text in sets.prompts.items()}
        return dataclasses.replace(sets, prompts=prompts)

    return change
