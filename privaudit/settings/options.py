"""The list of settings: their names, defaults, allowed values and help.

Pytest imports this at every start, in 2 ms with all the rest of the plugin: no dataclass is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from privaudit.attacks.registry import RELEASES, default_names, names, white_box_names
from privaudit.settings import parsers

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
    argument
        What the marker, and functions, call it, where that is another name.
    in_audit
        Whether it belongs to an audit, which may set it for itself; otherwise to the session.
    in_ini
        Whether a project may set it for good.
    in_code_only
        Whether markers and functions alone may set it: a study varies it, or other values of it
        only loosen an audit.
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
        argument: str = "",
        *,
        in_audit: bool = True,
        in_ini: bool = True,
        in_code_only: bool = False,
        switch: bool = False,
        unset: str = "",
    ) -> None:
        self.name, self.parse, self.default, self.help = name, parse, default, help
        self.argument, self.switch, self.unset = argument or name, switch, unset
        self.in_audit, self.in_code_only = in_audit, in_code_only
        self.in_ini = in_ini and not in_code_only

    @property
    def flag(self) -> str:
        """Its spelling on the command line."""
        return f"--privaudit-{self.name.replace('_', '-')}"

    @property
    def is_path(self) -> bool:
        """Whether its value is a path."""
        return self.parse in (parsers.path, parsers.file, parsers.folder_or_none)

    @property
    def shown_default(self) -> str:
        """The default, as ``--help`` and the docs show it."""
        if self.unset:
            return self.unset
        if isinstance(self.default, tuple):
            return ",".join(self.default)
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        if self.parse is parsers.size:
            return f"{self.default // 10**9}GB"
        return str(self.default)


OPTIONS: tuple[Option, ...] = (
    Option(
        "budget",
        parsers.number(0.5, 1, open_low=True),
        0.6,
        "largest ROC-AUC accepted, in (0.5, 1]",
        argument="max_auc",
    ),
    Option(
        "max_tpr",
        parsers.share_at,
        None,
        "largest share of members that may be found, at a false positive rate: 0.05@0.01, which "
        "needs 99 calibration non-members",
        unset="no limit",
    ),
    Option(
        "at_fpr",
        parsers.number(0, 1, open_low=True, open_high=True),
        0.01,
        "false positive rate at which max_tpr holds; 0.01 needs 99 calibration non-members",
        in_code_only=True,
    ),
    Option(
        "scenarios",
        parsers.several("I", "II", "III", "IV", prefix="attack-"),
        ("I", "II", "III", "IV"),
        "attack scenarios to run, such as I,III",
    ),
    Option(
        "attacks",
        parsers.several(*names()),
        default_names(),
        f"inference models to run, a comma-separated list of {', '.join(names())}",
    ),
    Option(
        "white_box",
        parsers.several(*white_box_names(), none=True),
        (),
        f"attacks of who has the weights, to run too: a list of {', '.join(white_box_names())}",
        unset="none",
    ),
    Option(
        "img2img",
        parsers.flag,
        False,
        "also hand each sample in as a picture, which decides nothing by itself",
        switch=True,
        in_code_only=True,
    ),
    Option(
        "release",
        parsers.choice(*RELEASES),
        "api",
        "what others get, which decides: api (text in), img2img (a picture in, too) or weights",
    ),
    Option("queries", parsers.whole(1), 3, "images generated per sample (m)"),
    Option(
        "num_inference_steps",
        parsers.whole(1),
        None,
        "denoising steps of a diffusers pipeline",
        unset="the pipeline's own",
    ),
    Option(
        "guidance_scale",
        parsers.number(0, 1000),
        None,
        "classifier-free guidance of a diffusers pipeline",
        unset="the pipeline's own",
    ),
    Option("seed", parsers.whole(0), 0, "seed of the audit: queries, splits and classifiers"),
    Option(
        "similarity",
        parsers.choice("cosine", "euclidean", "manhattan", "hamming"),
        "cosine",
        "cosine, euclidean, manhattan or hamming",
        in_code_only=True,
    ),
    Option(
        "similarity_axis",
        parsers.choice("channel", "token"),
        "token",
        "one similarity per token (patch-wise), or one per channel",
        in_code_only=True,
    ),
    Option(
        "aggregation",
        parsers.choice("mean", "median", "max", "min"),
        "mean",
        "of the m similarities of a sample: mean, median, max or min",
        in_code_only=True,
    ),
    Option(
        "encoder",
        parsers.text,
        DEFAULT_ENCODER,
        "image encoder: a transformers, open_clip:… or timm:… model, by hub name or folder",
    ),
    Option("clip", parsers.text_or_none, None, "CLIP of fsca and combined", unset="none"),
    Option(
        "batch_size",
        parsers.batch_size,
        None,
        "queries in one call of the target",
        unset="auto: found while they are answered",
    ),
    Option(
        "scheduler",
        parsers.text,
        None,
        "scheduler of a diffusers pipeline, by its class",
        unset="the pipeline's",
        in_code_only=True,
    ),
    Option(
        "dtype",
        parsers.choice("float32", "float16", "bfloat16"),
        None,
        "cast a diffusers pipeline: float32, float16 or bfloat16",
        unset="the pipeline's",
        in_code_only=True,
    ),
    Option(
        "channels_last",
        parsers.flag,
        default=False,
        help="keep a diffusers pipeline's convolutions in channels-last memory format",
        switch=True,
        in_code_only=True,
    ),
    Option(
        "compile",
        parsers.flag,
        default=False,
        help="compile a diffusers pipeline's denoiser with torch.compile",
        switch=True,
        in_code_only=True,
    ),
    Option(
        "calibration",
        parsers.calibration,
        0.5,
        "members the attacker knows in scenarios I and II: a share, or a number",
    ),
    Option(
        "protocol",
        parsers.choice("target", "paper"),
        "target",
        "what I and II calibrate on: target (the target itself, on known members) or paper (a "
        "shadow model that fine_tune makes of them, as the paper's attacker has it)",
    ),
    Option(
        "gate",
        parsers.choice("point", "evidence", "certify"),
        "point",
        "point: red when the AUC is over the budget, as that of a clean model may be by chance; "
        "evidence: red when that is shown, so a leak may pass unshown; certify: green when the "
        "upper bound is within the budget, so a clean model may be red",
    ),
    Option(
        "confidence",
        parsers.number(0.5, 1, open_low=True, open_high=True),
        0.95,
        "of all intervals of an audit together, in (0.5, 1)",
    ),
    Option(
        "interval",
        parsers.choice("delong", "bootstrap"),
        "delong",
        "kind of AUC interval: delong or bootstrap",
        in_code_only=True,
    ),
    Option(
        "sequential",
        parsers.flag,
        default=False,
        help="query in small chunks and stop as soon as the gate can decide",
        switch=True,
    ),
    Option(
        "base_calibration",
        parsers.flag,
        default=True,
        help="let inference models that can (combined) read what the base model answers, where "
        "that model is known; it is asked as many images as the target, which are kept",
        in_code_only=True,
    ),
    Option(
        "baseline",
        parsers.place,
        None,
        "file (.json) of an earlier audit to compare with, or folder with one file for each audit",
        unset="nothing is compared",
    ),
    Option(
        "max_rise",
        parsers.number(0, 1, open_high=True),
        None,
        "rise of an AUC over the baseline's that is accepted, by the rule of the gate",
        unset="any rise is red that is shown",
    ),
    Option(
        "baseline_samples",
        parsers.choice("same", "other"),
        "same",
        "same: refuse a baseline of other samples; other: compare with it, which shows less",
        in_code_only=True,
    ),
    Option(
        "blind_limit",
        parsers.number(0.5, 1),
        0.55,
        "AUC up to which members may be told from non-members without the model",
        in_code_only=True,
    ),
    Option(
        "duplicate_limit",
        parsers.number(0, 2),
        0.95,
        "centred cosine from which two images of different sets count as the same; above 1: never",
        in_code_only=True,
    ),
    Option(
        "json",
        parsers.file,
        None,
        "write the records of all audits to this JSON file",
        in_audit=False,
        unset="none is written",
    ),
    Option(
        "record_ids",
        parsers.choice("plain", "hashed"),
        "plain",
        "sample ids in the JSON and MLflow: plain, or hashed with a key of your own",
        in_audit=False,
    ),
    Option(
        "report",
        parsers.file,
        None,
        "write the report of all audits to this HTML file (extra 'report')",
        in_audit=False,
        unset="none is written; with --privaudit-strict, one beside the JSON",
    ),
    Option(
        "history",
        parsers.path,
        None,
        "write a record of the completed audits into this folder, for `privaudit history`",
        in_audit=False,
        unset="none is kept",
    ),
    Option(
        "mlflow",
        parsers.text,
        None,
        "log each completed audit, with sample ids, to this MLflow server, database or folder",
        in_audit=False,
        unset="nothing is logged",
    ),
    Option(
        "store",
        parsers.folder_or_none,
        None,
        "folder that keeps generated images between runs; 'none' keeps nothing",
        in_audit=False,
        unset="the per-user cache",
    ),
    Option(
        "store_limit",
        parsers.size,
        20 * 10**9,
        "size that the store may take, such as 20GB; the longest unused images go first",
        in_audit=False,
    ),
    Option(
        "store_shared",
        parsers.flag,
        default=False,
        help="let others own the store or write to it: whoever can decides verdicts",
        in_audit=False,
        switch=True,
    ),
    Option(
        "engine",
        parsers.engine,
        "local",
        "where images are generated: local (this process), ray (a cluster that $RAY_ADDRESS names, "
        "or one started here) or ray://HOST:PORT; ?workers=4 says how many workers (extra 'ray')",
        in_audit=False,
    ),
    Option(
        "baseline_key",
        parsers.text,
        None,
        "key that sample ids in a baseline are hashed with, 16 characters or more",
        in_audit=False,
        in_code_only=True,
        unset="$PRIVAUDIT_BASELINE_KEY",
    ),
    Option(
        "update_baseline",
        parsers.flag,
        default=False,
        help="write the baselines of all audits of the session; nothing else does",
        in_audit=False,
        in_ini=False,
        switch=True,
    ),
    Option(
        "plan",
        parsers.flag,
        default=False,
        help="show what would be generated, and for how long, and stop",
        in_audit=False,
        in_ini=False,
        switch=True,
    ),
    Option(
        "strict",
        parsers.flag,
        default=False,
        help="fail, not skip, what lacks a fixture; fail a session that completed no audit",
        in_audit=False,
        switch=True,
    ),
)
"""Every setting."""
