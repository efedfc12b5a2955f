"""The checks that can make a result invalid."""
