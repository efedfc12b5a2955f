"""The Monte-Carlo attack: how many of all generated pictures are close to a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from privaudit.attacks import check_spread, distances, nearest, youden
from privaudit.study.attacks.pool import check_known, low_quantile, pool_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from privaudit.measurements import Features

__all__ = ["MonteCarloAttack"]

SHARE = 0.001
"""Share of all distances that the percentile heuristic puts within the radius."""


class MonteCarloAttack:
    r"""Score by how much of what a model generates lies within a radius ε of a sample.

    Hilprecht, Härterich and Bernau (2019), "Monte Carlo and reconstruction membership inference
    attacks against generative models", section 4: the probability that a generated picture lies in
    :math:`U_\varepsilon(x) = \{x' : d(x, x') \le \varepsilon\}` is estimated by

    .. math:: \hat f_{\varepsilon}(x) = \frac 1 N \sum_i 1[g_i \in U_\varepsilon(x)]
        \quad\text{or}\quad
        \hat f_{d}(x) = \frac 1 N \sum_i 1[g_i \in U_\varepsilon(x)] \, (-\log d(x, g_i)).

    Their code divides the distance of the latter by ε; so does this class, and a picture at the
    radius counts nothing. ε comes from a heuristic: the median over samples of the distance to the
    nearest generated picture, or the 0.1 % quantile of all distances. Here these are distances of
    the calibration set, in which each class has half of the weight as in the paper, and members'
    labels are used for nothing else but the threshold, by Youden's index.

    The paper's distances are Euclidean, of principal components of pixels, among others; here, of
    pixels at 16 × 16.

    Parameters
    ----------
    seed
        Not used: nothing is random.
    kernel
        ``"fraction"`` for the first estimate, ``"log-distance"`` for the second, which was never
        the weaker on the over-fitted emoji model, and has fewer ties.
    radius
        ``"median"`` or ``"quantile"``.
    """

    threshold: float
    radius: float
    """ε, fixed by ``fit``: a root mean square of pixels in [0, 1]."""

    def __init__(
        self,
        seed: int = 0,
        *,
        kernel: Literal["fraction", "log-distance"] = "log-distance",
        radius: Literal["median", "quantile"] = "median",
    ) -> None:
        del seed
        self._kernel, self._heuristic = kernel, radius

    def fit(self, features: Features, labels: NDArray[np.bool_]) -> MonteCarloAttack:
        """Choose ε and the threshold on the calibration set."""
        pool = check_known(features, labels, least=1)
        if self._heuristic == "median":
            self.radius = balanced_median(nearest(pool, 1)[:, 0], labels)
        else:
            self.radius = low_quantile(pool, SHARE)
        self.calibration_scores = self.score(features)
        self.threshold = youden(self.calibration_scores, labels)
        return self

    def score(self, features: Features) -> NDArray[np.float64]:
        """Return the estimates, shape (n,).

        Raises
        ------
        ScoreError
            If they are all the same, such as where no answer is within ε of any sample.
        """
        pool = pool_of(features)
        scores = np.concatenate([self._weights(block).mean(axis=1) for block in distances(pool)])
        check_spread(scores, pool.samples.pixels)
        return scores

    def _weights(self, apart: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._kernel == "fraction":
            return (apart <= self.radius).astype(np.float64)
        return np.log(np.maximum(self.radius / apart, 1))


def balanced_median(values: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """Return the median of values in which each class has half of the weight.

    Parameters
    ----------
    values, labels
        Shape (n,), both classes present.

    Examples
    --------
    >>> import numpy as np
    >>> balanced_median(np.array([0.0, 3.0, 4.0, 5.0]), np.array([True, False, False, False]))
    1.5
    """
    members = int(labels.sum())
    order = np.argsort(values, kind="stable")
    # Whole numbers: half of the weight is then met exactly.
    weights = np.where(labels, len(labels) - members, members)[order].cumsum()
    half = weights[-1] // 2
    at = int(np.searchsorted(weights, half))
    ordered = values[order]
    return float((ordered[at] + ordered[at + 1]) / 2 if weights[at] == half else ordered[at])
