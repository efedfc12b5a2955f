"""All modules of the zoo that build pipelines."""

from tests.zoo import cascades, flux, kandinsky, mixtures, newest, older, pixart, stable_diffusion  # noqa: F401
from tests.zoo.registry import ZOO

__all__ = ["ZOO"]
