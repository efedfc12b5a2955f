"""How far the session is: a bar where someone watches, a line now and then in a log.

Under xdist the workers drop numbers into a folder, and the process with the terminal reads them.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from typing import TYPE_CHECKING, Any

from privaudit.plugin.pytest_internals import shows_bar, terminal_writer, uncaptured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pytest

EVERY = 30.0
"""Seconds between two lines of a log that nobody watches."""
POLL = 0.2
"""Seconds between two looks at what the workers have done."""
PLAN_FILE = "plan.json"


class Lines:
    """Says how many images are generated, at what rate, and how long the rest will take."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self.begin(0)

    def plan(self, lines: Sequence[str], total: int) -> None:
        """Show the plan, and begin."""
        self.begin(total)
        for line in lines:
            self._write(line)

    def begin(self, total: int) -> None:
        """Hear of how many there will be; the time counts from now."""
        self._total, self._made = total, 0
        self._started = self._said = time.monotonic()

    def __call__(self, n: int) -> None:
        """Hear of n more images."""
        if not n:
            return
        now = time.monotonic()
        self._made += n
        if now - self._said < EVERY:
            return
        from privaudit.audit.plan import duration

        self._said = now
        rate = self._made / (now - self._started)
        left = max(0, self._total - self._made) / rate
        total = max(self._total, self._made)
        self._write(
            f"privaudit: {self._made:,} of {total:,} images, {rate:.3g}/s, "
            f"about {duration(left)} left"
        )

    def close(self) -> None:
        """Say no more."""


class Bar:
    """A bar of tqdm's, drawn over itself."""

    def __init__(
        self,
        visible: Callable[[], contextlib.AbstractContextManager[None]],
        write: Callable[[str], None],
    ) -> None:
        self._uncaptured, self._write = visible, write
        self._total = 0
        self._bar: Any = None

    def plan(self, lines: Sequence[str], total: int) -> None:
        """Show the plan, and hear of how many there will be."""
        self._total = total
        for line in lines:
            self._write(line)

    def __call__(self, n: int) -> None:
        """Hear of n more images."""
        if not n:
            return
        from tqdm import tqdm

        with self._uncaptured():
            if self._bar is None:
                self._bar = tqdm(desc="privaudit", total=self._total or None, unit="image")
            self._bar.total = max(self._bar.total or 0, self._bar.n + n)
            self._bar.update(n)

    def close(self) -> None:
        """Leave the last state of the bar on the screen."""
        if self._bar is not None:
            with self._uncaptured():
                self._bar.close()


class Mailbox:
    """What a worker of xdist does in place of showing anything."""

    def __init__(self, folder: Path, worker: str) -> None:
        self._file = folder / worker
        self._made = 0

    def __call__(self, n: int) -> None:
        """Hear of n more images."""
        self._made += n
        # A worker on another machine has no such folder, and works on all the same.
        with contextlib.suppress(OSError):
            self._file.write_text(str(self._made), encoding="ascii")

    def plan(self, lines: Sequence[str], total: int) -> None:
        """Send the plan."""
        draft = self._file.with_name("plan.draft")
        with contextlib.suppress(OSError):
            draft.write_text(json.dumps({"lines": list(lines), "total": total}), encoding="utf-8")
            draft.replace(self._file.with_name(PLAN_FILE))

    def close(self) -> None:
        """Send no more."""


class Reading(threading.Thread):
    """Shows what the workers drop into the folder, for as long as the session runs."""

    def __init__(self, folder: Path, shown: Lines | Bar) -> None:
        super().__init__(daemon=True)
        self._folder, self._shown = folder, shown
        self._over = threading.Event()
        self._planned = False
        self._made = 0

    def run(self) -> None:
        """Look into the folder until the end, and once more then."""
        while not self._over.wait(POLL):
            self._look()
        self._look()

    def close(self) -> None:
        """End the thread."""
        self._over.set()
        self.join()
        self._shown.close()

    def _look(self) -> None:
        plan = self._folder / PLAN_FILE
        if not self._planned and plan.exists():
            said = json.loads(plan.read_text(encoding="utf-8"))
            self._shown.plan(said["lines"], said["total"])
            self._planned = True
        made = sum(self._counts())
        self._shown(made - self._made)
        self._made = made

    def _counts(self) -> Iterator[int]:
        for file in self._folder.glob("gw*"):
            with contextlib.suppress(ValueError):  # it is being written
                yield int(file.read_text(encoding="ascii"))


def shown_on(config: pytest.Config) -> tuple[Lines | Bar, Callable[[str], None]]:
    """Choose what suits the terminal, and say how to write a line to it."""
    write = terminal_writer(config)
    if shows_bar(config):
        return Bar(uncaptured(config), write), write
    return Lines(write), write
