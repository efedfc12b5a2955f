"""What really ran, taken from the objects that were used."""

from __future__ import annotations

import functools
import platform
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from privaudit.fingerprint import library_versions
from privaudit.record import Provenance

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from privaudit.audit.models import Models
    from privaudit.record import Images

__all__ = ["commit_of", "described", "machine", "provenance_of", "versions"]


LIBRARIES = (
    "privaudit",
    "torch",
    "diffusers",
    "transformers",
    "peft",
    "open_clip_torch",
    "timm",
    "numpy",
    "scikit-learn",
)


def described(model: Any) -> dict[str, Any]:
    """Say what a model is, as far as it can tell: by its own ``describe``, or its class.

    Parameters
    ----------
    model
        A target, an encoder or a captioner.

    Returns
    -------
    dict
        ``class`` and ``identity``, and what else the object knows of itself. An identity of
        ``None`` means that nothing but this very object has it.
    """
    describe = getattr(model, "describe", None)
    if callable(describe):
        return dict(describe())
    kind = type(model)
    facts = {
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "identity": getattr(model, "fingerprint", None),
    }
    for name in ("name", "device"):
        if hasattr(model, name):
            facts[name] = str(getattr(model, name))
    return facts


def provenance_of(
    models: Models, images: Images, file: Path | None, started: datetime, ended: datetime
) -> Provenance:
    """Return what ran so far.

    Parameters
    ----------
    models
        The audit's models and samples.
    images
        What was asked and generated.
    file
        The audit file, if there is one.
    started, ended
        When the first result was begun, and the last one completed.
    """
    return Provenance(
        models={role: described(model) for role, model in models.models_used().items()},
        samples=models.sample_sets(),
        images=images,
        versions=versions(),
        seed=models.settings.seed,
        machine=machine(),
        commit=commit_of(file) if file else None,
        started=started,
        ended=ended,
    )


@functools.cache
def _versions() -> tuple[tuple[str, str | None], ...]:
    libraries = library_versions(*LIBRARIES)
    return ("python", platform.python_version()), *libraries.items()


def versions() -> dict[str, str | None]:
    """Return the versions of whatever determines an image or a score."""
    return dict(_versions())


@functools.cache
def machine() -> str:
    """Name the operating system and the processor."""
    return platform.platform()


@functools.cache
def commit_of(file: Path) -> str | None:
    """Return the commit of the repository that a file is in.

    Returns
    -------
    str or None
        The hash, with ``-dirty`` where tracked files were changed; ``None`` outside a repository,
        or without git.
    """
    git = shutil.which("git")
    if git is None:
        return None

    def ask(*arguments: str) -> str | None:
        try:
            answer = subprocess.run(  # noqa: S603
                [git, "-C", str(file.parent), *arguments],
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return answer.stdout.strip() if answer.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    if not commit:
        return None
    return f"{commit}-dirty" if ask("status", "--porcelain", "--untracked-files=no") else commit
