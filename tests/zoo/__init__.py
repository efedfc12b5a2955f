"""Tiny random pipelines of every text-to-image class of diffusers that can be built from a configuration."""
