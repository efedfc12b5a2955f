"""The plugin on a card: a whole audit file, red when it leaks, and nothing drawn twice."""

from __future__ import annotations

import pytest

from tests.parts.audit_folder import GATED, AuditFolder
from tests.parts.documents import read_session

MODEL = """
@pytest.fixture(scope="session")
def target_model():
    return privaudit.load_pipeline(
        emoji_sets.MODELS / "base", unet=emoji_sets.MODELS / "overfit" / "unet")
"""
ASKED = (
    "--privaudit-scenarios=I",
    "--privaudit-num-inference-steps=20",
    "--privaudit-json=out.json",
)


def test_a_leaking_model_is_red_and_a_second_session_draws_nothing(
    plain_folder: AuditFolder,
) -> None:
    plain_folder.write(MODEL, GATED)
    for drawn in (24, 0):
        result = plain_folder.run(*ASKED, subprocess=True)
        result.assert_outcomes(failed=3)
        [audit] = read_session(plain_folder.path / "out.json").audits
        assert audit.provenance is not None
        assert audit.provenance.models["target_model"]["device"].startswith("cuda")
        assert audit.provenance.images.generated == drawn


def test_a_worker_of_ray_gets_the_card(plain_folder: AuditFolder) -> None:
    pytest.importorskip("ray")
    plain_folder.write(MODEL, GATED)
    result = plain_folder.run(*ASKED, "--privaudit-engine=ray", subprocess=True)
    result.assert_outcomes(failed=3)
    [audit] = read_session(plain_folder.path / "out.json").audits
    assert audit.provenance is not None
    assert audit.provenance.models["target_model"]["device"].startswith("cuda")
    assert audit.provenance.images.generated == 24
    again = plain_folder.run(*ASKED, subprocess=True)  # by the local engine: one and the same
    again.assert_outcomes(failed=3)
    [audit] = read_session(plain_folder.path / "out.json").audits
    assert audit.provenance is not None
    assert audit.provenance.images.generated == 0
