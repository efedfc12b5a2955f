"""One audit: what is asked, what is concluded, what is written down."""

from __future__ import annotations

from privaudit.audit.audit import Audit
from privaudit.audit.estimate import Estimate
from privaudit.audit.inputs import AuditInputs
from privaudit.audit.releases import compare
from privaudit.audit.run import run_audit

__all__ = ["Audit", "AuditInputs", "Estimate", "compare", "run_audit"]
