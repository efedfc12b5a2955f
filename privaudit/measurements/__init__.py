"""What is measured of a sample on a target."""
