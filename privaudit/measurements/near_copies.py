"""How many samples a target redrew nearly exactly, members against non-members."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from privaudit.errors import ScoreError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["NearCopies", "near_copies"]


class NearCopies(NamedTuple):
    """Counts of samples whose answers come nearer than any known non-member's.

    Attributes
    ----------
    members, non_members
        How many of each were redrawn nearly exactly.
    n_members, n_non_members
        How many of each there are.
    threshold
        The similarity above which an answer counts.
    """

    members: int
    non_members: int
    n_members: int
    n_non_members: int
    threshold: float

    def sentence(self) -> str:
        """Say it in one sentence.

        Examples
        --------
        >>> NearCopies(25, 0, 80, 80, 0.9).sentence()
        '25 of 80 members were redrawn nearly exactly (0 of 80 non-members)'
        """
        return (
            f"{self.members} of {self.n_members} members were redrawn nearly exactly "
            f"({self.non_members} of {self.n_non_members} non-members)"
        )


def near_copies(
    member_similarities: ArrayLike,
    non_member_similarities: ArrayLike,
    calibration_non_member_similarities: ArrayLike,
) -> NearCopies:
    """Count near copies, by a threshold that no evaluated sample has a say in.

    The threshold is the largest similarity of a calibration non-member, plus the gap between the
    median and that largest one, at most halfway to a perfect copy when similarities end at 1. A
    non-member is never copied, so what is that much nearer than the nearest of them is no
    likeness of kind.

    Parameters
    ----------
    member_similarities, non_member_similarities
        Best similarity over its m answers of each evaluated sample, higher is more alike, at most
        1 for a copy; correlations of pixels see near copies best.
    calibration_non_member_similarities
        The same of the non-members of the calibration set, at least ten.

    Raises
    ------
    ScoreError
        If a set is empty, there are fewer than ten calibration non-members, or a similarity is
        not finite or above 1.

    Examples
    --------
    >>> near_copies([0.99, 0.98, 0.5], [0.4, 0.6], [0.1, 0.2, 0.3, 0.4, 0.5] * 2).sentence()
    '2 of 3 members were redrawn nearly exactly (0 of 2 non-members)'
    """
    sets = [
        np.asarray(values, dtype=np.float64).ravel()
        for values in (
            member_similarities,
            non_member_similarities,
            calibration_non_member_similarities,
        )
    ]
    names = ("members", "non-members", "calibration non-members")
    for name, values, least in zip(names, sets, (1, 1, 10), strict=True):
        if len(values) < least:
            msg = f"near copies need at least {least} {name}, and there are {len(values)}: add some"
            raise ScoreError(msg)
        bad = int((~(values <= 1 + 1e-6)).sum() + np.isneginf(values).sum())
        if bad:
            msg = (
                f"{bad} of {len(values)} similarities of {name} are not finite or above 1: near "
                "copies are counted on correlations, not on distances"
            )
            raise ScoreError(msg)
    members, non_members, known = sets
    nearest, usual = float(known.max()), float(np.median(known))
    threshold = nearest + min(nearest - usual, (1 - nearest) / 2)
    return NearCopies(
        int((members > threshold).sum()),
        int((non_members > threshold).sum()),
        len(members),
        len(non_members),
        threshold,
    )
