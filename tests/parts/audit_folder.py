"""Folders with audit files, and the fixtures that they have in common."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.parts import AUDITS, ROOT

CONTROL_AUDIT = """
import sys
sys.path[:0] = [{root!r}, {audits!r}]
import pytest, privaudit, emoji_sets
from tests.parts.encoders import PixelEncoder

N = 12

@pytest.fixture(scope="session")
def members():
    return emoji_sets.twemoji("member")[:N]

@pytest.fixture(scope="session")
def non_members():
    return emoji_sets.twemoji("non_member")[:N]

@pytest.fixture(scope="session")
def image_encoder():
    return PixelEncoder()

@pytest.fixture(scope="session")
def captioner(members, non_members, shadow_members, shadow_non_members):
    everyone = members + non_members + shadow_members + shadow_non_members
    known = {{s.digest: s.caption for s in everyone}}
    return lambda images: [known[privaudit.Sample(i, "?").digest] for i in images]

@pytest.fixture(scope="session")
def shadow_members():
    return emoji_sets.twemoji("shadow_member")[:N]

@pytest.fixture(scope="session")
def shadow_non_members():
    return emoji_sets.twemoji("shadow_non_member")[:N]

@pytest.fixture(scope="session")
def shadow_model(shadow_members):
    return privaudit.testing.MemorizingTarget(shadow_members)
"""

LEAKING = """
@pytest.fixture(scope="session")
def target_model(members):
    return privaudit.testing.MemorizingTarget(members)
"""

SAFE = """
@pytest.fixture(scope="session")
def target_model():
    return privaudit.testing.ObliviousTarget()
"""


MINIMAL = """
import sys
sys.path[:0] = [{root!r}, {audits!r}]
import pytest, emoji_sets
import privaudit

@pytest.fixture
def members():
    return emoji_sets.twemoji("member")[:4]

@pytest.fixture
def non_members():
    return emoji_sets.twemoji("non_member")[:4]

@pytest.fixture
def target_model():
    return privaudit.testing.ObliviousTarget()

@pytest.mark.privacy_budget(duplicate_limit=2)
def test_it(membership_attack):
    pass
"""
COINS = """
@pytest.fixture(scope="session")
def coin_split():
    return privaudit.split_by_coin(emoji_sets.twemoji("member")[:2 * N], 1)

@pytest.fixture(scope="session")
def members(coin_split):
    return coin_split.members

@pytest.fixture(scope="session")
def non_members(coin_split):
    return coin_split.non_members
"""
GATED = """
def test_leak(membership_attack):
    pass
"""


class AuditFolder:
    """A folder with audit files, and pytest runs in it, plain or under xdist.

    With ``-v`` the summary has every result and every check.
    """

    def __init__(self, pytester: pytest.Pytester, workers: list[str]) -> None:
        self.pytester = pytester
        self.path = pytester.path
        self.workers = workers
        pytester.makeini("[pytest]\naddopts = -v\nprivaudit_queries = 1\n")

    def write(self, *parts: str, name: str = "test_model") -> None:
        """Write an audit file: the control audit's fixtures and the given code."""
        head = CONTROL_AUDIT.format(root=str(ROOT), audits=str(AUDITS))
        # To raw pixels the phases of the moon are one picture.
        code = re.sub(
            r"^(?=def test_\w+\([^)]*membership_attack)",
            "@pytest.mark.privacy_budget(duplicate_limit=2)\n",
            "\n".join((head, *parts)),
            flags=re.MULTILINE,
        )
        self.pytester.makepyfile(**{name: code})

    def write_minimal(self) -> None:
        """Write an audit file with nothing but what all audits need, its fixtures a test's own."""
        code = MINIMAL.format(root=str(ROOT), audits=str(AUDITS))
        self.pytester.makepyfile(test_minimal=code)

    def run(self, *args: str, subprocess: bool = False, **more: Any) -> pytest.RunResult:
        """Run pytest with a store of its own; with workers always in a process of its own."""
        run = self.pytester.runpytest_inprocess
        if subprocess or self.workers:
            run = self.pytester.runpytest_subprocess
        store = f"--privaudit-store={self.path / 'store'}"
        return run("-p", "no:cacheprovider", store, *self.workers, *args, **more)
