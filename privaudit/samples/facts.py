"""What a file says beside its pixels: enough to tell two sources apart without any model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from privaudit.fingerprint import fingerprint_values

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["FileFacts"]


@dataclass(frozen=True)
class FileFacts:
    """Facts of the file that an image was opened from.

    They are lost when PIL copies or converts an image, and then read as those of one that never
    was in a file.
    """

    format: str | None
    """PIL's name, such as ``"JPEG"``; ``None`` for an image that was not opened from a file."""
    size: tuple[int, int]
    """Width and height in pixels, before any EXIF orientation is applied."""
    mode: str
    """PIL's mode, before the image becomes RGB."""
    jpeg_tables: str | None
    """Hash of the quantisation tables: the quality and the program that saved a JPEG."""
    has_exif: bool
    """Whether there is an EXIF block."""

    @classmethod
    def of(cls, image: Image.Image) -> FileFacts:
        """Read them off an image as PIL opened it."""
        tables = getattr(image, "quantization", None)
        return cls(
            format=image.format,
            size=image.size,
            mode=image.mode,
            jpeg_tables=fingerprint_values(tables=tables) if tables else None,
            has_exif="exif" in image.info,
        )
