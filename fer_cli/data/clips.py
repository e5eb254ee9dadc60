"""Clips as samples: the frames of a sequence, read T at once.

A built set of clips has one row per frame. A run on clips first calls ``group_clips``; splits, noise, corruption and scores
then see one row per sample, whether image or clip.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fer_cli.data.draws import uniforms
from fer_cli.data.identity import clip_codes
from fer_cli.data.manifest import TIME, FaceSet
from fer_cli.errors import DataError

SHARED = ("label", "subject", "split")
"""Columns in which all frames of a clip must agree."""
FINE = 2
"""Decimals of a place between two frames: time stamps are rounded, so half a frame is only nearly one half."""


def group_clips(faces: FaceSet, frames: int) -> FaceSet:
    """Return a set with clips as samples: one row each, images (N, ``frames``, C, H, W), not read yet.

    A clip has the name and row of its first frame; see ``choose_frames`` for the frames taken. A face counts as detected if
    all frames have one. Raises DataError for images outside clips, for stills, and for a clip whose frames differ in label,
    subject or part.
    """
    manifest, codes = faces.manifest, clip_codes(faces.manifest)
    if alone := int((codes < 0).sum()):
        people = manifest["subject"].astype(str)
        left = sorted(set(people) - set(people[codes >= 0]) - {""})
        whom = f" (subject '{left[0]}' has no clips)" if left and len(left) < people.nunique() else ""
        raise DataError(f"{faces.info.name}: {alone} of {len(codes)} images belong to no clip{whom}; use a set of clips")
    for column in SHARED:
        kinds = manifest.groupby(codes)[column].nunique()
        if (kinds > 1).any():
            clip = manifest["sequence"].to_numpy()[codes == kinds.idxmax()][0]
            raise DataError(f"{faces.info.name}: clip '{clip}': its frames differ in column '{column}'")
    order = np.lexsort((manifest["frame"].to_numpy(), codes))
    members = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    if len(members) == len(codes):
        raise DataError(f"{faces.info.name}: each of its {len(codes):,} clips has a single frame; use a set of clips")
    first = np.array([rows[0] for rows in members])
    times = manifest[TIME].to_numpy(dtype=np.float64) if TIME in manifest else None
    chosen = np.stack([rows[choose_frames(len(rows), frames, None if times is None else times[rows])] for rows in members])
    clips = manifest.iloc[first]
    if "face" in manifest:
        clips = clips.assign(face=manifest["face"].groupby(codes).all().to_numpy())
    by_name = np.argsort(clips["sample"].to_numpy(), kind="stable")
    images = faces.images.group(chosen[by_name])
    info = faces.info.model_copy(update={"kept": len(clips)})
    return replace(faces, info=info, manifest=clips.iloc[by_name].reset_index(drop=True), images=images)


def choose_frames(there: int, wanted: int, times: np.ndarray | None = None) -> np.ndarray:
    """Return the positions (``wanted``,) int64 of evenly spaced frames out of ``there``, including the first and last.

    They are round(linspace(0, ``there`` - 1, ``wanted``)), halves to even; the middle one if ``wanted`` is 1. With
    increasing ``times`` (there,), the same in time. Frames repeat if there are fewer than wanted.
    """
    places = np.linspace(0, there - 1, wanted) if wanted > 1 else np.array([(there - 1) / 2])
    if times is not None and there > 1 and np.isfinite(times).all() and (np.diff(times) >= 0).all() and times[-1] > times[0]:
        share = places / (there - 1)
        places = np.interp(times[0] + share * (times[-1] - times[0]), times, np.arange(there)).round(FINE)
    return np.asarray(np.rint(places), dtype=np.int64)


def count_repeated(rows: np.ndarray) -> int:
    """Return how many of the clips with frames ``rows`` (N, T) repeat a frame, having fewer than T."""
    ordered = np.sort(rows, 1)
    return int((ordered[:, 1:] == ordered[:, :-1]).any(1).sum())


def draw_orders(samples: np.ndarray, frames: int, seed: int) -> np.ndarray:
    """Return an order (N, ``frames``) int64 of the frames of each clip, drawn from its name (``samples``) and the seed."""
    return np.argsort(uniforms(samples, seed, "frame order", frames), 1)
