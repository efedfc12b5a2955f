"""How alike a sample and an answer are to the eye: pixels at several resolutions, structure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from privaudit.batching import in_threads
from privaudit.fingerprint import fingerprint_pixels, fingerprint_values
from privaudit.measurements.features import Features, aggregate, mean_and_best
from privaudit.samples import ImagesByDigest, as_rgb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from privaudit.measurements.base import Access
    from privaudit.targets import Query, Target

__all__ = [
    "RESOLUTIONS",
    "STRUCTURE",
    "PixelSimilarity",
    "pixel_similarities",
    "scaled_pixels",
    "structural_similarities",
]

RESOLUTIONS = (8, 16, 32)
"""Edges, in pixels, of the squares that pictures are compared at: layout, shapes, details."""
STRUCTURE = 32
"""Edge, in pixels, of the squares whose structure is compared."""
WINDOW = 7
"""Edge, in pixels, of the windows that structure is compared in: scikit-image's default."""
AT_ONE_TIME = 8
"""Pictures whose structure is compared at one time: what a core's cache holds."""
FLAT = 1e-6
"""Least norm of centred pixels: a picture of one colour correlates with nothing."""


def scaled_pixels(image: Image.Image, edge: int) -> NDArray[np.float32]:
    """Return an image's RGB values at one resolution.

    Parameters
    ----------
    image
        An image of any size; its aspect ratio is not kept.
    edge
        Height and width of the result, in pixels.

    Returns
    -------
    ndarray of float32, shape (3 · edge²,)
        Values in [0, 1]. Reduced by averaging over the area of each pixel, so that no detail
        turns into another by aliasing.
    """
    return np.asarray(_square(image, edge), dtype=np.float32).ravel() / np.float32(255)


def _square(image: Image.Image, edge: int) -> Image.Image:
    rgb = as_rgb(image)
    if rgb.size == (edge, edge):
        return rgb
    grows = min(rgb.size) < edge
    return rgb.resize((edge, edge), Image.Resampling.BILINEAR if grows else Image.Resampling.BOX)


def pixel_similarities(
    query: Image.Image, generated: Image.Image, resolutions: tuple[int, ...] = RESOLUTIONS
) -> NDArray[np.float64]:
    r"""Compare two images by their pixels.

    With :math:`q` and :math:`g` the pixels at one resolution, :math:`\bar q` and :math:`\bar g`
    their means over pixels and colours:

    - correlation, the centred cosine,
      :math:`(q - \bar q) \cdot (g - \bar g) / (\|q - \bar q\| \|g - \bar g\|)`, in [−1, 1]:
      blind to brightness and contrast. With a picture of one colour it is 0;
    - negative distance, :math:`-\sqrt{\mathrm{mean}((q - g)^2)}`, in [−1, 0]: the root mean square
      over values, so that resolutions compare.

    Parameters
    ----------
    query, generated
        Images of any size.
    resolutions
        Edges of the squares they are compared at, in pixels.

    Returns
    -------
    ndarray of float64, shape (2 · resolutions,)
        Correlation and negative distance at each resolution in turn; higher is more alike.

    Examples
    --------
    >>> from PIL import Image
    >>> ramp = Image.linear_gradient("L")
    >>> pixel_similarities(ramp, ramp, (8,)).round(6).tolist()
    [1.0, -0.0]
    """
    sides = ([_Reduced.of(image, edge) for edge in resolutions] for image in (query, generated))
    return _compared(*sides)


class _Reduced(NamedTuple):
    """An image at one resolution."""

    pixels: NDArray[np.float64]
    centred: NDArray[np.float64]
    norm: float

    @classmethod
    def of(cls, image: Image.Image, edge: int) -> _Reduced:
        pixels = scaled_pixels(image, edge).astype(np.float64)
        centred = pixels - pixels.mean()
        return cls(pixels, centred, float(np.linalg.norm(centred)))


def _compared(query: list[_Reduced], generated: list[_Reduced]) -> NDArray[np.float64]:
    values: list[float] = []
    for q, g in zip(query, generated, strict=True):
        alike = min(q.norm, g.norm) > FLAT
        values.append(float(q.centred @ g.centred) / (q.norm * g.norm) if alike else 0.0)
        values.append(-float(np.sqrt(((q.pixels - g.pixels) ** 2).mean())))
    return np.asarray(values)


def structural_similarities(
    queries: Sequence[Image.Image], generated: Sequence[Image.Image]
) -> NDArray[np.float64]:
    """Return the structural similarity index of each pair of images, in [−1, 1]; a copy has 1.

    Wang et al. (2004), as scikit-image computes it: windows of 7 × 7 pixels, the mean over windows
    and colours. All images are brought to 32 × 32 pixels first.

    Parameters
    ----------
    queries, generated
        As many images each, of any size.

    Returns
    -------
    ndarray of float64, shape (n,)
        The same for a pair whatever the others are.

    Examples
    --------
    >>> from PIL import Image
    >>> ramp = Image.linear_gradient("L")
    >>> copy, turned = structural_similarities(
    ...     [ramp, ramp], [ramp, ramp.transpose(Image.Transpose.ROTATE_180)]
    ... )
    >>> float(copy), bool(turned < 0.5)
    (1.0, True)
    """
    from skimage.metrics import structural_similarity as index

    # The colours of several pictures below one another are one picture to the library: asked
    # picture by picture, it takes four times as long. Windows over a border are dropped.
    found = []
    for start in range(0, len(queries), AT_ONE_TIME):
        part = slice(start, start + AT_ONE_TIME)
        columns = map(_column, (queries[part], generated[part]))
        _, windows = index(*columns, data_range=255.0, full=True)
        each = windows.reshape(-1, 3, STRUCTURE, STRUCTURE)
        inner = slice(WINDOW // 2, -(WINDOW // 2))
        found += [picture[:, inner, inner].mean() for picture in each]
    return np.asarray(found, dtype=np.float64)


def _column(images: Sequence[Image.Image]) -> NDArray[np.float64]:
    """Return the red, green and blue of all images, one below the other.

    In whole numbers: their running sum down a column is exact, so no picture changes another's.
    """
    squares = np.stack([np.asarray(_square(image, STRUCTURE)) for image in images])
    return squares.transpose(0, 3, 1, 2).reshape(-1, STRUCTURE).astype(np.float64)


class PixelSimilarity:
    """Pixel and structural similarity of each answer to the sample that was asked about.

    From the answers that the paper's measurement reads anyway: it generates nothing. A row holds
    the values of :func:`pixel_similarities`, then that of :func:`structural_similarities`. A
    sample's blocks hold their mean over its m answers and, beside it, their best, whatever the
    audit's aggregation: ``"pixels"``, shape (n, 4 · resolutions), and ``"structure"``, of shape
    (n, 2).

    Parameters
    ----------
    resolutions
        Edges of the squares that images are compared at, in pixels.
    """

    name = "pixel similarity"
    access: Access = "black-box"
    persistent = True

    def __init__(self, resolutions: tuple[int, ...] = RESOLUTIONS) -> None:
        self._resolutions = resolutions
        self.width = 2 * len(resolutions) + 1
        """Values in a row."""
        self.identity = fingerprint_values(pixels=list(resolutions), structure=STRUCTURE, version=3)

    def rows(
        self, target: Target, queries: Mapping[int, Query], images: Mapping[int, Image.Image]
    ) -> list[NDArray[np.float32]]:
        """Compare each query's sample with its answer, see :class:`Measurement`."""
        numbers = list(queries)
        digests = in_threads(fingerprint_pixels, [images[i] for i in numbers])
        pairs = [(queries[i].sample.digest, d) for i, d in zip(numbers, digests, strict=True)]
        # A model may draw one picture again and again, and a sample is asked about several times.
        pictures = dict(zip(digests, (images[i] for i in numbers), strict=True))
        pictures |= ImagesByDigest(query.sample for query in queries.values())
        small = dict(zip(pictures, in_threads(self._reduced, pictures.values()), strict=True))
        sides = {pair: [small[digest] for digest in pair] for pair in pairs}
        squares = ([side[i][1] for side in sides.values()] for i in (0, 1))
        structure = structural_similarities(*squares)
        rows = {
            pair: np.append(_compared(q, g), alike).astype(np.float32)
            for (pair, ((q, _), (g, _))), alike in zip(sides.items(), structure, strict=True)
        }
        return [rows[pair] for pair in pairs]

    def _reduced(self, image: Image.Image) -> tuple[list[_Reduced], Image.Image]:
        square = _square(image, STRUCTURE)
        scales = [(square if edge == STRUCTURE else image, edge) for edge in self._resolutions]
        return [_Reduced.of(*scale) for scale in scales], square

    def features(self, rows: NDArray[np.float32], aggregation: str) -> Features:
        """Make the blocks; the vectors are all of them.

        The one similarity is the mean correlation over resolutions, aggregated as the audit asks.
        """
        correlations = aggregate(rows[:, :, 0:-1:2], aggregation, axis=1)
        blocks = {
            "pixels": mean_and_best(rows[:, :, :-1]),
            "structure": mean_and_best(rows[:, :, -1:]),
        }
        return Features(
            vectors=np.concatenate(list(blocks.values()), axis=1),
            similarity=correlations.mean(axis=1),
            blocks=blocks,
        )

    def describe(self) -> dict[str, object]:
        """Return what is compared, and how."""
        return {
            "name": self.name,
            "resolutions": list(self._resolutions),
            "structure": STRUCTURE,
        }
