"""Audit files asked for their fixtures: pytest plans them, and a plugin takes what it finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["plan"]

OPTIONS = (
    "--privaudit-plan",
    "--no-header",
    "--no-summary",
    "-q",
    # A project that makes errors of warnings would stop pytest: the command has imported us.
    "-Wignore:Module already imported:pytest.PytestAssertRewriteWarning",
)


def plan(arguments: Sequence[str], plugin: object) -> int:
    """Have pytest plan audits in this process, and return its exit status.

    Parameters
    ----------
    arguments
        Files, folders and options, as pytest has them.
    plugin
        Asked in place of the plan, see :mod:`privaudit.plugin.planning`.
    """
    import pytest

    return int(pytest.main([*arguments, *OPTIONS], plugins=[plugin]))
