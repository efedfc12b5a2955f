"""What a function is: whatever it refers to, and nothing that does not change what it does."""

from __future__ import annotations

import functools
import importlib
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from privaudit import SavedPipeline
from privaudit.errors import FingerprintError
from privaudit.targets.code import function_identity
from tests.parts.pipelines import tiny_pipeline

STEPS = 5


def made(text: str, **names: Any) -> Any:
    """Compile a function named ``tune`` from text, with globals of its own."""
    names["__name__"] = "somebodys_audit"
    exec(text, names)  # the text is this test's own
    return names["tune"]


PLAIN = "def tune(samples):\n    return train(samples, steps=500)\n"
TRAIN = "def train(samples, steps): return steps\n"


def test_the_same_text_is_the_same_function() -> None:
    assert function_identity(made(TRAIN + PLAIN)) == function_identity(made(TRAIN + PLAIN))
    moved = "# a comment\n\n\n" + TRAIN + "# another\n" + PLAIN
    assert function_identity(made(moved)) == function_identity(made(TRAIN + PLAIN))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (TRAIN + PLAIN, TRAIN + PLAIN.replace("500", "501")),
        (TRAIN + PLAIN, TRAIN.replace("return steps", "return -steps") + PLAIN),
        (TRAIN + PLAIN, TRAIN + PLAIN.replace("train(", "print(")),
        ("def tune(s, n=1): return n", "def tune(s, n=2): return n"),
        ("def tune(s, *, n=1): return n", "def tune(s, *, n=2): return n"),
        ("def tune(s): return (lambda: 1)()", "def tune(s): return (lambda: 2)()"),
        ("N = [1, {'a': 2}]\ndef tune(s): return N", "N = [1, {'a': 3}]\ndef tune(s): return N"),
        (
            "class M:\n    def go(self): return 1\ndef tune(s): return M().go()",
            "class M:\n    def go(self): return 2\ndef tune(s): return M().go()",
        ),
        (
            "class M:\n    n = 1\ndef tune(s): return M.n",
            "class M:\n    n = 2\ndef tune(s): return M.n",
        ),
        ("def tune(s): import json", "def tune(s): import pickle"),
    ],
    ids=[
        "constant",
        "callee",
        "name",
        "default",
        "keyword",
        "inner",
        "global",
        "class",
        "attribute",
        "import",
    ],
)
def test_another_function_is_another(before: str, after: str) -> None:
    assert function_identity(made(before)) != function_identity(made(after))


def closed_over(value: Any) -> Any:
    return lambda samples: (samples, value)


class Trainer:
    def __init__(self, rate: float) -> None:
        self.rate = rate

    def tune(self, samples: Any) -> Any:
        return samples, self.rate


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (0.1, 0.2),
        ("a", "b"),
        ([1, (2, 3)], [1, (2, 4)]),
        ({1, 2}, {1, 3}),
        (np.zeros(3), np.ones(3)),
        (SimpleNamespace(fingerprint="a"), SimpleNamespace(fingerprint="b")),
        (Trainer(0.1), Trainer(0.2)),
        (functools.partial(max, 1), functools.partial(max, 2)),
        (Path("one"), Path("other")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_function_closes_over_is_part_of_it(one: Any, other: Any) -> None:
    first, second = function_identity(closed_over(one)), function_identity(closed_over(other))
    assert first == function_identity(closed_over(one))
    assert first != second


def test_methods_and_partials_are_functions_too() -> None:
    one, same, other = (Trainer(rate) for rate in (0.1, 0.1, 0.2))
    assert function_identity(one.tune) == function_identity(same.tune)
    assert function_identity(one.tune) != function_identity(other.tune)
    assert function_identity(functools.partial(one.tune)) != function_identity(one.tune)


def test_a_pipeline_is_known_by_what_it_is_and_by_what_it_draws() -> None:
    base = tiny_pipeline()
    before = function_identity(closed_over(base))
    assert function_identity(closed_over(tiny_pipeline())) == before
    assert function_identity(closed_over(tiny_pipeline(seed=1))) != before
    assert function_identity(lambda _: 0, base_model=base) != function_identity(lambda _: 0)
    base.unet.register_forward_hook(lambda *given: (given[2][0] * 0.5,))
    assert function_identity(closed_over(base)) != before
    assert function_identity(closed_over(base.vae)) == function_identity(
        closed_over(tiny_pipeline().vae)
    )


def test_a_name_of_a_model_stands_for_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "model_index.json").write_text("{}")
    (folder / "weights").write_text("one")
    named = made(f"def tune(s): return {str(folder)!r}")
    saved = closed_over(SavedPipeline(folder, device="cpu"))
    before = function_identity(named), function_identity(closed_over(folder))
    assert function_identity(saved)
    (folder / "weights").write_text("two")
    assert function_identity(named) != before[0]
    assert function_identity(closed_over(folder)) != before[1]
    # An output folder of this session has another name in the next one.
    outputs = [tmp_path / name for name in ("session-1", "session-2")]
    assert len({function_identity(closed_over(path)) for path in outputs}) == 1


def test_a_script_and_a_module_of_the_user_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "my_own_trainer.py"
    file.write_text("import my_own_part\ndef train(s): return my_own_part.N\n")
    (tmp_path / "my_own_part.py").write_text("N = 1\n")
    modules = importlib.import_module("my_own_trainer"), sys.modules["my_own_part"]
    text = "def tune(s): return my_own_trainer.train(s)"
    late = "def tune(s):\n    import my_own_trainer\n    return my_own_trainer.train(s)"
    within = function_identity(made(late))
    script = made(f"def tune(s): return ['python', {str(file)!r}]")
    before = function_identity(made(text, my_own_trainer=modules[0])), function_identity(script)
    (tmp_path / "my_own_part.py").write_text("N = 2\n")
    assert function_identity(made(text, my_own_trainer=modules[0])) != before[0]
    assert function_identity(made(late)) != within
    file.write_text("def train(s): return 3\n")
    assert function_identity(script) != before[1]


def test_what_cannot_be_hashed_whole_is_refused_by_name() -> None:
    lock = threading.Lock()
    with pytest.raises(
        FingerprintError, match=r"value, which closed_over.* refers to, is a .*lock"
    ):
        function_identity(closed_over(lock))
    tune = closed_over(lock)
    tune.fingerprint = "v1"
    assert function_identity(tune) != function_identity(closed_over(1))


def test_functions_that_refer_to_themselves_end() -> None:
    text = "def tune(n): return n and other(n - 1)\ndef other(n): return n and tune(n - 1)\n"
    assert function_identity(made(text)) == function_identity(made(text))
    assert function_identity(made(text)) != function_identity(made(text.replace("n - 1", "n - 2")))
    around: list[Any] = []
    around.append(around)
    assert function_identity(closed_over(around))
