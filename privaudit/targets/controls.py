"""Controls: a target that leaks everything, and one that leaks nothing.

An audit that finds no leak in the first cannot see one; an audit that finds one in the second
is reading something else than the model.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from privaudit.fingerprint import fingerprint_values
from privaudit.targets.capabilities import Capabilities
from privaudit.targets.queries import Answer, in_one_call

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from privaudit.samples import Sample
    from privaudit.targets.queries import Query

__all__ = ["CopyingTarget", "MemorizingTarget", "ObliviousTarget"]


def _noise_image(size: tuple[int, int], *key: object) -> Image.Image:
    """Draw a smooth picture of random colours, the same one for the same key."""
    digest = hashlib.sha256("\0".join(map(str, key)).encode()).digest()
    draws = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    coarse = draws.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


class MemorizingTarget:
    """Returns the training image whose caption it is asked for: the worst leak there is.

    Parameters
    ----------
    members
        The training set. A prompt that is nobody's caption gets a picture drawn from the
        prompt and the seed.

    Examples
    --------
    >>> import privaudit
    >>> member = privaudit.Sample(Image.new("RGB", (8, 8), "red"), "a red square")
    >>> [image] = MemorizingTarget([member]).generate(["a red square"], [0])
    >>> image.getpixel((0, 0))
    (255, 0, 0)
    """

    persistent = True
    capabilities = Capabilities(worth_storing=False)
    """Looking an image up is quicker than reading it, and one more copy is one too many."""

    def __init__(self, members: Iterable[Sample]) -> None:
        members = list(members)
        self._known = {member.caption: member for member in members}
        self._size = members[0].image.size
        self.fingerprint = fingerprint_values(
            control="memorizing",
            members=[(member.caption, member.digest) for member in members],
        )

    def batch_size(self, wanted: int) -> int:
        """Return ``wanted``: no batch changes what it remembers."""
        return wanted

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """Look each prompt up."""
        return [
            self._known[prompt].image
            if prompt in self._known
            else _noise_image(self._size, prompt, seed)
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        """Look each query's prompt up."""
        return in_one_call(self.generate, queries)

    def describe(self) -> dict[str, Any]:
        """Say what it is, and how many prompts it knows."""
        return {
            "class": type(self).__name__,
            "identity": self.fingerprint,
            "knows": len(self._known),
        }


class CopyingTarget:
    """Returns the sample it is asked about, if that is a member, and some member otherwise.

    It answers in whatever words it is asked: the positive control of an audit, which an attack
    must catch.

    Parameters
    ----------
    members, non_members
        The samples it will be asked about.
    """

    persistent = True
    capabilities = Capabilities(worth_storing=False)
    """One more copy of a member is one too many."""

    def __init__(self, members: Sequence[Sample], non_members: Sequence[Sample]) -> None:
        self._answers = {member.id: member for member in members}
        for i, other in enumerate(non_members):
            self._answers[other.id] = members[i % len(members)]
        self.fingerprint = fingerprint_values(
            control="copying",
            answers={name: sample.digest for name, sample in self._answers.items()},
        )

    def batch_size(self, wanted: int) -> int:
        """Return ``wanted``: no batch changes what it copies."""
        return wanted

    def answer(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """Copy a picture for each query."""
        for query in queries:
            yield Answer(query, self._answers[query.sample.id].image)

    def describe(self) -> dict[str, Any]:
        """Say what it is."""
        return {"class": type(self).__name__, "identity": self.fingerprint}


class ObliviousTarget:
    """Ignores the prompt: every picture is drawn from the seed alone, so nothing can leak.

    Parameters
    ----------
    size
        Width and height of the pictures, in pixels.

    Examples
    --------
    >>> target = ObliviousTarget((8, 8))
    >>> one, other = target.generate(["a cat", "a dog"], [5, 5])
    >>> one == other
    True
    """

    persistent = True
    capabilities = Capabilities(ignores_prompts=True, worth_storing=False)
    """On purpose; and drawing an image is quicker than reading it."""

    def __init__(self, size: tuple[int, int] = (32, 32)) -> None:
        self._size = size
        self.fingerprint = fingerprint_values(control="oblivious", size=size)

    def batch_size(self, wanted: int) -> int:
        """Return ``wanted``: no batch changes what it draws."""
        return wanted

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """Draw one picture for each seed."""
        return [_noise_image(self._size, seed) for _, seed in zip(prompts, seeds, strict=True)]

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        """Draw one picture for each query."""
        return in_one_call(self.generate, queries)

    def describe(self) -> dict[str, Any]:
        """Say what it is."""
        return {"class": type(self).__name__, "identity": self.fingerprint}
