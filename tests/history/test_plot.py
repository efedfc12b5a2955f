"""The picture of a history: all of it is in it, nothing covers anything, and it prints in grey."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from privaudit.__main__ import main
from privaudit.history import add_to_history
from privaudit.report.history_plot import MARKS, STYLE, draw_history, history_figure
from tests.history.test_folder import entry

NAMES = ("faces", "audits/a_rather_long_folder/test_membership.py::test_of_faces[" + "x" * 60 + "]")


def chain(n: int) -> list[Any]:
    """Releases of two audits: of steps, verdicts, budgets and settings some of each kind."""
    made = []
    for name, i in itertools.product(NAMES, range(n)):
        auc = (0.50, 0.53, 0.78, 0.80, 0.55)[i % 5]
        verdict = ("pass", "inconclusive", "fail", "fail", "pass")[i % 5]
        one = entry(auc, target=f"model {i}", name=name, verdict=verdict)
        changes = {
            "ended": f"2026-01-{i % 28 + 1:02}T10:00:00",
            "commit": f"{i:08x}" + "-dirty" * (i % 3 == 0),
            "budget": 0.6 if i < n / 2 else 0.7,
            "comparable": "new" if i > 0.8 * n else "same",
        }
        made += [one._replace(**changes)] * (1 + (i == 1))
    return made


@pytest.mark.parametrize("n", [1, 12, 60])
def test_no_text_covers_another_or_is_cut(n: int) -> None:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    with matplotlib.rc_context(STYLE):
        figure = history_figure(chain(n))
        FigureCanvasAgg(figure).draw()
        boxes = {
            text: text.get_window_extent()
            for text in figure.findobj(Text)
            if text.get_visible() and text.get_text().strip() and text.get_in_layout()
        }
    assert len(boxes) > 12
    for text, box in boxes.items():
        inside = Bbox.intersection(box, figure.bbox)
        assert inside is not None, text
        np.testing.assert_allclose(inside.extents, box.extents, err_msg=text.get_text())
    for (one, box), (other, its) in itertools.combinations(boxes.items(), 2):
        assert not box.overlaps(its), (one, other)


def test_each_release_its_bounds_its_budget_and_each_step_are_drawn(tmp_path: Path) -> None:
    aucs = (0.50, 0.55, 0.70, 0.51)
    those = [
        entry(auc, target=str(i), ended=f"2026-01-{i + 1:02}", commit=f"{i}" * 8, budget=budget)
        for i, (auc, budget) in enumerate(zip(aucs, (0.6, 0.6, 0.65, 0.65), strict=True))
    ]
    [panel] = history_figure(those).axes
    drawn = [c for c in panel.containers if c.has_yerr]
    assert [float(c.lines[0].get_ydata()[0]) for c in drawn] == list(aucs)
    bars = [c.lines[2][0].get_segments()[0][:, 1] for c in drawn]
    np.testing.assert_allclose(bars, [(auc - 0.05, auc + 0.05) for auc in aucs])
    [budget] = [p for p in panel.patches if p.get_label() == "budget"]
    assert list(budget.get_data().values) == [0.6, 0.6, 0.65, 0.65]
    steps = {line.get_label(): float(line.get_xdata()[0]) for line in panel.lines}
    assert (steps["stepped up"], steps["stepped down"]) == (2, 3)
    file = tmp_path / "auc.svg"
    draw_history(those, file)
    text = file.read_text()
    for words in ("faces: x", "budget", "guessing", "AUC with its interval", "2026-01-03", "2222"):
        assert words in text
    before = file.read_bytes()
    draw_history(those, file)
    assert file.read_bytes() == before, "the same history is the same picture"


def test_releases_that_were_asked_otherwise_are_joined_by_no_line() -> None:
    first = [entry(0.5, target="a"), entry(0.52, target="b")]
    then = [one._replace(comparable="other", target=one.target * 2) for one in first]
    [panel] = history_figure([*first, *then]).axes
    joined = [[*line.get_xdata()] for line in panel.lines if len(line.get_xdata()) > 1]
    assert [0, 1] in joined
    assert [2, 3] in joined
    assert not [line for line in joined if 1 in line and 2 in line]


def test_in_grey_print_and_on_a_dark_page_it_can_be_read(tmp_path: Path) -> None:
    assert len({shape for _, shape, _ in MARKS.values()}) == len(MARKS)
    file = tmp_path / "auc.png"
    draw_history(chain(5), file)
    pixels = np.asarray(Image.open(file).convert("RGBA"))
    assert pixels[..., 3].min() == 255, "the page shows through"
    grey = np.asarray(Image.open(file).convert("L"))
    assert np.median(grey) == 255
    assert (grey < 110).mean() > 0.005, "ink is dark in grey too"


@pytest.fixture
def history(tmp_path: Path, record: Any) -> Path:
    path = tmp_path / "history"
    add_to_history([record], "0.1.0", path)
    return path


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_command_draws(history: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = history.with_name(f"auc.{kind}")
    assert main(["history", str(history), "--plot", str(file)]) == 0
    assert capsys.readouterr().out.endswith(f"drawn: {file}\n")
    assert file.stat().st_size > 5000


def test_what_cannot_be_drawn_is_one_line_that_says_what_to_do(
    history: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(file: str) -> str:
        assert main(["history", str(history), "--plot", file]) == 1
        caught = capsys.readouterr()
        assert "attack-I-threshold, 1 release (" in caught.out, "the text is there all the same"
        assert caught.err.count("\n") == 1
        return caught.err

    assert "auc.jpg ends in none of .svg, .png: name a picture" in said("auc.jpg")
    assert "cannot be written" in said(str(history.parent / "no folder" / "auc.svg"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert 'matplotlib, which is not installed: pip install "privaudit[study]"' in said("auc.svg")
