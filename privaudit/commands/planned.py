"""Runs the fixtures of audit files: pytest plans the audits, and a plugin reads the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["plan"]

OPTIONS = (
    "--privaudit-plan",
    "--no-header",
    "--disable-warnings",
    "-qq",  # "no tests ran" is not how a command ends
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
