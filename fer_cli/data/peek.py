"""A contact sheet: what a data set looks like, one row of faces per class."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from fer_cli.data.manifest import load_set
from fer_cli.places import whole_file

LEAST_SIDE = 64
"""Faces smaller than this are enlarged on the sheet."""
MARGIN = 96
"""Room for class names, in pixels."""


def contact_sheet(data_root: Path, name: str, path: Path, columns: int) -> None:
    """Write a PNG with ``columns`` faces of each class; raises DataError where the set is not built."""
    faces = load_set(data_root, name)
    side = max(LEAST_SIDE, faces.info.image_size)
    rng = np.random.default_rng(0)
    rows = []
    for label in faces.info.classes:
        own = faces.manifest[faces.manifest["label"] == label]
        mixed = own.iloc[rng.permutation(len(own))]
        spread = mixed.iloc[mixed.groupby("subject").cumcount().argsort(kind="stable")]
        row = np.full((side, MARGIN + columns * side), 255, np.uint8)
        cv2.putText(row, label, (4, side // 2 + 4), cv2.FONT_HERSHEY_SIMPLEX, 0.42, 0, 1, cv2.LINE_AA)
        for column, position in enumerate(spread.index[:columns]):
            image = cv2.resize(np.asarray(faces.images[position]), (side, side), interpolation=cv2.INTER_CUBIC)
            row[:, MARGIN + column * side : MARGIN + (column + 1) * side] = image
        rows.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = cv2.imencode(".png", np.concatenate(rows))[1]
    with whole_file(path) as draft:
        draft.write_bytes(encoded.tobytes())
