"""Going on with a fine-tune that was stopped, from the newest checkpoint that is whole.

Beside the weights that a checkpoint holds for everybody else, it holds all that the next step
depends on: the trained parameters in float32, the optimiser, the schedule, the moving average, what
is left of the epoch and the random draws. An older checkpoint's is deleted: it is large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from privaudit.errors import FineTuneError
from privaudit.training.loop import ShuffledBatches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from privaudit.training.loop import Training

__all__ = ["Progress"]

STATE_FILE = "privaudit_training_state.pt"


class Progress:
    """Where a fine-tune is, written into its checkpoints and read from the newest of them.

    Parameters
    ----------
    folder, every
        Where the checkpoints are, and the steps from one to the next.
    identity
        A hash of all that decides what the training does: base, samples and recipe.
    training
        What is trained.
    batches
        Where its batches come from. What is left of an epoch is kept; under DP-SGD there is none,
        and batches are drawn anew.
    """

    def __init__(
        self,
        folder: Path,
        every: int,
        identity: str,
        training: Training,
        batches: Iterator[torch.Tensor],
    ) -> None:
        self._folder, self._every, self._identity = folder, every, identity
        self._training = training
        self._batches = batches if isinstance(batches, ShuffledBatches) else None

    def took_step(self) -> None:
        """Write a checkpoint if it is time for one."""
        if len(self._training.losses) % self._every == 0:
            self.save()

    def save(self) -> None:
        """Write a checkpoint, after as many steps as were taken: first the weights, as
        :meth:`privaudit.diffusion.fine_tuned.FineTuned.save` does, then all else.
        """  # noqa: D205
        training = self._training
        into = self._folder / f"checkpoint-{len(training.losses)}"
        with training.averaged():
            training.so_far().save(into)
        # Renamed when it is whole: a kill leaves a checkpoint without it, and an older one with it.
        unfinished = into / f"{STATE_FILE}.unfinished"
        torch.save(self._state(), unfinished)
        unfinished.replace(into / STATE_FILE)
        for other in self._folder.glob(f"checkpoint-*/{STATE_FILE}"):
            if other.parent != into:
                other.unlink()

    def restore(self) -> None:
        """Go to where the newest checkpoint was written; nowhere, if none says how to go on.

        Raises
        ------
        FineTuneError
            If it cannot be read, or is of another training.
        """
        found = sorted(self._folder.glob(f"checkpoint-*/{STATE_FILE}"), key=_n_steps)
        if not found:
            return
        file = found[-1]
        try:
            # Tensors, numbers and texts alone: no code is run.
            state = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever half a file makes it raise
            msg = (
                f"{file} cannot be read ({type(error).__name__}): delete it to go on from an older "
                "checkpoint, or train from the beginning with resume=False"
            )
            raise FineTuneError(msg) from error
        if state["identity"] != self._identity:
            msg = (
                f"{file} is of another training: another base, other samples, or other arguments\n"
                "give this one a folder of its own, or train from the beginning with resume=False"
            )
            raise FineTuneError(msg)
        self._take(state)

    def _state(self) -> dict[str, Any]:
        training, batches = self._training, self._batches
        return {
            "identity": self._identity,
            "losses": list(training.losses),
            "parameters": [p.detach().cpu() for p in training.parameters],
            "optimizer": training.optimizer.state_dict(),
            "schedule": training.schedule.state_dict(),
            "scaler": training.scaler.state_dict(),
            "average": None if training.average is None else training.average.state_dict(),
            "left": None if batches is None else batches.left,
            "draws": training.draws.get_state(),
            # Not the draws of noise and of batches under DP-SGD: who knows them can undo them.
            "spent": None if training.private is None else training.private.history(),
        }

    def _take(self, state: dict[str, Any]) -> None:
        training = self._training
        with torch.no_grad():
            for parameter, value in zip(training.parameters, state["parameters"], strict=True):
                parameter.copy_(value)
        training.losses = list(state["losses"])
        training.optimizer.load_state_dict(state["optimizer"])
        training.schedule.load_state_dict(state["schedule"])
        training.scaler.load_state_dict(state["scaler"])
        if training.average is not None:
            training.average.load_state_dict(state["average"])
            training.average.to(device=training.parameters[0].device)
        if self._batches is not None:
            self._batches.left = state["left"]
        training.draws.set_state(state["draws"])
        if training.private is not None:
            training.private.resume(state["spent"])


def _n_steps(file: Path) -> int:
    number = file.parent.name.rpartition("-")[2]
    return int(number) if number.isdigit() else 0
