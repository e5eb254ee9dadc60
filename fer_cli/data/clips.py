"""Clips as samples: the rows of a set that belong to one sequence, read as T frames at once.

A built set of clips has a row for each frame. Splits, noise, corruption and scores count samples, so a run on clips begins
with ``group_clips``; all that follows reads a row per sample and never asks whether it is an image or a clip.
"""

from __future__ import annotations

import numpy as np

from fer_cli.data.identity import clip_codes
from fer_cli.data.manifest import FaceSet
from fer_cli.errors import DataError

SHARED = ("label", "subject", "split")
"""Columns in which all frames of a clip must agree."""


def group_clips(faces: FaceSet, frames: int) -> FaceSet:
    """Return the clips of a set of frames as its samples: a row for each, images (N, ``frames``, C, H, W), none read yet.

    A clip has the name and the row of its first frame. Of F frames, in the order of their numbers, it shows those at
    round(linspace(0, F - 1, ``frames``)), halves to even; a shorter clip repeats frames. A face counts as detected where all
    frames have one. Raises DataError for images of no clip, and for a clip whose frames differ in label, subject or part.
    """
    manifest, codes = faces.manifest, clip_codes(faces.manifest)
    if alone := int((codes < 0).sum()):
        raise DataError(f"{faces.info.name}: {alone} of {len(codes)} images belong to no clip; use a set of clips only")
    for column in SHARED:
        kinds = manifest.groupby(codes)[column].nunique()
        if (kinds > 1).any():
            clip = manifest["sequence"].to_numpy()[codes == kinds.idxmax()][0]
            raise DataError(f"{faces.info.name}: clip '{clip}': its frames have different values in column '{column}'")
    order = np.lexsort((manifest["frame"].to_numpy(), codes))
    members = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    first = np.array([rows[0] for rows in members])
    chosen = np.stack([rows[choose_frames(len(rows), frames)] for rows in members])
    clips = manifest.iloc[first]
    if "face" in manifest:
        clips = clips.assign(face=manifest["face"].groupby(codes).all().to_numpy())
    by_name = np.argsort(clips["sample"].to_numpy(), kind="stable")
    images = faces.images.group(chosen[by_name])
    info = faces.info.model_copy(update={"kept": len(clips)})
    return FaceSet(info, clips.iloc[by_name].reset_index(drop=True), images)


def choose_frames(there: int, wanted: int) -> np.ndarray:
    """Return the places (``wanted``,) int64 of frames taken evenly from ``there``, the first and the last among them."""
    return np.rint(np.linspace(0, there - 1, wanted)).astype(np.int64)
