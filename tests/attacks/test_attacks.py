"""The inference models against independent NumPy, on noise, and on data that cannot be fitted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privaudit.attacks import make_attack
from privaudit.attacks.distribution import DistributionAttack
from privaudit.attacks.threshold import ThresholdAttack
from privaudit.errors import ScoreError
from privaudit.measurements import Features
from privaudit.statistics import auc
from tests.parts.attacks import MANY_FITS, OWN


def features(draws: np.random.Generator, n: int, d: int = 24, shift: float = 0.0) -> Features:
    vectors = draws.normal(shift, 1, (n, d))
    return Features(vectors, vectors.mean(axis=1))


def both(a: Features, b: Features) -> Features:
    return Features(np.vstack([a.vectors, b.vectors]), np.concatenate([a.similarity, b.similarity]))


LABELS = np.arange(200) < 100


@pytest.mark.parametrize("name", MANY_FITS)
def test_noise_gives_chance_on_average(name: str) -> None:
    aucs = []
    for seed in range(50):
        draws = np.random.default_rng(seed)
        fitted = make_attack(name, seed).fit(features(draws, 200), LABELS)
        aucs.append(auc(fitted.score(features(draws, 100)), fitted.score(features(draws, 100))))
    assert abs(np.mean(aucs) - 0.5) < 0.02


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("d", [6, 400])
def test_a_shift_is_found_with_few_and_with_many_features(name: str, d: int) -> None:
    draws = np.random.default_rng(0)
    shift = 3 / np.sqrt(d)
    known = both(features(draws, 100, d, shift), features(draws, 100, d))
    fitted = make_attack(name, 0).fit(known, LABELS)
    members = fitted.score(features(draws, 100, d, shift))
    non_members = fitted.score(features(draws, 100, d))
    # An oracle reaches 0.98; 200 samples in 400 dimensions cannot.
    assert auc(members, non_members) > 0.85
    accuracy = ((members > fitted.threshold).mean() + (non_members <= fitted.threshold).mean()) / 2
    assert accuracy > 0.75


@given(
    st.lists(st.integers(-20, 20), min_size=2, max_size=30).flatmap(
        lambda xs: st.tuples(
            st.just(xs), st.lists(st.booleans(), min_size=len(xs), max_size=len(xs))
        )
    )
)
def test_no_threshold_beats_the_chosen_one(drawn: tuple[list[int], list[bool]]) -> None:
    values, flags = np.array(drawn[0], dtype=float), np.array(drawn[1])
    if flags.all() or not flags.any():
        return
    chosen = ThresholdAttack().fit(Features(values[:, None], values), flags).threshold

    def index(t: float) -> float:
        return (values > t)[flags].mean() - (values > t)[~flags].mean()

    assert index(chosen) == pytest.approx(max(index(t) for t in np.arange(-21, 22, 0.5)))


def test_the_threshold_weighs_the_classes_alike_not_the_samples() -> None:
    # Accuracy would call all nine samples non-members: 8 of 9 right.
    values = np.array([5.0, 1, 1, 1, 1, 1, 1, 6, 6])
    flags = np.arange(9) == 0
    assert ThresholdAttack().fit(Features(values[:, None], values), flags).threshold == 3.0


def ledoit_wolf(rows: np.ndarray) -> np.ndarray:
    """Ledoit & Wolf 2004, lemmas 3.2–3.5, written out with loops."""
    n, d = rows.shape
    x = rows - rows.mean(axis=0)
    sample = x.T @ x / n
    mu = np.trace(sample) / d
    delta = ((sample - mu * np.eye(d)) ** 2).sum() / d
    beta = sum(((np.outer(row, row) - sample) ** 2).sum() / d for row in x) / n**2
    shrinkage = min(beta, delta) / delta
    return shrinkage * mu * np.eye(d) + (1 - shrinkage) * sample


@pytest.mark.parametrize(("n", "d"), [(40, 5), (15, 30)])
def test_distribution_scores_equal_numpy(n: int, d: int) -> None:
    draws = np.random.default_rng(3)
    known = both(features(draws, n, d, 0.5), features(draws, n, d))
    queries = features(draws, 20, d, 0.2)
    labels = np.arange(2 * n) < n
    ours = DistributionAttack().fit(known, labels).score(queries)

    mean, spread = known.vectors.mean(axis=0), known.vectors.std(axis=0)
    scaled, asked = (known.vectors - mean) / spread, (queries.vectors - mean) / spread
    logs = []
    for rows in (scaled[labels], scaled[~labels]):
        covariance = ledoit_wolf(rows) + 1e-9 * np.eye(d)
        centred = asked - rows.mean(axis=0)
        mahalanobis = np.einsum("ij,jk,ik->i", centred, np.linalg.inv(covariance), centred)
        logs.append(-0.5 * (mahalanobis + np.linalg.slogdet(covariance)[1] + d * np.log(2 * np.pi)))
    np.testing.assert_allclose(ours, logs[0] - logs[1], atol=1e-6)


def test_threshold_scores_are_the_mean_similarities() -> None:
    draws = np.random.default_rng(4)
    known = features(draws, 30)
    labels = np.arange(30) < 15
    fitted = ThresholdAttack().fit(known, labels)
    ordered = np.sort(known.similarity)
    middles = (ordered[:-1] + ordered[1:]) / 2
    accuracies = [((known.similarity > t) == labels).mean() for t in middles]
    if max(accuracies) > 0.5:
        assert fitted.threshold == pytest.approx(middles[int(np.argmax(accuracies))], abs=1e-6)
    queries = features(draws, 9)
    np.testing.assert_allclose(fitted.score(queries), queries.vectors.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("name", OWN)
def test_fitting_is_reproducible_and_scores_do_not_depend_on_company(name: str) -> None:
    draws = np.random.default_rng(5)
    known = both(features(draws, 100, shift=0.3), features(draws, 100))
    queries = features(draws, 10)
    first = make_attack(name, 1).fit(known, LABELS).score(queries)
    again = make_attack(name, 1).fit(known, LABELS)
    np.testing.assert_array_equal(first, again.score(queries))
    alone = Features(queries.vectors[3:4], queries.similarity[3:4])
    np.testing.assert_allclose(again.score(alone), first[3:4], rtol=1e-9)


@pytest.mark.parametrize("name", OWN)
def test_one_class_and_nan_are_refused(name: str) -> None:
    draws = np.random.default_rng(6)
    known = features(draws, 10)
    with pytest.raises(ScoreError, match="10 members and 0 non-members"):
        make_attack(name, 0).fit(known, np.ones(10, dtype=bool))
    known.vectors[0, 0] = known.similarity[0] = np.nan
    with pytest.raises(ScoreError, match="not finite"):
        make_attack(name, 0).fit(known, np.arange(10) < 5)
