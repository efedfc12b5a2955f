"""``privaudit card``: results in a model card's index."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from privaudit.commands.said import failed

if TYPE_CHECKING:
    import argparse

__all__ = ["add"]

LARGEST = 2**24
"""Bytes of a card."""


def add(commands: Any) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("card", help="write a record's results into a model card")
    parser.add_argument("record", type=Path, help="the file that --privaudit-json wrote")
    parser.add_argument("card", type=Path, help="the model's README.md, which must exist")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    from privaudit.errors import PrivauditError, RecordError
    from privaudit.files import read_bytes
    from privaudit.record import read_json
    from privaudit.report.attestation import hash_file
    from privaudit.report.card import update_card
    from privaudit.report.files import write_output

    try:
        session = read_json(given.record)
        try:
            size, content = read_bytes(given.card, LARGEST)
            text = content.decode("utf-8")
        except (OSError, ValueError) as error:
            msg = f"{given.card} cannot be read as a card ({error}): name the model's README.md"
            raise RecordError(msg) from None
        if size > LARGEST:
            msg = f"{given.card} has {size:,} bytes: name the model's README.md"
            raise RecordError(msg)
        name = given.card.resolve().parent.name or "model"
        new = update_card(text, session, hash_file(given.record), name)
        if new != text:
            write_output(given.card, new)
    except (PrivauditError, OSError) as error:
        return failed(str(error))
    print(f"{given.card}: {'as it was' if new == text else 'the results are in its model-index'}")
    return 0
