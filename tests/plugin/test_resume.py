"""``kill -9`` at random moments: the audit goes on where it was, and ends with the same record."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.parts import AUDITS
from tests.parts.documents import findings

pytestmark = pytest.mark.slow

BATCH = 16
ROOT = Path(__file__).parents[2]

AUDIT = f"""
import os, sys
sys.path[:0] = [{str(ROOT)!r}, {str(AUDITS)!r}]
from pathlib import Path
import pytest, torch, emoji_sets, privaudit
from tests.parts.encoders import tiny_vit
from tests.parts.pipelines import tiny_pipeline

torch.set_num_threads(1)
LOG = Path(os.environ["PRIVAUDIT_TEST_LOG"])

class Logging(privaudit.PipelineTarget):
    def generate(self, prompts, seeds):
        with LOG.open("a") as log:
            log.write("".join(f"{{seed}}\\n" for seed in seeds))
        return super().generate(prompts, seeds)

@pytest.fixture(scope="session")
def target_model():
    return Logging(tiny_pipeline(), num_inference_steps=60)

@pytest.fixture(scope="session")
def members():
    return emoji_sets.twemoji("member")[:60]

@pytest.fixture(scope="session")
def non_members():
    return emoji_sets.twemoji("non_member")[:60]

@pytest.fixture(scope="session")
def image_encoder():
    return privaudit.encoders.as_encoder(tiny_vit(), device="cpu")

@pytest.mark.privacy_budget(
    max_auc=1.0, batch_size={BATCH}, duplicate_limit=2.0, scenarios="I", blind_limit=1.0,
)
def test_it(membership_attack):
    pass
"""


class Folder:
    """An audit in a folder of its own, and runs of it in processes of their own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        (path / "test_model.py").write_text(AUDIT)

    def start(self) -> subprocess.Popen[bytes]:
        arguments = [
            "--privaudit-store=store",
            "--privaudit-json=out.json",
            "-p",
            "no:cacheprovider",
        ]
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", *arguments],
            cwd=self.path,
            env={
                **os.environ,
                "PRIVAUDIT_TEST_LOG": str(self.path / "log"),
                "OMP_NUM_THREADS": "1",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def stored(self) -> int:
        return len(list((self.path / "store").glob("images/*/*.png")))

    def asked(self) -> list[str]:
        log = self.path / "log"
        return log.read_text().split() if log.exists() else []


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.nightly)])
def test_kills_lose_a_batch_each_and_change_nothing(kills: int, tmp_path: Path) -> None:
    whole = Folder(tmp_path / "whole")
    assert whole.start().wait() == 0
    images = len(whole.asked())
    assert images == len(set(whole.asked())) == 360

    killed = Folder(tmp_path / "killed")
    draws = random.Random(20)
    midway = 0
    for _ in range(kills):
        before, stored = len(killed.asked()), killed.stored()
        process = killed.start()
        # From its first batch on, or some seconds if there is none left: any moment after that.
        begun = time.monotonic()
        while len(killed.asked()) == before and time.monotonic() - begun < 12:
            time.sleep(0.02)
        time.sleep(draws.uniform(0, 2))
        midway += process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        # What this run asked for and did not keep was in flight.
        lost = len(killed.asked()) - before - (killed.stored() - stored)
        assert 0 <= lost <= BATCH
    assert midway >= kills - 2
    done = len(set(killed.asked()))
    print(f"{midway} of {kills} kills while it ran; {done} of {images} images asked for by then")
    assert killed.start().wait() == 0

    assert findings(killed.path / "out.json") == findings(whole.path / "out.json")
    assert set(killed.asked()) == set(whole.asked())
    again = len(killed.asked())
    assert killed.start().wait() == 0
    assert len(killed.asked()) == again
