"""What has to be the same in two audits for their scores to be comparable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from privaudit.attacks.registry import registered
from privaudit.audit.scenarios import SCENARIOS
from privaudit.errors import BaselineError
from privaudit.record.baseline import keyed
from privaudit.record.values import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from privaudit.record import SampleSet

__all__ = ["SAMPLES", "Differences", "differences", "facts_of", "needed", "refusal"]

SETTINGS = (
    "queries",
    "seed",
    "aggregation",
    "calibration",
    "protocol",
    "similarity",
    "similarity_axis",
)
"""Settings that always reach what they are for, and decide which scores there are."""
BEFORE = {"protocol": "target"}
"""What held before there was a choice, so that older baselines stay of use."""
SAMPLES = ("members", "non_members")
FLAGS = {
    "call.num_inference_steps": "--privaudit-num-inference-steps",
    "call.guidance_scale": "--privaudit-guidance-scale",
    **{name: f"--privaudit-{name.replace('_', '-')}" for name in (*SETTINGS, "scheduler")},
}
"""What sets a fact again."""
OTHER_SAMPLES = "--privaudit-baseline-samples=other"
LONGEST = 60
"""Characters of two values that a message shows; of hashes it only says that they differ."""
Differences = dict[str, tuple[Any, Any]]
"""The old and the new value of each fact that differs, by its name."""


def facts_of(
    models: Mapping[str, Mapping[str, Any]],
    samples: Mapping[str, SampleSet],
    settings: Mapping[str, Any],
    key: str,
) -> dict[str, Any]:
    """Collect what has to be the same, as plain values by name.

    It is taken from what ran, not from what was asked for. The model itself, its dtype and its
    device are none of it: they are what a release changes.

    Parameters
    ----------
    models
        As of a record's provenance.
    samples
        The sample sets, whose digests are hashed with the key.
    settings
        As a record has them.
    key
        The baseline's.

    Raises
    ------
    BaselineError
        If the encoder, or a captioner that was used, cannot be known again.
    """
    facts: dict[str, Any] = {name: settings.get(name) for name in SETTINGS}
    facts["scheduler"] = settings.get("scheduler")
    for role, name in (("image_encoder", "encoder"), ("captioner", "captioner")):
        if role in models:
            facts[name] = _known(role, models[role])
    facts["measurement"] = dict(models.get("measurement", {}))
    if pool := facts["measurement"].pop("pool", None):
        facts["pool"] = pool
    if clip := facts["measurement"].pop("clip", None):
        facts["clip"] = clip["identity"]
    facts["base model asked"] = bool(settings.get("base_calibration")) and "base_model" in models
    facts |= {f"call.{n}": value for n, value in models["target_model"].get("call", {}).items()}
    for name in SAMPLES:
        found = samples[name]
        facts[name] = {"count": found.count, "digest": keyed(key, "set", found.digest)}
    return cast("dict[str, Any]", plain(facts))  # as a file gives them back


def _known(role: str, model: Mapping[str, Any]) -> str:
    identity = model.get("identity")
    if identity is None:
        msg = (
            f"{role} ({model.get('class')}) has no fingerprint, so no later session can know that "
            "it is the same one: give it an attribute `fingerprint`, a text that changes whenever "
            "what it returns would"
        )
        raise BaselineError(msg)
    return str(identity)


def needed(facts: Mapping[str, Any], scenario: str, attack: str) -> dict[str, Any]:
    """Leave out what has no effect on one result.

    Parameters
    ----------
    facts
        All of an audit's.
    scenario
        ``"attack-I"`` to ``"attack-IV"``.
    attack
        The inference model.
    """
    without, entry = set(), registered(attack)
    if SCENARIOS[scenario.removeprefix("attack-")].knows_captions:
        without.add("captioner")
    if not SCENARIOS[scenario.removeprefix("attack-")].knows_members:
        without.add("protocol")
    if not entry.reads_base:
        without.add("base model asked")
    if not entry.reads_pool:
        without.add("pool")
    if not entry.reads_clip:
        without.add("clip")
    return {name: value for name, value in facts.items() if name not in without}


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], *, samples: bool = True
) -> Differences:
    """List the facts that differ, those that only one of the two has among them.

    Parameters
    ----------
    old, new
        Facts of one result.
    samples
        Whether the sample sets have to be the same.
    """
    found = {
        name: (old.get(name, BEFORE.get(name)), new.get(name, BEFORE.get(name)))
        for name in dict.fromkeys((*old, *new))
        if samples or name not in SAMPLES
    }
    return {name: values for name, values in found.items() if values[0] != values[1]}


def refusal(found: Differences, where: str, counts: str, command: str) -> str:
    """Say why two audits cannot be compared, and what makes them comparable.

    Parameters
    ----------
    found
        What differs.
    where
        The baseline.
    counts
        How many samples each has, in words.
    command
        What writes the baseline anew.
    """
    said = [_difference(name, *values) for name, values in found.items() if name not in SAMPLES]
    flags = [
        f"{FLAGS[name]}={_shown(old)}"
        for name, (old, _) in found.items()
        if name in FLAGS and old is not None
    ]
    ways = [f"ask as it was asked:\n  {' '.join(flags)}"] if flags else []
    if found.keys() & set(SAMPLES):
        said.append(counts)
        ways.append("compare with other samples, which shows less:\n  " + OTHER_SAMPLES)
    ways.append(f"audit the old model as this one is audited, and write it anew:\n  {command}")
    return f"not comparable with baseline {where}: {'; '.join(said)}\n" + "\n".join(ways)


def _difference(name: str, old: Any, new: Any) -> str:
    name = name.removeprefix("call.")
    if isinstance(old, dict) or isinstance(new, dict) or len(f"{old}{new}") > LONGEST:
        return f"another {name}"
    return f"{name} is {_shown(new)}, and was {_shown(old)}"


def _shown(value: Any) -> str:
    return "not known" if value is None else f"{value:g}" if type(value) is float else str(value)
