"""What a dialect is, and what all of them read alike: errors, refusals, pictures in JSON."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any, Protocol

from privaudit.errors import EndpointError

if TYPE_CHECKING:
    from privaudit.targets.http import Caller, Heard

__all__ = [
    "REFUSALS",
    "Asking",
    "Dialect",
    "RefusedError",
    "answer_of",
    "content_of",
    "dig",
    "only",
]

REFUSALS = (
    "content_policy_violation",
    "content_filter",
    "content_filtered",
    "content_moderation",
    "content_policy",
    "moderation_blocked",
    "nsfw",
    "nsfw_content_detected",
    "policy_violation",
    "prompt_blocked",
    "request_moderated",
    "responsible_ai_policy_violation",
    "safety",
    "safety_violations",
)
"""Codes by which services say that they will not draw, as they stand in ``code``, ``type``, …"""
SAID_IN = frozenset(
    {
        "blockreason",
        "code",
        "errorcode",
        "finishreason",
        "innererror",
        "name",
        "reason",
        "status",
        "type",
    }
)
FLAGS = frozenset({"hasnsfwconcepts", "nsfwcontentdetected"})
DEEPEST = 8
ADDRESS = r"https?://|/(?!9j/)"
"""How an address begins, and no picture in base64: every JPEG is one that begins ``/9j/``."""


class RefusedError(Exception):
    """The service will not draw this prompt, by a policy of its own; the text is its code."""


class Asking(Protocol):
    """What is asked of a service beside the prompt."""

    size: tuple[int, int] | None
    refusals: tuple[str, ...]


class Dialect(Protocol):
    """How one kind of service is asked for a picture.

    Attributes
    ----------
    sends_seed
        Whether a seed is on its way with the prompt: what becomes of it is another question.
    """

    @property
    def sends_seed(self) -> bool:
        """Whether a seed is sent."""
        ...

    def draw(self, caller: Caller, prompt: str, seed: int, asking: Asking) -> bytes:
        """Ask for one picture, and return its file.

        Raises
        ------
        EndpointError
            If there is no answer, or one without exactly one picture.
        RefusedError
            If the service will not draw it.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Say all that decides what is drawn, in plain values."""
        ...


def answer_of(caller: Caller, heard: Heard, codes: tuple[str, ...] = ()) -> Any:
    """Return the JSON of an answer that is none of an error or a refusal.

    Parameters
    ----------
    caller
        Who asked.
    heard
        The answer.
    codes
        Codes of refusal beside :data:`REFUSALS`.

    Raises
    ------
    RefusedError
        If a code of it says so.
    EndpointError
        If its status is an error, it is no JSON, or there is an error in it.
    """
    if heard.status >= 400 and heard.kind != "application/json":
        raise caller.failed(heard)
    answer = caller.json(heard)
    code = _refusal(answer, {_plain(code) for code in (*REFUSALS, *codes)})
    if code is not None:
        raise RefusedError(code)
    if heard.status >= 400:
        raise caller.failed(heard)
    error = answer.get("error") if isinstance(answer, dict) else None
    if error:
        raise caller.failed(heard, f"an error inside, {str(error)[:300]!r}")
    return answer


def _plain(code: str) -> str:
    return re.sub(r"[^a-z0-9]", "", code.lower())


def _refusal(answer: Any, codes: set[str], depth: int = 0) -> str | None:
    """Return the first code of refusal in an answer."""
    if depth > DEEPEST:
        return None
    if isinstance(answer, list):
        inner = answer
    elif isinstance(answer, dict):
        for name, value in answer.items():
            plain = _plain(str(name))
            if plain in SAID_IN and isinstance(value, str) and _plain(value) in codes:
                return value
            flagged = any(value) if isinstance(value, list) else value is True
            if plain in FLAGS and flagged:
                return str(name)
        inner = list(answer.values())
    else:
        return None
    found = (_refusal(value, codes, depth + 1) for value in inner)
    return next((code for code in found if code is not None), None)


def only(heard: Heard, pictures: Any) -> Any:
    """Return the one picture of an answer.

    Raises
    ------
    EndpointError
        If there are none, or more.
    """
    if not isinstance(pictures, list):
        pictures = [] if pictures is None else [pictures]
    if len(pictures) != 1:
        msg = f"{heard.request} answered with {len(pictures)} pictures, and 1 was asked for"
        raise EndpointError(msg)
    return pictures[0]


def content_of(caller: Caller, heard: Heard, picture: Any) -> bytes:
    """Return the file of a picture that is written in base64, or behind an address.

    Raises
    ------
    EndpointError
        If it is neither.
    """
    picture = "".join(picture.split()) if isinstance(picture, str) else picture
    if isinstance(picture, str) and picture.startswith("data:"):
        picture = picture.partition(",")[2]
    elif isinstance(picture, str) and re.match(ADDRESS, picture):
        behind = caller.fetch(picture)
        if behind.status >= 400:
            raise caller.failed(behind)
        return behind.content
    try:
        return base64.b64decode(picture, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        msg = (
            f"{heard.request} answered with a picture that is neither base64 nor an address "
            f"({error}): {str(picture)[:60]!r}"
        )
        raise EndpointError(msg) from error


def dig(answer: Any, path: str) -> Any:
    """Return what a path such as ``"data.0.b64_json"`` leads to, or ``None``."""
    for step in path.split("."):
        if isinstance(answer, dict) and step in answer:
            answer = answer[step]
        elif isinstance(answer, list) and step.isdigit() and int(step) < len(answer):
            answer = answer[int(step)]
        else:
            return None
    return answer
