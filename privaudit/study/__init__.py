"""The paper's whole study, on anyone's model: axes over one audit's inputs, a file each."""

from __future__ import annotations

from privaudit.study.run import Study, run_axes, run_study

__all__ = ["Study", "run_axes", "run_study"]
