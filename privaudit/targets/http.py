"""Requests to a service that draws: asked at its own pace, and again where that may help."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import tenacity

from privaudit.errors import EndpointError
from privaudit.targets.pacing import Pacing, seconds_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = ["Caller", "Heard"]

AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
"""Statuses after which the same request may have another answer."""
LARGEST = 256 * 2**20
"""Bytes of an answer: a 16-bit picture of 6,000 × 6,000 pixels in base64 is smaller."""
LONGEST_WAIT = 60.0
"""Seconds between two tries, unless the service asks for more."""
SHOWN = 300
"""Characters of an answer that a message quotes."""


@dataclass(frozen=True)
class Heard:
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
        What was asked, for messages: method and URL.
    """

    status: int
    kind: str
    content: bytes
    request: str


class _AgainError(Exception):
    """A failure that may be over at the next try."""

    def __init__(self, what: str, after: float | None = None) -> None:
        super().__init__(what)
        self.after = after


class _Key(httpx.Auth):
    """Puts the key on a request, read from the environment at that moment and kept nowhere."""

    def __init__(self, variable: str, header: str, scheme: str) -> None:
        self.variable, self._header, self._scheme = variable, header, scheme

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        prefix = f"{self._scheme} " if self._scheme else ""
        request.headers[self._header] = prefix + os.environ[self.variable].strip()
        yield request


class Caller:
    """Sends requests to one service.

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

    Raises
    ------
    EndpointError
        If the URL is none, or contains a password or a query, which would be written down.
    """

    def __init__(
        self,
        url: str,
        pacing: Pacing,
        key_from: str | None = None,
        key_header: str = "Authorization",
        key_scheme: str = "Bearer",
    ) -> None:
        try:
            self._url = httpx.URL(url.rstrip("/"))
        except (httpx.InvalidURL, TypeError, AttributeError):
            self._url = httpx.URL("")
        if self._url.scheme not in ("http", "https") or not self._url.host:
            msg = "the URL of an endpoint is none: give it as https://HOST/PATH"
            raise EndpointError(msg)
        if self._url.userinfo or self._url.query:
            msg = (
                f"the URL of {self._url.host} contains a password or a query, and would be written "
                "into records: put the key into an environment variable, and name it by key_from"
            )
            raise EndpointError(msg)
        self.pacing = pacing
        self._key = None if key_from is None else _Key(key_from, key_header, key_scheme)
        self._lock = threading.Lock()
        self._next = 0.0
        """When the next picture may be asked for, by the monotonic clock."""
        self._client: httpx.Client | None = None
        self._stopped = threading.Event()

    def __getstate__(self) -> dict[str, Any]:
        own = ("_lock", "_client", "_stopped", "_next")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._client, self._next = None, 0.0

    @property
    def url(self) -> str:
        """Where the service is."""
        return str(self._url)

    def check_key(self) -> None:
        """Look for the key.

        Raises
        ------
        EndpointError
            If it is wanted and not there, or cannot be sent.
        """
        if self._key is None:
            return
        key = os.environ.get(self._key.variable, "").strip()
        if not key:
            msg = (
                f"{self.url} wants the key in ${self._key.variable}, which is not set: export it, "
                "or name another variable by key_from"
            )
            raise EndpointError(msg)
        if not (key.isascii() and key.isprintable()):
            msg = f"${self._key.variable} holds characters that no header can: set it anew"
            raise EndpointError(msg)

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: dict[str, str] | None = None,
        draws: bool = False,
    ) -> Heard:
        """Send a request until it has an answer that another try would not change.

        Parameters
        ----------
        method, path
            Of HTTP; the path continues the service's URL.
        body
            Plain values, sent as JSON.
        params
            Of the query.
        draws
            Whether a picture is asked for, which counts against ``per_minute``.

        Returns
        -------
        Heard
            With any status that is not retried: an error too.

        Raises
        ------
        EndpointError
            If there is none: no connection, no or half an answer in time, 429 or a failure of the
            server at each try, a redirect, or too long a wait asked for.
        """
        whole = "/".join(filter(None, (self._url.path.rstrip("/"), path.lstrip("/"))))
        url = self._url.copy_with(path=f"/{whole.lstrip('/')}")
        request = {"method": method, "url": url, "json": body, "params": params}
        return self._tried(request, auth=self._key, draws=draws)

    def fetch(self, url: str) -> Heard:
        """Get what an answer points to; the key goes to nobody but the service.

        Raises
        ------
        EndpointError
            As of :meth:`send`, or if it is no address of the web.
        """
        try:
            whole = self._url.join(url)
        except httpx.InvalidURL as error:
            msg = f"{self.url} answered with {url[:SHOWN]!r}, which is no address: {error}"
            raise EndpointError(msg) from error
        if whole.scheme not in ("http", "https"):
            msg = f"{self.url} answered with an address of {whole.scheme!r}: only the web's is read"
            raise EndpointError(msg)
        own = (whole.scheme, whole.host, whole.port) == (
            self._url.scheme,
            self._url.host,
            self._url.port,
        )
        request = {"method": "GET", "url": whole, "follow_redirects": True}
        return self._tried(request, auth=self._key if own else None, draws=False)

    def json(self, heard: Heard) -> Any:
        """Read an answer as JSON.

        Raises
        ------
        EndpointError
            If it is something else: a page, or half of it.
        """
        try:
            return json.loads(heard.content)
        except ValueError as error:
            msg = (
                f"{heard.request} answered {heard.status} with {heard.kind or 'no type'}, which is "
                f"no whole JSON: {self.quoted(heard)}. Look at the URL and the dialect"
            )
            raise EndpointError(msg) from error

    def failed(self, heard: Heard, why: str = "") -> EndpointError:
        """Return the error that an answer is."""
        hint = {
            401: " Look at the key",
            403: " Look at the key, and what it allows",
            404: " Look at the URL and the model's name",
        }.get(heard.status, "")
        said = why or self.quoted(heard)
        return EndpointError(self._clean(f"{heard.request} answered {heard.status}: {said}.{hint}"))

    def quoted(self, heard: Heard) -> str:
        """Return the beginning of an answer, without the key."""
        text = heard.content[: 4 * SHOWN].decode("utf-8", "replace")
        return self._clean(repr(text)[: SHOWN + 1])

    # -- one try

    def _tried(self, request: dict[str, Any], *, auth: _Key | None, draws: bool) -> Heard:
        if auth is not None:
            self.check_key()
        tries = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_AgainError),
            stop=tenacity.stop_any(
                tenacity.stop_after_attempt(self.pacing.attempts),
                tenacity.stop_when_event_set(self._stopped),
            ),
            wait=self._wait,
            sleep=tenacity.sleep_using_event(self._stopped),
            reraise=True,
        )
        try:
            heard: Heard = tries(self._once, request, auth, draws)
        except _AgainError as error:
            msg = self._clean(
                f"{request['method']} {_bare(request['url'])} has no answer after "
                f"{self.pacing.attempts} tries, at last {error}. What was answered before is kept: "
                "run it again when the service is well"
            )
            raise EndpointError(msg) from None
        return heard

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        after = getattr(error, "after", None)
        if after is not None:
            return float(after)
        longer = tenacity.wait_random_exponential(self.pacing.backoff, max=LONGEST_WAIT)
        return max(self.pacing.backoff / 2, longer(state))

    def _once(self, request: dict[str, Any], auth: _Key | None, draws: bool) -> Heard:
        if draws:
            self._take_turn()
        started = time.monotonic()
        named = f"{request['method']} {_bare(request['url'])}"
        try:
            with self._open().stream(**request, auth=auth) as response:
                content = self._read(response, started)
        except httpx.TimeoutException as error:
            what = f"none within {self.pacing.timeout:g} s"
            raise _AgainError(what) from error
        except httpx.TransportError as error:
            what = f"{type(error).__name__}: {error}"
            raise _AgainError(what) from error
        except httpx.HTTPError as error:
            msg = self._clean(f"{named} failed: {type(error).__name__}: {error}")
            raise EndpointError(msg) from error
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        heard = Heard(response.status_code, kind, content, named)
        if response.is_redirect:
            where = response.headers.get("location", "nowhere")
            msg = f"{named} is redirected to {where}: give that URL, if it is the service's"
            raise EndpointError(msg)
        if heard.status in AGAIN:
            after = self._after(response, heard)
            what = f"{heard.status}: {self.quoted(heard)}"
            raise _AgainError(what, after)
        return heard

    def _read(self, response: httpx.Response, started: float) -> bytes:
        parts, n_bytes = [], 0
        for part in response.iter_bytes():
            parts.append(part)
            n_bytes += len(part)
            if time.monotonic() - started > self.pacing.timeout:
                what = f"half an answer within {self.pacing.timeout:g} s"
                raise _AgainError(what)
            if n_bytes > LARGEST:
                msg = f"{self.url} answered with over {LARGEST // 2**20} MB, which is no picture"
                raise EndpointError(msg)
        return b"".join(parts)

    def _after(self, response: httpx.Response, heard: Heard) -> float | None:
        """Return the seconds that a service asks to wait, and let all requests wait."""
        after = seconds_of(response.headers.get("retry-after"))
        if after is None:
            return None
        if after > self.pacing.patience:
            msg = (
                f"{heard.request} answered {heard.status}, and asks to wait {after:,.0f} s, more "
                f"than the {self.pacing.patience:,.0f} s of patience. What was answered before is "
                "kept: run it again then"
            )
            raise EndpointError(msg)
        with self._lock:
            self._next = max(self._next, time.monotonic() + after)
        return after

    def _take_turn(self) -> None:
        """Wait until the next picture may be asked for."""
        apart = 0.0 if self.pacing.per_minute is None else 60 / self.pacing.per_minute
        with self._lock:
            now = time.monotonic()
            mine = max(now, self._next)
            self._next = mine + apart if apart else max(self._next, 0.0)
        if self._stopped.wait(mine - now):
            what = "the run was stopped"
            raise _AgainError(what)

    def _open(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                limits = httpx.Limits(max_connections=2 * self.pacing.at_once)
                self._client = httpx.Client(timeout=self.pacing.timeout, limits=limits)
            return self._client

    @contextlib.contextmanager
    def stopping(self) -> Iterator[None]:
        """Stop when the context is left by an error: nobody waits for what nobody will hear."""
        try:
            yield
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Send no new request for a picture, and nothing again; what is on its way comes back."""
        self._stopped.set()

    def close(self) -> None:
        """Close the connections; the next request opens new ones, and may be sent again."""
        self._stopped.clear()
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _clean(self, text: str) -> str:
        """Take the key out of a text: some services say it back."""
        key = "" if self._key is None else os.environ.get(self._key.variable, "").strip()
        return text.replace(key, "…") if key else text


def _bare(url: httpx.URL) -> str:
    """Return a URL without its query, which may be signed."""
    return str(url.copy_with(query=None))
