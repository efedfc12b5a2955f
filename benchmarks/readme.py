"""Writes the output of the README's two commands into the README.

``python benchmarks/readme.py`` runs ``privaudit init`` in a folder as a new user has it: a
fine-tuned U-Net, its base, two folders of pictures with captions. With ``--record FILE`` it also
prints the over-fitted model's audit, from the record that ``pytest audits/ --runxfail
--privaudit-json=FILE`` wrote.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INIT = ("init", "runs/faces", "data", "--base", "base-model")


def make_folder(folder: Path) -> None:
    """Write the model, its base and the samples as an owner has them."""
    sys.path.insert(0, str(ROOT / "audits"))
    import emoji_sets

    shutil.copytree(emoji_sets.MODELS / "overfit" / "unet", folder / "runs" / "faces" / "unet")
    (folder / "base-model").symlink_to(emoji_sets.MODELS / "base")
    for name, role in (("train", "member"), ("holdout", "non_member")):
        (folder / "data" / name).mkdir(parents=True)
        for sample in emoji_sets.twemoji(role):
            place = folder / "data" / name / sample.id
            sample.image.save(place.with_suffix(".png"))
            place.with_suffix(".txt").write_text(sample.caption, encoding="utf-8")


def output(folder: Path, *command: str) -> str:
    """Run a Python module in the folder, and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def replaced(text: str, name: str, lines: str) -> str:
    """Put lines into the README's block of a name."""
    pattern = rf"(<!-- {name}: [^>]*-->\n```console\n\$ [^\n]*\n).*?(```)"
    changed, n = re.subn(pattern, lambda found: found[1] + lines + found[2], text, flags=re.S)
    if n != 1:
        msg = f"the README has {n} blocks named {name}"
        raise SystemExit(msg)
    return changed


def audit_block(record: Path) -> str:
    """Render the audit of the over-fitted model as the terminal shows it, 80 columns wide."""
    from privaudit.record import SessionRecord
    from privaudit.report.terminal import render_block

    session = SessionRecord.from_json(record.read_text(encoding="utf-8"))
    audit = next(one for one in session.audits if "test_overfit" in one.name)
    return "".join(f"{line}\n" for line in render_block(audit, 80))


def main() -> None:
    """Write the blocks, or make the folder alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", type=Path, help="of pytest audits/ --runxfail")
    parser.add_argument("--make", type=Path, metavar="FOLDER", help="make the folder, and stop")
    arguments = parser.parse_args()
    if arguments.make is not None:
        make_folder(arguments.make)
        return
    readme = ROOT / "README.md"
    with tempfile.TemporaryDirectory() as name:
        make_folder(Path(name))
        text = replaced(
            readme.read_text(encoding="utf-8"), "init", output(Path(name), "privaudit", *INIT)
        )
    if arguments.record is not None:
        text = replaced(text, "audit", audit_block(arguments.record))
    readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
