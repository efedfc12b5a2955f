"""Shadow models that audits make: each recipe is followed once a session, whoever asks first."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from privaudit.audit.shadow import ShadowRecipe
from privaudit.fingerprint import fingerprint_values
from privaudit.store.models import ModelFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from privaudit.samples import Sample
    from privaudit.store import Store

__all__ = ["ShadowModels"]


class ShadowModels:
    """The recipes of one process of a session, see :class:`privaudit.audit.shadow.ShadowRecipe`.

    Under xdist the first worker that needs a model makes it, and the others wait and load it. A
    model that cannot be written down is made by each worker for itself.

    Parameters
    ----------
    store
        Where models are kept for later sessions.
    folder
        A folder that the workers share: it has the models that no later session can find.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = ModelFolder(folder / "privaudit-shadow-models")
        self._recipes: dict[tuple[int, str], ShadowRecipe] = {}

    def recipe(
        self,
        fine_tune: Callable[[Sequence[Sample]], Any],
        indices: Mapping[str, int],
        base: Any = None,
    ) -> ShadowRecipe:
        """Wrap a user's ``fine_tune``.

        Parameters
        ----------
        fine_tune
            From samples to a model.
        indices
            Positions of the audit's own parameters: two parametrizations of one fixture may
            hold different recipes under one name.
        base
            The audit's base model, if it has one.
        """
        kind = type(fine_tune)
        name = f"{getattr(fine_tune, '__module__', '')}.{getattr(fine_tune, '__qualname__', kind)}"
        which = fingerprint_values(recipe=name, indices=sorted(indices.items()))
        # The same object for the same recipe: by it an audit is known to be the same.
        known = (id(fine_tune), which)
        if known not in self._recipes:
            shared = (self._folder, which) if "PYTEST_XDIST_WORKER" in os.environ else None
            self._recipes[known] = ShadowRecipe(fine_tune, self._store, base, shared)
        return self._recipes[known]
