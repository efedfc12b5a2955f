"""How far the session is: a bar where someone watches, a line now and then in a log.

The total grows by audit, as each begins. Under xdist the workers drop numbers into a folder, and
the process with the terminal reads them.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from privaudit.plugin.pytest_internals import shows_bar, terminal_writer, uncaptured, worker_input

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["Progress"]

EVERY = 30.0
"""Seconds between two lines of a log that nobody watches."""
POLL = 0.2
"""Seconds between two looks at what the workers have done."""
FOLDER = "privaudit_progress"


class Display(Protocol):
    """Where numbers of images go."""

    def update(self, made: int, due: int) -> None:
        """Hear of all images that were generated, and of all that are known to be needed."""

    def say(self, line: str) -> None:
        """Show a line of text."""

    def close(self) -> None:
        """Hear that there will be no more."""


class Lines:
    """Says how many images are generated, at what rate, and how long the rest will take."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._made = 0
        self._started = self._last = time.monotonic()

    def update(self, made: int, due: int) -> None:
        """Write a line, if something new was generated and the last line is long ago."""
        now = time.monotonic()
        if made == self._made:
            if not made:
                self._started = self._last = now  # the time counts from the first audit on
            return
        self._made = made
        if now - self._last < EVERY:
            return
        from privaudit.audit.plan import duration

        self._last = now
        rate = made / max(now - self._started, 1e-9)
        left = duration(max(0, due - made) / rate)
        self._write(
            f"privaudit: {made:,} of {max(due, made):,} images, {rate:.3g}/s, about {left} left"
        )

    def say(self, line: str) -> None:
        """Write a line."""
        self._write(line)

    def close(self) -> None:
        """Say no more."""


class Bar:
    """A bar of tqdm's, drawn over itself."""

    def __init__(self, visible: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        self._uncaptured = visible
        self._bar: Any = None

    def update(self, made: int, due: int) -> None:
        """Draw the bar, once something is generated."""
        if not made or (self._bar is not None and (made, due) == (self._bar.n, self._bar.total)):
            return
        from tqdm import tqdm

        with self._uncaptured():
            if self._bar is None:
                self._bar = tqdm(desc="privaudit", total=max(due, made), unit="image")
            self._bar.total = max(due, made)
            self._bar.update(made - self._bar.n)

    def say(self, line: str) -> None:
        """Write a line above the bar."""
        from tqdm import tqdm

        with self._uncaptured():
            tqdm.write(line)

    def close(self) -> None:
        """Leave the last state of the bar on the screen: whole, whoever made the rest."""
        if self._bar is not None:
            with self._uncaptured():
                self._bar.total = self._bar.n
                self._bar.refresh()
                self._bar.close()


class Mailbox:
    """What a worker of xdist does in place of showing anything."""

    def __init__(self, folder: Path, worker: str) -> None:
        self._file = folder / worker

    def update(self, made: int, due: int) -> None:
        """Drop the numbers into the folder."""
        # A worker on another machine has no such folder, and works on all the same.
        with contextlib.suppress(OSError):
            self._file.write_text(f"{made} {due}", encoding="ascii")

    def say(self, line: str) -> None:
        """Drop a line of text into the folder."""
        draft = self._file.with_name(f"draft-{self._file.name}")
        with contextlib.suppress(OSError):
            draft.write_text(line, encoding="utf-8")
            draft.replace(self._file.with_name(f"line-{self._file.name}"))

    def close(self) -> None:
        """Send no more."""


class Reading(threading.Thread):
    """Shows what the workers drop into the folder, for as long as the session runs."""

    def __init__(self, folder: Path, display: Display) -> None:
        super().__init__(daemon=True)
        self._folder, self._display = folder, display
        self._lines: dict[Path, str] = {}
        self._over = threading.Event()

    def run(self) -> None:
        """Look into the folder until the end, and once more then."""
        while not self._over.wait(POLL):
            self._look()
        self._look()

    def close(self) -> None:
        """End the thread."""
        self._over.set()
        self.join()

    def _look(self) -> None:
        made = due = 0
        for file in self._folder.glob("gw*"):
            with contextlib.suppress(ValueError):  # it is being written
                one, other = map(int, file.read_text(encoding="ascii").split())
                made, due = made + one, due + other
        self._display.update(made, due)
        for file in self._folder.glob("line-gw*"):
            line = file.read_text(encoding="utf-8", errors="replace")
            if self._lines.get(file) != line:
                self._lines[file] = line
                self._display.say(line)


class Progress:
    """The plugin that shows how far a session is; called with each number of new images."""

    def __init__(self, config: pytest.Config) -> None:
        self._config, self._worker = config, worker_input(config)
        self._made = self._due = 0
        self._display: Display | None = None
        self._folder: Path | None = None

    def __call__(self, n: int) -> None:
        """Hear of n more images."""
        self._made += n
        self._update()

    def say(self, line: str) -> None:
        """Show a line of text now, such as what is waited for."""
        if self._display is not None:
            self._display.say(line)

    def grow(self, n: int) -> None:
        """Hear of n more images that are needed."""
        self._due += n
        self._update()

    def _update(self) -> None:
        if self._display is not None:
            self._display.update(self._made, self._due)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Show the progress while tests run."""
        self._display = self._shown()
        reading = None
        if self._folder is not None:
            reading = Reading(self._folder, self._display)
            reading.start()
        try:
            return (yield)
        finally:
            if reading is not None:
                reading.close()
            self._display.close()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _shown(self) -> Display:
        if self._worker is not None:
            return Mailbox(Path(self._worker.get(FOLDER, "")), self._worker["workerid"])
        if shows_bar(self._config):
            return Bar(uncaptured(self._config))
        return Lines(terminal_writer(self._config))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker of xdist where to drop its numbers."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="privaudit-"))
        node.workerinput[FOLDER] = str(self._folder)
