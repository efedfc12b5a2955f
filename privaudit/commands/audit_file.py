"""The two files that ``privaudit init`` writes, as text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from privaudit.attacks.registry import default_names, strongest

__all__ = ["Found", "conftest", "test_file"]


@dataclass(frozen=True)
class Found:
    """What was found out.

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
    said
        What to tell the user, a line each.
    """

    members: Path
    non_members: Path
    n_members: int
    n_non_members: int
    model: dict[str, str | Path]
    run: Path | None
    encoder: str | None
    said: list[str]


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

Run it with `pytest {folder}`; `pytest {folder} --privaudit-plan` says what it will cost, and
`--privaudit-json=privaudit.json` writes down all that was found.
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
# The audit looks for the last of these checkpoints that is within the budget.
CHECKPOINTS = privaudit.checkpoints({run}{base})
"""

TEST = '''

@pytest.mark.privacy_budget(
    max_auc=0.60,  # 0.5 is guessing, 1.0 is certain
    # I: an attacker with the captions, who knows some members. III, with a shadow model, is the
    # one who knows none; II and IV write the captions themselves: docs/fixtures.md.
    scenarios="I",
    # The paper's attacks, which see through the encoder alone, and one that reads pixels and
    # everybody's answers too. Where the base is known it is asked as well, as many images again,
    # kept for the next fine-tune; base_calibration=False leaves that out.
    attacks={attacks},
    # release="img2img",  # where others may hand in a picture, too; "weights" where they can
    # download the model, see docs/access.md
{more})
{decorator}def test_membership_inference({argument}membership_attack):
    """The plugin fails this where an attack goes over the budget, whatever the body says."""
    assert membership_attack.verdict == "pass"
'''

ENCODER = """\
    # The default encoder is the paper's, and was not on this machine: remove this to download it.
    encoder="{encoder}",
"""


def conftest(found: Found, folder: Path) -> str:
    """Return ``conftest.py``, with the fixtures of the samples."""
    return CONFTEST.format(
        up=_up(folder),
        n_members=f"{found.n_members:,}",
        n_non_members=f"{found.n_non_members:,}",
        members=_code(found.members, folder),
        non_members=_code(found.non_members, folder),
    )


def test_file(found: Found, folder: Path) -> str:
    """Return ``test_membership.py``, with the model and the test."""
    head = HEAD.format(folder=folder, up=_up(folder))
    more = ENCODER.format(encoder=found.encoder) if found.encoder else ""
    marked = {"attacks": _attacks(), "more": more}
    if found.run is not None:
        base = f", base={_code(found.model['base'], folder)}" if len(found.model) > 1 else ""
        model = RUN.format(run=_code(found.run, folder), base=base)
        decorator = '@pytest.mark.parametrize("target_model", CHECKPOINTS)\n'
        return head + model + TEST.format(**marked, decorator=decorator, argument="target_model, ")
    ordered = ["base", *sorted(set(found.model) - {"base"})]
    arguments = [_code(found.model[name], folder) for name in ordered]
    named = [arguments[0], *(f"{n}={a}" for n, a in zip(ordered[1:], arguments[1:], strict=True))]
    local = all(isinstance(value, Path) for value in found.model.values())
    loader = "SavedPipeline" if local else "load_pipeline"
    model = TARGET.format(loader=loader, arguments=", ".join(named))
    return head + model + TEST.format(**marked, decorator="", argument="")


def _attacks() -> str:
    return repr((*default_names(), strongest())).replace("'", '"')


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
