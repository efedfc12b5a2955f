"""The list of settings: their names, defaults, allowed values and help.

Pytest imports this at every start, audits or none, and is allowed 2 ms with all the rest of the
plugin: no dataclass is made here.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.attacks.registry import default_names, names

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OPTIONS", "Option"]

DEFAULT_ENCODER = "facebook/deit-base-distilled-patch16-384"
"""The encoder of the paper's reference implementation."""


class Option:
    """One setting.

    Parameters
    ----------
    name
        Its name in the marker and in the settings; ``--privaudit-name`` on the command line
        and ``privaudit_name`` in an ini file are made from it.
    parse
        From a string, or a plain Python value, to the checked value.
    default
        The value when nobody says anything.
    help
        One line for ``pytest --help``.
    aliases
        Further spellings on the command line and in the marker.
    in_audit
        Whether it belongs to an audit, which may set it for itself; otherwise to the session.
    in_ini
        Whether a project may set it for good.
    switch
        Whether the command line takes it without a value.
    unset
        What the absence of a value means, where the default is ``None``.
    """

    def __init__(
        self,
        name: str,
        parse: Callable[[Any], Any],
        default: Any,
        help: str,  # noqa: A002  # as argparse and pytest call it
        aliases: tuple[str, ...] = (),
        *,
        in_audit: bool = True,
        in_ini: bool = True,
        switch: bool = False,
        unset: str = "",
    ) -> None:
        self.name, self.parse, self.default, self.help = name, parse, default, help
        self.aliases, self.switch, self.unset = aliases, switch, unset
        self.in_audit, self.in_ini = in_audit, in_ini

    @property
    def names(self) -> tuple[str, ...]:
        """The name, then its aliases."""
        return (self.name, *self.aliases)

    @property
    def flags(self) -> tuple[str, ...]:
        """Spellings on the command line."""
        return tuple(f"--privaudit-{name.replace('_', '-')}" for name in self.names)

    @property
    def shown_default(self) -> str:
        """The default, as ``--help`` and the docs show it."""
        if self.unset:
            return self.unset
        if isinstance(self.default, tuple):
            return ",".join(self.default)
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        if self.parse is _size:
            return f"{self.default // 10**9}GB"
        return str(self.default)


def _number(
    low: float, high: float, *, open_low: bool = False, open_high: bool = False
) -> Callable[[Any], float]:
    def parse(given: Any) -> float:
        value = float(given)
        inside = (value > low if open_low else value >= low) and (
            value < high if open_high else value <= high
        )
        if isinstance(given, bool) or not math.isfinite(value) or not inside:
            bounds = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
            msg = f"must be a number in {bounds}"
            raise ValueError(msg)
        return value

    return parse


def _whole(low: int) -> Callable[[Any], int]:
    def parse(given: Any) -> int:
        value = int(str(given))
        if value < low:
            msg = f"must be a whole number from {low}"
            raise ValueError(msg)
        return value

    return parse


def _choice(*choices: str) -> Callable[[Any], str]:
    def parse(given: Any) -> str:
        if given not in choices:
            msg = f"must be one of {', '.join(choices)}"
            raise ValueError(msg)
        return str(given)

    return parse


def _several(*choices: str, prefix: str = "") -> Callable[[Any], tuple[str, ...]]:
    def parse(given: Any) -> tuple[str, ...]:
        parts = given.split(",") if isinstance(given, str) else list(given)
        names = {str(part).strip().removeprefix(prefix) for part in parts}
        if not names or not names <= set(choices):
            msg = f"must be a comma-separated list of {', '.join(choices)}"
            raise ValueError(msg)
        return tuple(choice for choice in choices if choice in names)

    return parse


def _batch_size(given: Any) -> int | None:
    return None if given == "auto" else _whole(1)(given)


def _size(given: Any) -> int | None:
    """Read bytes, with a decimal unit or none."""
    text = str(given).strip().upper().removesuffix("B")
    if text == "NONE":
        return None
    units = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
    factor = units.get(text[-1:], 1)
    value = float(text[:-1] if factor > 1 else text) * factor
    if not math.isfinite(value) or value < 1:
        msg = "must be a size from 1 byte, such as 20GB, or none"
        raise ValueError(msg)
    return int(value)


def _calibration(given: Any) -> float:
    value = float(given)
    if not math.isfinite(value) or value <= 0 or (value >= 1 and value != int(value)):
        msg = "must be a share in (0, 1), or a whole number of members from 1"
        raise ValueError(msg)
    return value


def _text(given: Any) -> str:
    if not isinstance(given, str) or not given.strip():
        msg = "must not be empty"
        raise ValueError(msg)
    return given


def _path(given: Any) -> Path:
    return Path(_text(str(given))).expanduser()


def _flag(given: Any) -> bool:
    known = {"true": True, "1": True, "yes": True, "on": True}
    known |= {"false": False, "0": False, "no": False, "off": False}
    if str(given).lower() not in known:
        msg = "must be true or false"
        raise ValueError(msg)
    return known[str(given).lower()]


OPTIONS: tuple[Option, ...] = (
    Option(
        "budget",
        _number(0.5, 1, open_low=True),
        0.6,
        "largest ROC-AUC accepted, in (0.5, 1]",
        aliases=("max_auc",),
    ),
    Option(
        "scenarios",
        _several("I", "II", "III", "IV", prefix="attack-"),
        ("I", "II", "III", "IV"),
        "attack scenarios to run, such as I,III",
    ),
    Option(
        "attacks",
        _several(*names()),
        default_names(),
        f"inference models to run, a comma-separated list of {', '.join(names())}",
    ),
    Option("queries", _whole(1), 3, "images generated per sample (m)"),
    Option(
        "num_inference_steps",
        _whole(1),
        None,
        "denoising steps of a diffusers pipeline",
        aliases=("steps",),
        unset="the pipeline's own",
    ),
    Option(
        "guidance_scale",
        _number(0, 1000),
        None,
        "classifier-free guidance of a diffusers pipeline",
        unset="the pipeline's own",
    ),
    Option("seed", _whole(0), 0, "seed of the audit: queries, splits and classifiers"),
    Option(
        "similarity",
        _choice("cosine", "euclidean", "manhattan", "hamming"),
        "cosine",
        "cosine, euclidean, manhattan or hamming",
    ),
    Option(
        "similarity_axis",
        _choice("channel", "token"),
        "token",
        "one similarity per token (patch-wise), or one per channel",
    ),
    Option(
        "aggregation",
        _choice("mean", "median", "max", "min"),
        "mean",
        "of the m similarities of a sample: mean, median, max or min",
    ),
    Option(
        "encoder",
        _text,
        DEFAULT_ENCODER,
        "image encoder: a transformers, open_clip:… or timm:… model, by hub name or folder",
    ),
    Option(
        "batch_size",
        _batch_size,
        None,
        "queries in one call of the target",
        unset="auto: found while they are answered",
    ),
    Option(
        "scheduler",
        _text,
        None,
        "scheduler of a diffusers pipeline, by its class",
        unset="the pipeline's",
    ),
    Option(
        "dtype",
        _choice("float32", "float16", "bfloat16"),
        None,
        "cast a diffusers pipeline: float32, float16 or bfloat16",
        unset="the pipeline's",
    ),
    Option(
        "channels_last",
        _flag,
        default=False,
        help="keep a diffusers pipeline's convolutions in channels-last memory format",
        switch=True,
    ),
    Option(
        "compile",
        _flag,
        default=False,
        help="compile a diffusers pipeline's denoiser with torch.compile",
        switch=True,
    ),
    Option(
        "calibration",
        _calibration,
        0.5,
        "members the attacker knows in scenarios I and II: a share, or a number",
    ),
    Option(
        "gate",
        _choice("point", "evidence", "certify"),
        "point",
        "point: red when the AUC is over the budget, as that of a clean model may be by chance; "
        "evidence: red when that is shown, so a leak may pass unshown; certify: green when the "
        "upper bound is within the budget, so a clean model may be red",
    ),
    Option(
        "confidence",
        _number(0.5, 1, open_high=True),
        0.95,
        "of all intervals of an audit together, in [0.5, 1)",
    ),
    Option(
        "interval",
        _choice("delong", "bootstrap"),
        "delong",
        "kind of AUC interval: delong or bootstrap",
    ),
    Option(
        "sequential",
        _flag,
        default=False,
        help="query in small chunks and stop as soon as the gate can decide",
        switch=True,
    ),
    Option(
        "base_calibration",
        _flag,
        default=True,
        help="let inference models that can (combined) read what the base model answers, where "
        "that model is known; it is asked as many images as the target, which are kept",
    ),
    Option(
        "blind_limit",
        _number(0.5, 1),
        0.55,
        "an audit is invalid if members can be told from non-members without the model, with "
        "an AUC above this",
    ),
    Option(
        "duplicate_limit",
        _number(0, 2),
        0.95,
        "centred cosine from which two images of different sets count as the same; above 1: never",
    ),
    Option(
        "json",
        _path,
        None,
        "write the records of all audits to this JSON file",
        in_audit=False,
        unset="none is written",
    ),
    Option(
        "store",
        _path,
        None,
        "folder that keeps generated images between runs; 'none' keeps nothing",
        in_audit=False,
        unset="the per-user cache",
    ),
    Option(
        "store_limit",
        _size,
        20 * 10**9,
        "size that the store may take, such as 20GB; the longest unused images go first",
        in_audit=False,
    ),
    Option(
        "engine",
        _choice("local", "ray"),
        "local",
        "where images are generated: local (this process) or ray (a cluster; extra 'ray')",
        in_audit=False,
    ),
    Option(
        "ray_address",
        _text,
        None,
        "address of a running Ray cluster",
        in_audit=False,
        unset="$RAY_ADDRESS, or a cluster started here",
    ),
    Option(
        "ray_workers",
        _whole(1),
        None,
        "workers of the ray engine",
        in_audit=False,
        unset="one for each GPU of the cluster, or each CPU",
    ),
    Option(
        "plan",
        _flag,
        default=False,
        help="show what would be generated, and for how long, and stop",
        in_audit=False,
        in_ini=False,
        switch=True,
    ),
    Option(
        "strict",
        _flag,
        default=False,
        help="fail, not skip, what lacks a fixture; fail a session that completed no audit",
        in_audit=False,
        switch=True,
    ),
)
"""Every setting."""
