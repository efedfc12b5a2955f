"""Settings, resolved once: marker > command line > ini file > default, each with its source.

Like the options, this is imported at every start of pytest: no dataclass is made here, and the
errors are imported by who raises them.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from privaudit.attacks.registry import RELEASES, WEIGHTS, asked_by_access
from privaudit.settings.options import OPTIONS, Option
from privaudit.settings.parsers import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["AuditSettings", "SessionSettings", "resolve_settings", "split_settings"]

COVERAGE = ("scenarios", "attacks")
"""What an audit covers. Here a command line selects among what a marker says."""


class _Settings:
    """Checked values of some of the options, each with where it was set."""

    options: ClassVar[tuple[Option, ...]]

    def __init__(self, *, sources: Mapping[str, str] | None = None, **given: Any) -> None:
        spelled = {name: one for one in self.options for name in (one.name, one.argument)}
        values = {option.name: option.default for option in self.options}
        stated = dict.fromkeys(values, "default")
        for name, value in _with_rates(given).items():
            if name not in spelled:
                from privaudit.errors import SettingError

                near = nearest(name, spelled) or f": there are {', '.join(sorted(values))}"
                msg = f"setting {name!r} is unknown{near}"
                raise SettingError(msg)
            _check_said_once(spelled[name], given, "setting {}")
            values[spelled[name].name] = parsed(spelled[name], value, name)
            stated[spelled[name].name] = "argument"
        self.__dict__.update(values)
        self.__dict__["sources"] = MappingProxyType(stated | dict(sources or {}))

    def __setattr__(self, name: str, value: object) -> None:
        msg = f"settings are frozen: use replace({name}={value!r})"
        raise AttributeError(msg)

    def __eq__(self, other: object) -> bool:
        """Tell whether all values are the same, wherever they were set."""
        return type(other) is type(self) and self.values() == other.values()

    def __hash__(self) -> int:
        return hash(tuple(self.values().values()))

    def __repr__(self) -> str:
        changed = {n: v for n, v in self.values().items() if self.source(n) != "default"}
        changed |= {n: "…" for n in changed if n.endswith("_key")}
        return f"{type(self).__name__}({', '.join(f'{n}={v!r}' for n, v in changed.items())})"

    def source(self, name: str) -> str:
        """Say where a value was set: marker, command line, ini, argument or default."""
        return str(self.__dict__["sources"][name])

    def values(self) -> dict[str, Any]:
        """Return all values, by name."""
        return {option.name: self.__dict__[option.name] for option in self.options}

    def replace(self, *, source: str = "argument", **changes: Any) -> Self:
        """Return a copy with some values changed.

        Raises
        ------
        SettingError
            If a name is unknown, or a value is out of range.
        """
        changed = type(self)(**changes)
        names = {n for n in changed.values() if changed.source(n) != "default"}
        return type(self)(
            sources={n: source if n in names else self.source(n) for n in self.values()},
            **{n: (changed if n in names else self).__dict__[n] for n in self.values()},
        )


class AuditSettings(_Settings):
    """What decides the numbers and the verdict of one audit.

    Parameters
    ----------
    **given
        Any option that an audit may set, see ``docs/reference/settings.md``; the others have their
        defaults.

    Raises
    ------
    SettingError
        If a name is unknown, or a value is out of range.

    Examples
    --------
    >>> settings = AuditSettings(max_auc=0.7, scenarios="I,III")
    >>> settings.budget, settings.scenarios, settings.queries
    (0.7, ('I', 'III'), 3)
    """

    options = tuple(option for option in OPTIONS if option.in_audit)

    budget: float
    max_tpr: float | None
    at_fpr: float
    scenarios: tuple[str, ...]
    attacks: tuple[str, ...]
    white_box: tuple[str, ...]
    img2img: bool
    release: str
    queries: int
    num_inference_steps: int | None
    guidance_scale: float | None
    seed: int
    similarity: str
    similarity_axis: str
    aggregation: str
    encoder: str
    clip: str | None
    batch_size: int | None
    scheduler: str | None
    dtype: str | None
    channels_last: bool
    compile: bool
    calibration: float
    protocol: str
    gate: str
    confidence: float
    interval: str
    sequential: bool
    base_calibration: bool
    baseline: str | None
    max_rise: float | None
    baseline_samples: str
    blind_limit: float
    duplicate_limit: float

    @property
    def weights_attacks(self) -> tuple[str, ...]:
        """The white-box attacks that are run."""
        return self.by_access[WEIGHTS]

    @property
    def by_access(self) -> dict[str, tuple[str, ...]]:
        """The attacks that take more than text, by the access that they take; some may be none."""
        return asked_by_access(self.white_box, self.img2img, self.release)

    def decides(self, access: str) -> bool:
        """Tell whether attacks with an access decide: where it, or more, is released."""
        return RELEASES.index(access) <= RELEASES.index(self.release)

    @property
    def asked_results(self) -> list[tuple[str, str]]:
        """The results that are asked for, in order: scenario, or access, and attack."""
        asked = [(scenario, attack) for scenario in self.scenarios for attack in self.attacks]
        more = self.by_access.items()
        return [*asked, *((access, attack) for access, attacks in more for attack in attacks)]

    def with_marker(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AuditSettings:
        """Apply one ``privacy_budget`` marker.

        Scenarios and inference models are the exception to "the marker wins": it says what an
        audit covers, and the command line selects among that.

        Raises
        ------
        SettingError
            If an argument is unknown, positional beyond the first, or has a bad value.
        """
        from privaudit.errors import SettingError

        spelled = {name: one for one in self.options for name in (one.name, one.argument)}
        given = _with_rates(kwargs)
        if len(args) > 1 or (args and {"budget", "max_auc"} & set(given)):
            msg = f"privacy_budget{args!r} takes one positional argument, the budget"
            raise SettingError(msg)
        if args:
            given["budget"] = args[0]
        changes = {}
        for name, value in given.items():
            if name not in spelled:
                near = nearest(name, spelled) or f": it takes {', '.join(sorted(spelled))}"
                msg = f"privacy_budget({name}=…) is unknown{near}"
                raise SettingError(msg)
            option = spelled[name]
            _check_said_once(option, given, "privacy_budget({}=…)")
            chosen = parsed(option, value, f"privacy_budget({name}=…): {name}")
            if option.name in COVERAGE and self.source(option.name) == "command line":
                both = tuple(one for one in chosen if one in self.__dict__[option.name])
                if not both:
                    msg = (
                        f"{option.flag}={','.join(self.__dict__[option.name])} selects none of "
                        f"the {option.name} of privacy_budget({name}=…), {','.join(chosen)}: "
                        "deselect the test instead, or change one of them"
                    )
                    raise SettingError(msg)
                chosen = both
            changes[option.name] = chosen
        return self.replace(source="marker", **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return all values as a JSON object, with where each was set under ``sources``."""
        values = {n: list(v) if isinstance(v, tuple) else v for n, v in self.values().items()}
        return values | {"sources": {n: self.source(n) for n in values}}


class SessionSettings(_Settings):
    """Where the work is done and what is kept of it, for all audits of a session.

    Parameters
    ----------
    **given
        Any option that only a session may set, see ``docs/reference/settings.md``.

    Raises
    ------
    SettingError
        If a name is unknown, a value is out of range, or two values do not go together.
    """

    options = tuple(option for option in OPTIONS if not option.in_audit)

    json: Path | None
    record_ids: str
    report: Path | None
    history: Path | None
    mlflow: str | None
    store: Path | None
    store_limit: int | None
    store_shared: bool
    engine: str
    baseline_key: str | None
    update_baseline: bool
    plan: bool
    strict: bool

    def __init__(self, *, sources: Mapping[str, str] | None = None, **given: Any) -> None:
        super().__init__(sources=sources, **given)
        if self.report is not None:
            _check_report(self.report, self.json)
        if self.mlflow is not None and find_spec("mlflow") is None:
            # Known now, and not when an audit is done that nobody can log.
            from privaudit.errors import EXTRAS, MissingExtraError, SettingError

            missing = MissingExtraError("--privaudit-mlflow", "mlflow", EXTRAS["mlflow"])
            raise SettingError(str(missing)) from missing

    @property
    def ray(self) -> tuple[str | None, int | None] | None:
        """The address of the Ray cluster and the workers on it, where Ray is the engine."""
        name, _, query = self.engine.partition("?")
        if name == "local":
            return None
        workers = int(query.partition("=")[2]) if query else None
        return (None if name == "ray" else name), workers


def _check_report(report: Path, json: Path | None) -> None:
    """Refuse a report that cannot be written, before anything is generated.

    Raises
    ------
    SettingError
        If matplotlib is not there, or the file cannot be written, or is that of the JSON.
    """
    from privaudit.errors import EXTRAS, MissingExtraError, SettingError

    if find_spec("matplotlib") is None:
        missing = MissingExtraError("--privaudit-report", "matplotlib", EXTRAS["matplotlib"])
        raise SettingError(str(missing)) from missing
    if report == json:
        msg = f"--privaudit-report and --privaudit-json are both {report}: name two files"
        raise SettingError(msg)
    folder = next(parent for parent in report.parents if os.path.lexists(parent))
    if not (os.access(report, os.W_OK) if report.exists() else folder.is_dir()):
        msg = (
            f"--privaudit-report={report} cannot be written: name a file in a folder that is there"
        )
        raise SettingError(msg)
    if not os.access(folder, os.W_OK | os.X_OK):
        msg = f"--privaudit-report={report}: {folder} is not writable: name another folder"
        raise SettingError(msg)


def split_settings(given: Mapping[str, Any]) -> tuple[AuditSettings, SessionSettings]:
    """Make the two kinds of settings of what a function of the API was given.

    Raises
    ------
    SettingError
        As of both.
    """
    known = {option.name for option in SessionSettings.options}
    session = SessionSettings(**{n: v for n, v in given.items() if n in known})
    return AuditSettings(**{n: v for n, v in given.items() if n not in known}), session


def _with_rates(given: Mapping[str, Any]) -> dict[str, Any]:
    """Take the false positive rate out of ``max_tpr="0.05@0.01"``."""
    share, at, rate = str(given.get("max_tpr")).partition("@")
    return dict(given) | ({"max_tpr": share, "at_fpr": rate} if at else {})


def _check_said_once(option: Option, given: Mapping[str, Any], form: str) -> None:
    """Refuse two names of one setting: whichever came last would win, without a word.

    Raises
    ------
    SettingError
        If more than one is there; the message has them in this form.
    """
    spellings = sorted({option.name, option.argument})
    names = [name for name in spellings if given.get(name) not in (None, "")]
    if len(names) > 1:
        from privaudit.errors import SettingError

        said = " and ".join(form.format(name) for name in names)
        msg = f"{said} are one setting: name it once"
        raise SettingError(msg)


def parsed(option: Option, given: Any, spelled: str) -> Any:
    """Check one value, which the user spelled like this.

    Raises
    ------
    SettingError
        If it is bad; the message names it as the user spelled it.
    """
    if given is None and option.default is None:
        return None
    try:
        return option.parse(given)
    except (ValueError, TypeError, OverflowError) as error:
        reason = str(error) if str(error).startswith("must") else f"is not valid: {option.help}"
        from privaudit.errors import SettingError

        msg = f"{spelled}={given!r} {reason}"
        raise SettingError(msg) from error


def resolve_settings(
    command_line: Mapping[str, Any], ini: Mapping[str, Any]
) -> tuple[AuditSettings, SessionSettings]:
    """Resolve the settings of a session.

    Parameters
    ----------
    command_line, ini
        What was said, by option name; what was not said is ``None`` or, in the ini, empty.

    Returns
    -------
    AuditSettings, SessionSettings
        The first may be changed by the markers of each audit.

    Raises
    ------
    SettingError
        If a value is bad; the message names it as the user spelled it.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    command_line, ini = _with_rates(command_line), _with_rates(ini)
    for option in OPTIONS:
        stated, written = command_line.get(option.name), ini.get(option.name)
        if stated is not None:
            spelled = option.name if option.in_code_only else option.flag
            values[option.name] = parsed(option, stated, spelled)
            sources[option.name] = "command line"
        elif written not in (None, ""):
            values[option.name] = parsed(option, written, f"privaudit_{option.name}")
            sources[option.name] = "ini"

    def some(kind: type[_Settings]) -> dict[str, Any]:
        names = [option.name for option in kind.options if option.name in values]
        return {
            "sources": {name: sources[name] for name in names},
            **{name: values[name] for name in names},
        }

    return AuditSettings(**some(AuditSettings)), SessionSettings(**some(SessionSettings))
