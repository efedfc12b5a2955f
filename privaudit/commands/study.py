"""``privaudit study``: the paper's questions, asked of the model of an audit file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.commands.planned import plan
from privaudit.commands.said import failed

if TYPE_CHECKING:
    import argparse

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "study", help="tables and plots: what the attacks find over scenarios, encoders, steps, …"
    )
    parser.add_argument("audit", metavar="AUDIT_FILE", help="test_model.py, or test_model.py::TEST")
    several: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}
    parser.add_argument("--only", metavar="AXIS", help="these axes; by default all", **several)
    parser.add_argument(
        "--output", type=Path, default=Path("study"), metavar="FOLDER", help="default: study"
    )
    parser.add_argument("--encoders", metavar="NAME", help="further image encoders", **several)
    parser.add_argument(
        "--models",
        metavar="NAME=FOLDER",
        help="further fine-tunes on the same members, for the axis defences",
        **several,
    )
    parser.add_argument(
        "--shadows",
        metavar="NAME=FOLDER",
        help="further fine-tunes on the shadow's members, for the axis shadows",
        **several,
    )
    parser.add_argument(
        "--checkpoints", type=Path, metavar="FOLDER", help="of the training run, for epochs"
    )
    parser.add_argument("--base", type=Path, help="the pipeline that the run fine-tuned")
    parser.add_argument("--trigger", default="sks", help="word before captions; default: sks")
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        help="settings in place of the file's, such as queries=5 or store=FOLDER",
        **several,
    )
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    from privaudit.errors import PrivauditError
    from privaudit.runs import checkpoints
    from privaudit.study.axes import axes_named
    from privaudit.study.collected import StudyOfAudit
    from privaudit.study.owner import named_models
    from privaudit.study.plots import check_matplotlib

    try:
        axes = axes_named(given.only or None)
        check_matplotlib()
        changes, options = _settings(given.set)
        run = [] if given.checkpoints is None else checkpoints(given.checkpoints, given.base)
        study = StudyOfAudit(
            axes,
            given.output,
            encoders=given.encoders,
            models=named_models("--models", given.models),
            shadows=named_models("--shadows", given.shadows),
            checkpoints=run,
            trigger=given.trigger,
            changes=changes,
        )
    except PrivauditError as error:
        return failed(str(error))
    # At its own level it writes the captions that a text encoder cuts: members' among them.
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    code = plan([given.audit, *options, "--capture=no"], study)
    if study.failure is not None:
        return failed(study.failure)
    return code


def _settings(given: list[str]) -> tuple[dict[str, str], list[str]]:
    """Split ``NAME=VALUE``: those of an audit are changed in it, a session's are pytest's.

    Raises
    ------
    SettingError
        If one is of another form, or there is no such setting.
    """
    from privaudit.errors import SettingError
    from privaudit.settings import OPTIONS, AuditSettings

    spelled = {name: option for option in OPTIONS for name in (option.name, option.argument)}
    changes: dict[str, Any] = {}
    options: list[str] = []
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or name not in spelled:
            names = ", ".join(spelled)
            msg = f"--set {one!r} is no NAME=VALUE: the names are {names}"
            raise SettingError(msg)
        if spelled[name].in_audit:
            changes[name] = value
        else:
            options.append(f"{spelled[name].flag}={value}")
    AuditSettings(**changes)  # a bad value is found before the fixtures are asked
    return changes, options
