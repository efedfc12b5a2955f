"""What tells members from non-members without any model: how captions and files were written.

Two sets of one source may still have gone through different hands: one was lower-cased, or saved
as JPEG. Each fact of a caption or file is one feature here, so that a red says which.
"""

from __future__ import annotations

import io
import itertools
import string
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.stats import rankdata

from privaudit.errors import SampleError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "BlindFinding",
    "FileFacts",
    "blind_test",
    "caption_features",
    "file_facts",
    "file_features",
]

MOST_CHARACTERS = 200
"""Characters that are counted in captions, the most frequent first."""
MOST_TABLES = 50
"""JPEG tables, formats and modes that are features of their own, the most frequent first."""
ORIENTATION = 0x0112


@dataclass(frozen=True)
class BlindFinding:
    """The most telling feature, and how often chance would find one as telling.

    Attributes
    ----------
    feature
        Its name.
    auc
        AUC by which it alone tells members from non-members, in [0.5, 1], whichever way round.
    p_value
        Share of random relabellings whose most telling feature is at least as telling, in
        (0, 1]. Flagging at 0.05 is wrong in 5 % of fair splits, at any n.
    least_auc
        The AUC that a feature without ties would have needed to be flagged at 0.05.
    n_features
        Features that vary at all.
    """

    feature: str
    auc: float
    p_value: float
    least_auc: float
    n_features: int


def blind_test(
    features: Mapping[str, ArrayLike],
    is_member: ArrayLike,
    *,
    permutations: int = 999,
    seed: int = 0,
) -> BlindFinding | None:
    """Ask whether any feature tells members from non-members better than chance would.

    The statistic is the largest standardised rank sum of all features; its distribution is that
    over relabellings of the same samples (Westfall & Young 1993), so it is exact, counts how
    many features were tried and how they hang together, and fits nothing that would need folds.

    Parameters
    ----------
    features
        By name, one number a sample.
    is_member
        Which samples are members, in the same order.
    permutations
        Relabellings; the smallest p-value is 1 / (permutations + 1).
    seed
        Of the relabellings.

    Returns
    -------
    BlindFinding or None
        ``None`` when no feature varies: then there is nothing to tell apart by.

    Raises
    ------
    SampleError
        If a class is empty, or a feature is not one finite number a sample.

    Examples
    --------
    >>> found = blind_test({"length": [9, 8, 9, 8, 9, 5, 4, 5, 4, 5]}, [1] * 5 + [0] * 5)
    >>> found.feature, found.auc, found.p_value < 0.05
    ('length', 1.0, True)
    """
    labels = np.asarray(is_member, dtype=bool).ravel()
    m, n = int(labels.sum()), int((~labels).sum())
    if not m or not n:
        msg = f"{m} members and {n} non-members: both are needed to tell them apart"
        raise SampleError(msg)
    names, ranks = _ranks(features, len(labels))
    if not names:
        return None
    centred = ranks - ranks.mean(axis=0)
    # Variance of a rank sum over all relabellings, ties included.
    spread = np.sqrt(m * n / (m + n) / (m + n - 1) * (centred**2).sum(axis=0))
    draws = np.random.default_rng(seed)
    relabelled = draws.permuted(np.tile(labels, (permutations, 1)), axis=1).astype(np.float64)
    largest = np.abs(relabelled @ centred / spread).max(axis=1)
    observed = np.abs(labels.astype(np.float64) @ centred / spread)
    best = int(observed.argmax())
    # Rounding must not make a relabelling that is as telling count as less.
    p_value = (1 + int((largest >= observed[best] - 1e-9).sum())) / (permutations + 1)
    limit = float(np.quantile(largest, 0.95, method="higher"))
    auc = 0.5 + abs(float(labels.astype(np.float64) @ centred[:, best])) / (m * n)
    least = min(1.0, 0.5 + limit * float(np.sqrt((m + n + 1) / (12 * m * n))))
    return BlindFinding(names[best], auc, p_value, least, len(names))


def _ranks(features: Mapping[str, ArrayLike], n: int) -> tuple[list[str], NDArray[np.float64]]:
    """Mid-ranks of the features that vary, a column each."""
    names, columns = [], []
    for name, given in features.items():
        values = np.asarray(given, dtype=np.float64)
        if values.shape != (n,) or not np.isfinite(values).all():
            msg = f"feature {name!r} is not one finite number for each of {n} samples"
            raise SampleError(msg)
        if values.min() < values.max():
            names.append(name)
            columns.append(rankdata(values))
    return names, np.stack(columns, axis=1) if columns else np.empty((n, 0))


def caption_features(captions: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Describe how captions are written: length, case, white space, and each character.

    Nothing is stripped or lower-cased before: that is what differs between two sources.

    Parameters
    ----------
    captions
        As the samples have them.
    """
    marks = tuple(string.punctuation)
    features = {
        "characters of the caption": [len(text) for text in captions],
        "words of the caption": [len(text.split()) for text in captions],
        "capitals in the caption": [sum(map(str.isupper, text)) for text in captions],
        "a capital first": [text[:1].isupper() for text in captions],
        "all words capitalised": [text.istitle() for text in captions],
        "white space before the caption": [len(text) - len(text.lstrip()) for text in captions],
        "white space after the caption": [len(text) - len(text.rstrip()) for text in captions],
        "double white space": [
            any(a.isspace() and b.isspace() for a, b in itertools.pairwise(text))
            for text in captions
        ],
        "punctuation in the caption": [
            sum(letter in string.punctuation for letter in text) for text in captions
        ],
        "punctuation at the end": [text.rstrip().endswith(marks) for text in captions],
        "digits in the caption": [sum(map(str.isdigit, text)) for text in captions],
        "characters beyond ASCII": [sum(ord(letter) > 127 for letter in text) for text in captions],
    }
    counts = Counter(letter for text in captions for letter in set(text))
    for letter, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_CHARACTERS]:
        features[f"character {letter!r}"] = [text.count(letter) for text in captions]
    return {name: np.asarray(values, dtype=np.float64) for name, values in features.items()}


@dataclass(frozen=True)
class FileFacts:
    """What an image file says beside its picture.

    Attributes
    ----------
    format
        As PIL names it, such as ``"JPEG"``.
    n_bytes
        Size of the file.
    width, height
        In pixels, as stored.
    mode
        As PIL names it, such as ``"RGB"``.
    tables
        JPEG quantisation tables, which name the quality and the program; empty otherwise.
    exif
        Whether there is any EXIF entry.
    orientation
        EXIF orientation, 1 if it says none.
    """

    format: str
    n_bytes: int
    width: int
    height: int
    mode: str
    tables: tuple[tuple[int, ...], ...]
    exif: bool
    orientation: int


def file_facts(data: bytes) -> FileFacts:
    """Read the facts of an encoded image; its pixels are not decoded.

    Raises
    ------
    SampleError
        If it is not an image that PIL reads.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            quantization = getattr(image, "quantization", None) or {}
            tables = tuple(tuple(quantization[key]) for key in sorted(quantization))
            exif = image.getexif()
            return FileFacts(
                format=image.format or "unknown",
                n_bytes=len(data),
                width=image.width,
                height=image.height,
                mode=image.mode,
                tables=tables,
                exif=bool(exif),
                orientation=int(exif.get(ORIENTATION, 1)),
            )
    except (OSError, SyntaxError, ValueError) as error:
        msg = f"a file of {len(data)} bytes is not an image that PIL reads: {error}"
        raise SampleError(msg) from error


def file_features(facts: Sequence[FileFacts]) -> dict[str, NDArray[np.float64]]:
    """Describe how files were made: format, size, shape, mode, JPEG tables, EXIF.

    Parameters
    ----------
    facts
        Of each sample's file.
    """
    features: dict[str, list[float]] = {
        "bytes of the file": [float(each.n_bytes) for each in facts],
        "bytes a pixel": [each.n_bytes / (each.width * each.height) for each in facts],
        "width": [float(each.width) for each in facts],
        "height": [float(each.height) for each in facts],
        "aspect": [each.width / each.height for each in facts],
        "strength of the JPEG tables": [float(sum(map(sum, each.tables))) for each in facts],
        "EXIF": [float(each.exif) for each in facts],
        "EXIF orientation": [float(each.orientation) for each in facts],
    }
    for name, kinds in (
        ("format", [each.format for each in facts]),
        ("mode", [each.mode for each in facts]),
        ("JPEG tables", [str(each.tables) for each in facts]),
    ):
        for i, (kind, _) in enumerate(Counter(kinds).most_common(MOST_TABLES)):
            label = f"JPEG tables, kind {i + 1}" if name == "JPEG tables" else f"{name} {kind}"
            features[label] = [float(each == kind) for each in kinds]
    return {name: np.asarray(values, dtype=np.float64) for name, values in features.items()}
