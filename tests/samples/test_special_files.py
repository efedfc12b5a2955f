"""Links, FIFOs, devices, sparse files and odd names where a data set is expected: one error."""

from __future__ import annotations

import json
import os
import time
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from privaudit import load_samples
from privaudit.errors import SampleError
from privaudit.samples import check_set

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "a private caption"


def put(folder: Path, name: str = "1.png", caption: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), "red").save(folder / name)
    if caption is not None:
        (folder / name).with_suffix(".txt").write_text(caption)
    return folder


def name_in_table(folder: Path, *names: str, caption: str = SECRET) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"file_name": n, "text": caption}) for n in names]
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return folder


def in_table(make: Callable[[Path], object]) -> Callable[[Path], Path]:
    def build(d: Path) -> Path:
        make(d / "1.png")
        return name_in_table(d, "1.png")

    return build


def beside(make: Callable[[Path], object]) -> Callable[[Path], Path]:
    def build(d: Path) -> Path:
        put(d)
        make(d / "1.txt")
        return d

    return build


def as_file(
    name: str, make: Callable[[Path], object], *, whole: bool = True
) -> Callable[[Path], Path]:
    def build(d: Path) -> Path:
        put(d)
        make(d / name)
        return d / name if whole else d

    return build


def kohya_metadata(make: Callable[[Path], object]) -> Callable[[Path], Path]:
    def build(d: Path) -> Path:
        put(d)
        make(d / "m.json")
        text = '[[datasets]]\n[[datasets.subsets]]\nimage_dir = "."\nmetadata_file = "m.json"'
        (d / "a.toml").write_text(text)
        return d / "a.toml"

    return build


def link_to(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**33)


WAYS = {
    "picture": in_table,
    "caption": beside,
    "table": lambda make: as_file("metadata.jsonl", make, whole=False),
    "csv": lambda make: as_file("metadata.csv", make),
    "json": lambda make: as_file("c.json", make),
    "toml": lambda make: as_file("k.toml", make),
    "tar": lambda make: as_file("s.tar", make),
    "parquet": lambda make: as_file("s.parquet", make),
    "metadata": kohya_metadata,
}
FILES = {
    "fifo": os.mkfifo,
    "zero": link_to("/dev/zero"),
    "stdin": link_to("/dev/stdin"),
    "tty": link_to("/dev/tty"),
    "loop": lambda path: path.symlink_to(path),
    "nothing": link_to("/no/such/file"),
    "folder": lambda path: path.mkdir(),
    "sparse": sparse,
}


@pytest.mark.parametrize("what", FILES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore:.*lead out of it")
def test_a_special_file_is_one_error_at_once(way: str, what: str, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    source = WAYS[way](FILES[what])(folder)
    begun = time.monotonic()
    with pytest.raises(SampleError) as caught:
        check_set("members", load_samples(source))
    assert time.monotonic() - begun < 5
    assert SECRET not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("target", ["/etc/hostname", "out"])
def test_a_caption_is_no_link_out_of_its_set(target: str, tmp_path: Path) -> None:
    outside = tmp_path / "out"
    outside.write_text("something of this machine")
    d = put(tmp_path / "set")
    (d / "1.txt").symlink_to(target if target.startswith("/") else outside)
    with pytest.raises(SampleError, match=r"1\.txt is a link to .*, which is outside of the data"):
        load_samples(d)
    (d / "1.txt").unlink()
    (d / "words").mkdir()
    (d / "words" / "a.txt").write_text("inside")
    (d / "1.txt").symlink_to(d / "words" / "a.txt")
    assert [s.caption for s in load_samples(d)] == ["inside"]


def test_a_table_is_no_link_out_of_its_set(tmp_path: Path) -> None:
    elsewhere = name_in_table(tmp_path / "other", "1.png") / "metadata.jsonl"
    d = put(tmp_path / "set")
    (d / "metadata.jsonl").symlink_to(elsewhere)
    with pytest.raises(SampleError, match=r"is a link to .*, or name it, load_samples\('.*other"):
        load_samples(d)


@pytest.mark.parametrize("how", ["file", "folder", "middle"])
def test_a_picture_that_is_a_link_out_is_named(how: str, tmp_path: Path) -> None:
    outside = put(tmp_path / "out", "x.png")
    d = tmp_path / "set"
    d.mkdir()
    name = {"file": "1.png", "folder": "sub/x.png", "middle": "sub/../out/x.png"}[how]
    if how == "file":
        (d / "1.png").symlink_to(outside / "x.png")
    else:
        (d / "sub").symlink_to(outside)
    name_in_table(d, name)
    with pytest.warns(UserWarning, match=rf"1 pictures .* such as {name} to .*out/x.png: check"):
        [sample] = load_samples(d)
    assert sample.image.size == (4, 4)
    (outside / "x.png").write_bytes(b"no picture")
    with pytest.raises(SampleError, match=r"a link to .*out/x.png\) cannot be read as an image"):
        sample.image  # noqa: B018


def test_a_snapshot_in_the_hubs_cache_is_made_of_links(tmp_path: Path) -> None:
    blobs = put(tmp_path / "datasets--a--b" / "blobs")
    snapshot = tmp_path / "datasets--a--b" / "snapshots" / "0f" / "train"
    snapshot.mkdir(parents=True)
    (blobs / "abc").write_text("its caption")
    (snapshot / "1.png").symlink_to("../../../blobs/1.png")
    (snapshot / "1.txt").symlink_to("../../../blobs/abc")
    assert [s.caption for s in load_samples(snapshot)] == ["its caption"]
    (snapshot / "1.txt").unlink()
    (snapshot / "1.txt").symlink_to("/etc/hostname")
    with pytest.raises(SampleError, match="outside of the data set"):
        load_samples(snapshot)


def test_a_set_may_itself_be_a_link(tmp_path: Path) -> None:
    put(tmp_path / "set", caption="one")
    (tmp_path / "link").symlink_to(tmp_path / "set")
    assert [s.caption for s in load_samples(tmp_path / "link")] == ["one"]


def test_a_folder_that_links_to_itself_is_read_once(tmp_path: Path) -> None:
    d = put(tmp_path / "set", caption="one")
    (d / "loop").symlink_to(d)
    assert len(load_samples(d)) == 1
    (d / "1.txt").unlink()
    (d / "c.json").write_text('{"1": "a"}')
    assert len(load_samples(d / "c.json")) == 1


@pytest.mark.parametrize("forms", [("NFD", "NFC"), ("NFC", "NFD")])
def test_accents_may_be_encoded_two_ways(forms: tuple[str, str], tmp_path: Path) -> None:
    file, row = (unicodedata.normalize(form, "é.png") for form in forms)
    for folder in ("", "ü/"):
        d = (
            put(tmp_path / f"set{len(folder)}" / folder, file).parent
            if folder
            else put(tmp_path / "set0", file)
        )
        [sample] = load_samples(name_in_table(d, folder + row))
        assert sample.image.size == (4, 4)
        assert unicodedata.is_normalized("NFC", sample.id)


def test_a_name_in_another_encoding_has_an_id_that_a_record_can_hold(tmp_path: Path) -> None:
    d = put(tmp_path / "set")
    os.rename(os.fsencode(d / "1.png"), os.fsencode(d) + b"/caf\xe9.png")
    Path(os.fsdecode(os.fsencode(d) + b"/caf\xe9.txt")).write_text("one")
    [sample] = load_samples(d)
    sample.id.encode()
    assert sample.image.size == (4, 4)


def test_the_table_of_a_split_may_be_in_the_folder_above(tmp_path: Path) -> None:
    for split in ("train", "test"):
        put(tmp_path / "data" / split)
    name_in_table(tmp_path / "data", "train/1.png", "./test/1.png")
    for source, more in ((tmp_path / "data", {"split": "train"}), (tmp_path / "data/train", {})):
        [sample] = load_samples(source, **more)
        assert sample.id.startswith("data/train/1.png#")
    assert len(load_samples(tmp_path / "data")) == 2
    put(tmp_path / "data" / "val")
    with pytest.raises(SampleError, match="write a line whose picture is in val for each picture"):
        load_samples(tmp_path / "data" / "val")


def test_a_table_and_caption_files_that_differ_are_named(tmp_path: Path) -> None:
    d = put(tmp_path / "set", caption="from the file\nsecond line")
    for same in ("from the file", "from the file\nsecond line"):
        assert len(load_samples(name_in_table(d, "1.png", caption=same))) == 1
    name_in_table(d, "./1.png")
    with pytest.raises(SampleError, match=r"metadata.jsonl and 1 caption files .* 1.txt, and") as e:
        load_samples(d)
    assert SECRET not in str(e.value)
    assert [s.caption for s in load_samples(d / "metadata.jsonl")] == [SECRET]
    (d / "metadata.jsonl").unlink()
    (d / "1.caption").write_text("another")
    with pytest.raises(SampleError, match=r"1.txt and 1.caption in .* differ, and both are of 1"):
        load_samples(d)


def test_more_lines_are_counted_and_said(tmp_path: Path) -> None:
    d = put(tmp_path / "set", caption="sks\nA cat on a mat")
    put(d, "2.png", "one line\n")
    with pytest.warns(
        UserWarning, match=r"1 caption files in .* have several lines, and the first"
    ):
        samples = load_samples(d)
    assert [s.caption for s in samples] == ["sks", "one line"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            ["1.png", "1.txt", "2.heic", "2.txt"],
            r"such as 2.txt: 2.heic is of a format that is not",
        ),
        (["2.jxl", "2.txt"], "2.jxl is of a format that is not read .*: convert it to PNG"),
        (["2.HEIC"], "has 2.HEIC, of a format that is not read"),
        (["1.png", "1.png.txt"], "1.png.txt is where no trainer looks .* of 1.png: name it 1.txt"),
        (["1.png", "1.txt", "2.txt"], "such as 2.txt: add the picture, or remove the caption"),
        (["1.png"], "has 1 pictures and no captions"),
    ],
)
def test_what_is_there_is_named(files: list[str], message: str, tmp_path: Path) -> None:
    for name in files:
        if name.endswith("png"):
            put(tmp_path, name)
        else:
            (tmp_path / name).write_bytes(b"a")
    with pytest.raises(SampleError, match=message):
        load_samples(tmp_path)


def test_caption_files_may_end_in_capitals(tmp_path: Path) -> None:
    put(tmp_path, "1.PNG")
    (tmp_path / "1.TXT").write_text("one")
    assert [s.caption for s in load_samples(tmp_path)] == ["one"]


@pytest.mark.parametrize("mark", ["[trigger]", "[Trigger]", "{trigger_word}", "[filewords]"])
def test_a_placeholder_is_no_caption(mark: str, tmp_path: Path) -> None:
    with pytest.raises(SampleError, match="which the trainer replaced by its trigger word"):
        load_samples(put(tmp_path / "a", caption=f"{mark} on a mat"))
    with pytest.raises(SampleError, match=r"metadata.jsonl:1 holds"):
        load_samples(name_in_table(put(tmp_path / "b"), "1.png", caption=f"{mark} on a mat"))
    assert len(load_samples(put(tmp_path / "c", caption="a [cat] {red|blue}"))) == 1


@pytest.mark.parametrize(
    "content",
    [
        f"1.png,{SECRET}\n2.png,b\n",
        f"file_name;text\n1.png;{SECRET}\n",
        f"file_name,text,text\n1.png,a,{SECRET}\n",
        f'file_name,text\n1.png,"{SECRET}\n',
        f"file_name,text\n1.png,{SECRET},more\n",
        f'file_name,text\n1.png,"{SECRET * 10_000}"\n',
    ],
)
def test_a_table_that_is_wrong_is_not_quoted(content: str, tmp_path: Path) -> None:
    put(tmp_path)
    (tmp_path / "metadata.csv").write_text(content)
    with pytest.raises(SampleError) as caught:
        load_samples(tmp_path)
    assert SECRET not in str(caught.value)
    assert "metadata.csv" in str(caught.value)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_lines_of_a_table_end_as_they_do_anywhere(ends: str, tmp_path: Path) -> None:
    put(tmp_path)
    text = f'\ufefffile_name,text{ends}1.png,"two{ends}lines"{ends}'
    (tmp_path / "metadata.csv").write_bytes(text.encode())
    assert [s.caption.split() for s in load_samples(tmp_path)] == [["two", "lines"]]
