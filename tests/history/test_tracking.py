"""``--privaudit-mlflow`` with the real MLflow: what a run holds, and that nothing depends on it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from privaudit.errors import SettingError, TrackingError
from privaudit.history import read_history, tracking
from privaudit.record import AuditRecord
from privaudit.settings import SessionSettings
from tests.parts.audit_folder import GATED, LEAKING, SAFE, AuditFolder
from tests.parts.audits import memorised
from tests.parts.documents import read_session

NOWHERE = "http://127.0.0.1:9"
PICKED = ["--privaudit-scenarios=I", "--privaudit-attacks=threshold", "--privaudit-budget=0.9"]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what reads a folder again as a user's notebook does."""
    mlflow = pytest.importorskip("mlflow", reason="the extra 'mlflow' is not installed")
    for name in tracking.ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)

    def open_(folder: Path) -> Any:
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        return mlflow.MlflowClient(folder.absolute().as_uri())

    return open_


def runs_of(client: Any, experiment: str = tracking.EXPERIMENT) -> list[Any]:
    known = client.get_experiment_by_name(experiment)
    return list(client.search_runs([known.experiment_id], order_by=["attributes.start_time"]))


def test_a_run_has_settings_numbers_and_the_record(
    tmp_path: Path, record: AuditRecord, client: Any
) -> None:
    import mlflow

    before = (mlflow.get_tracking_uri(), dict(os.environ))
    folder = tmp_path / "a folder" / "mlruns"
    assert tracking.log_audits([record], "0.1.0", str(folder)) == 1
    assert (mlflow.get_tracking_uri(), dict(os.environ)) == before, "what the user set stays"
    [run] = runs_of(client(folder))
    assert (run.info.run_name, run.info.status) == ("audit", "FINISHED")
    assert run.data.tags["privaudit.verdict"] == "fail"
    [result] = record.results
    metrics = run.data.metrics
    assert metrics["attack-I-threshold/AUC"] == metrics["highest AUC"] == result.auc == 1.0
    assert metrics["attack-I-threshold/AUC lower bound"] == result.interval.low
    assert metrics["attack-I-threshold/AUC upper bound"] == result.interval.high
    assert metrics["attack-I-threshold/budget"] == 0.6
    assert metrics["results that did not pass"] == 1
    params = run.data.params
    assert (params["queries"], params["scenarios"]) == ("1", '["I"]')
    assert params["number of members"] == "12"
    assert record.provenance is not None
    ran = record.provenance
    assert params["identity of target_model"] == ran.models["target_model"]["identity"][:500]
    seconds = (run.info.end_time - run.info.start_time) / 1000
    assert seconds == pytest.approx((ran.ended - ran.started).total_seconds(), abs=0.01)
    there = client(folder).download_artifacts(run.info.run_id, tracking.ARTEFACT)
    assert AuditRecord.from_json(Path(there).read_text(encoding="utf-8")) == record


def test_releases_are_runs_of_the_experiment_that_the_environment_names(
    tmp_path: Path, record: AuditRecord, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "faces")
    folder = tmp_path / "mlruns"
    for name in ("one", "two"):
        audit = record.model_copy(update={"name": name})
        assert tracking.log_audits([audit], "0.1.0", str(folder)) == 1
    assert {run.info.run_name for run in runs_of(client(folder), "faces")} == {"one", "two"}


def test_what_is_not_complete_is_not_logged(tmp_path: Path, record: AuditRecord) -> None:
    for change in ({"complete": False}, {"results": []}, {"provenance": None}):
        audit = record.model_copy(update=change)
        assert tracking.log_audits([audit], "0.1.0", str(tmp_path / "mlruns")) == 0
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("where", ["file", NOWHERE, "no-such-scheme://x"])
def test_what_cannot_be_logged_is_one_line(
    tmp_path: Path, record: AuditRecord, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    if where == "file":
        (tmp_path / "file").write_text("mine")
        where = str(tmp_path / "file")
    with pytest.raises(TrackingError, match=r"not logged .*: the verdicts stand") as raised:
        tracking.log_audits([record], "0.1.0", where)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(f"--privaudit-mlflow={where}: ")
    if where.endswith("file"):
        assert Path(where).read_text() == "mine"


def test_a_run_whose_record_is_lost_is_marked_as_failed(
    tmp_path: Path, record: AuditRecord, client: Any
) -> None:
    """A full disk, or a bucket without the right to write: here a file where a folder should be."""
    folder = tmp_path / "mlruns"
    (tmp_path / "file").write_text("mine")
    client(folder).create_experiment("privaudit", (tmp_path / "file").as_uri())
    with pytest.raises(TrackingError):
        tracking.log_audits([record], "0.1.0", str(folder))
    [run] = runs_of(client(folder))
    assert run.info.status == "FAILED"


def test_a_session_that_could_not_log_is_told_before_it_audits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(SettingError, match=r'pip install "privaudit\[mlflow\]"'):
        SessionSettings(mlflow="runs")


@pytest.mark.parametrize(
    ("model", "status"),
    [pytest.param(SAFE, 0, marks=pytest.mark.slow, id="safe"), pytest.param(LEAKING, 1, id="red")],
)
@pytest.mark.usefixtures("client")
def test_no_verdict_and_no_record_depends_on_it(
    plain_folder: AuditFolder, model: str, status: int
) -> None:
    (plain_folder.path / "file").write_text("mine")
    plain_folder.write("N = 40", model, GATED)
    both = ["--privaudit-json=out.json", "--privaudit-history=old"]
    result = plain_folder.run(*PICKED, *both, "--privaudit-mlflow=file")
    assert result.ret == status
    result.stdout.fnmatch_lines(["--privaudit-mlflow=file: not logged *the verdicts stand*"])
    assert len(read_session(plain_folder.path / "out.json").audits[0].results) == 1
    assert len(read_history(plain_folder.path / "old")) == 1


@pytest.mark.slow
def test_a_session_logs_each_of_its_audits_once(plain_folder: AuditFolder, client: Any) -> None:
    plain_folder.write("N = 40", SAFE, GATED)
    result = plain_folder.run(*PICKED, "--privaudit-mlflow=runs")
    assert result.ret == 0
    [run] = runs_of(client(plain_folder.path / "runs"))
    assert run.info.run_name == "test_model.py::test_leak"


def test_without_pytest_too_and_what_cannot_be_kept_is_a_warning(
    tmp_path: Path, emoji: dict[str, list[Any]], client: Any
) -> None:
    memorised(emoji, history=tmp_path / "old", mlflow=str(tmp_path / "runs"))
    assert len(read_history(tmp_path / "old")) == 1
    assert len(runs_of(client(tmp_path / "runs"))) == 1
    (tmp_path / "file").write_text("mine")
    with pytest.warns(UserWarning, match=r"file: nothing was added"):
        record = memorised(emoji, history=tmp_path / "file")
    assert record.verdict == "fail", "the record is not lost"
