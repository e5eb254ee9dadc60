"""Clips as samples: the frames of a sequence, read T at once.

A built set of clips has one row per frame. A run on clips first calls ``group_clips``; splits, noise, corruption and scores
then see one row per sample, whether image or clip.
"""

from __future__ import annotations

import numpy as np

from fer_cli.data.identity import clip_codes
from fer_cli.data.manifest import FaceSet
from fer_cli.errors import DataError

SHARED = ("label", "subject", "split")
"""Columns in which all frames of a clip must agree."""


def group_clips(faces: FaceSet, frames: int) -> FaceSet:
    """Return a set with clips as samples: one row each, images (N, ``frames``, C, H, W), not read yet.

    A clip has the name and row of its first frame. Of F frames in order it takes those at round(linspace(0, F - 1,
    ``frames``)), halves to even; a shorter clip repeats frames. A face counts as detected if all frames have one. Raises
    DataError for images outside clips, and for a clip whose frames differ in label, subject or part.
    """
    manifest, codes = faces.manifest, clip_codes(faces.manifest)
    if alone := int((codes < 0).sum()):
        raise DataError(f"{faces.info.name}: {alone} of {len(codes)} images belong to no clip; use a set of clips")
    for column in SHARED:
        kinds = manifest.groupby(codes)[column].nunique()
        if (kinds > 1).any():
            clip = manifest["sequence"].to_numpy()[codes == kinds.idxmax()][0]
            raise DataError(f"{faces.info.name}: clip '{clip}': its frames differ in column '{column}'")
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
    """Return the positions (``wanted``,) int64 of evenly spaced frames out of ``there``, including the first and last."""
    return np.rint(np.linspace(0, there - 1, wanted)).astype(np.int64)
