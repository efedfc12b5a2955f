"""Canaries: unlike anything and one another, split by coins, and read by an audit as the split."""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from typing import Any

import numpy as np
import pytest

import privaudit
from privaudit import AuditInputs, AuditSettings, make_canaries
from privaudit.encoders.base import encode_in_batches
from privaudit.errors import SampleError
from privaudit.record import Claim
from privaudit.store import Store
from privaudit.testing import MemorizingTarget
from tests.parts.audits import one_result
from tests.parts.encoders import PixelEncoder


def test_the_same_seed_makes_the_same_canaries_and_another_makes_others() -> None:
    first, again, other = (make_canaries(60, seed=s, size=32) for s in (1, 1, 2))
    assert [s.digest for s in first.members] == [s.digest for s in again.members]
    assert first.exposures == again.exposures
    both = [*first.members, *first.non_members, *other.members, *other.non_members]
    assert len({s.digest for s in both}) == len({s.caption for s in both}) == 120
    kept = pickle.loads(pickle.dumps(copy.copy(first)))  # our own
    assert (kept.exposures, kept.seed) == (first.exposures, first.seed)


def test_exposure_is_decided_by_lots_and_training_repeats_members_alone() -> None:
    canaries = make_canaries(300, seed=3, size=16)
    assert Counter(canaries.exposures.values()) == {1: 100, 4: 100, 16: 100}
    trained = Counter(sample.id for sample in canaries.training)
    assert trained == {s.id: canaries.exposures[s.id] for s in canaries.members}
    inside = Counter(canaries.exposures[s.id] for s in canaries.members)
    assert all(30 < inside[times] < 70 for times in (1, 4, 16))
    assert canaries.record()["canaries"] == {str(t): inside[t] for t in (1, 4, 16)}


def test_no_two_look_alike_to_an_encoder() -> None:
    canaries = make_canaries(120, seed=5, size=64)
    encoder = privaudit.load_encoder("efficientnet-lite0", device="cpu")
    images = [s.image for s in (*canaries.members, *canaries.non_members)]
    rows = encode_in_batches(encoder, images, 32).mean(axis=1)
    rows = rows - rows.mean(axis=0)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = rows @ rows.T - 2 * np.eye(len(rows))
    assert cosines.max() < AuditSettings().duplicate_limit


@pytest.mark.slow
def test_an_audit_reads_them_as_the_split_and_refutes_a_broken_promise() -> None:
    """A model that keeps every canary is no (8, 1e-5)-private one: fewer than 500 show it."""
    canaries, shadow = make_canaries(490, seed=1, size=32), make_canaries(60, seed=2, size=32)
    # Ids of canaries are the same for every seed.
    renamed = {
        name: [privaudit.Sample(s.image, s.caption, id=f"shadow-{s.id}") for s in samples]
        for name, samples in (
            ("shadow_members", shadow.members),
            ("shadow_non_members", shadow.non_members),
        )
    }
    given = AuditInputs(
        target_model=MemorizingTarget(canaries.members),
        members=canaries.members,
        non_members=canaries.non_members,
        image_encoder=PixelEncoder(),
        coin_split=canaries,
        claim=Claim(epsilon=8, delta=1e-5, mechanism="gaussian", attack="III-threshold"),
        shadow_model=MemorizingTarget(renamed["shadow_members"]),
        **renamed,
    )
    settings = AuditSettings(queries=1, scenarios="III", attacks="threshold", duplicate_limit=2)
    found = one_result("III", "threshold", given, settings, Store(None))
    assert found.claim_exceeded
    assert found.verdict == "fail"
    assert found.epsilon is not None
    assert found.epsilon.coins_needed is None
    assert found.epsilon.coin_split["canaries"].keys() == {"1", "4", "16"}


@pytest.mark.parametrize("wrong", [{"n": 1}, {"n": 9, "size": 4}, {"n": 9, "exposures": (0,)}])
def test_mistakes(wrong: dict[str, Any]) -> None:
    with pytest.raises(SampleError, match="needs at least 2 canaries of 8 pixels"):
        make_canaries(**{"seed": 0, **wrong})
