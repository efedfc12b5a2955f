"""Pictures handed in over HTTP: a real service on a real socket."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

import privaudit
from privaudit.errors import EndpointError
from privaudit.targets.endpoint import Endpoint
from privaudit.targets.image_to_image import varied
from privaudit.targets.queries import portable_seed
from tests.parts.endpoints import EXTRA, endpoint, queries
from tests.parts.services import Service


def handed(target: Endpoint, n: int = 3) -> list[Image.Image]:
    asked = queries(n)
    images = [Image.new("RGB", (16, 16), (40 * i, 90, 200)) for i in range(n)]
    return varied(target, images, [q.prompt for q in asked], [q.seed for q in asked], 0.5)


def test_what_comes_back_is_what_the_model_makes_of_each_picture(service: Service) -> None:
    found = handed(endpoint(service, "automatic1111"))
    for i, query in enumerate(queries()):
        image = Image.new("RGB", (16, 16), (40 * i, 90, 200))
        drawn = service.vary(image, query.prompt, portable_seed(query.seed), 0.5)
        assert found[i].tobytes() == drawn.convert("RGB").tobytes()
    [first, *_] = service.bodies
    assert first["denoising_strength"] == 0.5
    assert (first["width"], first["height"], first["n_iter"]) == (16, 16, 1)


def test_a_picture_keeps_its_size_where_no_other_is_asked_for(service: Service) -> None:
    target = endpoint(service, "automatic1111", size=None)
    [picture] = varied(target, [Image.new("RGB", (16, 32))], ["a fox"], [1 << 40], 0.5)
    assert picture.size == (16, 32)


def test_a_dialect_that_hands_nothing_in_is_an_error_that_asks_nothing(service: Service) -> None:
    with pytest.raises(EndpointError, match=r"OpenAIImages hands no picture in: leave img2img out"):
        handed(endpoint(service, "openai"))
    assert not service.asked


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("refusal", "will not draw picture 2 of 5 handed in anew .* leave its sample out"),
        ("401", "bad key|401"),
        ("size", "8×8 pixels, and 16×16 were asked for"),
    ],
)
def test_after_a_failure_nothing_more_is_asked(service: Service, fault: str, said: str) -> None:
    service.fault = lambda _, prompt: fault if "picture 1," in prompt else None
    with pytest.raises(EndpointError, match=said):
        handed(endpoint(service, "automatic1111", at_once=1), 5)
    assert len(service.asked) == 2


@pytest.mark.slow
def test_an_audit_hands_pictures_in_and_pays_once(
    service: Service, emoji: dict[str, Any], tmp_path: Any
) -> None:
    """A failure in the middle, too, loses no more than was on its way with it."""

    def record() -> Any:
        return privaudit.run_audit(
            endpoint(service, "automatic1111"),
            emoji["member"][:8],
            emoji["non_member"][:8],
            scenarios="I",
            attacks="threshold",
            encoder="efficientnet-lite0",
            img2img=True,
            queries=1,
            duplicate_limit=2,
            store=tmp_path / "store",
        )

    tenth = 16 + EXTRA + 9
    service.fault = lambda number, _: "401" if number == tenth else None
    with pytest.raises(EndpointError, match="401"):
        record()
    service.fault = lambda _number, _prompt: None
    [result] = record().img2img
    assert result.n_queries == 16
    handed_in = [body for body in service.bodies if "init_images" in body]
    assert len(handed_in) - 16 <= 2 == endpoint(service, "automatic1111").batch_size(1)
    asked = len(service.asked)
    assert record().img2img[0].member_scores == result.member_scores
    assert len(service.asked) == asked + 1  # whether it is still the same model
