"""GAN-Leaks' full black-box attack, and its form for diffusion models: the nearest answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privaudit.attacks import check_spread, nearest, youden
from privaudit.study.attacks.pool import check_known, pool_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from privaudit.measurements import Features

__all__ = ["GanLeaksAttack", "MatsumotoAttack"]


class GanLeaksAttack:
    r"""Score by the distance of a sample to the nearest of all generated pictures.

    Chen, Yu, Zhang and Fritz (2020), "GAN-Leaks: A taxonomy of membership inference attacks against
    generative models", section 5, the attack on a full black-box generator: of the pictures
    :math:`g_1, \dots, g_N` that it gives out, the reconstruction of :math:`x` is
    :math:`\hat x = \arg\min_i L(x, g_i)`, and the score is :math:`-L(x, \hat x)`. The authors' code
    takes the Euclidean distance of pixels for :math:`L`; so does this class, at 16 × 16 pixels.

    Nothing is fitted: the calibration set fixes the threshold alone, by Youden's index.

    Parameters
    ----------
    seed
        Not used: nothing is random.
    """

    threshold: float
    neighbours = 1
    """Most generated pictures whose distances are added."""

    def __init__(self, seed: int = 0) -> None:
        del seed

    def fit(self, features: Features, labels: NDArray[np.bool_]) -> GanLeaksAttack:
        """Choose the threshold on the calibration set."""
        check_known(features, labels, least=1)
        self.calibration_scores = self.score(features)  # no fit has a say in them
        self.threshold = youden(self.calibration_scores, labels)
        return self

    def score(self, features: Features) -> NDArray[np.float64]:
        """Return minus the sum of the distances to the nearest answers, shape (n,)."""
        pool = pool_of(features)
        scores: NDArray[np.float64] = -nearest(pool, min(self.neighbours, pool.m)).sum(axis=1)
        check_spread(scores, pool.samples.pixels)
        return scores


class MatsumotoAttack(GanLeaksAttack):
    """Score by the distances of a sample to several nearest of all generated pictures, added.

    Matsumoto, Miura and Yanai (2023), "Membership inference attacks against diffusion models":
    their black-box attack is GAN-Leaks' on pictures drawn by DDIM. Their code
    (``fseclab-osaka/mia-diffusion``, ``attacks/fbb.py``) adds the distances of the five nearest
    pictures, where GAN-Leaks' takes the first. Here they are as many as there are answers to each
    sample, five at most: of pictures that were asked for, no more are of the sample, and distances
    to the others' would hide even an exact copy. The target draws with its own scheduler.

    Parameters
    ----------
    seed
        Not used: nothing is random.
    """

    neighbours = 5
