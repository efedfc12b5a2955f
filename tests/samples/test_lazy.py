"""A sample opens its image when it is asked for it, and keeps none."""

from __future__ import annotations

import gc
import json
import pickle
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from privaudit import Sample, load_samples
from privaudit.encoders.cache import FeatureCache
from privaudit.engines.local import LocalEngine
from privaudit.engines.task import Task
from privaudit.errors import SampleError
from privaudit.measurements import ReconstructionSimilarity
from privaudit.samples import ImagesByDigest, check_disjoint, check_set, split_by_coin
from privaudit.store import Store
from privaudit.targets.queries import plan_queries
from privaudit.testing import MemorizingTarget, ObliviousTarget

if TYPE_CHECKING:
    from pathlib import Path

SIDE = 37
"""No other image of these tests has it."""


def picture(number: int) -> Image.Image:
    draws = np.random.default_rng(number)
    return Image.fromarray(draws.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def opened() -> int:
    """Count the images that this process has decoded."""
    return sum(isinstance(o, Image.Image) and o.size == (SIDE, SIDE) for o in gc.get_objects())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = []
    for i in range(40):
        picture(i).save(tmp_path / f"{i}.png")
        rows.append(json.dumps({"file_name": f"{i}.png", "text": f"picture {i}"}))
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
    return tmp_path


class Watchful:
    """Encodes an image as its mean, and counts the images that are decoded meanwhile."""

    def __init__(self) -> None:
        self.most = 0

    def encode(self, images: Any) -> Any:
        self.most = max(self.most, opened())
        means = [np.asarray(i, np.float32).mean((0, 1)) / 255 for i in images]
        return np.stack(means)[:, None]


def test_a_set_that_is_checked_and_split_keeps_no_image_decoded(folder: Path) -> None:
    samples = load_samples(folder)
    members, others = split_by_coin(samples, 0)
    check_set("members", members)
    check_disjoint("members", members, "non_members", others)
    assert opened() == 0
    assert [s.image.tobytes() for s in samples] == [picture(i).tobytes() for i in range(40)]
    assert opened() == 0


@pytest.mark.parametrize("target", [ObliviousTarget, MemorizingTarget])
def test_a_run_has_no_more_images_decoded_than_it_works_on(folder: Path, target: Any) -> None:
    samples = load_samples(folder)
    queries = plan_queries(samples, [s.caption for s in samples], 1, 0)
    encoder = Watchful()
    generator = MemorizingTarget(samples) if target is MemorizingTarget else target((8, 8))
    LocalEngine().run(
        Task(generator, ReconstructionSimilarity(encoder, "cosine", "channel"), 4),
        queries,
        Store(None),
        lambda _: None,
    )
    assert 0 < encoder.most <= 8  # four queries, four answers
    assert opened() == 0


def test_features_that_are_remembered_open_no_file(folder: Path) -> None:
    asked = ImagesByDigest(load_samples(folder))
    features = FeatureCache(Watchful())
    first = features.encode(asked, {})
    for file in folder.glob("*.png"):
        file.unlink()
    again = features.encode(asked, {})
    assert all((again[digest] == first[digest]).all() for digest in asked)


def test_a_sample_is_sent_with_its_file(folder: Path) -> None:
    """A Ray worker on another machine sees no file of ours."""
    sample = load_samples(folder)[3]
    digest = sample.digest
    sent = pickle.dumps(sample)
    assert len(sent) < (folder / "3.png").stat().st_size + 1000
    for file in folder.iterdir():
        file.unlink()
    there = pickle.loads(sent)
    assert there == sample
    assert hash(there) == hash(sample)
    assert there.image.tobytes() == picture(3).tobytes()
    assert (there.digest, there.facts) == (digest, sample.facts)
    with pytest.raises(SampleError, match=r"3\.png .named by .*metadata\.jsonl:4. cannot be read"):
        pickle.dumps(sample)


def test_an_image_that_changes_under_an_audit_is_an_error(folder: Path) -> None:
    sample = load_samples(folder)[3]
    assert sample.digest
    picture(3).save(folder / "3.png", compress_level=0)
    assert sample.image  # another file, the same picture
    picture(4).save(folder / "3.png")
    with pytest.raises(SampleError, match=r"3\.png .*metadata\.jsonl:4. has changed since"):
        assert sample.image
    (folder / "3.png").unlink()
    with pytest.raises(SampleError, match=r"3\.png .* cannot be read .*No such file"):
        assert sample.image


def test_an_unreadable_image_is_found_before_anything_is_generated(folder: Path) -> None:
    samples = load_samples(folder)
    (folder / "7.png").write_bytes(b"no picture")
    said = r"7\.png .named by .*metadata\.jsonl:8. cannot be read as an image"
    with pytest.raises(SampleError, match=said):
        check_set("members", samples)
    with pytest.raises(SampleError, match=said):
        check_disjoint("members", samples[:20], "non_members", samples[20:])


def test_an_opener_is_anything_that_opens(folder: Path) -> None:
    calls = []

    def opener() -> Image.Image:
        calls.append(1)
        return Image.open(folder / "5.png")

    sample = Sample(opener, "x", id="five")
    assert not calls
    assert sample.digest == sample.digest == Sample(picture(5), "x").digest
    assert len(calls) == 1
    assert Sample(opener, "x").id == Sample(picture(5), "x").id
    assert sample.facts.format == "PNG"
    with pytest.raises(SampleError, match="image of sample 'six' cannot be read as an image"):
        assert Sample(lambda: 6, "x", id="six").digest  # type: ignore[arg-type, return-value]


def test_a_sample_cannot_be_changed() -> None:
    sample = Sample(picture(0), "x", id="zero")
    with pytest.raises(FrozenInstanceError):
        sample.caption = "y"  # type: ignore[misc]
    assert sample.image is sample.image
    assert sample != Sample(picture(1), "x", id="zero")
    assert repr(sample) == "Sample(id='zero')"  # a traceback shows it, and nobody's caption


def test_a_damaged_exif_block_is_no_error(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    cut = b"Exif\0\0MM\0*\0\0\0\x08\0\xff\x01\x12"
    picture(0).save(tmp_path / "0.jpg", exif=cut)
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "0.jpg", "text": "x"}')
    (sample,) = load_samples(tmp_path)
    assert sample.image.size == (SIDE, SIDE)
    assert sample.facts.has_exif
    assert not recwarn.list
