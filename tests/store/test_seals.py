"""Who may decide verdicts: the owner of the folder and of the key, and nobody else."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest
from platformdirs import user_config_path

from privaudit.errors import StoreError
from privaudit.store import Store, as_file, seals
from tests.store.faults import NOBODY
from tests.store.test_store import KEY, OTHER, picture


@pytest.fixture
def own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a key, and none in the environment; returns where the key will be."""
    monkeypatch.delenv(seals.VARIABLE)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return user_config_path("privaudit", appauthor=False) / "store.key"


def file_of(folder: Path, key: str = KEY) -> Path:
    return folder / "images" / key[:2] / f"{key}.png"


def test_the_key_is_made_once_and_is_its_owners_alone(tmp_path: Path, own_key: Path) -> None:
    assert not own_key.exists()
    Store(tmp_path / "store").put_texts({"a": "one"})
    assert own_key.stat().st_mode & 0o777 == 0o600
    before = own_key.read_bytes()
    assert len(before) == seals.SIZE
    assert Store(tmp_path / "store").texts(["a"]) == {"a": "one"}
    assert own_key.read_bytes() == before
    assert [file.name for file in own_key.parent.iterdir()] == ["store.key"]


def key_of(_: int) -> bytes:
    return seals.load_key()


def test_processes_that_start_together_make_one_key(own_key: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert len(set(pool.map(key_of, range(16), chunksize=1))) == 1


def test_entries_of_another_key_are_dropped_and_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    store.put_texts({"a": "one"})
    store.put_image(KEY, as_file(picture()))
    monkeypatch.setenv(seals.VARIABLE, "another key, of a colleague")
    other = Store(tmp_path)
    with pytest.warns(UserWarning, match="kept with another key, and what it held is made again"):
        assert other.texts(["a"]) == {}
    with pytest.warns(UserWarning, match="its seal does not fit: .* of another key"):
        assert other.image(KEY) is None
    other.put_texts({"a": "two"})
    assert Store(tmp_path).texts(["a"]) == {"a": "two"}


def test_a_shared_store_has_no_key_unless_the_environment_gives_one(
    tmp_path: Path, own_key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(tmp_path / "store", shared=True).put_texts({"a": "one"})
    assert not own_key.exists()
    monkeypatch.setenv("HOME", str(tmp_path / "another home"))
    assert Store(tmp_path / "store", shared=True).texts(["a"]) == {"a": "one"}
    monkeypatch.setenv(seals.VARIABLE, "a key that a team keeps")
    with pytest.warns(UserWarning, match="another key"):
        assert Store(tmp_path / "store", shared=True).texts(["a"]) == {}


def test_a_key_that_can_be_guessed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(seals.VARIABLE, "fifteen letters")
    with pytest.raises(StoreError, match=r"PRIVAUDIT_STORE_KEY has 15 characters.*: take 16 or"):
        Store(tmp_path)


@pytest.mark.parametrize("fault", ["readable", "short", "a FIFO", "no folder"])
def test_a_key_that_cannot_be_used_is_an_error(tmp_path: Path, own_key: Path, fault: str) -> None:
    own_key.parent.mkdir(parents=True)
    if fault == "readable":
        own_key.write_bytes(bytes(seals.SIZE))
        own_key.chmod(0o644)
    elif fault == "short":
        own_key.touch(mode=0o600)
    elif fault == "a FIFO":
        os.mkfifo(own_key, 0o600)
    else:
        own_key.parent.rmdir()
        own_key.parent.touch()
    with pytest.raises(StoreError, match=r"the key of your store.*\n.*(is made again|shared)"):
        Store(tmp_path / "store")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no numbers of users")
def test_a_store_that_others_own_or_may_write_to_is_refused_unless_it_is_shared(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "store"
    Store(folder).put_texts({"a": "one"})
    (folder / "mine.txt").touch()  # not the store's alone: its permissions are somebody's choice
    folder.chmod(0o777)
    refused = r"decides verdicts\nname another folder .* --privaudit-store-shared"
    with pytest.raises(StoreError, match=rf"can be written to by others \(mode 777\), .*{refused}"):
        Store(folder)
    assert Store(folder, shared=True).texts(["a"]) == {"a": "one"}
    folder.chmod(0o755)
    assert Store(folder).texts(["a"]) == {"a": "one"}
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    os.chown(folder, NOBODY, NOBODY)
    with pytest.raises(StoreError, match=rf"belongs to another user \(number 65534\), .*{refused}"):
        Store(folder)
    assert Store(folder, shared=True).texts(["a"]) == {"a": "one"}


def modes(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777
        for path in (folder, *folder.rglob("*"))
    }


@pytest.mark.parametrize("before", ["absent", "empty", "a store"])
def test_all_of_it_is_its_owners_alone(tmp_path: Path, before: str) -> None:
    folder = tmp_path / "store"
    if before != "absent":
        folder.mkdir()
    if before == "a store":
        Store(folder, shared=True).put_texts({"a": "one"})
        Store(folder, shared=True).put_image(KEY, as_file(picture()))
        (folder / "images").chmod(0o755)
    folder.chmod(0o755) if folder.exists() else None
    store = Store(folder)
    store.put_image(OTHER, as_file(picture()))
    store.put_texts({"b": "two"})
    with store.alone("model"):
        found = modes(folder)
    assert {name: mode for name, mode in found.items() if mode & 0o077 and KEY not in name} == (
        {} if before != "a store" else {f"images/{KEY[:2]}": 0o755}
    )
    assert store.texts(["b"]) == {"b": "two"}


def test_a_shared_store_gives_its_files_the_permissions_of_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    folder.chmod(0o2770)
    store = Store(folder, shared=True)
    store.put_image(KEY, as_file(picture()))
    store.put_texts({"a": "one"})
    with store.alone("model"):
        found = modes(folder)
    assert {mode for name, mode in found.items() if "." not in name} == {0o770}
    assert found["values.sqlite"] == found[f"images/{KEY[:2]}/{KEY}.png"] == 0o660


KINDS = ["FIFO", "link", "link to nowhere", "link to /dev/zero", "folder", "device", "empty"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_in_the_place_of_an_image_is_removed_and_made_again(
    tmp_path: Path, kind: str
) -> None:
    store = Store(tmp_path / "store")
    store.put_image(KEY, as_file(picture()))
    file = file_of(tmp_path / "store")
    (tmp_path / "outside").write_bytes(file.read_bytes())
    file.unlink()
    if kind == "FIFO":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind == "empty":
        file.touch()
    elif kind == "device":
        try:
            os.mknod(file, 0o666 | 0o020000, os.makedev(1, 3))
        except OSError:
            pytest.skip("devices cannot be made here")
    else:
        outside = {"link": tmp_path / "outside", "link to nowhere": tmp_path / "nowhere"}
        file.symlink_to(outside.get(kind, Path("/dev/zero")))
    assert store.has_image(KEY) == (kind == "empty")
    with pytest.warns(UserWarning, match=r"is damaged \(.*\) and is made again"):
        assert store.image(KEY) is None
    assert not os.path.lexists(file)
    store.put_image(KEY, as_file(picture()))
    assert store.image(KEY) is not None
    assert (tmp_path / "outside").exists()


def test_images_under_each_others_names_are_dropped(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for key, seed in ((KEY, 0), (OTHER, 1)):
        store.put_image(key, as_file(picture(seed)))
    one, other = file_of(tmp_path), file_of(tmp_path, OTHER)
    one.rename(tmp_path / "x")
    other.rename(one)
    (tmp_path / "x").rename(other)
    for key in (KEY, OTHER):
        with pytest.warns(UserWarning, match="its seal does not fit: .* another entry's"):
            assert store.image(key) is None
