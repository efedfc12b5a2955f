"""Two sources are told apart without any model, and two halves of one source are not.

``npm pack emoji-datasource-google@16.0.0``, unpack, and
``python benchmarks/blind_baseline.py --noto FOLDER``. Members are Twemoji, non-members are
either the other half of a coin split of Twemoji, or Noto emoji with the captions of their own
package; 20 seeds each.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from common import show

sys.path.insert(0, str(Path(__file__).parents[1] / "audits"))

import emoji_sets
from privaudit import AuditSettings, load_encoder, split_by_coin
from privaudit.audit.validity import blind_baseline, blind_caption_baseline
from privaudit.encoders.base import encode_in_batches

SEEDS = 20
CONFIDENCE = 0.975  # two baselines share 5 %, as in an audit


def main() -> None:
    """Count the seeds in which each pair of sets is called different."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--noto", type=Path, required=True)
    noto = emoji_sets.noto(parser.parse_args().noto)
    limit = AuditSettings().blind_limit
    encoder = load_encoder("efficientnet-lite0", device="cpu")
    twemoji = emoji_sets.twemoji("member") + emoji_sets.twemoji("non_member")
    picked = np.random.default_rng(0).choice(len(noto), len(twemoji), replace=False)

    def features(images: list[Any]) -> np.ndarray:
        return encode_in_batches(encoder, images, 32).mean(axis=1)

    ours = dict(zip((s.id for s in twemoji), features([s.image for s in twemoji]), strict=True))
    theirs = features([noto[i][0] for i in picked])
    their_captions = [noto[i][1] for i in picked]
    counts = {"halves": [0, 0, 0], "sources": [0, 0, 0]}
    for seed in range(SEEDS):
        members, others = split_by_coin(twemoji, seed)
        inside = np.stack([ours[s.id] for s in members])
        chosen = np.random.default_rng(seed).choice(len(theirs), len(others), replace=False)
        for name, outside, captions in (
            ("halves", np.stack([ours[s.id] for s in others]), [s.caption for s in others]),
            ("sources", theirs[chosen], [their_captions[i] for i in chosen]),
        ):
            image = blind_baseline(inside, outside, confidence=CONFIDENCE, seed=seed)
            text = blind_caption_baseline(
                [s.caption for s in members], captions, confidence=CONFIDENCE, seed=seed
            )
            flags = [found is not None and found.low > limit for found in (image, text)]
            for i, flag in enumerate((*flags, any(flags))):
                counts[name][i] += flag
    rows = [
        ["Twemoji and Twemoji", *counts["halves"]],
        ["Twemoji and Noto", *counts["sources"]],
    ]
    headers = ["members and non-members", "by images", "by captions", f"flagged, of {SEEDS}"]
    show(rows, headers)


if __name__ == "__main__":
    main()
