"""One page of a whole study: static HTML, in light and in dark."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from privaudit.study.table import left_out_words, shown_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from privaudit.study.table import Table

__all__ = ["write_page"]

STYLE = """
:root { color-scheme: light dark; --text: #1b1b1b; --page: #ffffff; --line: #d0d0d0; --soft: #555 }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e6e6; --page: #16181d; --line: #444a55; --soft: #a9afb9 }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page);
  max-width: 52rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere }
h1 { font-size: 1.5rem }
a { color: inherit }
h2 { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem }
figure { margin: 1rem 0; background: #ffffff; border-radius: 6px; padding: .6rem;
  text-align: center }
img { max-width: 100%; height: auto }
table { border-collapse: collapse; font-size: .85rem; display: block; overflow-x: auto }
th, td { text-align: left; padding: .15rem .6rem; border-bottom: 1px solid var(--line);
  white-space: nowrap }
.soft { color: var(--soft); font-size: .9rem }
"""


def write_page(
    folder: Path,
    title: str,
    facts: Sequence[str],
    settings: str,
    tables: Mapping[str, Table],
    left_out: Mapping[str, str],
) -> None:
    """Write ``index.html``.

    Parameters
    ----------
    folder
        Where the plots are.
    title
        What was studied.
    facts
        What is said first, a line each.
    settings
        Of this run: a table of an earlier one says its own where they were others.
    tables
        By axis, in order.
    left_out
        Why an axis has no table, by its name.
    """
    links = " · ".join(f'<a href="#{escape(name)}">{escape(name)}</a>' for name in tables)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        *(f'<p class="soft">{escape(fact)}</p>' for fact in facts),
        f"<p>{links}</p>",
    ]
    if left_out:
        lines = "".join(
            f"<li>{escape(name)}: left out: {escape(why)}</li>" for name, why in left_out.items()
        )
        parts.append(f"<ul>{lines}</ul>")
    for name, table in tables.items():
        parts += _section(folder, name, table, "" if table.settings == settings else table.settings)
    parts.append("</body></html>\n")
    (folder / "index.html").write_text("\n".join(parts), encoding="utf-8")


def _section(folder: Path, name: str, table: Table, settings: str) -> list[str]:
    parts = [f'<h2 id="{escape(name)}">{escape(name)}</h2>', f"<p>{escape(table.question)}</p>"]
    if (folder / f"{name}.svg").exists() and table.rows:
        alt = f"{table.question} AUC by {table.x_label}; the numbers are in the table below."
        parts.append(f'<figure><img src="{escape(name)}.svg" alt="{escape(alt)}"></figure>')
    drawn = "samples, and what the model drew"
    parts += [
        f'<figure><img src="{escape(file)}" alt="{drawn}"></figure>' for file in table.pictures
    ]
    if settings:
        parts.append(f'<p class="soft">Of an earlier run, with {escape(settings)}.</p>')
    lines = [*left_out_words(table), *table.notes]
    if lines:
        parts.append(f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>")
    rows = shown_rows(table)
    if rows:
        header, *body = rows
        files = ", ".join(
            f'<a href="{escape(name)}.{end}">{end.upper()}</a>'
            for end in ("json", "csv", "md", "svg", "png")
        )
        parts += [
            f"<details{' open' if len(body) <= 16 else ''}><summary>{len(body)} results</summary>",
            "<table><tr>",
            *(f"<th>{escape(cell)}</th>" for cell in header),
            "</tr>",
            *(
                "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>"
                for line in body
            ),
            f'</table></details><p class="soft">{files}</p>',
        ]
    return parts
