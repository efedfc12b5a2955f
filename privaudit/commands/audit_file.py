"""The two files that ``privaudit init`` writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from privaudit.attacks.registry import default_names, strongest

__all__ = ["ATTACKS", "BUDGET", "Draft", "render_conftest", "render_test_file"]

BUDGET = 0.6
ATTACKS = (*default_names(), strongest())


@dataclass(frozen=True)
class Draft:
    """What the files say of a model and its data.

    Attributes
    ----------
    members, non_members
        Where the samples are.
    n_members, n_non_members
        How many.
    model
        Arguments of ``load_pipeline``.
    run
        The folder of a training run, if the model is one of its checkpoints.
    encoder
        In place of the default one.
    lines
        What to tell the user.
    """

    members: Path
    non_members: Path
    n_members: int
    n_non_members: int
    model: dict[str, str | Path]
    run: Path | None
    encoder: str | None
    lines: list[str]


CONFTEST = '''\
"""The samples of the audits in this folder. Written by `privaudit init`; it is yours now."""

from pathlib import Path

import pytest

import privaudit

ROOT = Path(__file__).resolve().parents[{up}]


@pytest.fixture(scope="session")
def members():
    """What the model was fine-tuned on ({n_members} samples when this was written)."""
    return privaudit.load_samples({members})


@pytest.fixture(scope="session")
def non_members():
    """The same kind of samples, none of which it was fine-tuned on ({n_non_members})."""
    return privaudit.load_samples({non_members})
'''

HEAD = '''\
"""Does the model give away what it was fine-tuned on? Written by `privaudit init`; it is yours now.

Run it with `pytest {folder}`. `pytest {folder} --privaudit-plan` says what it will cost.
`--privaudit-json=privaudit.json` writes the record.
"""

from pathlib import Path

import pytest

import privaudit

ROOT = Path(__file__).resolve().parents[{up}]
'''

TARGET = '''

@pytest.fixture(scope="session")
def target_model():
    """The model under audit. Steps and guidance are the pipeline's own, unless they are set."""
    return privaudit.{loader}({arguments})
'''

RUN = """
# Each checkpoint is an audit of its own.
CHECKPOINTS = privaudit.checkpoints({run}{base})
"""

TEST = '''

@pytest.mark.privacy_budget(
    max_auc={budget:.2f},  # 0.5 is guessing, 1.0 is certain
    # I: an attacker with the captions, who knows some members. II writes the captions itself and
    # needs a captioner fixture. III and IV know no member and need a shadow model: fixtures
    # auxiliary_samples and fine_tune, which returns privaudit.FineTune(BASE, steps=…).
    scenarios="I",
    # The paper's three attacks, and one that also reads pixels and everybody's answers. It asks
    # the base model too, which doubles the images once; base_calibration=False leaves that out.
    attacks={attacks},
    # release="weights",  # if others can download the model; "img2img" if they may hand in pictures
{more})
{decorator}def test_membership_inference({argument}membership_attack):
    """The plugin fails this where an attack goes over the budget, whatever the body says."""
    assert membership_attack.verdict == "pass"
'''

ENCODER = """\
    # The default encoder is the paper's, and was not on this machine: remove this to download it.
    encoder="{encoder}",
"""


def render_conftest(draft: Draft, folder: Path) -> str:
    """Return ``conftest.py``, with the fixtures of the samples."""
    return CONFTEST.format(
        up=_up(folder),
        n_members=f"{draft.n_members:,}",
        n_non_members=f"{draft.n_non_members:,}",
        members=_code(draft.members, folder),
        non_members=_code(draft.non_members, folder),
    )


def render_test_file(draft: Draft, folder: Path) -> str:
    """Return ``test_membership.py``, with the model and the test."""
    head = HEAD.format(folder=folder, up=_up(folder))
    more = ENCODER.format(encoder=draft.encoder) if draft.encoder else ""
    marked = {"attacks": _attacks(), "budget": BUDGET, "more": more}
    if draft.run is not None:
        base = f", base={_code(draft.model['base'], folder)}" if len(draft.model) > 1 else ""
        model = RUN.format(run=_code(draft.run, folder), base=base)
        decorator = '@pytest.mark.parametrize("target_model", CHECKPOINTS)\n'
        return head + model + TEST.format(**marked, decorator=decorator, argument="target_model, ")
    ordered = ["base", *sorted(set(draft.model) - {"base"})]
    arguments = [_code(draft.model[name], folder) for name in ordered]
    named = [arguments[0], *(f"{n}={a}" for n, a in zip(ordered[1:], arguments[1:], strict=True))]
    local = all(isinstance(value, Path) for value in draft.model.values())
    loader = "SavedPipeline" if local else "load_pipeline"
    model = TARGET.format(loader=loader, arguments=", ".join(named))
    return head + model + TEST.format(**marked, decorator="", argument="")


def _attacks() -> str:
    return repr(ATTACKS).replace("'", '"')


def _up(folder: Path) -> int:
    """Return how many folders above a file in it the current one is; 0 if it is not above."""
    inside = folder.absolute().is_relative_to(Path.cwd())
    return len(folder.absolute().relative_to(Path.cwd()).parts) if inside else 0


def _code(value: str | Path, folder: Path) -> str:
    """Write a path as code: below the current folder if both are there, otherwise in full."""
    if isinstance(value, str):
        return repr(value)
    if not _up(folder) or not value.absolute().is_relative_to(Path.cwd()):
        return repr(str(value.absolute()))
    return f"ROOT / {value.absolute().relative_to(Path.cwd()).as_posix()!r}"
