"""A store that is somebody else's, on a read-only mount, or behind a link: read, never harmed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from privaudit.__main__ import main
from privaudit.errors import StoreError
from privaudit.store import Store, as_file
from tests.store.faults import another_user, lend, lent, mounted, read_only
from tests.store.test_store import KEY, OTHER, picture


@pytest.fixture
def folder() -> Iterator[Path]:
    """A store with one image, which others may read and not write."""
    with lent() as made:
        Store(made, shared=True).put_image(KEY, as_file(picture()))
        lend(made)
        yield made


def file_of(folder: Path, key: str = KEY) -> Path:
    return folder / "images" / key[:2] / f"{key}.png"


def test_an_image_that_may_be_read_and_not_touched_is_read(folder: Path) -> None:
    """Case C1: a colleague's file."""
    store = Store(folder, shared=True)
    with another_user():
        with pytest.raises(PermissionError):
            os.utime(file_of(folder))
        found = store.image(KEY)
    assert found is not None
    assert found.tobytes() == picture().tobytes()
    assert file_of(folder).exists()


def test_an_immutable_image_is_read(tmp_path: Path) -> None:
    """Case C1 once more: not even its owner may touch it, and the folder may be written."""
    store = Store(tmp_path, shared=True)
    store.put_image(KEY, as_file(picture()))
    file = file_of(tmp_path)
    if subprocess.run(["chattr", "+i", file], check=False, capture_output=True).returncode:
        pytest.skip("this file system knows no immutable files")
    try:
        found = store.image(KEY)
    finally:
        subprocess.run(["chattr", "-i", file], check=True)
    assert found is not None
    assert found.tobytes() == picture().tobytes()


def test_a_read_only_mount_is_read(tmp_path: Path) -> None:
    """Case C1 on a mount: reading writes nothing, and what must be written is one typed error."""
    with mounted(tmp_path):
        Store(tmp_path, shared=True).put_image(KEY, as_file(picture()))
        with read_only(tmp_path):
            store = Store(tmp_path, shared=True)
            found = store.image(KEY)
            with pytest.raises(
                StoreError, match=r"Read-only file system.*make its folder writable"
            ):
                store.put_image(OTHER, as_file(picture()))
    assert found is not None
    assert found.tobytes() == picture().tobytes()


def test_an_image_that_may_not_be_read_is_an_error_and_stays(folder: Path) -> None:
    """Neither damaged nor absent: generated anew, it would cost hours that the plan denied."""
    file = file_of(folder)
    before = file.read_bytes()
    file.chmod(0o600)
    folder.chmod(0o777)
    file.parent.chmod(0o777)  # the colleague could delete it
    store = Store(folder, shared=True)
    with another_user():
        assert store.has_image(KEY)
        with pytest.raises(StoreError, match=r"cannot be read .*: nothing was removed; ask its o"):
            store.image(KEY)
    assert file.read_bytes() == before


def test_a_folder_of_images_that_may_not_be_entered_is_an_error(folder: Path) -> None:
    (folder / "images").chmod(0o700)
    store = Store(folder, shared=True)
    with another_user():
        for ask in (store.image, store.has_image):
            with pytest.raises(StoreError, match=r"cannot be read"):
                ask(KEY)
        with pytest.raises(StoreError, match=r"cannot be read"):
            store.usage()


def test_a_damaged_image_that_cannot_be_removed_is_made_again_elsewhere(folder: Path) -> None:
    file = file_of(folder)
    file.write_bytes(file.read_bytes()[:-200])
    store = Store(folder, shared=True)
    with (
        another_user(),
        pytest.warns(UserWarning, match=r"is damaged .* and cannot be removed .* is made again"),
    ):
        assert store.image(KEY) is None
    assert file.exists()


def test_images_that_cannot_be_removed_leave_the_store_over_its_limit(folder: Path) -> None:
    size = file_of(folder).stat().st_size
    store = Store(folder, limit=size // 2, shared=True)
    with another_user(), pytest.warns(UserWarning, match=r"over its limit of .* cannot be removed"):
        assert store.evict() == 0
    assert store.evict() == 1


def test_clearing_follows_the_link_that_images_is(tmp_path: Path) -> None:
    """Case C2: the pictures are on another disk; they go, and the link stays."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "images").symlink_to(tmp_path / "disk")
    store = Store(tmp_path / "store")
    store.put_image(KEY, as_file(picture()))
    store.put_image(OTHER, as_file(picture(1)))
    assert len(list((tmp_path / "disk").rglob("*.png"))) == 2
    store.clear()
    assert list((tmp_path / "disk").iterdir()) == []
    assert (tmp_path / "store" / "images").is_symlink()
    store.put_image(KEY, as_file(picture()))


def test_clearing_says_what_it_could_not_remove(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Store(folder, shared=True).put_image(OTHER, as_file(picture(1)))
    (folder / "images" / OTHER[:2]).chmod(0o777)
    with another_user():
        assert main(["store", "clear", "--store", str(folder)]) == 1
    caught = capsys.readouterr()
    assert "removed" not in caught.out
    assert "1 images are left" in caught.err
    assert "make its folder writable to you" in caught.err
    assert Store(folder, shared=True).has_image(KEY)
    assert not Store(folder, shared=True).has_image(OTHER)


def test_pictures_that_are_not_the_stores_are_neither_counted_evicted_nor_cleared(
    tmp_path: Path,
) -> None:
    """A store in a project's own folder, where ``images`` is the data set."""
    mine = [tmp_path / "images" / "train" / "1.png", tmp_path / "images" / "ab" / "2.png"]
    for file in mine:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(as_file(picture()))
    notes = tmp_path / "values.sqlite.notes"
    notes.write_text("mine")
    store = Store(tmp_path, limit=1)
    store.put_image(KEY, as_file(picture()))
    store.put_texts({"a": "one"})
    assert store.usage()["images"][0] == 0  # evicted at once
    store.limit = None
    store.put_image(KEY, as_file(picture()))
    assert store.usage()["images"][0] == 1
    store.clear()
    left = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert left == sorted([*mine, notes])
