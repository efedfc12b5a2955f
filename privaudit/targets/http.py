"""Requests to a service that draws: at its own pace, again where that may help, and no further."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import re
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import tenacity

from privaudit.errors import EndpointError
from privaudit.targets.redaction import redact

if TYPE_CHECKING:
    import ssl
    from collections.abc import Coroutine, Iterator

__all__ = ["Caller", "Pacing", "Reply", "check_names"]

T = TypeVar("T")

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
"""Statuses after which the same request may have another answer."""
MAX_BYTES = 128 * 2**20
"""Of an answer: a 16-bit picture of 4,000 × 4,000 pixels in base64 fits."""
MAX_MARKS = 200_000
"""Brackets, commas and colons in a JSON answer. Base64 has none; a list of lists takes 20 times its
size in memory."""
MAX_HOPS = 5
"""Redirects between an address and its picture."""
MAX_WAIT = 60.0
"""Seconds between two attempts, unless the service asks for more."""
MAX_QUOTE = 300
"""Characters of an answer that a message quotes."""
PROMPT_FRAGMENT = 12
"""Characters in a row of a prompt that a quotation must not show: fewer are everybody's words."""


@dataclass(frozen=True)
class Pacing:
    """How fast and how patiently a service is asked.

    Attributes
    ----------
    at_once
        Requests on their way at one time.
    per_minute
        Pictures in a minute, at most; ``None`` for no limit.
    timeout
        Seconds that an answer may take, from connecting to its last byte.
    attempts
        How often one request is sent before it is given up.
    backoff
        Seconds before the second attempt; each further one waits twice as long, up to a minute,
        with jitter. ``Retry-After`` comes first.
    patience
        Seconds: the longest ``Retry-After`` that is waited for.

    Raises
    ------
    EndpointError
        If a number is none, or out of range.
    """

    at_once: int = 4
    per_minute: float | None = None
    timeout: float = 120.0
    attempts: int = 6
    backoff: float = 1.0
    patience: float = 300.0

    def __post_init__(self) -> None:
        for name in ("at_once", "attempts"):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= 1):
                msg = f"{name}={value!r} sends no request: pass a whole number from 1"
                raise EndpointError(msg)
        for name, least in (
            ("per_minute", 1e-9),
            ("timeout", 1e-9),
            ("backoff", 0),
            ("patience", 0),
        ):
            value = getattr(self, name)
            if value is None and name == "per_minute":
                continue
            if not (isinstance(value, (int, float)) and value >= least):
                msg = f"{name}={value!r} is not a usable number: pass one above 0"
                raise EndpointError(msg)


@dataclass(frozen=True)
class Reply:
    """What a service answered.

    Attributes
    ----------
    status
        Of HTTP.
    kind
        Its content type, without parameters.
    content
        The body.
    request
        Method and URL, for messages.
    """

    status: int
    kind: str
    content: bytes
    request: str


class _RetryError(Exception):
    """A failure that may be over at the next attempt."""

    def __init__(self, what: str, after: float | None = None) -> None:
        super().__init__(what)
        self.after = after


class Caller:
    """Sends requests to one service, and lets nothing of its key out to anybody else.

    Parameters
    ----------
    url
        Where it is: scheme, host, port and a path that all requests begin with.
    pacing
        How fast and how patiently.
    key_from
        The environment variable that holds the key; ``None`` for a service without one.
    key_header, key_scheme
        The header that the key goes into, and the word before it.
    hosts
        Where else its pictures may be, beside its own origin: ``"cdn.example"`` over HTTPS,
        ``"*.cdn.example"`` for all below it, or an origin as ``"http://10.0.0.7:9000"``.

    Raises
    ------
    EndpointError
        If the URL is none, or contains a password or a query, which would be written down; or if a
        host, or the name of the header, is none.
    """

    def __init__(
        self,
        url: str,
        pacing: Pacing,
        key_from: str | None = None,
        key_header: str = "Authorization",
        key_scheme: str = "Bearer",
        hosts: tuple[str, ...] = (),
    ) -> None:
        try:
            self._url = httpx.URL(url.rstrip("/"))
        except (httpx.InvalidURL, TypeError, AttributeError):
            self._url = httpx.URL("")
        if self._url.scheme not in ("http", "https") or not self._url.host:
            msg = "the URL of an endpoint is none: pass it as https://HOST/PATH"
            raise EndpointError(msg)
        if self._url.userinfo or self._url.query:
            msg = (
                f"the URL of {self._url.host} contains a password or a query, and would be written "
                "into records: put the key into an environment variable, and name it by key_from"
            )
            raise EndpointError(msg)
        if not re.fullmatch(r"[A-Za-z0-9_-]+", str(key_header)):
            msg = f"key_header={key_header!r} is not the name of a header: pass one as X-Api-Key"
            raise EndpointError(msg)
        self.pacing = pacing
        self._key_from, self._key_header, self._key_scheme = key_from, key_header, key_scheme
        self._origins = [_get_origin(self._url), *map(_parse_host, check_names("hosts", hosts))]
        self.n_revised = 0
        """Answers to another prompt than the one sent."""
        self.__setstate__({})

    def __getstate__(self) -> dict[str, Any]:
        own = ("_lock", "_stopped", "_abandoned", "_next", "_prompt", "_running")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._lock = threading.Lock()
        self._stopped, self._abandoned = threading.Event(), threading.Event()
        self._next = 0.0
        """When the next picture may be asked for, by the monotonic clock."""
        self._prompt = threading.local()
        self._running: set[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = set()

    @property
    def url(self) -> str:
        """Where the service is."""
        return str(self._url)

    # -- secrets

    @property
    def _key(self) -> str:
        """The key, read from the environment at this moment and kept nowhere."""
        return "" if self._key_from is None else os.environ.get(self._key_from, "").strip()

    def check_key(self, record: Any = None) -> None:
        """Look for the key.

        Parameters
        ----------
        record
            What will be written down of the service, in plain values.

        Raises
        ------
        EndpointError
            If it is needed and not there, cannot be sent, or stands in the record.
        """
        if self._key_from is None:
            return
        key = self._key
        if not key:
            msg = (
                f"{self.url} needs the key in ${self._key_from}, which is not set: export it, "
                "or name another variable by key_from"
            )
            raise EndpointError(msg)
        if not (key.isascii() and key.isprintable()):
            msg = f"${self._key_from} holds characters that no header can: set it anew"
            raise EndpointError(msg)
        if key in json.dumps(record, default=str):
            msg = (
                f"the key of ${self._key_from} also stands in what is recorded of the endpoint: "
                "its URL, version, or a field of its dialect. Take it out; key_header sends it"
            )
            raise EndpointError(msg)

    @contextlib.contextmanager
    def hiding(self, prompt: str) -> Iterator[None]:
        """Keep a prompt out of what this thread quotes: it is a caption, and services repeat it."""
        self._prompt.text = prompt
        try:
            yield
        finally:
            del self._prompt.text

    def redact(self, text: str) -> str:
        """Return a text without the key."""
        return redact(text, [self._key])

    def quote(self, content: Any) -> str:
        """Return the beginning of what a service sent, without the key and the prompt.

        Parameters
        ----------
        content
            A body, a text, or plain values.
        """
        text = content if isinstance(content, (bytes, str)) else repr(content)
        beginning = text[: 8 * MAX_QUOTE]
        if isinstance(beginning, bytes):
            if not _is_text(beginning):
                return f"bytes that are no text, beginning {beginning[:4].hex(' ')}"
            beginning = beginning.decode("utf-8", "replace")
        clear = redact(beginning, [getattr(self._prompt, "text", "")], PROMPT_FRAGMENT)
        return repr(self.redact(clear)[:MAX_QUOTE])

    def error(self, message: str) -> EndpointError:
        """Return an error whose message has nothing of the key: each one is made here."""
        return EndpointError(self.redact(message))

    def reply_error(self, reply: Reply, why: str = "") -> EndpointError:
        """Return the error that a reply is."""
        hint = {
            401: " Look at the key",
            403: " Look at the key, and what it allows",
            404: " Look at the URL and the model's name",
        }.get(reply.status, "")
        why = why or self.quote(reply.content)
        return self.error(f"{reply.request} answered {reply.status}: {why}.{hint}")

    # -- what is sent, and what comes back

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: dict[str, str] | None = None,
        draws: bool = False,
    ) -> Reply:
        """Send a request until it has an answer that another attempt would not change.

        Parameters
        ----------
        method, path
            Of HTTP; the path continues the service's URL.
        body
            Plain values, sent as JSON.
        params
            Of the query.
        draws
            Whether it asks for a picture, which counts against ``per_minute``.

        Returns
        -------
        Reply
            With any status that is not retried: an error too.

        Raises
        ------
        EndpointError
            If there is none: no connection, no whole answer in time, 429 or a failure of the
            server at each attempt, a redirect, a compressed answer, or too long a ``Retry-After``.
        """
        whole = "/".join(filter(None, (self._url.path.rstrip("/"), path.lstrip("/"))))
        url = self._url.copy_with(path=f"/{whole.lstrip('/')}")
        return self._retry(method, url, body=body, params=params, draws=draws)

    def fetch(self, address: str) -> Reply:
        """Get what an answer points to; the key goes to nobody but the service.

        Raises
        ------
        EndpointError
            As of :meth:`send`, or if the address, or one that it redirects to, is neither on the
            service's own origin nor on one of ``hosts``.
        """
        return self._retry("GET", self._check_address(self._url, address), follow=True)

    def read_json(self, reply: Reply) -> Any:
        """Read an answer as JSON.

        Raises
        ------
        EndpointError
            If it is something else: a page, half of it, or more values than any answer has.
        """
        why = "no whole JSON"
        if sum(reply.content.count(mark) for mark in (b"[", b"{", b",", b":")) > MAX_MARKS:
            why = f"JSON of more than {MAX_MARKS:,} values"
        else:
            try:
                return json.loads(reply.content)
            except (ValueError, RecursionError):  # half of it, or too deep to be read
                pass
        raise self.error(
            f"{reply.request} answered {reply.status} with {self.quote(reply.kind or 'no type')}, "
            f"which is {why}: {self.quote(reply.content)}. Look at the URL and the dialect"
        )

    def note_revision(self, revision: str | None) -> None:
        """Count an answer to another prompt than the one that this thread sent."""
        prompt = getattr(self._prompt, "text", None)
        if prompt is not None and revision is not None and prompt.split() != revision.split():
            with self._lock:
                self.n_revised += 1

    def _check_address(self, base: httpx.URL, address: str) -> httpx.URL:
        """Return the URL that an answer names, if it is of the service or of its hosts."""
        try:
            url = base.join(address)
            scheme, host, port = _get_origin(url)
        except (httpx.InvalidURL, ValueError, TypeError):
            raise self.error(
                f"{self.url} answered with {self.quote(address)}, which is no address"
            ) from None
        if scheme not in ("http", "https") or not host or url.userinfo:
            raise self.error(
                f"{self.url} answered with the address {self.quote(str(url))}, which is not read: "
                "only https://HOST/PATH is"
            )
        for own_scheme, own_host, own_port in self._origins:
            below = own_host.startswith("*.") and host.endswith(own_host[1:])
            if (scheme, port) == (own_scheme, own_port) and (host == own_host or below):
                return url
        place = f"{scheme}://{host}" + ("" if port is None else f":{port}")
        raise self.error(
            f"{self.url} answered with an address on {self.quote(place)}, and only its own are "
            "read: an answer must not send the audit into your network. If the service keeps its "
            "pictures there, add it to Endpoint(hosts=(…,))"
        )

    # -- attempts

    def _retry(
        self,
        method: str,
        url: httpx.URL,
        *,
        body: Any = None,
        params: dict[str, str] | None = None,
        draws: bool = False,
        follow: bool = False,
    ) -> Reply:
        self.check_key()
        name = f"{method} {url.copy_with(query=None)}"  # a query may be signed

        def attempt() -> Reply:
            if draws:
                self._take_turn()
            return self._try_once(name, method, url, body, params, follow=follow)

        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_RetryError),
            stop=tenacity.stop_any(
                tenacity.stop_after_attempt(self.pacing.attempts),
                tenacity.stop_when_event_set(self._stopped),
            ),
            wait=self._get_wait,
            sleep=tenacity.sleep_using_event(self._stopped),
            reraise=True,
        )
        try:
            reply: Reply = attempts(attempt)
        except _RetryError as error:
            raise self.error(
                f"{name} has no answer after {self.pacing.attempts} attempts, at last {error}. "
                "What was answered before is kept: run it again when the service is well"
            ) from None
        return reply

    def _get_wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        after = getattr(error, "after", None)
        if after is not None:
            return float(after)
        longer = tenacity.wait_random_exponential(self.pacing.backoff, max=MAX_WAIT)
        return max(self.pacing.backoff / 2, longer(state))

    def _try_once(
        self,
        name: str,
        method: str,
        url: httpx.URL,
        body: Any,
        params: dict[str, str] | None,
        *,
        follow: bool,
    ) -> Reply:
        exchange = self._exchange(name, method, url, body, params, follow=follow)
        try:
            response, content = self._run(exchange)
        except asyncio.CancelledError:
            what = "the run was stopped"
            raise _RetryError(what) from None
        except (TimeoutError, httpx.TimeoutException):
            what = f"no whole answer within {self.pacing.timeout:g} s"
            raise _RetryError(what) from None
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise self.error(f"{name} cannot be sent: {self.redact(str(error))}") from None
        except httpx.TransportError as error:
            what = f"{type(error).__name__}: {self.quote(str(error))}"
            raise _RetryError(what) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            what = f"{name} failed: {type(error).__name__}: {self.quote(str(error))}"
            raise self.error(what) from None
        if response.is_redirect:
            place = self.quote(response.headers.get("location", "nowhere"))
            more = f" {MAX_HOPS} times" if follow else ""
            raise self.error(
                f"{name} is redirected{more} to {place}: pass that URL, if it is the service's"
            )
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        reply = Reply(response.status_code, kind, content, name)
        if reply.status in RETRIED:
            after = self._get_retry_after(response, reply)
            what = f"{reply.status}: {self.quote(content)}"
            raise _RetryError(what, after)
        return reply

    def _run(self, exchange: Coroutine[Any, Any, T]) -> T:
        """Run one exchange in a loop of its own: each thread of an endpoint waits for one."""
        loop = asyncio.new_event_loop()
        running = (loop, loop.create_task(exchange))
        with self._lock:
            self._running.add(running)
            if self._abandoned.is_set():
                running[1].cancel()
        try:
            return loop.run_until_complete(running[1])
        finally:
            with self._lock:
                self._running.discard(running)
            loop.run_until_complete(loop.shutdown_asyncgens())
            # Not asyncio.run, which would wait here for a name server that does not answer.
            loop.close()

    async def _exchange(
        self,
        name: str,
        method: str,
        url: httpx.URL,
        body: Any,
        params: dict[str, str] | None,
        *,
        follow: bool,
    ) -> tuple[httpx.Response, bytes]:
        """Send one request and follow its redirects, within one deadline for all of it.

        A limit for each read would not do: a service that drips keeps every single one.
        """
        timeout = self.pacing.timeout
        client = httpx.AsyncClient(timeout=timeout, verify=_get_tls())
        async with asyncio.timeout(timeout), client:
            for hop in range(MAX_HOPS + 1):
                # Compressed answers are not asked for: nobody knows how large they are.
                headers = {"Accept-Encoding": "identity"}
                if self._key_from is not None and _get_origin(url) == self._origins[0]:
                    headers[self._key_header] = f"{self._key_scheme} {self._key}".strip()
                request = client.build_request(
                    method, url, json=body, params=params, headers=headers
                )
                response = await client.send(request, stream=True, follow_redirects=False)
                try:
                    content = await self._read(name, response)
                finally:
                    await response.aclose()
                if not (follow and response.is_redirect and hop < MAX_HOPS):
                    break
                url = self._check_address(url, response.headers.get("location", ""))
        return response, content

    async def _read(self, name: str, response: httpx.Response) -> bytes:
        """Read a body as it is on the wire, up to its limit."""
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if response.status_code in RETRIED and encoding not in ("", "identity"):
            return b""
        if encoding not in ("", "identity"):
            raise self.error(
                f"{name} answered in the content encoding {self.quote(encoding)}, which was not "
                "asked for and is not read: a few bytes of it can be gigabytes. Turn compression "
                "off for it"
            )
        content = bytearray()
        length = response.headers.get("content-length", "")
        too_long = length.isascii() and length.isdigit() and int(length[:20]) > MAX_BYTES
        if not too_long:
            async for part in response.aiter_raw():
                content += part
                too_long = len(content) > MAX_BYTES
                if too_long:
                    break
        if too_long:
            raise self.error(f"{name} answered with over {MAX_BYTES // 2**20} MB: not a picture")
        return bytes(content)

    def _get_retry_after(self, response: httpx.Response, reply: Reply) -> float | None:
        """Return the seconds that a service asks to wait, and let all requests wait."""
        after = parse_retry_after(response.headers.get("retry-after"))
        if after is None:
            return None
        if after > self.pacing.patience:
            raise self.error(
                f"{reply.request} answered {reply.status}, and asks to wait {after:,.0f} s, more "
                f"than the {self.pacing.patience:,.0f} s of patience. What was answered before is "
                "kept: run it again then"
            )
        with self._lock:
            self._next = max(self._next, time.monotonic() + after)
        return after

    def _take_turn(self) -> None:
        """Wait until the next picture may be asked for."""
        apart = 0.0 if self.pacing.per_minute is None else 60 / self.pacing.per_minute
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + apart if apart else max(self._next, 0.0)
        if self._stopped.wait(turn - now):
            what = "the run was stopped"
            raise _RetryError(what)

    @contextlib.contextmanager
    def stopping(self) -> Iterator[None]:
        """Stop when the context is left by an error, Ctrl-C among them.

        Nobody will read what is on its way then, so that it is not waited for either.
        """
        self._stopped.clear()
        self._abandoned.clear()
        try:
            yield
        except BaseException:
            self.stop()
            with self._lock:
                self._abandoned.set()
                for loop, task in self._running:
                    loop.call_soon_threadsafe(task.cancel)
            raise

    def stop(self) -> None:
        """Send no new request for a picture, and nothing again; what is on its way comes back."""
        self._stopped.set()


def parse_retry_after(value: str | None) -> float | None:
    """Read ``Retry-After``: seconds, or a date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


@functools.cache
def _get_tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _get_origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host.lower().rstrip("."), url.port


def check_names(argument: str, names: Any) -> tuple[str, ...]:
    """Return names as a tuple; one text would be taken for its letters."""
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        msg = f"{argument}={names!r} is not a tuple of names: pass {argument}=({names!r},)"
        raise EndpointError(msg)
    return tuple(names)


def _parse_host(text: str) -> tuple[str, str, int | None]:
    """Return the origin that an entry of ``hosts`` allows."""
    scheme, _, rest = text.rpartition("://")
    below = "*." if rest.startswith("*.") else ""
    try:
        url = httpx.URL(f"{scheme or 'https'}://{rest.removeprefix('*.')}")
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host or url.raw_path != b"/" or url.userinfo:
        msg = (
            f"{text!r} in hosts is not a host: pass it as 'cdn.example', '*.cdn.example' or "
            "'http://10.0.0.7:9000'"
        )
        raise EndpointError(msg)
    scheme, host, port = _get_origin(url)
    return scheme, below + host, port


def _is_text(content: bytes) -> bool:
    """Whether bytes are readable as UTF-8, up to a character that is cut at their end."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(content) - 3:
            return False
        text = content[: error.start].decode("utf-8")
    return all(c.isprintable() or c.isspace() for c in text)
