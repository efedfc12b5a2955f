"""How alike a sample and an answer are to the eye: pixels at several resolutions, structure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from privaudit.fingerprint import fingerprint_pixels, fingerprint_values
from privaudit.measurements.features import Features, aggregate, mean_and_best
from privaudit.samples import ImagesByDigest, as_rgb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from privaudit.measurements.base import Access
    from privaudit.targets import Query, Target

__all__ = [
    "RESOLUTIONS",
    "STRUCTURE",
    "PixelSimilarity",
    "pixel_similarities",
    "scaled_pixels",
    "structural_similarity",
]

RESOLUTIONS = (8, 16, 32)
"""Edges, in pixels, of the squares that pictures are compared at: layout, shapes, details."""
STRUCTURE = 32
"""Edge, in pixels, of the squares whose structure is compared."""
WINDOW = 7
"""Edge, in pixels, of the windows of structural similarity."""
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
    rgb = as_rgb(image)
    if rgb.size != (edge, edge):
        grows = min(rgb.size) < edge
        rgb = rgb.resize((edge, edge), Image.Resampling.BILINEAR if grows else Image.Resampling.BOX)
    return np.asarray(rgb, dtype=np.float32).ravel() / np.float32(255)


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
    return _compared(*(_reduced(image, resolutions) for image in (query, generated)))


class _Reduced(NamedTuple):
    """An image at one resolution."""

    pixels: NDArray[np.float64]
    centred: NDArray[np.float64]
    norm: float


def _reduced(image: Image.Image, resolutions: tuple[int, ...]) -> list[_Reduced]:
    found = []
    for edge in resolutions:
        pixels = scaled_pixels(image, edge).astype(np.float64)
        centred = pixels - pixels.mean()
        found.append(_Reduced(pixels, centred, float(np.linalg.norm(centred))))
    return found


def _compared(query: list[_Reduced], generated: list[_Reduced]) -> NDArray[np.float64]:
    values: list[float] = []
    for q, g in zip(query, generated, strict=True):
        alike = min(q.norm, g.norm) > FLAT
        values.append(float(q.centred @ g.centred) / (q.norm * g.norm) if alike else 0.0)
        values.append(-float(np.sqrt(((q.pixels - g.pixels) ** 2).mean())))
    return np.asarray(values)


def structural_similarity(query: Image.Image, generated: Image.Image) -> float:
    """Return the structural similarity index of two images, in [−1, 1]; a copy has 1.

    Wang et al. (2004), as scikit-image computes it: windows of 7 × 7 pixels, the mean over windows
    and colours. Both images are brought to 32 × 32 pixels first.

    Parameters
    ----------
    query, generated
        Images of any size.

    Examples
    --------
    >>> from PIL import Image
    >>> ramp = Image.linear_gradient("L")
    >>> structural_similarity(ramp, ramp)
    1.0
    >>> structural_similarity(ramp, ramp.transpose(Image.Transpose.ROTATE_180)) < 0.5
    True
    """
    from skimage.metrics import structural_similarity as index

    shape = (STRUCTURE, STRUCTURE, 3)
    pair = (scaled_pixels(image, STRUCTURE).reshape(shape) for image in (query, generated))
    return float(index(*pair, channel_axis=2, data_range=1.0))


def _structural_similarities(
    queries: NDArray[np.float32], generated: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return what :func:`structural_similarity` does, for many pairs at one time.

    scikit-image filters one colour of one pair after another, which took most of an audit of a
    model that answers at once. To the last bit the same: a test compares them.

    Parameters
    ----------
    queries, generated
        Pixels, shape (n, height, width, 3), in [0, 1].
    """
    from scipy.ndimage import uniform_filter

    # Colours before rows: each is filtered and averaged as the picture that it is to scikit-image.
    x, y = (np.ascontiguousarray(p.transpose(0, 3, 1, 2)) for p in (queries, generated))
    filtered = (x, y, x * x, y * y, x * y)
    ux, uy, uxx, uyy, uxy = (uniform_filter(v, size=(1, 1, WINDOW, WINDOW)) for v in filtered)
    unbiased = WINDOW**2 / (WINDOW**2 - 1)
    vx, vy, vxy = (unbiased * v for v in (uxx - ux * ux, uyy - uy * uy, uxy - ux * uy))
    c1, c2 = 0.01**2, 0.03**2  # of Wang et al., for values in [0, 1]
    values = ((2 * ux * uy + c1) * (2 * vxy + c2)) / ((ux**2 + uy**2 + c1) * (vx + vy + c2))
    edge = (WINDOW - 1) // 2  # windows over the border are left out
    inside = values[..., edge:-edge, edge:-edge]
    by_colour = [[colour.mean(dtype=np.float64) for colour in pair] for pair in inside]
    found: NDArray[np.float32] = np.array(by_colour, np.float32).mean(axis=1)
    return found


class PixelSimilarity:
    """Pixel and structural similarity of each answer to the sample that was asked about.

    From the answers that the paper's measurement reads anyway: it generates nothing. A row holds
    the values of :func:`pixel_similarities`, then that of :func:`structural_similarity`. A sample's
    blocks hold their mean over its m answers and, beside it, their best, whatever the audit's
    aggregation: ``"pixels"``, shape (n, 4 · resolutions), and ``"structure"``, shape (n, 2).

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
        self.identity = fingerprint_values(pixels=list(resolutions), structure=STRUCTURE, version=2)

    def rows(
        self, target: Target, queries: Mapping[int, Query], images: Mapping[int, Image.Image]
    ) -> list[NDArray[np.float32]]:
        """Compare each query's sample with its answer, see :class:`Measurement`."""
        if not queries:
            return []
        # A model may draw one picture again and again, and a sample is asked about several times.
        pairs = {i: (q.sample.digest, fingerprint_pixels(images[i])) for i, q in queries.items()}
        pictures = {pairs[i][1]: images[i] for i in queries}
        pictures |= ImagesByDigest(query.sample for query in queries.values())
        reduced = {digest: _reduced(image, self._resolutions) for digest, image in pictures.items()}
        shape = (STRUCTURE, STRUCTURE, 3)
        structure = {
            d: scaled_pixels(image, STRUCTURE).reshape(shape) for d, image in pictures.items()
        }
        distinct = list(dict.fromkeys(pairs.values()))
        alike = _structural_similarities(
            *(np.stack([structure[pair[side]] for pair in distinct]) for side in (0, 1))
        )
        rows = {
            pair: np.append(_compared(*(reduced[digest] for digest in pair)), value)
            for pair, value in zip(distinct, alike, strict=True)
        }
        return [rows[pairs[i]].astype(np.float32) for i in queries]

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
