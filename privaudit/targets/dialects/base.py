"""What a dialect is, and what all of them read alike: errors, refusals, pictures in JSON."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from privaudit.targets.http import Caller, Reply

__all__ = [
    "REFUSALS",
    "Dialect",
    "Options",
    "RefusedError",
    "get_revision",
    "get_single",
    "get_value",
    "load_content",
    "read_answer",
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
CODE_FIELDS = frozenset(
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
REVISIONS = frozenset({"revisedprompt", "rewrittenprompt", "enhancedprompt"})
MAX_DEPTH = 8
ADDRESS = r"https?://|/(?!9j/)"
"""How an address begins, and no picture in base64: every JPEG is one that begins ``/9j/``."""


class RefusedError(Exception):
    """The service will not draw this prompt, by a policy of its own; the text is its code."""


class Options(Protocol):
    """What a request says beside the prompt and the seed."""

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

    def draw(self, caller: Caller, prompt: str, seed: int, options: Options) -> bytes:
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
        """Say all that decides what is drawn, in plain values: it is recorded."""
        ...


def read_answer(caller: Caller, reply: Reply, codes: tuple[str, ...] = ()) -> Any:
    """Return the JSON of a reply that is none of an error or a refusal.

    Parameters
    ----------
    caller
        Who asked.
    reply
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
    if reply.status >= 400 and reply.kind != "application/json":
        raise caller.reply_error(reply)
    answer = caller.read_json(reply)
    code = _get_refusal(answer, {_plain(code) for code in (*REFUSALS, *codes)})
    if code is not None:
        raise RefusedError(code)
    if reply.status >= 400:
        raise caller.reply_error(reply)
    error = answer.get("error") if isinstance(answer, dict) else None
    if error:
        raise caller.reply_error(reply, f"an error inside, {caller.quote(error)}")
    caller.note_revision(get_revision(answer))
    return answer


def _plain(code: str) -> str:
    return re.sub(r"[^a-z0-9]", "", code.lower())


def _get_refusal(answer: Any, codes: set[str]) -> str | None:
    """Return the first code of refusal in an answer."""
    for name, value in _walk(answer):
        plain = _plain(name)
        if plain in CODE_FIELDS and isinstance(value, str) and _plain(value) in codes:
            return value
        flags = value if isinstance(value, list) else [value]
        if plain in FLAGS and any(flag is True for flag in flags):
            return name
    return None


def get_revision(answer: Any) -> str | None:
    """Return the prompt that a service says it drew in the place of the one sent."""
    revisions = (value for name, value in _walk(answer) if _plain(name) in REVISIONS)
    return next((value for value in revisions if isinstance(value, str) and value.strip()), None)


def _walk(answer: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield the fields of an answer at every level, with their names."""
    if depth > MAX_DEPTH:
        return
    if isinstance(answer, dict):
        for name, value in answer.items():
            yield str(name), value
            yield from _walk(value, depth + 1)
    elif isinstance(answer, list):
        for value in answer:
            yield from _walk(value, depth + 1)


def get_single(caller: Caller, reply: Reply, pictures: Any) -> Any:
    """Return the one picture of an answer.

    Raises
    ------
    EndpointError
        If there are none, or more.
    """
    if not isinstance(pictures, list):
        pictures = [] if pictures is None else [pictures]
    if len(pictures) != 1:
        raise caller.error(
            f"{reply.request} answered with {len(pictures)} pictures, and 1 was asked for"
        )
    return pictures[0]


def load_content(caller: Caller, reply: Reply, picture: Any) -> bytes:
    """Return the file of a picture that is written in base64, or behind an address.

    Raises
    ------
    EndpointError
        If it is neither, or the address is not one that is read.
    """
    text = "".join(picture.split()) if isinstance(picture, str) else ""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    elif re.match(ADDRESS, text):
        picture_reply = caller.fetch(text)
        if picture_reply.status >= 400:
            raise caller.reply_error(picture_reply)
        return picture_reply.content
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if not content:
        raise caller.error(
            f"{reply.request} answered with a picture that is neither base64 nor an address: "
            f"{caller.quote(picture)}"
        )
    return content


def get_value(answer: Any, path: str) -> Any:
    """Return what a path such as ``"data.0.b64_json"`` leads to, or ``None``."""
    for step in path.split("."):
        if isinstance(answer, dict) and step in answer:
            answer = answer[step]
        elif isinstance(answer, list) and step.isdecimal() and int(step[:9]) < len(answer):
            answer = answer[int(step)]
        else:
            return None
    return answer
