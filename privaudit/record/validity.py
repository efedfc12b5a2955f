"""What an audit found out before it generated anything."""

from __future__ import annotations

from privaudit.record.values import Answers, Count, Share, ShareInterval, Value

__all__ = ["BlindBaseline", "BlindFinding", "Conduct", "NearDuplicate", "Validity"]

SHOWN = 10
"""Near-duplicate pairs that a record names."""


class BlindBaseline(Value):
    """How well members are told from non-members without the model."""

    auc: Share
    interval: ShareInterval


class BlindFinding(Value):
    """What tells members from non-members best of how their captions and files were written.

    Attributes
    ----------
    feature
        Its name, such as ``"capitals in the caption"``.
    auc
        AUC by which it alone tells them apart, in [0.5, 1], whichever way round.
    p_value
        Share of random relabellings whose most telling feature is at least as telling, in
        (0, 1].
    least_auc
        The AUC that a feature without ties would have needed for a p-value of 0.05.
    n_features
        Features that vary at all.
    """

    feature: str
    auc: Share
    p_value: Share
    least_auc: Share
    n_features: Count


class NearDuplicate(Value):
    """Two samples of different sets that look the same to the encoder."""

    first: str
    second: str
    first_set: str
    second_set: str
    cosine: float


class Conduct(Value):
    """How a target takes what it is asked.

    Attributes
    ----------
    seeds_honoured
        Whether one query, asked twice, gave one picture; ``None`` where that was not asked: a
        pipeline is given its noise.
    prompts
        Pairs of prompts that were asked with one seed.
    ignored
        Those that gave one picture.
    noise
        How far the two answers to one query were apart, in levels of 255 on average; ``None`` where
        seeds are not honoured, or that was not asked.
    change
        How far the answer to a query of an earlier session was from the stored one when it was
        asked again in this session; ``None`` where nothing was.
    """

    seeds_honoured: bool | None = None
    prompts: int = 0
    ignored: int = 0
    noise: float | None = None
    change: float | None = None


class Validity(Value):
    """Whether an audit can say anything at all.

    Attributes
    ----------
    blind_image, blind_caption
        AUC from the query images' features, and from the captions, alone; ``None`` where there
        are too few samples, no captions, or the question was not asked.
    blind_facts
        The most telling fact of captions and files; ``None`` where none varies.
    near_duplicates
        The most alike pairs across sets, at most ten.
    n_near_duplicates
        Evaluation samples that have such a pair: the most of any scenario.
    controls
        AUC of each attack, by name such as ``"attack-I-threshold"``, when a target that returns
        its members takes the model's place.
    sensitivity
        AUC of the most telling attack of a scenario, by its name, when a target that returns
        changed copies of its members takes the model's place: by what was done to them, such as
        ``"1/4 mixed into another"``. A grade after the first that stays within the budget is not
        tried.
    stronger
        AUC of the strongest attack, by its name, on the pictures that others passed on, where
        the audit did not choose it: what it shows makes those results invalid.
    base
        AUC of an attack, by its name, when the base model takes the place of every other: found
        while the audit ran.
    answers
        How many answers are no pictures, by the name of the attack and the set: found while the
        audit ran.
    conduct
        Whether seeds and prompts decide what is drawn, by the role of the model.
    reasons
        Why nothing may be concluded; empty when something may.
    """

    blind_image: BlindBaseline | None = None
    blind_caption: BlindBaseline | None = None
    blind_facts: BlindFinding | None = None
    near_duplicates: list[NearDuplicate] = []
    n_near_duplicates: int = 0
    controls: dict[str, float | None] = {}
    sensitivity: dict[str, dict[str, float | None]] = {}
    stronger: dict[str, BlindBaseline] = {}
    base: dict[str, BlindBaseline] = {}
    answers: dict[str, Answers] = {}
    conduct: dict[str, Conduct] = {}
    reasons: list[str] = []

    def merged(self, other: Validity) -> Validity:
        """Return what both know: of one audit, each may have been asked about other attacks."""
        pairs = {(p.first, p.second): p for p in (*self.near_duplicates, *other.near_duplicates)}
        alike = sorted(pairs.values(), key=lambda pair: (-pair.cosine, pair.first, pair.second))
        return Validity(
            blind_image=self.blind_image or other.blind_image,
            blind_caption=self.blind_caption or other.blind_caption,
            blind_facts=self.blind_facts or other.blind_facts,
            near_duplicates=alike[:SHOWN],
            n_near_duplicates=max(self.n_near_duplicates, other.n_near_duplicates),
            controls=dict(sorted({**self.controls, **other.controls}.items())),
            sensitivity=dict(sorted({**self.sensitivity, **other.sensitivity}.items())),
            stronger=dict(sorted({**self.stronger, **other.stronger}.items())),
            base=dict(sorted({**self.base, **other.base}.items())),
            answers=dict(sorted({**self.answers, **other.answers}.items())),
            conduct=dict(sorted({**self.conduct, **other.conduct}.items())),
            reasons=list(dict.fromkeys((*self.reasons, *other.reasons))),
        )
