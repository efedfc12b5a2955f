"""Shadow models that audits make: each recipe is followed once a session, whoever asks first."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from privaudit.fingerprint import fingerprint_values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from privaudit.samples import Sample

__all__ = ["ShadowModels"]


class ShadowModels:
    """The shadow models of one process of a session.

    Under xdist the first worker that needs one makes it, and the others wait and load it. A
    model that cannot be pickled is made by each worker for itself.

    Parameters
    ----------
    folder
        A folder that the workers share, and nobody else can write to: what is read from it is
        unpickled.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, tuple[Any, Any]] = {}
        self._recipes: dict[tuple[int, str], Callable[[Sequence[Sample]], Any]] = {}

    def recipe(
        self, fine_tune: Callable[[Sequence[Sample]], Any], indices: Mapping[str, int]
    ) -> Callable[[Sequence[Sample]], Any]:
        """Wrap a user's ``fine_tune``, so that one session calls it once for one set of samples.

        Parameters
        ----------
        fine_tune
            From samples to a model.
        indices
            Positions of the audit's own parameters: two parametrizations of one fixture may
            hold different recipes under one name.
        """
        kind = type(fine_tune)
        name = f"{getattr(fine_tune, '__module__', '')}.{getattr(fine_tune, '__qualname__', kind)}"
        which = fingerprint_values(recipe=name, indices=sorted(indices.items()))

        def shared(samples: Sequence[Sample]) -> Any:
            key = fingerprint_values(
                recipe=which, samples=[(sample.digest, sample.caption) for sample in samples]
            )
            own = f"{id(fine_tune)} {key}"
            if own not in self._made:
                # The recipe is kept too: its id must not be given to another one.
                self._made[own] = (fine_tune, self._make(fine_tune, samples, key))
            return self._made[own][1]

        # The same object for the same recipe: by it an audit is known to be the same.
        return self._recipes.setdefault((id(fine_tune), which), shared)

    def _make(
        self, fine_tune: Callable[[Sequence[Sample]], Any], samples: Sequence[Sample], key: str
    ) -> Any:
        if "PYTEST_XDIST_WORKER" not in os.environ:
            return fine_tune(samples)
        import torch

        file = self._folder / f"privaudit-shadow-{key}.pt"
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
