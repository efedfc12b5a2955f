"""FSCA: small neural networks on what a CLIP sees in sample, answers and text."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from privaudit.attacks import ClassifierAttack
from privaudit.errors import ScoreError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from privaudit.measurements import Features

__all__ = ["ConsistencyAttack"]


BLOCK = "clip"
"""What the measurement calls its block: no attack imports a measurement."""


class ConsistencyAttack(ClassifierAttack):
    """Score by the probability of membership that networks read off a CLIP's similarities.

    Zhu and Wang (2025), arXiv 2506.11434, FSCA: are the answers like the sample, and how much
    better than the sample do they fit the text? The feature is that of
    :class:`privaudit.measurements.captions.CaptionSimilarity`. The authors' network has a stream of
    256 units for each half of it and two layers after them, learns by Adam for 100 epochs from 64
    answers a sample, and the epoch that is best **on the test set** is reported. Here the networks
    are those of :class:`~privaudit.attacks.classifier.ClassifierAttack`, nothing is chosen on the
    evaluation set, and the answers are the audit's m. So few features leave networks dead more
    often where there is nothing to find: then the penalty falls on, to 0.1.

    Parameters
    ----------
    seed
        Seed of the initial weights and of the folds.
    """

    penalties: tuple[float, ...] = (*ClassifierAttack.penalties, 0.3, 0.1)

    def fit(self, features: Features, labels: NDArray[np.bool_]) -> ConsistencyAttack:
        """Train on the calibration set.

        Raises
        ------
        ScoreError
            As :class:`~privaudit.attacks.classifier.ClassifierAttack`, or if no CLIP has measured.
        """
        super().fit(_clips(features), labels)
        return self

    def score(self, features: Features) -> NDArray[np.float64]:
        """Return the probabilities of membership, shape (n,)."""
        return super().score(_clips(features))


def _clips(features: Features) -> Features:
    if BLOCK not in features.blocks:
        msg = (
            "this inference model reads what a CLIP sees, and none has measured: name one with "
            "--privaudit-clip, or leave it out with --privaudit-attacks"
        )
        raise ScoreError(msg)
    return replace(features, vectors=features.blocks[BLOCK])
