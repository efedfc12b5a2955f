"""Shared by tests/ and audits/: nothing here but what both need."""

pytest_plugins = ["pytester"]
