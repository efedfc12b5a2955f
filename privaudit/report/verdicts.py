"""How a verdict is written: what is red is seen at once."""

from __future__ import annotations

__all__ = ["written"]

CALM = ("pass", "not audited")


def written(verdict: str) -> str:
    """Write a verdict as tables have it: in capitals unless it is no cause for concern.

    Examples
    --------
    >>> written("pass"), written("inconclusive")
    ('pass', 'INCONCLUSIVE')
    """
    return verdict if verdict in CALM else verdict.upper()
