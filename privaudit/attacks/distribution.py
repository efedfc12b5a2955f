"""The distribution attack: one Gaussian per class, and the ratio of their likelihoods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import Covariance, multivariate_normal
from sklearn.covariance import LedoitWolf
from sklearn.preprocessing import StandardScaler

from privaudit.attacks.base import check_calibration, check_spread, out_of_fold

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from privaudit.measurements import Features

__all__ = ["DistributionAttack"]


class DistributionAttack:
    r"""Score by :math:`\log p(x \mid \text{member}) - \log p(x \mid \text{non-member})`.

    The paper (Pang & Wang 2025) compares the densities of the two classes. The reference code
    estimates a full Gaussian for each and adds :math:`10^{-5}` to the diagonal. That is weak where
    there are more features than samples, but it is no rounding: feature noise of 1e-4 leaves its
    ranks. Here similarity vectors are standardised on the calibration set, and each class gets a
    Gaussian with its own mean and a Ledoit–Wolf covariance (Ledoit & Wolf 2004), which is shrunk
    toward a multiple of the identity by the amount that the data ask for. On real channel-wise
    features that is worth 0.14 of AUC.

    With patch-wise vectors of the over-fitted emoji model, scenarios I to IV: 0.966, 0.721, 0.945,
    0.661.

    Parameters
    ----------
    seed
        Not used: nothing is random.
    """

    threshold: float = 0.0
    """Equal likelihoods: the calibration set holds as many members as non-members."""

    def __init__(self, seed: int = 0) -> None:
        del seed

    def fit(self, features: Features, labels: NDArray[np.bool_]) -> DistributionAttack:
        """Estimate both Gaussians on the calibration set."""
        check_calibration(features, labels, least=2)

        def scored(seen: NDArray[np.intp], unseen: NDArray[np.intp]) -> NDArray[np.float64]:
            part = DistributionAttack()
            part._estimate(features.vectors[seen], labels[seen])
            return part._ratio(features.vectors[unseen])

        self.calibration_scores, _ = out_of_fold(labels, 0, scored)
        self._estimate(features.vectors, labels)
        check_spread(self._ratio(features.vectors), features.vectors)
        return self

    def _estimate(self, vectors: NDArray[np.float64], labels: NDArray[np.bool_]) -> None:
        self._scaler = StandardScaler().fit(vectors)
        scaled = self._scaler.transform(vectors)
        self._members = _gaussian(scaled[labels])
        self._non_members = _gaussian(scaled[~labels])

    def score(self, features: Features) -> NDArray[np.float64]:
        """Return the log-likelihood ratios, shape (n,)."""
        scores = self._ratio(features.vectors)
        check_spread(scores, features.vectors)
        return scores

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
