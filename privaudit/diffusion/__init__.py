"""All that knows the inside of a denoiser."""
