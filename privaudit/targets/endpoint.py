"""A model behind HTTP: asked by a dialect, at its own pace, and paid for once."""

from __future__ import annotations

import math
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from PIL import Image

from privaudit.errors import EndpointError, GeneratorError, PictureError, first_line
from privaudit.fingerprint import fingerprint_values
from privaudit.samples import MAX_PIXELS, open_picture
from privaudit.targets.base import checked
from privaudit.targets.capabilities import Capabilities
from privaudit.targets.dialects import RefusedError
from privaudit.targets.http import Caller, Pacing, check_names
from privaudit.targets.queries import Answer, portable_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from privaudit.targets.dialects import Dialect
    from privaudit.targets.queries import Query

__all__ = ["Endpoint"]

T = TypeVar("T")
R = TypeVar("R")

PLACEHOLDER = (64, 64)
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
        :class:`privaudit.endpoints.OpenAIImages`, :class:`privaudit.endpoints.Automatic1111`,
        :class:`privaudit.endpoints.ComfyUI`, :class:`privaudit.endpoints.JSONTemplate`, or any
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
    hosts
        Where else the service keeps its pictures, where it answers with addresses: names such as
        ``"cdn.example"`` or ``"*.cdn.example"``, over HTTPS. Any other address is an error, and
        the key goes to none of them.
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
    ...     privaudit.endpoints.OpenAIImages("faces-3", seed=True, steps=28),
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
        hosts: tuple[str, ...] = (),
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
        self._caller = Caller(url, pacing, key_from, key_header, key_scheme, hosts)
        self.dialect, self.version = dialect, version
        self.size, self.refusals = _check_size(size), check_names("refusals", refusals)
        if not (cost is None or (isinstance(cost, (int, float)) and cost >= 0)):
            msg = f"cost={cost!r} is not a price: pass a number of {currency}"
            raise EndpointError(msg)
        self._cost, self._currency = cost, currency
        self._n_pictures = 0
        """Answers with a picture in this session."""
        self._recheck = recheck
        self.fingerprint = fingerprint_values(
            endpoint=self._caller.url, dialect=dialect.describe(), version=version, size=size
        )

    @property
    def capabilities(self) -> Capabilities:
        """Say that it may refuse, costs money, and is asked from here alone.

        It waits more than it works, and a worker that died would take paid answers with it.
        """
        return Capabilities(
            stays_here=True,
            may_refuse=True,
            paid=True,
            takes_seeds=self.takes_seeds,
            recheck=self._recheck,
            unchecked=self.unchecked,
            vary=self.vary,
            plan_notes=self.plan_notes,
            seconds_per_image=self.seconds_per_image,
        )

    @property
    def takes_seeds(self) -> bool:
        """Whether seeds are sent; whether they are honoured is found out."""
        return self.dialect.sends_seed

    @property
    def unchecked(self) -> tuple[str, ...]:
        """What a reader of the record must take on trust."""
        recheck = ""
        if self._recheck and self.takes_seeds:
            recheck = ", and of what earlier sessions kept one picture is asked for again"
        notes = [
            f"that {self._caller.url} had the model of version {self.version!r} behind it all the "
            f"time is what its owner states{recheck}"
        ]
        if self._caller.n_revised:
            notes.append(
                f"{self._caller.url} rewrote the prompt of {self._caller.n_revised} of "
                f"{self._n_pictures} pictures that it drew in this session (revised_prompt): the "
                "captions did not reach the model as they are, so what it memorised of them may "
                "stay unseen. Turn the rewriting off, or audit the model without it"
            )
        return tuple(notes)

    def batch_size(self, wanted: int) -> int:
        """Round up to as many as are on their way at one time."""
        at_once = self._caller.pacing.at_once
        return -(-wanted // at_once) * at_once

    def answer(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """Send several queries at one time, and yield each answer as it comes.

        After a failure nothing new is sent; what is on its way is waited for and yielded.

        Raises
        ------
        EndpointError
            If one query has no answer.
        """
        self._caller.check_key(self.describe())
        yield from self._run(queries, self._draw)

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
        vary = getattr(self.dialect, "vary", None)
        if vary is None:
            msg = (
                f"{type(self.dialect).__name__} hands no picture in: leave img2img out and release "
                "at 'api', use privaudit.endpoints.Automatic1111, or give the dialect a method vary"
            )
            raise EndpointError(msg)

        def redraw(job: tuple[int, Image.Image, str, int]) -> tuple[int, Image.Image]:
            i, image, prompt, seed = job
            name = f"picture {i + 1} of {len(images)} handed in"
            arguments = (image, prompt, portable_seed(seed), strength, self)
            try:
                return i, self._call(vary, name, prompt, *arguments)
            except RefusedError as refusal:
                raise self._caller.error(
                    f"{self._caller.url} will not draw {name} anew ({refusal}): leave its sample "
                    "out"
                ) from None

        self._caller.check_key(self.describe())
        jobs = list(zip(range(len(images)), images, prompts, seeds, strict=True))
        pictures = dict(self._run(jobs, redraw))
        return [pictures[i] for i in range(len(jobs))]

    def _run(self, jobs: Sequence[T], call: Callable[[T], R]) -> Iterator[R]:
        left = iter(jobs)
        failure: BaseException | None = None
        with ThreadPoolExecutor(self._caller.pacing.at_once) as pool, self._caller.stopping():
            running: set[Future[R]] = set()
            for job in islice(left, self._caller.pacing.at_once):
                running.add(pool.submit(call, job))
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                failure = failure or next(filter(None, (f.exception() for f in done)), None)
                if failure is not None:
                    self._caller.stop()
                # Before anything new is sent: whoever is killed then has kept what was paid for.
                for future in done:
                    if future.exception() is None:
                        self._n_pictures += 1
                        yield future.result()
                if failure is None:
                    running |= {pool.submit(call, job) for job in islice(left, len(done))}
        if failure is not None:
            raise failure

    def _draw(self, query: Query) -> Answer:
        name = f"query {query.repetition} of sample {query.sample.id!r}"
        seed = portable_seed(query.seed)
        try:
            picture = self._call(self.dialect.draw, name, query.prompt, query.prompt, seed, self)
        except RefusedError as refusal:
            return Answer(query, Image.new("RGB", PLACEHOLDER), str(refusal))
        return Answer(query, picture)

    def _call(
        self, draw: Callable[..., bytes], name: str, prompt: str, *arguments: Any
    ) -> Image.Image:
        """Let a dialect get one picture: whatever goes wrong ends here, in an error of ours.

        Not chained: what a library said of it holds what the service sent, with the key in it.
        """
        with self._caller.hiding(prompt):
            try:
                return self._open(name, draw(self._caller, *arguments))
            except RefusedError as refusal:
                raise RefusedError(self._caller.quote(str(refusal))[1:-1]) from None
            except EndpointError as error:
                raise self._caller.error(str(error)) from None
            except Exception as error:  # a dialect of the user's own may raise anything
                raise self._caller.error(
                    f"{type(self.dialect).__name__} raised {type(error).__name__} for {name}: "
                    f"{self._caller.quote(str(error))}"
                ) from None

    def _open(self, name: str, content: bytes) -> Image.Image:
        """Return an answer as a picture of the size that was asked for."""
        url = self._caller.url
        max_pixels = math.prod(self.size) if self.size else MAX_PIXELS
        try:
            [picture] = checked(url, [open_picture(content, max_pixels=max_pixels)], [name])
        except (GeneratorError, PictureError) as error:
            wanted = "" if self.size is None else f" of {'×'.join(map(str, self.size))} pixels"
            raise self._caller.error(
                f"{url} answered {name} with {len(content):,} bytes that are no whole "
                f"picture{wanted} ({first_line(error)}): {self._caller.quote(content)}"
            ) from None
        if self.size is not None and picture.size != self.size:
            wanted, size = ("×".join(map(str, s)) for s in (self.size, picture.size))
            raise self._caller.error(
                f"{url} answered {name} with a picture of {size} pixels, and {wanted} were asked "
                "for: pass the size that the model draws"
            )
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
            if self._recheck and self.takes_seeds:
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


def _check_size(size: Any) -> tuple[int, int] | None:
    """Return a width and a height, or ``None`` where the service decides."""
    if size is None:
        return None
    numbers = tuple(size) if isinstance(size, (tuple, list)) else ()
    if len(numbers) != 2 or not all(isinstance(n, int) and n > 0 for n in numbers):
        msg = f"size={size!r} is not a size: pass (WIDTH, HEIGHT) in pixels"
        raise EndpointError(msg)
    return numbers
