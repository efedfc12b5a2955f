"""How often a comparison with a baseline errs and finds, in simulation and on real models.

``python benchmarks/regression.py simulated`` prints a table of docs/regression.md through the
functions that an audit decides with. All twelve results, four scenarios of three inference models,
have one true AUC. A sample's scores are correlated: 0.8 within a scenario, 0.4 between two, and
between two models as the column says.

``python benchmarks/regression.py chain --work DIR`` audits a chain of models on the data of audits/
and compares each with the one before: over-fitted, DP-SGD with ε = 8, the same with another seed,
ε = 50, DP-SGD whose noise was forgotten, and over-fitted again. What there is not yet is
fine-tuned, which takes long, and kept in DIR with all images.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from common import show
from scipy.stats import norm

from privaudit.statistics import ResultScores, change_bound, change_reach

if TYPE_CHECKING:
    from collections.abc import Iterator

sys.path.insert(0, str(Path(__file__).parents[1] / "audits"))

SEED = 20261125
SCENARIOS, ATTACKS = 4, 3
WITHIN, BETWEEN = 0.8, 0.4
CONFIDENCE = 0.95
SIZES = (50, 100, 200, 400)
RISES = ((0.55, 0.55), (0.55, 0.60), (0.55, 0.65), (0.55, 0.75))
ALIKE = (0.0, 0.5, 0.9)
"""Correlations of a sample's scores under the two models; the first is also that of others."""


def scores(draws: np.random.Generator, n: int) -> np.ndarray:
    """Draw scores of unit variance of 2n samples, shape (4, 3, 2n)."""
    common = draws.normal(size=(1, 1, 2 * n))
    scenario = draws.normal(size=(SCENARIOS, 1, 2 * n))
    own = draws.normal(size=(SCENARIOS, ATTACKS, 2 * n))
    drawn = math.sqrt(BETWEEN) * common + math.sqrt(WITHIN - BETWEEN) * scenario
    return np.asarray(drawn + math.sqrt(1 - WITHIN) * own)


def result(values: np.ndarray) -> ResultScores:
    """Return one result's scores by sample id, the first half members."""
    n = len(values) // 2
    names = [str(i) for i in range(2 * n)]
    return ResultScores(
        dict(zip(names[:n], values[:n].tolist(), strict=True)),
        dict(zip(names[n:], values[n:].tolist(), strict=True)),
    )


def rise_is_shown(
    draws: np.random.Generator, n: int, aucs: tuple[float, float], alike: float
) -> bool:
    """Draw two audits of the same samples, and tell whether any of the twelve results rose."""
    shared = scores(draws, n)
    both = []
    for auc in aucs:
        drawn = math.sqrt(alike) * shared + math.sqrt(1 - alike) * scores(draws, n)
        drawn[..., :n] += norm.ppf(auc) * math.sqrt(2)
        both.append(drawn)
    level = 1 - (1 - CONFIDENCE) / SCENARIOS
    for old, new in zip(*both, strict=True):
        pairs = {str(k): (result(old[k]), result(new[k])) for k in range(ATTACKS)}
        reach = change_reach(pairs, level)
        if any(change_bound(*pair, reach, lower=True) > 0 for pair in pairs.values()):
            return True
    return False


def simulated(rounds: int) -> None:
    """Print how often a comparison is red."""
    rows = []
    for n in SIZES:
        for aucs in RISES:
            shares = []
            for alike in ALIKE:
                draws = np.random.default_rng([SEED, n, int(100 * alike), int(100 * aucs[1])])
                red = sum(rise_is_shown(draws, n, aucs, alike) for _ in range(rounds))
                shares.append(f"{red / rounds:.1%}")
            rows.append([f"{n} + {n}", *(f"{auc:.2f}" for auc in aucs), rounds, *shares])
    headers = ["samples", "old AUC", "new AUC", "audits", *(f"red, alike {r}" for r in ALIKE)]
    show(rows, headers)


# -- real models


def fine_tuned(work: Path, name: str, epsilon: float, seed: int, steps: int) -> Path:
    """Fine-tune the base's bias terms with DP-SGD as audits/models/dp was, if it is not there."""
    import make_models
    from emoji_sets import MODELS, twemoji
    from privaudit import DifferentialPrivacy, finetune, load_pipeline

    folder = work / name
    if (folder / "unet_biases.safetensors").exists():
        return folder
    tuned = finetune(
        load_pipeline(MODELS / "base", device="cpu"),
        twemoji("member"),
        method="bias",
        steps=steps or make_models.STEPS,
        batch_size=32,
        learning_rate=1.5e-3,
        lr_scheduler="cosine",
        ema_decay=0.995,
        differential_privacy=DifferentialPrivacy(
            epsilon=epsilon, delta=1e-3, max_grad_norm=0.1, noise_seed=seed
        ),
        seed=seed,
    )
    folder.mkdir(parents=True, exist_ok=True)
    tuned.save_biases(folder)
    print(f"{name}: noise multiplier {tuned.noise_multiplier:.3f}", flush=True)
    return folder


@contextlib.contextmanager
def forgotten_noise() -> Iterator[None]:
    """Let DP-SGD clip, account, and add no noise: the fault that a regression check is for."""
    from privaudit.diffusion.dp_sgd import PrivateOptimizer

    made = PrivateOptimizer.__init__

    def forgetful(self: Any, *given: Any, **named: Any) -> None:
        made(self, *given, **named)
        self._optimizer.noise_multiplier = 0.0

    PrivateOptimizer.__init__ = forgetful  # type: ignore[method-assign]
    try:
        yield
    finally:
        PrivateOptimizer.__init__ = made  # type: ignore[method-assign]


def audited(work: Path, name: str, **parts: Any) -> Any:
    """Audit one model as audits/ do, and keep the record."""
    import privaudit
    from emoji_sets import MODELS, twemoji

    encoder = privaudit.load_encoder("efficientnet-lite0", device="cpu")
    base = MODELS / "base"
    return privaudit.run_audit(
        privaudit.SavedPipeline(base, device="cpu", **parts),
        twemoji("member"),
        twemoji("non_member"),
        image_encoder=encoder,
        captioner=privaudit.RetrievalCaptioner.from_pretrained(MODELS / "captioner", encoder),
        shadow=(
            privaudit.SavedPipeline(base, lora=MODELS / "shadow", device="cpu"),
            twemoji("shadow_member"),
            twemoji("shadow_non_member"),
        ),
        name=name,
        max_auc=0.6,
        queries=3,
        num_inference_steps=10,
        guidance_scale=3.0,
        calibration=60,
        batch_size=48,
        store=work / "store",
        json=work / f"{name}.json",
    )


def chain(work: Path, steps: int) -> None:
    """Audit the chain, and print each comparison with the model before."""
    import privaudit
    from emoji_sets import MODELS
    from privaudit.report.terminal import render

    def tuned(name: str, epsilon: float) -> dict[str, Path]:
        return {"biases": fine_tuned(work, name, epsilon, 7, steps)}

    def noiseless(name: str) -> dict[str, Path]:
        with forgotten_noise():
            return tuned(name, 8)

    overfit = {"unet": MODELS / "overfit" / "unet"}
    models: list[tuple[str, Any]] = [
        ("non-private", lambda: overfit),
        ("dp-8", lambda: {"biases": MODELS / "dp"}),
        ("dp-8-other-seed", lambda: {"biases": fine_tuned(work, "dp-8-other-seed", 8, 7, steps)}),
        ("dp-50", lambda: {"biases": fine_tuned(work, "dp-50", 50, 7, steps)}),
        (
            "noise-forgotten",
            lambda: {"biases": fine_tuned(work, "noise-forgotten", None, 7, steps)},
        ),
        ("privacy-switched-off", lambda: overfit),
    ]
    before = None
    for name, parts in models:
        record = audited(work, name, **parts())
        if before is not None:
            compared = privaudit.compare(before, record)
            print(f"\n{before.name} -> {name}: {compared.verdict}")
            print("\n".join(render([compared], [])), flush=True)
        before = record


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["simulated", "chain"])
    parser.add_argument("--rounds", type=int, default=1000, help="audits of each cell")
    parser.add_argument("--work", type=Path, help="folder of models, images and records")
    parser.add_argument("--steps", type=int, default=0, help="of each fine-tune; 0: as audits/")
    given = parser.parse_args()
    if given.what == "simulated":
        simulated(given.rounds)
    elif given.work is None:
        parser.error("chain keeps models and images: name a folder with --work")
    else:
        chain(given.work, given.steps)


if __name__ == "__main__":
    main()
