"""Training runs: their checkpoints, and the search for the last one within a budget.

Nothing heavy is imported until a checkpoint is loaded: an audit file lists a run while pytest
collects.
"""

from __future__ import annotations

from privaudit.runs.checkpoints import Checkpoint, checkpoints
from privaudit.runs.search import last_within, most_looks

__all__ = ["Checkpoint", "checkpoints", "last_within", "most_looks"]
