"""One shadow model for all workers of a session: the first one makes it, the others wait."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from privaudit.fingerprint import fingerprint_values

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from privaudit.samples import Sample

__all__ = ["made_once"]


def made_once(
    fine_tune: Callable[[Sequence[Sample]], Any], folder: Path, indices: list[tuple[str, int]]
) -> Callable[[Sequence[Sample]], Any]:
    """Wrap a user's ``fine_tune``, so that the workers of one session call it once.

    Parameters
    ----------
    fine_tune
        From samples to a model.
    folder
        A folder that the workers share, and nobody else can write to: what is read from it is
        unpickled.
    indices
        Positions of the audit's own parameters: two parametrizations of one fixture may hold
        different recipes under one name.

    Returns
    -------
    callable
        Without xdist, ``fine_tune`` itself. A model that cannot be pickled is made by each
        worker for itself.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return fine_tune

    def shared(samples: Sequence[Sample]) -> Any:
        import torch

        name = f"{fine_tune.__module__}.{getattr(fine_tune, '__qualname__', type(fine_tune))}"
        key = fingerprint_values(
            fine_tune=name,
            indices=indices,
            samples=[(sample.digest, sample.caption) for sample in samples],
        )
        file = folder / f"privaudit-shadow-{key}.pt"
        with FileLock(file.with_suffix(".lock")):
            if file.exists():
                return torch.load(file, weights_only=False)  # our own, of this session
            model = fine_tune(samples)
            draft = file.with_suffix(".draft")
            try:
                torch.save(model, draft)
            except (pickle.PicklingError, AttributeError, TypeError, RuntimeError):
                draft.unlink(missing_ok=True)
            else:
                draft.replace(file)
            return model

    return shared
