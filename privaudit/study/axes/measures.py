"""How answers are compared with samples, and put together. No new image is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from privaudit.errors import PrivauditError
from privaudit.study.axes.base import Axis
from privaudit.study.cells import Cell, LeftOut
from privaudit.study.patches import PixelPatches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from privaudit.audit import Audit
    from privaudit.study.owner import Owner
    from privaudit.study.table import Table

__all__ = ["Aggregation", "Encoders", "Metric", "TokenAxis"]


class Encoders(Axis):
    """The same answers through other encoders, and as plain pixels."""

    name = "encoders"
    question = "Does it matter which image encoder the attacker has?"
    x_label = "image encoder"
    draws = False

    def table(self, owner: Owner) -> Table:
        """Say who judges the samples."""
        table = super().table(owner)
        table.notes.append("near-duplicates were looked for by the audit's own encoder alone")
        return table

    def cells(self, owner: Owner) -> Iterable[Cell | LeftOut]:
        """Yield the audit's own encoder, those that were named, and pixels."""
        from privaudit.encoders import load_encoder

        own = owner.audit()
        given = owner.inputs.image_encoder
        kind = getattr(given, "name", type(given).__name__)
        name = given if isinstance(given, str) else kind
        yield Cell(owner.settings.encoder if given is None else name, own)
        for name in owner.encoders:
            try:
                encoder = load_encoder(name)
            except PrivauditError as error:
                yield LeftOut(str(error).partition("\n")[0], name)
                continue
            yield Cell(name, _seen_by(owner, encoder))
        yield Cell("pixels", _seen_by(owner, PixelPatches()))


def _seen_by(owner: Owner, encoder: Any) -> Audit:
    # Said anew, the setting is no longer the marker's: an audit refuses one that reaches nothing.
    # Which pictures are one is asked of the audit's own encoder: to pixels, all emoji are alike.
    return owner.audit(
        {"image_encoder": encoder}, encoder=owner.settings.encoder, duplicate_limit=2
    )


class Metric(Axis):
    """The same features by other similarities."""

    name = "metric"
    question = "Does it matter by which similarity features are compared?"
    x_label = "similarity"
    draws = False

    def cells(self, owner: Owner) -> Iterable[Cell]:
        """Yield the four similarities."""
        for name in ("cosine", "euclidean", "manhattan", "hamming"):
            yield Cell(name, owner.audit(similarity=name))


class TokenAxis(Axis):
    """One similarity for each patch, or for each channel."""

    name = "token-axis"
    question = "Patch-wise, as in the paper's text, or channel-wise, as in its code?"
    x_label = "axis of the similarity vector"
    draws = False

    def cells(self, owner: Owner) -> Iterable[Cell]:
        """Yield both axes."""
        for name in ("token", "channel"):
            yield Cell(name, owner.audit(similarity_axis=name))


class Aggregation(Axis):
    """The same m answers to a sample, put together otherwise."""

    name = "aggregation"
    question = "Do the answers to a sample tell more by their mean, or by the best of them?"
    x_label = "aggregation of the m similarities"
    draws = False

    def cells(self, owner: Owner) -> Iterable[Cell]:
        """Yield the four, unless a sample has one answer alone.

        Raises
        ------
        LeftOut
            If it has.
        """
        if owner.settings.queries == 1:
            msg = "m = 1: one answer is its own mean and best; set queries=3 or more"
            raise LeftOut(msg)
        for name in ("mean", "median", "max", "min"):
            yield Cell(name, owner.audit(aggregation=name))
