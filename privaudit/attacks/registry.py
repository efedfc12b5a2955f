"""The one list of inference models: their names are spelled here and nowhere else.

Pytest imports this when it loads the plugin, audits or none: standard library only.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from privaudit.attacks.base import InferenceModel

__all__ = [
    "ACCESSES",
    "IMAGE_TO_IMAGE",
    "IMG2IMG",
    "REGISTRY",
    "RELEASES",
    "REPORTED",
    "WEIGHTS",
    "WHITE_BOX",
    "Registered",
    "asked_by_access",
    "default_names",
    "image_to_image_names",
    "make_attack",
    "make_with_access",
    "names",
    "position",
    "registered",
    "similarity_names",
    "strongest",
    "white_box_names",
    "with_strongest",
]


class Registered:
    """One inference model of the registry.

    Parameters
    ----------
    name
        What options, test ids, records and reports call it.
    home
        ``module:class``. The class is an :class:`~privaudit.attacks.base.InferenceModel`, made
        with one keyword, ``seed``.
    default
        Whether it is part of an audit unless the settings say otherwise.
    reads_base
        Whether it also reads what the base model answers, where that is known.
    reads_pool
        Whether it compares a sample with all answers, not only with its own.
    needs_pool
        Whether it compares with nothing else, and so cannot do without.
    reads_clip
        Whether it also reads what a CLIP sees, where one is named.
    needs_clip
        Whether it reads nothing else, and so cannot do without.
    is_similarity
        Whether its score is a similarity itself, so that a threshold on it has a meaning of its
        own and can be swept.
    """

    # No NamedTuple: making one takes a third of a millisecond of every pytest's start.
    def __init__(
        self,
        name: str,
        home: str,
        *,
        default: bool,
        reads_base: bool = False,
        reads_pool: bool = False,
        needs_pool: bool = False,
        reads_clip: bool = False,
        needs_clip: bool = False,
        is_similarity: bool = False,
    ) -> None:
        self.name, self.home, self.default = name, home, default
        self.reads_base = reads_base
        self.reads_pool, self.needs_pool = reads_pool or needs_pool, needs_pool
        self.reads_clip, self.needs_clip = reads_clip or needs_clip, needs_clip
        self.is_similarity = is_similarity


REGISTRY: tuple[Registered, ...] = (
    Registered(
        "threshold",
        "privaudit.attacks.threshold:ThresholdAttack",
        default=True,
        is_similarity=True,
    ),
    Registered("distribution", "privaudit.attacks.distribution:DistributionAttack", default=True),
    Registered("classifier", "privaudit.attacks.classifier:ClassifierAttack", default=True),
    Registered(
        "combined",
        "privaudit.attacks.combined:CombinedAttack",
        default=False,
        reads_base=True,
        reads_pool=True,
        reads_clip=True,
    ),
    Registered(
        "monte-carlo",
        "privaudit.study.attacks.monte_carlo:MonteCarloAttack",
        default=False,
        needs_pool=True,
    ),
    Registered(
        "gan-leaks",
        "privaudit.study.attacks.nearest:GanLeaksAttack",
        default=False,
        needs_pool=True,
    ),
    Registered(
        "matsumoto",
        "privaudit.study.attacks.nearest:MatsumotoAttack",
        default=False,
        needs_pool=True,
    ),
    Registered(
        "zhang",
        "privaudit.study.attacks.generated:GeneratedAttack",
        default=False,
        needs_pool=True,
    ),
    Registered(
        "fsca",
        "privaudit.study.attacks.consistency:ConsistencyAttack",
        default=False,
        needs_clip=True,
    ),
)
"""Every inference model, in the order of options, test items and tables."""


def names() -> tuple[str, ...]:
    """Return the names of all inference models, in order.

    Examples
    --------
    >>> from privaudit.attacks import registry
    >>> len(registry.names()) == len(registry.REGISTRY)
    True
    """
    return tuple(entry.name for entry in REGISTRY)


def default_names() -> tuple[str, ...]:
    """Return the names of those that an audit runs unless told otherwise, in order."""
    return tuple(entry.name for entry in REGISTRY if entry.default)


def similarity_names() -> tuple[str, ...]:
    """Return the names of those whose score is a similarity itself, in order."""
    return tuple(entry.name for entry in REGISTRY if entry.is_similarity)


def strongest() -> str:
    """Return the name of the one that sees most in a sample's own answers.

    docs/explanation/strength.md has how much, and on what it was chosen.
    """
    return next(entry.name for entry in REGISTRY if entry.reads_base)


def with_strongest(attacks: Iterable[str]) -> str:
    """Return the option that adds the strongest to those of an audit, in order.

    Examples
    --------
    >>> from privaudit.attacks import registry
    >>> registry.with_strongest(["classifier", "threshold"])
    '--privaudit-attacks=threshold,classifier,combined'
    """
    chosen = {*attacks, strongest()}
    return f"--privaudit-attacks={','.join(name for name in names() if name in chosen)}"


def position(name: str) -> int:
    """Return the place of an inference model in the registry, from 0.

    Raises
    ------
    SettingError
        If the registry has no such name; the message lists those it has.
    """
    if name not in names():
        from privaudit.errors import SettingError

        msg = f"inference model {name!r} is unknown: choose from {', '.join(names())}"
        raise SettingError(msg)
    return names().index(name)


def registered(name: str) -> Registered:
    """Return what the registry says of an inference model.

    Raises
    ------
    SettingError
        If the registry has no such name.

    Examples
    --------
    >>> from privaudit.attacks import registry
    >>> [name for name in registry.names() if registry.registered(name).reads_base]
    ['combined']
    """
    return REGISTRY[position(name)]


def make_attack(name: str, seed: int) -> InferenceModel:
    """Make an unfitted inference model by name.

    Parameters
    ----------
    name
        One of :func:`names`.
    seed
        Seed of whatever is random in its fitting.

    Raises
    ------
    SettingError
        If the registry has no such name.

    Examples
    --------
    >>> from privaudit.attacks import make_attack, registry
    >>> model = make_attack(registry.names()[0], seed=0)
    >>> hasattr(model, "fit") and hasattr(model, "score")
    True
    """
    made: Any = _class_at(REGISTRY[position(name)].home)(seed=seed)
    return made  # type: ignore[no-any-return]


def _class_at(home: str) -> Any:
    """Import the class that ``module:class`` names."""
    module, _, kind = home.partition(":")
    return getattr(importlib.import_module(module), kind)


WHITE_BOX = {
    "denoising": "privaudit.measurements.denoising:DenoisingLoss",
    "pia": "privaudit.measurements.white_box:ProximalInitialization",
    "secmi": "privaudit.measurements.white_box:StepwiseError",
    "sima": "privaudit.measurements.white_box:ScoreNorm",
    "clid": "privaudit.measurements.denoising:ConditionalDiscrepancy",
}
"""Attacks of who has the weights: what each measures of a sample is its score."""
IMAGE_TO_IMAGE = {"variation": "privaudit.measurements.variation:VariationFidelity"}
"""Attacks of who may hand in a picture beside the text, likewise."""
REPORTED = "reported"
"""The verdict on an attack that takes more than what is released."""
IMG2IMG, WEIGHTS = "img2img", "weights"
"""What items, results and records call an attacker who hands pictures in, and one with the weights:
none of the four scenarios."""
ACCESSES = {IMG2IMG: IMAGE_TO_IMAGE, WEIGHTS: WHITE_BOX}
"""Attacks by the access that they take, each with more than the one before."""
RELEASES = ("api", *ACCESSES)
"""What others may be given, from texts in and pictures out upwards."""


def white_box_names() -> tuple[str, ...]:
    """Return the names of the attacks that take the weights, in order."""
    return tuple(WHITE_BOX)


def image_to_image_names() -> tuple[str, ...]:
    """Return the names of the attacks that hand a picture in, in order."""
    return tuple(IMAGE_TO_IMAGE)


def asked_by_access(
    white_box: Sequence[str], img2img: bool, release: str
) -> dict[str, tuple[str, ...]]:
    """Return the attacks that are run with each access; of released weights at least one.

    Parameters
    ----------
    white_box, img2img, release
        The settings of these names.
    """
    named = tuple(white_box)
    return {
        IMG2IMG: image_to_image_names() if img2img or release == IMG2IMG else (),
        WEIGHTS: named or (white_box_names()[:1] if release == WEIGHTS else ()),
    }


def make_with_access(access: str, name: str) -> Any:
    """Make the measurement of an attack that takes more than text.

    Parameters
    ----------
    access
        A key of :data:`ACCESSES`.
    name
        One of its attacks.

    Raises
    ------
    SettingError
        If there is none of that name.
    """
    attacks = ACCESSES[access]
    if name not in attacks:
        from privaudit.errors import SettingError

        kind = "white-box" if access == WEIGHTS else access
        msg = f"{kind} attack {name!r} is unknown: choose from {', '.join(attacks)}"
        raise SettingError(msg)
    return _class_at(attacks[name])()
