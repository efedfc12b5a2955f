"""A model behind HTTP: asked by a dialect, at its own pace, and paid for once."""

from __future__ import annotations

import io
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from PIL import Image

from privaudit.errors import EndpointError
from privaudit.fingerprint import fingerprint_values
from privaudit.targets.base import checked
from privaudit.targets.dialects import RefusedError
from privaudit.targets.http import Caller
from privaudit.targets.pacing import Pacing
from privaudit.targets.queries import Answer, portable_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from privaudit.targets.dialects import Dialect
    from privaudit.targets.queries import Query

__all__ = ["Endpoint"]

T = TypeVar("T")
R = TypeVar("R")

NOTHING = (64, 64)
"""Size of the black picture that stands for one that was refused; it is never scored."""


class Endpoint:
    """A target that is asked over HTTP.

    What it answered is kept as it comes, and not asked for again: neither after a failure nor by a
    later session. What it refuses to draw is counted, and the sample left out.

    Parameters
    ----------
    url
        Where the service is, up to where the dialect's own paths begin: ``https://HOST/v1`` for
        OpenAI's, ``http://HOST:7860`` for a web UI, ``http://HOST:8188`` for ComfyUI.
    dialect
        :class:`privaudit.OpenAIImages`, :class:`privaudit.Automatic1111`,
        :class:`privaudit.ComfyUI`, :class:`privaudit.JSONTemplate`, or any
        :class:`privaudit.targets.dialects.Dialect`.
    version
        A text that changes whenever the model behind the URL does: what was kept is answered for
        the same version only.
    size
        Width and height in pixels, which are asked for where the dialect can, and which each
        answer must have; ``None`` to leave it to the service.
    key_from
        The environment variable that holds the key. The key itself is never written down.
    key_header, key_scheme
        The header that it goes into, and the word before it, such as ``"Bearer"``, or ``""``.
    at_once, per_minute, timeout, attempts, backoff, patience
        As of :class:`privaudit.targets.http.Pacing`.
    cost
        The price of a picture, for the plan.
    currency
        Its unit.
    refusals
        Codes by which this service says that it will not draw, beside those that are known.
    recheck
        Whether each session asks again for one picture that an earlier one kept, and stops if it is
        another now: the version was not changed, and the model was. It costs one picture, and
        works where seeds are honoured.

    Raises
    ------
    EndpointError
        If the URL is none or holds a secret, or a number is out of range.

    Examples
    --------
    >>> import privaudit
    >>> target = privaudit.Endpoint(
    ...     "https://images.example/v1",
    ...     privaudit.OpenAIImages("faces-3", seed=True, steps=28),
    ...     version="faces-3 of 2026-05-01",
    ...     size=(1024, 1024),
    ...     key_from="IMAGES_KEY",
    ...     cost=0.02,
    ... )
    >>> [note] = target.plan_notes(600)
    >>> note.split(", and")[0]
    '600 requests to https://images.example/v1, 4 at a time, about 12.00 USD at 0.02 a picture'
    """

    persistent = True
    stays_here = True
    """It waits more than it works, and a worker that died would take paid answers with it."""
    may_refuse = True

    def __init__(
        self,
        url: str,
        dialect: Dialect,
        *,
        version: str,
        size: tuple[int, int] | None = None,
        key_from: str | None = None,
        key_header: str = "Authorization",
        key_scheme: str = "Bearer",
        at_once: int = 4,
        per_minute: float | None = None,
        timeout: float = 120.0,
        attempts: int = 6,
        backoff: float = 1.0,
        patience: float = 300.0,
        cost: float | None = None,
        currency: str = "USD",
        refusals: tuple[str, ...] = (),
        recheck: bool = True,
    ) -> None:
        if not isinstance(version, str) or not version.strip():
            msg = (
                "an endpoint needs a version: a text that you change whenever the model behind the "
                "URL changes, such as its date; without it, answers of an older model are taken "
                "for its own"
            )
            raise EndpointError(msg)
        pacing = Pacing(at_once, per_minute, timeout, attempts, backoff, patience)
        self._caller = Caller(url, pacing, key_from, key_header, key_scheme)
        self.dialect, self.version = dialect, version
        self.size, self.refusals = size, tuple(refusals)
        self._cost, self._currency = cost, currency
        self.identity_is_stated = recheck
        self.fingerprint = fingerprint_values(
            endpoint=self._caller.url, dialect=dialect.describe(), version=version, size=size
        )

    paid = True
    """Whether pictures are paid for, so that what a failure loses must be little."""

    @property
    def takes_seeds(self) -> bool:
        """Whether seeds are sent; whether they are honoured is found out."""
        return self.dialect.sends_seed

    @property
    def unchecked(self) -> tuple[str, ...]:
        """What a reader of the record must take on trust."""
        looked = ""
        if self.identity_is_stated and self.takes_seeds:
            looked = ", and of what earlier sessions kept one picture is asked for again"
        return (
            f"that {self._caller.url} had the model of version {self.version!r} behind it all the "
            f"time is what its owner states{looked}",
        )

    def batch_size(self, wanted: int) -> int:
        """Round up to as many as are on their way at one time."""
        at_once = self._caller.pacing.at_once
        return -(-wanted // at_once) * at_once

    def answer(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """Ask several at one time, and yield each answer as it comes.

        After a failure nothing new is asked; what is on its way is waited for and yielded.

        Raises
        ------
        EndpointError
            If one query has no answer.
        """
        self._caller.check_key()
        try:
            yield from self._answers(queries, self._ask)
        finally:
            self._caller.close()

    def vary(
        self,
        images: Sequence[Image.Image],
        prompts: Sequence[str],
        seeds: Sequence[int],
        strength: float,
    ) -> list[Image.Image]:
        """Hand pictures in, where the dialect can.

        What came back before a failure is not kept: it is paid for again. An audit hands in as many
        at one time as are on their way together, so that is little.

        Raises
        ------
        EndpointError
            If the dialect cannot, one picture has no answer, or the service will not draw it.
        """
        how = getattr(self.dialect, "vary", None)
        if how is None:
            msg = (
                f"{type(self.dialect).__name__} hands no picture in: leave img2img out and release "
                "at 'api', use privaudit.Automatic1111, or give the dialect a method vary"
            )
            raise EndpointError(msg)

        def ask(one: tuple[int, Image.Image, str, int]) -> tuple[int, Image.Image]:
            place, image, prompt, seed = one
            try:
                content = how(self._caller, image, prompt, portable_seed(seed), strength, self)
            except RefusedError as refusal:
                msg = (
                    f"{self._caller.url} will not draw anew the picture of {prompt!r} ({refusal}): "
                    "leave that sample out"
                )
                raise EndpointError(msg) from refusal
            return place, self._picture(content, prompt)

        self._caller.check_key()
        asked = list(zip(range(len(images)), images, prompts, seeds, strict=True))
        try:
            drawn = dict(self._answers(asked, ask))
        finally:
            self._caller.close()
        return [drawn[place] for place in range(len(asked))]

    def _answers(self, asked: Sequence[T], ask: Callable[[T], R]) -> Iterator[R]:
        left = iter(asked)
        failure: BaseException | None = None
        with ThreadPoolExecutor(self._caller.pacing.at_once) as pool, self._caller.stopping():
            going: set[Future[R]] = set()
            for one in islice(left, self._caller.pacing.at_once):
                going.add(pool.submit(ask, one))
            while going:
                done, going = wait(going, return_when=FIRST_COMPLETED)
                failure = failure or next(filter(None, (f.exception() for f in done)), None)
                if failure is not None:
                    self._caller.stop()
                # Before anything new is asked: whoever is killed then has kept what was paid for.
                for future in done:
                    if future.exception() is None:
                        yield future.result()
                if failure is None:
                    going |= {pool.submit(ask, one) for one in islice(left, len(done))}
        if failure is not None:
            raise failure

    def _ask(self, query: Query) -> Answer:
        try:
            content = self.dialect.draw(self._caller, query.prompt, portable_seed(query.seed), self)
        except RefusedError as refusal:
            return Answer(query, Image.new("RGB", NOTHING), str(refusal))
        return Answer(query, self._picture(content, query.prompt))

    def _picture(self, content: bytes, prompt: str) -> Image.Image:
        where = self._caller.url
        try:
            with Image.open(io.BytesIO(content)) as image:
                image.load()
                [picture] = checked(where, [image], [prompt])
        except EndpointError:
            raise
        except Exception as error:  # Pillow has a dozen types for bytes that are no picture
            msg = (
                f"{where} answered for prompt {prompt!r} with {len(content):,} bytes that are no "
                f"whole picture ({type(error).__name__}: {error}), beginning {content[:40]!r}"
            )
            raise EndpointError(msg) from error
        if self.size is not None and picture.size != tuple(self.size):
            wanted, its = ("×".join(map(str, size)) for size in (self.size, picture.size))
            msg = (
                f"{where} answered with a picture of {its} pixels, and {wanted} were asked for: "
                "give the size that the model draws"
            )
            raise EndpointError(msg)
        return picture

    def describe(self) -> dict[str, Any]:
        """Say where it is, which version, and how it is asked; the key is not known here."""
        return {
            "class": type(self).__name__,
            "identity": self.fingerprint,
            "url": self._caller.url,
            "version": self.version,
            "size": None if self.size is None else list(self.size),
            "call": self.dialect.describe(),
        }

    def __repr__(self) -> str:
        return f"Endpoint({self._caller.url!r}, version={self.version!r})"

    # -- the plan

    def plan_notes(self, n_new: int) -> Iterator[str]:
        """Say how many requests there will be, how fast, and what they cost."""
        pacing = self._caller.pacing
        if not n_new:
            if self.identity_is_stated and self.takes_seeds:
                yield f"1 request to {self._caller.url}, to see whether its model is still the same"
            return
        parts = [f"{n_new:,} requests to {self._caller.url}", f"{pacing.at_once} at a time"]
        if pacing.per_minute is not None:
            parts.append(f"at most {pacing.per_minute:g} a minute")
        if self._cost is not None:
            price = f"{n_new * self._cost:,.2f} {self._currency}"
            parts.append(f"about {price} at {self._cost:g} a picture")
        if self.takes_seeds:
            parts.append("and at most 2 more to find out how it takes seeds and prompts")
        yield ", ".join(parts)

    def seconds_per_image(self) -> float | None:
        """Return how long a picture takes at least, if its rate is limited."""
        rate = self._caller.pacing.per_minute
        return None if rate is None else 60 / rate
