"""Reports: each renders the same log of audits, so that none can disagree with another."""
