"""Files of metadata as people have them: read, or refused with the line and the way out."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from privaudit import load_samples
from privaudit.errors import SampleError
from privaudit.samples import check_disjoint

if TYPE_CHECKING:
    from pathlib import Path


def picture(folder: Path, name: str = "1.png", colour: str = "red") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), colour).save(folder / name)
    return folder


def with_line(folder: Path, line: bytes | str, **picture_options: Any) -> Path:
    picture(folder, **picture_options)
    content = line if isinstance(line, bytes) else line.encode()
    (folder / "metadata.jsonl").write_bytes(content)
    return folder


def line(**row: object) -> str:
    return json.dumps({"file_name": "1.png", "text": "x"} | row, ensure_ascii=False)


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\u0085", b"\x0b".decode(), "\x1c"])
def test_a_caption_may_hold_other_ends_of_lines(tmp_path: Path, mark: str) -> None:
    text = f"a cat{mark}on a mat"
    rows = json.dumps({"file_name": "1.png", "text": text}, ensure_ascii=mark < " ")
    (sample,) = load_samples(with_line(tmp_path, rows + "\n"))
    assert sample.caption == text


def test_a_byte_order_mark_and_windows_ends_of_lines_are_read(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + (line(text="Käse") + "\r\n\r\n").encode()
    assert [s.caption for s in load_samples(with_line(tmp_path, content))] == ["Käse"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (line().encode("utf-16"), r"metadata\.jsonl is UTF-16 or no text, .*: save it as UTF-8"),
        (line().encode("utf-16-le"), r"metadata\.jsonl is UTF-16 or no text"),
        (
            ("\n" + line(text="Käse")).encode("latin-1"),
            r"metadata\.jsonl is not UTF-8 at byte 34 of line 2: .*Latin-1",
        ),
        (line(file_name=None), 'jsonl:1 has null for "file_name", not a text: write it in quotes'),
        (line(file_name=1), 'jsonl:1 has a number for "file_name", not a text'),
        (line(text=None), 'jsonl:1 has null for "text", not a text'),
        (line(text=3.5), 'jsonl:1 has a number for "text", not a text'),
        (line(text=["a"]), r'jsonl:1 has a list of 1 for "text", and a sample has one: keep'),
        (
            '{"file_name": "1.png", "title": "x"}',
            "jsonl:1 has no \"text\", only 'file_name', 'title': .*say which column",
        ),
        ("{}", 'jsonl:1 has no "file_name", only {}'),
        ("[1]", 'jsonl:1 is a list of 1, not an object with "file_name" and "text"'),
        ("1.png, a cat", r"jsonl:1 is not JSON \(Extra data.*\): write one object a line"),
        ("[" * 100_000, "jsonl:1 is not JSON"),
        (line(file_name="../1.png"), r"jsonl:1 names '\.\./1\.png', which is outside"),
        (line(file_name="a/../../1.png"), "which is outside"),
        (line(file_name="/etc/hostname"), "which is outside"),
        (line(file_name="2.png"), r"2\.png \(named by .*jsonl:1\) does not exist: add the file or"),
        (line(file_name="\0"), r"does not exist"),
        (line(file_name="a" * 300), r"cannot be read .*: replace it or remove the line"),
        (line(file_name=""), r"does not exist"),
        ("\n\n", r"metadata\.jsonl has no lines"),
    ],
)
def test_a_wrong_line_is_one_error(tmp_path: Path, content: bytes | str, said: str) -> None:
    with pytest.raises(SampleError, match=said):
        load_samples(with_line(tmp_path / "data", content))


def test_each_cause_of_missing_metadata_has_its_way_out(tmp_path: Path) -> None:
    def said(folder: Path) -> str:
        with pytest.raises(SampleError) as caught:
            load_samples(folder)
        return str(caught.value)

    here = tmp_path / "data"
    assert said(here).startswith(f"{here} does not exist, seen from ")
    here.mkdir()
    assert f"{here} is empty: put the pictures there" in said(here)
    picture(here)
    assert "has 1 pictures and no captions: write metadata.jsonl with a line for each" in said(here)
    assert "1.png is a picture, and load_samples reads sets of them: pass its folder" in said(
        here / "1.png"
    )
    (here / "captions.json").write_text("{}")
    assert "but captions.json: if captions are there, name the file" in said(here)
    assert "captions.json is empty, and no object from file names" in said(here / "captions.json")
    with_line(here / "train", line())
    with_line(here / "test", line())
    assert "but test, train below have one: load one split at a time" in said(here)
    assert f"load_samples({str(here)!r}, split='test')" in said(here)
    assert len(load_samples(here, split="test")) == 1


def test_folders_of_one_name_have_different_ids(tmp_path: Path) -> None:
    train = with_line(tmp_path / "train" / "images", line())
    holdout = with_line(tmp_path / "holdout" / "images", line(), colour="blue")
    check_disjoint("members", load_samples(train), "non_members", load_samples(holdout))
    (sample,) = load_samples(train)
    assert sample.id.startswith("images/1.png#")
    shutil.move(tmp_path / "train", tmp_path / "elsewhere")
    moved = tmp_path / "elsewhere" / "images"
    picture(moved, "2.png", "green")
    with (moved / "metadata.jsonl").open("a") as file:
        file.write("\n" + line(file_name="2.png"))
    assert load_samples(moved)[0].id == sample.id


def test_a_folder_may_be_named_from_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = with_line(tmp_path / "data", line())
    (sample,) = load_samples(folder)
    monkeypatch.chdir(folder)
    assert [s.id for s in load_samples(".")] == [sample.id]
