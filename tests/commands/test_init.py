"""``privaudit init`` and ``privaudit doctor``: on a real tiny setup, and then ``pytest audits/``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from privaudit import hub
from privaudit.__main__ import main
from privaudit.attacks import registry
from privaudit.commands import doctor, init
from privaudit.errors import EXTRAS
from tests.parts import AUDITS
from tests.parts.documents import read_session
from tests.parts.pipelines import tiny_pipeline

BASE = AUDITS / "models" / "base"
ADAPTER = AUDITS / "models" / "shadow"
N = 10
QUICK = [
    "--privaudit-queries=1",
    "--privaudit-num-inference-steps=2",
    "--privaudit-batch-size=20",
    "--privaudit-encoder=efficientnet-lite0",
]


def write_samples(folder: Path, samples: list[Any], *, captions: str = "txt") -> None:
    folder.mkdir(parents=True)
    rows = []
    for number, sample in enumerate(samples[:N]):
        sample.image.save(folder / f"{number}.png")
        if captions == "txt":
            (folder / f"{number}.txt").write_text(sample.caption)
        rows.append(json.dumps({"file_name": f"{number}.png", "text": sample.caption}))
    if captions != "txt":
        (folder / "metadata.jsonl").write_text("\n".join(rows))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, a fine-tuned U-Net of it, and a run with three: made before pytester forgets imports."""
    folder = tmp_path_factory.mktemp("models")
    tiny_pipeline().save_pretrained(folder / "base")
    for place in ("tuned", *(f"run/checkpoint-{step}" for step in (10, 20, 30))):
        unet = tiny_pipeline().unet
        torch.manual_seed(0)
        for parameter in unet.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
        unet.save_pretrained(folder / place / "unet")
    return folder


@pytest.fixture
def owner(models: Path, emoji: dict[str, list[Any]], pytester: pytest.Pytester) -> Path:
    """A folder as an owner has it: data, a base and what was fine-tuned."""
    shutil.copytree(models, pytester.path, dirs_exist_ok=True)
    write_samples(pytester.path / "data" / "train", emoji["member"])
    write_samples(pytester.path / "data" / "holdout", emoji["non_member"], captions="metadata")
    return pytester.path


def runs_through(pytester: pytest.Pytester, workers: list[str]) -> list[str]:
    """Run ``pytest audits/``: the names of what was completed, whatever its verdict."""
    store = f"--privaudit-store={pytester.path / 'store'}"
    done = pytester.runpytest_subprocess(
        "audits/", "-p", "no:cacheprovider", store, *QUICK, *workers, "--privaudit-json=out.json"
    )
    assert done.ret in (0, 1)
    record = read_session(pytester.path / "out.json")
    missing = [item for audit in record.audits for item in audit.not_completed]
    # Of so few samples chance may decide which class is known better, and the audit says so.
    by_chance = [one for one in missing if "non-members are known better" in one.reason]
    others = [one.reason for one in missing if one not in by_chance]
    assert [reason for reason in others if "not audited" not in reason] == []
    completed = [result for audit in record.audits for result in audit.results]
    names = [one.name for one in (*completed, *by_chance)]
    return sorted(names, key=lambda name: list(registry.names()).index(name.split("-", 2)[2]))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["plain", "xdist"])
def test_what_it_writes_runs_through(
    owner: Path, pytester: pytest.Pytester, workers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "tuned", "data", "--base", "base"]) == 0
    said = capsys.readouterr().out
    assert f"members: {N} in data/train" in said
    assert f"non-members: {N} in data/holdout" in said
    assert "model: unet, base base" in said
    assert "next: privaudit doctor audits, then pytest audits" in said
    text = (owner / "audits" / "test_membership.py").read_text()
    assert "privaudit.SavedPipeline(ROOT / 'base', unet=ROOT / 'tuned/unet')" in text
    assert runs_through(pytester, workers) == [
        "attack-I-threshold",
        "attack-I-distribution",
        "attack-I-classifier",
        "attack-I-combined",
    ]


def test_a_run_becomes_an_audit_over_its_checkpoints(
    owner: Path, pytester: pytest.Pytester
) -> None:
    assert main(["init", "run", "data", "--base", "base", "--into", "checks/faces"]) == 0
    text = (owner / "checks" / "faces" / "test_membership.py").read_text()
    assert "privaudit.checkpoints(ROOT / 'run', base=ROOT / 'base')" in text
    shown = pytester.runpytest_subprocess(
        "checks", "--collect-only", "-q", "-p", "no:cacheprovider"
    )
    assert sum("checkpoint-" in line for line in shown.outlines) == 12


@pytest.mark.parametrize(
    ("weights", "argument"),
    [
        (ADAPTER / "pytorch_lora_weights.safetensors", "lora"),
        (BASE / "unet" / "diffusion_pytorch_model.safetensors", "unet"),
        ("transformer_blocks.0.attn.to_q.weight", "transformer"),
    ],
)
def test_one_file_is_an_adapter_or_a_denoiser_by_its_header(
    owner: Path, weights: Path | str, argument: str
) -> None:
    if isinstance(weights, str):
        save_file({weights: torch.zeros(1)}, owner / "faces.safetensors")
    else:
        shutil.copy(weights, owner / "faces.safetensors")
    assert main(["init", "faces.safetensors", "data", "--base", "base"]) == 0
    text = (owner / "audits" / "test_membership.py").read_text()
    assert f"{argument}=ROOT / 'faces.safetensors'" in text


def test_nothing_is_overwritten(owner: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (owner / "audits").mkdir()
    mine = owner / "audits" / "conftest.py"
    mine.write_text("mine")
    assert main(["init", "base", "data"]) == 1
    assert capsys.readouterr().err == (
        "privaudit: audits/conftest.py exists, so nothing was written: delete what you no longer "
        "need, or name another folder with --into=FOLDER\n"
    )
    assert mine.read_text() == "mine"
    assert list((owner / "audits").iterdir()) == [mine]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["xyz", "data"], "xyz does not exist: in "),
        (["runn", "data"], "runn does not exist: did you mean 'run'?"),
        (["run/checkpoint-11", "data"], "does not exist: did you mean 'run/checkpoint-10'?"),
        (["runs/checkpoint-10", "data"], "runs/checkpoint-10 does not exist: did you mean 'run'?"),
        (["./owner/model", "data"], "owner/model does not exist: in "),
        (["adapter", "data"], "adapter is an adapter, and nothing in it names the pipeline"),
        (["adapter", "data", "--base", "nowhere"], "the base nowhere does not exist: in "),
        (["base", "data/train"], "has no folders train and holdout, so nothing says what"),
        (
            ["adapter", "data", "--base", "bass"],
            "the base bass does not exist: did you mean 'base'?",
        ),
        (["base", "nothing"], "nothing does not exist: in "),
        (["base", "dta"], "dta does not exist: did you mean 'data'?"),
        (["base", "data/train", "--non-members", "base"], "base has no metadata"),
        (["data/train", "data"], "has no checkpoint of a layout that we know"),
        (["cut.safetensors", "data", "--base", "base"], "cut.safetensors cannot be read"),
    ],
)
def test_what_cannot_be_found_out_is_one_line(
    owner: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ADAPTER, owner / "adapter")
    weights = (ADAPTER / "pytorch_lora_weights.safetensors").read_bytes()
    (owner / "cut.safetensors").write_bytes(weights[:-9])
    assert main(["init", *arguments]) == 1
    caught = capsys.readouterr()
    assert caught.out == ""
    assert caught.err.startswith("privaudit: ")
    assert said in caught.err
    assert not (owner / "audits").exists()


def test_a_name_on_the_hub_is_loaded_from_it(
    owner: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "someone/faces", "data"]) == 0
    assert "model: a whole pipeline, base someone/faces of the hub" in capsys.readouterr().out
    text = (owner / "audits" / "test_membership.py").read_text()
    assert "privaudit.load_pipeline('someone/faces')" in text


@pytest.mark.parametrize(
    ("n", "lines"),
    [
        (3, ["warning: 3 + 3 samples decide nothing, and fewer than 18 + 18 never can"]),
        (6, ["warning: 6 + 6 samples decide nothing, and fewer than 18 + 18 never can"]),
        (18, ["warning: 18 + 18 samples are few: chance takes a clean model over the budget"]),
        (100, ["warning: 100 + 100 samples are few: chance takes a clean model over the budget"]),
        (208, []),
    ],
)
def test_sets_that_are_too_small_are_warned_of(n: int, lines: list[str]) -> None:
    warned = init._power_lines(n, n)
    assert len(warned) == 2 * len(lines)
    assert all(warned[0].startswith(line) for line in lines)
    assert all(
        warned[1].startswith("  208 + 208 bring that under 5%, and 416 + 416 show an AUC of 0.7")
        for _ in lines
    )


def test_a_claim_beside_the_weights_is_pointed_out(
    owner: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (owner / "tuned" / "unet" / "privaudit_privacy.json").write_text("{}")
    assert main(["init", "tuned", "data", "--base", "base"]) == 0
    said = capsys.readouterr().out
    assert "note: privaudit_privacy.json claims differential privacy" in said
    assert "split_by_coin chose before training" in said
    shutil.rmtree(owner / "audits")
    assert main(["init", "run", "data", "--base", "base"]) == 0
    assert "differential privacy" not in capsys.readouterr().out


@pytest.mark.slow
def test_the_doctor_names_what_is_missing_and_the_cost(
    owner: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join([*QUICK, f"--privaudit-store={owner}/store"]))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    # The answer is kept for a process, and this one may have asked another hub.
    monkeypatch.setattr(hub, "hub_problem", hub.hub_problem.__wrapped__)
    assert main(["init", "base", "data"]) == 0
    capsys.readouterr()
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("ok      extra finetune: installed") for line in lines)
    assert any(line.startswith("ok      GPU: ") for line in lines)
    assert any("127.0.0.1:9 cannot be reached" in line for line in lines)
    assert f"cost    privaudit: {2 * N} images to generate, 0 in the store" in lines[-4]
    assert lines[-1] == "ready: pytest audits"
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(doctor, "in_cache", lambda name: False)
    assert main(["doctor", "no-such-folder"]) == 1
    said = capsys.readouterr().out
    assert 'note    extra ray: not installed, pip install "privaudit[ray]" brings ray' in said
    assert (
        "MISSING encoder: facebook/deit-base-distilled-patch16-384 is not on this machine" in said
    )
    assert "MISSING audits: no-such-folder does not exist" in said
    assert said.splitlines()[-1] == "not ready: encoder, no-such-folder"


def test_a_folder_that_was_named_has_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "in_cache", lambda name: True)
    assert main(["doctor"]) == 0  # before the first audit
    assert capsys.readouterr().out.endswith("ready: privaudit init MODEL DATA\n")
    assert main(["doctor", "audist"]) == 1
    assert capsys.readouterr().out.endswith("not ready: audist\n")


def test_every_extra_says_what_it_is_for() -> None:
    assert set(EXTRAS.values()) <= set(doctor.FOR)


def test_an_audit_that_cannot_be_planned_is_an_error(
    owner: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join([*QUICK, "--privaudit-store=none"]))
    assert main(["init", "base", "data"]) == 0
    shutil.rmtree(owner / "base")
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "cannot be planned: " in said
    assert "does not exist" in said
    assert "MISSING the plan: pytest audits --privaudit-plan ended with 1" in said
    assert said.splitlines()[-1] == "not ready: the plan of audits"
