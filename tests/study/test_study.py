"""``privaudit.study.run_study`` and ``privaudit study``: on a tiny pipeline, and on callables that count."""

from __future__ import annotations

import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import privaudit
from privaudit.__main__ import main
from privaudit.engines.local import LocalEngine
from privaudit.errors import InvalidAuditError, MissingExtraError, SettingError
from privaudit.runs import checkpoints
from privaudit.store import Store
from privaudit.study.axes import axis_names
from privaudit.study.axes.main import Main
from privaudit.study.axes.models import _mean
from privaudit.study.owner import Owner
from privaudit.study.plots import draw_categories, draw_numbers
from privaudit.study.table import HALF, Row, Table
from tests.parts import AUDITS, ROOT
from tests.parts.drawn import Model, Pixels, drawn_samples
from tests.parts.encoders import PixelEncoder
from tests.parts.pipelines import tiny_pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator

N = 12
TINY: dict[str, Any] = {
    "attacks": "threshold",
    "num_inference_steps": 2,
    "queries": 1,
    "guidance_scale": 2.0,
    "batch_size": 24,
    "duplicate_limit": 2,
    "blind_limit": 1,
}
"""Settings for pictures that to raw pixels are all one."""


BARE = Row(
    cell="a",
    x=None,
    scenario="I",
    attack="threshold",
    queries=1,
    **dict.fromkeys(["auc", "auc_low", "auc_high"], 0.7),
    **dict.fromkeys(["success", "success_low", "success_high"], 0.6),
    **dict.fromkeys(["tpr", "tpr_low", "tpr_high", "fpr"]),
    **dict.fromkeys(["members", "non_members", "known_members", "known_non_members"], 9),
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Models so small wait for a second thread longer than it helps them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, a run with two checkpoints of it, and a defended one: whole pipelines are slow to load."""
    folder = tmp_path_factory.mktemp("models")
    tiny_pipeline().save_pretrained(folder / "base")
    for place, much in (("run/checkpoint-10", 0.02), ("run/checkpoint-30", 0.1), ("safe", 0.01)):
        unet = tiny_pipeline().unet
        torch.manual_seed(0)
        for parameter in unet.parameters():
            parameter.data += much * torch.randn_like(parameter)
        unet.save_pretrained(folder / place / "unet")
    return folder


def saved(models: Path) -> privaudit.SavedPipeline:
    unet = models / "run/checkpoint-30/unet"
    return privaudit.SavedPipeline(models / "base", unet=unet, device="cpu")


def study_of(models: Path, emoji: dict[str, list[Any]], output: Path, **given: Any) -> Any:
    target = saved(models)
    study = privaudit.study.run_study(
        target,
        emoji["member"][:N],
        emoji["non_member"][:N],
        image_encoder=PixelEncoder(),
        checkpoints=checkpoints(models / "run", models / "base", device="cpu"),
        models={"less": models / "safe"},
        output=output,
        **{**TINY, **given},
    )
    return study, target


AXES = ["main", "encoders", "prompts", "epochs", "defences"]


@pytest.fixture(scope="module")
def twice(
    models: Path, emoji: dict[str, list[Any]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Any, Any, Path]:
    """The same study from an empty store, and from the full one."""
    folder = tmp_path_factory.mktemp("study")
    store = folder / "store"
    first, _ = study_of(models, emoji, folder / "one", only=AXES, store=store)
    second, target = study_of(models, emoji, folder / "two", only=AXES, store=store)
    return first, second, target, store


@pytest.mark.slow
def test_the_page_has_what_earlier_runs_found(tmp_path: Path) -> None:
    everyone = drawn_samples(80)
    members, non_members = everyone[:40], everyone[40:]

    def asked(axis: str, **given: Any) -> str:
        privaudit.study.run_study(
            privaudit.testing.MemorizingTarget(members),
            members,
            non_members,
            image_encoder=Pixels(),
            only=[axis],
            output=tmp_path,
            **{"scenarios": "I", "attacks": "threshold", "store": "none", **given},
        )
        return (tmp_path / "index.html").read_text()

    assert "Of an earlier run" not in asked("main")
    (tmp_path / "samples.json").write_text("[1]")  # no table: passed over
    page = asked("thresholds", queries=2)
    assert page.index('<h2 id="main">') < page.index('<h2 id="thresholds">')
    assert page.count("Of an earlier run, with ") == 1  # it says its own settings
    assert 'id="samples"' not in page
    page = asked("metric", name="another", queries=2)  # of another audit: not its own
    assert '<h2 id="metric">' in page
    assert '<h2 id="main">' not in page


@pytest.mark.slow
def test_a_full_store_answers_without_the_model(twice: tuple[Any, Any, Any, Path]) -> None:
    first, second, target, _ = twice
    assert sum(table.drawn for table in first.tables.values()) > 4 * N
    assert not any(table.drawn for table in second.tables.values())
    assert "pipeline" not in vars(target)  # it was not even loaded
    for name in first.tables:
        one, two = ((s.folder / f"{name}.json").read_bytes() for s in (first, second))
        assert one == two


def test_nothing_is_drawn_twice_over_all_axes(
    twice: tuple[Any, Any, Any, Path], emoji: dict[str, list[Any]]
) -> None:
    """The target once, though main, encoders, prompts, epochs and defences all ask it; two other models."""
    first, _, _, store = twice
    captions = [s.caption for role in ("member", "non_member") for s in emoji[role][:N]]
    halves = sum(len(caption.split()) > 1 for caption in captions)  # of one word, it is that word
    drawn = {name: table.drawn for name, table in first.tables.items()}
    words = 2 * N * 3 + halves
    assert drawn == {
        "main": 2 * N,
        "encoders": 0,
        "prompts": words,
        "epochs": 2 * N,
        "defences": 2 * N,
    }
    assert Store(store).usage()["images"][0] == sum(drawn.values())


@pytest.mark.slow
def test_each_axis_has_its_files_and_its_place_on_the_page(
    twice: tuple[Any, Any, Any, Path],
) -> None:
    first = twice[0]
    page = (first.folder / "index.html").read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in page
    assert list(first.tables) == [name for name in axis_names() if name in AXES]
    for name, table in first.tables.items():
        assert table.rows, (name, table.left_out)
        for end in ("json", "csv", "md", "svg", "png"):
            assert (first.folder / f"{name}.{end}").stat().st_size
        assert f'id="{name}"' in page
        assert f'src="{name}.svg"' in page
        written = json.loads((first.folder / f"{name}.json").read_text(encoding="utf-8"))
        with (first.folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [float(row["auc"]) for row in rows] == [row.auc for row in table.rows]
        assert [row["auc"] for row in written["rows"]] == [row.auc for row in table.rows]
        for row in table.rows:
            assert 0 <= row.auc_low <= row.auc <= row.auc_high <= 1
            assert row.auc_low < row.auc_high


def test_what_lacks_an_input_is_named(twice: tuple[Any, Any, Any, Path]) -> None:
    first = twice[0]
    left = first.tables["main"].left_out
    assert left["attack-II"] == "lacks captioner"
    assert left["attack-III"].startswith("lacks shadow_model")
    assert first.tables["prompts"].left_out == {"captioner's": "needs a captioner"}
    assert "lacks captioner" in (first.folder / "index.html").read_text(encoding="utf-8")


def test_a_row_says_what_the_audit_says(
    twice: tuple[Any, Any, Any, Path], models: Path, emoji: dict[str, list[Any]]
) -> None:
    first, _, _, store = twice
    [result] = privaudit.run_audit(
        saved(models),
        emoji["member"][:N],
        emoji["non_member"][:N],
        image_encoder=PixelEncoder(),
        scenarios="I",
        store=store,
        **TINY,
    ).results
    [row] = first.tables["main"].rows
    assert (row.auc, row.success, row.queries) == (result.auc, result.success_rate.value, 1)
    assert (row.members, row.known_members) == (6, 6)
    assert first.tables["prompts"].rows[0] == dataclasses.replace(row, cell="caption")


def test_checkpoints_and_defences_are_measured_beside_their_quality(
    twice: tuple[Any, Any, Any, Path],
) -> None:
    first = twice[0]
    epochs, defences = first.tables["epochs"], first.tables["defences"]
    assert [(row.cell, row.x) for row in epochs.rows] == [
        ("checkpoint-10", 10.0),
        ("checkpoint-30", 30.0),
    ]
    assert epochs.x_label == "fine-tuning steps"
    own, less = defences.rows
    assert (own.cell, less.cell) == ("as audited", "less")
    assert own.auc == epochs.rows[1].auc  # the same model by another way
    losses = [row.beside["loss on non-members"] for row in (own, less)]
    assert losses[0] is not None
    assert losses[0] > losses[1] > 0  # more noise in its weights
    for row in (own, less):
        assert row.beside["loss on non-members" + HALF] > 0
        assert row.beside["similarity to non-members" + HALF] > 0
    text = (first.folder / "defences.md").read_text(encoding="utf-8")
    assert f"{losses[0]:.4f} ± {own.beside['loss on non-members' + HALF]:.4f}" in text
    assert f"loss on non-members{HALF}" not in text  # one column for both


def test_what_stands_beside_a_row_is_drawn_with_its_interval() -> None:
    measured = _mean("loss", np.array([1.0, 2.0, 3.0, 4.0]))
    assert measured["loss"] == 2.5
    assert measured["loss" + HALF] == pytest.approx(3.182 * 1.291 / 2, abs=1e-3)  # of a t table
    assert _mean("loss", np.array([1.0])) == {"loss": 1.0, "loss" + HALF: None}
    plain = dataclasses.replace(BARE, cell="b", beside={"loss": 2.0})
    table = Table("defences", "?", rows=[dataclasses.replace(BARE, beside=measured), plain])
    figure = Figure()
    draw_categories(figure, table)
    assert [panel.get_title() for panel in figure.axes] == ["attack-I", "loss"]
    [drawn] = figure.axes[1].containers
    ends = [[x for x, _ in line] for line in drawn.lines[2][0].get_segments()]
    half = measured["loss" + HALF]
    assert ends == [pytest.approx([2.5 - half, 2.5 + half]), [2.0, 2.0]]
    assert figure.axes[1].get_xlabel() == "mean with 95 % interval"


def test_more_steps_ask_once_a_sample_and_show_the_same_seeds_pictures(
    twice: tuple[Any, Any, Any, Path],
    models: Path,
    emoji: dict[str, list[Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from privaudit.study.axes import drawing

    monkeypatch.setattr(drawing, "STEPS", (1,))
    study, _ = study_of(models, emoji, tmp_path, only=["steps"], store=twice[3], queries=2)
    table = study.tables["steps"]
    assert [(row.cell, row.x, row.queries) for row in table.rows] == [("1", 1.0, 1), ("2", 2.0, 1)]
    assert table.drawn == 2 * N  # two steps are the audit's own, and stored
    assert study.tables["steps"].pictures == ["steps-pictures.png"]
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert 'src="steps-pictures.png"' in page
    with Image.open(tmp_path / "steps-pictures.png") as strip:
        assert strip.height > strip.width  # six samples below each other, three columns


# ---------------------------------------------------------------------------- a model that counts


class Counting(Model):
    """A callable, known again by its fingerprint, that stops after some calls."""

    def __init__(self, *given: Any, stop: int | None = None) -> None:
        super().__init__(*given)
        self._stop = stop

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[Any]:
        if self._stop is not None and self.calls >= self._stop:
            raise KeyboardInterrupt
        return super().__call__(prompts, seeds)


QUICK: dict[str, Any] = {"attacks": "threshold", "duplicate_limit": 2, "batch_size": 24}


def counted(model: Any, folder: Path, **given: Any) -> Any:
    samples = drawn_samples(48)
    return privaudit.study.run_study(
        model,
        samples[:24],
        samples[24:],
        image_encoder=Pixels(),
        output=folder / "out",
        store=folder / "store",
        **{**QUICK, **given},
    )


@pytest.mark.slow
def test_an_interrupted_axis_goes_on_where_it_was(tmp_path: Path) -> None:
    remembered = drawn_samples(48)[:6]
    whole = Counting(remembered)
    asked = counted(whole, tmp_path / "whole", only=["queries"])
    assert [row.x for row in asked.tables["queries"].rows] == [float(m) for m in range(1, 11)]
    stopped = Counting(remembered, stop=100)
    with pytest.raises(KeyboardInterrupt):
        counted(stopped, tmp_path / "killed", only=["queries"])
    resumed = Counting(remembered)
    again = counted(resumed, tmp_path / "killed", only=["queries"])
    assert again.tables["queries"].rows == asked.tables["queries"].rows
    assert stopped.calls >= 100
    assert stopped.calls < whole.calls
    # Ten of each sample and, once for a fingerprint, two that find out how it takes seeds; after the
    # stop one more, which finds out whether it is still the same model.
    assert whole.calls == 480 + 2
    assert stopped.calls + resumed.calls == 480 + 3


@pytest.mark.parametrize(
    ("xs", "log"), [((10.0, 30.0), True), ((5.0, 137.0), True), ((1.0, 9.0), False)]
)
def test_marks_of_one_place_stand_as_close_whatever_its_range(
    xs: tuple[float, ...], log: bool
) -> None:
    rows = [
        dataclasses.replace(BARE, x=x, attack=attack)
        for attack in ("threshold", "distribution", "classifier")
        for x in xs
    ]
    figure = Figure()
    draw_numbers(figure, Table("steps", "?", rows=rows), log=log)
    [panel] = figure.axes
    drawn = np.array([bar.lines[0].get_xdata() for bar in panel.containers], dtype=float)
    drawn, ends = (np.log(drawn), np.log(xs)) if log else (drawn, np.array(xs))
    off = (drawn - ends) / (ends[1] - ends[0])
    assert off[:, 0] == pytest.approx([-1 / 60, 0, 1 / 60])
    assert off[:, 1] == pytest.approx([-1 / 60, 0, 1 / 60])


def test_one_set_of_answers_is_put_together_in_four_ways(tmp_path: Path) -> None:
    model, samples = Counting(drawn_samples(48)[:2]), drawn_samples(48)
    study = counted(model, tmp_path, only=["aggregation"], queries=3)
    found = {row.cell: row.auc for row in study.tables["aggregation"].rows}
    assert list(found) == ["mean", "median", "max", "min"]
    assert model.calls == 3 * 48 + 2  # two find out how it takes seeds
    for how, auc in found.items():
        [result] = privaudit.run_audit(
            Counting(samples[:2]),
            samples[:24],
            samples[24:],
            image_encoder=Pixels(),
            store=tmp_path / "store",
            scenarios="I",
            aggregation=how,
            budget=1,  # so few samples only compare
            **QUICK,
        ).results
        assert result.auc == auc
    assert len(set(found.values())) > 1
    with pytest.raises(InvalidAuditError, match="one answer is its own mean"):
        counted(model, tmp_path, only=["aggregation"], queries=1)


def test_main_has_the_papers_protocol_where_a_recipe_is_there() -> None:
    made: list[int] = []
    samples = drawn_samples(48)

    def tune(samples: Any) -> Model:
        made.append(len(samples))
        return Model(samples)

    inputs = privaudit.AuditInputs(
        Model(samples[:6]), samples[:24], samples[24:], image_encoder=Pixels(), fine_tune=tune
    )
    settings = privaudit.AuditSettings(scenarios="I,III", queries=1, **QUICK)
    owner, axis = Owner(inputs, settings, Store(None), LocalEngine()), Main()
    table, figure = axis.table(owner), Figure()
    rows = [(row.cell, row.scenario) for row in table.rows]
    assert rows == [("the audit", "I"), ("the paper's protocol", "I")]
    assert made == [12]  # known members; III lacks auxiliary samples
    axis.draw(table, figure)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["attack-I", "attack-I,\nthe paper's protocol"]


@pytest.mark.parametrize("ready_made", [True, False], ids=["given", "fine_tune"])
def test_other_shadow_models_calibrate_on_the_same_samples(
    ready_made: bool, tmp_path: Path
) -> None:
    """The threshold's order of samples needs no shadow; how often it is right does."""
    auxiliary = drawn_samples(48, seed=1)

    def tuned(samples: Any) -> Model:
        return Model(samples, salt=2)  # it is told from the target by that

    shadow: dict[str, Any] = {"auxiliary_samples": auxiliary, "fine_tune": tuned}
    if ready_made:
        shadow = {"shadow": (tuned(auxiliary[:24]), auxiliary[:24], auxiliary[24:])}
    study = counted(
        Model(drawn_samples(48)[:24]),
        tmp_path,
        only=["shadows"],
        scenarios="I,III",
        shadows={"knows nobody": Model([], salt=1), "nowhere": tmp_path / "nowhere"},
        **shadow,
    )
    table = study.tables["shadows"]
    found = {(row.cell, row.scenario): row for row in table.rows}
    assert set(found) == {("as audited", "III"), ("knows nobody", "III")}
    assert found["as audited", "III"].success == 1.0 > found["knows nobody", "III"].success
    assert found["as audited", "III"].known_members == found["knows nobody", "III"].known_members
    assert list(table.left_out) == ["nowhere"]


def test_an_axis_that_does_not_apply_is_named_with_its_reason(tmp_path: Path) -> None:
    lines: list[str] = []
    only = ["main", "steps", "guidance", "schedulers", "epochs", "defences", "shadows"]
    study = counted(Model(drawn_samples(48)[:6]), tmp_path, only=only, say=lines.append)
    assert list(study.tables) == ["main"]
    assert list(study.left_out) == only[1:]
    assert "which no num_inference_steps reaches" in study.left_out["steps"]
    page = (study.folder / "index.html").read_text(encoding="utf-8")
    for name, why in study.left_out.items():
        assert f"{name}: left out: " in page
        assert "\n" not in why
        assert any(line.startswith(f"{name}: left out: ") for line in lines)


def test_a_study_without_a_single_result_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidAuditError, match="no axis has a result: epochs: needs a folder"):
        counted(Model([]), tmp_path, only=["epochs"])


def test_an_unknown_axis_is_one_error_that_lists_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Model([])
    with pytest.raises(SettingError, match=r"axis 'stepz' is unknown: choose from main, .*steps"):
        counted(model, tmp_path, only=["stepz"])
    assert not model.calls
    assert main(["study", "test_none.py", "--only", "stepz"]) == 1
    assert "axis 'stepz' is unknown: choose from main" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "speed=9"], "--set 'speed=9' is no NAME=VALUE"),
        (["--set", "queries=0"], "queries='0' must be"),
        (["--models", "folder"], "--models 'folder' is no NAME=FOLDER"),
        (["--shadows", "folder"], "--shadows 'folder' is no NAME=FOLDER"),
        (["--checkpoints", "nowhere"], "nowhere"),
    ],
)
def test_a_bad_argument_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", "test_none.py", *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_extra_is_named_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    model = Model([])
    with pytest.raises(MissingExtraError, match=r"matplotlib.*privaudit\[study\]"):
        counted(model, tmp_path, only=["main"])
    assert not model.calls


# ---------------------------------------------------------------------------- the command

AUDIT = """
import sys
sys.path[:0] = [{root!r}, {audits!r}]
import pytest, emoji_sets, privaudit
from diffusers.utils import logging
from tests.parts.drawn import Model, Pixels, drawn_samples

closed = []

@pytest.fixture(scope="session")
def members():
    return drawn_samples(48)[:24]

@pytest.fixture
def non_members():  # of a test's own: made anew for each of its items
    return drawn_samples(48)[24:]

@pytest.fixture(scope="session")
def target_model(members):
    model = Model(members[:6])
    said = logging.get_logger("diffusers.pipelines")
    serving = lambda prompts, seeds: 1 / 0 if closed else said.warning(prompts) or model(prompts, seeds)
    serving.fingerprint = "serving"
    yield serving
    closed.append(True)

@pytest.fixture(scope="session")
def image_encoder():
    return Pixels()

@pytest.fixture(scope="session")
def captioner(members):
    return lambda images: ["a picture of something"] * len(images)

@pytest.fixture(scope="session")
def study_models(members):
    model = Model(members)
    model.fingerprint = "all"
    return {{"worse": model}}

auxiliary = drawn_samples(48, seed=1)
shadow_model = pytest.fixture(scope="session")(lambda: Model(auxiliary[:24], salt=2))
shadow_members = pytest.fixture(scope="session")(lambda: auxiliary[:24])
shadow_non_members = pytest.fixture(scope="session")(lambda: auxiliary[24:])
study_shadows = pytest.fixture(scope="session")(lambda: {{"blank": Model([], salt=1)}})

@pytest.mark.privacy_budget(max_auc=0.9, attacks="threshold", duplicate_limit=2, queries=1)
def test_it(membership_attack):
    raise AssertionError("a study runs no test")
"""


@pytest.mark.slow
def test_the_command_takes_an_audit_files_fixtures(tmp_path: Path) -> None:
    """They live while the study runs, and scenarios that ask for more of them are one audit."""
    code = AUDIT.format(root=str(ROOT), audits=str(AUDITS))
    (tmp_path / "test_model.py").write_text(code, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", encoding="utf-8")
    command = [sys.executable, "-m", "privaudit", "study", "test_model.py"]
    options = ["--only", "main", "defences", "shadows", "--set", "store=store", "queries=2"]
    ran = subprocess.run(
        [*command, *options, "--output", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    written = json.loads((tmp_path / "out" / "main.json").read_text(encoding="utf-8"))
    assert [row["scenario"] for row in written["rows"]] == ["I", "II", "III", "IV"]
    assert {row["queries"] for row in written["rows"]} == {2}
    defences = json.loads((tmp_path / "out" / "defences.json").read_text(encoding="utf-8"))
    aucs = {row["cell"]: row["auc"] for row in defences["rows"] if row["scenario"] == "I"}
    assert aucs["worse"] == 1.0 > aucs["as audited"]
    shadows = json.loads((tmp_path / "out" / "shadows.json").read_text(encoding="utf-8"))
    assert [row["cell"] for row in shadows["rows"]] == ["as audited"] * 2 + ["blank"] * 2
    assert "main: 1 cells, 4 results" in ran.stdout
    assert "picture 0" not in ran.stdout + ran.stderr  # captions that diffusers would have printed
    assert str(Path("out") / "index.html") in ran.stdout
