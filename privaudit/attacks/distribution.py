"""The distribution attack: one Gaussian per class, and the ratio of their likelihoods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import Covariance, multivariate_normal
from sklearn.covariance import LedoitWolf
from sklearn.preprocessing import StandardScaler

from privaudit.attacks.base import check_calibration, folds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from privaudit.measurements import Features

__all__ = ["DistributionAttack"]


class DistributionAttack:
    r"""Score by :math:`\log p(x \mid \text{member}) - \log p(x \mid \text{non-member})`.

    Similarity vectors are standardised on the calibration set, then each class gets a Gaussian
    with its own mean and a Ledoit–Wolf covariance (Ledoit & Wolf 2004): shrunk toward a multiple
    of the identity by the amount that the data ask for, so it stays positive definite when there
    are more features than samples. The reference code adds :math:`10^{-5}` to the diagonal
    instead, with which a class of fewer samples than features scores by rounding errors.
    """

    threshold: float = 0.0
    """Equal likelihoods: the calibration set holds as many members as non-members."""

    def __init__(self, seed: int = 0) -> None:  # nothing in it is random
        del seed

    def fit(self, features: Features, labels: NDArray[np.bool_]) -> DistributionAttack:
        """Estimate both Gaussians on the calibration set."""
        check_calibration(features, labels, least=2)
        self.calibration_scores = np.full(len(labels), np.nan)
        parts = folds(labels, 0)
        for seen, unseen in parts.split(features.vectors, labels) if parts else ():
            part = DistributionAttack()
            part._estimate(features.vectors[seen], labels[seen])
            self.calibration_scores[unseen] = part._ratio(features.vectors[unseen])
        self._estimate(features.vectors, labels)
        return self

    def _estimate(self, vectors: NDArray[np.float64], labels: NDArray[np.bool_]) -> None:
        self._scaler = StandardScaler().fit(vectors)
        scaled = self._scaler.transform(vectors)
        self._members = _gaussian(scaled[labels])
        self._non_members = _gaussian(scaled[~labels])

    def score(self, features: Features) -> NDArray[np.float64]:
        """Return the log-likelihood ratios, shape (n,)."""
        return self._ratio(features.vectors)

    def _ratio(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        scaled = self._scaler.transform(vectors)
        ratio = self._members.logpdf(scaled) - self._non_members.logpdf(scaled)
        return np.atleast_1d(np.asarray(ratio, dtype=np.float64))


def _gaussian(rows: NDArray[np.float64]) -> Any:
    estimate = LedoitWolf(store_precision=False).fit(rows)
    # A class of identical rows has no spread at all; a floor far below a standardised unit
    # keeps its likelihood finite.
    covariance = estimate.covariance_ + 1e-9 * np.eye(rows.shape[1])
    return multivariate_normal(
        estimate.location_, Covariance.from_cholesky(np.linalg.cholesky(covariance))
    )
