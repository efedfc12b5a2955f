"""What makes a set of samples unusable, found before anything is generated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from privaudit.errors import SampleError
from privaudit.samples.sample import Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["as_samples", "check_disjoint", "check_set"]


def as_samples(name: str, given: Any) -> list[Sample]:
    """Make a list of what a fixture returned.

    Parameters
    ----------
    name
        The fixture, for the message.
    given
        A list or another sequence of samples, in whose order they stay; or a set, which has no
        order, and is sorted by id so that no hash seed changes a number.

    Returns
    -------
    list of Sample

    Raises
    ------
    SampleError
        If it is something else, or empty, or holds something else than samples. An iterator is
        refused too: a second test that reads it would find it empty.
    """
    way_out = _way_out(name, given)
    if way_out:
        msg = f"{name} is {_article(given)}, not a list of privaudit.Sample: {way_out}"
        raise SampleError(msg)
    samples = list(given)
    if not samples:
        msg = f"0 samples in {name}: the fixture must return at least one privaudit.Sample"
        raise SampleError(msg)
    for position, sample in enumerate(samples):
        if not isinstance(sample, Sample):
            wrap = "wrap it in privaudit.Sample(image, caption)"
            rows = f"return privaudit.load_samples({name}), which takes rows"
            msg = (
                f"{name}[{position}] is a {type(sample).__name__}, not a privaudit.Sample: "
                f"{rows if isinstance(sample, Mapping) else wrap}"
            )
            raise SampleError(msg)
    return sorted(samples, key=lambda sample: sample.id) if isinstance(given, Set) else samples


def _way_out(name: str, given: Any) -> str:
    """Say what to return instead, or nothing if it will do."""
    ways = {
        type(None): "does the fixture lack its return?",
        Sample: f"return [{name}]",
        Mapping: f"return list({name}.values())",
        Iterator: f"it can be read once only; return list({name})",
    }
    for kind, way in ways.items():
        if isinstance(given, kind):
            return way
    if isawaitable(given) or hasattr(given, "__aiter__"):
        return "make the fixture a plain def, not async"
    if hasattr(given, "column_names") or hasattr(given, "iloc"):
        return f"return privaudit.load_samples({name}), which takes data sets"
    if isinstance(given, (str, bytes)) or hasattr(given, "__fspath__"):
        return "return privaudit.load_samples(…) of that folder"
    if hasattr(given, "dtype") or not isinstance(given, Iterable):
        return "return [privaudit.Sample(image, caption), …]"
    return ""


def _article(given: Any) -> str:
    return "None" if given is None else f"a {type(given).__name__}"


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
    samples = as_samples(name, samples)
    for sample in samples:
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
