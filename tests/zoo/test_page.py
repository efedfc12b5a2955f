"""The page says of each text-to-image pipeline of diffusers whether it can be audited."""

from __future__ import annotations

import re

from tests.zoo.families import ZOO
from tests.zoo.others import UNBUILT, candidates, others
from tests.zoo.page import FILE


def test_the_page_lists_every_pipeline_that_takes_a_prompt() -> None:
    listed = set(re.findall(r"`(\w+Pipeline)`", FILE.read_text(encoding="utf-8")))
    missing = (candidates() | set(ZOO)) - listed
    assert not missing, "run python -m tests.zoo.page"


# Whether Kolors is in the zoo depends on a package that nothing here needs: the page says so.


def test_the_table_has_every_pipeline_of_the_zoo_and_all_are_drawn_as_alone() -> None:
    rows = re.findall(r"^\| `(\w+)` .*$", FILE.read_text(encoding="utf-8"), re.M)
    assert set(rows) == {name for name in ZOO if "Kolors" not in name}
    assert len(rows) >= 40
    assert "no: " not in FILE.read_text(encoding="utf-8")


def test_each_pipeline_that_is_not_in_the_zoo_has_a_reason() -> None:
    assert not [name for name, why in others() if not why]
    assert not {name for name in UNBUILT if "Kolors" not in name} & set(ZOO)
