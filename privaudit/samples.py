"""Samples (an image, its caption, an id), how they are loaded, and what makes a set unusable."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, UnidentifiedImageError

from privaudit.errors import SampleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["CoinSplit", "Sample", "check_disjoint", "check_set", "load_samples", "split_by_coin"]


def pixel_digest(image: Image.Image) -> str:
    """Hash an image's size and RGB pixels, so that the file format does not matter."""
    rgb = image.convert("RGB")
    digest = hashlib.sha256(f"{rgb.width}x{rgb.height}:".encode())
    digest.update(rgb.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Sample:
    """A query record: an image whose membership is asked about, and its caption.

    Parameters
    ----------
    image
        The image, of any size and mode; attacks see it as RGB.
    caption
        The text the image was, or would have been, trained with.
    id
        A name that is unique over all samples of an audit. Without one, it is made from the
        pixels and the caption, so it is the same in every run.

    Raises
    ------
    SampleError
        If ``image`` is no PIL image or ``caption`` no string.
    """

    image: Image.Image = field(repr=False, compare=False)
    caption: str
    id: str = ""
    digest: str = field(init=False, repr=False)
    """SHA-256 of the RGB pixels."""

    def __init__(self, image: Image.Image, caption: str, id: str | None = None) -> None:  # noqa: A002
        if not isinstance(image, Image.Image):
            msg = (
                f"image of sample {id or caption!r} is a {type(image).__name__}, not a PIL image: "
                "open it with PIL.Image.open, or load a folder with privaudit.load_samples"
            )
            raise SampleError(msg)
        if not isinstance(caption, str):
            msg = f"caption of sample {id!r} is a {type(caption).__name__}, not a string"
            raise SampleError(msg)
        try:
            digest = pixel_digest(image)
        except (OSError, ValueError) as error:
            msg = f"image of sample {id or caption!r} cannot be read: {error}; replace or remove it"
            raise SampleError(msg) from error
        if id is None:
            id = hashlib.sha256(f"{digest}\0{caption}".encode()).hexdigest()[:16]  # noqa: A001
        object.__setattr__(self, "image", image)
        object.__setattr__(self, "caption", caption)
        object.__setattr__(self, "id", str(id))
        object.__setattr__(self, "digest", digest)


def load_samples(folder: str | Path) -> list[Sample]:
    """Read an image folder with captions, laid out as the ``datasets`` library has it.

    Parameters
    ----------
    folder
        A folder that holds ``metadata.jsonl``, each line an object with ``file_name`` (relative
        to the folder) and ``text`` (the caption). A sample's id is ``folder/file_name``.

    Returns
    -------
    list of Sample
        In the order of the lines.

    Raises
    ------
    SampleError
        If the folder or a file is missing, a line is not as described, or an image cannot be
        read; the message names the line or file.
    """
    folder = Path(folder)
    metadata = folder / "metadata.jsonl"
    if not metadata.is_file():
        msg = (
            f"{metadata} does not exist: write one JSON object a line, "
            '{"file_name": "0001.png", "text": "its caption"}'
        )
        raise SampleError(msg)
    samples = []
    for number, line in enumerate(metadata.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name, text = row["file_name"], row["text"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            msg = f'{metadata}:{number} has no "file_name" and "text": {line[:80]!r}'
            raise SampleError(msg) from error
        samples.append(
            Sample(_open(folder / name, f"{metadata}:{number}"), text, id=f"{folder.name}/{name}")
        )
    return samples


def _open(path: Path, where: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image.copy()
    except FileNotFoundError as error:
        msg = f"{path} does not exist, named by {where}: add the file or remove the line"
        raise SampleError(msg) from error
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        msg = f"{path} cannot be read as an image ({error}), named by {where}"
        raise SampleError(msg) from error


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

    def __new__(cls, members: list[Sample], non_members: list[Sample], seed: int) -> CoinSplit:
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
    """
    coins = random.Random(seed)  # noqa: S311  # a recorded experiment, not a secret
    heads = {sample.id for sample in sorted(samples, key=lambda s: s.id) if coins.random() < 0.5}
    return CoinSplit(
        [sample for sample in samples if sample.id in heads],
        [sample for sample in samples if sample.id not in heads],
        seed,
    )


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
        If the set is empty, holds something else than samples, repeats an id, or a caption is
        blank.
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
