"""Samples beside all answers of the model that was asked, and not only their own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from privaudit.attacks.pool import nearness
from privaudit.measurements.pool import Appearance, Pool, share_answers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from privaudit.measurements import Features

__all__ = ["BLOCK", "CELLS", "beside_cells", "beside_pool", "in_one_pool"]

BLOCK, CELLS = "pool", "cells"


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


def beside_cells(
    sets: Sequence[Features], samples: Sequence[NDArray[np.float32]], *, one_model: bool
) -> list[Features]:
    """Add the block ``"cells"``: what ``"pool"`` is, by the small picture kept of each answer.

    Of every answer a row keeps the mean colours of 4 × 4 cells, see
    :mod:`privaudit.measurements.liveness`. They tell a copy from nearly any other picture, and are
    there where no attack of the audit asked for a pool.

    Parameters
    ----------
    sets
        Two groups of samples, each beside its own answers.
    samples
        The same of the samples themselves, in levels of 255, shape (n, 48) each.
    one_model
        Whether both groups were asked of one model, all of whose answers are then the pool.
    """
    if any(one.facts is None for one in sets):
        return list(sets)
    pools = tuple(_cell_pool(one, cells) for one, cells in zip(sets, samples, strict=True))
    if one_model:
        pools = share_answers(*pools)
    return [
        replace(one, blocks={**one.blocks, CELLS: nearness(pool)})
        for one, pool in zip(sets, pools, strict=True)
    ]


def _cell_pool(features: Features, cells: NDArray[np.float32]) -> Pool:
    facts = features.facts
    assert facts is not None
    answers = facts[..., 1:].reshape(-1, facts.shape[-1] - 1)
    own, all_answers = (
        Appearance(levels / np.float32(255), np.empty((len(levels), 0), np.float32))
        for levels in (cells, answers)
    )
    return Pool(own, all_answers, facts.shape[1])
