"""Long texts with a mask: what PixArt and Sana have in common."""

from __future__ import annotations

from privaudit.diffusion.families.base import Conditions, Family

__all__ = ["MaskedText"]


class MaskedText(Family):
    """A family whose transformer is told which tokens of a long text count."""

    def texts(self, captions: list[str]) -> Conditions:
        """Encode captions, with a mask of the tokens that count."""
        states, mask, *_ = self.pipeline.encode_prompt(
            captions, do_classifier_free_guidance=False, device=self.denoiser.device
        )
        return {"states": states, "mask": mask}
