"""What a function is: its code, and the values, models and other code that it refers to."""

from __future__ import annotations

import contextlib
import dis
import functools
import importlib.metadata
import importlib.util
import logging
import sys
import sysconfig
import tempfile
import types
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from privaudit.errors import FingerprintError, PrivauditError
from privaudit.fingerprint import fingerprint_code, fingerprint_files, fingerprint_values
from privaudit.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

__all__ = ["function_identity"]

MODEL_FILES = ("model_index.json", "config.json", "adapter_config.json", "*.safetensors")
"""A folder with one of these is a model, which is known by its files, not by its name."""
READ = (".safetensors", ".bin", ".ckpt", ".pt", ".pth", ".json", ".toml", ".yaml", ".yml", ".py")
"""Ends of the names of files that a function names in order to read, or run, them."""
PROBE_STEPS = 2
"""Of the pictures by which a pipeline that a function refers to is known."""


def function_identity(function: Callable[..., Any], **others: Any) -> str:
    """Hash all that decides what a function does, as far as it can be seen.

    That is its bytecode; its defaults; the values it closes over and the global names it reads,
    with samples by their pixels, pipelines by their weights and two pictures of two steps,
    functions likewise; the source of modules outside ``site-packages``, and the version of those
    inside. A text or path that names a model, a file of weights or settings, or a script, stands
    for its content. A text attribute ``fingerprint`` stands for whatever has it.

    Parameters
    ----------
    function
        The function.
    **others
        What else decides, by name: hashed likewise.

    Raises
    ------
    FingerprintError
        If it refers to something that cannot be hashed whole.
    """
    try:
        reading = _Reading()
        content = [reading.of(function, "the function")]
        content += [[name, reading.of(value, name)] for name, value in sorted(others.items())]
        return fingerprint_values(function=content, python=list(sys.version_info[:2]))
    except RecursionError as error:
        msg = "what the function refers to is nested too deeply to be hashed"
        raise FingerprintError(msg) from error
    except FingerprintError:
        raise
    except (PrivauditError, OSError) as error:
        raise FingerprintError(str(error)) from error


FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType, type)


class _Reading:
    """One walk over a function and what it refers to, each read once."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[Any, Any]] = {}  # with the object: its id must stay its own
        self._reading: list[int] = []

    def of(self, value: Any, where: str) -> Any:
        """Return a value's content in plain values.

        Parameters
        ----------
        value
            Anything that a function can refer to.
        where
            What to call it in an error.
        """
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, (str, PurePath)):
            return _text(value)
        if id(value) in self._reading:  # it refers to itself
            return ["again", len(self._reading) - self._reading.index(id(value))]
        if id(value) not in self._read:
            self._reading.append(id(value))
            try:
                self._read[id(value)] = (
                    fingerprint_values(content=self._content(value, where)),
                    value,
                )
            finally:
                self._reading.pop()
        return self._read[id(value)][0]

    def _content(self, value: Any, where: str) -> Any:
        stated = None if isinstance(value, type) else getattr(value, "fingerprint", None)
        if isinstance(stated, str):
            return ["stated", type(value).__qualname__, stated]
        for read in (self._code_of, self._container, self._model, self._instance):
            found = read(value, where)
            if found is not None:
                return found
        return fingerprint_values(**{where: value})

    # -- code

    def _code_of(self, value: Any, where: str) -> Any:
        found: Any = None
        if isinstance(value, types.CodeType):
            constants = [self.of(inner, where) for inner in value.co_consts]
            found = [value.co_code, constants, value.co_names, value.co_varnames]
        elif isinstance(value, types.MethodType):
            found = [self.of(value.__func__, where), self.of(value.__self__, f"self of {where}")]
        elif isinstance(value, functools.partial):
            parts = (value.func, value.args, value.keywords)
            found = ["partial", *(self.of(part, where) for part in parts)]
        elif isinstance(value, types.ModuleType):
            found = self._module(value)
        elif isinstance(value, logging.Logger):
            found = "logger"
        elif isinstance(value, FUNCTIONS):
            known = _library(getattr(value, "__module__", None) or "builtins")
            if known is not None:
                found = [*known, value.__qualname__]
            elif isinstance(value, types.FunctionType):
                found = self._function(value)
            elif isinstance(value, type):
                found = self._class(value)
        return found

    def _function(self, function: Any) -> Any:
        name, code, known = function.__qualname__, function.__code__, function.__globals__
        inner = {
            variable: cell.cell_contents
            for variable, cell in zip(code.co_freevars, function.__closure__ or (), strict=True)
            if cell != types.CellType()  # one that is still empty
        }
        read = sorted(set(_named(code, ("LOAD_GLOBAL", "LOAD_NAME"))))
        outer = {variable: known[variable] for variable in read if variable in known}
        imported = [
            self._imported(module, known.get("__package__"))
            for module in sorted(set(_named(code, ("IMPORT_NAME",))))
        ]
        return [
            self.of(code, name),
            self.of(function.__defaults__, f"a default of {name}"),
            self.of(function.__kwdefaults__, f"a default of {name}"),
            {
                key: self.of(value, f"{key}, which {name} refers to,")
                for key, value in (inner | outer).items()
            },
            imported,
        ]

    def _imported(self, name: str, package: str | None) -> Any:
        """Read a module that a function imports when it runs, if it is the user's."""
        names = (name, f"{package}.{name}") if package else (name,)
        found = next((full for full in names if _file_of(full) is not None), None)
        if found is None:
            return name
        return _library(found) or self.of(importlib.import_module(found), found)

    def _class(self, kind: Any) -> Any:
        where = kind.__qualname__
        parts: dict[str, Any] = {}
        for name, part in vars(kind).items():
            if isinstance(part, property):
                parts[name] = [self.of(f, f"{where}.{name}") for f in (part.fget, part.fset)]
            elif isinstance(part, (staticmethod, classmethod)):
                parts[name] = self.of(part.__func__, f"{where}.{name}")
            elif isinstance(part, functools.cached_property):
                parts[name] = self.of(part.func, f"{where}.{name}")
            elif isinstance(part, types.FunctionType) or not name.startswith("__"):
                parts[name] = self.of(part, f"{where}.{name}")
        return [where, parts, [self.of(base, where) for base in kind.__bases__]]

    def _module(self, module: types.ModuleType) -> Any:
        known = _library(module.__name__)
        if known is not None:
            return known
        file = getattr(module, "__file__", None)
        source = fingerprint_files(Path(file)) if file else None
        others = {
            name
            for value in list(vars(module).values())
            for name in [
                value.__name__
                if isinstance(value, types.ModuleType)
                else getattr(value, "__module__", None)
            ]
            if isinstance(name, str) and name in sys.modules and name != module.__name__
        }
        return [
            module.__name__,
            source,
            [self.of(sys.modules[name], name) for name in sorted(others)],
        ]

    # -- values

    def _container(self, value: Any, where: str) -> Any:
        if isinstance(value, Sample):
            return ["sample", value.digest, value.caption]
        if type(value) in (list, tuple):
            return [self.of(inner, f"{where}[{i}]") for i, inner in enumerate(value)]
        if type(value) in (set, frozenset):
            return [
                "set",
                *sorted(fingerprint_values(item=self.of(inner, where)) for inner in value),
            ]
        if type(value) is dict:
            pairs = [
                [self.of(key, f"a key of {where}"), self.of(inner, f"{where}[{key!r}]")]
                for key, inner in value.items()
            ]
            return ["dict", *pairs]
        return None

    def _model(self, value: Any, where: str) -> Any:
        tuning = sys.modules.get("privaudit.diffusion.fine_tuned")
        if tuning is not None and isinstance(value, tuning.FineTuned):
            return self.of(value.pipeline, where)
        diffusers, torch = sys.modules.get("diffusers"), sys.modules.get("torch")
        if diffusers is not None and isinstance(value, diffusers.DiffusionPipeline):
            from privaudit.targets.pipeline import PipelineTarget

            probed = PipelineTarget(
                value, num_inference_steps=PROBE_STEPS, allow_inactive_adapters=True
            )
            return probed.fingerprint
        if torch is not None and isinstance(value, torch.nn.Module):
            from privaudit.targets.identity import component_identity

            return fingerprint_values(module=component_identity(value))
        return None

    def _instance(self, value: Any, where: str) -> Any:
        """Read an object of the user's own class: its class, and its attributes."""
        kind = type(value)
        plain = all(base is object or _library(base.__module__) is None for base in kind.__mro__)
        if not plain or not hasattr(value, "__dict__") or hasattr(kind, "__slots__"):
            return None
        return [self.of(kind, where), self.of(vars(value), f"an attribute of {where}")]


def _named(code: types.CodeType, steps: Container[str]) -> Iterator[str]:
    """Yield the names in steps of a kind, those of functions in the code included."""
    for step in dis.get_instructions(code):
        if step.opname in steps:
            yield step.argval
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _named(inner, steps)


def _text(value: str | PurePath) -> Any:
    """Return a text, or the content of what it names."""
    text = str(value)
    if "\n" in text or len(text) > 1024:
        return text
    path = Path(text)
    try:
        is_model = path.is_dir() and any(True for name in MODEL_FILES for _ in path.glob(name))
        if is_model or (path.is_file() and path.suffix in READ):
            return ["files", fingerprint_files(path)]
        if isinstance(value, PurePath) and path.is_relative_to(tempfile.gettempdir()):
            return "a temporary path"  # another one in each session, and nothing is in it yet
    except (OSError, ValueError):  # no name that a file can have, or nothing that we may look at
        pass
    return text


@functools.cache
def _places() -> tuple[Path, ...]:
    """Return the folders of what is installed."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple({Path(sysconfig.get_path(name)).resolve() for name in names})


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


def _file_of(name: str) -> str | None:
    """Return the file of a module, imported or not."""
    if name in sys.modules:
        return getattr(sys.modules[name], "__file__", None)
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(name)
        return spec.origin if spec is not None and spec.has_location else None
    return None


@functools.cache
def _library(name: str) -> tuple[str, ...] | None:
    """Return the name and version of an installed module; ``None`` for a user's own."""
    top = name.partition(".")[0]
    if top == "privaudit":
        return name, fingerprint_code()
    file = _file_of(name)
    if file is not None:
        path = Path(file).resolve()
        installed = {"site-packages", "dist-packages"} & set(path.parts)
        if not installed and not any(path.is_relative_to(place) for place in _places()):
            return None
    elif name not in sys.builtin_module_names:
        return None
    versions = [importlib.metadata.version(found) for found in _distributions().get(top, ())]
    return name, *sorted(versions)
