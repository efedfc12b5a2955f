"""What a DP-SGD fine-tune did, written beside its weights and read again by an audit."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from privaudit.errors import StatementError
from privaudit.files import read_object

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["STATEMENT", "DpStatement", "code_versions", "read_statement", "write_statement"]

STATEMENT = "privaudit_privacy.json"
"""The file's name."""
VERSION = 1
WEIGHTS = ("*.safetensors", "*.bin")
SLACK = 0.02
"""Relative difference of two releases of an accountant."""


@dataclass(frozen=True)
class DpStatement:
    """What a DP-SGD fine-tune did.

    Attributes
    ----------
    epsilon, delta
        The privacy spent, for adding or removing one sample.
    noise_multiplier
        Standard deviation of the noise over ``max_grad_norm``.
    max_grad_norm
        L2 norm to which each sample's gradient was clipped.
    sample_rate
        Probability with which each sample is in a batch, in (0, 1].
    steps
        Steps taken.
    accountant
        Opacus' name of what computed ε.
    secret_noise
        Whether the noise came from the operating system; from a seed that somebody knows it
        hides nothing from them.
    code
        Versions of what trained, by package.
    """

    epsilon: float
    delta: float
    noise_multiplier: float
    max_grad_norm: float
    sample_rate: float
    steps: int
    accountant: str
    secret_noise: bool
    code: dict[str, str]

    def accounted(self) -> float | None:
        """Compute ε again from noise, sampling rate and steps; ``None`` without Opacus."""
        return _accounted(
            self.accountant, self.noise_multiplier, self.sample_rate, self.steps, self.delta
        )


@functools.lru_cache(maxsize=64)  # each item of an audit reads its model's statement again
def _accounted(
    accountant: str, noise_multiplier: float, sample_rate: float, steps: int, delta: float
) -> float | None:
    try:
        from opacus.accountants import create_accountant
    except ImportError:
        return None
    import numpy as np

    made = create_accountant(mechanism=accountant)
    made.history = [(noise_multiplier, sample_rate, steps)]
    with np.errstate(divide="ignore"):  # a batch of everybody: the accountant takes log(0)
        return float(made.get_epsilon(delta))


def code_versions() -> dict[str, str]:
    """Return the versions of what a DP-SGD fine-tune's privacy depends on."""
    return {name: importlib.metadata.version(name) for name in ("privaudit", "opacus", "torch")}


def write_statement(folder: Path, statement: DpStatement) -> None:
    """Write a statement beside the weights that are in a folder, bound to them by a hash."""
    content = {"version": VERSION, "weights": _digest(folder), **dataclasses.asdict(statement)}
    (folder / STATEMENT).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_statement(path: Path) -> DpStatement | None:
    """Read the statement beside weights, and check that it is theirs and adds up.

    Parameters
    ----------
    path
        A folder of weights, or a file in it.

    Returns
    -------
    DpStatement or None
        ``None`` if there is none.

    Raises
    ------
    StatementError
        If it cannot be read, is of other weights, or its ε is not what its numbers give.
    """
    folder = path if path.is_dir() else path.parent
    file = folder / STATEMENT
    if not file.is_file():
        return None
    try:
        content = read_object(file, StatementError)
        version, weights = content.pop("version"), content.pop("weights")
        found = _from_numbers(content) if version == VERSION else None
    except (ValueError, TypeError, KeyError) as error:
        msg = (
            f"{file} cannot be read as what a fine-tune wrote ({error!r}): save the fine-tune "
            "again, or write the numbers into privacy_claim(epsilon, delta)"
        )
        raise StatementError(msg) from error
    if found is None:
        msg = f"{file} has version {version}, and this privaudit reads {VERSION}: update it"
        raise StatementError(msg)
    if weights != _digest(folder):
        msg = (
            f"{file} is of other weights than those beside it: save the fine-tune again, or write "
            "the numbers into privacy_claim(epsilon, delta)"
        )
        raise StatementError(msg)
    again = found.accounted()
    if again is not None and not abs(again - found.epsilon) <= SLACK * max(again, 1e-3):
        msg = (
            f"{file} says epsilon={found.epsilon:g}, and its noise multiplier, sampling rate and "
            f"steps give {again:g}: save the fine-tune again"
        )
        raise StatementError(msg)
    return found


def _from_numbers(content: dict[str, Any]) -> DpStatement:
    """Return what a file states, if its numbers can be those of any privacy."""
    found = DpStatement(**content)
    numbers = (found.epsilon, found.delta, found.noise_multiplier, found.sample_rate)
    if not (all(map(math.isfinite, numbers)) and found.epsilon >= 0 and 0 < found.delta < 1):
        msg = f"epsilon={found.epsilon} and delta={found.delta} are no privacy"
        raise ValueError(msg)
    return found


def _digest(folder: Path) -> str:
    files = sorted(file for pattern in WEIGHTS for file in folder.rglob(pattern))
    total = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            total.update(hashlib.file_digest(opened, "sha256").digest())
    return total.hexdigest()
