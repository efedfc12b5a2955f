"""From scores to guesses of who is a member: rules that are fixed before the scores are seen."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from privaudit.errors import ScoreError, SettingError
from privaudit.statistics.roc import checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["Bonferroni", "Fixed", "Guesses", "Rule", "TopShare", "make_guesses"]


def _check_share(share: float) -> None:
    if not 0 < share <= 1:
        msg = f"a share of {share!r} of the samples cannot be guessed: use one in (0, 1]"
        raise SettingError(msg)


@dataclass(frozen=True)
class Fixed:
    """Above a threshold is a member, all else is not. It must come from other samples."""

    threshold: float

    def tries(self, n: int) -> tuple[int, ...]:
        """Return how many of n samples are guessed, at each try: all, once."""
        return (n,)


@dataclass(frozen=True)
class TopShare:
    """The surest share of the samples is guessed: half of it the highest scores, half the lowest.

    Parameters
    ----------
    share
        Of all samples, in (0, 1]. Nothing is guessed of the others.

    Raises
    ------
    SettingError
        If ``share`` is outside (0, 1].
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        _check_share(self.share)

    def tries(self, n: int) -> tuple[int, ...]:
        """Return how many of n samples are guessed, at each try."""
        return (2 * int(self.share * n / 2),)


@dataclass(frozen=True)
class Bonferroni:
    """As :class:`TopShare` at several shares, each bound with its part of the error.

    A strong leak shows in a few sure guesses and a weak one in many; this rule need not know
    which it will be. No share is 1: fair coins seldom fall on heads exactly half of the time, so
    a guess that as many are members as not is wrong even of a model that tells everyone.

    Parameters
    ----------
    shares
        Of all samples, each in (0, 1].

    Raises
    ------
    SettingError
        If there is no share, or one is outside (0, 1].
    """

    shares: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5, 0.8)

    def __post_init__(self) -> None:
        if not self.shares:
            msg = "Bonferroni(()) guesses nothing: give at least one share"
            raise SettingError(msg)
        for share in self.shares:
            _check_share(share)

    def tries(self, n: int) -> tuple[int, ...]:
        """Return how many of n samples are guessed, at each try."""
        return tuple(2 * int(share * n / 2) for share in self.shares)


Rule = Fixed | TopShare | Bonferroni


@dataclass(frozen=True)
class Guesses:
    """What one try of a rule made.

    Attributes
    ----------
    correct
        Guesses that were right.
    made
        Guesses that were made.
    """

    correct: int
    made: int


def make_guesses(
    member_scores: ArrayLike,
    non_member_scores: ArrayLike,
    rule: Rule,
    ids: tuple[Sequence[str], Sequence[str]] | None = None,
) -> tuple[Guesses, ...]:
    """Guess who is a member, and count what was right, once for each try of the rule.

    Equal scores are ordered by a hash of the sample's id, which knows nothing of membership
    where that was decided by coins. Any order that depends on where a sample stands among the
    members and non-members would make guesses out of nothing.

    Parameters
    ----------
    member_scores, non_member_scores
        Scores of both sides.
    rule
        Who is guessed.
    ids
        Ids of both sides, in the order of the scores. Without them each tie is counted as the
        wrong guess that it could be: the bounds hold, and are weaker.

    Raises
    ------
    ScoreError
        If a class is empty, a score is not finite, or the ids do not name each score once.
    """
    members, non_members = checked(member_scores, non_member_scores)
    scores = np.concatenate([members, non_members])
    labels = np.arange(len(scores)) < len(members)
    if isinstance(rule, Fixed):
        return (Guesses(int(((scores > rule.threshold) == labels).sum()), len(scores)),)
    order = np.lexsort((~labels if ids is None else _hashes(ids, members, non_members), scores))
    guesses = []
    for made in rule.tries(len(scores)):
        low, high = order[: made // 2], order[len(order) - made // 2 :]
        guesses.append(Guesses(int(labels[high].sum() + (~labels[low]).sum()), made))
    return tuple(guesses)


def _hashes(
    ids: tuple[Sequence[str], Sequence[str]],
    members: NDArray[np.float64],
    non_members: NDArray[np.float64],
) -> NDArray[np.uint64]:
    if [len(side) for side in ids] != [len(members), len(non_members)]:
        msg = (
            f"{len(ids[0])} and {len(ids[1])} ids do not name {len(members)} member and "
            f"{len(non_members)} non-member scores: give an id for each score, in its order"
        )
        raise ScoreError(msg)
    together = [*ids[0], *ids[1]]
    if len(set(together)) < len(together):
        msg = f"{len(together) - len(set(together))} ids are given twice: each names one sample"
        raise ScoreError(msg)
    digests = [hashlib.sha256(f"tie/{name}".encode()).digest()[:8] for name in together]
    return np.frombuffer(b"".join(digests), dtype=np.uint64)
