"""Reports: each renders the same records, so that none can disagree with another."""
