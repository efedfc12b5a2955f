"""Planted secrets are searched for in every byte that a full run leaves behind.

Captions, file names, folder, user, home and keys are planted; a real service on this machine draws
the pictures. ``ALLOWED`` is all that may come out, and where.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from tests.parts import ROOT

N = 16
SECRETS = {
    "caption": "ZQXCAPTION",
    "the captioner's text": "ZQXWRITTEN",
    "file name": "zqxfile",
    "folder": "zqxfolder",
    "user": "zqxuser",
    "home": "zqxhome",
    "key of the service": "sk-ZQXKEY0123456789abcdef",
    "key of the baseline": "zqxbaselinekey0123456789",
    "key of the store": "zqxstorekey0123456789",
}
ALLOWED = {
    # A sample is named by its file, or by an id of the user's own: docs say so of both.
    ("record.json", "file name"),
    ("record.json", "folder"),  # an id is FOLDER/FILE#HASH
    ("terminal", "file name"),
    ("terminal", "folder"),
    ("junit.xml", "file name"),
    ("junit.xml", "folder"),
    # What the captioner wrote is kept, so that it is not written again.
    ("store/values.sqlite", "the captioner's text"),
}

AUDIT = """
import io, json, os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import privaudit
from privaudit.endpoints import OpenAIImages

DATA = Path(os.environ["HOME"]) / "zqxfolder"


class Pixels:
    fingerprint = "pixels"

    def encode(self, images):
        small = [np.float32(i.convert("RGB").resize((8, 8))) / 255 for i in images]
        return np.stack([pixels.reshape(8, 24) for pixels in small])


class Captioner:
    fingerprint = "writes"

    def __call__(self, images):
        return [f"ZQXWRITTEN {int(np.asarray(i).sum()) % 997:03}" for i in images]


def fail(prompts, seeds):
    raise KeyError(prompts[0])


def quote(prompts, seeds):
    return [f"no picture of {prompt}" for prompt in prompts]


@pytest.fixture(scope="session")
def members():
    return privaudit.load_samples(DATA / "in")


@pytest.fixture(scope="session")
def non_members():
    return privaudit.load_samples(DATA / "out")


@pytest.fixture(scope="session")
def image_encoder():
    return Pixels()


@pytest.fixture(scope="session")
def captioner():
    return Captioner()


@pytest.fixture(scope="session")
def target_model():
    how = os.environ["TARGET"]
    if how != "service":
        return {"fail": fail, "quote": quote}[how]
    return privaudit.Endpoint(
        os.environ["SERVICE"],
        OpenAIImages("m", seed=True),
        version="1",
        size=(8, 8),
        key_from="THE_KEY",
        backoff=0.01,
        attempts=2,
    )


@pytest.mark.privacy_budget(
    max_auc=float(os.environ["BUDGET"]),
    scenarios="I,II",
    attacks="threshold,distribution",
    queries=1,
    batch_size=8,
)
def test_leak(membership_attack, members, captioner):
    first = members[0]
    assert membership_attack.verdict != "fail"
"""


def draw_samples(folder: Path) -> dict[str, np.ndarray]:
    """Write two sets with captions beside the pictures; return the members' pixels by caption."""
    known = {}
    draws = np.random.default_rng(5)
    for kind in ("in", "out"):
        (folder / kind).mkdir(parents=True)
        for i in range(N):
            pixels = draws.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            caption = f"ZQXCAPTION {int(draws.integers(999)):03} of it"
            file = folder / kind / f"zqxfile-{kind}-{i}.png"
            Image.fromarray(pixels).save(file)
            file.with_suffix(".txt").write_text(caption)
            if kind == "in":
                known[caption] = pixels
    return known


class Service(http.server.ThreadingHTTPServer):
    """A service that has memorised the members, or refuses some prompts and quotes the key."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.known: dict[str, np.ndarray] = {}
        self.refuses = False


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as OpenAI's images API does."""

    server: Service

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Draw one picture."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        prompt = asked["prompt"]
        digest = hashlib.sha256(f"{prompt} {asked.get('seed')}".encode()).digest()
        noise = np.random.default_rng(list(digest)).integers(0, 256, (8, 8, 3))
        pixels = 0.9 * self.server.known.get(prompt, noise) + 0.1 * noise
        file = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
        status, answer = 200, {"data": [{"b64_json": base64.b64encode(file.getvalue()).decode()}]}
        if self.server.refuses:
            said = f"not for {self.headers['authorization']}: {prompt}"
            status, answer = 401, {"error": {"message": said}}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Place:
    """A folder with an audit, a home with its data, and runs in it."""

    def __init__(self, folder: Path, service: Service) -> None:
        self.folder = folder
        self.project, self.home = folder / "project", folder / "zqxhome" / "zqxuser"
        for one in (self.project, self.home, folder / "tmp"):
            one.mkdir(parents=True)
        (self.project / "test_model.py").write_text(AUDIT)
        (self.project / "pytest.ini").write_text("[pytest]\n")
        self.service = service
        service.known = draw_samples(self.home / "zqxfolder")
        self.terminal = b""

    def run(
        self, *command: str, target: str = "service", budget: float = 0.6, code: int = 1
    ) -> None:
        """Run a module of Python there, and keep what it says."""
        kept = {"PATH", "LANG", "PRIVAUDIT_TEST", "LD_LIBRARY_PATH"}
        environment = {name: value for name, value in os.environ.items() if name in kept} | {
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "HOME": str(self.home),
            "USER": SECRETS["user"],
            "LOGNAME": SECRETS["user"],
            "TMPDIR": str(self.folder / "tmp"),
            "THE_KEY": SECRETS["key of the service"],
            "PRIVAUDIT_BASELINE_KEY": SECRETS["key of the baseline"],
            "PRIVAUDIT_STORE_KEY": SECRETS["key of the store"],
            "SERVICE": f"http://127.0.0.1:{self.service.server_address[1]}/v1",
            "TARGET": target,
            "BUDGET": str(budget),
        }
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.project,
            env=environment,
            capture_output=True,
            timeout=300,
            check=False,
        )
        self.terminal += done.stdout + done.stderr
        assert done.returncode == code, self.terminal.decode()[-4000:]

    def leaks(self) -> set[tuple[str, str]]:
        """Return which secret is in which output, in its name or content, in any usual spelling."""
        outputs = {"terminal": self.terminal}
        for path in self.folder.rglob("*"):
            inside = path.relative_to(self.folder).as_posix()
            data = path.is_relative_to(self.home / "zqxfolder")
            if not path.is_file() or data or path.name in ("test_model.py", "pytest.ini"):
                continue
            name = inside.removeprefix("project/").removeprefix("zqxhome/zqxuser/")
            outputs[name] = name.encode() + b"\n" + path.read_bytes()
        return {
            (output, secret)
            for output, content in outputs.items()
            for secret, text in SECRETS.items()
            if any(form in content for form in spellings(text))
        }


def spellings(text: str) -> list[bytes]:
    """Return a secret as it may be written: as it is, in base64 at each offset, in UTF-16, quoted."""
    raw = text.encode()
    forms = [raw, raw.hex().encode(), quote(text, safe="").encode(), text.encode("utf-16-le")]
    for offset in range(3):
        coded = base64.b64encode(b"\0" * offset + raw)
        forms.append(coded[4 if offset else 0 : -4])
    return [form for form in forms if len(form) > 5]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with Service() as service:
        thread = threading.Thread(target=service.serve_forever, daemon=True)
        thread.start()
        yield Place(tmp_path, service)
        service.shutdown()
        thread.join()


OUTPUTS = (
    "--privaudit-store=store",
    "--privaudit-json=record.json",
    "--privaudit-history=history",
    "--junitxml=junit.xml",
)


def test_a_red_build_gives_nothing_away(place: Place) -> None:
    place.run("pytest", "-q", *OUTPUTS)
    assert b"FAIL" in place.terminal
    record = (place.project / "record.json").read_bytes()
    assert b"zqxfile-in-" in record  # it is there to be found: the search below can fail
    assert place.leaks() - ALLOWED == set()


def test_hashed_ids_take_the_names_out_of_the_record(place: Place) -> None:
    hashed = {one for one in ALLOWED if one[0] != "record.json"}
    place.run("pytest", "-q", "--privaudit-record-ids=hashed", *OUTPUTS)
    assert place.leaks() - hashed == set()


@pytest.mark.slow
def test_a_baseline_gives_nothing_away(place: Place) -> None:
    baseline = ("--privaudit-baseline=baseline.json", "--privaudit-update-baseline")
    place.run("pytest", "-q", "--privaudit-store=none", *baseline, budget=1.0, code=0)
    assert (place.project / "baseline.json").exists()
    assert place.leaks() - ALLOWED == set()


def test_everything_shown_of_a_failure_gives_nothing_away(place: Place) -> None:
    place.run("pytest", "-vv", "-l", "--full-trace", "-o", "junit_logging=all", *OUTPUTS)
    assert b"first" in place.terminal  # locals of the test are shown
    assert place.leaks() - ALLOWED == set()


@pytest.mark.parametrize(
    "target", ["fail", "quote", pytest.param("service", marks=pytest.mark.slow)]
)
def test_a_target_that_fails_gives_nothing_away(target: str, place: Place) -> None:
    place.service.refuses = True
    place.run("pytest", "-vv", "-l", "--full-trace", *OUTPUTS, target=target)
    assert b"Error" in place.terminal
    assert place.leaks() - ALLOWED == set()


def test_a_plan_gives_nothing_away(place: Place) -> None:
    place.run("pytest", "-q", "--privaudit-plan", "--privaudit-store=store", code=0)
    assert place.leaks() - ALLOWED == set()


@pytest.mark.slow
def test_two_processes_give_nothing_away(place: Place) -> None:
    place.run("pytest", "-q", "-n2", *OUTPUTS)
    assert place.leaks() - ALLOWED == set()


@pytest.mark.slow
def test_ray_gives_nothing_away(place: Place) -> None:
    place.run("pytest", "-q", "--privaudit-engine=ray?workers=1", *OUTPUTS)
    assert place.leaks() - ALLOWED == set()


@pytest.mark.slow
def test_a_study_gives_nothing_away(place: Place) -> None:
    where = ("--output", "study", "--set", "store=store")
    place.run("privaudit", "study", "test_model.py", "--only", "main", *where, code=0)
    assert list((place.project / "study").iterdir())
    assert place.leaks() - ALLOWED == set()
