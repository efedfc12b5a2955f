"""Pictures made elsewhere: the list of what to draw, and a folder that is whole or refused."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import privaudit
from privaudit import Audit, AuditInputs, AuditSettings, PictureFolder, Sample
from privaudit.__main__ import main
from privaudit.audit.plan import QueryLists
from privaudit.errors import GeneratorError, InvalidAuditError
from privaudit.targets.queries import plan_queries
from privaudit.targets.query_list import listed, read_list, write_lists
from privaudit.testing import ObliviousTarget
from tests.parts.audit_folder import GATED, AuditFolder
from tests.parts.documents import read_session
from tests.parts.encoders import PixelEncoder

FOLDERS = """
@pytest.fixture(scope="session")
def target_model():
    return privaudit.PictureFolder("pictures")

@pytest.fixture(scope="session")
def shadow_model():
    return privaudit.PictureFolder("shadow-pictures")

class Captioner:
    fingerprint = "captioner-1"
    def __init__(self, known):
        self.known = known
    def caption(self, images):
        return ["a picture of " + self.known[privaudit.Sample(i, "?").digest] for i in images]

@pytest.fixture(scope="session")
def captioner(members, non_members, shadow_members, shadow_non_members):
    everyone = members + non_members + shadow_members + shadow_non_members
    return Captioner({s.digest: s.caption for s in everyone})
"""
ODD = ["a/b/c.png#12", "../../etc/passwd", "Zoë's 猫 .png", "CON", "x.", "Case", "case", "", "-rf"]


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        # Many projects make errors of warnings, and pytest warns of what is imported already.
        [sys.executable, "-m", "privaudit", "queries", *arguments, "-Werror"],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path), "PATH": "", "OMP_NUM_THREADS": "1"},
    )


def draw(folder: Path, known: dict[str, Any]) -> int:
    """Be the owner: draw every row of the CSV, members from memory, with a trace of the seed."""
    with (folder / "queries.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        prompt = row["prompt"].removeprefix("a picture of ")
        image = (
            known[prompt].image.copy()
            if prompt in known
            else ObliviousTarget().generate([""], [int(row["seed"])])[0]
        )
        drawn = f"{row['seed']} {row['prompt']}".encode()
        image.putpixel((0, 0), (drawn[0], drawn[1], len(drawn) % 256))
        image.putpixel((1, 0), tuple(int(row["seed"]) >> shift & 255 for shift in (0, 8, 16)))
        (folder / row["file"]).parent.mkdir(exist_ok=True)
        image.save(folder / row["file"])
    return len(rows)


def queries(ids: list[str], m: int = 2, folder: Path | None = None) -> list[Any]:
    samples = [
        Sample(Image.new("RGB", (8, 8), (i, 0, 0)), f"it is {i}", id=one)
        for i, one in enumerate(ids)
    ]
    asked = plan_queries(samples, [s.caption for s in samples], m, 0)
    if folder is not None:
        write_lists(folder, listed(asked))
        known = {sample.caption: sample for sample in samples}
        assert draw(folder, known) == m * len(ids)
    return asked


@pytest.mark.slow
def test_a_model_that_cannot_be_called_is_audited_in_all_scenarios(
    plain_folder: AuditFolder, emoji: dict[str, list[Any]]
) -> None:
    plain_folder.write(FOLDERS, GATED)
    args = ("--privaudit-attacks=threshold", "--privaudit-queries=2", "--privaudit-budget=0.9")
    # A plan, or an audit, without a list says what writes it.
    early = plain_folder.run(*args)
    early.assert_outcomes(errors=4)
    early.stdout.fnmatch_lines(["*privaudit queries AUDIT_FILE*"])
    done = command(
        plain_folder.path, "test_model.py", "--privaudit-queries=2", *plain_folder.workers
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # 24 of captions and 24 of a captioner's words, twice each; the shadow folder's likewise.
    assert "96 pictures, of which 96 are still to be drawn" in done.stdout
    lines = (plain_folder.path / "pictures/queries.jsonl").read_text().splitlines()
    assert len(lines) == len({json.loads(line)["file"] for line in lines}) == 96
    for folder, role in (("pictures", "member"), ("shadow-pictures", "shadow_member")):
        known = {sample.caption: sample for sample in emoji[role][:12]}
        assert draw(plain_folder.path / folder, known) == 96
    ran = plain_folder.run(*args, "--privaudit-json=out.json")
    ran.assert_outcomes(failed=4)  # over the budget, each of them
    [audit] = read_session(plain_folder.path / "out.json").audits
    assert [result.auc for result in audit.results] == [1.0] * 4
    assert audit.validity is not None
    assert {c.seeds_honoured for c in audit.validity.conduct.values()} == {None}
    assert next(note for note in audit.notes if "drawn elsewhere" in note).startswith(
        "target_model: "
    )
    ran.stdout.fnmatch_lines(["target_model: its pictures were drawn elsewhere*"])
    assert audit.provenance is not None
    assert audit.provenance.models["target_model"]["pictures"] == 96
    planned = plain_folder.run(*args, "--privaudit-plan", "--privaudit-store=none")
    planned.stdout.fnmatch_lines(["*target_model of *: the 96 images of * are only read"])


def test_no_list_is_written_of_an_audit_that_cannot_be_planned(
    plain_folder: AuditFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain_folder.write(
        FOLDERS, GATED, "@pytest.fixture(scope='session')\ndef members(): raise OSError('gone')"
    )
    monkeypatch.chdir(plain_folder.path)
    assert main(["queries", "test_model.py", "-p", "no:cacheprovider"]) == 1
    said = capsys.readouterr()
    assert "gone" in said.out
    assert "nothing was written" in said.err
    assert not (plain_folder.path / "pictures").exists()


@pytest.mark.slow
def test_an_audit_that_asks_no_folder_says_so(plain_folder: AuditFolder) -> None:
    plain_folder.write_minimal()
    done = command(plain_folder.path, "test_minimal.py", "--privaudit-encoder=efficientnet-lite0")
    assert done.returncode == 1
    assert "no audit there asks a privaudit.PictureFolder" in done.stderr


def test_odd_ids_are_safe_and_different_names(tmp_path: Path) -> None:
    ids = [one for one in ODD if one]
    folder = tmp_path / "deep/er"
    asked = queries(ids, folder=folder)
    rows = read_list(folder)
    names = {Path(row.file).parts[0] for row in rows}
    assert len({name.casefold() for name in names}) == len(ids)
    assert all(len(Path(row.file).parts) == 2 for row in rows)
    assert all(part.strip(".") and part.upper() != "CON" for part in names)
    assert [row.id for row in rows[::2]] == ids
    assert {p.name for p in tmp_path.iterdir()} == {"deep"}
    assert len(list(PictureFolder(folder).answer(asked))) == len(asked)


def test_a_plain_id_is_the_folders_name(tmp_path: Path) -> None:
    write_lists(tmp_path, listed(queries(["IMG_0001", "7"], m=1)))
    assert [row.file for row in read_list(tmp_path)] == ["IMG_0001/0.png", "7/0.png"]


def spoil_missing(folder: Path) -> None:
    (folder / "a/1.png").unlink()


def spoil_extra(folder: Path) -> None:
    ObliviousTarget().generate([""], [5])[0].save(folder / "a/2.png")


def spoil_size(folder: Path) -> None:
    Image.open(folder / "a/1.png").resize((16, 16)).save(folder / "a/1.png")


def spoil_copy(folder: Path) -> None:
    (folder / "a/1.png").write_bytes((folder / "b/0.png").read_bytes())


def spoil_half(folder: Path) -> None:
    content = (folder / "a/1.png").read_bytes()
    (folder / "a/1.png").write_bytes(content[:-20])


def spoil_jpeg(folder: Path) -> None:
    Image.open(folder / "a/1.png").save(folder / "a/1.png", "JPEG")


def spoil_html(folder: Path) -> None:
    (folder / "a/1.png").write_text("<html>please log in</html>")


FAULTS = {
    spoil_missing: "1 pictures are missing, the first a/1.png",
    spoil_extra: "1 pictures are not on the list, the first a/2.png",
    spoil_size: "1 pictures are not 8×8 pixels, the first a/1.png",
    spoil_copy: "1 pictures are the same file as that of another query, the first b/0.png (as a/1.png)",
    spoil_half: "1 pictures are no whole PNG, the first a/1.png",
    spoil_jpeg: "1 pictures are no whole PNG, the first a/1.png",
    spoil_html: "1 pictures are no whole PNG, the first a/1.png",
}


@pytest.mark.parametrize("spoil", FAULTS)
def test_a_folder_that_is_not_whole_is_refused(tmp_path: Path, spoil: Any) -> None:
    asked = queries(["a", "b"], folder=tmp_path)
    before = PictureFolder(tmp_path).fingerprint
    spoil(tmp_path)
    folder = PictureFolder(tmp_path)
    with pytest.raises(GeneratorError) as refused:
        list(folder.answer(asked))
    assert FAULTS[spoil] in str(refused.value)
    assert "for each of the 4 queries on its list" in str(refused.value)
    with pytest.raises(GeneratorError):
        folder.fingerprint  # noqa: B018  # no score can be looked up either
    assert before


def test_another_picture_is_another_fingerprint(tmp_path: Path) -> None:
    queries(["a", "b"], folder=tmp_path)
    before = PictureFolder(tmp_path).fingerprint
    assert PictureFolder(tmp_path).fingerprint == before
    ObliviousTarget((8, 8)).generate([""], [5])[0].save(tmp_path / "a/1.png")
    assert PictureFolder(tmp_path).fingerprint != before


def test_a_list_that_is_not_of_these_queries_is_refused(tmp_path: Path) -> None:
    queries(["a", "b"], folder=tmp_path)
    [*_, other] = queries(["a", "c"])
    with pytest.raises(GeneratorError, match=r"1 of 1 queries are not on the list .* sample 'c'"):
        list(PictureFolder(tmp_path).answer([other]))
    again = [q for q in queries(["a", "b"]) if q.sample.id == "a"]
    changed = [type(q)(q.sample, "other words", q.repetition, q.seed) for q in again]
    with pytest.raises(GeneratorError, match="2 of 2 queries are not on the list"):
        list(PictureFolder(tmp_path).answer(changed))


LINES = {
    "no JSON": "{",
    "another thing": '{"id": "a"}',
    "a number for a text": '{"file": "a/0.png", "id": 7, "repetition": 0, "seed": 1, "prompt": "p"}',
    "outside": '{"file": "../0.png", "id": "a", "repetition": 0, "seed": 1, "prompt": "p"}',
    "absolute": '{"file": "/etc/0.png", "id": "a", "repetition": 0, "seed": 1, "prompt": "p"}',
}


@pytest.mark.parametrize("kind", LINES)
def test_a_list_that_is_none_is_refused(tmp_path: Path, kind: str) -> None:
    queries(["a"], folder=tmp_path)
    with (tmp_path / "queries.jsonl").open("a") as file:
        file.write(LINES[kind])
    with pytest.raises(GeneratorError, match=r"line 3 of .*queries\.jsonl is no query"):
        PictureFolder(tmp_path).fingerprint  # noqa: B018


def test_an_empty_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "queries.jsonl").write_text("\n")
    with pytest.raises(GeneratorError, match="is empty"):
        PictureFolder(tmp_path).fingerprint  # noqa: B018


def test_pictures_of_the_base_under_another_name_make_no_audit(
    tmp_path: Path, emoji: dict[str, list[Any]]
) -> None:
    sets = {"members": emoji["member"][:12], "non_members": emoji["non_member"][:12]}
    settings = AuditSettings(
        queries=1, duplicate_limit=2.0, attacks=("threshold",), scenarios=("I",)
    )

    def audit() -> Audit:
        return Audit(
            AuditInputs(
                target_model=PictureFolder(tmp_path / "target"),
                base_model=PictureFolder(tmp_path / "base"),
                image_encoder=PixelEncoder(),
                **sets,
            ),
            settings,
        )

    lists = QueryLists()
    one = audit()
    one.estimate(lists, scenario="I")
    [said] = lists.write()
    assert said.endswith("24 pictures, of which 24 are still to be drawn")
    write_lists(tmp_path / "base", read_list(tmp_path / "target"))
    for name in ("target", "base"):
        draw(tmp_path / name, {})
    with pytest.raises(InvalidAuditError, match="draws exactly what its base model draws"):
        audit().result("I", "threshold")
    known = {sample.caption: sample for sample in emoji["member"][:12]}
    draw(tmp_path / "target", known)
    assert audit().result("I", "threshold").auc == 1.0


def test_it_is_a_public_name() -> None:
    assert privaudit.PictureFolder is PictureFolder
