"""The query plan: what is asked of a generator, and with which seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privaudit.samples import Sample

__all__ = ["Query", "plan_queries", "query_seed"]


@dataclass(frozen=True)
class Query:
    """One image to generate: for whom, from what text, from which seed."""

    sample: Sample
    prompt: str
    seed: int


def query_seed(audit_seed: int, sample_id: str, repetition: int) -> int:
    """Derive a query's seed, a non-negative 63-bit integer.

    It depends on nothing else, so the order of the queries, their batches and the process that
    runs them cannot change an image.
    """
    digest = hashlib.sha256(f"{audit_seed}\0{sample_id}\0{repetition}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


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
        Query(sample, prompt, query_seed(audit_seed, sample.id, repetition))
        for sample, prompt in zip(samples, prompts, strict=True)
        for repetition in range(m)
    ]
