"""Writes docs/reference/settings.md from the list of settings.

Run ``python -m privaudit.settings.page``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from privaudit.settings.options import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from privaudit.settings.options import Option

__all__ = ["page"]

FILE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"

HEAD = """\
# Settings

This page is generated from the code. Write it again with `python -m privaudit.settings.page`;
`pytest --help` shows the same list.

## Where a setting is set

Each setting can be set in four places. The first that says something wins.

1. **The marker** of a test: `@pytest.mark.privacy_budget(max_auc=0.6, queries=5)`. Of several
   markers (a module's, a class's, a test's, that of a `pytest.param`) the closest one wins.
2. **The command line**: `--privaudit-queries=5`.
3. **The ini file**, in any file that pytest reads its settings from:

   ```toml
   [tool.pytest.ini_options]
   privaudit_budget = "0.6"
   privaudit_encoder = "efficientnet-lite0"
   ```

4. **The default**.

Two settings are an exception, because they say what an audit covers. Where both the marker and the
command line name `scenarios` or `attacks`, the audit runs what both name. So a command line can
select a part of an audit, and cannot add to it.

Where a column holds several names, they mean the same. A bad value, or an unknown name in a
marker, stops the session before any test: pytest says which one, and exits with status 4.
(Pytest itself warns about an unknown name in the ini file.) The record says of each setting where
it was set, and which settings reached nothing, see [record.md](record.md).
"""

AUDIT = """\
## Settings of an audit

They decide the numbers and the verdict. `privaudit.run_audit` and `privaudit.AuditSettings` take
them by the names of the marker.
"""

SESSION = """\
## Settings of a session

They say where the work is done and what is kept of it. They hold for all audits of a session, so a
marker cannot set them. `privaudit.run_audit` takes them by their name in the ini file without
`privaudit_`; `plan` means nothing there.
"""

TAIL = """\
## Pipelines, and what they are asked

`num_inference_steps`, `guidance_scale`, `scheduler`, `dtype`, `channels_last` and `compile` are for
diffusers pipelines and for `privaudit.SavedPipeline`. By default, steps and guidance are those that
the pipeline itself takes when nobody names them. Set them to what your users will get: guidance
alone can take a model from red to green.

A callable, or a target that you made yourself such as `privaudit.PipelineTarget`, keeps its own
arguments. A marker that sets what cannot reach the model is an error. The record lists other
settings without effect.
"""


def page() -> str:
    """Return the page as Markdown.

    Examples
    --------
    >>> page().splitlines()[0]
    '# Settings'
    """
    audit = [option for option in OPTIONS if option.in_audit]
    session = [option for option in OPTIONS if not option.in_audit]
    parts = (HEAD, AUDIT, "\n".join(_table(audit)), "", SESSION, "\n".join(_table(session)), "")
    return "\n".join((*parts, TAIL))


def _table(options: list[Option]) -> Iterator[str]:
    marker = options[0].in_audit
    columns = ["option", "ini", *(["marker"] if marker else []), "default", "meaning"]
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for option in options:
        ini = [f"privaudit_{name}" for name in option.names] if option.in_ini else []
        cells = [_code(option.flags), _code(ini), _code(option.names)]
        yield f"| {' | '.join([*cells[: 2 + marker], option.shown_default, option.help])} |"


def _code(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "—"


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
