"""Samples, folders of them, and every way a set can be unusable."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from privaudit import Sample, load_samples, split_by_coin
from privaudit.audit.sets import split_calibration
from privaudit.errors import SampleError
from privaudit.fingerprint import fingerprint_pixels
from privaudit.samples import as_samples, check_disjoint, check_set
from privaudit.targets.queries import plan_queries, query_seed


def picture(number: int) -> Image.Image:
    draws = np.random.default_rng(number)
    return Image.fromarray(draws.integers(0, 256, (4, 4, 3), dtype=np.uint8))


def some(start: int, stop: int) -> list[Sample]:
    return [Sample(picture(i), f"picture {i}", id=f"{i}") for i in range(start, stop)]


def test_an_id_is_made_from_the_content() -> None:
    assert Sample(picture(1), "a").id == Sample(picture(1), "a").id
    assert (
        len({Sample(picture(1), "a").id, Sample(picture(1), "b").id, Sample(picture(2), "a").id})
        == 3
    )


def test_ids_are_what_they_were() -> None:
    """Seeds derive from ids: another hash of pixels would change every number of every audit."""
    sample = Sample(Image.new("RGB", (3, 2), (10, 20, 30)), "a")
    assert sample.digest == hashlib.sha256(b"3x2:" + bytes([10, 20, 30] * 6)).hexdigest()
    assert sample.digest == fingerprint_pixels(sample.image)
    assert sample.id == "0ce8b4c7d31e8560"


def test_only_rgb_pixels_have_a_hash() -> None:
    with pytest.raises(ValueError, match="mode L, not RGB"):
        fingerprint_pixels(Image.new("L", (3, 2)))


def test_the_emoji_are_what_they_were(emoji: dict[str, list[Sample]]) -> None:
    """The stored numbers of ``audits/`` are about these pixels."""
    of_roles = {
        role: hashlib.sha256("".join(s.digest for s in samples).encode()).hexdigest()[:16]
        for role, samples in emoji.items()
    }
    assert of_roles == {
        "member": "3481a12b0f5f755d",
        "non_member": "3a6451a977cdaa45",
        "shadow_member": "2d172cbfbabf0614",
        "shadow_non_member": "314caeca0581102a",
        "caption": "7b18f481d09b168b",
    }


def test_a_folder_is_read_as_datasets_reads_it(tmp_path: Path) -> None:
    rows = []
    for i in range(3):
        picture(i).save(tmp_path / f"{i}.png")
        rows.append(json.dumps({"file_name": f"{i}.png", "text": f"picture {i}"}))
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows) + "\n")
    samples = load_samples(tmp_path)
    assert [s.caption for s in samples] == ["picture 0", "picture 1", "picture 2"]
    assert [s.digest for s in samples] == [Sample(picture(i), "x").digest for i in range(3)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"file_name": "no.png", "text": "x"}', r"no\.png \(named by .*:1\) does not exist"),
        ('{"file_name": "bad.png", "text": "x"}', r"bad\.png \(.*:1\) cannot be read as an image"),
        ('{"file_name": "bad.png"}', 'has no "text"'),
        ("not json", "is not JSON"),
        ('{"file_name": "cut.png", "text": "x"}', r"cut\.png \(.*:1\) cannot be read as an image"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    Image.effect_noise((64, 64), 9).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "metadata.jsonl").write_text(line)
    with pytest.raises(SampleError, match=said):
        check_set("members", load_samples(tmp_path))


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ([], "0 samples in members"),
        ([Sample(picture(0), "  ", id="seven")], "'seven' of members has an empty caption"),
        (
            [*some(0, 2), Sample(picture(9), "x", id="1")],
            "1 duplicate ids in members, the first '1'",
        ),
        (["no sample"], r"members\[0\] is a str"),
    ],
)
def test_an_unusable_set_is_refused(samples: list[Sample], said: str) -> None:
    with pytest.raises(SampleError, match=said):
        check_set("members", samples)


def test_sets_must_not_share_pixels_or_ids(tmp_path: Path) -> None:
    check_disjoint("a", some(0, 3), "b", some(3, 6))
    picture(1).save(tmp_path / "copy.bmp")
    copy = Sample(Image.open(tmp_path / "copy.bmp").convert("RGBA"), "other words", id="copy")
    with pytest.raises(SampleError, match="'copy' of b is the same image as '1' of a"):
        check_disjoint("a", some(0, 3), "b", [copy])
    with pytest.raises(SampleError, match="'2' is in both a and b"):
        check_disjoint("a", some(0, 3), "b", [Sample(picture(7), "x", id="2")])


def test_a_sample_wants_an_image_and_a_string() -> None:
    with pytest.raises(SampleError, match="is a ndarray, not a PIL image"):
        Sample(np.zeros((4, 4, 3)), "x")  # type: ignore[arg-type]
    with pytest.raises(SampleError, match="is a int, not a string"):
        Sample(picture(0), 3)  # type: ignore[arg-type]


@given(st.integers(0, 2**32), st.randoms())
def test_coins_belong_to_ids_and_not_to_the_order(seed: int, shuffler: object) -> None:
    samples = some(0, 20)
    members, non_members = split_by_coin(samples, seed)
    assert {s.id for s in members} | {s.id for s in non_members} == {s.id for s in samples}
    shuffled = list(samples)
    shuffler.shuffle(shuffled)  # type: ignore[attr-defined]
    assert {s.id for s in split_by_coin(shuffled, seed)[0]} == {s.id for s in members}


def test_coins_are_fair() -> None:
    samples = some(0, 30)
    heads = sum(len(split_by_coin(samples, seed)[0]) for seed in range(200))
    assert abs(heads / (200 * 30) - 0.5) < 4 * 0.5 / np.sqrt(200 * 30)


@given(st.one_of(st.floats(0.2, 0.8), st.integers(1, 9)), st.integers(0, 99))
def test_calibration_and_evaluation_share_nothing(share: float, seed: int) -> None:
    parts = split_calibration(some(0, 10), some(20, 35), share, seed)
    known = round(share * 10) if share < 1 else share
    assert [len(part) for part in parts] == [known, known, 10 - known, 15 - known]
    assert len({sample.id for part in parts for sample in part}) == 25


def test_a_split_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(SampleError, match="1 members and 5 non-members cannot be split"):
        split_calibration(some(0, 1), some(1, 6), 0.5, 0)


def test_seeds_depend_on_the_query_alone() -> None:
    one, other = some(0, 2)
    forward = plan_queries([one, other], ["a", "b"], 3, audit_seed=5)
    backward = plan_queries([other, one], ["b", "a"], 3, audit_seed=5)
    assert {(q.sample.id, q.seed) for q in forward} == {(q.sample.id, q.seed) for q in backward}
    assert len({q.seed for q in forward}) == 6
    assert all(0 <= q.seed < 2**63 for q in forward)
    assert query_seed(0, "x", 0) != query_seed(1, "x", 0)


async def a_fixture() -> list[Sample]:
    return some(0, 2)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "members is None, not a list of privaudit.Sample: does the fixture lack its return"),
        (Sample(picture(0), "x"), r"members is a Sample, .*: return \[members\]"),
        ({"a": Sample(picture(0), "x")}, r"members is a dict, .*: return list\(members.values"),
        ((s for s in some(0, 2)), r"members is a generator, .* once only; return list\(members\)"),
        (iter(some(0, 2)), r"members is a list_iterator, .* once only"),
        (np.zeros((2, 4, 4, 3)), r"members is a ndarray, .*: return \[privaudit.Sample\(image,"),
        ("data/train", r"members is a str, .*: return privaudit.load_samples"),
        (Path("data/train"), r"members is a PosixPath, .*: return privaudit.load_samples"),
        (7, "members is a int, not a list"),
        ([picture(0)], r"members\[0\] is a Image, not a privaudit.Sample: wrap it in"),
        (["a.png"], r"members\[0\] is a str, not a privaudit.Sample"),
        (set(), "0 samples in members"),
    ],
)
def test_what_is_no_list_of_samples_is_refused(given: object, said: str) -> None:
    with pytest.raises(SampleError, match=said):
        as_samples("members", given)
    with pytest.raises(SampleError, match=said):
        check_set("members", given)  # type: ignore[arg-type]


def test_an_async_fixture_is_refused() -> None:
    coroutine = a_fixture()
    with pytest.raises(SampleError, match=r"members is a coroutine, .* a plain def, not async"):
        as_samples("members", coroutine)
    coroutine.close()


def test_a_list_stays_in_order_and_a_set_has_none() -> None:
    samples = some(0, 20)[::-1]
    assert as_samples("members", samples) == samples
    assert as_samples("members", tuple(samples)) == samples
    by_id = sorted(samples, key=lambda s: s.id)
    assert as_samples("members", set(samples)) == by_id
    assert as_samples("members", dict.fromkeys(samples).keys()) == by_id
