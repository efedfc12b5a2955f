"""What makes a set of samples unusable, found before anything is generated."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from privaudit.errors import SampleError
from privaudit.samples.sample import Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["check_disjoint", "check_set"]


def check_set(name: str, samples: Sequence[Sample], *, captions: bool = True) -> None:
    """Check one set of samples before anything is generated.

    Parameters
    ----------
    name
        The fixture the samples came from, for the message.
    samples
        What it returned.
    captions
        Whether the captions will be used.

    Raises
    ------
    SampleError
        If the set is empty, holds something else than samples, repeats an id, a caption is
        blank, or an image cannot be read.
    """
    if not samples:
        msg = f"0 samples in {name}: the fixture must return at least one privaudit.Sample"
        raise SampleError(msg)
    for position, sample in enumerate(samples):
        if not isinstance(sample, Sample):
            msg = (
                f"{name}[{position}] is a {type(sample).__name__}, not a privaudit.Sample: "
                "wrap it in privaudit.Sample(image, caption)"
            )
            raise SampleError(msg)
        if captions and not sample.caption.strip():
            msg = f"sample {sample.id!r} of {name} has an empty caption: write one or remove it"
            raise SampleError(msg)
        sample.digest  # noqa: B018  # an image that cannot be read is an error now, not hours later
    repeated = [key for key, count in Counter(s.id for s in samples).items() if count > 1]
    if repeated:
        msg = (
            f"{len(repeated)} duplicate ids in {name}, the first {repeated[0]!r}: give every "
            "sample an id of its own, or remove the repeated samples"
        )
        raise SampleError(msg)


def check_disjoint(
    first: str, left: Iterable[Sample], second: str, right: Iterable[Sample]
) -> None:
    """Check that two sets share neither an id nor an image.

    Parameters
    ----------
    first, second
        What the sets are, for the message.
    left, right
        The sets.

    Raises
    ------
    SampleError
        If a sample of one has the id, or exactly the pixels, of a sample of the other.
    """
    ids, digests = {}, {}
    for sample in left:
        ids[sample.id] = sample
        digests[sample.digest] = sample
    for sample in right:
        if sample.id in ids:
            msg = f"id {sample.id!r} is in both {first} and {second}: a sample can be in one only"
            raise SampleError(msg)
        if sample.digest in digests:
            msg = (
                f"sample {sample.id!r} of {second} is the same image as "
                f"{digests[sample.digest].id!r} of {first}: remove one of them"
            )
            raise SampleError(msg)
