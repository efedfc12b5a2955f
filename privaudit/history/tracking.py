"""Completed audits as runs of MLflow: on a tracking server, in a database or in a folder."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.errors import MissingExtraError, TrackingError
from privaudit.history.folder import completed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from privaudit.record import AttackResult, AuditRecord

__all__ = ["ARTEFACT", "EXPERIMENT", "log_audits"]

EXPERIMENT = "privaudit"
"""Where runs go, unless ``MLFLOW_EXPERIMENT_NAME`` says otherwise."""
ARTEFACT = "audit.json"
"""The record's name among a run's artefacts."""
ENVIRONMENT = {
    # An audit that is done waits for no server that is down: by default that takes four minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    # Nobody but the tracking server hears of an audit.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # A folder is logged to only where somebody named one.
    "MLFLOW_ALLOW_FILE_STORE": "true",
}
"""What MLflow is told, where the user's environment does not say it otherwise."""
MOST_CHARACTERS = 500
"""Of a parameter: older servers take no longer one."""


def log_audits(audits: Iterable[AuditRecord], privaudit: str, where: str) -> int:
    """Log each audit that is complete and has a result as a run of its own.

    A run has the settings as parameters, the numbers of all results as metrics, and the whole
    record as an artefact, which names the samples as ``--privaudit-json`` does.

    Parameters
    ----------
    audits
        Records.
    privaudit
        The version.
    where
        A tracking URI as MLflow has them (``https://…``, ``sqlite:///…``), or a folder.

    Returns
    -------
    int
        How many were logged.

    Raises
    ------
    MissingExtraError
        If MLflow is not there.
    TrackingError
        If they cannot be logged; a run that was begun is then marked as failed.
    """
    wanted = completed(audits)
    if not wanted:
        return 0
    # MLflow's warnings are not the audit's: a project that turns them into errors loses no record.
    with _environment(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise MissingExtraError("--privaudit-mlflow", "mlflow", "mlflow") from error
        try:
            client = MlflowClient(_uri(where))
            experiment = _experiment(client)
            for audit in wanted:
                _log(client, experiment, audit, privaudit)
        except Exception as error:
            why = " ".join(str(error).split())[:300]
            msg = (
                f"--privaudit-mlflow={where}: not logged ({type(error).__name__}: {why}): the "
                "verdicts stand, and --privaudit-json keeps the record; is that an MLflow "
                "tracking server, database or folder, and may you write to it?"
            )
            raise TrackingError(msg) from error
    return len(wanted)


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    added = [name for name in ENVIRONMENT if name not in os.environ]
    os.environ.update({name: ENVIRONMENT[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _uri(where: str) -> str:
    """Return a tracking URI: a path becomes one, what is one stays as it is."""
    if "://" in where or where.startswith(("file:", "databricks")):
        return where
    return Path(where).expanduser().absolute().as_uri()


def _experiment(client: Any) -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    known = client.get_experiment_by_name(name)
    return str(client.create_experiment(name) if known is None else known.experiment_id)


def _log(client: Any, experiment: str, audit: AuditRecord, privaudit: str) -> None:
    from mlflow.entities import Metric, Param

    ran = audit.provenance
    if ran is None:
        return
    started, ended = (round(1000 * when.timestamp()) for when in (ran.started, ran.ended))
    run = client.create_run(
        experiment, start_time=started, tags=_tags(audit, privaudit), run_name=audit.name
    )
    status = "FAILED"
    try:
        client.log_batch(
            run.info.run_id,
            metrics=[Metric(name, value, ended, 0) for name, value in _metrics(audit).items()],
            params=[Param(name, value) for name, value in _parameters(audit).items()],
        )
        client.log_text(run.info.run_id, audit.to_json(), ARTEFACT)
        status = "FINISHED"
    finally:
        with contextlib.suppress(Exception):  # what went wrong before says more
            client.set_terminated(run.info.run_id, status, ended)


def _tags(audit: AuditRecord, privaudit: str) -> dict[str, str]:
    tags = {
        "privaudit.audit": audit.name,
        "privaudit.verdict": audit.verdict,
        "privaudit.version": privaudit,
    }
    commit = audit.provenance.commit if audit.provenance else None
    if commit:
        tags["mlflow.source.git.commit"] = commit
    return tags


def _parameters(audit: AuditRecord) -> dict[str, str]:
    """Return the settings that had a value, the models and the sample sets."""
    found: dict[str, Any] = {
        name: value
        for name, value in {**audit.parameters, **audit.settings}.items()
        if value is not None and not isinstance(value, dict)
    }
    if audit.provenance is not None:
        models, samples = audit.provenance.models, audit.provenance.samples
        found |= {f"identity of {role}": known.get("identity") for role, known in models.items()}
        found |= {f"number of {name}": one.count for name, one in samples.items()}
    written = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in found.items()
        if value is not None
    }
    return {name: value[:MOST_CHARACTERS] for name, value in written.items()}


def _metrics(audit: AuditRecord) -> dict[str, float]:
    """Return the numbers of all results, each under the result's name, and of the audit."""
    found = {
        "highest AUC": max(result.auc for result in audit.results),
        "results that did not pass": float(audit.n_over),
    }
    if audit.provenance is not None:
        found["images generated"] = float(audit.provenance.images.generated)
    for result in audit.results:
        found |= {f"{result.name}/{name}": n for name, n in _numbers(result).items()}
    return found


def _numbers(result: AttackResult) -> dict[str, float]:
    numbers = {
        "AUC": result.auc,
        "AUC lower bound": result.interval.low,
        "AUC upper bound": result.interval.high,
        "budget": result.budget,
        "success rate": result.success_rate.value,
    }
    point = result.at_fpr(0.01)
    if point is not None:
        numbers["TPR at 1 percent FPR"] = point.tpr.value
    if result.epsilon is not None:
        numbers["epsilon lower bound"] = result.epsilon.epsilon
    if result.near_copies is not None:
        numbers["members redrawn nearly exactly"] = float(result.near_copies.members)
    if result.comparison is not None:
        numbers["AUC change from the baseline"] = result.comparison.change
    return numbers
