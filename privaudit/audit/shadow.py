"""Shadow models that audits make, each kept by what determines it, so that it is made once."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from privaudit.errors import FingerprintError, GeneratorError, StoreError
from privaudit.fingerprint import fingerprint_values
from privaudit.targets.code import function_identity
from privaudit.targets.keeping import kept_pipeline, why_not_kept, write_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from privaudit.samples import Sample
    from privaudit.store import Store
    from privaudit.store.models import ModelFolder

__all__ = ["ShadowRecipe"]

WAY_OUT = "or give fine_tune an attribute fingerprint, a text that changes whenever its model would"


class ShadowRecipe:
    """A user's ``fine_tune``, which is called once for one set of samples.

    What it made is known by the samples' pixels and captions, by the function and all that it
    refers to (see :func:`privaudit.targets.code.function_identity`) and by the base model. It is
    kept in the store as a pipeline of safetensors, and audited from there, in the session that
    made it too. What cannot be written down is kept for as long as this object.

    Parameters
    ----------
    fine_tune
        From samples to a model.
    store
        Where models are kept.
    base
        The audit's base model, if it has one.
    session
        A folder that the processes of this session share, and the function's name among them:
        models that no other session can find are kept there.
    """

    def __init__(
        self,
        fine_tune: Callable[[Sequence[Sample]], Any],
        store: Store,
        base: Any = None,
        session: tuple[ModelFolder, str] | None = None,
    ) -> None:
        self._fine_tune, self._store, self._base = fine_tune, store, base
        self._session = session
        self._made: dict[str, Any] = {}
        self._refused: str | None = None

    def __call__(self, samples: Sequence[Sample]) -> Any:
        """Return the model: the one that is kept, or a new one.

        Raises
        ------
        StoreError
            If the store cannot be written; found before the fine-tune.
        """
        known, place = self.kept(samples), self._place(samples)
        if known is not None:
            return known
        if place is None:
            return self._remember(samples, self._fine_tune(samples))
        folder, key = place
        with folder.alone(key):
            known = self.kept(samples)  # another process may have made it meanwhile
            if known is None:
                model = self._keep(folder, key, self._fine_tune(samples))
                known = self._remember(samples, model)
                self._note_what_it_wrote(samples, key)
        return known

    def kept(self, samples: Sequence[Sample]) -> Any:
        """Return the model that was made of these samples, or ``None``.

        Raises
        ------
        StoreError
            If it cannot be read.
        """
        known = self._made.get(_content(samples))
        place = self._place(samples) if known is None else None
        if place is None:
            return known
        folder, key = place
        files = folder.get(key)
        if files is None:
            return None
        try:
            return self._remember(samples, kept_pipeline(files))
        except (GeneratorError, OSError, ValueError, LookupError, TypeError) as error:
            folder.drop(key, f"is of no use ({error})")
            return None

    def why_again(self, samples: Sequence[Sample]) -> str | None:
        """Say why the model is made again in each session, or ``None`` if it is not known to be."""
        if self._store.models is None:
            return None
        place = self._place(samples)
        if self._identity is None or place is None:
            return self._refused
        key = fingerprint_values(why_made_again=place[1])
        return self._store.texts([key]).get(key)

    # -- what it is known by

    @functools.cached_property
    def _identity(self) -> str | None:
        """Hash of the function and the base; ``None``, with the reason, where there is none."""
        try:
            return self._hashed()
        except FingerprintError as error:
            self._refused = f"{error}; {WAY_OUT}"
            return None

    def _hashed(self) -> str:
        return function_identity(self._fine_tune, base_model=self._base)

    def _place(self, samples: Sequence[Sample]) -> tuple[ModelFolder, str] | None:
        """Return where the model is kept, or would be, and its key there."""
        models = self._store.models
        if models is not None and self._identity is not None:
            key = self._key(self._identity, samples)
            other = fingerprint_values(shadow_model=key)
            return models, self._store.texts([other]).get(other, key)
        if self._session is None:
            return None
        folder, name = self._session
        return folder, self._key(name, samples)

    @staticmethod
    def _key(identity: str, samples: Sequence[Sample]) -> str:
        return fingerprint_values(recipe=identity, samples=_content(samples))

    # -- what is kept

    def _keep(self, folder: ModelFolder, key: str, model: Any) -> Any:
        """Write a new model down, and return what was written; or the model, if it cannot be."""
        reason = why_not_kept(model, self._store.limit)
        if reason is None:
            try:
                files = folder.put(key, functools.partial(write_pipeline, model))
                return kept_pipeline(files)
            except (GeneratorError, StoreError) as error:
                reason = str(error)
        self._store.put_texts({fingerprint_values(why_made_again=key): reason})
        return model

    def _note_what_it_wrote(self, samples: Sequence[Sample], key: str) -> None:
        """Let the model be found by what the function is now.

        It may name the folder that it has just written to, whose content is part of its hash.
        """
        if self._identity is None:
            return
        now = self._key(self._hashed(), samples)
        if now != self._key(self._identity, samples):
            self._store.put_texts({fingerprint_values(shadow_model=now): key})

    def _remember(self, samples: Sequence[Sample], model: Any) -> Any:
        self._made[_content(samples)] = model
        return model


def _content(samples: Sequence[Sample]) -> str:
    return fingerprint_values(samples=[(sample.digest, sample.caption) for sample in samples])
