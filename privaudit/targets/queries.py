"""The query plan: what is asked of a target, and with which seed; and what an answer is."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from PIL import Image

    from privaudit.samples import Sample

__all__ = [
    "Answer",
    "Query",
    "hide_prompts",
    "in_one_call",
    "naming_samples",
    "plan_queries",
    "portable_seed",
    "query_seed",
]


@dataclass(frozen=True)
class Query:
    """One image to generate.

    Parameters
    ----------
    sample
        For whom.
    prompt
        From what text.
    repetition
        Which of the sample's m queries it is, from 0.
    seed
        From what noise: a non-negative 63-bit integer.
    """

    sample: Sample
    prompt: str = field(repr=False)
    repetition: int
    seed: int


class Answer(NamedTuple):
    """What a target says to one query."""

    query: Query
    image: Image.Image
    """RGB."""
    refusal: str | None = None
    """Why the target will not draw this, by a policy of its own; the image then stands for none."""


SHORT = 6
"""Letters of a prompt that is hidden in quotes only: the word "a" is in every sentence."""


def hide_prompts(text: str, queries: Iterable[Query]) -> str:
    """Name samples in place of their prompts, which may be private, in the text of an error.

    Parameters
    ----------
    text
        What a target, or the model in it, says.
    queries
        What it was asked.

    Examples
    --------
    >>> from PIL import Image
    >>> from privaudit import Sample
    >>> sample = Sample(Image.new("L", (8, 8)), "a cat", id="7")
    >>> hide_prompts("no image for 'a cat'", [Query(sample, "a cat", 0, 1)])
    "no image for the prompt of sample '7'"
    """
    names = {query.prompt: f"the prompt of sample {query.sample.id!r}" for query in queries}
    for prompt in sorted(names, key=len, reverse=True):
        forms = [repr(prompt), json.dumps(prompt), json.dumps(prompt, ensure_ascii=False)]
        forms += [prompt, repr(prompt)[1:-1]] if len(prompt) >= SHORT else []
        for form in forms:
            text = text.replace(form, names[prompt])
    return text


@contextlib.contextmanager
def naming_samples(queries: Iterable[Query]) -> Iterator[None]:
    """Have an error that is raised inside name samples in place of their prompts."""
    try:
        yield
    except PrivauditError as error:
        error.args = tuple(
            hide_prompts(one, queries) if isinstance(one, str) else one for one in error.args
        )
        raise


def in_one_call(
    generate: Callable[[Sequence[str], Sequence[int]], list[Image.Image]],
    queries: Sequence[Query],
) -> list[Answer]:
    """Answer queries by one call with all prompts and seeds, which returns images in order."""
    with naming_samples(queries):
        images = generate([query.prompt for query in queries], [query.seed for query in queries])
    return [Answer(query, image) for query, image in zip(queries, images, strict=True)]


def query_seed(audit_seed: int, sample_id: str, repetition: int) -> int:
    """Derive a query's seed, a non-negative 63-bit integer.

    It depends on nothing else, so the order of the queries, their batches and the process that
    runs them cannot change an image.
    """
    digest = hashlib.sha256(f"{audit_seed}\0{sample_id}\0{repetition}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def portable_seed(seed: int) -> int:
    """Return the upper 31 bits of a query's seed, for models that are not called from here.

    Spreadsheets and JavaScript round whole numbers above 2**53, NumPy takes 32 bits, and some
    services read a signed number.
    """
    return seed >> 32


def plan_queries(
    samples: Sequence[Sample], prompts: Sequence[str], m: int, audit_seed: int
) -> list[Query]:
    """List the m queries of each sample, sample by sample.

    Parameters
    ----------
    samples
        n samples.
    prompts
        n texts, one for each sample: its caption, or what a captioner wrote.
    m
        Query budget: images a sample.
    audit_seed
        The audit's seed.

    Returns
    -------
    list of Query
        n × m queries.
    """
    return [
        Query(sample, prompt, repetition, query_seed(audit_seed, sample.id, repetition))
        for sample, prompt in zip(samples, prompts, strict=True)
        for repetition in range(m)
    ]
