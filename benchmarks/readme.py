"""Runs the README's quickstart on the models of audits/, and writes its output into the README.

``python benchmarks/readme.py`` makes a folder as a new user has it (a fine-tuned U-Net, its base,
two folders of pictures with captions) and runs both commands there.
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


def audit_block(printed: str) -> str:
    """Return pytest's lines from the first audit's block on, without the bar above them."""
    lines = printed.splitlines()
    start = next(n for n, line in enumerate(lines) if "= privaudit =" in line)
    end = next(n for n, line in enumerate(lines) if line.startswith("every result"))
    return "\n".join(lines[start + 1 : end]).strip() + "\n"


def main() -> None:
    """Write both blocks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only-init", action="store_true", help="leave out the audit: seconds")
    parser.add_argument("--make", type=Path, metavar="FOLDER", help="make the folder, and stop")
    arguments = parser.parse_args()
    if arguments.make is not None:
        make_folder(arguments.make)
        return
    readme = ROOT / "README.md"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_folder(folder)
        text = replaced(
            readme.read_text(encoding="utf-8"), "init", output(folder, "privaudit", *INIT)
        )
        if not arguments.only_init:
            options = ("audits", "-q", "-p", "no:cacheprovider")
            printed = output(folder, "pytest", *options)
            print(printed)
            text = replaced(text, "audit", audit_block(printed))
    readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
