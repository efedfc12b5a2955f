"""The report of a session as one HTML file: no script, no request, readable without its CSS."""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.attacks.registry import IMG2IMG, WEIGHTS
from privaudit.errors import MissingExtraError
from privaudit.record.baseline import keyed
from privaudit.report.evidence import MAPPING, map_requirements
from privaudit.report.summary import Summary, printable, summarise, sure_words
from privaudit.report.wording import percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from privaudit.record import AttackResult, AuditRecord, SessionRecord, Validity
    from privaudit.report.figures import Figure

__all__ = ["check_report_extra", "model_name", "render_html", "render_screen"]

HERE = Path(__file__).parent
ACCESS_ROWS = (
    ("text", "text in, pictures out"),
    (IMG2IMG, "a picture beside the text, too"),
    ("noise", "the noise that a picture starts from, too"),
    (WEIGHTS, "the weights"),
)
PARTS = ("unet", "transformer", "text_encoder", "vae", "model")
"""Folders of a pipeline, whose names tell nothing of the model."""
NAMED = 50
"""Members who are listed; the record has all."""
KEY = "PRIVAUDIT_BASELINE_KEY"


@dataclass(frozen=True)
class Check:
    """One line of the list of checks."""

    mark: str
    tone: str
    sentence: str


@dataclass(frozen=True)
class Page:
    """What the template needs of one audit."""

    anchor: str
    full: bool
    one: Summary
    tone: str
    subject: str
    changes: list[str]
    belief: str
    checks: list[Check]
    accesses: Sequence[tuple[str, ...]]
    figures: list[Figure]
    results: bool
    bounds: list[str]
    missing: Sequence[tuple[str, ...]]
    exposed: dict[str, Any] | None
    groups: Sequence[tuple[str, ...]]
    baseline: dict[str, Any] | None
    requirements: Sequence[tuple[str, ...]]
    ran: list[dict[str, Any]]
    notes: list[str]


def check_report_extra() -> None:
    """Refuse a report whose libraries are not there, before anything is generated.

    Raises
    ------
    MissingExtraError
        If matplotlib or Jinja2 cannot be imported.
    """
    from importlib.util import find_spec

    for module in ("matplotlib", "jinja2"):
        if find_spec(module) is None:
            raise MissingExtraError("an HTML report", module, "report")


def render_html(session: SessionRecord) -> str:
    """Render all audits of a session as one HTML file.

    Parameters
    ----------
    session
        The record; nothing else is read.

    Raises
    ------
    MissingExtraError
        If matplotlib or Jinja2 is not there.
    """
    check_report_extra()
    from privaudit.report.figures import draw_run

    css = (HERE / "report.css").read_text(encoding="utf-8")
    whole = _shown_whole(session)
    pages = [
        _page(audit, f"audit-{k}", full=audit.name in whole)
        for k, audit in enumerate(session.audits, 1)
    ]
    runs = [draw_run(run, f"run-{k}") for k, run in enumerate(session.runs, 1)]
    n_red = sum(page.one.verdict != "pass" for page in pages)
    title = (
        f"{pages[0].subject} {pages[0].one.release}"
        if len(pages) == 1
        else (f"{len(pages)} audits, {n_red} without a pass")
    )
    ended = [audit.provenance.ended for audit in session.audits if audit.provenance is not None]
    page: str = _template().render(
        title=title,
        css=css,
        css_hash=base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
        version=session.privaudit_version,
        date=f"{max(ended):%Y-%m-%d %H:%M} UTC" if ended else "nothing was run",
        notes=[printable(note) for note in session.notes],
        pages=pages,
        runs=[figure for figure in runs if figure is not None],
        mapping=MAPPING,
        record_hash=hashlib.sha256(f"{session.to_json()}\n".encode()).hexdigest(),
    )
    return page


def render_screen(audit: AuditRecord) -> str:
    """Render the first screen of an audit's report, for a notebook: no figure, no style.

    Parameters
    ----------
    audit
        One record.
    """
    from html import escape

    one = summarise(audit)
    parts = [f"<p><strong>{escape(one.heading)}</strong></p>"]
    parts.append(f"<h3><bdi>{escape(model_name(audit))}</bdi> {escape(one.release)}</h3>")
    parts.append(f"<p>{escape(one.sentence)}</p>")
    lines = [*(f"but: {doubt}" for doubt in one.doubts), *(f"now: {each}" for each in one.advice)]
    parts.append("<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>")
    columns = ("the attacker has", "strongest result", "AUC", "bounds", "verdict")
    head = "".join(f"<th>{name}</th>" for name in columns)
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td>{escape(cell)}</td>"
            for cell in (row[0], row[1], row[2], f"{row[3]} to {row[4]}", row[7])
        )
        + "</tr>"
        for row in _accesses(audit, one)
        if row[1] != "not run"
    )
    parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")
    return "\n".join(parts)


def model_name(audit: AuditRecord) -> str:
    """Return what a report calls the model: by its files, else by the audit's test.

    Parameters
    ----------
    audit
        One record.

    Examples
    --------
    >>> from privaudit.record import AuditRecord
    >>> model_name(AuditRecord(name="audits/test_faces.py::test_leak[v3]"))
    'The model of test_leak[v3]'
    """
    ran = audit.provenance
    files = ran.models.get("target_model", {}).get("files") if ran is not None else None
    if isinstance(files, dict) and files:
        own = {role: where for role, where in files.items() if role != "base"} or files
        where = [part for part in str(next(iter(own.values()))).split("/") if part]
        while len(where) > 1 and where[-1] in PARTS:
            where.pop()
        if where:
            return printable(where[-1], 80)
    return f"The model of {printable(audit.name.rpartition('::')[2], 80)}"


def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja")


def _shown_whole(session: SessionRecord) -> set[str]:
    """Return the names of the audits that are shown whole.

    Of a run's checkpoints those are the last one within the budget and the last one audited.
    """
    whole = {audit.name for audit in session.audits if audit.checkpoint is None}
    for run in session.runs:
        of_run = [
            audit
            for audit in session.audits
            if audit.checkpoint is not None and audit.checkpoint.run == run.run and audit.results
        ]
        of_run.sort(key=lambda audit: audit.checkpoint.place if audit.checkpoint else 0)
        whole |= {audit.name for audit in of_run[-1:]}
        whole |= {
            audit.name
            for audit in of_run
            if audit.checkpoint is not None and audit.checkpoint.name == run.last_within
        }
    return whole


def _page(audit: AuditRecord, anchor: str, *, full: bool) -> Page:
    from privaudit.report.figures import draw_forest, draw_histogram, draw_roc

    one = summarise(audit)
    results = audit.all_results
    strongest = [each.result for each in one.evidence if each.result is not None]
    figures = []
    if results and full:
        figures.append(draw_forest(results, f"{anchor}-forest"))
        figures.append(draw_roc(strongest[:4], f"{anchor}-roc"))
        figures += [
            draw_histogram(each, f"{anchor}-scores-{k}") for k, each in enumerate(strongest)
        ]
    tone = {"pass": "pass", "fail": "fail"}.get(one.verdict, "doubt")
    if one.heading != one.heading.upper():
        tone = "doubt"
    return Page(
        anchor=anchor,
        full=full,
        one=one,
        tone=tone,
        subject=model_name(audit),
        changes=list(_changes(audit)),
        belief=_belief(audit),
        checks=list(_checks(audit)),
        accesses=_accesses(audit, one),
        figures=figures,
        results=bool(results),
        bounds=[_bounds(results[0])] if results else [],
        missing=[
            *((one.name, one.outcome, printable(one.reason, 600)) for one in audit.not_completed),
            *((name, "not asked for", "a part was selected") for name in audit.not_asked),
        ],
        exposed=_exposed(audit),
        groups=_groups(audit),
        baseline=_baseline(audit),
        requirements=[
            (each.source, each.where, each.asks, each.status, each.here)
            for each in map_requirements(audit)
        ],
        ran=list(_ran(audit)),
        notes=[printable(note) for note in audit.notes],
    )


# ---------------------------------------------------------------------------- the first screen


def _changes(audit: AuditRecord) -> Iterator[str]:
    """Say what would change the verdict, where numbers say so."""
    for one in audit.all_results:
        if one.verdict == "inconclusive" and one.samples_needed is None:
            yield f"No number of samples is known that would decide {one.name}."
            return
    budgets = {one.budget for one in audit.all_results}
    if audit.verdict == "fail" and len(budgets) == 1:
        lows = [one.interval.low for one in audit.all_results if one.verdict == "fail"]
        yield (
            f"With a budget above {max(lows):.3f} no lower bound would be over it; a budget is a "
            "decision about the people in the training set, made before the audit."
        )


def _accesses(audit: AuditRecord, one: Summary) -> list[tuple[str, ...]]:
    by_access = {each.access: each for each in one.evidence}
    rows: list[tuple[str, ...]] = []
    for access, label in ACCESS_ROWS:
        each = by_access.get(access)
        result = None if each is None else each.result
        if each is None or result is None:
            rows.append((label, "not run", "", "", "", "", "", "not run"))
            continue
        rows.append(
            (
                label,
                result.name,
                f"{result.auc:.3f}",
                f"{result.interval.low:.3f}",
                f"{result.interval.high:.3f}",
                f"{result.budget:g}",
                f"{result.n_queries:,}",
                each.words,
            )
        )
    return rows


def _bounds(first: AttackResult) -> str:
    together = "" if first.n_results == 1 else "; all lower bounds hold together"
    return f"Bounds hold {sure_words(first)}{together}. The gate is {first.gate}."


# ---------------------------------------------------------------------------- checks


def _belief(audit: AuditRecord) -> str:
    if audit.validity is None:
        return "No check was completed."
    n = len(audit.validity.reasons)
    if n:
        return f"No: {n} {'check' if n == 1 else 'checks'} failed, so nothing may be concluded."
    return "No check that ran speaks against it."


def _checks(audit: AuditRecord) -> Iterator[Check]:
    """Yield each check with what it measured."""
    validity = audit.validity
    if validity is None:
        return
    for reason in validity.reasons:
        yield Check("failed", "fail", printable(reason.replace("\n", " ")))
    mark, tone = ("measured", "quiet") if validity.reasons else ("passed", "pass")
    for sentence in _measured(validity, audit):
        if sentence.startswith("not run: "):
            yield Check("not run", "quiet", sentence.removeprefix("not run: ").capitalize())
        else:
            yield Check(mark, tone, sentence)


def _measured(validity: Validity, audit: AuditRecord) -> Iterator[str]:
    controls = [auc for auc in validity.controls.values() if auc is not None]
    if controls:
        yield (
            f"Positive control: a target that copies its members is found, with AUC "
            f"{min(controls):.3f} or more."
        )
    else:
        yield "not run: the positive control."
    budget = audit.all_results[0].budget if audit.all_results else None
    for name, grades in validity.sensitivity.items():
        seen = [
            grade for grade, auc in grades.items() if auc is not None and budget and auc > budget
        ]
        faintest = f"down to “{seen[-1]}”" if seen else "only where they are exact"
        yield f"Sensitivity: {name} sees copies {faintest}."
    for what, blind in (("pictures", validity.blind_image), ("captions", validity.blind_caption)):
        if blind is None:
            yield f"not run: distinguishing the {what} without the model."
        else:
            yield (
                f"Without the model, the {what} alone give AUC {blind.auc:.3f} "
                f"({blind.interval.low:.3f} to {blind.interval.high:.3f}); 0.5 is guessing."
            )
    fact = validity.blind_facts
    if fact is not None:
        yield (
            f"How captions and files are written: of {fact.n_features} facts the most telling, "
            f"{fact.feature}, has AUC {fact.auc:.3f} (p = {fact.p_value:.2g})."
        )
    yield f"Near-duplicates of evaluated samples in another set: {validity.n_near_duplicates}."
    answers = sum(one.n for one in validity.answers.values())
    if answers:
        flat = sum(one.flat for one in validity.answers.values())
        refused = sum(one.refused for one in validity.answers.values())
        repeated = sum(one.repeated for one in validity.answers.values())
        yield (
            f"Answers: {answers:,}, of which {flat:,} are one colour, {repeated:,} were also given "
            f"to another prompt, and {refused:,} were refused."
        )
    yield from _of_conduct(validity)
    for name, one in validity.base.items():
        yield f"In place of the target, the base model gives {name} AUC {one.auc:.3f}."
    for name, one in validity.stronger.items():
        yield (
            f"A stronger attack in the same pictures, {name}: AUC {one.auc:.3f} "
            f"({one.interval.low:.3f} to {one.interval.high:.3f})."
        )


def _of_conduct(validity: Validity) -> Iterator[str]:
    for role, conduct in validity.conduct.items():
        if conduct.prompts:
            pairs = f"{conduct.ignored} of {conduct.prompts} pairs of prompts"
            yield f"{role}: {pairs} gave one picture."
        if conduct.seeds_honoured is not None:
            honours = "honours" if conduct.seeds_honoured else "does not honour"
            yield f"{role} {honours} seeds."


# ---------------------------------------------------------------------------- people and releases


def _exposed(audit: AuditRecord) -> dict[str, Any] | None:
    """List who stands out, by keyed ids; without a key, by numbers."""
    most = max(audit.all_results, key=lambda one: len(one.exposed), default=None)
    if most is None or not most.exposed:
        return None
    key = os.environ.get(KEY, "")
    how = (
        f"The ids are hashed with {KEY}."
        if key
        else (f"The record has their ids; with {KEY} set, hashed ids stand here.")
    )
    rows = [
        (
            keyed(key, "sample", one.id) if key else f"no. {k}",
            f"{one.score:.3f}",
            f"{one.p_value:.2g}",
        )
        for k, one in enumerate(most.exposed[:NAMED], 1)
    ]
    by_chance = percent(1 - most.interval.confidence)
    return {
        "sentence": (
            f"{len(most.exposed)} of {most.evaluation.members} members stand out one by one by "
            f"{most.name}; on average at most {by_chance} of those named do so by chance. {how}"
        ),
        "rows": rows,
    }


def _groups(audit: AuditRecord) -> list[tuple[str, ...]]:
    highest = max(audit.all_results, key=lambda one: one.auc, default=None)
    if highest is None:
        return []
    return [
        (
            printable(one.group, 80),
            f"{one.evaluation.members}+{one.evaluation.non_members}",
            "too few" if one.auc is None else f"{one.auc:.3f}",
            "" if one.interval is None else f"{one.interval.low:.3f} to {one.interval.high:.3f}",
        )
        for one in highest.groups
    ]


def _baseline(audit: AuditRecord) -> dict[str, Any] | None:
    used = audit.baseline
    compared = [(one, one.comparison) for one in audit.all_results if one.comparison is not None]
    if used is None or not compared:
        return None
    model = "the same model" if used.same_model else "another model"
    paired = (
        "on the same samples" if all(each.paired for _, each in compared) else "on other samples"
    )
    return {
        "sentence": (
            f"The baseline of {used.written:%Y-%m-%d} is of {model}, {paired}. A rise is shown "
            "where the lower bound of the change is over 0."
        ),
        "rows": [
            (
                one.name,
                f"{each.auc:.3f}",
                f"{one.auc:.3f}",
                f"{each.change:+.3f}",
                f"{each.bounds.low:+.3f} to {each.bounds.high:+.3f}",
                each.verdict,
            )
            for one, each in compared
        ],
        "notes": [printable(note) for note in used.notes],
    }


# ---------------------------------------------------------------------------- what was run


def _ran(audit: AuditRecord) -> Iterator[dict[str, Any]]:
    """Yield tables of settings, models, sets and versions."""
    sources = audit.settings.get("sources", {})
    rows = [
        (name, _shown(value), str(sources.get(name, "")))
        for name, value in audit.settings.items()
        if name not in ("sources", "without_effect")
    ]
    if rows:
        yield {"title": "Settings", "columns": ("setting", "value", "set by"), "rows": rows}
    ran = audit.provenance
    if ran is None:
        return
    models = [
        (role, name, _shown(value))
        for role, facts in ran.models.items()
        for name, value in facts.items()
    ]
    yield {"title": "Models", "columns": ("model", "what", "value"), "rows": models}
    sets = [(name, f"{each.count:,}", each.digest) for name, each in ran.samples.items()]
    yield {"title": "Samples", "columns": ("set", "samples", "digest"), "rows": sets}
    images = [(name, f"{n:,}") for name, n in ran.images.asked.items()]
    images.append(("generated for this record", f"{ran.images.generated:,}"))
    yield {"title": "Images", "columns": ("asked of", "images"), "rows": images}
    facts = [
        ("started", f"{ran.started:%Y-%m-%d %H:%M:%S} UTC"),
        ("ended", f"{ran.ended:%Y-%m-%d %H:%M:%S} UTC"),
        ("took", f"{(ran.ended - ran.started).total_seconds():,.0f} s"),
        ("seed", str(ran.seed)),
        ("commit", ran.commit or "outside a repository"),
        ("machine", ran.machine),
        *((name, version or "not there") for name, version in ran.versions.items()),
    ]
    yield {"title": "Versions and times", "columns": ("what", "value"), "rows": facts}


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, dict):
        return printable(", ".join(f"{key}: {_shown(each)}" for key, each in value.items()), 600)
    if isinstance(value, list | tuple):
        return printable(", ".join(map(_shown, value)) or "none", 600)
    return printable(str(value), 600)
