"""``checkpoints``: what a training run saved along the way, to parametrize an audit with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.errors import CheckpointError, GeneratorError
from privaudit.runs.layouts import Found, Unit, find_checkpoints, recorded_base

if TYPE_CHECKING:
    from collections.abc import Mapping

    from privaudit.targets import SavedPipeline

__all__ = ["Checkpoint", "checkpoints"]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """One checkpoint of a training run, which is not loaded yet.

    Attributes
    ----------
    run
        The run's folder, as it was given.
    name
        The checkpoint's folder or file; ``"final"`` for the weights in the run's own folder.
    step
        Steps, or epochs, trained; ``None`` where nothing tells: the end of the run.
    unit
        ``"step"`` or ``"epoch"``.
    place
        Among the checkpoints of the run, from 0.
    problem
        Why it cannot be loaded, as far as names and headers tell.
    """

    run: str
    name: str
    step: int | None
    unit: Unit
    place: int
    problem: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def __name__(self) -> str:  # by which pytest names a parameter
        return self.name

    def load(self) -> SavedPipeline:
        """Return the checkpoint as a target, which is loaded when it must draw.

        Raises
        ------
        GeneratorError
            If it cannot be loaded, as far as names and headers tell.
        """
        if self.problem:
            msg = f"{self.name} of {self.run} does not load: {self.problem}"
            raise GeneratorError(msg)
        from privaudit.targets import SavedPipeline

        return SavedPipeline(**self.arguments)


def checkpoints(
    run: str | Path,
    base: str | Path | None = None,
    *,
    name: str | None = None,
    **loading: Any,
) -> list[Checkpoint]:
    """List the checkpoints of a training run, to parametrize an audit with them.

    Parametrize ``target_model`` with them, ``@pytest.mark.parametrize("target_model",
    checkpoints(…))``: each checkpoint is then an audit of its own, and one model is loaded at a
    time.

    Parameters
    ----------
    run
        The folder that the trainer wrote: with ``checkpoint-N`` folders (diffusers, SimpleTuner,
        peft; adapters, U-Nets, transformers or whole pipelines), or files named as kohya's and
        ai-toolkit's trainers name them.
    base
        Folder of the pipeline that was fine-tuned. Checkpoints that are whole pipelines need
        none, and peft's may name it themselves.
    name
        Where one folder has the files of several runs: what stands before the number.
    **loading
        Passed on to :class:`privaudit.SavedPipeline`, such as ``device="cuda"``.

    Returns
    -------
    list of Checkpoint
        In the order of training; final weights without a number are last.

    Raises
    ------
    CheckpointError
        If there is no checkpoint, or the base is not known. One that does not load is an error
        of its own audit, and of no other.

    Examples
    --------
    In the folder of this repository:

    >>> import shutil, tempfile
    >>> temporary = tempfile.TemporaryDirectory()
    >>> for step in (1000, 500):
    ...     _ = shutil.copytree("audits/models/shadow", f"{temporary.name}/checkpoint-{step}")
    >>> run = checkpoints(temporary.name, base="audits/models/base")
    >>> [(checkpoint.name, checkpoint.step) for checkpoint in run]
    [('checkpoint-500', 500), ('checkpoint-1000', 1000)]
    >>> temporary.cleanup()
    """
    found = find_checkpoints(Path(run), name)
    listed = []
    for place, one in enumerate(found):
        arguments = {**one.parts, **loading}
        if "base" not in arguments and not one.problem:
            arguments["base"] = base or _own_base(run, one)
        listed.append(
            Checkpoint(
                run=str(run),
                name=one.name,
                step=one.step,
                unit=one.unit,
                place=place,
                problem=one.problem,
                arguments=arguments,
            )
        )
    return listed


def _own_base(run: str | Path, found: Found) -> str:
    named = recorded_base(found)
    if named is not None and Path(named).exists():
        return named
    also = f" (it names {named!r}, which is no folder here)" if named else ""
    msg = (
        f"{found.name} of {run} is a part of a pipeline, and nothing says of which{also}: name the "
        "folder that it was fine-tuned from, checkpoints(run, base=…)"
    )
    raise CheckpointError(msg)
