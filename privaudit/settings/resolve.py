"""Settings, resolved once: marker > command line > ini file > default, each with its source.

Like the options, this is imported at every start of pytest: the errors are imported by who raises
them.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from privaudit.settings.options import OPTIONS, Option

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Settings", "marker_settings", "resolve"]


class Settings(NamedTuple):
    """The settings of one audit: one field an option, see :data:`OPTIONS`."""

    budget: float
    scenarios: tuple[str, ...]
    attacks: tuple[str, ...]
    queries: int
    num_inference_steps: int
    guidance_scale: float
    seed: int
    similarity: str
    similarity_axis: str
    aggregation: str
    encoder: str
    batch_size: int | None
    scheduler: str | None
    dtype: str | None
    channels_last: bool
    compile: bool
    calibration: float
    gate: str
    confidence: float
    interval: str
    sequential: bool
    blind_limit: float
    duplicate_limit: float
    json: Path | None
    store: Path | None
    store_limit: int | None
    engine: str
    ray_address: str | None
    ray_workers: int | None
    plan: bool
    strict: bool
    sources: Mapping[str, str]

    def source(self, name: str) -> str:
        """Say where a setting's value came from: marker, command line, ini or default."""
        return self.sources[name]

    @property
    def n_results(self) -> int:
        """Results that an audit with these settings has: what its bounds are corrected for."""
        return len(self.scenarios) * len(self.attacks)

    @property
    def result_confidence(self) -> float:
        """Confidence of each result's bounds, so that all hold together (Bonferroni)."""
        return 1 - (1 - self.confidence) / self.n_results

    def to_dict(self) -> dict[str, Any]:
        """Return what decides an audit's numbers, as a JSON object."""
        return {
            option.name: getattr(self, option.name)
            for option in OPTIONS
            if option.in_marker and option.name not in ("budget", "scenarios", "attacks")
        }


def _parsed(option: Option, given: Any, spelled: str) -> Any:
    try:
        return option.parse(given)
    except (ValueError, TypeError, OverflowError) as error:
        reason = str(error) if str(error).startswith("must") else f"is not valid: {option.help}"
        from privaudit.errors import SettingError

        msg = f"{spelled}={given!r} {reason}"
        raise SettingError(msg) from error


def resolve(command_line: Mapping[str, Any], ini: Mapping[str, Any]) -> Settings:
    """Resolve the settings of a session.

    Parameters
    ----------
    command_line, ini
        What was said, by option name; what was not said is ``None`` or, in the ini, empty.

    Raises
    ------
    SettingError
        If a value is bad; the message names it as the user spelled it.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for option in OPTIONS:
        said, written = command_line.get(option.name), ini.get(option.name)
        if said is not None:
            value, source = _parsed(option, said, option.flags[0]), "command line"
        elif written not in (None, ""):
            value, source = _parsed(option, written, f"privaudit_{option.name}"), "ini"
        else:
            value, source = option.default, "default"
        values[option.name], sources[option.name] = value, source
    if values["engine"] != "ray" and (values["ray_address"] or values["ray_workers"]):
        from privaudit.errors import SettingError

        msg = "--privaudit-ray-address and --privaudit-ray-workers need --privaudit-engine=ray"
        raise SettingError(msg)
    return Settings(**values, sources=MappingProxyType(sources))


def marker_settings(
    session: Settings, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Settings:
    """Apply one ``privacy_budget`` marker to the settings of the session.

    Scenarios and inference models are the exception to "the marker wins": it says what an audit
    covers, and the command line selects among that.

    Raises
    ------
    SettingError
        If an argument is unknown, positional beyond the first, or has a bad value.
    """
    from privaudit.errors import SettingError

    spelled = {name: o for o in OPTIONS if o.in_marker for name in (o.name, *o.aliases)}
    given = dict(kwargs)
    if len(args) > 1 or (args and {"budget", "max_auc"} & set(given)):
        msg = f"privacy_budget{args!r} takes one positional argument, the budget"
        raise SettingError(msg)
    if args:
        given["budget"] = args[0]
    values = session._asdict()
    sources = dict(session.sources)
    for name, value in given.items():
        if name not in spelled:
            msg = f"privacy_budget({name}=…) is unknown: it takes {', '.join(sorted(spelled))}"
            raise SettingError(msg)
        option = spelled[name]
        parsed = _parsed(option, value, f"privacy_budget({name}=…): {name}")
        if option.name in ("scenarios", "attacks") and sources[option.name] == "command line":
            parsed = tuple(choice for choice in parsed if choice in values[option.name])
        values[option.name], sources[option.name] = parsed, "marker"
    values["sources"] = MappingProxyType(sources)
    return Settings(**values)
