"""Give damaged and absurd input to every reader of files, and count how each of them ends.

    python benchmarks/fuzz.py [--inputs 100000] [--seed 0] [--only READER …]

A reader may take an input or refuse it by an error of privaudit's. Everything else is a fault: any
other exception, a hang of more than 5 s, more than 1 GB of memory, or a file that is touched
outside of the input's folder. Inputs are right ones, damaged by bytes and by values, from a seed.
The exit status is 1 if there is a fault; the first ones are shown.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import csv
import io
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import ROOT, show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

sys.path.insert(0, str(ROOT))

HANG, MEMORY = 5.0, 2**30
COLUMNS = ("accepted", "typed", "other exception", "hang", "over 1 GB", "outside")
KEY = "a key that is long enough"
SILLY: list[Any] = [
    *(None, True, False, 0, -1, 1e308, -1e308, float("nan"), float("inf"), 10**400, 2**63, 99, 1.5),
    *(
        "",
        "\0",
        "a" * 100_000,
        "\ud800",
        "\u2028",
        "../../x.png",
        "/etc/passwd",
        "x/" * 600,
        "é.png",
    ),
    *("NaN", "pass", "2026-99-99", "[trigger]", ".", "..", [], {}, [[]], {"a": 1}, ["x"], [None]),
]
TOKENS = [
    *(b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\n", b"\r", b'"', b"'", b"\\ud800", b"NaN"),
    *(
        b"{",
        b"}",
        b"[" * 3000,
        b'{"a":' * 3000,
        b"1e999",
        b"9" * 5000,
        b",",
        b"null",
        b"true",
        b"-",
    ),
    *(b"=", b"[[a]]", b"[a.b]", b"a.b.c = 1", b"'''", b'"""', b"#", b"1979-13-45", b";", b"\t"),
]
PROGRAM = """
import zlib
import numpy as np, pytest, privaudit
from PIL import Image

def drawn(n, seed):
    pictures = np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    words = np.random.default_rng(seed).permutation(900)[:n] + 100
    return [privaudit.Sample(Image.fromarray(p), f"picture {w}") for p, w in zip(pictures, words)]

class Pixels:
    fingerprint = "pixels"
    def encode(self, images):
        return np.stack([np.float32(i.resize((8, 8))).reshape(8, 24) / 255 for i in images])

@pytest.fixture(scope="session")
def members():
    return drawn(12, 1)

@pytest.fixture(scope="session")
def non_members():
    return drawn(12, 2)

@pytest.fixture(scope="session")
def image_encoder():
    return Pixels()

@pytest.fixture(scope="session")
def target_model():
    def draw(prompts, seeds):
        keys = [zlib.crc32(f"{p} {s}".encode()) for p, s in zip(prompts, seeds)]
        noise = [np.random.default_rng(key).integers(0, 256, (8, 8, 3)) for key in keys]
        return [Image.fromarray(np.uint8(pixels)) for pixels in noise]
    return draw

@pytest.mark.privacy_budget(max_auc=0.999, scenarios="I", attacks="threshold", queries=1)
def test_it(membership_attack):
    pass
"""


class Hang(BaseException):
    """A reader took too long."""


class Fuzz:
    """Makes inputs in a folder of its own, from a seed."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.draws, self.folder, self.templates = random.Random(seed), folder, {}  # noqa: S311

    # -- damage

    def bytes_of(self, content: bytes) -> bytes:
        """Damage bytes: bits, tokens, cuts."""
        damaged = bytearray(content)
        for _ in range(self.draws.choice((1, 1, 2, 4, 16))):
            kind, place = self.draws.randrange(5), self.draws.randrange(len(damaged) + 1)
            if kind == 0 and damaged:
                damaged[place % len(damaged)] ^= 1 << self.draws.randrange(8)
            elif kind == 1:
                damaged[place:place] = self.draws.choice(TOKENS)
            elif kind == 2:
                del damaged[place : place + self.draws.choice((1, 2, 8, 64))]
            elif kind == 3 and self.draws.random() < 0.3:
                del damaged[place:]
            elif damaged:
                damaged[place % len(damaged)] = self.draws.randrange(256)
        return bytes(damaged)

    def value_of(self, value: Any) -> Any:
        """Replace, add or remove a value anywhere inside lists and objects."""
        value = copy.deepcopy(value)
        for _ in range(self.draws.choice((1, 1, 1, 3))):
            paths = [path for path in _paths(value) if path]
            if not paths:
                return self.silly()
            *before, last = self.draws.choice(paths)
            at = value
            for key in before:
                at = at[key]
            chance = self.draws.random()
            if chance < 0.1:
                del at[last]
            elif chance < 0.2 and isinstance(at, dict):
                at[self.draws.choice(("strange", "", "id", "image_dir"))] = self.silly()
            else:
                at[last] = self.silly()
        return value

    def json_of(self, value: Any) -> bytes:
        """Write JSON that is damaged in its values or its bytes."""
        if self.draws.random() < 0.6:
            return json.dumps(self.value_of(value)).encode()
        return self.bytes_of(json.dumps(value).encode())

    def silly(self) -> Any:
        """Return a value that nobody expects."""
        return copy.deepcopy(self.draws.choice(SILLY))

    # -- inputs

    def picture(self) -> bytes:
        """Return a small picture, mostly whole."""
        from PIL import Image

        kind = self.draws.choice(
            ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "PPM", "EPS")
        )
        mode = self.draws.choice(("RGB", "L", "RGB", "CMYK" if kind in ("JPEG", "TIFF") else "RGB"))
        file = io.BytesIO()
        size = (self.draws.choice((1, 8, 33)), 8)
        exif = Image.Exif()
        exif[0x0112] = self.draws.choice((1, 3, 6, 9, 65535))
        more = {"exif": exif} if kind in ("PNG", "JPEG", "WEBP", "TIFF") else {}
        Image.new(mode, size, self.draws.randrange(256)).save(file, kind, **more)
        return file.getvalue()

    def small_picture(self) -> bytes:
        """Return the same right picture each time."""
        if "png" not in self.templates:
            from PIL import Image

            file = io.BytesIO()
            Image.new("RGB", (4, 4), "red").save(file, "PNG")
            self.templates["png"] = file.getvalue()
        return self.templates["png"]

    def place(self, *names: str) -> Path:
        """Empty the folder, and draw pictures of these names in it."""
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        for name in names:
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(self.small_picture())
        return self.folder


def _paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield before
    if isinstance(value, (dict, list)):
        for key, one in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield from _paths(one, (*before, key))


def _load(source: Any) -> None:
    from privaudit import load_samples

    for sample in load_samples(source):
        sample.digest  # noqa: B018  # it is read for its error
        sample.facts  # noqa: B018
        sample.id.encode()
        sample.caption.encode()


# -- one reader each: makes an input, and returns what reads it


def jsonl(fuzz: Fuzz) -> Callable[[], object]:
    """Tables of metadata in JSON."""
    d = fuzz.place("0.png", "1.png", "sub/2.png")
    rows = [{"file_name": n, "text": f"picture {n}"} for n in ("0.png", "1.png", "sub/2.png")]
    lines = [
        fuzz.json_of(row) if fuzz.draws.random() < 0.5 else json.dumps(row).encode() for row in rows
    ]
    (d / "metadata.jsonl").write_bytes(b"\n".join(lines))
    if fuzz.draws.random() < 0.2:
        (d / "0.txt").write_bytes(fuzz.bytes_of(b"picture 0.png\nmore"))
    return lambda: _load(d)


def csv_table(fuzz: Fuzz) -> Callable[[], object]:
    """Tables of metadata in CSV."""
    d = fuzz.place("0.png", "1.png")
    file = io.StringIO()
    writer = csv.writer(file, delimiter=fuzz.draws.choice(",,,;\t"))
    writer.writerow(["file_name", "text"])
    for name in ("0.png", "1.png"):
        row = [name, f"picture {name}"]
        writer.writerow(
            [str(fuzz.draws.choice(SILLY)) if fuzz.draws.random() < 0.3 else v for v in row]
        )
    content = file.getvalue().encode("utf-8", "surrogatepass")
    (d / "metadata.csv").write_bytes(
        fuzz.bytes_of(content) if fuzz.draws.random() < 0.6 else content
    )
    return lambda: _load(d)


def captions(fuzz: Fuzz) -> Callable[[], object]:
    """Caption files beside pictures."""
    d = fuzz.place("0.png", "1.png")
    ends = (".txt", ".caption", ".TXT", ".png.txt")
    for i in range(2):
        for _ in range(fuzz.draws.choice((1, 1, 2))):
            content = fuzz.bytes_of(f"caption {i}\nmore".encode())
            (d / f"{i}{fuzz.draws.choice(ends)}").write_bytes(content)
    if fuzz.draws.random() < 0.2:
        (d / fuzz.draws.choice(("2.heic", "2.txt", "0.jpg", "2.png"))).write_bytes(b"x")
    return lambda: _load(d)


def special(fuzz: Fuzz) -> Callable[[], object]:
    """FIFOs, links and folders in place of files."""
    d = fuzz.place("0.png", "1.png")
    (d / "0.txt").write_text("zero")
    (d / "1.txt").write_text("one")
    (d / "c.json").write_text('{"0": "zero", "1": "one"}')
    (d / "k.toml").write_text('[[datasets]]\n[[datasets.subsets]]\nimage_dir = "."\n')
    target = d / fuzz.draws.choice(("0.png", "0.txt", "c.json", "k.toml", "metadata.jsonl"))
    target.unlink(missing_ok=True)
    kind = fuzz.draws.randrange(6)
    if kind == 0:
        os.mkfifo(target)
    elif kind == 1:
        target.symlink_to(fuzz.draws.choice(("/dev/zero", "/dev/tty", "/etc/hostname", "/no/such")))
    elif kind == 2:
        target.symlink_to(target)
    elif kind == 3:
        target.mkdir()
    elif kind == 4:
        target.symlink_to(fuzz.draws.choice(("1.png", "1.txt", "c.json")))
    else:
        with target.open("wb") as file:
            file.truncate(fuzz.draws.choice((0, 1, 2**21, 2**33)))
    source = fuzz.draws.choice((d, d / "c.json", d / "k.toml", target))
    return lambda: _load(source)


def kohya(fuzz: Fuzz) -> Callable[[], object]:
    """TOML files of kohya's trainer."""
    d = fuzz.place("0.png", "pics/1.png")
    (d / "pics" / "1.txt").write_text("one")
    (d / "meta.json").write_text('{"0": {"caption": "zero", "tags": "a, b"}}')
    subsets = [
        {"image_dir": "pics", "num_repeats": 3, "class_tokens": "cat", "caption_prefix": "p"},
        {"image_dir": ".", "metadata_file": "meta.json", "is_reg": False},
    ]
    value = {
        "general": {"caption_extension": ".txt", "enable_wildcard": False},
        "datasets": [{"resolution": 512, "subsets": subsets}],
    }
    text = _toml(fuzz.value_of(value)) if fuzz.draws.random() < 0.6 else _toml(value)
    content = text.encode("utf-8", "surrogatepass")
    (d / "k.toml").write_bytes(fuzz.bytes_of(content) if fuzz.draws.random() < 0.4 else content)
    return lambda: _load(d / "k.toml")


def _toml(value: Any) -> str:
    """Write a value as TOML, in one line, as far as it has such a thing."""
    if isinstance(value, dict):
        return "\n".join(f"{json.dumps(k)} = {_inline(v)}" for k, v in value.items())
    return f"x = {_inline(value)}"


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return "''" if value is None else json.dumps(value)


def kohya_metadata(fuzz: Fuzz) -> Callable[[], object]:
    """JSON from file names to captions."""
    d = fuzz.place("0.png", "1.png")
    value = {"0": {"caption": "zero", "tags": "a"}, "1.png": "one"}
    (d / "c.json").write_bytes(fuzz.json_of(value))
    return lambda: _load(d / "c.json")


def other_formats(fuzz: Fuzz) -> Callable[[], object]:
    """Shards, Parquet and other formats that are refused."""
    import tarfile

    d = fuzz.place("0.png")
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name in ("0.png", "0.txt", "1.json"):
            name = fuzz.draws.choice((name, name, "../" + name, "x" * 90, "/etc/x", "0.a.b.png"))  # noqa: PLW2901
            member = tarfile.TarInfo(name)
            member.size, member.type = 3, fuzz.draws.choice((b"0", b"0", b"2", b"6", b"x", b"L"))
            tar.addfile(member, io.BytesIO(b"abc"))
    coco = {
        "images": [{"id": 1, "file_name": "0.png"}],
        "annotations": [{"image_id": 1, "caption": "x"}],
    }
    inputs = {
        "s.tar": file.getvalue(),
        "c.json": json.dumps(
            fuzz.value_of(fuzz.draws.choice((coco, [coco, {"image": "x", "text": "y"}])))
        ).encode(),
        "t.parquet": b"PAR1" + bytes(20) + b"PAR1",
        "state.json": b"{}",
        "dataset_dict.json": b"{}",
        "t.zip": b"PK",
    }
    name = fuzz.draws.choice(tuple(inputs))
    content = inputs[name]
    (d / name).write_bytes(fuzz.bytes_of(content) if fuzz.draws.random() < 0.5 else content)
    source = fuzz.draws.choice((d, d / name))
    return lambda: _load(source)


def pictures(fuzz: Fuzz) -> Callable[[], object]:
    """Files of pictures."""
    d = fuzz.place()
    content = fuzz.picture()
    content = fuzz.bytes_of(content) if fuzz.draws.random() < 0.9 else content
    if fuzz.draws.random() < 0.1 and content[:4] == b"\x89PNG":
        content = (
            content[:16] + struct.pack(">II", 2 ** fuzz.draws.randrange(31), 2**16) + content[24:]
        )
    (d / "0.png").write_bytes(content)
    (d / "metadata.jsonl").write_text('{"file_name": "0.png", "text": "x"}')
    return lambda: _load(d)


def rows(fuzz: Fuzz) -> Callable[[], object]:
    """Rows of a data set."""
    d = fuzz.place("0.png")
    row = {"image": str(d / "0.png"), "text": "a"}
    value = fuzz.value_of([row, dict(row, image={"bytes": None, "path": str(d / "0.png")}), row])
    if (
        isinstance(value, list)
        and value
        and isinstance(value[0], dict)
        and fuzz.draws.random() < 0.3
    ):
        value[0]["image"] = fuzz.bytes_of(fuzz.small_picture())
    if isinstance(value, str):  # else it is the name of a folder
        value = [value]
    return lambda: _load(value)


def texts(fuzz: Fuzz) -> Callable[[], object]:
    """JSON and TOML as such."""
    from privaudit.errors import SampleError
    from privaudit.files import decode_text, parse_json, parse_toml

    content = b"".join(fuzz.draws.choice(TOKENS) for _ in range(fuzz.draws.randrange(12)))
    if fuzz.draws.random() < 0.5:
        return lambda: parse_json(content, "x", SampleError)
    return lambda: parse_toml(decode_text(content, "x", SampleError), "x", SampleError)


def records(fuzz: Fuzz) -> Callable[[], object]:
    """JSON records of sessions."""
    from privaudit.record import SessionRecord

    content = fuzz.json_of(json.loads(fuzz.templates["record"]))

    def read() -> None:
        record = SessionRecord.from_json(content)
        for audit in record.audits:
            audit.verdict, audit.n_over, audit.not_asked  # noqa: B018
        record.to_json()

    return read


def baselines(fuzz: Fuzz) -> Callable[[], object]:
    """Baselines."""
    from privaudit.record import read_baseline

    file = fuzz.place() / "b.json"
    value = json.loads(fuzz.templates["baseline"])
    file.write_bytes(fuzz.json_of(value))
    return lambda: read_baseline(file, KEY, value["audit"])


def histories(fuzz: Fuzz) -> Callable[[], object]:
    """Files of earlier audits, by `privaudit history`."""
    folder = fuzz.place()
    name = fuzz.templates["history name"].decode()
    content = fuzz.templates["history"]
    whole = name.endswith(".json") and fuzz.draws.random() < 0.5
    damaged = fuzz.json_of(json.loads(content)) if whole else fuzz.bytes_of(content)
    (folder / name).write_bytes(damaged)
    return lambda: _command(
        "history", str(folder if fuzz.templates["in a folder"] else folder / name)
    )


def headers(fuzz: Fuzz) -> Callable[[], object]:
    """Files of weights, by `privaudit inspect`."""
    file = fuzz.place() / "w.safetensors"
    metadata = {"ss_tag": json.dumps(fuzz.value_of({"a": {"b": [1, "x"]}})), "ss_note": "a/b " * 20}
    tensors = {"t": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    header = fuzz.json_of({"__metadata__": metadata} | tensors)
    length = len(header) if fuzz.draws.random() < 0.9 else fuzz.draws.choice((0, 1, 2**40, 2**63))
    file.write_bytes(struct.pack("<Q", length) + header + bytes(4))
    return lambda: _command("inspect", str(file))


def query_lists(fuzz: Fuzz) -> Callable[[], object]:
    """JSON lists of queries for pictures that are drawn elsewhere."""
    from privaudit.targets.query_list import LISTS, read_list

    d = fuzz.place()
    row = {"file": "0.png", "id": "0", "repetition": 0, "seed": 3, "prompt": "a cat"}
    right = json.dumps(row).encode()
    lines = [fuzz.json_of(row) if fuzz.draws.random() < 0.6 else right for _ in range(2)]
    (d / LISTS[0]).write_bytes(b"\n".join(lines))
    return lambda: read_list(d)


def _command(*words: str) -> None:
    from privaudit.__main__ import main

    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        try:
            code = main(list(words))
        except SystemExit as end:
            code = end.code
    if code:
        from privaudit.errors import PrivauditError

        raise PrivauditError(quiet.getvalue()[-200:])


READERS: dict[str, tuple[Callable[[Fuzz], Callable[[], object]], int]] = {
    "metadata.jsonl": (jsonl, 16),
    "metadata.csv": (csv_table, 12),
    "caption files": (captions, 10),
    "special files": (special, 6),
    "kohya's TOML": (kohya, 14),
    "captions by name": (kohya_metadata, 10),
    "other formats": (other_formats, 8),
    "pictures": (pictures, 14),
    "rows": (rows, 10),
    "JSON and TOML": (texts, 10),
    "records": (records, 4),
    "baselines": (baselines, 6),
    "histories": (histories, 3),
    "weights": (headers, 6),
    "query lists": (query_lists, 6),
}
"""Each with its share of the inputs."""
TEMPLATES = {"records": "record", "baselines": "baseline", "histories": "history"}


def make_templates(fuzz: Fuzz, scratch: Path) -> None:
    """Run one small audit, whose outputs are damaged later."""
    (scratch / "test_it.py").write_text(PROGRAM)
    (scratch / "pytest.ini").write_text("[pytest]\n")
    options = [
        *("--privaudit-json=record.json", "--privaudit-history=history", "--privaudit-store=none"),
        *("--privaudit-baseline=base.json", "--privaudit-update-baseline"),
    ]
    environment = os.environ | {"PRIVAUDIT_BASELINE_KEY": KEY, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "pytest", "-q", *options],
        cwd=scratch,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    for name, file in (
        ("record", "record.json"),
        ("baseline", "base.json"),
        ("history", "history"),
    ):
        path = scratch / file
        if name == "history":
            fuzz.templates["in a folder"] = b"yes" if path.is_dir() else b""
        if path.is_dir():
            path = next((one for one in sorted(path.rglob("*.*")) if one.is_file()), path)
        if name == "history":
            fuzz.templates["history name"] = path.name.encode()
        if path.is_file():
            fuzz.templates[name] = path.read_bytes()
        else:
            print(f"no {name} to damage: {done.stdout[-600:]}")


def run(reader: str, n: int, fuzz: Fuzz, outside: list[str]) -> Counter[str]:
    """Give a reader so many inputs, and count how it ended."""
    from privaudit.errors import PrivauditError

    make, counts = READERS[reader][0], Counter()
    shown: set[tuple[object, ...]] = set()
    for _ in range(n):
        try:
            read = make(fuzz)
        except (UnicodeError, OSError):  # such as half a character in a name
            counts["not made"] += 1
            continue
        before = _peak(reset=True)
        begun = time.monotonic()
        del outside[:]
        signal.setitimer(signal.ITIMER_REAL, HANG)
        outside.append("")  # from here on what is opened is noticed
        try:
            read()
            end, place = "accepted", ()
        except PrivauditError:
            end, place = "typed", ()
        except Hang:
            end, place = "hang", (reader,)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            end = "other exception"
            place = (
                reader,
                type(error).__name__,
                Path(last.filename).name,
                last.lineno,
                str(error)[:80],
            )
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        # A row, and a folder in kohya's TOML, may be anywhere: both are what the user wrote.
        touched = [] if make in (rows, kohya) else outside[1:]
        del outside[:]
        counts[end] += 1
        if _peak() - before > MEMORY:
            counts["over 1 GB"] += 1
            place = (*place, "memory")
        if touched:
            counts["outside"] += 1
            place = (*place, touched[0])
        if place and place[:4] not in shown and len(shown) < 8:
            shown.add(place[:4])
            print("fault:", *place, f"{time.monotonic() - begun:.1f} s", flush=True)
    return counts


def _peak(*, reset: bool = False) -> int:
    """Return the most memory that this process had, in bytes, since it was reset."""
    if reset:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def main() -> int:
    """Run all, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=2000, help="in all; default: 2000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=READERS, default=list(READERS))
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")

    def ring(*_: object) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, ring)
    outside: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "set"
        folder.mkdir()
        fuzz = Fuzz(chosen.seed, folder)
        if set(chosen.only) & set(TEMPLATES):
            make_templates(fuzz, Path(scratch))
        allowed = (
            scratch,
            str(ROOT),
            sys.prefix,
            sys.base_prefix,
            "/proc/self",
            "/usr",
            "/dev/null",
        )

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            if event != "open" or not outside or not isinstance(arguments[0], (str, bytes)):
                return
            path = os.fsdecode(arguments[0])
            if path.startswith("/") and not path.startswith(allowed):
                outside.append(path)

        sys.addaudithook(watch)
        os.chdir(folder)
        whole = sum(READERS[one][1] for one in chosen.only)
        total: Counter[str] = Counter()
        table = []
        for reader in chosen.only:
            if TEMPLATES.get(reader, "png") not in (*fuzz.templates, "png"):
                continue
            counts = run(reader, chosen.inputs * READERS[reader][1] // whole, fuzz, outside)
            total += counts
            table.append([reader, *(f"{counts[name]:,}" for name in COLUMNS)])
        os.chdir("/")
    table.append(["all", *(f"{total[name]:,}" for name in COLUMNS)])
    show(table, ["reader", *COLUMNS])
    print(f"{sum(total[name] for name in COLUMNS[:4]):,} inputs of seed {chosen.seed}")
    return 1 if any(total[name] for name in COLUMNS[2:]) else 0


if __name__ == "__main__":
    sys.exit(main())
