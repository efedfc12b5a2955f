"""What tests share: real and small pipelines, encoders, audit files."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
AUDITS = ROOT / "audits"
