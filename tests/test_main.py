"""The command line: the version, and the store that earlier audits left behind."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from privaudit.__main__ import main
from privaudit.store import Store, as_file
from tests.store.faults import another_user, lent
from tests.store.test_store import KEY, picture


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"privaudit {importlib.metadata.version('privaudit')}\n"


def test_a_command_that_is_none_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["audit"], ["store", "delete"], []):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
    assert "store" in capsys.readouterr().err


def test_the_command_shows_and_clears(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "store"
    assert main(["store", "show", "--store", str(folder)]) == 0
    assert "does not exist: nothing is stored" in capsys.readouterr().out
    Store(folder).put_image(KEY, as_file(picture()))
    Store(folder).put_texts({"a": "one", "b": "two"})
    Store(folder).put_arrays({"c": np.zeros(2, np.float32)})
    assert main(["store", "show", "--store", str(folder)]) == 0
    assert "1 images (0.0 MB) and 3 values (0.0 MB)\n" in capsys.readouterr().out
    assert main(["store", "clear", "--store", str(folder)]) == 0
    assert capsys.readouterr().out.endswith("removed\n")
    assert set(Store(folder).usage().values()) == {(0, 0)}


def test_showing_a_store_changes_nothing(tmp_path: Path) -> None:
    assert main(["store", "show", "--store", str(tmp_path)]) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for action in ("show", "clear"):
        assert main(["store", action, "--store", str(file)]) == 1
        assert "file is no folder: name the one that --privaudit-store" in capsys.readouterr().err
    assert file.read_text() == "mine"


def test_a_store_that_cannot_be_read_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with lent() as folder:
        Store(folder).put_texts({"a": "one"})
        folder.chmod(0o700)
        for action, what in (("show", "cannot be shown"), ("clear", "is not cleared")):
            with another_user():
                assert main(["store", action, "--store", str(folder)]) == 1
            caught = capsys.readouterr()
            assert caught.out == ""
            assert caught.err.count("\n") == 1
            assert caught.err.startswith(f"privaudit: {folder} {what}: ")
        assert Store(folder).texts(["a"]) == {"a": "one"}


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "privaudit", "--version"],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.startswith("privaudit ")
