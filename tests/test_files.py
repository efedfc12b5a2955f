"""Files that others wrote: read within limits, or one typed error that quotes nothing of them."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privaudit import files
from privaudit.errors import BaselineError, SampleError

SECRET = "a private caption"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"is not JSON \("),
        (f'{{"{SECRET}": }}'.encode(), "is not JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b"[" * 65 + b"]" * 65, "nested deeper than 64"),
        (b"1" * 5000, "a number of thousands of digits"),
        (b'{"n": -' + b"1" * 5000 + b"}", "a number of thousands of digits"),
        (b'"a\0b"', "UTF-16 or no text"),
        ('{"a": 1}'.encode("utf-16"), "UTF-16 or no text"),
        (f'"{SECRET} \xe9"'.encode("latin-1"), "not UTF-8 at byte 20 of line 1"),
        (b"", "is not JSON"),
        (rb'{"a": ["x \ud83d"]}', "it holds half a character"),
        (rb'{"\uDE00": 1}', "it holds half a character"),
    ],
)
def test_json_that_is_none_is_one_error_and_is_not_quoted(
    tmp_path: Path, content: bytes, message: str
) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(SampleError, match=message) as caught:
        files.read_json(file, SampleError)
    assert str(file) in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"= 1", "is not TOML"),
        (b"a=" + b"[" * 200_000, "nested too deeply"),
        (b"a" + b".a" * 200_000 + b" = 1", "nested too deeply"),
        (b"[a" + b".a" * 200_000 + b"]", "nested too deeply"),
        (b"a=" + b"[" * 65 + b"]" * 65, "nested deeper than 64"),
        (b"a=" + b"1" * 5000, "is not TOML"),
        (b"a=1979-13-45", "is not TOML"),
        (b"a=1\na=2", "is not TOML"),
        (b"a\xff=1", "not UTF-8 at byte 2"),
        (b"#" * (2**20 + 1), "has 1,048,577 bytes, and at most 1,048,576 are read as TOML"),
    ],
)
def test_toml_that_is_none_is_one_error(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(content)
    begun = time.monotonic()
    with pytest.raises(BaselineError, match=message):
        files.read_toml(file, BaselineError)
    assert time.monotonic() - begun < 5


def test_two_halves_are_a_character() -> None:
    assert files.parse_json(r'"\ud83d\ude00 \\ud83d"', "x", SampleError) == "\U0001f600 \\ud83d"


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path: Path) -> None:
    for name, content in (("a.json", '{"a": 1}'), ("a.toml", "a = 1")):
        (tmp_path / name).write_text(content, encoding="utf-8-sig")
    assert files.read_json(tmp_path / "a.json", SampleError) == {"a": 1}
    assert files.read_toml(tmp_path / "a.toml", SampleError) == {"a": 1}


def special(folder: Path) -> dict[str, Path]:
    """Make one of everything that is no regular file."""
    os.mkfifo(folder / "fifo")
    (folder / "link").symlink_to(folder / "fifo")
    (folder / "loop").symlink_to(folder / "loop")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(folder / "socket"))
    devices = {name: Path("/dev") / name for name in ("zero", "null", "full", "tty", "stdin")}
    names = ("fifo", "link", "loop", "socket", "absent", "nul\0")
    return {name: folder / name for name in names} | devices | {"folder": folder}


def test_special_files_are_refused_at_once(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("s")
    monkeypatch.chdir(folder)  # a socket's name may have a hundred letters
    there = special(Path())
    begun = time.monotonic()
    for path in there.values():
        assert not files.is_regular(path)
        with pytest.raises(OSError):
            files.open_regular(path)
        with pytest.raises(SampleError, match=r"cannot be read|does not exist"):
            files.read_json(path, SampleError)
    assert time.monotonic() - begun < 5


def test_a_fifo_that_comes_after_the_look_is_no_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"")
    look = os.stat
    monkeypatch.setattr(
        files.os, "stat", lambda path, **more: look(str(path).replace("/a", "/b"), **more)
    )
    with pytest.raises(OSError, match="a FIFO, not a regular file"):
        files.open_regular(tmp_path / "a")


def test_a_sparse_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(2**33)
    with pytest.raises(SampleError, match="has 8,589,934,592 bytes, and at most 67,108,864 are"):
        files.read_json(tmp_path / "a", SampleError)


def test_a_link_is_followed_unless_it_must_not_be(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert files.read_bytes(tmp_path / "b", 9) == (1, b"1")
    with pytest.raises(OSError, match="symbolic links"):
        files.read_bytes(tmp_path / "b", 9, follow=False)


@given(st.binary(max_size=60))
def test_bytes_are_read_or_refused_with_the_callers_error(content: bytes) -> None:
    for parse in (
        lambda: files.parse_json(content, "x", SampleError),
        lambda: files.parse_toml(files.decode_text(content, "x", SampleError), "x", SampleError),
    ):
        with contextlib.suppress(SampleError):
            parse()
