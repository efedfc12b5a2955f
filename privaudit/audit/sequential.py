"""An evaluation set that is asked in chunks of pairs, until the gate can decide."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING

import numpy as np

from privaudit import statistics
from privaudit.audit.scoring import Scores
from privaudit.audit.sets import LabelledSet
from privaudit.measurements import Features
from privaudit.record import SequentialPath, SequentialStep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from privaudit.attacks import InferenceModel
    from privaudit.audit.scoring import Scorer
    from privaudit.record import Answers
    from privaudit.samples import Sample

__all__ = ["score_in_chunks"]

LEAST_CHUNK = 16
"""Queries that a sequential audit asks at a time, unless a batch size is set."""


def score_in_chunks(
    scorer: Scorer,
    model: InferenceModel,
    known: Answers,
    evaluation: LabelledSet,
    confidence: float,
) -> tuple[LabelledSet, Scores, SequentialPath]:
    """Query pair by pair of a member and a non-member, in batches, until the gate can decide.

    Parameters
    ----------
    scorer
        Asks and measures.
    model, known
        A fitted inference model, and what is known of the answers it was fitted on.
    evaluation
        The whole evaluation set.
    confidence
        Of the test, whenever it stops.

    Returns
    -------
    what was used of the evaluation set, its scores, how the test came to its end
    """
    settings = scorer.settings
    members, non_members = _in_random_order(evaluation, settings.seed)
    n = min(len(members), len(non_members))
    chunk = max(1, (settings.batch_size or LEAST_CHUNK) // (2 * settings.queries))
    test = statistics.SequentialAUC(settings.budget, confidence)
    exchanged = statistics.SequentialAUC(settings.budget, confidence)
    scores: tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]] = ([], [])
    path, start = [], 0
    seen: list[Features] = []
    samples: list[Sample] = []
    ahead = chunk * scorer.engine.n_workers
    # A batch is a chunk with any number of workers: on a GPU an image's last bits depend on it.
    scorer = dataclasses.replace(scorer, batch_size=chunk * 2 * settings.queries)
    while start < n and (test.verdict is None or _looks_exchanged(test, exchanged)):
        if start % ahead == 0:
            # A chunk for every worker; they are judged one by one, as with a single worker.
            coming = slice(start, min(start + ahead, n))
            scorer.prefetch([LabelledSet(evaluation.target, members[coming], non_members[coming])])
        pairs = slice(start, min(start + chunk, n))
        asked = (members[pairs], non_members[pairs])
        both = scorer.features(evaluation.target, [*asked[0], *asked[1]])
        seen.append(both)
        samples += [*asked[0], *asked[1]]
        new = np.split(model.score(both), [len(asked[0])])
        for side, part in zip(scores, new, strict=True):
            side.append(part)
        exchanged.update(*reversed(new))
        start = pairs.stop
        if test.verdict is None:
            test.update(*new)
            step = SequentialStep(n_pairs=test.n_pairs, auc=test.auc, low=test.low, high=test.high)
            path.append(step)
    if exchanged.verdict == "fail":  # nothing is concluded then: this bound is the reason
        path[-1] = path[-1].model_copy(update={"high": 1 - exchanged.low})
    used = LabelledSet(evaluation.target, members[:start], non_members[:start])
    result_scores = Scores(
        threshold=float(model.threshold),
        calibration=model.calibration_scores,
        members=np.concatenate(scores[0]),
        non_members=np.concatenate(scores[1]),
        answers=(known, scorer.answers(Features.joined(seen), samples)),
        blocks=tuple(sorted(seen[0].blocks)),
    )
    end = SequentialPath(
        n_pairs=test.n_pairs,
        max_pairs=n,
        estimate=test.estimate,
        verdict=test.verdict,
        pairs_needed=test.pairs_needed,
        path=path,
    )
    return used, result_scores, end


def _looks_exchanged(test: statistics.SequentialAUC, exchanged: statistics.SequentialAUC) -> bool:
    """Tell whether a pass may be that of exchanged sets, so that more pairs are to be asked.

    Where nearly every pair is lost, it is shown first that the AUC is within the budget.
    """
    undecided = exchanged.verdict is None
    return undecided and test.verdict == "pass" and exchanged.auc > exchanged.budget


def _in_random_order(evaluation: LabelledSet, seed: int) -> tuple[list[Sample], list[Sample]]:
    def drawn(name: str, samples: Sequence[Sample]) -> list[Sample]:
        # By the ids alone: neither the order given nor anything a score depends on.
        ordered = sorted(samples, key=lambda sample: sample.id)
        return random.Random(f"{seed}/pairs/{name}").sample(ordered, len(ordered))  # noqa: S311

    return drawn("members", evaluation.members), drawn("non-members", evaluation.non_members)
