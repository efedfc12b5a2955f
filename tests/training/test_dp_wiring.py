"""The wiring check finds the faults that training loops are reported to have, and no others."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from privaudit.errors import SettingError
from privaudit.training import DifferentialPrivacy, check_dp_sgd
from privaudit.training.dp_sgd import PrivateOptimizer

if TYPE_CHECKING:
    from collections.abc import Iterator

N, BATCH, NORM, NOISE = 64, 8, 0.7, 1.5
CLAIM: dict[str, Any] = {"max_grad_norm": NORM, "noise_multiplier": NOISE, "batch_size": BATCH}
DRAWS = torch.Generator().manual_seed(0)
WORDS = torch.randint(0, 20, (N,), generator=DRAWS)
INPUTS = torch.randn(N, 12, generator=DRAWS) * 3
LABELS = torch.randn(N, 1, generator=DRAWS)


class Model(nn.Module):
    """A word and some numbers to one number."""

    device = torch.device("cpu")

    def __init__(self, *, normalised: bool = False) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 16)
        self.inner = nn.Linear(12, 16)
        self.norm = nn.BatchNorm1d(16) if normalised else nn.Identity()
        self.outer = nn.Linear(16, 1)

    def forward(self, words: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        return self.outer(torch.tanh(self.norm(self.inner(inputs) + self.words(words))))


def model(**options: Any) -> Model:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Model(**options)


def errors(net: nn.Module, batch: list[int]) -> torch.Tensor:
    return (net(WORDS[batch], INPUTS[batch]) - LABELS[batch]).square().mean(dim=1)


def of_each(net: nn.Module, batch: list[int]) -> list[list[torch.Tensor]]:
    """Gradients of each sample's error; batch statistics, if there are any, are the batch's."""
    if not batch:
        return []
    found = errors(net, batch)
    parameters = list(net.parameters())
    return [list(torch.autograd.grad(one, parameters, retain_graph=True)) for one in found]


def clipped(gradients: list[torch.Tensor], only: int | None = None) -> list[torch.Tensor]:
    norm = torch.stack([g.norm() for g in gradients[only:]]).norm()
    factor = min(1.0, NORM / float(norm))
    return [g if only and i < only else g * factor for i, g in enumerate(gradients)]


class Loop:
    """DP-SGD by hand, with one fault at most."""

    def __init__(self, fault: str | None = None) -> None:
        self.fault = fault

    def __call__(self, batches: list[list[int]], seed: int) -> list[list[torch.Tensor]]:
        net = model(normalised=str(self.fault).startswith("batch statistics"))
        average = copy.deepcopy(net)
        noise = torch.Generator().manual_seed(seed)
        steps = []
        for batch in batches:
            before = [p.detach().clone() for p in average.parameters()]
            if self.fault == "reused noise":
                noise = torch.Generator().manual_seed(seed)
            update = self.update(net, batch, noise)
            with torch.no_grad():
                for weight, kept, change in zip(
                    net.parameters(), average.parameters(), update, strict=True
                ):
                    if self.fault == "average of unnoised weights":
                        kept.sub_(change[0])
                        weight.sub_(change[1])
                    else:
                        weight.sub_(change)
                        kept.copy_(weight)
            steps.append(
                [b - p.detach() for b, p in zip(before, average.parameters(), strict=True)]
            )
        return steps

    def update(self, net: Model, batch: list[int], noise: torch.Generator) -> list[Any]:
        fault = self.fault
        if fault == "batch statistics" and len(batch) == 1:
            each = of_each(net.eval(), batch)
        else:
            each = of_each(net.train(), batch)
        zeros = [torch.zeros_like(p) for p in net.parameters()]
        if fault == "clipped after averaging" and each:
            mean = [torch.stack(parts).mean(0) for parts in zip(*each, strict=True)]
            total = [part * len(each) for part in clipped(mean)]
        else:
            # Without the embedding, whose gradient is the first.
            own = [clipped(g, 1 if fault == "unclipped embedding" else None) for g in each]
            total = [
                sum(parts, zeros[i]) for i, parts in enumerate(zip(*own, strict=True))
            ] or zeros
        divisor = float(BATCH)
        if fault == "mean over the actual batch":
            divisor = max(len(batch), 1)
        times = 1
        if fault == "noise for each part":
            times = max(1, -(-len(batch) // 4))
        spread = NORM * NOISE * times**0.5
        if fault == "noise without the norm":
            spread = NOISE * (NORM**2)
        if fault == "noise on the mean twice":
            spread = spread / BATCH
        if fault == "no step for an empty batch" and not batch:
            spread = 0.0
        drawn = [spread * torch.randn(z.shape, generator=noise) for z in zeros]
        if fault == "one noise for all weights":
            line = spread * torch.randn(400, generator=noise)
            drawn = [line[: z.numel()].reshape(z.shape) for z in zeros]
        noisy = [(t + d) / divisor for t, d in zip(total, drawn, strict=True)]
        if fault == "unnoised bias":
            noisy[2] = total[2] / divisor
        if fault == "average of unnoised weights":
            return [(t / divisor, n) for t, n in zip(total, noisy, strict=True)]
        return noisy


def plain_gradient(sample: int) -> list[torch.Tensor]:
    return of_each(model(), [sample])[0]


def poisson(seed: int) -> Iterator[list[int]]:
    draws = torch.Generator().manual_seed(seed)
    while True:
        yield torch.nonzero(torch.rand(N, generator=draws) < BATCH / N).flatten().tolist()


def shuffled(seed: int) -> Iterator[list[int]]:
    draws = torch.Generator().manual_seed(seed)
    while True:
        for part in torch.split(torch.randperm(N, generator=draws), BATCH):
            yield part.tolist()


def replaced(seed: int) -> Iterator[list[int]]:
    draws = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randint(0, N, (BATCH,), generator=draws).tolist()


def test_a_loop_without_a_fault_has_none() -> None:
    assert not check_dp_sgd(Loop(), N, gradient=plain_gradient, batches=poisson, **CLAIM)


@pytest.mark.parametrize(
    ("fault", "check", "why"),
    [
        ("noise without the norm", "noise", "too little noise"),
        ("noise on the mean twice", "noise", "too little noise"),
        ("no step for an empty batch", "noise", "no noise at all"),
        ("unnoised bias", "noise", "weight 2"),
        ("noise for each part", "noise", "more noise than claimed"),
        ("reused noise", "noise", "two steps share"),
        ("one noise for all weights", "noise", "two weights share"),
        ("average of unnoised weights", "noise", "added to what is released"),
        ("unclipped embedding", "clipping", "is not bounded"),
        ("clipped after averaging", "independence", "clipping after averaging"),
        ("batch statistics", "independence", "batch normalisation"),
        ("batch statistics of two at least", "independence", "raises ValueError"),
        ("mean over the actual batch", "independence", "mean over the actual batch"),
    ],
)
def test_a_planted_fault_is_found(fault: str, check: str, why: str) -> None:
    found = check_dp_sgd(Loop(fault), N, **CLAIM)
    assert check in {one.check for one in found}
    assert any(why in str(one) for one in found)


@pytest.mark.parametrize(
    ("batches", "why"),
    [(shuffled, "a shuffled loader of fixed batches"), (replaced, "twice in one batch")],
)
def test_batches_that_are_no_poisson_samples_are_found(batches: Any, why: str) -> None:
    found = check_dp_sgd(Loop(), N, batches=batches, **CLAIM)
    assert [one.check for one in found] == ["sampling"]
    assert why in str(found[0])


def test_a_claim_of_another_batch_size_is_found() -> None:
    claim = CLAIM | {"batch_size": 2 * BATCH}
    found = check_dp_sgd(Loop(), N, batches=poisson, scale=1 / BATCH, **claim)
    assert any("mean batch size" in str(one) for one in found)


def test_passes_that_are_counted_once_are_found() -> None:
    """A loss of two passes, of which the loop counts one."""

    def both(sample: int) -> list[torch.Tensor]:
        return [g * 0.001 for g in plain_gradient(sample)]

    found = check_dp_sgd(Loop(), N, gradient=both, **CLAIM)
    assert [one.check for one in found] == ["gradients"]


@pytest.mark.parametrize("physical", [pytest.param(None, marks=pytest.mark.slow), 3])
@pytest.mark.slow
def test_our_own_loop_has_no_fault(physical: int | None) -> None:
    """Opacus, as ``finetune`` uses it, with and without virtual steps."""
    privacy = DifferentialPrivacy(8.0, 1e-3, NORM, physical, noise_seed=0)

    def steps(batches: list[list[int]], seed: int) -> list[list[torch.Tensor]]:
        net = model()
        chosen = DifferentialPrivacy(8.0, 1e-3, NORM, physical, noise_seed=seed)
        private = PrivateOptimizer(net, torch.optim.SGD(net.parameters(), 1.0), chosen, N, BATCH, 9)
        found = []
        for batch in batches:
            before = [p.detach().clone() for p in net.parameters()]
            private.step(
                lambda part: errors(private.model, part.tolist()).mean(), torch.tensor(batch)
            )
            after = [p.detach().clone() for p in net.parameters()]
            found.append([b - a for b, a in zip(before, after, strict=True)])
        return found

    net = model()
    private = PrivateOptimizer(net, torch.optim.SGD(net.parameters(), 1.0), privacy, N, BATCH, 9)
    claim = CLAIM | {"noise_multiplier": private.noise_multiplier}
    assert not check_dp_sgd(
        steps,
        N,
        gradient=plain_gradient,
        batches=lambda _: (batch.tolist() for batch in private.batches()),
        **claim,
    )
    half = claim | {"noise_multiplier": 2 * private.noise_multiplier}
    assert check_dp_sgd(steps, N, **half)[0].check == "noise"


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"max_grad_norm": 0}, "max_grad_norm=0 is not"), ({"batch_size": -1}, "batch_size=-1")],
)
def test_numbers_out_of_range(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        check_dp_sgd(Loop(), N, **CLAIM | changes)
    with pytest.raises(SettingError, match="n_samples=3"):
        check_dp_sgd(Loop(), 3, **CLAIM)
