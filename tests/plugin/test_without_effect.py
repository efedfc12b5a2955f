"""Settings that reach nothing: an error in an audit file, and said if a session set them."""

from __future__ import annotations

import pytest

from tests.parts.audit_folder import GATED, SAFE, AuditFolder
from tests.parts.documents import read_session

ONE = ("--privaudit-scenarios=I", "--privaudit-attacks=threshold", "--privaudit-budget=1")
INI = "[pytest]\nprivaudit_queries = 1\n"

NO_GUIDANCE = """
from diffusers import StableDiffusionPipeline
from tests.parts.pipelines import tiny_pipeline

class Turbo(StableDiffusionPipeline):
    def __call__(self, prompt, num_inference_steps=1, generator=None, output_type="pil"):
        return super().__call__(
            prompt, num_inference_steps=num_inference_steps, guidance_scale=1.0,
            generator=generator, output_type=output_type)

@pytest.fixture(scope="session")
def target_model():
    tiny = tiny_pipeline()
    pipeline = Turbo(**tiny.components, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
"""
CASES = {
    "ready-made": (SAFE, "guidance_scale", "4.0", "target_model is a ObliviousTarget*"),
    "encoder": (SAFE, "encoder", "efficientnet-lite0", "this audit has an image_encoder fixture*"),
    "no guidance": (NO_GUIDANCE, "guidance_scale", "4.0", "the call of this Turbo has its own*"),
}


@pytest.mark.usefixtures("drawing")
@pytest.mark.parametrize("case", CASES)
def test_a_marker_that_reaches_nothing_is_an_error(plain_folder: AuditFolder, case: str) -> None:
    target, name, value, why = CASES[case]
    plain_folder.write(target, f"@pytest.mark.privacy_budget({name}={value!r})", GATED)
    result = plain_folder.run(*ONE)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"{name} of privacy_budget(…) cannot reach what it is for: {why}"])


@pytest.mark.usefixtures("drawing")
@pytest.mark.parametrize(
    ("case", "source"),
    [
        ("ready-made", "ini"),
        ("ready-made", "command line"),
        ("encoder", "ini"),
        ("encoder", "command line"),
        pytest.param("no guidance", "command line", marks=pytest.mark.slow),
    ],
)
def test_what_a_session_sets_in_vain_is_said(
    plain_folder: AuditFolder, case: str, source: str
) -> None:
    target, name, value, why = CASES[case]
    plain_folder.write(target, GATED)
    options = [*ONE, "--privaudit-json=out.json"]
    if source == "ini":
        plain_folder.pytester.makeini(f"{INI}privaudit_{name} = {value}\n")
    else:
        options.append(f"--privaudit-{name.replace('_', '-')}={value}")
    said = f"{name}={value} ({source}) has no effect: {why}"
    result = plain_folder.run("-v", *options)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "test_model.py::test_leak: *0 of*",
            said,
        ]
    )
    (audit,) = read_session(plain_folder.path / "out.json").audits
    assert name in audit.settings["without_effect"]
    assert audit.settings[name] is None
    assert audit.settings["sources"][name] == source


def test_defaults_that_reach_nothing_are_not_worth_a_word(plain_folder: AuditFolder) -> None:
    plain_folder.write(SAFE, GATED)
    plain_folder.run(*ONE).stdout.no_fnmatch_line("*has no effect*")
