"""The attack of Zhang et al.: a classifier of what a model generates against other pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.svm import SVC

from privaudit.attacks import check_spread, out_of_fold, standardiser, youden
from privaudit.study.attacks.pool import check_known, pool_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from privaudit.measurements import Features

    Rows = NDArray[np.float64]

__all__ = ["GeneratedAttack"]

NARROW = 2.0
"""Times the machine's kernel falls faster than scikit-learn's rule ``"scale"`` says. At 1 it is so
smooth that an unseen picture may look more generated than a copy: of the emoji, copies have an AUC
of 0.951, and 0.999 at 2. At 16 the kernel of two pictures is rounding."""


class GeneratedAttack:
    """Score by how much a sample looks generated to a classifier of pictures.

    Zhang, Yu, Wen, Backes and Zhang (2023), "Generated distributions are all you need for
    membership inference attacks against generative models", the black-box attack: pictures that
    the target generated are one class, auxiliary pictures that are no members of it the other, and
    a sample is called a member when a classifier of the two takes it for generated. There is no
    shadow model, and no member is known.

    Their code (``minxingzhang/MIAGM``) fine-tunes a ResNet-18 that was pre-trained on ImageNet.
    Here a support vector machine with a Gaussian kernel (scikit-learn's) reads features of the
    audit's encoder, averaged over patches, standardised: it has one solution, which no seed has a
    say in. Both classes weigh the same. The auxiliary pictures are the calibration set's
    non-members, and the classifier is trained anew on the pool of whatever is scored: in III and IV
    on the answers of the target, not the shadow's.

    Labels of members are used for nothing but the threshold, by Youden's index on scores of
    five folds; it is 0 with fewer than ten samples of a class.

    Parameters
    ----------
    seed
        Not used: nothing is random.
    """

    threshold: float = 0.0

    def __init__(self, seed: int = 0) -> None:
        del seed

    def fit(self, features: Features, labels: NDArray[np.bool_]) -> GeneratedAttack:
        """Keep the non-members, and choose the threshold on the calibration set."""
        pool = check_known(features, labels, least=2)
        samples = pool.samples.states
        self._others = samples[~labels]

        def scored(seen: NDArray[np.intp], unseen: NDArray[np.intp]) -> Rows:
            others = samples[seen][~labels[seen]]
            return _classifier(pool.answers.states, others)(samples[unseen])

        self.calibration_scores, folded = out_of_fold(labels, 0, scored)
        if folded:
            check_spread(self.calibration_scores, samples)
            self.threshold = youden(self.calibration_scores, labels)
        return self

    def score(self, features: Features) -> NDArray[np.float64]:
        """Return the classifier's decision values, shape (n,), without its intercept."""
        pool = pool_of(features)
        scores = _classifier(pool.answers.states, self._others)(pool.samples.states)
        check_spread(scores, pool.samples.states)
        return scores


def _classifier(
    generated: NDArray[np.float32], others: NDArray[np.float32]
) -> Callable[[NDArray[np.float32]], Rows]:
    """Train on two groups of pictures, and return what scores more: higher is like the first."""
    rows = np.concatenate([generated, others]).astype(np.float64)
    standardise = standardiser(rows)
    scaled = standardise(rows)
    gamma = NARROW / (scaled.shape[1] * max(scaled.var(), np.finfo(float).tiny))
    machine = SVC(kernel="rbf", gamma=gamma, class_weight="balanced", tol=1e-5)
    machine.fit(scaled, np.arange(len(rows)) < len(generated))
    # Without the intercept, which hangs on how many pictures there were of each.
    return lambda states: np.asarray(
        machine.decision_function(standardise(states.astype(np.float64))) - machine.intercept_[0]
    )
