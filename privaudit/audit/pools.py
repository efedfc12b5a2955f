"""Samples beside all answers of the model that was asked, and not only their own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from privaudit.attacks.pool import nearness
from privaudit.measurements.pool import share_answers

if TYPE_CHECKING:
    from privaudit.measurements import Features

__all__ = ["BLOCK", "beside_pool", "in_one_pool"]

BLOCK = "pool"


def in_one_pool(one: Features, other: Features) -> list[Features]:
    """Compare two groups of samples, of which one model was asked, with all of its answers.

    Those of the base, if it was asked the same, are put together likewise: what is subtracted has
    as many answers, to the same prompts.
    """
    both = [one, other]
    if one.pool is not None and other.pool is not None:
        pools = share_answers(one.pool, other.pool)
        both = [replace(f, pool=pool) for f, pool in zip(both, pools, strict=True)]
    if one.base_pool is not None and other.base_pool is not None:
        pools = share_answers(one.base_pool, other.base_pool)
        both = [replace(f, base_pool=pool) for f, pool in zip(both, pools, strict=True)]
    return both


def beside_pool(features: Features) -> Features:
    """Add the block ``"pool"``: how near each sample is to any answer, not only to its own.

    Asked by the words of a captioner, a model that memorised a member may draw it for somebody
    else. See :func:`privaudit.attacks.pool.nearness`; ``"pool over base"`` is the same less that of
    the base's answers. Without a pool nothing is added.

    Parameters
    ----------
    features
        With a pool that is complete: nearness to a part of it is another thing.
    """
    if features.pool is None:
        return features
    blocks = {**features.blocks, BLOCK: nearness(features.pool)}
    if features.base_pool is not None:
        blocks[f"{BLOCK} over base"] = blocks[BLOCK] - nearness(features.base_pool)
    return replace(features, blocks=blocks)
