"""privaudit: membership-inference audits of fine-tuned text-to-image models, in pytest.

Names are loaded when they are first used, so that pytest can load the plugin without torch.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from privaudit.audit import Audit, AuditInputs, compare, run_audit
    from privaudit.captioners import RetrievalCaptioner, finetune_captioner, load_captioner
    from privaudit.encoders import load_encoder
    from privaudit.errors import PrivauditError
    from privaudit.plugin.failures import (
        AuditInconclusive,
        AuditInvalid,
        PrivacyBudgetExceeded,
        PrivacyClaimExceeded,
        PrivacyRegression,
    )
    from privaudit.record import AttackResult, AuditRecord, Claim, SessionRecord
    from privaudit.runs import Checkpoint, checkpoints
    from privaudit.samples import (
        Canaries,
        CoinSplit,
        Sample,
        load_samples,
        make_canaries,
        split_by_coin,
    )
    from privaudit.settings import AuditSettings
    from privaudit.study import run_study
    from privaudit.targets import (
        MemorizingTarget,
        ObliviousTarget,
        PictureFolder,
        PipelineTarget,
        SavedPipeline,
        load_pipeline,
    )
    from privaudit.targets.dialects import Automatic1111, ComfyUI, JSONTemplate, OpenAIImages
    from privaudit.targets.endpoint import Endpoint
    from privaudit.training import DifferentialPrivacy, FineTune, check_dp_sgd, finetune

__all__ = [
    "AttackResult",
    "Audit",
    "AuditInconclusive",
    "AuditInputs",
    "AuditInvalid",
    "AuditRecord",
    "AuditSettings",
    "Automatic1111",
    "Canaries",
    "Checkpoint",
    "Claim",
    "CoinSplit",
    "ComfyUI",
    "DifferentialPrivacy",
    "Endpoint",
    "FineTune",
    "JSONTemplate",
    "MemorizingTarget",
    "ObliviousTarget",
    "OpenAIImages",
    "PictureFolder",
    "PipelineTarget",
    "PrivacyBudgetExceeded",
    "PrivacyClaimExceeded",
    "PrivacyRegression",
    "PrivauditError",
    "RetrievalCaptioner",
    "Sample",
    "SavedPipeline",
    "SessionRecord",
    "check_dp_sgd",
    "checkpoints",
    "compare",
    "finetune",
    "finetune_captioner",
    "load_captioner",
    "load_encoder",
    "load_pipeline",
    "load_samples",
    "make_canaries",
    "run_audit",
    "run_study",
    "split_by_coin",
]

_HOMES = {
    "OpenAIImages": "privaudit.targets.dialects",
    "JSONTemplate": "privaudit.targets.dialects",
    "Endpoint": "privaudit.targets.endpoint",
    "ComfyUI": "privaudit.targets.dialects",
    "Automatic1111": "privaudit.targets.dialects",
    "AttackResult": "privaudit.record",
    "Audit": "privaudit.audit",
    "AuditInconclusive": "privaudit.plugin.failures",
    "AuditInputs": "privaudit.audit",
    "AuditInvalid": "privaudit.plugin.failures",
    "AuditRecord": "privaudit.record",
    "AuditSettings": "privaudit.settings",
    "Claim": "privaudit.record",
    "FineTune": "privaudit.training",
    "Canaries": "privaudit.samples",
    "Checkpoint": "privaudit.runs",
    "CoinSplit": "privaudit.samples",
    "DifferentialPrivacy": "privaudit.training",
    "MemorizingTarget": "privaudit.targets",
    "ObliviousTarget": "privaudit.targets",
    "PictureFolder": "privaudit.targets",
    "PipelineTarget": "privaudit.targets",
    "PrivacyBudgetExceeded": "privaudit.plugin.failures",
    "PrivacyClaimExceeded": "privaudit.plugin.failures",
    "PrivacyRegression": "privaudit.plugin.failures",
    "PrivauditError": "privaudit.errors",
    "RetrievalCaptioner": "privaudit.captioners",
    "Sample": "privaudit.samples",
    "SavedPipeline": "privaudit.targets",
    "SessionRecord": "privaudit.record",
    "check_dp_sgd": "privaudit.training",
    "checkpoints": "privaudit.runs",
    "compare": "privaudit.audit",
    "finetune": "privaudit.training",
    "finetune_captioner": "privaudit.captioners",
    "load_captioner": "privaudit.captioners",
    "load_encoder": "privaudit.encoders",
    "load_pipeline": "privaudit.targets",
    "load_samples": "privaudit.samples",
    "run_audit": "privaudit.audit",
    "run_study": "privaudit.study",
    "make_canaries": "privaudit.samples",
    "split_by_coin": "privaudit.samples",
}


def __getattr__(name: str) -> Any:
    """Import a public name, or a submodule, when it is first used (PEP 562).

    Raises
    ------
    AttributeError
        If there is no such name.
    MissingExtraError
        If there is, and a package that it needs is missing.
    """
    home = _HOMES.get(name, f"privaudit.{name}")
    if name not in _HOMES and (name.startswith("__") or importlib.util.find_spec(home) is None):
        message = f"module 'privaudit' has no attribute {name!r}"
        raise AttributeError(message)
    try:
        module = importlib.import_module(home)
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "privaudit"):
            raise  # a fault of ours, of which no installation rids anybody
        from privaudit.errors import EXTRAS, MissingExtraError

        why = None if isinstance(error, ModuleNotFoundError) else str(error)
        raise MissingExtraError(f"privaudit.{name}", package, EXTRAS.get(package), why) from error
    value = getattr(module, name) if name in _HOMES else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
