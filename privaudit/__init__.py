"""privaudit: membership-inference audits of fine-tuned text-to-image models, in pytest.

Names are loaded when they are first used, so that pytest can load the plugin without torch. They
are listed in ``__init__.pyi``.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import lazy_loader

_get, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """Import a public name, or a submodule, when it is first used (PEP 562).

    Raises
    ------
    AttributeError
        If there is no such name.
    MissingExtraError
        If there is, and a package that it needs is missing.
    """
    submodule = f"privaudit.{name}"
    public = name in __all__
    if not public and (name.startswith("__") or importlib.util.find_spec(submodule) is None):
        message = f"module 'privaudit' has no attribute {name!r}"
        raise AttributeError(message)
    try:
        return _get(name) if public else importlib.import_module(submodule)
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "privaudit"):
            raise  # a fault of ours, of which no installation rids anybody
        from privaudit.errors import EXTRAS, MissingExtraError

        why = None if isinstance(error, ModuleNotFoundError) else str(error)
        raise MissingExtraError(submodule, package, EXTRAS.get(package), why) from error
