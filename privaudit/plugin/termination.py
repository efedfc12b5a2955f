"""SIGTERM and SIGHUP end a session as Ctrl-C does: a cancelled build has its record too."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["TerminationSignals"]

NAMES = ("SIGTERM", "SIGHUP")


class TerminationSignals:
    """Turns signals that would end the process at once into a ``KeyboardInterrupt``."""

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}

    def watch(self) -> None:
        """Begin; a signal that somebody ignores or handles (nohup, a runner) stays as it is."""
        if threading.current_thread() is not threading.main_thread():
            return
        for name in NAMES:
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                self._before[number] = signal.signal(number, self._interrupt)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """End the session once: a second signal must not end the writing of the record."""
        for each in self._before:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt(signal.Signals(number).name)

    def restore(self) -> None:
        """Leave the signals as they were."""
        while self._before:
            number, before = self._before.popitem()
            signal.signal(number, before)
