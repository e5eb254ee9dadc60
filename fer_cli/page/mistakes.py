"""The worst mistakes of runs, and pictures of them unless the data set's card forbids showing its images."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fer_cli.data.cards import has_card, load_card
from fer_cli.data.kept import is_built
from fer_cli.data.manifest import FaceSet, load_set
from fer_cli.errors import DataError, FerError
from fer_cli.results import SIMULATED, Result

MOST_PICTURES = 400
"""Pictures on a page."""
LEAST_SIDE, MOST_SIDE = 48, 96
"""Sides of a picture in pixels."""


@dataclass(frozen=True)
class Mistake:
    """A wrong answer of a test sample; ``confidence``: the predicted class's probability, None if not recorded."""

    sample: str
    true: str
    predicted: str
    confidence: float | None


def find_mistakes(folder: Path, result: Result, most: int) -> list[Mistake]:
    """Return the wrong answers of the test part with the highest probabilities, then in the order of samples."""
    import pandas as pd

    table = pd.read_parquet(folder / result.predictions)
    if "sample" not in table.columns:
        return []
    wrong = table[(table["part"] == "test") & (table["label"] != table["predicted"])]
    sure = np.full(len(wrong), np.nan)
    for place, label in enumerate(wrong["predicted"]):
        if (column := f"p_{label}") in wrong.columns:
            sure[place] = wrong[column].iloc[place]
    order = np.lexsort((wrong["sample"].astype(str), -np.nan_to_num(sure)))[:most]
    rows = zip(wrong["sample"].astype(str), wrong["label"], wrong["predicted"], sure, strict=True)
    found = [Mistake(str(s), str(t), str(p), None if np.isnan(c) else float(c)) for s, t, p, c in rows]
    return [found[place] for place in order]


def why_not_shown(names: Iterable[str]) -> str:
    """Return why images of these data sets must not be on a page, "" if they may."""
    for name in names:
        if name == SIMULATED:
            continue
        if not has_card(name):
            return f"no images are shown: {name} has no card that allows it"
        card = load_card(name)
        if not card.redistributable:
            return f"no images are shown: the card of {name} forbids it ({card.licence})"
    return ""


@dataclass
class Album:
    """Pictures of test samples as data URIs, each once; ``refused``: why there are none."""

    data_root: Path
    refused: str = ""
    pictures: dict[str, str] = field(default_factory=dict)
    """``SET/SAMPLE`` -> data URI."""
    lost: int = 0
    """Pictures left out by ``MOST_PICTURES``."""
    _sets: dict[str, tuple[FaceSet, dict[str, int]] | None] = field(default_factory=dict)

    def add(self, result: Result, mistakes: Iterable[Mistake]) -> list[str]:
        """Add the pictures of a run's mistakes and return their keys, "" for a mistake without one."""
        return [self._add(result, one.sample) for one in mistakes]

    def _add(self, result: Result, sample: str) -> str:
        name = result.config.data.test or result.config.data.name
        key = f"{name}/{sample}"
        if key in self.pictures:
            return key
        if self.refused or result.config.simulated or (found := self._find(name, result)) is None:
            return ""
        faces, places = found
        if sample not in places:
            return ""
        if len(self.pictures) >= MOST_PICTURES:
            self.lost += 1
            return ""
        place = np.array([places[sample]])
        if result.config.model.network.clips:  # a clip has the name of its first frame
            place = find_middle(faces, places[sample])
        if len(faces.undrawn(place)):
            return ""
        self.pictures[key] = encode(faces.images[place][0, 0])
        return key

    def _find(self, name: str, result: Result) -> tuple[FaceSet, dict[str, int]] | None:
        """Return a built set and the row of each sample; None if it is not built, or not as it was for the run."""
        if name not in self._sets:
            self._sets[name] = None
            if is_built(self.data_root, name):
                try:
                    faces = load_set(self.data_root, name)
                    self._sets[name] = faces, {str(one): row for row, one in enumerate(faces.manifest["sample"])}
                except (FerError, DataError, OSError):
                    self.refused = self.refused or f"no images are shown: {name} cannot be read under {self.data_root}"
            else:
                self.refused = self.refused or f"no images are shown: {name} is not built under {self.data_root}"
        found = self._sets[name]
        if found is not None and found[0].info.fingerprint not in result.fingerprint.split("+"):
            self.refused = self.refused or f"no images are shown: {name} has changed since the runs were tested on it"
            return None
        return found


def find_middle(faces: FaceSet, row: int) -> np.ndarray:
    """Return the row (1,) of the middle frame of the clip that a row belongs to."""
    clip = faces.manifest["sequence"].iloc[row]
    rows = np.flatnonzero(faces.manifest["sequence"].to_numpy() == clip)
    rows = rows[np.argsort(faces.manifest["frame"].to_numpy()[rows], kind="stable")]
    return rows[[len(rows) // 2]]


def encode(image: np.ndarray) -> str:
    """Return an image (C, H, W) uint8 as the data URI of a JPEG."""
    import cv2

    picture = image[0] if len(image) == 1 else image.transpose(1, 2, 0)[..., ::-1]
    side = min(MOST_SIDE, max(LEAST_SIDE, picture.shape[0]))
    picture = cv2.resize(np.ascontiguousarray(picture), (side, side), interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 75])
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}"
