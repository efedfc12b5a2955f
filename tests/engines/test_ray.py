"""The Ray engine on real clusters of this machine: the same record, also when a node is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from PIL import Image
from ray.cluster_utils import Cluster

from privaudit import AuditInputs, AuditSettings, PipelineTarget
from privaudit.encoders import as_encoder
from privaudit.engines.pace import Pace
from privaudit.engines.ray import RayEngine
from privaudit.engines.task import Task
from privaudit.errors import EngineError, GeneratorError
from privaudit.measurements import ReconstructionSimilarity
from privaudit.store import Store
from privaudit.targets import Capabilities, Query, as_target
from privaudit.testing import ObliviousTarget
from tests.parts.audit_folder import AuditFolder
from tests.parts.audits import one_result
from tests.parts.documents import findings
from tests.parts.encoders import PixelEncoder, tiny_vit
from tests.parts.pipelines import tiny_pipeline

pytestmark = pytest.mark.slow
SETTINGS = AuditSettings(duplicate_limit=2.0, batch_size=16)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that runs nothing, and two nodes with one processor each."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    made.nodes = [made.add_node(num_cpus=1) for _ in range(2)]
    made.wait_for_nodes()
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


def ingredients(emoji: dict[str, Any], model: Any, encoder: Any, n: int = 40) -> AuditInputs:
    return AuditInputs(
        target_model=model,
        members=emoji["member"][:n],
        non_members=emoji["non_member"][:n],
        image_encoder=encoder,
    )


class Failing(ObliviousTarget):
    """Draws pictures, but for one prompt, with which it does something else."""

    capabilities = Capabilities(ignores_prompts=True)

    def __init__(self, prompt: str, *, dies: bool) -> None:
        super().__init__()
        self.prompt, self.dies = prompt, dies

    def generate(self, prompts: Any, seeds: Any) -> list[Image.Image]:
        if self.prompt in prompts:
            if self.dies:
                os._exit(1)
            msg = "no picture of that"
            raise ValueError(msg)
        return super().generate(prompts, seeds)


def test_what_a_model_raises_on_a_worker_is_raised_here(
    cluster: Any, emoji: dict[str, Any], tmp_path: Path
) -> None:
    model = as_target(Failing(emoji["member"][7].caption, dies=False))
    given = ingredients(emoji, model, PixelEncoder())
    said = "Failing raised ValueError on a batch of 16 queries, .* no picture of that"
    with pytest.raises(GeneratorError, match=said):
        one_result("I", "threshold", given, SETTINGS, Store(tmp_path), RayEngine())


class Trickling(ObliviousTarget):
    """Answers one query after the other, until the line goes dead."""

    capabilities = Capabilities(ignores_prompts=True)

    def answer(self, queries: Any) -> Any:
        for i, query in enumerate(queries):
            if i == 2:
                msg = "the line went dead"
                raise ConnectionError(msg)
            yield from super().answer([query])


@pytest.mark.usefixtures("cluster")
def test_what_a_worker_drew_before_a_failure_is_kept(emoji: dict[str, Any], tmp_path: Path) -> None:
    queries = [Query(emoji["member"][0], f"prompt {i}", 0, i) for i in range(8)]
    task = Task(Trickling(), ReconstructionSimilarity(PixelEncoder(), "cosine", "channel"), 8)
    made: list[int] = []
    engine = RayEngine()
    with pytest.raises(GeneratorError, match=r"ConnectionError on a batch of 8 .*line went dead"):
        engine.run(task, queries, Store(tmp_path), made.append)
    engine.close()
    assert made == [2]
    assert Store(tmp_path).usage()["images"][0] == 2


def test_a_batch_that_kills_its_workers_ends_the_audit_and_keeps_the_rest(
    cluster: Any, emoji: dict[str, Any], tmp_path: Path
) -> None:
    given = ingredients(
        emoji, as_target(Failing(emoji["non_member"][39].caption, dies=True)), PixelEncoder()
    )
    engine = RayEngine()
    with pytest.raises(EngineError, match="3 workers died of one batch of 16 queries"):
        one_result("I", "threshold", given, SETTINGS, Store(tmp_path), engine)
    assert engine.n_lost == 3
    kept = Store(tmp_path).usage()["images"][0]
    assert kept >= 16
    # The same answers on the same store, without what kills: only the rest is made.
    made: list[int] = []
    healthy = replace(given, target_model=as_target(Failing("", dies=True)))
    ended = one_result("I", "threshold", healthy, SETTINGS, Store(tmp_path), engine, made.append)
    assert sum(made) == 240 - kept
    assert ended == one_result("I", "threshold", healthy, SETTINGS, Store(None))


class Small(ObliviousTarget):
    """Draws pictures, up to twenty at once, and writes down how many it was asked for."""

    capabilities = Capabilities(ignores_prompts=True)

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file

    def generate(self, prompts: Any, seeds: Any) -> list[Image.Image]:
        with self.file.open("a") as file:
            file.write(f"{len(prompts)}\n")
        if len(prompts) > 20:
            raise MemoryError
        return super().generate(prompts, seeds)


def test_the_batch_size_is_found_by_all_workers_together(
    cluster: Any, emoji: dict[str, Any], tmp_path: Path
) -> None:
    given = ingredients(emoji, as_target(Small(tmp_path / "sizes")), PixelEncoder())
    found = SETTINGS.replace(batch_size=None)
    made: list[int] = []
    store = Store(tmp_path / "store")
    engine = RayEngine()
    spread = one_result("I", "threshold", given, found, store, engine, made.append)
    assert engine.speedup == 2 / torch.get_num_threads()
    assert sum(made) == 240
    assert made[:3] == [16] * 3
    # Both workers may be at a batch of 32 before the first of them tells that it has no room.
    assert set(made) == {16, 32}
    assert made.count(32) <= 2
    sizes = (tmp_path / "sizes").read_text().split()
    assert sizes.count("32") == made.count(32)
    pace = Pace.read(store, given.target_model.fingerprint)
    assert pace is not None
    assert pace.batch_size == 16
    assert spread == one_result("I", "threshold", given, SETTINGS, Store(None))


def test_an_audit_that_loses_a_node_midway_ends_with_the_same_record(
    cluster: Any, emoji: dict[str, Any], tmp_path: Path
) -> None:
    pipeline = PipelineTarget(tiny_pipeline(), num_inference_steps=20)
    given = ingredients(emoji, pipeline, as_encoder(tiny_vit(), device="cpu"))
    engine = RayEngine()
    assert engine.n_workers == 2
    made: list[int] = []

    def progress(n: int) -> None:
        made.append(n)
        if len(made) == 3:
            cluster.remove_node(cluster.nodes[1], allow_graceful=False)

    spread = one_result("I", "threshold", given, SETTINGS, Store(tmp_path), engine, progress)
    assert sum(made) == 240
    assert engine.n_lost == 1  # it was at work on a batch
    assert spread == one_result("I", "threshold", given, SETTINGS, Store(None))
    assert Store(tmp_path).usage()["images"][0] == 240


@pytest.mark.usefixtures("cluster")
def test_an_engine_that_cannot_reach_its_cluster_says_so() -> None:
    ray.shutdown()
    with pytest.raises(EngineError, match=r"'127.0.0.1:1' cannot be reached .*privaudit-engine"):
        RayEngine("127.0.0.1:1")


def test_the_plugin_runs_on_ray_with_what_an_audit_file_defines(plain_folder: AuditFolder) -> None:
    plain_folder.write(
        """
class Drawing(privaudit.testing.MemorizingTarget):
    capabilities = privaudit.targets.Capabilities()

@pytest.fixture(scope="session")
def target_model(members):
    return Drawing(members)

def test_leak(membership_attack):
    pass
"""
    )
    options = ["--privaudit-scenarios=I,III", "--privaudit-json=out.json"]
    files = []
    for engine in (["--privaudit-engine=ray?workers=2"], []):
        result = plain_folder.run(*options, *engine, subprocess=True)
        result.assert_outcomes(failed=6)
        files.append(findings(plain_folder.path / "out.json"))
        assert any((plain_folder.path / "store" / "images").rglob("*.png"))
        Store(plain_folder.path / "store").clear()
    assert files[0] == files[1]


def test_a_module_beside_the_audit_file_is_found_by_workers(plain_folder: AuditFolder) -> None:
    """pytest runs in the folder above: only its own path has the module's folder."""
    inner = plain_folder.path / "audits"
    inner.mkdir()
    (inner / "drawing.py").write_text(
        "import privaudit\n\n"
        "class Drawing(privaudit.testing.MemorizingTarget):\n"
        "    capabilities = privaudit.targets.Capabilities()\n"
    )
    plain_folder.write(
        """
@pytest.fixture(scope="session")
def target_model(members):
    from drawing import Drawing

    return Drawing(members)

def test_leak(membership_attack):
    pass
"""
    )
    (plain_folder.path / "test_model.py").rename(inner / "test_model.py")
    options = ["--privaudit-scenarios=I", "--privaudit-attacks=threshold"]
    ray_options = ["--privaudit-engine=ray?workers=1"]
    result = plain_folder.run(*options, *ray_options, "audits", subprocess=True)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*: FAIL*"])
