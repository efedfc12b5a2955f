"""Wing: fine-tuning of text-to-image pipelines, with DP-SGD, and a check of DP-SGD loops."""

from __future__ import annotations

from privaudit.diffusion.fine_tuned import FineTuned
from privaudit.training.dp_sgd import DifferentialPrivacy
from privaudit.training.dp_wiring import WiringFault, check_dp_sgd
from privaudit.training.fine_tuning import FineTune, finetune

__all__ = [
    "DifferentialPrivacy",
    "FineTune",
    "FineTuned",
    "WiringFault",
    "check_dp_sgd",
    "finetune",
]
