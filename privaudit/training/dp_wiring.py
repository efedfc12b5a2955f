"""Is a DP-SGD training loop wired as its accountant believes? Asked of the loop, not of an attack.

DP-SGD (Abadi et al. 2016, algorithm 1) promises an ε only if each sample's gradient is clipped by
itself, the noise has the spread that the accountant was told, is drawn anew in each step for each
weight, and batches are Poisson samples. Loops that break one of these train as well, and say the
same ε.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import stats

from privaudit.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    Steps = Callable[[list[list[int]], int], list[list[torch.Tensor]]]
    """From batches of indices and the seed of the noise to what each step took off each weight."""

__all__ = ["WiringFault", "check_dp_sgd"]

SEEDS = 8
"""Draws of the noise that a spread is estimated from."""
LEVEL = 1e-4
"""Probability that a loop without a fault is blamed for one by one of the random checks."""
SPREAD_TOLERANCE = 0.02
"""Relative error of the noise that is let pass, beside what chance explains."""
ROUNDING = 2e-3
"""Relative error of sums of gradients that float32 explains."""
COMPARED = 32
"""Least size of two weights whose noise is compared."""
EPOCHS = 400
"""Batches that sampling is judged by."""


@dataclass(frozen=True)
class WiringFault:
    """One way in which a loop is not the mechanism that its accountant counts.

    Attributes
    ----------
    check
        ``"noise"``, ``"clipping"``, ``"independence"``, ``"gradients"`` or ``"sampling"``.
    measured, expected
        The number, and what it should be.
    message
        What it means, and what is usually wrong.
    """

    check: str
    measured: float
    expected: float
    message: str

    def __str__(self) -> str:
        return f"{self.check}: {self.measured:.4g}, not {self.expected:.4g}: {self.message}"


def check_dp_sgd(
    steps: Steps,
    n_samples: int,
    *,
    max_grad_norm: float,
    noise_multiplier: float,
    batch_size: int,
    gradient: Callable[[int], Sequence[torch.Tensor]] | None = None,
    batches: Callable[[int], Iterable[Sequence[int]]] | None = None,
    scale: float | None = None,
) -> tuple[WiringFault, ...]:
    """Check a training loop against the mechanism that its ε is computed for.

    Parameters
    ----------
    steps
        ``steps(batches, seed)`` runs one training step for each batch, one after the other and
        always from the same initial weights, with plain SGD at a learning rate of 1. A batch is a
        list of indices of samples, and may be empty. It returns, for each step, what the step
        took off each weight that is released: with an average of weights, off the average. The
        seed is the privacy noise's alone: whatever else is random (timesteps, dropout) must be
        the same for a sample in all calls.
    n_samples
        Size of the training set.
    max_grad_norm
        L2 norm that each sample's gradient is clipped to.
    noise_multiplier
        Standard deviation of the noise over ``max_grad_norm``.
    batch_size
        Expected size of a batch.
    gradient
        ``gradient(i)`` returns the gradient of one sample's loss at the initial weights, by an
        ordinary backward pass.
    batches
        ``batches(seed)`` yields batches as training draws them.
    scale
        What a sum of clipped gradients is multiplied by to become an update; by default one over
        ``batch_size``.

    Returns
    -------
    tuple of WiringFault
        Empty if nothing is wrong: ``assert not check_dp_sgd(…)`` is a test.

    Raises
    ------
    SettingError
        If there are fewer than 4 samples, or a number is not positive.

    Examples
    --------
    A sum of clipped gradients, with the noise that it claims, and one with half of it:

    >>> data = torch.randn(50, 200, generator=torch.Generator().manual_seed(0))
    >>> clipped = torch.nn.functional.normalize(data)
    >>> def training(spread):
    ...     def steps(batches, seed):
    ...         noise = torch.Generator().manual_seed(seed)
    ...         return [
    ...             [(clipped[b].sum(0) + spread * torch.randn(200, generator=noise)) / 10]
    ...             for b in batches
    ...         ]
    ...     return steps
    >>> claim = {"max_grad_norm": 1.0, "noise_multiplier": 2.0, "batch_size": 10}
    >>> check_dp_sgd(training(2.0), 50, **claim)
    ()
    >>> [fault.check for fault in check_dp_sgd(training(1.0), 50, **claim)]
    ['noise', 'noise']
    """
    numbers = {
        "max_grad_norm": max_grad_norm,
        "noise_multiplier": noise_multiplier,
        "batch_size": batch_size,
    }
    for name, value in numbers.items():
        if not (math.isfinite(value) and value > 0):
            msg = f"{name}={value!r} is not a positive number: give what the accountant was told"
            raise SettingError(msg)
    if n_samples < 4:
        msg = f"n_samples={n_samples} is below 4: a wiring check adds and removes samples"
        raise SettingError(msg)
    loop = _Loop(steps, (1 / batch_size) if scale is None else scale, max_grad_norm)
    most = list(range(min(n_samples - 1, 2 * batch_size)))
    try:
        faults = _noise(loop, noise_multiplier * max_grad_norm, most)
        faults += _contributions(loop, most, n_samples)
        if gradient is not None:
            faults += _gradients(loop, gradient, most)
    except _StepError as error:
        return (error.fault,)
    if batches is not None:
        faults += _sampling(batches, n_samples, batch_size)
    return tuple(faults)


class _StepError(Exception):
    def __init__(self, fault: WiringFault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class _Loop:
    """The user's loop, in units of sums of clipped gradients."""

    def __init__(self, steps: Steps, scale: float, max_grad_norm: float) -> None:
        self._steps, self._scale = steps, scale
        self.max_grad_norm = max_grad_norm

    def sums(self, batches: list[list[int]], seed: int) -> list[list[NDArray[np.float64]]]:
        """Return, for each step and weight, the noisy sum of clipped gradients."""
        try:
            steps = self._steps(batches, seed)
        except Exception as error:
            smallest = min(map(len, batches))
            why = (
                f"a step on {smallest} samples raises {type(error).__name__} ({error}): a Poisson "
                "sample may have any size, one and none too; batch statistics need more"
            )
            fault = WiringFault("independence", float("nan"), 0.0, why)
            raise _StepError(fault) from error
        return [
            [
                weight.detach().to("cpu", torch.float64).numpy().ravel() / self._scale
                for weight in step
            ]
            for step in steps
        ]

    def sum(self, batch: list[int], seed: int = 0) -> NDArray[np.float64]:
        """Return all weights' sums of one step, one after another."""
        [step] = self.sums([batch], seed)
        return np.concatenate(step)

    def contribution(self, sample: int, others: list[int]) -> NDArray[np.float64]:
        """Return what a sample adds to a batch of others, under the same noise."""
        with_it: NDArray[np.float64] = self.sum([*others, sample])
        return with_it - self.sum(others)


def _noise(loop: _Loop, expected: float, most: list[int]) -> list[WiringFault]:
    """Judge the spread of the noise by weight and batch, and whether it is drawn anew."""
    faults = []
    for name, batch in (("an empty batch", []), ("a large batch", most)):
        drawn = [loop.sums([batch], seed)[0] for seed in range(SEEDS)]
        for number, weight in enumerate(zip(*drawn, strict=True)):
            spread = float(np.var(np.stack(weight), axis=0, ddof=1).mean())
            degrees = (SEEDS - 1) * weight[0].size
            low, high = stats.chi2.ppf([LEVEL / 2, 1 - LEVEL / 2], degrees) / degrees
            ratio = math.sqrt(spread) / expected
            if not math.sqrt(low) * (1 - SPREAD_TOLERANCE) <= ratio:
                why = (
                    "no noise at all: is the noise added to what is released?"
                    if ratio < SPREAD_TOLERANCE
                    else "too little noise for the claim: it must be noise_multiplier times "
                    "max_grad_norm on the sum, once, and independent of the batch"
                )
            elif not ratio <= math.sqrt(high) * (1 + SPREAD_TOLERANCE):
                why = "more noise than claimed: is it added once for each part of a batch?"
            else:
                continue
            what = f"standard deviation on weight {number} for {name}, {why}"
            faults.append(WiringFault("noise", ratio * expected, expected, what))
            break  # of many weights that share a fault one is enough
    return faults or _reused(loop)


def _reused(loop: _Loop) -> list[WiringFault]:
    first, second = loop.sums([[], []], 0)
    bound = stats.norm.ppf(1 - LEVEL / 2)
    after = _correlation(np.concatenate(first), np.concatenate(second))
    size = sum(weight.size for weight in first)
    if abs(after) > bound / math.sqrt(size):
        why = "two steps share their noise: draw it anew, never from a seed that is set in the loop"
        return [WiringFault("noise", after, 0.0, f"correlation of two steps, {why}")]
    for one, two in itertools.combinations([w for w in first if w.size >= COMPARED], 2):
        shared = min(one.size, two.size)
        between = _correlation(one[:shared], two[:shared])
        if abs(between) > stats.norm.ppf(1 - LEVEL / len(first) ** 2) / math.sqrt(shared):
            why = "two weights share their noise: draw it for each"
            return [WiringFault("noise", between, 0.0, f"correlation of two weights, {why}")]
    return []


def _correlation(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    return float(one @ two / math.sqrt((one @ one) * (two @ two)))


def _contributions(loop: _Loop, most: list[int], n_samples: int) -> list[WiringFault]:
    """Judge what a sample adds: never more than the norm, and the same whoever else is there."""
    limit = loop.max_grad_norm
    largest, furthest = 0.0, 0.0
    for sample in {most[0], most[len(most) // 2], n_samples - 1}:
        others = [i for i in most if i != sample]
        alone = loop.contribution(sample, [])
        for company in (others[:1], others):
            along = loop.contribution(sample, company)
            largest = max(largest, _norm(alone), _norm(along))
            furthest = max(furthest, _norm(along - alone))
    faults = []
    if not largest <= limit * (1 + ROUNDING):
        why = (
            "what one sample changes is not bounded: clip each sample's gradient, over all weights "
            "together, before summing"
        )
        faults.append(WiringFault("clipping", largest, limit, why))
    if not furthest <= limit * ROUNDING:
        why = (
            "what a sample adds depends on who else is in its batch: look for batch "
            "normalisation, a mean over the actual batch, or clipping after averaging"
        )
        faults.append(WiringFault("independence", furthest, 0.0, why))
    return faults


def _gradients(
    loop: _Loop, gradient: Callable[[int], Sequence[torch.Tensor]], most: list[int]
) -> list[WiringFault]:
    """Compare what a sample adds with its own gradient, clipped."""
    worst = 0.0
    for sample in most[:3]:
        own = np.concatenate(
            [part.detach().to("cpu", torch.float64).numpy().ravel() for part in gradient(sample)]
        )
        clipped = own * min(1.0, loop.max_grad_norm / max(_norm(own), 1e-12))
        worst = max(worst, _norm(loop.contribution(sample, []) - clipped))
    if worst <= loop.max_grad_norm * 5 * ROUNDING:
        return []
    why = "what a sample adds is not its clipped gradient: are all of its passes counted?"
    return [WiringFault("gradients", worst, 0.0, why)]


def _sampling(
    batches: Callable[[int], Iterable[Sequence[int]]], n_samples: int, batch_size: int
) -> list[WiringFault]:
    """Judge batches by their sizes and by what is drawn twice: Poisson samples or not."""
    drawn = [list(batch) for batch in itertools.islice(batches(0), EPOCHS)]
    rate = batch_size / n_samples
    sizes = np.array([len(batch) for batch in drawn])
    mean, variance = n_samples * rate, n_samples * rate * (1 - rate)
    faults: list[WiringFault] = []
    if any(count > 1 for batch in drawn for count in Counter(batch).values()):
        why = "a sample is twice in one batch: sampling with replacement has another accountant"
        return [WiringFault("sampling", 2.0, 1.0, why)]
    if abs(sizes.mean() - mean) > stats.norm.ppf(1 - LEVEL / 2) * math.sqrt(variance / len(sizes)):
        why = "the mean batch size is not what the accountant was told"
        faults.append(WiringFault("sampling", float(sizes.mean()), mean, why))
    degrees = len(sizes) - 1
    low, high = stats.chi2.ppf([LEVEL / 2, 1 - LEVEL / 2], degrees) / degrees
    if not low <= sizes.var(ddof=1) / variance <= high:
        why = (
            "batch sizes do not vary as Poisson samples' do: a shuffled loader of fixed batches "
            "has a larger ε than the accountant says"
        )
        faults.append(WiringFault("sampling", float(sizes.var(ddof=1)), variance, why))
    return faults


def _norm(vector: NDArray[Any]) -> float:
    return float(np.linalg.norm(vector))
