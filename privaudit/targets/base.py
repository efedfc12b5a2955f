"""What a target is, and what a callable must be to be one."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from PIL import Image

from privaudit.errors import GeneratorError
from privaudit.samples import as_rgb
from privaudit.targets.capabilities import Capabilities
from privaudit.targets.queries import in_one_call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from privaudit.targets.queries import Answer, Query

__all__ = ["CallableTarget", "Target", "checked"]


@runtime_checkable
class Target(Protocol):
    """A text-to-image model, seen from outside: whatever answers a query with an image.

    What else an audit may know of it is in its attribute ``capabilities``, which may be missing,
    see :class:`privaudit.targets.Capabilities`.

    Attributes
    ----------
    persistent
        Whether the fingerprint means the same in another process, so that images may be kept.
    """

    persistent: bool

    @property
    def fingerprint(self) -> str:
        """Identity of everything that decides which image a query's prompt and seed give."""
        ...

    def batch_size(self, wanted: int) -> int:
        """Round a wanted number of queries a call to one that cannot change the images."""
        ...

    def answer(self, queries: Sequence[Query]) -> Iterable[Answer]:
        """Yield an RGB image for each query as it is drawn, in any order.

        What was yielded before a failure is kept, and each before the next is asked for. Where all
        come at one time they are a list, and are kept together, which is quicker.

        Raises
        ------
        GeneratorError
            If the model raises, or answers with something else.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Say what really answers, in plain JSON values, for the record of an audit.

        Returns
        -------
        dict
            ``class`` and ``identity``; where they mean something ``device``, ``dtype``,
            ``scheduler``, ``call`` (every argument that is passed beside the prompt and the
            seed) and ``adapters`` (a list of ``name``, ``component``, ``scale``, ``active``).
        """
        ...


class CallableTarget:
    """A user's own ``generate(prompts, seeds)``: an endpoint, a service, another framework.

    Parameters
    ----------
    function
        Called with a list of prompts and a list of non-negative 63-bit seeds of equal length;
        returns as many PIL images, in order. An attribute ``fingerprint`` (a string that
        changes whenever the images would) lets its images be kept between runs.
    fingerprint
        That string, where the function itself cannot have it. One answer of an earlier session is
        asked for again in each later one, and must be the same, unless the function has an
        attribute ``recheck = False``.
    vary
        ``vary(images, prompts, seeds, strength)`` of a model that takes a picture beside the text,
        see :class:`privaudit.targets.image_to_image.Varies`. The fingerprint holds for it, too.
    """

    def __init__(
        self,
        function: Callable[[list[str], list[int]], list[Image.Image]],
        fingerprint: str | None = None,
        vary: Callable[..., list[Image.Image]] | None = None,
    ) -> None:
        self._function = function
        stated = fingerprint or getattr(function, "fingerprint", None)
        self.persistent = stated is not None
        recheck = self.persistent and bool(getattr(function, "recheck", True))
        self.capabilities = Capabilities(recheck=recheck, vary=vary)
        self.fingerprint = f"callable:{stated}" if self.persistent else f"session:{uuid.uuid4()}"

    def batch_size(self, wanted: int) -> int:
        """Return ``wanted``: how a callable batches is its own affair."""
        return wanted

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """Call the function and check its answer: one RGB image for each prompt."""
        name = self._name
        try:
            answer = self._function(list(prompts), list(seeds))
        except Exception as error:
            msg = (
                f"{name} raised {type(error).__name__} on a batch of {len(prompts)} prompts, the "
                f"first {prompts[0]!r}: {error}"
            )
            raise GeneratorError(msg) from error
        return checked(name, answer, prompts)

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        """Answer all in one call of the function, see :class:`Target`."""
        return in_one_call(self.generate, queries)

    def describe(self) -> dict[str, Any]:
        """Name the function: what it does is its own affair."""
        return {"class": self._name, "identity": self.fingerprint}

    @property
    def _name(self) -> str:
        return getattr(self._function, "__qualname__", type(self._function).__name__)


def checked(name: str, answer: Any, prompts: Sequence[str]) -> list[Image.Image]:
    """Check that a target answered every prompt with a usable image.

    Parameters
    ----------
    name
        The target, for the message.
    answer
        What it returned.
    prompts
        What it was asked.

    Returns
    -------
    list of PIL.Image.Image
        The images as RGB, see :func:`privaudit.samples.as_rgb`.

    Raises
    ------
    GeneratorError
        If there are too few or too many images, one is no PIL image, or does not say how
        it looks: NaN pixels, or values of an unknown range.
    """
    if not isinstance(answer, (list, tuple)):
        msg = f"{name} returned a {type(answer).__name__}, not a list of PIL images"
        raise GeneratorError(msg)
    if len(answer) != len(prompts):
        msg = f"{name} returned {len(answer)} images for {len(prompts)} prompts: return one each"
        raise GeneratorError(msg)
    images = []
    for image, prompt in zip(answer, prompts, strict=True):
        if not isinstance(image, Image.Image):
            msg = (
                f"{name} returned a {type(image).__name__} for prompt {prompt!r}, not a PIL image: "
                "convert it with PIL.Image.fromarray"
            )
            raise GeneratorError(msg)
        try:
            images.append(as_rgb(image))
        except (OSError, SyntaxError, ValueError) as error:
            msg = f"{name} returned for prompt {prompt!r} a {error}"
            raise GeneratorError(msg) from error
    return images
