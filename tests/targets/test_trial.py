"""Who may share a batch, where kernels depend on its shape: pictures as a GPU would draw them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from privaudit import PipelineTarget
from privaudit.errors import GeneratorError
from privaudit.targets.trial import TEXTS, Company, company, drawn_in_company, draws_alike
from tests.parts.pipelines import tiny_pipeline

GPU = torch.device("cuda")  # no card is asked for anything


class Card:
    """Draws pictures of a text and a seed, with some noise by the size of the batch."""

    def __init__(self, noise: float = 0.0, padding: float = 0.0, *, mixes: bool = False) -> None:
        self.noise, self.padding, self.mixes, self.calls = noise, padding, mixes, 0

    def __call__(self, prompts: list[str], seeds: list[int], texts: Any = None) -> Any:
        self.calls += 1
        longest = max(len(prompt) for prompt in prompts)
        rows = []
        order = seeds[::-1] if self.mixes else seeds
        for prompt, seed in zip(prompts, order, strict=True):
            own = np.random.default_rng([seed, len(prompt)]).normal(128, 40, (32, 32, 3))
            shape = np.random.default_rng([len(prompts), texts is None]).normal(0, 1, own.shape)
            missing = np.random.default_rng(longest - len(prompt)).normal(0, 1, own.shape)
            padded = self.padding * missing * (longest > len(prompt))
            rows.append(own + self.noise * shape + padded)
        return np.clip(np.round(rows), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("card", "found"),
    [
        (Card(), Company.ANY),
        (Card(noise=0.1), Company.ANY),
        (Card(noise=0.3), Company.ANY),  # a pixel moves by two levels
        (Card(padding=5), Company.ONE_TEXT),
        (Card(noise=0.3, padding=5), Company.ONE_TEXT),
        (Card(noise=0.3, mixes=True), Company.NONE),
        (Card(noise=0.0, mixes=True), Company.NONE),
        (Card(noise=8), Company.NONE),  # that is no noise
    ],
)
def test_noise_of_kernels_is_told_from_padding_and_mixed_rows(card: Card, found: Company) -> None:
    assert company(card, GPU) == found


def test_a_cpu_has_no_noise() -> None:
    quiet, loud = Card(), Card(noise=0.3)
    assert company(quiet, torch.device("cpu")) == Company.ANY
    assert quiet.calls == 4  # no call more than there was
    assert company(loud, torch.device("cpu")) == Company.NONE


def test_who_takes_one_text_alone_is_asked_so() -> None:
    def refuses(prompts: list[str], seeds: list[int], texts: Any = None) -> Any:
        if len(prompts) > 1:
            msg = "one text, please"
            raise GeneratorError(msg)
        return Card()(prompts, seeds, texts)

    assert company(refuses, GPU) == Company.NONE


class Encoded:
    """Stands for texts that are encoded beforehand."""

    def encode(self, prompts: list[str]) -> dict[str, Any]:
        return {"prompt_embeds": prompts}


@pytest.mark.parametrize(("noise", "alike"), [(0.0, True), (0.3, True), (8.0, False)])
def test_encoded_texts_may_differ_by_that_noise(noise: float, alike: bool) -> None:
    assert draws_alike(Card(noise=noise), Encoded(), GPU) is alike  # type: ignore[arg-type]
    only_exact = draws_alike(Card(noise=noise), Encoded(), torch.device("cpu"))  # type: ignore[arg-type]
    assert only_exact is (noise == 0)


def test_a_batch_of_plain_texts_is_drawn_once_for_both_questions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target, sizes = PipelineTarget(tiny_pipeline(), num_inference_steps=2), []
    trial = target._trial

    def counted(prompts: list[str], seeds: list[int], texts: Any = None) -> Any:
        sizes.append((len(prompts), texts is not None))
        return trial(prompts, seeds, texts)

    monkeypatch.setattr(target, "_trial", counted)
    assert target._texts is not None
    assert sizes == [(1, False)] * 3 + [(16, False), (16, True)]
    assert not target._tried


def test_the_trial_has_three_texts_of_which_one_is_long() -> None:
    assert len(TEXTS) == 3
    assert max(map(len, TEXTS)) > 10 * min(map(len, TEXTS))


@pytest.mark.parametrize(
    ("which", "calls"),
    [
        (Company.ANY, [["a1", "b2", "a3"]]),
        (Company.ONE_TEXT, [["a1", "a3"], ["b2"]]),
        (Company.NONE, ["a1", "b2", "a3"]),
    ],
)
def test_each_query_gets_its_own_answer_whatever_shares_its_call(
    which: Company, calls: list[Any]
) -> None:
    heard: list[Any] = []

    def draw(group: Any) -> Any:
        heard.append(group)
        return [one.upper() for one in group] if isinstance(group, list) else group.upper()

    drawn: Any = drawn_in_company(["a1", "b2", "a3"], ["a", "b", "a"], which, draw, draw)
    assert drawn == ["A1", "B2", "A3"]
    assert heard == calls
