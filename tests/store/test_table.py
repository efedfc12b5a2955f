"""The file of values: locked, foreign, of another version, damaged, or not to be written."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from privaudit.__main__ import main
from privaudit.engines.local import LocalEngine
from privaudit.engines.task import Task
from privaudit.errors import StoreError
from privaudit.measurements import ReconstructionSimilarity
from privaudit.samples import Sample
from privaudit.store import Store, table
from privaudit.targets.base import CallableTarget
from privaudit.targets.queries import Query
from tests.store.faults import another_user, lend, lent, mounted, read_only
from tests.store.hammer import Colour, Slow


@pytest.fixture
def folder() -> Iterator[Path]:
    """A store with one value, which others may read and not write."""
    with lent() as made:
        Store(made, shared=True).put_texts({"a": "one"})
        lend(made)
        yield made


READS: list[Callable[[Store], Any]] = [
    lambda store: store.texts(["a"]),
    lambda store: store.absent(["a"]),
    lambda store: store.usage(),
    lambda store: store.texts(["a", "b", "c"]),
]


def test_a_locked_file_is_a_typed_error_on_reads_and_writes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "PATIENCE", 0.05)
    with closing(sqlite3.connect(folder / "values.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for ask in (*READS, lambda store: store.put_texts({"b": "two"})):
            with pytest.raises(StoreError, match=r"is locked\): another process has held it for"):
                ask(Store(folder, shared=True))
        other.execute("ROLLBACK")
    assert Store(folder, shared=True).texts(["a"]) == {"a": "one"}


@pytest.mark.parametrize("content", [b"something else" * 100, b"\x89PNG" + bytes(5000)])
def test_a_file_that_is_no_database_is_an_error_and_stays(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "values.sqlite"
    file.write_bytes(content)
    store = Store(tmp_path)
    for ask in (*READS, lambda store: store.put_texts({"b": "two"}), Store.clear):
        with pytest.raises(StoreError, match=r"not a database\): .* move it away, or name another"):
            ask(store)
    assert file.read_bytes() == content


def test_another_programs_database_is_an_error_and_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "values.sqlite"
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("CREATE TABLE value (name TEXT, price REAL)")
        other.execute("INSERT INTO value VALUES ('mine', 1)")
    before = file.read_bytes()
    store = Store(tmp_path)
    for ask in (*READS, lambda store: store.put_texts({"b": "two"}), Store.clear):
        with pytest.raises(
            StoreError, match=r"another program's database \(tables value\): move it"
        ):
            ask(store)
    assert main(["store", "clear", "--store", str(tmp_path)]) == 1
    assert "move it away" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_a_newer_version_is_refused(folder: Path) -> None:
    file = folder / "values.sqlite"
    with closing(sqlite3.connect(file)) as written:
        assert written.execute("PRAGMA user_version").fetchone() == (table.SCHEMA_VERSION,)
        written.execute(f"PRAGMA user_version = {table.SCHEMA_VERSION + 1}")
    before = file.read_bytes()
    for ask in (*READS, lambda store: store.put_texts({"b": "two"}), Store.clear):
        with pytest.raises(StoreError, match=r"newer privaudit \(version 3 .* knows 2\): update"):
            ask(Store(folder, shared=True))
    assert file.read_bytes() == before


def test_an_older_version_is_begun_anew(tmp_path: Path) -> None:
    """Its rows have no seal: whoever could write there made them."""
    with closing(sqlite3.connect(tmp_path / "values.sqlite")) as older, older:
        columns = "id INTEGER PRIMARY KEY, key TEXT, checksum INTEGER, content BLOB"
        older.execute(f"CREATE TABLE value ({columns})")
        older.execute("INSERT INTO value VALUES (1, 'a', 1, 'one')")
        older.execute("PRAGMA user_version = 1")
    with pytest.warns(UserWarning, match=r"an older privaudit wrote it.* is made again"):
        assert Store(tmp_path).texts(["a"]) == {}
    Store(tmp_path).put_texts({"a": "one"})
    assert Store(tmp_path).texts(["a"]) == {"a": "one"}


def test_a_damaged_page_is_begun_anew(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put_texts({str(i): "text" * 100 for i in range(200)})
    file = tmp_path / "values.sqlite"
    whole = file.read_bytes()
    file.write_bytes(whole[:8192] + bytes(len(whole) - 8192))
    store = Store(tmp_path)
    with pytest.warns(UserWarning, match=r"cannot be used .* what it held is made again"):
        assert store.texts([str(i) for i in range(200)]) == {}
    store.put_texts({"a": "one"})
    assert Store(tmp_path).texts(["a"]) == {"a": "one"}


def test_reading_an_empty_store_writes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for ask in READS[:3]:
        ask(store)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_a_store_that_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "values.sqlite").touch()
    assert Store(tmp_path).texts(["a"]) == {}
    Store(tmp_path).put_texts({"a": "one"})
    assert Store(tmp_path).texts(["a"]) == {"a": "one"}


def test_a_path_with_odd_characters_is_the_file_it_names(tmp_path: Path) -> None:
    folder = tmp_path / "50% of #1?mode=ro & more"
    Store(folder, shared=True).put_texts({"a": "one"})
    assert (folder / "values.sqlite").exists()
    assert Store(folder, shared=True).texts(["a"]) == {"a": "one"}


def test_a_store_to_which_one_may_not_write_is_read(folder: Path) -> None:
    store = Store(folder, shared=True)
    with another_user():
        assert store.texts(["a"]) == {"a": "one"}
        assert store.absent(["a", "b"]) == ["b"]
        with pytest.raises(StoreError, match=r"readonly database.*: make it and its folder writab"):
            store.put_texts({"b": "two"})
    assert Store(folder, shared=True).texts(["a", "b"]) == {"a": "one"}


def test_a_damaged_value_of_a_colleague_is_not_used_and_stays(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "values.sqlite")) as written, written:
        written.execute("UPDATE value SET content = ?", (b"uno",))
    store = Store(folder, shared=True)
    with (
        another_user(),
        pytest.warns(UserWarning, match=r"entries of .* are damaged or were kept with another key"),
    ):
        assert store.texts(["a"]) == {}


def test_a_file_that_may_not_be_read_is_an_error(folder: Path) -> None:
    (folder / "values.sqlite").chmod(0o600)
    store = Store(folder, shared=True)
    with another_user():
        for ask in READS:
            with pytest.raises(
                StoreError, match=r"cannot be read .*unable to open.*: ask the owner"
            ):
                ask(store)
    folder.chmod(0o700)
    with another_user():
        for ask in READS:
            with pytest.raises(
                StoreError, match=r"cannot be read .*Permission denied.*: nothing was"
            ):
                ask(store)


@pytest.mark.parametrize("how", ["another user", "a read-only mount"])
def test_what_is_stored_is_answered_from_a_store_that_cannot_be_written(how: str) -> None:
    """A team's shared cache: one typed error, and only where something must be written."""
    with lent() as shared, mounted(shared, "mode=755"):
        sample = Sample(Image.new("RGB", (8, 8), (10, 20, 30)), "x", id="x")
        queries = [Query(sample, f"prompt {i}", 0, i) for i in range(4)]
        function = Slow()
        measured = ReconstructionSimilarity(Colour(), "cosine", "channel")
        task = Task(CallableTarget(function), measured, 2)
        full = Store(shared, shared=True)
        LocalEngine().run(task, queries[:3], full, lambda _: None)
        assert len(function.asked) == 3
        full.close()
        lend(shared)
        store = Store(shared, shared=True)
        with another_user() if how == "another user" else read_only(shared):
            LocalEngine().run(task, queries[:3], store, lambda _: None)
            assert len(store.arrays(task.keys(queries[:3])[1])) == 3
            store.close()
            with pytest.raises(StoreError, match=r"locks cannot be written .*: make its folder w"):
                LocalEngine().run(task, queries, store, lambda _: None)
        assert len(function.asked) == 3


def test_a_full_disk_is_a_typed_error_that_keeps_what_was_there(tmp_path: Path) -> None:
    with mounted(tmp_path):
        store = Store(tmp_path)
        store.put_texts({"a": "one"})
        with pytest.raises(StoreError, match=r"free space, or name another folder"):
            store.put_texts({"b": "x" * 6_000_000})
        assert store.texts(["a", "b"]) == {"a": "one"}
        store.close()


def test_what_is_written_after_another_process_cleared_is_not_lost(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put_texts({"a": "one"})
    Store(tmp_path).clear()
    assert store.texts(["a"]) == {}
    store.put_texts({"b": "two"})
    assert Store(tmp_path).texts(["a", "b"]) == {"b": "two"}


@pytest.mark.filterwarnings("error")
def test_a_store_may_be_forgotten_in_another_thread(tmp_path: Path) -> None:
    """The garbage collector runs where it likes: under Ray, in a thread of Ray's."""
    held = [Store(tmp_path)]
    held[0].put_texts({"a": "one"})
    connection = held[0]._table._opened
    assert connection is not None
    forgetting = threading.Thread(target=held.clear)
    forgetting.start()
    forgetting.join()
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        connection.execute("SELECT 1")


def change(file: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(file)) as other, other:
        other.execute(statement, values)


ROWS = {
    "null": "UPDATE value SET content = NULL",
    "text": "UPDATE value SET content = 'one'",
    "text that is no UTF-8": "UPDATE value SET content = CAST(x'ff' AS TEXT)",
    "a number": "UPDATE value SET content = 7",
    "a seal that is null": "UPDATE value SET checksum = NULL",
    "a seal that is text": "UPDATE value SET checksum = 'seal'",
    "another row's": "UPDATE value SET (checksum, content) = "
    "(SELECT checksum, content FROM value WHERE key = 'b')",
    "a bit": "UPDATE value SET content = x'6f6e66'",
}


@pytest.mark.parametrize("statement", ROWS.values(), ids=ROWS)
def test_a_row_that_was_changed_is_dropped_and_made_again(tmp_path: Path, statement: str) -> None:
    store = Store(tmp_path)
    store.put_texts({"a": "one", "b": "two"})
    if "NULL" in statement:  # another program's table has no constraints
        change(tmp_path / "values.sqlite", "ALTER TABLE value RENAME TO old")
        columns = "id INTEGER PRIMARY KEY, key TEXT UNIQUE, checksum BLOB, content BLOB"
        change(tmp_path / "values.sqlite", f"CREATE TABLE value ({columns})")
        change(tmp_path / "values.sqlite", "INSERT INTO value SELECT * FROM old")
    change(tmp_path / "values.sqlite", f"{statement} WHERE key = 'a'")
    with pytest.warns(UserWarning, match=r"are damaged or were kept with another key"):
        assert store.absent(["a", "b"]) == ["a"]
    assert store.complete_texts(["a", "b"], lambda keys: [dict.fromkeys(keys, "new")]) == {
        "a": "new",
        "b": "two",
    }
    assert Store(tmp_path).texts(["a", "b"]) == {"a": "new", "b": "two"}


@pytest.mark.parametrize("name", ["values.sqlite", "values.sqlite-journal", "values.sqlite-wal"])
@pytest.mark.parametrize("kind", ["link", "FIFO"])
def test_what_is_no_regular_file_is_removed_and_not_followed(
    tmp_path: Path, name: str, kind: str
) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    folder = tmp_path / "store"
    store = Store(folder)
    if kind == "link":
        (folder / name).symlink_to(outside)
    else:
        os.mkfifo(folder / name)
    with pytest.warns(UserWarning, match=rf"{name} is not a regular file, .* made again"):
        assert store.texts(["a"]) == {}
    store.put_texts({"a": "one"})
    assert Store(folder).texts(["a"]) == {"a": "one"}
    assert outside.read_bytes() == b"mine"


def test_a_folder_in_the_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "values.sqlite").mkdir()
    for ask in (*READS, lambda store: store.put_texts({"b": "two"})):
        with pytest.raises(StoreError, match=r"cannot be written .*: check what is in the way"):
            ask(Store(tmp_path))


def test_a_lock_is_waited_for_once_at_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "PATIENCE", 0.3)
    monkeypatch.setattr(table, "IMPATIENCE", 0.01)
    store = Store(tmp_path)
    store.put_texts({"a": "one"})
    with closing(sqlite3.connect(tmp_path / "values.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for longest in (1.0, 0.2, 0.2):
            started = time.monotonic()
            with pytest.raises(StoreError, match="another process has held it for"):
                store.texts(["a"])
            assert time.monotonic() - started < longest
        other.execute("ROLLBACK")
    assert store.texts(["a"]) == {"a": "one"}


@pytest.mark.parametrize("how", ["removed", "renamed"])
def test_a_store_that_is_gone_is_said_to_be_gone(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "store"
    store = Store(folder)
    store.put_texts({"a": "one"})
    store.put_image("ab" * 16, b"image")
    if how == "removed":
        shutil.rmtree(folder)
    else:
        folder.rename(tmp_path / "elsewhere")

    def hold() -> None:
        with store.alone("model"):
            pass

    for write in (
        lambda: store.put_texts({"b": "two"}),
        lambda: store.put_image("cd" * 16, b"image"),
        hold,
    ):
        with pytest.raises(StoreError, match=rf"the store {folder} is gone: it was removed"):
            write()
    assert not folder.exists()


def test_the_working_folder_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(Path("store"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.put_texts({"a": "one"})
    with store.alone("model"):
        pass
    assert Store(tmp_path / "store").texts(["a"]) == {"a": "one"}
    assert not list((tmp_path / "elsewhere").iterdir())
