"""``run_study``: all axes over one audit's inputs, each written down as soon as it is done."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.audit import AuditInputs
from privaudit.engines import make_engine
from privaudit.errors import InvalidAuditError, SettingError
from privaudit.settings import split_settings
from privaudit.store import Store, make_store
from privaudit.study.axes import axes_named, axis_names
from privaudit.study.cells import LeftOut
from privaudit.study.owner import Owner
from privaudit.study.page import write_page
from privaudit.study.plots import check_matplotlib, figure_files
from privaudit.study.table import CONFIDENCE, Table, earlier_tables, write_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from privaudit.runs import Checkpoint
    from privaudit.samples import Sample
    from privaudit.study.axes.base import Axis

__all__ = ["Study", "run_axes", "run_study"]


@dataclass
class Study:
    """What a study found.

    Attributes
    ----------
    name
        Of the audit.
    folder
        Where tables, plots and ``index.html`` are.
    tables
        By axis, in order.
    left_out
        Why an axis has no table, by its name.
    """

    name: str
    folder: Path
    tables: dict[str, Table] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def run_study(
    target: Any,
    members: Sequence[Sample],
    non_members: Sequence[Sample],
    *,
    captioner: Any = None,
    image_encoder: Any = None,
    base: Any = None,
    shadow: tuple[Any, Sequence[Sample], Sequence[Sample]] | None = None,
    auxiliary_samples: Sequence[Sample] | None = None,
    fine_tune: Callable[[Sequence[Sample]], Any] | None = None,
    only: Iterable[str] | None = None,
    output: Path | str = "study",
    encoders: Sequence[str] = (),
    models: Mapping[str, Any] | None = None,
    shadows: Mapping[str, Any] | None = None,
    checkpoints: Sequence[Checkpoint] = (),
    name: str = "audit",
    say: Callable[[str], None] = lambda _: None,
    **settings: Any,
) -> Study:
    """Ask the paper's questions of a fine-tuned model.

    Parameters
    ----------
    target, members, non_members, captioner, image_encoder, base, shadow
        As of :func:`privaudit.run_audit`, and so are the next two.
    auxiliary_samples, fine_tune
        In place of ``shadow``.
    only
        Names of axes, by default all: ``privaudit.study.axes.axis_names()`` lists them.
    output
        Folder for tables, plots and ``index.html``; it is made if it is not there.
    encoders
        Names of further encoders, as of :func:`privaudit.load_encoder`.
    models
        Further fine-tunes on the same members by name, for the axis ``defences``: what ``target``
        may be, or folders.
    shadows
        Further fine-tunes on the shadow's members by name, for the axis ``shadows``: likewise.
    checkpoints
        What :func:`privaudit.checkpoints` listed, for the axis ``epochs``.
    name
        What the page calls the audit.
    say
        Called with a line as each axis is done.
    **settings
        Any setting of ``docs/reference/settings.md``, such as ``queries=3`` or ``store="store"``.

    Returns
    -------
    Study
        With a table of each axis, and why the others were left out.

    Raises
    ------
    PrivauditError
        If an input, a setting or the name of an axis is unusable.
    MissingExtraError
        If matplotlib is not installed; found before anything is drawn.
    InvalidAuditError
        If no axis has a single result.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import privaudit
    >>> from PIL import Image
    >>> random = np.random.default_rng(0)
    >>> pictures = random.integers(0, 256, (80, 32, 32, 3), dtype=np.uint8)
    >>> captions = [f"picture {number:02}" for number in random.permutation(80)]
    >>> samples = [privaudit.Sample(Image.fromarray(p), c) for p, c in zip(pictures, captions)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     study = privaudit.study.run_study(
    ...         privaudit.testing.MemorizingTarget(samples[:40]),
    ...         samples[:40],
    ...         samples[40:],
    ...         image_encoder=privaudit.study.patches.PixelPatches(),
    ...         only=["main"],
    ...         output=folder,
    ...         attacks="threshold",
    ...         store="none",
    ...     )
    >>> [(row.scenario, row.auc) for row in study.tables["main"].rows]
    [('I', 1.0)]
    >>> sorted(study.tables["main"].left_out)
    ['attack-II', 'attack-III', 'attack-IV']
    """
    chosen, session = split_settings(settings)
    axes = axes_named(only)
    shadow_model, shadow_members, shadow_non_members = shadow or (None, None, None)
    inputs = AuditInputs(
        target_model=target,
        members=members,
        non_members=non_members,
        image_encoder=image_encoder,
        base_model=base,
        captioner=captioner,
        shadow_model=shadow_model,
        shadow_members=shadow_members,
        shadow_non_members=shadow_non_members,
        auxiliary_samples=auxiliary_samples,
        fine_tune=fine_tune,
    )
    with ExitStack() as stack:
        if str(session.store) == "none":  # the cells share pictures for as long as the study runs
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            store = Store(folder, session.store_limit)
        else:
            store = make_store(session)
        stack.callback(store.close)
        owner = Owner(
            inputs,
            chosen,
            store,
            make_engine(session),
            name=name,
            encoders=tuple(encoders),
            models=dict(models or {}),
            shadows=dict(shadows or {}),
            checkpoints=tuple(checkpoints),
        )
        return run_axes(owner, axes, Path(output), say)


def run_axes(owner: Owner, axes: Sequence[Axis], output: Path, say: Callable[[str], None]) -> Study:
    """Run axes one after another, and write each down when it is done.

    A run that was killed has written the axes before; the next one reads them from the store. The
    page shows what earlier runs of the same audit wrote into the folder, too.

    Parameters
    ----------
    owner
        Whose model it is.
    axes
        In order.
    output
        Folder, made if it is not there.
    say
        Called with a line as each axis is done.

    Raises
    ------
    InvalidAuditError
        If no axis has a single result.
    SettingError
        If the folder cannot be made.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"output {str(output)!r} cannot be made ({error}): name another folder"
        raise SettingError(msg) from error
    check_matplotlib()
    study = Study(owner.name, output)
    for axis in axes:
        started, before = time.perf_counter(), owner.drawn
        try:
            table = axis.table(owner)
            study.tables[axis.name] = table
        except LeftOut as why:
            study.left_out[axis.name] = why.reason
            say(f"{axis.name}: left out: {why.reason}")
            continue
        table.audit, table.settings = owner.name, _settings_words(owner)
        if table.rows:
            with figure_files(output, axis.name) as figure:
                axis.draw(table, figure)
            table.pictures = axis.pictures(owner, table, output)
        write_tables(table, output)
        owner.forget()
        table.drawn, table.seconds = owner.drawn - before, time.perf_counter() - started
        say(_line(table))
        _write_page(study, owner)
    _write_page(study, owner)
    if not any(table.rows for table in study.tables.values()):
        raise InvalidAuditError(_nothing(study))
    return study


def _line(table: Table) -> str:
    cells = f"{len(table.cells)} cells, {len(table.rows)} results"
    missing = f", {len(table.left_out)} left out" if table.left_out else ""
    return f"{table.axis}: {cells}{missing}, {table.drawn:,} pictures drawn, {table.seconds:,.0f} s"


def _nothing(study: Study) -> str:
    reasons = {f"{name}: {why}" for name, why in study.left_out.items()}
    for name, table in study.tables.items():
        reasons |= {f"{name}, {what}: {why}" for what, why in table.left_out.items()}
    first, *others = sorted(reasons)
    more = f"\n{len(others)} more reasons are in {study.folder / 'index.html'}" if others else ""
    return f"no axis has a result: {first}{more}"


def _write_page(study: Study, owner: Owner) -> None:
    from importlib.metadata import version

    samples, settings = owner.audit().models.samples, _settings_words(owner)
    facts = [
        f"{len(samples.members)} members and {len(samples.non_members)} non-members; "
        f"settings: {settings}.",
        f"Intervals are of {CONFIDENCE:.0%} confidence, each by itself; they say how far chance "
        "reaches in the choice of samples. An audit decides, a study describes.",
        f"Written by privaudit {version('privaudit')}.",
    ]
    title = f"privaudit study of {study.name}"
    names = axis_names()
    known = earlier_tables(study.folder, study.name, names) | study.tables
    tables = {name: known[name] for name in names if name in known}
    write_page(study.folder, title, facts, settings, tables, study.left_out)


def _settings_words(owner: Owner) -> str:
    settings = owner.settings
    changed = {n: v for n, v in settings.values().items() if settings.source(n) != "default"}
    return ", ".join(f"{name} = {value}" for name, value in changed.items()) or "the defaults"
