"""Inject faults into small audits, and look at what each of them leaves behind.

    python benchmarks/faults.py [--only KIND] [--match TEXT] [--workers N] [--folder FOLDER]

Whatever goes wrong, an audit ends with a verdict or with an error that says what to do. For each
fault it is looked for

- exit status 0 (or a record that says so) without a verdict,
- what is lost: a record that is missing, or another one after a rerun,
- a hang: more than 5 s beyond what a healthy run takes,
- exceptions that are not privaudit's, and internal errors,
- more than 1 GB of memory,
- files touched outside the folder of the audit, and code of strangers that ran,
- secrets in an output: a key, a caption, a user's name.

Each fault is in a process of its own, forked from one that has imported everything, and in a folder
of its own. The last lines are the table and what is open; the exit status is 1 if anything is.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import sqlite3
import stat
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from common import ROOT
from common import show as show_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

sys.path.insert(0, str(ROOT))

GREEN_WITHOUT, LOST, HANG, OTHER, MEMORY, OUTSIDE, SECRET = CATEGORIES = (
    "exit 0",
    "lost",
    "hang",
    "other exception",
    "over 1 GB",
    "outside",
    "secret",
)
MAX_MEGABYTES = 1024
MAX_SECONDS = 5.0
"""Beyond a healthy run, of which a busy machine makes three of them."""
TRACE = re.compile(r"^(Traceback \(most recent call last\)|INTERNALERROR>)", re.M)
BATCHES = ("--privaudit-attacks=threshold", "--privaudit-queries=1", "--privaudit-json=out.json")

AUDIT = '''
import hashlib, os, time
import numpy as np, pytest, privaudit
from PIL import Image

N, SLEEP = int(os.environ.get("N", "16")), float(os.environ.get("SLEEP", "0"))

class Pixels:
    fingerprint = "pixels"

    def encode(self, images):
        arrays = [np.float32(image.convert("RGB").resize((8, 8))) for image in images]
        return np.stack([array.reshape(8, 24) / 255 for array in arrays])

def draw(seed):
    random = np.random.default_rng(seed)
    pictures = random.integers(0, 256, (N, 8, 8, 3), dtype=np.uint8)
    numbers = random.permutation(500)[:N]
    return [
        privaudit.Sample(Image.fromarray(p), f"picture {k:03} of it", id=f"{seed}-{k:03}")
        for p, k in zip(pictures, numbers)
    ]

@pytest.fixture(scope="session")
def members():
    return draw(1)

@pytest.fixture(scope="session")
def non_members():
    return draw(2)

@pytest.fixture(scope="session")
def image_encoder():
    return Pixels()

class Model:
    """Draws what it remembers, mixed with noise."""

    def __init__(self, members, share):
        self.remembered = {s.caption: np.asarray(s.image, float) for s in members}
        self.share, self.fingerprint, self.calls = share, f"model-{share}", 0

    def __call__(self, prompts, seeds):
        self.calls += 1
        images = []
        for prompt, seed in zip(prompts, seeds):
            time.sleep(SLEEP)
            with open(os.environ["LOG"], "a") as log:
                log.write(f"{seed}\\n")
            digest = hashlib.sha256(f"{prompt}{seed}".encode()).hexdigest()
            noise = np.random.default_rng(int(digest[:8], 16)).integers(0, 256, (8, 8, 3))
            own = self.remembered.get(prompt, noise)
            images.append(Image.fromarray(np.uint8(self.share * own + (1 - self.share) * noise)))
        return images

@pytest.fixture(scope="session")
def target_model(members):
    return Model(members, 0.9)
'''
LEAKS = """
@pytest.mark.privacy_budget(max_auc=0.6, scenarios="I", batch_size=4)
def test_leak(membership_attack):
    pass
"""
IS_CLEAN = """
@pytest.fixture
def clean_model(members):
    return Model(members, 0.0)

@pytest.mark.privacy_budget(max_auc=0.9, scenarios="I", batch_size=4)
class TestClean:
    @pytest.fixture(scope="class")
    def target_model(self, members):
        return Model(members, 0.0)

    def test_clean(self, membership_attack):
        pass
"""
OTHER_TEST = "\ndef test_other():\n    pass\n"


class Finding(NamedTuple):
    """What a fault left that it should not."""

    category: str
    text: str


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes
    ----------
    kind, name
        What it is called.
    inject
        Called in a process and a folder of its own; returns what should not be.
    """

    kind: str
    name: str
    inject: Callable[[Path], list[Finding]]


@dataclass
class Session:
    """How a session of pytest ended.

    Attributes
    ----------
    status
        Its exit status, below 0 for a signal; ``None`` if it was ended for taking too long.
    seconds, megabytes
        What it took.
    text
        Its output.
    record
        Its JSON, or ``None``.
    """

    status: int | None
    seconds: float
    megabytes: float
    text: str
    record: dict[str, Any] | None

    @property
    def verdicts(self) -> list[str]:
        """The verdicts of its record."""
        audits = (self.record or {}).get("audits", [])
        return [result["verdict"] for audit in audits for result in audit["results"]]

    @property
    def results(self) -> list[Any]:
        """All that was measured and concluded, without times."""
        audits = (self.record or {}).get("audits", [])
        return [(audit["name"], audit["results"]) for audit in audits if audit["results"]]

    def check(self, *, trace: bool = False) -> list[Finding]:
        """Return what no session may leave, whatever happened in it."""
        findings = []
        if self.status is None:
            findings.append(Finding(HANG, f"not ended after {self.seconds:.0f} s"))
        if self.megabytes > MAX_MEGABYTES:
            findings.append(Finding(MEMORY, f"{self.megabytes:.0f} MB"))
        if not trace and (match := TRACE.search(self.text)):
            last = self.text[match.start() :].strip().splitlines()
            lines = [line for line in last if re.search(r"\w(Error|Exception|Exit)\b", line)]
            findings.append(Finding(OTHER, (lines or last)[-1][:160]))
        code = (self.record or {}).get("exit_status")
        passed = (self.record or {}).get("complete") and set(self.verdicts) == {"pass"}
        if self.status not in (0, None) and code == 0 and not passed:
            findings.append(Finding(GREEN_WITHOUT, f"the record says 0, it was {self.status}"))
        return findings


# -- processes


@dataclass
class Machine:
    """What a healthy run takes here, and a store that one has filled."""

    seconds: float = 10.0
    warm: Path = Path()
    results: list[Any] = field(default_factory=list)


MACHINE = Machine()


def fork(folder: Path, environment: dict[str, str], run: Callable[[], int]) -> int:
    """Run a function in a process of its own, whose output goes to a file of the folder."""
    home, temporary = folder / "home", folder / "tmp"
    home.mkdir(exist_ok=True)
    temporary.mkdir(exist_ok=True)
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)  # under nohup, one would be ignored
        os.chdir(folder)
        os.environ.update(
            HOME=str(home),
            TMPDIR=str(temporary),
            XDG_CACHE_HOME=str(home / ".cache"),
            LOG=str(folder / "log"),
            PRIVAUDIT_STORE_KEY=PLANTS["store key"],
            HF_HUB_OFFLINE="1",
            COLUMNS="200",
            PYTHONDONTWRITEBYTECODE="1",
            PYTHONPATH=str(ROOT),
            **environment,
        )
        tempfile.tempdir = None
        output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        sys.path.insert(0, str(ROOT))
        status = run()
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # as the interpreter would
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status & 0xFF)
    return 0


def finish(child: int, limit: float) -> tuple[int | None, float, float]:
    """Wait for a process; return its status, and what it took in seconds and MB."""
    started = time.monotonic()
    while True:
        ended, code, usage = os.wait4(child, os.WNOHANG)
        seconds = time.monotonic() - started
        if ended:
            status = os.waitstatus_to_exitcode(code)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # what it left behind, such as workers
            return status, seconds, usage.ru_maxrss / 1024
        if seconds > limit:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            _, _, usage = os.wait4(child, 0)
            return None, seconds, usage.ru_maxrss / 1024
        time.sleep(0.02)


def write_audit(
    folder: Path, test: str = LEAKS, head: str = AUDIT, ini: str = "", **files: str
) -> None:
    """Write an audit and its companions into a folder."""
    (folder / "test_model.py").write_text(f"{head}\n{test}")
    (folder / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
    for name, content in files.items():
        (folder / f"{name}.py").write_text(content)


def start_session(
    folder: Path, *arguments: str, environment: dict[str, str] | None = None, fresh: bool = False
) -> int:
    """Start pytest on the audit of a folder.

    Forked it costs a second; ``fresh`` starts an interpreter, for faults of what is imported.
    """
    words = ["-q", "-p", "no:cacheprovider", "--privaudit-store=store", *BATCHES, *arguments]

    def run() -> int:
        import pytest

        if fresh:
            os.execv(sys.executable, [sys.executable, "-m", "pytest", *words])  # noqa: S606
        sys.argv = ["pytest", *words]
        return int(pytest.main(words))

    return fork(folder, environment or {}, run)


def read_session(folder: Path, child: int, *, slack: float = 0.0) -> Session:
    """Wait for a session that was started, and read what it left."""
    status, seconds, megabytes = finish(child, 3 * MACHINE.seconds + MAX_SECONDS + slack)
    record = None
    with contextlib.suppress(OSError, ValueError):
        if stat.S_ISREG((folder / "out.json").stat().st_mode):
            record = json.loads((folder / "out.json").read_text())
    text = (folder / "output.txt").read_text(errors="replace")
    return Session(status, seconds, megabytes, text, record)


def run_session(folder: Path, *arguments: str, slack: float = 0.0, **more: Any) -> Session:
    """Run pytest on the audit of a folder."""
    for name in ("output.txt", "out.json"):
        path = folder / name
        if path.is_file() and not path.is_symlink():
            path.unlink()
    return read_session(folder, start_session(folder, *arguments, **more), slack=slack)


def call(folder: Path, action: Callable[[], Any], slack: float = 0.0) -> list[Finding]:
    """Call something in a process of its own: it returns, or raises an error of privaudit's."""
    from privaudit.errors import PrivauditError

    def run() -> int:
        try:
            action()
        except PrivauditError as error:
            print(f"typed {type(error).__name__}: {error}")
        except SystemExit as leaving:
            print(f"exit {leaving.code}")
        except BaseException as error:
            print(f"other {type(error).__name__}: {str(error)[:200]}")
        return 0

    status, seconds, megabytes = finish(fork(folder, {}, run), MAX_SECONDS + slack + 5)
    text = (folder / "output.txt").read_text(errors="replace")
    findings = []
    if status is None:
        findings.append(Finding(HANG, f"not ended after {seconds:.0f} s"))
    elif status:
        findings.append(Finding(OTHER, f"ended with {status}"))
    if megabytes > MAX_MEGABYTES:
        findings.append(Finding(MEMORY, f"{megabytes:.0f} MB"))
    findings += [
        Finding(OTHER, line[6:200]) for line in text.splitlines() if line.startswith("other ")
    ]
    if TRACE.search(text):
        findings.append(Finding(OTHER, text.strip().splitlines()[-1][:160]))
    return findings


# -- ways a session can end


class Ending(NamedTuple):
    """A way to end; plain and strict say whether exit 0 is right where there is no verdict.

    ``"red"``: never. ``"any"``: it shows or makes no test by what it is, or its own test expected
    the failure. Plain, a skipped or deselected audit is the user's affair; strict, it is red.
    """

    arguments: tuple[str, ...] = ()
    plain: str = "red"
    strict: str = "red"
    trace: bool = False
    fresh: bool = False
    environment: dict[str, str] = {}  # noqa: RUF012
    files: dict[str, str] = {}  # noqa: RUF012


def marked(mark: str, test: str = LEAKS) -> str:
    """Return an audit with a mark on its test."""
    return test.replace("def test_leak", f"{mark}\ndef test_leak")


def body(code: str, test: str = LEAKS) -> str:
    """Return an audit whose test has another body."""
    return test.replace("    pass", f"    {code}")


def model(code: str) -> str:
    """Return an audit whose target model is a fixture with that body."""
    lines = code.replace("\n", "\n    ")
    return f"\n@pytest.fixture(scope='session')\ndef target_model(members):\n    {lines}\n{LEAKS}"


def with_files(test: str = LEAKS, **files: str) -> dict[str, str]:
    """Return the files of an audit, by what :func:`write_audit` calls them."""
    return {"test": test, **files}


SET_UP_SKIP = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    if "leak" in item.name:
        pytest.skip("no GPU")
"""
DROP = """
def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if "leak" not in item.name]
"""
REWRITE = """
import pytest

@pytest.hookimpl(wrapper=True{order})
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        report.outcome = {outcome}
    return report
"""
STATUS = """
import pytest

@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    session.exitstatus = 0
"""
SKIPS = {"plain": "any"}
SHOWS = {"plain": "any", "strict": "any"}
BOTH = LEAKS + IS_CLEAN
ENDINGS: dict[str, Ending] = {
    "nothing special": Ending(),
    "clean model alone": Ending(files=with_files(IS_CLEAN), **SHOWS),
    "-k nothing": Ending(("-k", "zzz")),
    "-k another test": Ending(("-k", "other"), files=with_files(LEAKS + OTHER_TEST), **SKIPS),
    "-k another audit": Ending(("-k", "clean"), files=with_files(BOTH), **SKIPS),
    "--deselect": Ending(
        ("--deselect", "test_model.py::test_leak"), files=with_files(LEAKS + OTHER_TEST), **SKIPS
    ),
    "--deselect, another audit": Ending(
        ("--deselect", "test_model.py::test_leak"), files=with_files(BOTH), **SKIPS
    ),
    "-m not": Ending(("-m", "not privacy_budget"), files=with_files(LEAKS + OTHER_TEST), **SKIPS),
    "--ignore": Ending(("--ignore=test_model.py",), files=with_files(test_b=OTHER_TEST), **SKIPS),
    "-x after a failure": Ending(
        ("-x",), files=with_files("\ndef test_a():\n    assert 0\n" + LEAKS)
    ),
    "--maxfail": Ending(
        ("--maxfail=1",), files=with_files("\ndef test_a():\n    assert 0\n" + LEAKS)
    ),
    "--stepwise": Ending(("-p", "cacheprovider", "--stepwise")),
    "--co": Ending(("--co",), **SKIPS),
    "--co by PYTEST_ADDOPTS": Ending(environment={"PYTEST_ADDOPTS": "--co"}, **SKIPS),
    "--co by the ini": Ending(files=with_files(ini="addopts = --co"), **SKIPS),
    "--setup-only": Ending(("--setup-only",), **SKIPS),
    "--setup-plan": Ending(("--setup-plan",), **SKIPS),
    "--fixtures": Ending(("--fixtures",), **SHOWS),
    "--fixtures-per-test": Ending(("--fixtures-per-test",), **SHOWS),
    "--markers": Ending(("--markers",), **SHOWS),
    "--help": Ending(("--help",), **SHOWS),
    "--version": Ending(("--version",), **SHOWS),
    "--privaudit-plan": Ending(("--privaudit-plan",), **SKIPS),
    "plan by PYTEST_ADDOPTS": Ending(environment={"PYTEST_ADDOPTS": "--privaudit-plan"}, **SKIPS),
    "plan by the ini": Ending(files=with_files(ini="privaudit_plan = true"), **SKIPS),
    "-p no:privaudit": Ending(("-p", "no:privaudit")),
    "-p no:privaudit-session": Ending(("-p", "no:privaudit-session")),
    "-p no:privaudit-planning": Ending(("-p", "no:privaudit-planning")),
    "-p no:privaudit-session by PYTEST_ADDOPTS": Ending(
        environment={"PYTEST_ADDOPTS": "-p no:privaudit-session"}
    ),
    "-p no:privaudit-session by the ini": Ending(
        files=with_files(ini="addopts = -p no:privaudit-session")
    ),
    "-p no:terminal": Ending(("-p", "no:terminal")),
    "-p no:python": Ending(("-p", "no:python")),
    "-p no:skipping": Ending(("-p", "no:skipping"), files=with_files(marked("@pytest.mark.xfail"))),
    "-p no:junitxml": Ending(("-p", "no:junitxml")),
    "no autoload": Ending(environment={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}),
    "xfail": Ending(files=with_files(marked("@pytest.mark.xfail")), **SHOWS),
    "xfail, not run": Ending(files=with_files(marked("@pytest.mark.xfail(run=False)")), **SKIPS),
    "xfail of another error": Ending(
        files=with_files(marked("@pytest.mark.xfail(raises=ZeroDivisionError)"))
    ),
    "pytest.xfail in the body": Ending(files=with_files(body("pytest.xfail('known')")), **SHOWS),
    "skip": Ending(files=with_files(marked("@pytest.mark.skip")), **SKIPS),
    "skip, another audit": Ending(
        files=with_files(marked("@pytest.mark.skip") + IS_CLEAN), **SKIPS
    ),
    "skipif": Ending(
        files=with_files(marked("@pytest.mark.skipif(True, reason='no GPU')")), **SKIPS
    ),
    "skip by the model": Ending(files=with_files(model("pytest.skip('no GPU')")), **SKIPS),
    "skip by a hook, another audit": Ending(files=with_files(BOTH, conftest=SET_UP_SKIP), **SKIPS),
    "skip in the body": Ending(files=with_files(body("pytest.skip('x')"))),
    "skip of the module": Ending(
        files=with_files(
            "\npytest.skip('no GPU', allow_module_level=True)\n" + LEAKS, test_b=OTHER_TEST
        ),
        **SKIPS,
    ),
    "skip by the model while it draws": Ending(
        files=with_files(model("def f(p, s): pytest.skip('busy')\nreturn f")), **SKIPS
    ),
    "SkipTest while it draws": Ending(
        files=with_files(
            model(
                "def f(p, s):\n    import unittest\n    raise unittest.SkipTest('busy')\nreturn f"
            )
        )
    ),
    "xfail while it draws": Ending(
        files=with_files(model("def f(p, s): pytest.xfail('busy')\nreturn f")), **SKIPS
    ),
    "pytest.exit(0) in a fixture": Ending(
        files=with_files(model("pytest.exit('no GPU', returncode=0)"))
    ),
    "pytest.exit(0) in the body": Ending(files=with_files(body("pytest.exit('x', returncode=0)"))),
    "pytest.exit(0) later": Ending(
        files=with_files(LEAKS + "\ndef test_z():\n    pytest.exit('x', returncode=0)\n")
    ),
    "pytest.exit(0) before": Ending(
        files=with_files("\ndef test_a():\n    pytest.exit('x', returncode=0)\n" + LEAKS)
    ),
    "pytest.exit(0) in the conftest": Ending(
        files=with_files(conftest="import pytest\npytest.exit('x', returncode=0)\n"), **SHOWS
    ),
    "pytest.exit() in a fixture": Ending(files=with_files(model("pytest.exit('no GPU')"))),
    "pytest.exit(0) while it draws": Ending(
        files=with_files(model("def f(p, s): pytest.exit('x', returncode=0)\nreturn f"))
    ),
    "sys.exit(0) in a fixture": Ending(files=with_files(model("import sys; sys.exit(0)"))),
    "sys.exit(0) while it draws": Ending(
        files=with_files(model("import sys\ndef f(p, s): sys.exit(0)\nreturn f"))
    ),
    "sys.exit(0) in the module": Ending(
        files=with_files("\nimport sys; sys.exit(0)\n" + LEAKS),
        trace=True,  # pytest's own words
    ),
    "os._exit(0) while it draws": Ending(
        files=with_files(model("import os\ndef f(p, s): os._exit(0)\nreturn f")), **SHOWS
    ),
    "KeyboardInterrupt while it draws": Ending(
        files=with_files(model("def f(p, s): raise KeyboardInterrupt\nreturn f"))
    ),
    "no captioner for II": Ending(
        ("--privaudit-scenarios=II",),
        files=with_files(LEAKS.replace('scenarios="I", ', "")),
        **SKIPS,
    ),
    "no shadow model for III and IV": Ending(
        ("--privaudit-scenarios=III,IV",),
        files=with_files(LEAKS.replace('scenarios="I", ', "")),
        **SKIPS,
    ),
    "no members": Ending(
        files=with_files(
            "\n@pytest.fixture(scope='session')\ndef members():\n    return []\n" + LEAKS
        )
    ),
    "members are None": Ending(
        files=with_files(
            "\n@pytest.fixture(scope='session')\ndef members():\n    return None\n" + LEAKS
        )
    ),
    "one member": Ending(environment={"N": "1"}),
    "an error in the conftest": Ending(files=with_files(conftest="1/0\n"), trace=True),
    "an error in another file": Ending(files=with_files(test_b="1/0\n")),
    "an error in another file, going on": Ending(
        ("--continue-on-collection-errors",), files=with_files(test_b="1/0\n")
    ),
    "a fixture of the same name": Ending(
        files=with_files("\n@pytest.fixture\ndef membership_attack():\n    return 1\n" + LEAKS)
    ),
    "not named test_": Ending(files=with_files(LEAKS.replace("test_leak", "leak"))),
    "parametrized by nothing": Ending(
        files=with_files(
            marked("@pytest.mark.parametrize('x', [])").replace(
                "(membership_attack)", "(x, membership_attack)"
            )
        ),
        **SKIPS,
    ),
    "usefixtures": Ending(
        files=with_files(
            LEAKS.replace(
                "def test_leak(membership_attack)",
                "@pytest.mark.usefixtures('membership_attack')\ndef test_leak()",
            )
        )
    ),
    "the last plugin sets exit 0": Ending(files=with_files(conftest=STATUS), **SHOWS),
    "a conftest drops it": Ending(files=with_files(LEAKS + OTHER_TEST, conftest=DROP), **SKIPS),
    "a conftest drops it, another audit": Ending(files=with_files(BOTH, conftest=DROP), **SKIPS),
    "a report made green": Ending(
        files=with_files(conftest=REWRITE.format(order="", outcome="'passed'"))
    ),
    "a report made green, first": Ending(
        files=with_files(conftest=REWRITE.format(order=", tryfirst=True", outcome="'passed'"))
    ),
    "a report made skipped": Ending(
        files=with_files(
            conftest=REWRITE.format(
                order="", outcome="'skipped'; report.longrepr = ('a', 1, 'quarantine')"
            )
        )
    ),
    "a report swallowed": Ending(
        files=with_files(
            conftest="import pytest\n@pytest.hookimpl(tryfirst=True)\n"
            "def pytest_runtest_protocol(item, nextitem):\n    return True\n"
        )
    ),
    "a loop that runs nothing": Ending(
        files=with_files(
            conftest="import pytest\n@pytest.hookimpl(tryfirst=True)\n"
            "def pytest_runtestloop(session):\n    return True\n"
        )
    ),
    "a body that swallows": Ending(
        files=with_files(
            body("try:\n        membership_attack.check()\n    except BaseException:\n        pass")
        )
    ),
    "sessionfinish raises": Ending(
        files=with_files(IS_CLEAN, conftest="def pytest_sessionfinish(session):\n    1/0\n"),
        trace=True,
    ),
    "JSON on a full device": Ending(("--privaudit-json=/dev/full",), files=with_files(IS_CLEAN)),
    "JSON below a file": Ending(
        ("--privaudit-json=pytest.ini/x.json",), files=with_files(IS_CLEAN)
    ),
    "history that cannot be written": Ending(
        ("--privaudit-history=pytest.ini/x",), files=with_files(IS_CLEAN), **SHOWS
    ),
    "-n2": Ending(("-n2",)),
    "-n2 -x": Ending(("-n2", "-x")),
    "-n2, nothing": Ending(("-n2", "-k", "zzz")),
    "-n0": Ending(("-n0",)),
    "-n2, pytest.exit(0) in a fixture": Ending(
        ("-n2",),
        files=with_files(model("pytest.exit('no GPU', returncode=0)")),
        trace=True,  # an assertion of xdist's own
    ),
    "-n2, os._exit(0) while it draws": Ending(
        ("-n2", "--max-worker-restart=0"),
        files=with_files(model("import os\ndef f(p, s): os._exit(0)\nreturn f")),
    ),
    "-n2, skip by the model": Ending(
        ("-n2",), files=with_files(model("pytest.skip('no GPU')")), **SKIPS
    ),
    "-n2, a report made green": Ending(
        ("-n2",), files=with_files(conftest=REWRITE.format(order="", outcome="'passed'"))
    ),
    "reruns": Ending(("--reruns=2",)),
    "reruns, sequential": Ending(("--reruns=2", "--privaudit-sequential")),
    "reruns, skipped the second time": Ending(
        ("--reruns=1",),
        files=with_files(
            "\n@pytest.fixture\ndef again(request):\n"
            "    if getattr(request.node, 'execution_count', 1) > 1:\n"
            "        pytest.skip('again')\n"
            + LEAKS.replace("(membership_attack)", "(again, membership_attack)")
        ),
    ),
    "sequential": Ending(("--privaudit-sequential",)),
    "warnings are errors": Ending(("-W", "error"), fresh=True),
    "no torch": Ending(
        files=with_files(conftest="import sys\nsys.modules['torch'] = None\n"),
        fresh=True,
        trace=True,
    ),
    "no sklearn": Ending(
        files=with_files(
            conftest="import sys\nfor name in ('sklearn', 'sklearn.metrics'):\n"
            "    sys.modules[name] = None\n"
        ),
        fresh=True,
        trace=True,
    ),
    "async": Ending(files=with_files(LEAKS.replace("def test_leak", "async def test_leak"))),
    "a generator": Ending(files=with_files(body("yield"))),
    "a unittest class": Ending(
        files=with_files(
            "\nimport unittest\nclass TestX(unittest.TestCase):\n"
            "    def test_leak(self, membership_attack=None): pass\n"
        ),
        **SKIPS,
    ),
    "the marker without the fixture": Ending(
        files=with_files(LEAKS.replace("(membership_attack)", "()")), **SKIPS
    ),
    "no such file": Ending(("nowhere.py",)),
    "a budget that is no number": Ending(("--privaudit-budget=nan",)),
    "other names of tests": Ending(("-o", "python_functions=zzz")),
    "a budget of 1": Ending(
        ("--privaudit-budget=1",), files=with_files(LEAKS.replace("max_auc=0.6, ", "")), **SHOWS
    ),
}


def end(folder: Path, name: str, ending: Ending, *, strict: bool) -> list[Finding]:
    """Let a session end in this way; the leak that it has must be red wherever it can be seen."""
    write_audit(folder, **ending.files)
    more = ("--privaudit-strict",) if strict else ()
    ran = run_session(
        folder,
        *ending.arguments,
        *more,
        environment=ending.environment,
        fresh=ending.fresh,
        slack=30 if "-n2" in ending.arguments or ending.fresh else 0,
    )
    findings = ran.check(trace=ending.trace)
    expected = ending.strict if strict else ending.plain
    if ran.status == 0 and expected == "red":
        findings.append(Finding(GREEN_WITHOUT, f"verdicts {ran.verdicts}"))
    if (
        ran.status == 0
        and name == "os._exit(0) while it draws"
        and (ran.record or {}).get("complete")
    ):
        findings.append(Finding(GREEN_WITHOUT, "and the record is complete"))
    cell = "-" if ran.record is None else f"{ran.record['exit_status']}"
    whole = "" if ran.record is None or ran.record["complete"] else ", incomplete"
    write_cell(folder, f"{ran.status} (JSON {cell}{whole})")
    return findings


def endings() -> Iterator[Fault]:
    """Ways a session can end, plain and strict."""
    for name, ending in ENDINGS.items():
        for strict in (False, True):
            run = functools.partial(end, name=name, ending=ending, strict=strict)
            yield Fault("endings", f"{name}, {'strict' if strict else 'plain'}", run)


def write_cell(folder: Path, text: str) -> None:
    """Write a cell of the table of endings."""
    (folder / "cell.txt").write_text(text)


# -- signals

SIGNALS = {
    "KILL": [signal.SIGKILL],
    "TERM": [signal.SIGTERM],
    "TERM twice": [signal.SIGTERM, signal.SIGTERM],
    "INT": [signal.SIGINT],
    "INT twice": [signal.SIGINT, signal.SIGINT],
    "HUP": [signal.SIGHUP],
    "QUIT": [signal.SIGQUIT],
}
MOMENTS = (0, 3, 9, 20, 34)
"""Pictures that are drawn when the signal comes; the audit asks for 32 and its checks."""


def interrupt(folder: Path, name: str, signals: list[int], moment: int) -> list[Finding]:
    """Send signals in the middle of an audit, and run it again."""
    write_audit(folder)
    child = start_session(folder, environment={"SLEEP": "0.05"})
    log, begun = folder / "log", time.monotonic()

    def n_drawn() -> int:
        return len(log.read_text().split()) if log.exists() else 0

    while n_drawn() < moment and time.monotonic() - begun < 3 * MACHINE.seconds + 10:
        if _ended(child):
            break
        time.sleep(0.01)
    if not moment:
        time.sleep(random.Random(name).uniform(0.1, 1.0))  # noqa: S311
    alive = not _ended(child)
    sent = time.monotonic()
    for number in signals:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)
        time.sleep(0.05)
    first = read_session(folder, child)
    findings = first.check(trace=True)
    if first.status is not None and time.monotonic() - sent > MAX_SECONDS + MACHINE.seconds:
        findings.append(
            Finding(HANG, f"{time.monotonic() - sent:.0f} s from the signal to the end")
        )
    if alive and first.status == 0:
        findings.append(Finding(GREEN_WITHOUT, "after the signal"))
    polite = name.partition(" ")[0] in ("TERM", "INT", "HUP")
    if alive and polite and moment and first.record is None and moment < 30:
        findings.append(Finding(LOST, "no record after the signal"))
    if alive and first.record is not None and first.record["complete"] and moment < 30:
        findings.append(Finding(LOST, "the record says that it is complete"))
    n_before = n_drawn()
    again = run_session(folder)
    findings += again.check()
    if again.status != 1 or again.results != MACHINE.results:
        findings.append(Finding(LOST, f"another record after the rerun, exit {again.status}"))
    seeds = log.read_text().split()
    twice = len(seeds) - len(set(seeds))
    if twice > 16:
        findings.append(Finding(LOST, f"{twice} of {n_before} pictures were drawn again"))
    return findings


def _ended(child: int) -> bool:
    """Whether a process has ended, without taking its status away."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def signals() -> Iterator[Fault]:
    """Signals in the middle, then a rerun."""
    for name, numbers in SIGNALS.items():
        for moment in MOMENTS:
            run = functools.partial(interrupt, name=name, signals=numbers, moment=moment)
            yield Fault("signals", f"{name} at picture {moment}", run)


# -- stores


def images(store: Path) -> list[Path]:
    """Return the files of a store's images."""
    return sorted(store.glob("images/*/*.png"))


def table(store: Path) -> Path:
    """Return the file of a store's values."""
    return store / "values.sqlite"


def each_image(change: Callable[[Path], object]) -> Callable[[Path], None]:
    """Damage some images, and forget what was measured of them, so that they are read."""

    def damage(store: Path) -> None:
        forget(store)
        for path in random.Random(7).sample(images(store), 8):  # noqa: S311
            change(path)

    return damage


def forget(store: Path) -> None:
    """Take away what was measured, so that images are read."""
    table(store).unlink()


def replace(path: Path, make: Callable[[Path], object]) -> None:
    """Put something else in the place of a file."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    make(path)


def flip(path: Path) -> None:
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def swap(store: Path) -> None:
    """Exchange images under each other's names."""
    forget(store)
    paths = images(store)
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, contents[1:] + contents[:1], strict=True):
        path.write_bytes(content)


def blank(path: Path) -> None:
    """Write another picture, as another program would."""
    from PIL import Image

    Image.new("RGB", (8, 8), "red").save(path, "PNG")


def sql(*statements: str) -> Callable[[Path], None]:
    """Change a store's values by SQL."""

    def damage(store: Path) -> None:
        with contextlib.closing(sqlite3.connect(table(store))) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    return damage


def reseal(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Change stored values, and make their checksums right again as far as no key is needed."""

    def damage(store: Path) -> None:
        with contextlib.closing(sqlite3.connect(table(store))) as connection, connection:
            rows = connection.execute("select rowid, content from value").fetchall()
            for number, content in rows:
                if isinstance(content, bytes) and len(content) >= 8 and content[:1] not in b'[{"':
                    new = change(content)
                    connection.execute(
                        "update value set content = ? where rowid = ?", (new, number)
                    )
                    with contextlib.suppress(sqlite3.Error):
                        connection.execute(
                            "update value set checksum = ? where rowid = ?",
                            (zlib.crc32(new), number),
                        )

    return damage


def connect(path: Path) -> None:
    """Make a socket; its path may be longer than the system lets a socket's be."""
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(path.parent)
        listening.bind(path.name)


STORES: dict[str, Callable[[Path], object]] = {
    "images cut": each_image(lambda p: p.write_bytes(p.read_bytes()[:60])),
    "images flipped": each_image(flip),
    "images empty": each_image(lambda p: p.write_bytes(b"")),
    "images are text": each_image(lambda p: p.write_text("hello")),
    "images are others": each_image(blank),
    "images under other names": swap,
    "images are folders": each_image(lambda p: replace(p, Path.mkdir)),
    "images are FIFOs": each_image(lambda p: replace(p, os.mkfifo)),
    "images are sockets": each_image(lambda p: replace(p, connect)),
    "images are links to nowhere": each_image(
        lambda p: replace(p, lambda q: q.symlink_to("/nowhere"))
    ),
    "images are links to /dev/zero": each_image(
        lambda p: replace(p, lambda q: q.symlink_to("/dev/zero"))
    ),
    "images are links outside": each_image(
        lambda p: replace(p, lambda q: q.symlink_to("/etc/hostname"))
    ),
    "images' folder is a file": lambda s: (
        forget(s),
        replace(s / "images", lambda q: q.write_text("x")),
    ),
    "the store is a file": lambda s: replace(s, lambda q: q.write_text("x")),
    "the store is a link to nowhere": lambda s: replace(s, lambda q: q.symlink_to("/nowhere/x")),
    "the store is a FIFO": lambda s: replace(s, os.mkfifo),
    "a foreign file": lambda s: (s / "notes.txt").write_text("hello"),
    "table empty": lambda s: table(s).write_bytes(b""),
    "table cut": lambda s: table(s).write_bytes(table(s).read_bytes()[:3000]),
    "table garbage": lambda s: table(s).write_bytes(random.Random(1).randbytes(9000)),  # noqa: S311
    "table header alone": lambda s: table(s).write_bytes(table(s).read_bytes()[:100]),
    "table flipped": lambda s: flip(table(s)),
    "table of version 99": sql("pragma user_version = 99"),
    "table of version -1": sql("pragma user_version = -1"),
    "table of another program": lambda s: (forget(s), sql("create table t(x)")(s)),
    "table with a column more": sql("alter table value add column y"),
    "table without rows": sql("delete from value"),
    "table without its table": sql("drop table value"),
    "values are NULL": sql(
        "create table copy as select * from value",
        "drop table value",
        "alter table copy rename to value",
        "update value set content = null",
    ),
    "values are text": sql("update value set content = 'abc'"),
    "values are numbers": sql("update value set content = 7"),
    "checksums are text": sql("update value set checksum = 'abc'"),
    "values of half the length, resealed": reseal(lambda raw: raw[: len(raw) // 8 * 4]),
    "values are NaN, resealed": reseal(lambda raw: b"\0\0\xc0\x7f" * (len(raw) // 4)),
    "values with a byte more, resealed": reseal(lambda raw: raw + b"x"),
    "values empty, resealed": reseal(lambda _: b""),
    "values all zero, resealed": reseal(lambda raw: bytes(len(raw))),
    "values reversed, resealed": reseal(lambda raw: raw[::-1]),
    "table is a folder": lambda s: replace(table(s), Path.mkdir),
    "table is a FIFO": lambda s: replace(table(s), os.mkfifo),
    "table is a link to nowhere": lambda s: replace(table(s), lambda q: q.symlink_to("/nowhere/x")),
    "a hot journal of garbage": lambda s: Path(f"{table(s)}-journal").write_bytes(b"x" * 5000),
    "table in WAL mode": sql("pragma journal_mode = wal"),
}


def damage_store(folder: Path, damage: Callable[[Path], object]) -> list[Finding]:
    """Damage a filled store, and run the audit on it: the same record, or an error, with a JSON."""
    write_audit(folder)
    shutil.copytree(MACHINE.warm, folder / "store", symlinks=True)
    here = Path.cwd()
    damage(folder / "store")
    os.chdir(here)
    ran = run_session(folder)
    findings = ran.check()
    if ran.status == 0:
        findings.append(Finding(GREEN_WITHOUT, f"verdicts {ran.verdicts}"))
    if ran.record is None:
        findings.append(Finding(LOST, "no record"))
    elif ran.results and ran.results != MACHINE.results:
        findings.append(Finding(LOST, "another record"))
    elif not ran.results and not re.search(r"\((Store|Setting)Error\)|StoreError|store", ran.text):
        findings.append(Finding(LOST, "no result, and no word of the store"))
    return findings


def stores() -> Iterator[Fault]:
    """Damaged stores."""
    for name, damage in STORES.items():
        yield Fault("stores", name, functools.partial(damage_store, damage=damage))


# -- targets that misbehave on their 4th batch

TARGETS = {
    "ValueError": "fail(ValueError('x'))",
    "MemoryError": "fail(MemoryError())",
    "no space": "fail(OSError(28, 'No space left'))",
    "RecursionError": "fail(RecursionError())",
    "StopIteration": "fail(StopIteration())",
    "GeneratorExit": "fail(GeneratorExit())",
    "SystemExit 0": "fail(SystemExit(0))",
    "its own BaseException": "fail(type('Odd', (BaseException,), {})('x'))",
    "AssertionError": "fail(AssertionError('x'))",
    "a pickled error": "fail(__import__('pickle').PicklingError('x'))",
    "pytest.fail": "pytest.fail('x')",
    "pytest.skip": "pytest.skip('x')",
    "UserWarning": "fail(UserWarning('x'))",
    "SampleError": "fail(privaudit.errors.SampleError('x'))",
    "InvalidAuditError": "fail(privaudit.errors.InvalidAuditError('x'))",
    "BrokenPipeError": "fail(BrokenPipeError())",
    "TimeoutError": "fail(TimeoutError())",
    "KeyError": "fail(KeyError('images'))",
    "out of CUDA memory": "fail(torch.cuda.OutOfMemoryError('CUDA out of memory'))",
    "one fewer": "out[:-1]",
    "one more": "out + out[:1]",
    "an empty list": "[]",
    "None": "None",
    "a None among them": "[None] + out[1:]",
    "a picture alone": "out[0]",
    "a string": "'abc'",
    "strings": "['x'] * len(out)",
    "a dictionary": "{'a': 1}",
    "a generator": "(x for x in out)",
    "a size": "[out[0].resize((9, 9))] + out[1:]",
    "no pixels": "[Image.new('RGB', (0, 0))] + out[1:]",
    "one pixel": "[Image.new('RGB', (1, 1))] + out[1:]",
    "a large one": "[Image.new('L', (9000, 9000))] + out[1:]",
    "NaN pixels": "[Image.fromarray(np.full((8, 8), np.nan, np.float32))] + out[1:]",
    "infinite pixels": "[Image.fromarray(np.full((8, 8), np.inf, np.float32))] + out[1:]",
    "a NaN array": "np.full((len(out), 8, 8, 3), np.nan)",
    "black": "[Image.new('RGB', (8, 8))] * len(out)",
    "black from now on": "for_good(lambda out: [Image.new('RGB', (8, 8)) for _ in out])",
    "one for all from now on": "for_good(lambda out: [out[0]] * len(out))",
    "a cut file": "[cut()] + out[1:]",
    "palettes": "[x.convert('P') for x in out]",
    "CMYK": "[x.convert('CMYK') for x in out]",
    "transparent": "[Image.new('RGBA', (8, 8), (0, 0, 0, 0))] * len(out)",
    "closed": "[(x.close(), x)[1] for x in out]",
    "another order": "out[::-1]",
    "another folder": "(os.chdir('/'), out)[1]",
    "NumPy's seed": "(np.random.seed(0), out)[1]",
    "the default dtype": "(torch.set_default_dtype(torch.float16), out)[1]",
    "no gradients": "(torch.set_grad_enabled(False), out)[1]",
    "NumPy raises": "(np.seterr(all='raise'), out)[1]",
    "warnings are errors": "(__import__('warnings').simplefilter('error'), out)[1]",
    "Pillow's limit": "(setattr(Image, 'MAX_IMAGE_PIXELS', 4), out)[1]",
    "a store that is gone": "(__import__('shutil').rmtree('store'), out)[1]",
    "another umask": "(os.umask(0), out)[1]",
    "closed output": "(os.close(1), out)[1]",
}
MISBEHAVES = """
def fail(error):
    raise error

def cut():
    import io
    file = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(file, "PNG")
    return Image.open(io.BytesIO(file.getvalue()[:2000]))

class Bad(Model):
    fault = None

    def __call__(self, prompts, seeds):
        out = super().__call__(prompts, seeds)
        if self.calls == 4:
            def for_good(change):
                self.fault = change
                return change(out)
            return eval(os.environ["FAULT"], {**globals(), "out": out, "for_good": for_good})
        return self.fault(out) if self.fault else out

@pytest.fixture(scope="session")
def target_model(members):
    return Bad(members, 0.9)
"""


def misbehave(folder: Path, code: str) -> list[Finding]:
    """Let the target do something odd with its 4th batch: red, named in words or by the leak."""
    write_audit(folder, MISBEHAVES + LEAKS)
    ran = run_session(folder, "--privaudit-strict", environment={"FAULT": code})
    findings = ran.check()
    if ran.status == 0:
        findings.append(Finding(GREEN_WITHOUT, f"verdicts {ran.verdicts}"))
    if ran.record is None:
        findings.append(Finding(LOST, "no record"))
    if "picture 0" in ran.text or "picture 1" in ran.text or "picture 2" in ran.text:
        findings.append(Finding(SECRET, "a caption in the terminal"))
    return findings


def targets() -> Iterator[Fault]:
    """Targets that misbehave on their 4th batch."""
    for name, code in TARGETS.items():
        yield Fault("targets", name, functools.partial(misbehave, code=code))


# -- endpoints


def ask(folder: Path, answer: Any, secret: str = "") -> list[Finding]:
    """Ask a hostile service for a picture."""
    from tests.targets import test_endpoint_secrets as cases

    def action() -> None:
        os.environ["A_KEY"] = cases.KEY
        with cases.RawService(answer).running() as service:
            target = cases.endpoint(service, timeout=2, attempts=1)
            list(target.answer(cases.queries(1)))

    findings = call(folder, action, slack=8)
    text = (folder / "output.txt").read_text(errors="replace")
    if secret and (part := cases.shows(text, secret, 8)):
        findings.append(Finding(SECRET, f"the key: {part!r}"))
    if "typed " not in text and not findings:
        findings.append(Finding(GREEN_WITHOUT, "it was taken for a picture"))
    return findings


def reach(folder: Path, where: str, *, redirected: bool) -> list[Finding]:
    """Point to another server of this machine: it must not be asked."""
    from tests.targets import test_endpoint_secrets as cases

    with cases.RawService(cases.sends(cases.PICTURE)).running() as other:
        own_port = [0]

        def answer(connection: socket.socket, path: str) -> None:
            address = cases.INSIDE[where].format(port=other.port, own=own_port[0])
            hop = cases.raw_reply(b"", f"Location: {address}", status="302 Found")
            first = "/files/1.png" if redirected else address
            cases.points_to(first, hop)(connection, path)

        def action() -> None:
            os.environ["A_KEY"] = cases.KEY
            with cases.RawService(answer).running() as service:
                own_port[0] = service.port
                list(cases.endpoint(service, timeout=2, attempts=1).answer(cases.queries(1)))

        findings = call(folder, action, slack=8)
        if other.heads:
            findings.append(Finding(OUTSIDE, "another server was asked"))
            if any(cases.KEY in head for head in other.heads):
                findings.append(Finding(SECRET, "the key went to another server"))
    return findings


def endpoints() -> Iterator[Fault]:
    """Endpoints: hostile services on 127.0.0.1, as in the tests of endpoints."""
    from tests.targets import test_endpoint_secrets as cases

    for name, say in cases.SAYS.items():
        answer = cases.sends(say(cases.KEY))
        run = functools.partial(ask, answer=answer, secret=cases.KEY)
        yield Fault("endpoints", f"the key {name}", run)
    for name, answer in cases.SLOW.items():
        yield Fault("endpoints", name, functools.partial(ask, answer=answer))
    for name, (answer, _) in cases.LARGE.items():
        yield Fault("endpoints", name, functools.partial(ask, answer=answer))
    for layers in (1, 2):
        body = cases.raw_reply(
            cases.bomb(layers, 300), "Content-Encoding: " + ", ".join(["gzip"] * layers)
        )
        run = functools.partial(ask, answer=cases.sends(body))
        yield Fault("endpoints", f"300 MB of zeros in {layers} layers", run)
    for where in cases.INSIDE:
        for redirected in (False, True):
            run = functools.partial(reach, where=where, redirected=redirected)
            yield Fault("endpoints", f"{where}{', redirected' if redirected else ''}", run)


# -- special files, and files of another kind


def sparse(path: Path) -> None:
    """Make a file that is large and takes no room."""
    with path.open("wb") as file:
        file.truncate(3 * 2**30)


THINGS: dict[str, Callable[[Path], object]] = {
    "a FIFO": os.mkfifo,
    "a socket": connect,
    "a folder": Path.mkdir,
    "a link to nowhere": lambda p: p.symlink_to("/nowhere/x"),
    "a link to itself": lambda p: p.symlink_to(p.name),
    "a link to /dev/zero": lambda p: p.symlink_to("/dev/zero"),
    "empty": lambda p: p.write_bytes(b""),
    "random bytes": lambda p: p.write_bytes(random.Random(2).randbytes(9000)),  # noqa: S311
    "zeros": lambda p: p.write_bytes(bytes(5 * 2**20)),
    "3 GB of nothing": sparse,
    "deep JSON": lambda p: p.write_text("[" * 100_000),
    "a number of 5,000 digits": lambda p: p.write_text('{"file_name": ' + "9" * 5000 + "}"),
    "Latin-1": lambda p: p.write_bytes("Ein Bär".encode("latin-1") * 99),
}


def places(folder: Path) -> dict[str, tuple[str, Callable[[], object]]]:
    """Return where a file is expected: its name, and what reads it."""
    import numpy as np
    from PIL import Image

    import privaudit
    from privaudit.__main__ import main
    from privaudit.endpoints import ComfyUI

    data = folder / "data"
    data.mkdir()
    picture = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    picture.save(data / "a.png")
    (data / "a.txt").write_text("a caption")

    def samples(**more: Any) -> Callable[[], object]:
        return lambda: privaudit.load_samples(data, **more)

    def described() -> object:
        (data / "metadata.jsonl").write_text('{"file_name": "b.png", "text": "b"}\n')
        return privaudit.load_samples(data)

    return {
        "a picture": ("data/b.png", described),
        "metadata.jsonl": ("data/metadata.jsonl", samples()),
        "metadata.csv": ("data/metadata.csv", samples()),
        "metadata.parquet": ("data/metadata.parquet", samples()),
        "a caption file": ("data/b.txt", lambda: (picture.save(data / "b.png"), samples()())),
        "kohya.toml": ("kohya.toml", lambda: privaudit.load_samples(folder / "kohya.toml")),
        "a shard": ("0.tar", lambda: privaudit.load_samples(folder / "0.tar")),
        "weights": (
            "w.safetensors",
            lambda: privaudit.load_pipeline(folder / "w.safetensors"),
        ),
        "weights to inspect": (
            "i.safetensors",
            lambda: main(["inspect", str(folder / "i.safetensors")]),
        ),
        "history": ("h.sqlite", lambda: main(["history", str(folder / "h.sqlite")])),
        "a workflow": ("w.json", lambda: ComfyUI(folder / "w.json", text="6")),
    }


def put(folder: Path, place: str, thing: str) -> list[Finding]:
    """Put something else where a file is expected, and read it."""
    name, read = places(folder)[place]
    path, here = folder / name, Path.cwd()
    if path.exists():
        path.unlink()
    THINGS[thing](path)
    os.chdir(here)
    return call(folder, read, slack=5)


OUTPUTS = {
    "JSON": "--privaudit-json=x",
    "JUnit": "--junitxml=x",
    "history": "--privaudit-history=x",
    "baseline": "--privaudit-baseline=x",
    "store": "--privaudit-store=x",
}
IN_THE_WAY = ("a FIFO", "a socket", "a folder", "a link to nowhere", "a link to /dev/zero", "zeros")


def obstruct(folder: Path, option: str, thing: str) -> list[Finding]:
    """Put something where a session writes: red or written, and what was there is whole."""
    write_audit(folder)
    here = Path.cwd()
    THINGS[thing](folder / "x")
    os.chdir(here)
    ran = run_session(folder, option)
    findings = ran.check(trace="junitxml" in option)  # written by pytest itself
    if ran.status == 0:
        findings.append(Finding(GREEN_WITHOUT, f"verdicts {ran.verdicts}"))
    if thing == "a FIFO" and not stat.S_ISFIFO((folder / "x").lstat().st_mode):
        findings.append(Finding(OUTSIDE, "the FIFO was replaced"))
    if "link" in thing and not (folder / "x").is_symlink():
        findings.append(Finding(OUTSIDE, "the link was replaced"))
    return findings


def files() -> Iterator[Fault]:
    """Put special files, and files of another kind, where others are expected."""
    with tempfile.TemporaryDirectory() as folder:
        names = list(places(Path(folder)))
    for place in names:
        for thing in THINGS:
            run = functools.partial(put, place=place, thing=thing)
            yield Fault("files", f"{place} is {thing}", run)
    for output, option in OUTPUTS.items():
        for thing in IN_THE_WAY:
            if output == "JUnit" and thing == "a FIFO":
                continue  # pytest's own, which waits for a reader
            run = functools.partial(obstruct, option=option, thing=thing)
            yield Fault("files", f"{output} goes to {thing}", run)


# -- code of strangers


class Payload:
    """What a stranger's pickle runs."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def load_stranger(folder: Path, suffix: str, how: str) -> list[Finding]:
    """Load a file of weights that is a pickle with code in it: it must not run."""
    import torch

    import privaudit
    from privaudit.__main__ import main

    marker, path = folder / "outside" / "ran", folder / f"stranger{suffix}"
    torch.save({"weight": torch.zeros(1), "x": Payload(marker)}, path)
    ways: dict[str, Callable[[], object]] = {
        "base": lambda: privaudit.load_pipeline(path, config=str(base_folder(folder))),
        "inspect": lambda: main(["inspect", str(path)]),
        "encoder": lambda: privaudit.load_encoder(str(path)),
        "captioner": lambda: privaudit.load_captioner(str(path)),
        "adapter": lambda: privaudit.load_pipeline(base_folder(folder), lora=path),
        "part": lambda: privaudit.load_pipeline(with_part(folder, path)),
    }
    findings = call(folder, ways[how], slack=40)
    if marker.exists():
        findings.append(Finding(OUTSIDE, "the stranger's code ran"))
    if "weights_only" in (folder / "output.txt").read_text(errors="replace"):
        findings.append(Finding(OTHER, "the message teaches weights_only=False"))
    return findings


def base_folder(folder: Path) -> Path:
    """Save a tiny pipeline."""
    from tests.parts.pipelines import tiny_pipeline

    tiny_pipeline().save_pretrained(folder / "base")
    return folder / "base"


def with_part(folder: Path, path: Path) -> Path:
    """Save a tiny pipeline whose text encoder is a stranger's pickle."""
    base = base_folder(folder)
    for file in (base / "text_encoder").glob("*.safetensors"):
        file.unlink()
    shutil.copy(path, base / "text_encoder" / "pytorch_model.bin")
    return base


def strangers() -> Iterator[Fault]:
    """Code of strangers in files of weights."""
    for suffix in (".bin", ".pt", ".ckpt", ".pth", ".safetensors", ".pkl"):
        for how in ("base", "inspect", "encoder", "adapter"):
            run = functools.partial(load_stranger, suffix=suffix, how=how)
            yield Fault("strangers", f"{suffix} as {how}", run)
    for how in ("captioner", "part"):
        run = functools.partial(load_stranger, suffix=".bin", how=how)
        yield Fault("strangers", f".bin as {how}", run)


# -- secrets

PLANTS = {
    "caption": "ZQXCAPTION",
    "user": "zqxuser",
    "key": "sk-ZQXKEY0123456789",
    "baseline key": "zqxbaselinekey0123456789",
    "store key": "zqxstorekey0123456789",
}
SECRET_HEAD = AUDIT.replace('f"picture {k:03} of it"', 'f"ZQXCAPTION {k:03} of it"')
WRITES = (
    "--junitxml=junit.xml",
    "--privaudit-history=history.sqlite",
)
REPEATS = (
    """
import json
from tests.parts.services import RawService, raw_reply

def repeat(connection, path):
    head = service.heads[-1]
    key = head[head.lower().index("bearer") :].split("\\r\\n")[0]
    body = json.dumps({"error": f"no picture of ZQXCAPTION 123 of it for {key}"}).encode()
    connection.sendall(raw_reply(body, status="401 No"))

service = RawService(repeat)

@pytest.fixture(scope="session")
def target_model():
    from privaudit.endpoints import OpenAIImages

    with service.running():
        yield privaudit.Endpoint(service.url, OpenAIImages(), version="1", key_from="THE_KEY")
"""
    + LEAKS
)
SECRETS: dict[str, tuple[tuple[str, ...], str]] = {
    "all outputs": (WRITES, LEAKS),
    "very verbose, with locals": ((*WRITES, "-vv", "-l", "--full-trace"), LEAKS),
    "plan": (("--privaudit-plan",), LEAKS),
    "xdist": ((*WRITES, "-n2"), LEAKS),
    "a failing model": ((*WRITES, "-l"), model("def f(p, s): raise ValueError(p[0])\nreturn f")),
    "a model that returns its prompts": (WRITES, model("def f(p, s): return p\nreturn f")),
    "a service that repeats all": (WRITES, REPEATS),
    "a baseline": (
        (*WRITES, "--privaudit-baseline=baseline.json", "--privaudit-update-baseline"),
        IS_CLEAN,
    ),
    "no picture for a prompt": (WRITES, model("def f(p, s): return [None] * len(p)\nreturn f")),
    "two samples of one id": (
        WRITES,
        "\n@pytest.fixture(scope='session')\ndef non_members(members):\n    return members\n"
        + LEAKS,
    ),
}


def search(folder: Path, arguments: tuple[str, ...], test: str) -> list[Finding]:
    """Run an audit with planted secrets, and look for them in all that it wrote."""
    write_audit(folder, test, SECRET_HEAD)
    (folder / "zqxuser").mkdir()
    environment = {
        "USER": PLANTS["user"],
        "LOGNAME": PLANTS["user"],
        "THE_KEY": PLANTS["key"],
        "PRIVAUDIT_BASELINE_KEY": PLANTS["baseline key"],
    }
    ran = run_session(folder, *arguments, environment=environment, slack=30)
    findings = ran.check(trace=True)
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name in ("test_model.py", "log") or path.suffix == ".pyc":
            continue
        content = path.read_bytes()
        name = path.relative_to(folder)
        for what, secret in PLANTS.items():
            if secret.encode() in content:
                findings.append(Finding(SECRET, f"the {what} in {name}"))
        private = name.parts[0] in ("store", "out.json", "history.sqlite", "baseline.json")
        if private and path.stat().st_mode & 0o077:
            findings.append(Finding(SECRET, f"others may read {name}"))
    return findings


def secrets() -> Iterator[Fault]:
    """Planted secrets, looked for in every output."""
    for name, (arguments, test) in SECRETS.items():
        run = functools.partial(search, arguments=arguments, test=test)
        yield Fault("secrets", name, run)


# -- all of them

KINDS: dict[str, Callable[[], Iterator[Fault]]] = {
    "endings": endings,
    "signals": signals,
    "stores": stores,
    "targets": targets,
    "endpoints": endpoints,
    "files": files,
    "strangers": strangers,
    "secrets": secrets,
}


def run_fault(fault: Fault, root: Path, number: int) -> tuple[list[Finding], str]:
    """Inject one fault in a process and a folder of its own."""
    folder = root / f"{number:04}"
    shutil.rmtree(folder, ignore_errors=True)
    outside = folder / "outside"
    outside.mkdir(parents=True)
    (outside / "kept.txt").write_text("kept")
    before = look(outside)
    child = os.fork()
    if not child:
        try:
            os.umask(0o022)
            findings = fault.inject(folder)
        except BaseException:  # of this script: it is shown, and counts as open
            findings = [Finding(OTHER, f"not injected: {traceback.format_exc()[-300:]}")]
        with contextlib.suppress(BaseException):
            (folder / "findings.json").write_text(json.dumps(findings))
        os._exit(0)
    os.waitpid(child, 0)
    path = folder / "findings.json"
    pairs = json.loads(path.read_text()) if path.exists() else [[OTHER, "no findings were written"]]
    findings = [Finding(*pair) for pair in pairs]
    if look(outside) != before:
        findings.append(Finding(OUTSIDE, "files outside were touched"))
    findings += [
        Finding(OUTSIDE, f"{device} is no device any more")
        for device in ("/dev/null", "/dev/full", "/dev/zero")
        if not stat.S_ISCHR(Path(device).stat().st_mode)
    ]
    cell = folder / "cell.txt"
    return findings, cell.read_text() if cell.exists() else ""


def look(folder: Path) -> str:
    """Return a digest of a folder's files."""
    parts = [
        f"{path.relative_to(folder)} {path.lstat().st_mode} {path.lstat().st_mtime_ns}"
        for path in sorted(folder.rglob("*"))
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def warm_up(root: Path) -> None:
    """Import everything, and run the audit twice as it should be."""
    import diffusers
    import sklearn.linear_model
    import torch
    import transformers
    import xdist.plugin

    from privaudit.engines import local
    from tests.targets import test_endpoint_secrets

    del diffusers, sklearn, transformers, xdist, local, test_endpoint_secrets
    torch.set_num_threads(1)
    folder = root / "healthy"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_audit(folder)
    MACHINE.seconds = 30.0
    ran = run_session(folder)
    if ran.status != 1 or ran.verdicts != ["fail"] or ran.check():
        sys.exit(f"a healthy audit of a leaking model is not red: {ran.status}\n{ran.text[-3000:]}")
    MACHINE.seconds, MACHINE.results = ran.seconds, ran.results
    MACHINE.warm = folder / "store"
    print(f"healthy: {ran.seconds:.1f} s, {ran.megabytes:.0f} MB", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Inject all faults and print what became of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", choices=KINDS, action="append", help="a kind; may be repeated")
    parser.add_argument("--match", default="", help="part of the names of faults")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, help="kept at the end; a new one if it is left out")
    parser.add_argument("--endings", action="store_true", help="also print the table of endings")
    given = parser.parse_args(arguments)
    root = given.folder or Path(tempfile.mkdtemp(prefix="privaudit-faults-"))
    root = root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    warm_up(root)
    faults = [
        fault
        for kind in given.only or KINDS
        for fault in KINDS[kind]()
        if given.match in fault.name
    ]
    started = time.monotonic()

    def inject(number: int) -> tuple[list[Finding], str]:
        return run_fault(faults[number], root, number)

    outcomes = {}
    with ThreadPoolExecutor(given.workers) as pool:
        for number, outcome in enumerate(pool.map(inject, range(len(faults)))):
            outcomes[number] = outcome
            if outcome[0]:
                print(
                    f"{number:04} {faults[number].name}: {outcome[0]}", file=sys.stderr, flush=True
                )
    for number, (findings, _) in outcomes.items():
        if any(finding.category == HANG for finding in findings):
            # Nothing else runs now: on a busy machine, a slow run looks like a hang.
            outcomes[number] = inject(number)
    show(faults, outcomes)
    if given.endings:
        show_endings(faults, outcomes)
    print(f"{len(faults)} faults in {time.monotonic() - started:.0f} s")
    if given.folder is None:
        shutil.rmtree(root, ignore_errors=True)
    return int(any(findings for findings, _ in outcomes.values()))


def show(faults: list[Fault], outcomes: dict[int, tuple[list[Finding], str]]) -> None:
    """Print what is open, and the table of counts."""
    rows, total = [], Counter[str]()
    for kind in KINDS:
        numbers = [n for n, fault in enumerate(faults) if fault.kind == kind]
        counts = Counter(c for n in numbers for c in {f.category for f in outcomes[n][0]})
        held = sum(not outcomes[n][0] for n in numbers)
        rows.append([kind, len(numbers), held, *(counts[c] for c in CATEGORIES)])
        total += counts
        for n in numbers:
            for finding in outcomes[n][0]:
                print(f"OPEN {kind}: {faults[n].name}: {finding.category}: {finding.text}")
    held = sum(not findings for findings, _ in outcomes.values())
    rows.append(["all", len(faults), held, *(total[c] for c in CATEGORIES)])
    print()
    show_table([row for row in rows if row[1]], ["kind", "injected", "held", *CATEGORIES])


def show_endings(faults: list[Fault], outcomes: dict[int, tuple[list[Finding], str]]) -> None:
    """Print how each session ended, plain and strict."""
    cells = {
        fault.name: outcomes[n][1] for n, fault in enumerate(faults) if fault.kind == "endings"
    }
    print()
    show_table(
        [[n, cells.get(f"{n}, plain", ""), cells.get(f"{n}, strict", "")] for n in ENDINGS],
        ["a session that ends by", "plain: exit status", "--privaudit-strict"],
    )


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.exit(main())
