"""Which audits ask a CLIP: those that name one, and have an inference model that reads it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from privaudit.attacks.registry import registered
from privaudit.encoders.clip import load_clip
from privaudit.errors import SettingError
from privaudit.measurements.captions import CaptionSimilarity

if TYPE_CHECKING:
    from privaudit.settings import AuditSettings

__all__ = ["IDLE", "captions_of", "check_clip", "is_idle"]

IDLE = "no inference model of this audit reads what a CLIP sees"

named_clip = functools.lru_cache(maxsize=1)(load_clip)
"""Several audits of a session have one, and load it once."""


def check_clip(settings: AuditSettings) -> None:
    """Refuse inference models that lack a CLIP.

    Raises
    ------
    SettingError
        If there is one, and none is named.
    """
    lacking = [name for name in settings.attacks if registered(name).needs_clip]
    if lacking and settings.clip is None:
        msg = (
            f"{', '.join(lacking)} compares pictures and texts by a CLIP, and none is named: "
            "set --privaudit-clip=open_clip:MODEL/PRETRAINED, or a folder with one, or leave "
            "it out with --privaudit-attacks"
        )
        raise SettingError(msg)


def is_idle(settings: AuditSettings) -> bool:
    """Tell whether a CLIP is named that nothing reads: it is not even loaded."""
    return settings.clip is not None and not any(
        registered(name).reads_clip for name in settings.attacks
    )


def captions_of(settings: AuditSettings) -> CaptionSimilarity | None:
    """Return the measurement by the CLIP that is named and read, if there is one."""
    if settings.clip is None or is_idle(settings):
        return None
    return CaptionSimilarity(named_clip(settings.clip))
