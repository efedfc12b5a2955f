"""How fast and how patiently a service is asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from privaudit.errors import EndpointError

__all__ = ["Pacing", "seconds_of"]


@dataclass(frozen=True)
class Pacing:
    """How a service is asked.

    Attributes
    ----------
    at_once
        Requests on their way at one time.
    per_minute
        Pictures asked for in a minute, at most; ``None`` for no limit.
    timeout
        Seconds that an answer may take from its request to its last byte.
    attempts
        How often one request is sent before it is given up.
    backoff
        Seconds before the second try; each further one waits twice as long, up to a minute, with
        jitter. ``Retry-After`` comes first.
    patience
        Seconds: the longest ``Retry-After`` that is waited for.
    """

    at_once: int = 4
    per_minute: float | None = None
    timeout: float = 120.0
    attempts: int = 6
    backoff: float = 1.0
    patience: float = 300.0

    def __post_init__(self) -> None:
        for name in ("at_once", "attempts"):
            if getattr(self, name) < 1:
                msg = f"{name}={getattr(self, name)} asks nothing: give 1 or more"
                raise EndpointError(msg)
        for name in ("per_minute", "timeout"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                msg = f"{name}={value} is no time: give a number above 0"
                raise EndpointError(msg)


def seconds_of(value: str | None) -> float | None:
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
