"""``privaudit attest``: a statement that binds a record to the files of its model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.commands.said import failed

if TYPE_CHECKING:
    import argparse

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "attest", help="write an in-toto statement that binds a record to its model's files"
    )
    parser.add_argument("record", type=Path, help="the file that --privaudit-json wrote")
    parser.add_argument("model", type=Path, help="the file or folder of the model it is about")
    parser.add_argument(
        "--vouch",
        action="store_true",
        help="say that it is the model that was audited, though the record has another path",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="in place of the terminal")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    from privaudit.errors import PrivauditError
    from privaudit.record import read_json
    from privaudit.report.attestation import render_attestation
    from privaudit.report.files import write_output

    try:
        session = read_json(given.record)
        text = render_attestation(session, given.record, given.model, vouch=given.vouch)
        if given.output is None:
            print(text, end="")
        else:
            write_output(given.output, text)
            print(f"written: {given.output}")
    except (PrivauditError, OSError) as error:
        return failed(str(error))
    return 0
