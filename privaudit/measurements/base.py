"""What a measurement is: what is measured of a sample on a target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from privaudit.measurements.features import Features
    from privaudit.targets import Query, Target

__all__ = ["Access", "Measurement"]

Access = Literal["black-box", "image-to-image", "white-box"]
"""What an attacker must have: answers to texts, answers to pictures, too, or the model itself."""


class Measurement(Protocol):
    """Turns queries into rows of numbers, one row a query, and m rows into a sample's features.

    An engine calls :meth:`rows` batch by batch, where the target runs; it must be picklable.

    Attributes
    ----------
    name
        What the record calls it.
    access
        What it takes. A measurement of more than ``"black-box"`` access gets no images, and
        measures the target itself.
    identity
        Changes whenever a row would: the key of what is stored.
    persistent
        Whether the identity means the same in another process.
    """

    name: str
    access: Access
    identity: str
    persistent: bool

    def rows(
        self, target: Target, queries: Mapping[int, Query], images: Mapping[int, Image.Image]
    ) -> list[NDArray[np.float32]]:
        """Measure queries.

        Parameters
        ----------
        target
            What was asked.
        queries
            By position.
        images
            The target's answers, by the position of their query; none for more than
            ``"black-box"`` access.

        Returns
        -------
        list of ndarray of float32, shape (d,)
            In the order of the queries.
        """
        ...

    def features(self, rows: NDArray[np.float32], aggregation: str) -> Features:
        """Reduce the m rows of each sample to its features.

        Parameters
        ----------
        rows
            Shape (n, m, d).
        aggregation
            ``"mean"``, ``"median"``, ``"max"`` or ``"min"``, over m.
        """
        ...

    def describe(self) -> dict[str, object]:
        """Return what the record says of it, as plain values."""
        ...
