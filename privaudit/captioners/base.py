"""What a captioner is, and what it may not do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from privaudit.errors import CaptionerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

__all__ = ["Captioner", "captioner_identity", "checked_captions"]


@runtime_checkable
class Captioner(Protocol):
    """Anything with ``caption``: images to one text each.

    A captioner may carry a ``fingerprint`` string that identifies its weights and settings. With
    one, captions are kept in the store; without, they are written again in every run.
    """

    def caption(self, images: Sequence[Image.Image]) -> list[str]:
        """Write one caption for each image."""
        ...


def captioner_identity(captioner: Captioner) -> tuple[str, bool]:
    """Return what identifies a captioner, and whether it means the same in another process."""
    stated = getattr(captioner, "fingerprint", None)
    return (f"object:{id(captioner)}", False) if stated is None else (stated, True)


def checked_captions(
    captioner: Captioner, images: Sequence[Image.Image], batch_size: int
) -> list[str]:
    """Caption any number of images, and check what comes back.

    Raises
    ------
    CaptionerError
        If the captioner raises, or returns too few captions, something else than text, or
        nothing but blanks; the message counts.
    """
    name = type(captioner).__name__
    texts: list[str] = []
    for start in range(0, len(images), batch_size):
        part = images[start : start + batch_size]
        try:
            answer = captioner.caption(part)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also SystemExit and pytest.skip: an audit is not skipped
            msg = f"{name} raised {type(error).__name__} on {len(part)} images: {error}"
            raise CaptionerError(msg) from error
        if not isinstance(answer, list) or len(answer) != len(part):
            got = len(answer) if isinstance(answer, list) else type(answer).__name__
            msg = f"{name} returned {got} captions for {len(part)} images: return a list, one each"
            raise CaptionerError(msg)
        texts.extend(answer)
    bad = [i for i, text in enumerate(texts) if not isinstance(text, str) or not text.strip()]
    if bad:
        msg = (
            f"{len(bad)} of {len(texts)} captions by {name} are blank or no text, the first for "
            f"image {bad[0]}: fine-tune it on auxiliary samples, or use another captioner"
        )
        raise CaptionerError(msg)
    return texts
