"""How a command says that it failed."""

from __future__ import annotations

import sys

__all__ = ["failed"]


def failed(message: str) -> int:
    """Print one line to standard error, and return the exit status."""
    print(f"privaudit: {message}", file=sys.stderr)
    return 1
