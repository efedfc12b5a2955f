"""Writes docs/reference/what-can-be-audited.md from what the zoo shows: ``python -m tests.zoo.page``."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from tabulate import tabulate

from privaudit.errors import PrivauditError
from privaudit.fingerprint import library_versions
from tests.parts import ROOT
from tests.zoo.families import ZOO
from tests.zoo.looks import PROMPTS, SEEDS, pixels, target_of
from tests.zoo.others import UNBUILT, others
from tests.zoo.registry import Kind

FILE = ROOT / "docs" / "reference" / "what-can-be-audited.md"
HEAD = """# What can be audited

Any callable `generate(prompts, seeds)` can be, whatever is behind it. A diffusers pipeline can be
as it is, which saves writing one. The table has the text-to-image classes of diffusers {diffusers} of
which a tiny random pipeline is built from a configuration (with transformers {transformers}). For each,
`pytest tests/zoo -m "slow or not slow"`, most of which CI leaves to the night, looks at

- its pictures, compared with those of the pipeline called by hand, one prompt at a time;
- each part's weights, each setting of a tokenizer, a scheduler and of the pipeline, changed alone:
  if the pictures are others, the model is another for privaudit too;
- a second audit of the same model draws the two pictures of the probe and no other;
- the pipeline, which is left as it was.

This page is written by `python -m tests.zoo.page`.

**Steps** and **guidance** are what the pipeline is asked with unless they are set: its own defaults.
`–` is an argument that its call lacks; its own names for it can be set with `call={{…}}`
([fixtures](fixtures.md)). **Batches**: whether queries share a call. *one text*: only queries of one
prompt, since another's length would change the picture. *none*: the pipeline mixes up the rows of a
batch, or takes no batch; it is then asked for one picture at a time, which takes longer. **Texts
once**: whether each caption is encoded once for all its pictures.
"""
TAIL = """
## Other pipelines

These take a prompt and are not in the table. One that needs more than a prompt is audited as a callable
that supplies it.
"""


def row(kind: Kind) -> list[str]:
    """Look at one pipeline, and return its row of the table."""
    pipeline = kind.build()
    alone = pixels(kind, pipeline)
    target = target_of(kind, kind.build())
    try:
        drawn = target.generate(PROMPTS, SEEDS)
    except PrivauditError as error:
        return [kind.name, kind.family, f"no: {error}", "", "", "", ""]
    difference = np.abs(np.stack([np.asarray(one, int) for one in drawn]) - alone).max()
    own = _own_defaults(pipeline)
    return [
        f"`{kind.name}`",
        kind.family,
        "yes" if difference <= 1 else f"no: {difference} levels of 255",
        *(str(own.get(name, "–")) for name in ("num_inference_steps", "guidance_scale")),
        {"any": "any", "those of one text": "one text", "none": "none"}[target._company.value],
        "yes" if target._texts is not None else "no",
    ]


def _own_defaults(pipeline: Any) -> dict[str, Any]:
    from privaudit.targets.calls import call_of

    return call_of(pipeline, None, None, {})


def page(rows: list[list[str]]) -> str:
    """Put rows into the page."""
    head = HEAD.format(**library_versions("diffusers", "transformers"))
    titles = ["pipeline", "family", "as alone", "steps", "guidance", "batches", "texts once"]
    table = tabulate(sorted(rows), titles, tablefmt="github", disable_numparse=True)
    reasons: dict[str, list[str]] = {}
    for name, why in others():
        reasons.setdefault(why, []).append(f"`{name}`")
    ordered = sorted(reasons.items(), key=lambda item: -len(item[1]))
    lines = [f"- {why}: {', '.join(names)}" for why, names in ordered]
    return "\n".join([head, table, TAIL, *lines]) + "\n"


def main() -> None:
    """Look at the whole zoo, and write the page."""
    warnings.simplefilter("ignore")
    FILE.write_text(
        page([row(kind) for name, kind in ZOO.items() if name not in UNBUILT]), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
