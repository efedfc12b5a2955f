"""Texts without secrets: a key and its fragments, in any case and in the encodings of the web."""

from __future__ import annotations

import base64
import html
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["FRAGMENT", "redact"]

FRAGMENT = 6
"""Characters in a row of a key that a message must not show."""
MARK = "…"


def redact(text: str, secrets: Iterable[str], fragment: int = FRAGMENT) -> str:
    """Replace every trace of some secrets in a text.

    Redact before a text is cut: half a secret at the cut would be no whole one any more.

    Parameters
    ----------
    text
        What is to be shown, such as the beginning of a service's answer.
    secrets
        Texts that must not be seen in it.
    fragment
        How many characters in a row give a secret away; of a shorter secret, all of them.

    Returns
    -------
    str
        The text with ``…`` for each run of characters that is part of a secret: as it is, in other
        case, or in base64, percent, JSON, HTML or hexadecimal encoding.

    Examples
    --------
    >>> redact("no such key: SK-PLANTED (c2stcGxhbnRlZA==)", ["sk-planted"])
    'no such key: … (…A==)'
    >>> redact("cut after sk-plan", ["sk-planted"])
    'cut after …'
    """
    grams: dict[int, set[str]] = {}
    for form in (form for secret in secrets if secret for form in _encode(secret)):
        n = min(fragment, len(form))
        grams.setdefault(n, set()).update(form[i : i + n] for i in range(len(form) - n + 1))
    # Character by character: a few letters become two in lower case, and would shift the places.
    lower = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    shown = list(text)
    for n, parts in grams.items():
        for i in range(len(lower) - n + 1):
            if lower[i : i + n] in parts:
                shown[i : i + n] = [MARK] * n
    return re.sub(f"{MARK}+", MARK, "".join(shown))


def _encode(secret: str) -> Iterator[str]:
    """Yield a secret in every form that a service may say it back in, in lower case."""
    raw = secret.encode("utf-8", "surrogatepass")
    forms = {
        secret,
        repr(secret)[1:-1],
        html.escape(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1].replace("/", r"\/"),
        quote(raw, safe=""),
        "".join(f"%{byte:02x}" for byte in raw),
        "".join(f"\\u{ord(character):04x}" for character in secret),
        raw.hex(),
    }
    for shift in range(3):
        # What stands before the secret decides where its bytes begin in base64.
        encoded = base64.b64encode(bytes(shift) + raw).decode().rstrip("=")
        # The character at either end may hold bits of what stands beside the secret.
        whole = encoded[(0, 2, 3)[shift] : len(encoded) - ((shift + len(raw)) % 3 > 0)]
        forms |= {whole, whole.replace("+", "-").replace("/", "_")}
    return (form.lower() for form in forms if len(form) >= min(len(secret), FRAGMENT))
