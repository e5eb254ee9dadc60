"""The visual ingredients of an embedded face, each of which can be switched off by its name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ingredients:
    """What a face is drawn with; switched off, an ingredient takes its plainest form and the others stay as they are."""

    hair: bool = True
    """Hair and beard; off: a shaved head (brows stay, since they carry expressions)."""
    texture: bool = True
    """Mottled skin, freckles, lines and folds, and folds and patterns of cloth; off: one colour, smooth."""
    light: bool = True
    """Lamps drawn for each image; off: one frontal lamp."""
    lens: bool = True
    """Blur, exposure, noise and compression; off: none."""
    pose: bool = True
    """Head pose; off: frontal, with the gaze relative to the head unchanged."""
    occluder: bool = True
    """Things in front of some faces; off: none."""
    glasses: bool = True
    """Glasses of some people; off: none."""
    crop: bool = True
    """Faces lower in some pictures, their chins near the border, as detectors crop them; off: in the middle."""
    distance: bool = True
    """Cameras mostly farther than a metre; off: near, with large noses."""
    proportions: bool = True
    """Larger eyes, wider mouths and faces than the human model's mean; off: the model's."""
    clothes: bool = True
    """Garments as surfaces of their own; off: tones on the body."""

    @classmethod
    def without(cls, off: Iterable[str]) -> Ingredients:
        """Return all ingredients but those named in ``off``."""
        return cls(**dict.fromkeys(off, False))


EVERYTHING = Ingredients()
