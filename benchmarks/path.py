"""The files of privaudit that one simple item enters, in all and by room.

Run ``python benchmarks/path.py``, or with ``--files`` to see their names. The item is scenario I
with the threshold attack on a target in memory, run by pytest in this process. A file is entered
when one of its functions is called: importing it is not enough. ``item`` is the item's setup, call
and teardown, ``session`` all that pytest calls from its start to its end.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import os
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tabulate import tabulate

import privaudit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

PACKAGE = f"{Path(privaudit.__file__).parent}{os.sep}"
AUDIT = """
import numpy as np
import pytest
from PIL import Image

import privaudit
from privaudit.targets import MemorizingTarget

DRAWS = np.random.default_rng(0)
SAMPLES = [
    privaudit.Sample(Image.fromarray(DRAWS.integers(0, 256, (16, 16, 3), np.uint8)), f"noise {i}")
    for i in DRAWS.permutation(np.arange(10, 90))
]


class Pixels:
    fingerprint = "pixels"

    def encode(self, images):
        small = [np.asarray(image.convert("RGB").resize((16, 16)), np.float32) for image in images]
        return np.stack(small).reshape(len(images), 1, -1) / 255 - 0.5


@pytest.fixture(scope="session")
def target_model():
    return MemorizingTarget(SAMPLES[:40])


@pytest.fixture(scope="session")
def members():
    return SAMPLES[:40]


@pytest.fixture(scope="session")
def non_members():
    return SAMPLES[40:]


@pytest.fixture(scope="session")
def image_encoder():
    return Pixels()


@pytest.mark.privacy_budget(max_auc=1.0, scenarios="I", attacks="threshold")
def test_leak(membership_attack):
    assert membership_attack.verdict
"""


class Entries:
    """Counts calls of functions by file, in the session and in the items.

    Attributes
    ----------
    session, item
        Calls by path below the package.
    """

    def __init__(self) -> None:
        self.session: Counter[str] = Counter()
        self.item: Counter[str] = Counter()
        self._in_item = False

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """Count a call, if it is of a function of the package."""
        code = frame.f_code
        # Bodies of modules and classes are calls too; of all code only functions are optimised.
        if event != "call" or not code.co_flags & inspect.CO_OPTIMIZED:
            return
        if code.co_filename.startswith(PACKAGE):
            name = code.co_filename.removeprefix(PACKAGE)
            self.session[name] += 1
            self.item[name] += self._in_item

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        """Count what an item calls."""
        self._in_item = True
        try:
            return (yield)
        finally:
            self._in_item = False


def count_entries() -> Entries:
    """Run the item, and return the files that it entered.

    Raises
    ------
    RuntimeError
        If it did not pass.
    """
    entries, output = Entries(), io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "test_leak.py"
        file.write_text(AUDIT, encoding="utf-8")
        options = ["--privaudit-store=none", "-p", "no:cacheprovider", f"--rootdir={folder}"]
        threading.setprofile(entries)
        sys.setprofile(entries)
        try:
            with contextlib.redirect_stdout(output):
                code = pytest.main([str(file), *options], plugins=[entries])
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]
    if code != 0:
        message = f"the item did not pass (exit code {code}):\n{output.getvalue()}"
        raise RuntimeError(message)
    return entries


def room_of(name: str) -> str:
    """Return the room of a file: its folder, or its own name at the top."""
    return name.split(os.sep, maxsplit=1)[0].removesuffix(".py")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", action="store_true", help="name the files that the item enters")
    options = parser.parse_args()
    entries = count_entries()
    item = {name for name, calls in entries.item.items() if calls}
    rooms = sorted({room_of(name) for name in entries.session})
    counts = [
        (room, *(sum(room_of(name) == room for name in names) for names in (item, entries.session)))
        for room in rooms
    ]
    total = ("in all", len(item), len(entries.session))
    print(tabulate([*counts, total], ["room", "item", "session"], tablefmt="github"))
    if options.files:
        print(*sorted(item), sep="\n")


if __name__ == "__main__":
    main()
