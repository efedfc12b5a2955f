"""Checks of the samples: whether members can be distinguished without any model."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import string
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from privaudit.encoders.base import encoder_identity
from privaudit.errors import SampleError
from privaudit.fingerprint import fingerprint_code, fingerprint_values
from privaudit.record import BlindBaseline, BlindFinding, Interval, NearDuplicate
from privaudit.samples import ImagesByDigest
from privaudit.statistics import auc_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from privaudit.audit.sets import AuditSamples, Sets
    from privaudit.encoders import Encoder
    from privaudit.encoders.cache import FeatureCache
    from privaudit.samples import FileFacts, Sample
    from privaudit.settings import AuditSettings
    from privaudit.store import Store

__all__ = [
    "blind_baseline",
    "blind_caption_baseline",
    "blind_test",
    "caption_features",
    "file_features",
    "near_duplicates",
    "sample_features",
    "told_apart",
]


MOST_CHARACTERS = 200
"""Characters that are counted in captions, the most frequent first."""
MOST_KINDS = 50
"""JPEG tables, formats and modes that are features of their own, the most frequent first."""
AT_ONCE = 100
"""Relabellings in memory at one time."""


POOLED_AT_ONCE = 64
LARGEST_SHARE = 0.05
"""Share of the evaluation set that may have a near-duplicate elsewhere."""


class BlindBaselines:
    """What distinguishes members from non-members without the model, each asked once.

    Answers are kept in the store, for all sessions of the same samples and encoder.

    Parameters
    ----------
    samples
        The audit's members and non-members.
    encoder, features
        The image encoder, and what it has encoded already.
    settings, store
        Those of the audit.
    """

    def __init__(
        self,
        samples: AuditSamples,
        encoder: Encoder,
        features: FeatureCache,
        settings: AuditSettings,
        store: Store,
    ) -> None:
        self._samples, self._encoder, self._features = samples, encoder, features
        self._settings, self._store = settings, store

    @functools.cached_property
    def images(self) -> BlindBaseline | None:
        """How well members are told from non-members by their images alone."""

        def ask(confidence: float, seed: int) -> BlindBaseline | None:
            sides = (self._pooled(side) for side in self._samples.sides)
            return blind_baseline(*sides, confidence=confidence, seed=seed)

        sides = [[s.digest for s in side] for side in self._samples.sides]
        return self._blind("blind images", sides, ask)

    @functools.cached_property
    def captions(self) -> BlindBaseline | None:
        """How well members are told from non-members by their captions alone."""
        sides = [[s.caption for s in side] for side in self._samples.sides]

        def ask(confidence: float, seed: int) -> BlindBaseline | None:
            return blind_caption_baseline(*sides, confidence=confidence, seed=seed)

        return self._blind("blind captions", sides, ask)

    @functools.cached_property
    def facts(self) -> BlindFinding | None:
        """What tells members from non-members best of how they were written down."""
        # In order of ids: relabellings are drawn by position.
        ids = {sample.id for sample in self._samples.members}
        samples = sorted(itertools.chain(*self._samples.sides), key=lambda sample: sample.id)
        labels = [sample.id in ids for sample in samples]

        def ask() -> dict[str, Any] | None:
            fact = blind_test(sample_features(samples), labels, seed=self._settings.seed)
            return None if fact is None else fact.to_dict()

        written = [[s.id, s.caption, *dataclasses.astuple(s.facts)] for s in samples]
        known = self._remember(ask, what="blind facts", written=written, labels=labels)
        return None if known is None else BlindFinding(**known)

    def _blind(
        self,
        what: str,
        sides: list[list[str]],
        ask: Callable[[float, int], BlindBaseline | None],
    ) -> BlindBaseline | None:
        # The questions share the error, so that two equal sets are called different in 5 % at
        # most.
        level = 1 - (1 - self._settings.confidence) / BLIND_QUESTIONS

        def make() -> dict[str, Any] | None:
            baseline = ask(level, self._settings.seed)
            return None if baseline is None else baseline.to_dict()

        baseline_values = self._remember(make, what=what, sides=sides, level=level)
        return None if baseline_values is None else BlindBaseline(**baseline_values)

    def near_duplicates(self, sets: Sets) -> list[NearDuplicate]:
        """Find the pictures that are on both sides of a divide."""
        sides = {
            f"the {word} {name}": samples
            for word, labelled in zip(("calibration", "evaluated"), sets.labelled, strict=True)
            for name, samples in (
                ("members", labelled.members),
                ("non-members", labelled.non_members),
            )
        }

        def ask() -> list[dict[str, Any]]:
            rows = {
                name: ([sample.id for sample in samples], self._pooled(samples))
                for name, samples in sides.items()
            }
            pairs = near_duplicates(rows, self._settings.duplicate_limit)
            return [pair.to_dict() for pair in pairs]

        pairs = self._remember(
            ask,
            what="near-duplicates",
            sets={name: [(s.id, s.digest) for s in samples] for name, samples in sides.items()},
            limit=self._settings.duplicate_limit,
        )
        return [NearDuplicate(**pair) for pair in pairs]

    def _remember(self, make: Callable[[], Any], **causes: Any) -> Any:
        return remember(self._store, self._encoder, self._settings.seed, make, **causes)

    def _pooled(self, samples: Sequence[Sample]) -> NDArray[np.float32]:
        """Mean over tokens of each query image's features, shape (n, channels)."""
        identity, persistent = encoder_identity(self._encoder)
        by_digest = {sample.digest: sample for sample in samples}
        keys = {digest: fingerprint_values(pooled=digest, encoder=identity) for digest in by_digest}
        digests = {key: digest for digest, key in keys.items()}

        def encode(absent: list[str]) -> Iterator[dict[str, NDArray[np.float32]]]:
            for start in range(0, len(absent), POOLED_AT_ONCE):
                part = {digests[key]: key for key in absent[start : start + POOLED_AT_ONCE]}
                images = ImagesByDigest(by_digest[digest] for digest in part)
                states = self._features.encode(images, {})
                yield {key: states[digest].mean(axis=0) for digest, key in part.items()}

        rows = self._store.complete_arrays(list(digests), encode, persistent=persistent)
        return np.stack([rows[keys[sample.digest]] for sample in samples])


def remember(
    store: Store, encoder: Encoder, seed: int, make: Callable[[], Any], **causes: Any
) -> Any:
    """Answer a question once for all sessions with the same causes, encoder, seed and code.

    Parameters
    ----------
    store
        Where answers are kept.
    encoder, seed, **causes
        What determines the answer.
    make
        Finds the answer, as JSON can hold it.
    """
    identity, persistent = encoder_identity(encoder)
    key = fingerprint_values(encoder=identity, seed=seed, code=fingerprint_code(), **causes)
    return store.remembered(key, make, persistent=persistent)


def blind_test(
    features: Mapping[str, ArrayLike],
    is_member: ArrayLike,
    *,
    permutations: int = 999,
    seed: int = 0,
) -> BlindFinding | None:
    """Ask whether any feature tells members from non-members better than chance would.

    The statistic is the largest standardised rank sum of all features; its distribution is that
    over relabellings of the same samples (Westfall & Young 1993), so it is exact, counts how
    many features were tried and how they hang together, and fits nothing that would need folds.

    Parameters
    ----------
    features
        By name, one number a sample.
    is_member
        Which samples are members, in the same order.
    permutations
        Relabellings; the smallest p-value is 1 / (permutations + 1).
    seed
        Of the relabellings.

    Returns
    -------
    BlindFinding or None
        ``None`` when no feature varies: then there is nothing to tell apart by.

    Raises
    ------
    SampleError
        If a class is empty, or a feature is not one finite number a sample.

    Examples
    --------
    >>> fact = blind_test({"length": [9, 8, 9, 8, 9, 5, 4, 5, 4, 5]}, [1] * 5 + [0] * 5)
    >>> fact.feature, fact.auc, fact.p_value < 0.05
    ('length', 1.0, True)
    """
    labels = np.asarray(is_member, dtype=bool).ravel()
    m, n = int(labels.sum()), int((~labels).sum())
    if not m or not n:
        msg = f"{m} members and {n} non-members: both are needed to tell them apart"
        raise SampleError(msg)
    names, ranks = _ranks(features, len(labels))
    if not names:
        return None
    centred = ranks - ranks.mean(axis=0)
    # Variance of a rank sum over all relabellings, ties included.
    spread = np.sqrt(m * n / (m + n) / (m + n - 1) * (centred**2).sum(axis=0))
    draws = np.random.default_rng(seed)
    largest = np.concatenate(
        [
            np.abs(
                _relabelled(labels, min(AT_ONCE, permutations - start), draws) @ centred / spread
            )
            for start in range(0, permutations, AT_ONCE)
        ]
    ).max(axis=1)
    observed = np.abs(labels.astype(np.float64) @ centred / spread)
    best = int(observed.argmax())
    # Rounding must not make a relabelling that is as telling count as less.
    p_value = (1 + int((largest >= observed[best] - 1e-9).sum())) / (permutations + 1)
    limit = float(np.quantile(largest, 0.95, method="higher"))
    auc = 0.5 + abs(float(labels.astype(np.float64) @ centred[:, best])) / (m * n)
    least = min(1.0, 0.5 + limit * float(np.sqrt((m + n + 1) / (12 * m * n))))
    return BlindFinding(
        feature=names[best], auc=auc, p_value=p_value, least_auc=least, n_features=len(names)
    )


def _relabelled(
    labels: NDArray[np.bool_], times: int, draws: np.random.Generator
) -> NDArray[np.float64]:
    return draws.permuted(np.tile(labels, (times, 1)), axis=1).astype(np.float64)


def _ranks(features: Mapping[str, ArrayLike], n: int) -> tuple[list[str], NDArray[np.float64]]:
    """Mid-ranks of the features that vary, a column each."""
    names, columns = [], []
    for name, column in features.items():
        values = np.asarray(column, dtype=np.float64)
        if values.shape != (n,) or not np.isfinite(values).all():
            msg = f"feature {name!r} is not one finite number for each of {n} samples"
            raise SampleError(msg)
        if values.min() < values.max():
            names.append(name)
            columns.append(rankdata(values))
    return names, np.stack(columns, axis=1) if columns else np.empty((n, 0))


def caption_features(captions: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Describe how captions are written: length, case, white space, and each character.

    Nothing is stripped or lower-cased before: that is what differs between two sources.

    Parameters
    ----------
    captions
        As the samples have them.
    """
    marks = tuple(string.punctuation)
    features = {
        "characters of the caption": [len(text) for text in captions],
        "words of the caption": [len(text.split()) for text in captions],
        "capitals in the caption": [sum(map(str.isupper, text)) for text in captions],
        "a capital first": [text[:1].isupper() for text in captions],
        "all words capitalised": [text.istitle() for text in captions],
        "white space before the caption": [len(text) - len(text.lstrip()) for text in captions],
        "white space after the caption": [len(text) - len(text.rstrip()) for text in captions],
        "double white space": [
            any(a.isspace() and b.isspace() for a, b in itertools.pairwise(text))
            for text in captions
        ],
        "punctuation in the caption": [
            sum(letter in string.punctuation for letter in text) for text in captions
        ],
        "punctuation at the end": [text.rstrip().endswith(marks) for text in captions],
        "digits in the caption": [sum(map(str.isdigit, text)) for text in captions],
        "characters beyond ASCII": [sum(ord(letter) > 127 for letter in text) for text in captions],
    }
    counts = Counter(letter for text in captions for letter in set(text))
    for letter, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_CHARACTERS]:
        features[f"character {letter!r}"] = [text.count(letter) for text in captions]
    return {name: np.asarray(values, dtype=np.float64) for name, values in features.items()}


def file_features(facts: Sequence[FileFacts]) -> dict[str, NDArray[np.float64]]:
    """Describe how files were made: size and shape, format, mode, JPEG tables, EXIF.

    PIL loses all but the size when it copies an image. Where it has for one of them, only the
    sizes are compared: what is not known is no difference.

    Parameters
    ----------
    facts
        Of each sample's file.
    """
    features: dict[str, list[float]] = {
        "width": [float(each.size[0]) for each in facts],
        "height": [float(each.size[1]) for each in facts],
        "aspect": [each.size[0] / each.size[1] for each in facts],
    }
    if all(each.format is not None for each in facts):
        features["EXIF"] = [float(each.has_exif) for each in facts]
        for name, kinds in (
            ("format", [each.format for each in facts]),
            ("mode", [each.mode for each in facts]),
            ("JPEG tables", [each.jpeg_tables for each in facts]),
        ):
            for i, (kind, _) in enumerate(Counter(kinds).most_common(MOST_KINDS)):
                label = f"{name}, kind {i + 1}" if name == "JPEG tables" else f"{name} {kind}"
                features[label] = [float(each == kind) for each in kinds]
    return {name: np.asarray(values, dtype=np.float64) for name, values in features.items()}


def sample_features(samples: Sequence[Sample]) -> dict[str, NDArray[np.float64]]:
    """Describe how samples were written down: their captions, if all have one, and their files.

    Parameters
    ----------
    samples
        Members and non-members.
    """
    captions = [sample.caption for sample in samples]
    written = caption_features(captions) if all(map(str.strip, captions)) else {}
    return {**written, **file_features([sample.facts for sample in samples])}


FOLDS = 5
LEAST = 2 * FOLDS
"""Samples of each class below which no classifier is worth cross-validating."""
BLIND_QUESTIONS = 3
"""Pictures, captions, and how both were written down: they share the error."""
BLIND_ERROR = 0.05
"""Share of fair splits that all of these together may call different."""
BLOCK = 1024
EXACT = 20_000
"""Samples whose features are compared as they are; of more, projections find the candidates."""
PROJECTED, MARGIN = 128, 0.06
"""Dimensions of a projection, and how far below the limit its cosines still make a candidate: six
standard errors of a cosine of 0.95 (Johnson & Lindenstrauss 1984)."""


def _cross_validated(
    model: Any, inputs: Any, labels: NDArray[np.bool_], confidence: float, seed: int
) -> BlindBaseline:
    cv = StratifiedKFold(FOLDS, shuffle=True, random_state=seed % 2**32)
    with threadpool_limits(limits=1):
        scores = cross_val_predict(model, inputs, labels, cv=cv, method="decision_function")
    return told_apart(scores[labels], scores[~labels], confidence)


def told_apart(members: ArrayLike, non_members: ArrayLike, confidence: float) -> BlindBaseline:
    """Return how well scores tell members from non-members.

    Parameters
    ----------
    members, non_members
        Their scores.
    confidence
        Of both bounds together.
    """
    bounds = auc_interval(members, non_members, confidence)
    interval = Interval(low=bounds.low, high=bounds.high, confidence=confidence)
    return BlindBaseline(auc=bounds.auc, interval=interval)


def blind_baseline(
    member_features: NDArray[np.floating[Any]],
    non_member_features: NDArray[np.floating[Any]],
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> BlindBaseline | None:
    """Tell members from non-members by the query images alone, without any model.

    A logistic regression on up to 32 principal components of the encoder's features, scored
    out of fold; the interval is of the AUC of those scores (Das, Zhang & Tramèr 2024 name such
    baselines blind).

    Parameters
    ----------
    member_features, non_member_features
        Pooled features of shape (n, channels).
    confidence
        Of both sides of the interval.
    seed
        Of the folds.

    Returns
    -------
    BlindBaseline or None
        ``None`` with fewer than ten samples of a class, or if all features are the same.
    """
    if min(len(member_features), len(non_member_features)) < LEAST:
        return None
    inputs = np.concatenate([member_features, non_member_features])
    # A channel that says the same of all images has no scale to be brought to.
    inputs = inputs[:, np.ptp(inputs, axis=0) > 0]
    if not inputs.shape[1]:
        return None
    labels = np.arange(len(inputs)) < len(member_features)
    components = min(32, inputs.shape[1], int(len(inputs) * (1 - 1 / FOLDS)) - 1)
    model = make_pipeline(
        StandardScaler(),
        PCA(components, svd_solver="full", whiten=True),
        LogisticRegression(C=0.1, max_iter=1000, class_weight="balanced"),
    )
    return _cross_validated(model, inputs, labels, confidence, seed)


def blind_caption_baseline(
    member_captions: Sequence[str],
    non_member_captions: Sequence[str],
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> BlindBaseline | None:
    """Tell members from non-members by their captions alone, without any model.

    A logistic regression on TF-IDF weights of one to four letters inside words, scored out of
    fold.

    Returns
    -------
    BlindBaseline or None
        ``None`` with fewer than ten samples of a class, or when a caption is blank.
    """
    captions = [*member_captions, *non_member_captions]
    few = min(len(member_captions), len(non_member_captions)) < LEAST
    if few or not all(caption.strip() for caption in captions):
        return None
    labels = np.arange(len(captions)) < len(member_captions)
    model = make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True),
        LogisticRegression(max_iter=1000, class_weight="balanced"),
    )
    return _cross_validated(model, captions, labels, confidence, seed)


def near_duplicates(
    sets: Mapping[str, tuple[Sequence[str], NDArray[np.floating[Any]]]], limit: float
) -> list[NearDuplicate]:
    """Find samples of different sets that look the same.

    Parameters
    ----------
    sets
        Ids and pooled features (n, channels) of each set, by its name.
    limit
        Cosine from which two count as the same, of features from which the mean over all sets
        was subtracted: encoders give all images much in common.

    Returns
    -------
    list of NearDuplicate
        Every pair across sets, the most alike first.
    """
    names = [name for name, (ids, _) in sets.items() for _ in ids]
    ids = [sample for members, _ in sets.values() for sample in members]
    rows = np.concatenate([np.asarray(f, dtype=np.float32) for _, f in sets.values()])
    rows = rows - rows.mean(axis=0)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    sides = np.unique(names, return_inverse=True)[1]
    pairs = []
    for a, b, cosine in _alike(rows, limit):
        if sides[a] != sides[b]:
            pairs.append(
                NearDuplicate(
                    first=ids[a],
                    second=ids[b],
                    first_set=names[a],
                    second_set=names[b],
                    cosine=min(1.0, cosine),
                )
            )
    return sorted(pairs, key=lambda pair: (-pair.cosine, pair.first, pair.second))


def _alike(rows: NDArray[np.float32], limit: float) -> Iterator[tuple[int, int, float]]:
    """Yield the pairs of unit rows, by position, whose cosine is at least the limit."""
    sketch, least = rows, limit
    if len(rows) > EXACT:
        random = np.random.default_rng(0)
        plane = random.normal(size=(rows.shape[1], PROJECTED)).astype(np.float32)
        sketch = rows @ plane
        sketch /= np.maximum(np.linalg.norm(sketch, axis=1, keepdims=True), 1e-12)
        least = limit - MARGIN
    for start in range(0, len(rows), BLOCK):
        cosines = sketch[start : start + BLOCK] @ sketch[start:].T
        for i, j in zip(*np.nonzero(cosines >= least), strict=True):
            a, b = start + int(i), start + int(j)
            if a < b:
                cosine = float(cosines[i, j] if sketch is rows else rows[a] @ rows[b])
                if cosine >= limit:
                    yield a, b, cosine


def judge_blind(what: str, blind: BlindBaseline | None, limit: float) -> list[str]:
    """Say why nothing can be concluded if members differ from non-members without the model.

    Parameters
    ----------
    what
        By what, such as ``"images"``.
    blind
        The baseline, if there was one.
    limit
        The largest AUC that its lower bound may have.
    """
    # Written so that NaN is a reason.
    if blind is None or blind.interval.low <= limit:
        return []
    return [
        f"blind AUC {blind.auc:.3f} (at least {blind.interval.low:.3f}) > "
        f"{limit:g}: members are told from non-members by their {what} alone, "
        "without the model\ntake both from one source, and decide membership by "
        "privaudit.split_by_coin"
    ]


def judge_facts(fact: BlindFinding | None, limit: float) -> list[str]:
    """Say which fact of captions and files distinguishes members, if one does."""
    if fact is None or fact.p_value > BLIND_ERROR / BLIND_QUESTIONS or fact.auc <= limit:
        return []
    return [
        f"blind AUC {fact.auc:.3f} > {limit:g}: members are told from non-members by one fact "
        f"alone, {fact.feature!r} (chance finds one of {fact.n_features} facts as telling with "
        f"p = {fact.p_value:.3f}), without the model\nmake captions and files of both by the same "
        "steps, and decide membership by privaudit.split_by_coin"
    ]


def find_doubles(duplicates: Sequence[NearDuplicate], evaluation: Sequence[Sample]) -> set[str]:
    """Return the ids of the evaluated samples that have a near-duplicate in another set."""
    ids = {sample.id for sample in evaluation}
    return {name for pair in duplicates for name in (pair.first, pair.second) if name in ids}


def judge_duplicates(duplicates: Sequence[NearDuplicate], n_doubles: int, n: int) -> list[str]:
    """Say why nothing can be concluded if the same pictures are on both sides of a divide.

    Parameters
    ----------
    duplicates
        Pairs across sets, the most alike first.
    n_doubles, n
        Evaluated samples with such a pair, and all evaluated samples.
    """
    if n_doubles <= LARGEST_SHARE * n:
        return []
    first = duplicates[0]
    return [
        f"{n_doubles} of {n} evaluated samples have a near-duplicate in "
        f"another set, such as {first.first!r} of {first.first_set} and {first.second!r} of "
        f"{first.second_set} (cosine {first.cosine:.3f})\nremove one of each pair"
    ]
