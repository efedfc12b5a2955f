"""One audit: what is asked, what is concluded, what is written down."""

from __future__ import annotations

from privaudit.audit.audit import Audit
from privaudit.audit.inputs import AuditInputs
from privaudit.audit.plan import Estimate
from privaudit.audit.run import compare, run_audit

__all__ = ["Audit", "AuditInputs", "Estimate", "compare", "run_audit"]
