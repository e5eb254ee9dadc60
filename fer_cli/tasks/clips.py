"""Runs that train a network on clips: several frames of one person with one label, and boxes of regions of the face.

The teacher study of 2024 (sections 2 and 3). Training, selection and test are those of still images; a sample is a clip.
"""

from __future__ import annotations

from dataclasses import replace

from fer_cli.config import RunConfig
from fer_cli.tasks.stills import STILLS

LANDMARKS = {
    "truth": "the true landmarks of the embedded people, which no recording has",
    "dlib": "landmarks found by dlib's 68-point model, trained on iBUG 300-W (for research only)",
    "fallback": "fixed boxes within the face's box, without landmarks",
}
REGION_WORDS = {
    "au": "nine boxes of action units",
    "important": "nine boxes of facial features",
    "none": "three boxes, the thirds of the face",
}


def describe_clips(configs: list[RunConfig]) -> list[str]:
    """Return a line per number and order of frames, and one per kind of boxes and landmarks."""
    lines = []
    for frames, order in dict.fromkeys((config.data.frames, config.data.frame_order) for config in configs):
        chosen = f"{frames} frames, evenly spaced" if frames > 1 else "its middle frame"
        shuffled = ", in an order drawn once per clip, in training and test" if order == "shuffled" else ""
        lines.append(f"a sample is a clip, seen as {chosen}{shuffled}; splits, label noise and counts are of clips")
    taking = [config for config in configs if config.model.network.regions]
    for regions, landmarks in dict.fromkeys((config.model.regions, config.data.landmarks) for config in taking):
        lines.append(f"regions `{regions}`: {REGION_WORDS[regions]}; landmarks `{landmarks}`: {LANDMARKS[landmarks]}")
    return lines


CLIPS = replace(STILLS, name="clips", describe=describe_clips)
