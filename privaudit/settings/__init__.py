"""Every setting, and how it is resolved."""
