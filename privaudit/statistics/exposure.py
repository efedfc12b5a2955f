"""Who is exposed: single members who stand out from all non-members, with multiplicity control."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from privaudit.errors import SettingError
from privaudit.statistics.roc import checked

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["exposed_members", "member_p_values"]


def member_p_values(member_scores: ArrayLike, non_member_scores: ArrayLike) -> NDArray[np.float64]:
    r"""For each member, how often a new non-member would score as high.

    It is :math:`(1 + \#\{\text{non-members} \ge s\})/(n + 1)`: of n exchangeable scores and one
    more, the new one has such a p-value of at most α with probability at most α, whatever the
    shape of the scores (conformal p-values; Vovk, Gammerman & Shafer 2005).

    Returns
    -------
    numpy.ndarray
        Shape (m,), float64, in (0, 1].

    Raises
    ------
    ScoreError
        If a class is empty or a score is not finite.

    Examples
    --------
    >>> member_p_values([5.0, 0.5], [0.0, 1.0, 2.0]).tolist()
    [0.25, 0.75]
    """
    members, non_members = checked(member_scores, non_member_scores)
    below = np.searchsorted(np.sort(non_members), members, side="left")
    return np.asarray((1 + len(non_members) - below) / (1 + len(non_members)), dtype=np.float64)


def exposed_members(
    member_scores: ArrayLike, non_member_scores: ArrayLike, false_share: float = 0.05
) -> NDArray[np.bool_]:
    """Tell which members stand out from the non-members, few of them by chance.

    By Benjamini and Hochberg's procedure (1995) the expected share of the false among those that
    are named is at most ``false_share``. It holds for these p-values, although all of them rest
    on the same non-members (Bates, Candès, Lei, Romano & Sesia 2023).

    Parameters
    ----------
    member_scores, non_member_scores
        The scores.
    false_share
        Expected share of those named who score as any non-member does, in (0, 1).

    Returns
    -------
    numpy.ndarray
        Shape (m,), bool. One member alone can be named from m / ``false_share`` − 1 non-members
        on, a tenth of m from 10 / ``false_share`` − 1.

    Raises
    ------
    ScoreError
        If a class is empty or a score is not finite.
    SettingError
        If ``false_share`` is outside (0, 1).

    Examples
    --------
    >>> exposed_members([9, 8, 7, 0.5], [0.1 * i for i in range(60)]).tolist()
    [True, True, True, False]
    """
    if not 0 < false_share < 1:
        msg = f"false_share={false_share!r} is outside (0, 1)"
        raise SettingError(msg)
    p_values = member_p_values(member_scores, non_member_scores)
    ordered = np.sort(p_values)
    ranks = np.arange(1, len(ordered) + 1)
    within = np.flatnonzero(ordered <= false_share * ranks / len(ordered))
    if not len(within):
        return np.zeros(len(p_values), dtype=bool)
    return np.asarray(p_values <= ordered[within[-1]])
