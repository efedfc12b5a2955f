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

A path on the command line is seen from where it is typed, and a path in an ini file from the
project's root. A bad value, or an unknown name in a marker or an ini file, stops the session before
any test: pytest says which one, which may have been meant, and exits with status 4. The record says
of each setting where it was set, and which settings reached nothing, see [record.md](record.md).
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

CODE = """\
## Settings in code only

A study varies these, or other values of them only loosen an audit: the marker and
`privaudit.run_audit` take them, a command line and an ini file do not. `baseline_key` is for
`run_audit`; pytest reads it from `$PRIVAUDIT_BASELINE_KEY` alone.
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
    audit = [one for one in OPTIONS if one.in_audit and not one.in_code_only]
    session = [one for one in OPTIONS if not one.in_audit and not one.in_code_only]
    code = [option for option in OPTIONS if option.in_code_only]
    parts = [HEAD]
    for text, options in ((AUDIT, audit), (SESSION, session), (CODE, code)):
        parts += [text, *_table(options), ""]
    return "\n".join((*parts, TAIL))


def _table(options: list[Option]) -> Iterator[str]:
    columns = ["setting", "command line", "ini", "default", "meaning"]
    in_code = options[0].in_code_only
    if in_code:
        columns = ["setting", "default", "meaning"]
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for option in options:
        name = f"`{option.argument}`"
        where = [f"`{option.flag}`", f"`privaudit_{option.name}`" if option.in_ini else "—"]
        cells = [name, *([] if in_code else where), option.shown_default, option.help]
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
