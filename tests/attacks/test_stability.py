"""Nothing that ought not to matter moves an inference model: noise, seeds, order, units."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from privaudit.attacks import make_attack
from privaudit.attacks.base import check_spread
from privaudit.attacks.combined import _KernelRidge, gaussian, linear
from privaudit.errors import ScoreError
from privaudit.measurements import Features
from privaudit.statistics import auc
from tests.parts.attacks import MANY_FITS, OWN

N = 60
LABELS = np.arange(2 * N) < N


def cosines(seed: int, n: int, gain: float, d: int = 16) -> Features:
    """Draw what patch-wise similarities look like: near 0.6, correlated, a little higher by gain."""
    draws = np.random.default_rng(seed)
    common, own = draws.standard_normal((n, 1)), draws.standard_normal((n, d))
    # One leak all along, and one that shows in the spread alone.
    vectors = 0.6 + 0.05 * (common + own + gain * (0.5 + 0.3 * np.abs(own)))
    return Features(vectors, vectors.mean(axis=1))


def sets(seed: int, gain: float) -> tuple[Features, Features, Features]:
    known = Features.joined([cosines(seed, N, gain), cosines(seed + 1000, N, 0)])
    return known, cosines(seed + 2000, 90, gain), cosines(seed + 3000, 70, 0)


def found(name: str, drawn: tuple[Features, Features, Features], seed: int = 0) -> float:
    fitted = make_attack(name, seed).fit(drawn[0], LABELS)
    return auc(fitted.score(drawn[1]), fitted.score(drawn[2]))


def draws_of(name: str, n: int) -> int:
    """Repeat the networks, a second or two a fit, a quarter as often."""
    return n // 4 if name == "classifier" else n


def noisy(features: Features, seed: int, size: float = 1e-4) -> Features:
    draws = np.random.default_rng(seed)
    vectors = features.vectors * (1 + size * draws.standard_normal(features.vectors.shape))
    return Features(
        vectors, features.similarity * (1 + size * draws.standard_normal(len(features)))
    )


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("gain", [0.0, 0.6, 2.0])
def test_feature_noise_of_one_in_ten_thousand_moves_no_auc(name: str, gain: float) -> None:
    moved = [
        abs(found(name, drawn) - found(name, tuple(noisy(f, i) for i, f in enumerate(drawn))))  # type: ignore[arg-type]
        for seed in range(draws_of(name, 4))
        for drawn in [sets(seed, gain)]
    ]
    # A pair in 6,300 is 0.00016: a few may change places.
    assert max(moved) <= 0.001


@pytest.mark.parametrize("name", MANY_FITS)
def test_the_seed_hardly_matters(name: str) -> None:
    drawn = sets(7, 0.6)
    assert np.std([found(name, drawn, seed) for seed in range(6)]) <= 0.01


@pytest.mark.parametrize("name", MANY_FITS)
def test_without_a_leak_the_auc_is_a_half_over_many_draws(name: str) -> None:
    n = draws_of(name, 40)
    aucs = [found(name, sets(seed, 0)) for seed in range(n)]
    assert abs(np.mean(aucs) - 0.5) < 3 * 0.05 / np.sqrt(n)


@pytest.mark.parametrize("name", MANY_FITS)
def test_calibration_scores_are_out_of_sample(name: str) -> None:
    """Where nothing leaks they show nothing, though the fit itself separates its own samples."""
    aucs = []
    n = draws_of(name, 32)
    for seed in range(n):
        known = sets(seed, 0)[0]
        scores = make_attack(name, seed).fit(known, LABELS).calibration_scores
        aucs.append(auc(scores[LABELS], scores[~LABELS]))
    assert abs(np.mean(aucs) - 0.5) < 3 * 0.06 / np.sqrt(n)


@pytest.mark.parametrize("name", MANY_FITS)
@given(seed=st.integers(0, 10**6), gain=st.sampled_from([0.0, 1.0]))
@settings(max_examples=4, deadline=None)
def test_neither_order_nor_units_matter(name: str, seed: int, gain: float) -> None:
    known, members, non_members = sets(seed, gain)
    draws = np.random.default_rng(seed)
    order = draws.permutation(2 * N)
    factor, shift = draws.uniform(0.1, 10, 16), draws.uniform(-3, 3, 16)

    def other_units(f: Features) -> Features:
        return Features(f.vectors * factor + shift, f.similarity)

    plain = make_attack(name, 0).fit(known, LABELS)
    shuffled = make_attack(name, 0).fit(
        Features(known.vectors[order], known.similarity[order]), LABELS[order]
    )
    rescaled = make_attack(name, 0).fit(other_units(known), LABELS)
    for queries in (members, non_members):
        wanted = plain.score(queries)
        tolerance = 1e-3 * np.ptp(wanted)
        np.testing.assert_allclose(shuffled.score(queries), wanted, atol=tolerance)
        np.testing.assert_allclose(rescaled.score(other_units(queries)), wanted, atol=tolerance)


@pytest.mark.parametrize("name", OWN)
def test_exact_copies_are_found_though_their_features_do_not_vary(name: str) -> None:
    copies = Features(np.ones((N, 16)), np.ones(N))
    known = Features.joined([copies, cosines(0, N, 0)])
    fitted = make_attack(name, 0).fit(known, LABELS)
    assert auc(fitted.score(copies), fitted.score(cosines(1, N, 0))) == 1.0


@pytest.mark.parametrize("name", OWN)
def test_features_that_never_vary_are_a_coin_not_an_error(name: str) -> None:
    same = Features(np.ones((2 * N, 16)), np.ones(2 * N))
    fitted = make_attack(name, 0).fit(same, LABELS)
    assert auc(fitted.score(same), fitted.score(same)) == 0.5


@pytest.mark.parametrize("name", OWN)
def test_a_feature_that_varies_by_rounding_says_nothing(name: str) -> None:
    known, members, non_members = sets(3, 1.0)
    draws = np.random.default_rng(0)

    def with_rounding(f: Features) -> Features:
        last = 0.7 + 1e-9 * draws.standard_normal((len(f), 1))
        return Features(np.hstack([f.vectors, last]), f.similarity)

    more = found(name, tuple(with_rounding(f) for f in (known, members, non_members)))  # type: ignore[arg-type]
    assert more == pytest.approx(found(name, (known, members, non_members)), abs=0.02)


def test_a_dead_network_is_noticed() -> None:
    """The network of version 0.1 at its penalty of 1000: its scores have an order all the same."""
    known, members, _ = sets(0, 0.6)
    scaled = (known.vectors - known.vectors.mean(axis=0)) / known.vectors.std(axis=0)
    dead = MLPClassifier((32,), solver="lbfgs", alpha=1000, max_iter=200, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        dead.fit(scaled, LABELS)
    scores = dead.predict_proba(scaled)[:, 1]
    assert len(np.unique(scores)) > 10
    with pytest.raises(ScoreError, match="120 scores differ by no more than"):
        check_spread(scores, known.vectors)
    check_spread(members.similarity, members.vectors)


def test_penalties_that_kill_every_network_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("privaudit.attacks.classifier.ClassifierAttack.penalties", (1e4, 1e3))
    with pytest.raises(ScoreError, match="dead at every penalty: on 120 calibration samples"):
        make_attack("classifier", 0).fit(sets(0, 0.0)[0], LABELS)


@pytest.mark.slow
def test_the_classifier_lives_on_few_samples_of_pure_noise() -> None:
    for seed in range(10):
        noise = cosines(seed, 20, 0)
        fitted = make_attack("classifier", seed).fit(noise, np.arange(20) < 10)
        assert np.ptp(fitted.score(cosines(seed + 50, 20, 0))) > 1e-3


def test_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ScoreError, match="1 of 3 scores are not finite"):
        check_spread(np.array([0.1, np.nan, 0.2]), np.ones((3, 1)))


@pytest.mark.parametrize("kernel", [linear, gaussian])
def test_leave_one_out_in_closed_form_is_leaving_one_out(kernel: object) -> None:
    """One penalty, thirty refits without a sample each."""
    draws = np.random.default_rng(0)
    rows, labels = draws.standard_normal((30, 5)), np.arange(30) < 13
    from privaudit.attacks import combined

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(combined, "PENALTIES", np.array([0.5]))
        fitted = _KernelRidge.fit(kernel, rows, labels)  # type: ignore[arg-type]
    products = kernel(rows, rows)  # type: ignore[operator]
    centred = products - products.mean(0) - products.mean(1)[:, None] + products.mean()
    penalty = 0.5 * np.trace(centred) / 30
    wanted = np.where(labels, 1.0, -1.0)
    left_out = []
    for i in range(30):
        keep = np.arange(30) != i
        k = products[np.ix_(keep, keep)]
        # An intercept that is not penalised, and dual weights that sum to zero.
        system = np.block([[k + penalty * np.eye(29), np.ones((29, 1))], [np.ones((1, 29)), 0]])
        solution = np.linalg.solve(system, np.append(wanted[keep], 0.0))
        left_out.append(products[i, keep] @ solution[:-1] + solution[-1])
    assert fitted.spread == pytest.approx(np.std(left_out), rel=1e-6)


def test_the_combined_attack_sees_what_a_plane_does_not() -> None:
    """Members in a shell around non-members: no direction tells them apart."""
    draws = np.random.default_rng(0)

    def ring(n: int, radius: float) -> Features:
        points = draws.standard_normal((n, 4))
        points *= radius / np.linalg.norm(points, axis=1, keepdims=True)
        return Features(points, points.mean(axis=1))

    known = Features.joined([ring(N, 3), ring(N, 1)])
    fitted = make_attack("combined", 0).fit(known, LABELS)
    assert auc(fitted.score(ring(99, 3)), fitted.score(ring(99, 1))) > 0.9
