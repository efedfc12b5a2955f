"""What an audit found, as plain values."""
