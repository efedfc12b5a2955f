"""The checkpoints of a training run: each is an ordinary audit, and one model is there at a time."""

from __future__ import annotations

import pytest

from tests.parts.audit_folder import AuditFolder
from tests.parts.documents import read_session

CONTROLS = """
import privaudit.runs
from privaudit.errors import GeneratorError

loads = []

class Control(privaudit.runs.Checkpoint):
    def load(self):
        loads.append(self.name)
        if self.step == {broken}:
            raise GeneratorError(f"{{self.name}} does not load")
        leaks = privaudit.testing.MemorizingTarget(emoji_sets.twemoji("member")[:N])
        return leaks if self.step > 20 else privaudit.testing.ObliviousTarget()

RUN = [
    Control(run="run", name=f"checkpoint-{{step}}", step=step, unit="step", place=place)
    for place, step in enumerate((10, 20, 30))
]

@pytest.mark.parametrize("target_model", RUN)
@pytest.mark.privacy_budget(0.95, attacks="threshold,distribution", scenarios="III")
def test_run(target_model, membership_attack):
    pass

def test_z_each_was_loaded_once():
    assert loads == ["checkpoint-10", "checkpoint-20", "checkpoint-30"]
"""


def test_each_checkpoint_is_an_audit_of_its_own(plain_folder: AuditFolder) -> None:
    plain_folder.write(CONTROLS.format(broken=0))
    result = plain_folder.run("--privaudit-json=out.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    audits = {
        a.parameters["target_model"]: a for a in read_session(plain_folder.path / "out.json").audits
    }
    assert {name: audit.verdict for name, audit in audits.items()} == {
        "checkpoint-10": "pass",
        "checkpoint-20": "pass",
        "checkpoint-30": "inconclusive",
    }
    assert [a.checkpoint.step for a in audits.values() if a.checkpoint] == [10, 20, 30]
    if not plain_folder.workers:
        result.assert_outcomes(passed=5, failed=2)


def test_one_that_does_not_load_is_red_and_no_other(plain_folder: AuditFolder) -> None:
    plain_folder.write(CONTROLS.format(broken=20).replace("def test_z_", "def z_"))
    result = plain_folder.run("--privaudit-json=out.json")
    result.assert_outcomes(passed=2, failed=2, errors=2)
    result.stdout.fnmatch_lines(["checkpoint-20 does not load (GeneratorError)"])
