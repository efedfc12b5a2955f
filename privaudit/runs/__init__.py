"""Training runs: the checkpoints that a trainer saved along the way.

Nothing heavy is imported until a checkpoint is loaded: an audit file lists a run while pytest
collects.
"""

from __future__ import annotations

from privaudit.runs.checkpoints import Checkpoint, checkpoints
from privaudit.runs.layouts import parts_of

__all__ = ["Checkpoint", "checkpoints", "parts_of"]
