"""Models in the store: whole or not at all, damage noticed, nothing of a stranger's touched."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from privaudit.__main__ import main
from privaudit.errors import StoreError
from privaudit.store import Store, as_file
from privaudit.store.models import ModelFolder
from privaudit.store.seals import Seal
from tests.store.test_store import KEY, OTHER, picture


def writes(text: str = "weights", size: int = 0) -> Any:
    def write(folder: Path) -> None:
        (folder / "inner").mkdir()
        (folder / "inner" / "model.safetensors").write_text(text + "x" * size)

    return write


def model_of(store: Store) -> ModelFolder:
    assert store.models is not None
    return store.models


def test_a_model_comes_back_as_it_was_written(tmp_path: Path) -> None:
    models = model_of(Store(tmp_path))
    assert models.get(KEY) is None
    assert models.put(KEY, writes()) == models.get(KEY) == model_of(Store(tmp_path)).get(KEY)
    assert (tmp_path / "models" / KEY).stat().st_mode & 0o077 == 0
    found = models.get(KEY)
    assert found is not None
    assert (found / "inner" / "model.safetensors").read_text() == "weights"
    assert models.get(OTHER) is None
    assert Store(None).models is None


def test_what_fails_while_it_is_written_leaves_nothing(tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        (folder / "half").write_text("half")
        msg = "interrupted"
        raise KeyboardInterrupt(msg)

    with pytest.raises(KeyboardInterrupt):
        ModelFolder(tmp_path).put(KEY, fails)
    assert list(tmp_path.iterdir()) == []
    assert ModelFolder(tmp_path).get(KEY) is None


@pytest.mark.parametrize("damage", ["changed", "lost", "more", "hidden", "link", "another key"])
def test_a_damaged_model_is_removed_and_said(tmp_path: Path, damage: str) -> None:
    models = ModelFolder(tmp_path)
    file = models.put(KEY, writes()) / "inner" / "model.safetensors"
    if damage == "changed":
        file.write_text("Weights")
    elif damage == "lost":
        file.unlink()
    elif damage == "hidden":
        file.with_name(".hidden").write_text("surplus")
    elif damage == "link":
        file.rename(tmp_path / "outside")
        file.symlink_to(tmp_path / "outside")
    elif damage == "another key":
        models = ModelFolder(tmp_path, Seal(b"a key"))
    else:
        file.with_name("second.safetensors").write_text("surplus")
    with pytest.warns(UserWarning, match=f"{KEY} is damaged or was kept with another key and"):
        assert models.get(KEY) is None
    assert models.get(KEY) is None
    models.put(KEY, writes())
    assert models.get(KEY) is not None


def test_what_somebody_else_put_there_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / KEY).mkdir()
    (tmp_path / KEY / "mine.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"is no model that privaudit kept: remove it, or name"):
        ModelFolder(tmp_path).get(KEY)
    models = ModelFolder(tmp_path / "other")
    models.put(OTHER, writes())
    (tmp_path / "other" / OTHER).rename(tmp_path / "other" / KEY)
    with pytest.warns(UserWarning, match="damaged or was kept with another key"):
        assert models.get(KEY) is None
    assert (tmp_path / KEY / "mine.txt").read_text() == "mine"


def test_only_one_at_a_time_makes_a_model(tmp_path: Path) -> None:
    made: list[int] = []

    def work() -> None:
        models = ModelFolder(tmp_path)
        with models.alone(KEY):
            if models.get(KEY) is None:
                time.sleep(0.05)
                made.append(1)
                models.put(KEY, writes())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


def test_models_count_and_go_after_images(tmp_path: Path) -> None:
    store = Store(tmp_path, limit=40_000)
    models = model_of(store)
    old, new = models.put(KEY, writes(size=15_000)), models.put(OTHER, writes(size=15_000))
    os.utime(old.parent, (1, 1))
    for i in range(10):
        store.put_image(f"{i:032x}", as_file(picture(i, 64)))
    assert store.usage()["models"][0] == 2
    assert store.usage()["models"][1] > 30_000
    store.evict()  # while models may be in use
    assert store.usage()["models"][0] == 2
    Store(tmp_path, limit=20_000).evict(values_too=True)
    assert store.usage()["images"][0] == 0
    assert models.get(KEY) is None
    assert models.get(OTHER) == new


def test_the_command_shows_and_clears_models(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = model_of(Store(tmp_path))
    models.put(KEY, writes())
    with models.alone(KEY):
        pass
    (tmp_path / "models" / "mine").write_text("mine")
    main(["store", "show", "--store", str(tmp_path)])
    assert "0 images (0.0 MB), 0 values (0.0 MB) and 1 models (0.0 MB)" in capsys.readouterr().out
    assert main(["store", "clear", "--store", str(tmp_path)]) == 0
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["mine"]
