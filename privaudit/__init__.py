"""privaudit: membership-inference audits of fine-tuned text-to-image models, in pytest.

Names are loaded when they are first used, so that pytest can load the plugin without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from privaudit.audit import Audit, AuditInputs, run_audit
    from privaudit.captioners import RetrievalCaptioner, finetune_captioner, load_captioner
    from privaudit.diffusion.dp_sgd import DifferentialPrivacy
    from privaudit.diffusion.fine_tuning import finetune
    from privaudit.encoders import load_encoder
    from privaudit.errors import PrivauditError
    from privaudit.plugin import (
        AuditInconclusive,
        AuditInvalid,
        PrivacyBudgetExceeded,
        PrivacyClaimExceeded,
    )
    from privaudit.record import AttackResult, AuditRecord, Claim, SessionRecord
    from privaudit.samples import CoinSplit, Sample, load_samples, split_by_coin
    from privaudit.settings import AuditSettings
    from privaudit.targets import (
        MemorizingTarget,
        ObliviousTarget,
        PipelineTarget,
        SavedPipeline,
        load_pipeline,
    )

__all__ = [
    "AttackResult",
    "Audit",
    "AuditInconclusive",
    "AuditInputs",
    "AuditInvalid",
    "AuditRecord",
    "AuditSettings",
    "Claim",
    "CoinSplit",
    "DifferentialPrivacy",
    "MemorizingTarget",
    "ObliviousTarget",
    "PipelineTarget",
    "PrivacyBudgetExceeded",
    "PrivacyClaimExceeded",
    "PrivauditError",
    "RetrievalCaptioner",
    "Sample",
    "SavedPipeline",
    "SessionRecord",
    "finetune",
    "finetune_captioner",
    "load_captioner",
    "load_encoder",
    "load_pipeline",
    "load_samples",
    "run_audit",
    "split_by_coin",
]

_HOMES = {
    "AttackResult": "privaudit.record",
    "Audit": "privaudit.audit",
    "AuditInconclusive": "privaudit.plugin",
    "AuditInputs": "privaudit.audit",
    "AuditInvalid": "privaudit.plugin",
    "AuditRecord": "privaudit.record",
    "AuditSettings": "privaudit.settings",
    "Claim": "privaudit.record",
    "CoinSplit": "privaudit.samples",
    "DifferentialPrivacy": "privaudit.diffusion.dp_sgd",
    "MemorizingTarget": "privaudit.targets",
    "ObliviousTarget": "privaudit.targets",
    "PipelineTarget": "privaudit.targets",
    "PrivacyBudgetExceeded": "privaudit.plugin",
    "PrivacyClaimExceeded": "privaudit.plugin",
    "PrivauditError": "privaudit.errors",
    "RetrievalCaptioner": "privaudit.captioners",
    "Sample": "privaudit.samples",
    "SavedPipeline": "privaudit.targets",
    "SessionRecord": "privaudit.record",
    "finetune": "privaudit.diffusion.fine_tuning",
    "finetune_captioner": "privaudit.captioners",
    "load_captioner": "privaudit.captioners",
    "load_encoder": "privaudit.encoders",
    "load_pipeline": "privaudit.targets",
    "load_samples": "privaudit.samples",
    "run_audit": "privaudit.audit",
    "split_by_coin": "privaudit.samples",
}


def __getattr__(name: str) -> Any:
    """Import a public name, or a submodule, when it is first used (PEP 562)."""
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    try:
        return importlib.import_module(f"privaudit.{name}")
    except ModuleNotFoundError as error:
        message = f"module 'privaudit' has no attribute {name!r}"
        raise AttributeError(message) from error


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
