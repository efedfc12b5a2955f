"""What an audit found, as typed, plain values that are written as JSON and read again."""

from __future__ import annotations

from privaudit.record.audit import AuditRecord, Images, NotCompleted, Provenance, SampleSet
from privaudit.record.baseline import BASELINE_VERSION, Baseline, BaselineResult, read_baseline
from privaudit.record.comparison import BaselineUsed, Comparison
from privaudit.record.ids import hash_ids
from privaudit.record.log import RecordLog
from privaudit.record.result import AttackResult
from privaudit.record.run import CheckpointName, RunRecord, RunStep, runs_of
from privaudit.record.session import SCHEMA_VERSION, SessionRecord, read_json, write_json
from privaudit.record.validity import BlindBaseline, BlindFinding, Conduct, NearDuplicate, Validity
from privaudit.record.values import (
    Answers,
    Chance,
    Claim,
    Counts,
    DetectableAUC,
    EpsilonBound,
    ExposedMember,
    GroupAUC,
    Interval,
    NearCopies,
    OperatingPoint,
    Rate,
    SequentialPath,
    SequentialStep,
    TprBudget,
)

__all__ = [
    "BASELINE_VERSION",
    "SCHEMA_VERSION",
    "Answers",
    "AttackResult",
    "AuditRecord",
    "Baseline",
    "BaselineResult",
    "BaselineUsed",
    "BlindBaseline",
    "BlindFinding",
    "Chance",
    "CheckpointName",
    "Claim",
    "Comparison",
    "Conduct",
    "Counts",
    "DetectableAUC",
    "EpsilonBound",
    "ExposedMember",
    "GroupAUC",
    "Images",
    "Interval",
    "NearCopies",
    "NearDuplicate",
    "NotCompleted",
    "OperatingPoint",
    "Provenance",
    "Rate",
    "RecordLog",
    "RunRecord",
    "RunStep",
    "SampleSet",
    "SequentialPath",
    "SequentialStep",
    "SessionRecord",
    "TprBudget",
    "Validity",
    "hash_ids",
    "read_baseline",
    "read_json",
    "runs_of",
    "write_json",
]
