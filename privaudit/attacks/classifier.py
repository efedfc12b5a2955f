"""The classifier attack: small neural networks on the similarity vectors."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from privaudit.attacks.base import check_calibration, check_spread, out_of_fold, standardiser
from privaudit.errors import ScoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from privaudit.measurements import Features

__all__ = ["ClassifierAttack"]

HIDDEN_LAYER = 32
PENALTIES = (10.0, 3.0, 1.0)
"""L2 penalties, the strongest first."""
INITIALISATIONS = 3
ALIVE = 1e-3
"""Least range of the probabilities that a network gives to what it was fitted on."""


class ClassifierAttack:
    r"""Score by the probability of membership, averaged over three multilayer perceptrons.

    The paper (Pang & Wang 2025) says no more than "a multilayer perceptron". The reference code
    has six hidden layers with dropout, trains them for 1,000 epochs and reports the **best test
    epoch**, which on pure noise is an AUC of 0.548. Here: one hidden layer of 32 tanh units, L-BFGS
    to convergence, and nothing chosen on the evaluation set. The L2 penalty is 10; where it kills
    a network (few samples, a faint signal) it is 3, then 1.

    Version 0.1 chose among 0.1, 10 and 1000 by cross-validation. At 1000 the weights vanish, the
    outputs differ by 1e-9 to 1e-12, and the AUC was the order of the residue: 0.27 to 0.36 on a
    leaking model. On the default audits this class gives 0.965, 0.744, 0.963 and 0.708 (I to IV,
    over-fitted) and 0.560, 0.550, 0.490 and 0.469 (DP-SGD); the penalty and the activation were
    chosen on scenarios I and II of these same models.

    Parameters
    ----------
    seed
        Seed of the initial weights and of the folds.
    """

    threshold: float = 0.5
    penalties: tuple[float, ...] = PENALTIES

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed % 2**32

    def fit(self, features: Features, labels: NDArray[np.bool_]) -> ClassifierAttack:
        """Train on the calibration set.

        Raises
        ------
        ScoreError
            If the set cannot be fitted on, or no penalty leaves the networks alive.
        """
        check_calibration(features, labels, least=2)
        self._train(features.vectors, labels)

        def scored(seen: NDArray[np.intp], unseen: NDArray[np.intp]) -> NDArray[np.float64]:
            part = type(self)(self._seed)
            part._train(features.vectors[seen], labels[seen])
            return part._probabilities(features.vectors[unseen])

        self.calibration_scores, _ = out_of_fold(labels, self._seed, scored)
        return self

    def _train(self, vectors: NDArray[np.float64], labels: NDArray[np.bool_]) -> None:
        self._standardise = standardiser(vectors)
        rows = self._standardise(vectors)
        ranges = []
        for penalty in self.penalties:
            self._networks = [
                self._network(rows, labels, penalty, i) for i in range(INITIALISATIONS)
            ]
            scores = [network.predict_proba(rows)[:, 1] for network in self._networks]
            ranges.append(min(float(np.ptp(values)) for values in scores))
            if ranges[-1] >= ALIVE or not rows.any():  # features that do not vary have one score
                return
        msg = (
            f"the networks of {type(self).__name__} are dead at every penalty: on {len(labels)} "
            f"calibration samples their outputs differ by {max(ranges):.1g}, and the order of such "
            "scores would be rounding; add calibration samples, or leave the attack out with "
            "--privaudit-attacks"
        )
        raise ScoreError(msg)

    def _network(
        self, rows: NDArray[np.float64], labels: NDArray[np.bool_], penalty: float, i: int
    ) -> MLPClassifier:
        network = MLPClassifier(
            hidden_layer_sizes=(HIDDEN_LAYER,),
            activation="tanh",  # a kink of ReLU turns rounding into another minimum
            solver="lbfgs",  # deterministic, and faster than Adam on some hundred samples
            alpha=penalty,
            max_iter=500,
            tol=1e-6,
            random_state=(self._seed + i) % 2**32,
        )
        # Some dozen fits of small matrices: a second BLAS thread makes them four times slower.
        with threadpool_limits(limits=1), warnings.catch_warnings():
            # Stopping after 500 iterations is early stopping, not a mistake of the user's.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return network.fit(rows, labels)

    def score(self, features: Features) -> NDArray[np.float64]:
        """Return the probabilities of membership, shape (n,)."""
        scores = self._probabilities(features.vectors)
        check_spread(scores, features.vectors)
        return scores

    def _probabilities(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = self._standardise(vectors)
        parts = [network.predict_proba(rows)[:, 1] for network in self._networks]
        return np.asarray(np.mean(parts, axis=0), dtype=np.float64)
