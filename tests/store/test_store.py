"""The store: whole entries or none, damage noticed, a limit kept, many processes at once."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from privaudit.errors import StoreError
from privaudit.store import Store, as_file, locks
from privaudit.store.locks import Locks
from tests.store.hammer import hammer, hold

KEY, OTHER = "ab" * 16, "cd" * 16


def picture(seed: int = 0, size: int = 16) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_images_come_back_pixel_by_pixel(tmp_path: Path) -> None:
    Store(tmp_path).put_image(KEY, as_file(picture()))
    found = Store(tmp_path).image(KEY)
    assert found is not None
    assert found.tobytes() == picture().tobytes()
    assert Store(tmp_path).has_image(KEY)
    assert Store(tmp_path).image(OTHER) is None
    assert not Store(tmp_path).has_image(OTHER)


def test_the_store_is_its_owners_alone(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.put_image(KEY, as_file(picture()))
    store.put_arrays({KEY: np.zeros(2, np.float32)})
    assert (tmp_path / "store").stat().st_mode & 0o077 == 0


def test_a_changed_byte_of_an_image_is_noticed_wherever_it_is(tmp_path: Path) -> None:
    """One byte flipped at each of many places: the image comes back right, or not at all."""
    store = Store(tmp_path)
    store.put_image(KEY, as_file(picture()))
    (file,) = (tmp_path / "images").rglob("*.png")
    whole = file.read_bytes()
    noticed = 0
    for at in range(0, len(whole), 7):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = store.image(KEY)
        if found is None:
            assert [str(w.message).endswith("and is made again") for w in caught] == [True]
            assert not file.exists()
            noticed += 1
        else:
            assert found.tobytes() == picture().tobytes()
    assert noticed > 100


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=8), st.binary(max_size=64)))
def test_values_come_back_as_they_were(contents: dict[str, bytes]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        arrays = {k: np.frombuffer(v * 4, np.float32) for k, v in contents.items()}
        Store(Path(folder)).put_arrays(arrays)
        store = Store(Path(folder))
        found = store.arrays([*arrays, "none of these"])
        assert {k: v.tobytes() for k, v in found.items()} == {
            k: v.tobytes() for k, v in arrays.items()
        }
        assert store.absent([*arrays, "none of these"]) == ["none of these"]


def test_values_of_this_process_alone_stay_in_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put_texts({"a": "here"}, persistent=False)
    store.put_texts({"b": "kept"})
    assert store.texts(["a", "b"]) == {"a": "here", "b": "kept"}
    assert Store(tmp_path).texts(["a", "b"]) == {"b": "kept"}
    assert store.absent(["a", "b", "c"]) == ["c"]


def test_a_damaged_value_is_dropped_with_a_warning(tmp_path: Path) -> None:
    Store(tmp_path).put_texts({"a": "one", "b": "two"})
    with sqlite3.connect(tmp_path / "values.sqlite") as connection:
        connection.execute("UPDATE value SET content = ? WHERE key = 'a'", (b"uno",))
    connection.close()
    store = Store(tmp_path)
    with pytest.warns(UserWarning, match="entries of .* are damaged or .* is made again"):
        assert store.texts(["a", "b"]) == {"b": "two"}
    assert store.absent(["a", "b"]) == ["a"]


def test_what_cannot_be_written_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StoreError, match=r"cannot be made .* name another folder with --privaudit-store"
    ):
        Store(tmp_path / "file")
    store = Store(tmp_path)
    (tmp_path / "images").write_text("in the way")
    with pytest.raises(
        StoreError, match=r"cannot be written .* name another folder with --privaudit-store"
    ):
        store.put_image(KEY, as_file(picture()))


def test_the_longest_unused_images_go_first(tmp_path: Path) -> None:
    size = len(as_file(picture()))
    store = Store(tmp_path / "two", limit=10 * size + 9000)
    keys = [f"{i:032x}" for i in range(10)]
    for age, key in enumerate(keys):
        store.put_image(key, as_file(picture()))
        (file,) = (tmp_path / "two" / "images").rglob(f"{key}.png")
        os.utime(file, (1000 + age, 1000 + age))
    store.image(keys[0])  # used just now
    store.limit = 5 * size
    assert store.evict() == 6  # to a tenth below the limit
    assert [key for key in keys if store.has_image(key)] == [keys[0], *keys[7:]]
    assert store.usage()["images"][0] == 4


def test_a_store_that_grows_beyond_its_limit_is_cut_while_it_grows(tmp_path: Path) -> None:
    size = len(as_file(picture()))
    store = Store(tmp_path / "two", limit=20 * size)
    for i in range(100):
        store.put_image(f"{i:032x}", as_file(picture()))
        assert store.usage()["images"][1] <= 1.15 * 20 * size
    assert store.usage()["images"][0] > 15


def test_values_go_only_where_nothing_reads_them(tmp_path: Path) -> None:
    store = Store(tmp_path, limit=100_000)
    for i in range(100):
        store.put_arrays({str(i): np.zeros(1000, np.float32)})
    keys = [str(i) for i in range(100)]
    store.evict()
    assert not store.absent(keys)
    store.evict(values_too=True)
    assert 50 < len(store.absent(keys)) < 100
    assert not store.absent(["99"])
    assert store.usage()["values"][1] <= 100_000


def test_clearing_removes_what_a_store_keeps_and_nothing_else(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put_image(KEY, as_file(picture()))
    store.put_texts({"a": "one"})
    (tmp_path / "mine.txt").write_text("keep")
    store.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert store.texts(["a"]) == {}


@pytest.mark.parametrize("n", [pytest.param(n, marks=pytest.mark.slow) for n in (2, 4)])
def test_processes_that_hammer_one_store_neither_lose_nor_double(tmp_path: Path, n: int) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=hammer, args=(tmp_path, i)) for i in range(n)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    asked = [json.loads((tmp_path / f"asked{i}.json").read_text()) for i in range(n)]
    everything = [tuple(query) for part in asked for query in part]
    assert len(everything) == len(set(everything)) == 200
    answers = [(tmp_path / f"answers{i}.json").read_text() for i in range(n)]
    assert len(set(answers)) == 1
    assert Store(tmp_path / "store").usage()["images"][0] == 200
    assert not list((tmp_path / "store" / "locks").glob("*.json"))


def test_what_the_dead_held_is_free_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the living are named, each half minute."""
    context = multiprocessing.get_context("spawn")
    holder = context.Process(target=hold, args=(tmp_path,))
    holder.start()
    while not (tmp_path / "holding").exists():
        time.sleep(0.01)
    monkeypatch.setattr(locks, "EVERY", 0.05)
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        if len(lines) == 3:
            os.kill(holder.pid or 0, signal.SIGKILL)

    with Locks(tmp_path).hold("ab", say), Locks(tmp_path).hold("cd", say):
        assert len(lines) >= 3
    assert all(f"waiting for process {holder.pid} on " in line for line in lines)
    holder.join()


def test_a_process_may_hold_a_lock_twice(tmp_path: Path) -> None:
    lock = Locks(tmp_path)
    with lock.hold("ab", print):
        with lock.hold("ab", print):
            pass
        assert (tmp_path / "ab.json").exists()
    assert not (tmp_path / "ab.json").exists()
