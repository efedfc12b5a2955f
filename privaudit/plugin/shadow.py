"""Shadow models that the audits of a session make: each once, whoever needs it first."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from privaudit.audit.shadows import ShadowMaker
from privaudit.fingerprint import fingerprint_values
from privaudit.store.models import ModelFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from privaudit.samples import Sample
    from privaudit.store import Store

__all__ = ["ShadowModels"]


class ShadowModels:
    """The shadow models of one process of a session.

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
        self._makers: dict[int, ShadowMaker] = {}

    def maker(
        self,
        fine_tune: Callable[[Sequence[Sample]], Any],
        test: str,
        indices: Mapping[str, int],
    ) -> ShadowMaker:
        """Wrap a user's ``fine_tune``; the same object for the same one, by which audits are known.

        Parameters
        ----------
        fine_tune
            From samples to a model.
        test
            Address of the first test function that needs it, without parameters: the workers know
            no other name that they share, and a fixture may make another function for each test.
        indices
            Positions of the audit's own parameters, for the same reason.
        """
        if id(fine_tune) not in self._makers:
            session = None
            if "PYTEST_XDIST_WORKER" in os.environ:
                name = fingerprint_values(test=test, indices=sorted(indices.items()))
                session = (self._folder, name)
            self._makers[id(fine_tune)] = ShadowMaker(fine_tune, self._store, session)
        return self._makers[id(fine_tune)]
