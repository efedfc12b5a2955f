"""Pipelines of diffusers that take a prompt alone and are not in the zoo, and why."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.zoo.families import ZOO

PICTURE = "starts from a picture or a mask, which a prompt does not say"
CONTROL = "wants a control picture beside the prompt"
VIDEO = "draws videos"
SOUND = "makes sound, text or shapes"
STAGE = "is one stage of a pipeline in the table, and answers with embeddings"
UNBUILT = {
    "Cosmos2TextToImagePipeline": "wants a guardrail, which is a package of its own",
    **dict.fromkeys(
        ("KolorsPipeline", "KolorsPAGPipeline"),
        "hidden by diffusers where sentencepiece is not installed; where it is, the zoo has it",
    ),
    **dict.fromkeys(
        (
            "AltDiffusionPipeline",
            "BriaFibo2Pipeline",
            "BriaFiboPipeline",
            "DreamLiteMobilePipeline",
            "DreamLitePipeline",
            "ErnieImagePipeline",
            "GlmImagePipeline",
            "Ideogram4Pipeline",
            "LongCatImagePipeline",
            "NucleusMoEImagePipeline",
            "OmniGenPipeline",
            "QwenImage21Pipeline",
            "StableDiffusionParadigmsPipeline",
            "VQDiffusionPipeline",
            "VersatileDiffusionTextToImagePipeline",
            "ZImageOmniPipeline",
        ),
        "not tried, since the zoo has no tiny one yet",
    ),
    "StableDiffusionGLIGENPipeline": "wants phrases and boxes beside the prompt",
}
"""Those that draw from a prompt and are not built, each with its reason."""
RULES = (
    (r"^(Animate|Allegro|AnyFlow|CogVideo|Cosmos|EasyAnimate|Helios|HunyuanVideo|I2VGen|Kandinsky5T2V"
     r"|Kandinsky6|LTX|Latte|Mochi|MotifVideo|SanaVideo|SkyReels|TextToVideo|VideoToVideo|Wan)", VIDEO),
    (r"^(AceStep|AudioLDM|MusicLDM|StableAudio|LongCatAudio|LLaDA|DiffusionGemma|ShapE)", SOUND),
    (r"ControlNet|^FluxControl|^CogView4Control|Adapter|TextImage", CONTROL),
    (r"Img2Img|Inpaint|Edit(Plus)?Pipeline|Upscale|SuperResolution|Refiner|Depth2Img|DiffEdit|Pix2Pix"
     r"|Layered|Fill", PICTURE),
    (r"Prior(Emb2Emb)?Pipeline$", STAGE),
)  # fmt: skip


CALL = re.compile(
    r"^class (\w+Pipeline)\((?:(?!^class ).)*?^    def __call__\((.*?)\)(?: ->[^\n]*)?:\n",
    re.M | re.S,
)
"""A class and the arguments of its call, in the source."""


def others() -> Iterator[tuple[str, str]]:
    """Yield each class that takes a prompt alone and is not in the zoo, with the reason."""
    for name in sorted((candidates() | set(UNBUILT)) - set(ZOO)):
        by_rule = next((why for rule, why in RULES if re.search(rule, name)), "")
        yield name, UNBUILT.get(name, by_rule)


def candidates() -> set[str]:
    """List the classes of diffusers whose call wants a prompt and nothing else.

    Their source is read: to import them all takes half a minute.
    """
    import diffusers

    public = set(dir(diffusers))
    found = set()
    for file in (Path(diffusers.__file__).parent / "pipelines").rglob("pipeline_*.py"):
        text = file.read_text(encoding="utf-8")
        for name, arguments in CALL.findall(text):
            if name in public and "Onnx" not in name and _takes_a_prompt_alone(arguments):
                found.add(name)
    return found


def _takes_a_prompt_alone(arguments: str) -> bool:
    [call] = ast.parse(f"def call({arguments}): ...").body
    given = call.args
    names = [argument.arg for argument in given.args]
    required = set(names[: len(names) - len(given.defaults)]) - {"self"}
    return "prompt" in names and required <= {"prompt"}
