"""Membership decided by coins, and the proof of it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Self

from privaudit.errors import SampleError
from privaudit.samples.sample import Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["CoinSplit", "split_by_coin"]


class CoinSplit(tuple[list[Sample], list[Sample]]):
    """Members and non-members decided by independent fair coins, and the proof of it.

    It is the pair ``members, non_members = split_by_coin(samples, seed)``, and remembers its
    seed, from which anyone can flip the coins again.

    Attributes
    ----------
    members, non_members
        Both in the order given; their sizes differ by chance, as fair coins do.
    seed
        Seed of the coins.
    """

    seed: int

    def __new__(cls, members: list[Sample], non_members: list[Sample], seed: int) -> Self:
        """Make the pair."""
        pair = super().__new__(cls, (members, non_members))
        pair.seed = seed
        return pair

    def __getnewargs__(self) -> tuple[Any, ...]:
        """Let copies and pickles keep the seed."""
        return (*self, self.seed)

    @property
    def members(self) -> list[Sample]:
        """Samples whose coin fell on heads."""
        return self[0]

    @property
    def non_members(self) -> list[Sample]:
        """Samples whose coin fell on tails."""
        return self[1]

    def check(self, members: Iterable[Sample], non_members: Iterable[Sample]) -> None:
        """Flip the coins again, and check that they made the sets of an audit.

        Raises
        ------
        SampleError
            If a set is not, sample by sample, what the coins decided. Then membership was
            decided by something else, and no ε can be concluded from it.
        """
        for name, given, decided in zip(
            ("members", "non_members"),
            (members, non_members),
            split_by_coin([*self.members, *self.non_members], self.seed),
            strict=True,
        ):
            # Images too: an id alone could stand for another picture.
            wanted = {(sample.id, sample.digest) for sample in decided}
            found = {(sample.id, sample.digest) for sample in given}
            if found != wanted:
                msg = (
                    f"{len(found ^ wanted)} samples of {name} are not where the coins of seed "
                    f"{self.seed} put them: audit exactly the sets that split_by_coin returned"
                )
                raise SampleError(msg)

    def record(self) -> dict[str, Any]:
        """Return what, beside the ids on each side, lets anyone flip the coins again."""
        return {
            "seed": self.seed,
            "coin": "member if random.Random(seed).random() < 0.5, one draw each in order of ids",
            "n_members": len(self.members),
            "n_non_members": len(self.non_members),
        }


def split_by_coin(samples: Sequence[Sample], seed: int) -> CoinSplit:
    """Decide membership by an independent fair coin flip for each sample.

    Parameters
    ----------
    samples
        All candidates.
    seed
        Seed of the coins. Coin i belongs to the i-th sample in order of ids, so the order of
        ``samples`` does not matter. Choose it before anyone has seen the samples.

    Returns
    -------
    CoinSplit
        Unpacks to members and non-members.

    Examples
    --------
    >>> from PIL import Image
    >>> samples = [Sample(Image.new("L", (8, 8), i), "grey", id=f"{i}") for i in range(6)]
    >>> members, non_members = split_by_coin(samples, seed=1)
    >>> [sample.id for sample in members], [sample.id for sample in non_members]
    (['0', '3', '4', '5'], ['1', '2'])
    """
    coins = random.Random(seed)  # noqa: S311  # a recorded experiment, not a secret
    heads = {sample.id for sample in sorted(samples, key=lambda s: s.id) if coins.random() < 0.5}
    return CoinSplit(
        [sample for sample in samples if sample.id in heads],
        [sample for sample in samples if sample.id not in heads],
        seed,
    )
