"""What the attacks that compare a sample with all generated pictures share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from privaudit.attacks import check_calibration, distances
from privaudit.errors import ScoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from privaudit.measurements import Features
    from privaudit.measurements.pool import Pool

__all__ = ["check_known", "low_quantile", "pool_of"]


def pool_of(features: Features) -> Pool:
    """Return what samples and answers look like.

    Raises
    ------
    ScoreError
        If that was not measured, or is not finite.
    """
    pool = features.pool
    if pool is None or not len(pool.answers):
        msg = (
            "this inference model compares samples with all answers, and the measurement kept none "
            "of them: leave it out with --privaudit-attacks, or make the measurement with pool=True"
        )
        raise ScoreError(msg)
    for group in (pool.samples, pool.answers):
        for values in (group.pixels, group.states):
            if not np.isfinite(values).all():
                n = int((~np.isfinite(values)).any(axis=1).sum())
                msg = f"the features of {n} of {len(values)} pictures are not finite"
                raise ScoreError(msg)
    return pool


def check_known(features: Features, labels: NDArray[np.bool_], least: int) -> Pool:
    """Check that a calibration set can be fitted on, and return its pool.

    Raises
    ------
    ScoreError
        As of :func:`privaudit.attacks.base.check_calibration` and :func:`pool_of`.
    """
    check_calibration(features, labels, least)
    return pool_of(features)


def low_quantile(pool: Pool, share: float) -> float:
    """Return a low quantile of the distances of all samples to all answers.

    As ``numpy.quantile`` has it, without holding all of them.

    Parameters
    ----------
    pool
        Samples and answers.
    share
        In [0, 1).
    """
    place = share * (len(pool.samples) * len(pool.answers) - 1)
    below = int(place)
    least = np.empty(0)
    for block in distances(pool):
        least = np.concatenate([least, block.ravel()])
        if len(least) > below + 2:
            least = np.partition(least, below + 1)[: below + 2]
    least.sort()
    upper = least[min(below + 1, len(least) - 1)]
    return float(least[below] + (place - below) * (upper - least[below]))
