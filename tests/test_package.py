"""The package's front door: lazy names, and what a missing dependency says."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import privaudit
from privaudit.errors import EXTRAS

ROOT = Path(privaudit.__file__).parents[1]


def python(program: str) -> str:
    """Run a program in a new process, and return what it printed."""
    return subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    ).stdout


def test_every_public_name_is_there_and_is_called_so() -> None:
    assert sorted(privaudit.__all__) == dir(privaudit)
    assert len(privaudit.__all__) <= 24, "what few need lives in its room: privaudit.training, …"
    for name in privaudit.__all__:
        assert getattr(privaudit, name).__name__ == name


def test_submodules_are_imported_when_they_are_named_and_nothing_else_is_there() -> None:
    assert privaudit.statistics.__name__ == "privaudit.statistics"
    for name in ("no_such_name", "__wrapped__", "fine_tune"):
        with pytest.raises(AttributeError, match=f"module 'privaudit' has no attribute '{name}'"):
            getattr(privaudit, name)
        assert not hasattr(privaudit, name)


def test_importing_the_package_imports_no_heavy_library() -> None:
    python(
        "import sys, privaudit; assert not {'torch', 'numpy', 'PIL', 'pytest'} & set(sys.modules)"
    )


def test_an_audit_of_a_callable_does_not_wait_for_pytorch() -> None:
    """Two seconds at the start of each process, among them every xdist worker."""
    python(
        "import sys\n"
        "from tests.parts.drawn import Model, audit, drawn_samples\n"
        "captioner = lambda images: [f'picture {sum(image.tobytes())}' for image in images]\n"
        "model, samples = Model([]), drawn_samples(40)\n"
        "found = audit(model, samples, scenarios='I,II', attacks='threshold', captioner=captioner)\n"
        "assert len(found.results) == 2, found.not_completed\n"
        "assert not {'torch', 'transformers', 'diffusers'} & set(sys.modules)\n"
    )


MISSING = """
import sys
sys.modules[{package!r}] = None
import privaudit
try:
    privaudit.{name}
except AttributeError as error:
    print("AttributeError", error)
except ImportError as error:
    print(type(error).__name__, error)
else:
    print("there")
"""


@pytest.mark.parametrize(
    ("package", "name", "expected"),
    [
        ("peft", "finetune", "there"),  # only a fine-tune with LoRA needs it, and says so
        ("opacus", "training", "there"),
        (
            "xxhash",
            "fingerprint",
            "MissingExtraError privaudit.fingerprint needs xxhash, which is not installed: "
            'pip install "privaudit"',
        ),
        (
            "PIL",
            "Sample",
            "MissingExtraError privaudit.Sample needs PIL, which is not installed: "
            'pip install "privaudit"',
        ),
    ],
)
def test_a_missing_package_is_named(package: str, name: str, expected: str) -> None:
    assert python(MISSING.format(package=package, name=name)).strip() == expected


def test_a_package_that_is_too_old_or_of_an_extra_is_named(tmp_path: Path) -> None:
    """As of a copy of ours whose submodules need what is not there."""
    program = f"""
import sys, privaudit
privaudit.__path__.append({str(tmp_path)!r})
sys.path.insert(0, {str(tmp_path)!r})
for name in ("extra", "old", "ours"):
    try:
        getattr(privaudit, name)
    except ImportError as error:
        print(type(error).__name__, error)
"""
    (tmp_path / "extra.py").write_text("import sys; sys.modules['opacus'] = None\nimport opacus.x")
    (tmp_path / "old.py").write_text("from peft import LoraConfig")
    (tmp_path / "peft.py").write_text("")  # a release that has none
    (tmp_path / "ours.py").write_text("import privaudit.no_such_module")
    extra, old, ours = python(program).strip().splitlines()
    assert extra == (
        "MissingExtraError privaudit.extra needs opacus, which is not installed: "
        'pip install "privaudit[finetune]"'
    )
    assert old.startswith(
        "MissingExtraError privaudit.old needs peft, which cannot be imported (cannot import name"
    )
    assert old.endswith('pip install --upgrade "privaudit[finetune]"')
    assert ours == "ModuleNotFoundError No module named 'privaudit.no_such_module'"


def test_each_extra_brings_what_its_error_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for package, extra in EXTRAS.items():
        wanted = project["optional-dependencies"][extra]
        assert any(line.startswith(package.replace("_", "-")) for line in wanted)
