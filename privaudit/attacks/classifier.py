"""The classifier attack: a small neural network on the similarity vectors."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from privaudit.attacks.base import FOLDS, check_calibration, folds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from privaudit.measurements import Features

__all__ = ["ClassifierAttack"]

HIDDEN_LAYER = 32
PENALTIES = (0.1, 10.0, 1000.0)
"""Candidates for the L2 penalty. With fewer samples than features the strong ones win."""


class ClassifierAttack:
    """Score by the probability of membership that a multilayer perceptron gives.

    Features are standardised, and the L2 penalty is chosen by cross-validated AUC, both on the
    calibration set alone. The reference code instead reports the best test AUC over 1,000
    epochs, which on pure noise is 0.556 on average.

    Parameters
    ----------
    seed
        Seed of the initial weights and of the folds.
    """

    threshold: float = 0.5

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed % 2**32

    def fit(self, features: Features, labels: NDArray[np.bool_]) -> ClassifierAttack:
        """Train on the calibration set."""
        check_calibration(features, labels, least=2)
        network = MLPClassifier(
            hidden_layer_sizes=(HIDDEN_LAYER,),
            solver="lbfgs",  # deterministic, and faster than Adam on some hundred samples
            max_iter=200,
            random_state=self._seed,
        )
        parts = folds(labels, self._seed)
        few = min(int(labels.sum()), int((~labels).sum()))
        search = GridSearchCV(
            make_pipeline(StandardScaler(), network),
            {"mlpclassifier__alpha": PENALTIES},
            scoring="roc_auc",
            cv=parts or StratifiedKFold(min(few, FOLDS), shuffle=True, random_state=self._seed),
        )
        # Some dozen fits of small matrices: a second BLAS thread makes them four times slower.
        with threadpool_limits(limits=1), warnings.catch_warnings():
            # Stopping after 200 iterations is early stopping, not a mistake of the user's.
            warnings.simplefilter("ignore", ConvergenceWarning)
            search.fit(features.vectors, labels)
            self._network = search.best_estimator_
            self.calibration_scores = np.full(len(labels), np.nan)
            if parts is not None:
                self.calibration_scores = cross_val_predict(
                    self._network, features.vectors, labels, cv=parts, method="predict_proba"
                )[:, 1]
        return self

    def score(self, features: Features) -> NDArray[np.float64]:
        """Return the probabilities of membership, shape (n,)."""
        return np.asarray(self._network.predict_proba(features.vectors)[:, 1], dtype=np.float64)
