"""Training labels that the trained network doubts, for review (teacher study 2024, section 2.4: "semi-automated").

``suspects.csv`` has a row per doubted training sample: its given and proposed label, the importance weight alpha, and the
gap P(proposed) - P(given), both of the selected network on the sample without augmentation. Its column ``label`` holds the
proposal. After review (rows removed, or other labels filled in) the file can be given back as ``data.noise_file``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fer_cli.data.block import pictures
from fer_cli.data.cards import has_card, load_card
from fer_cli.data.datamodule import RunData
from fer_cli.learning.module import FerModule
from fer_cli.learning.relabel import thresholds
from fer_cli.places import whole_file
from fer_cli.runs import RunFolder

SUSPECTS = "suspects.csv"
THUMBNAILS = "suspects"
"""Folder of the thumbnails beside the table."""
SHOWN = 100
"""The most doubted samples, which get a thumbnail."""


def find_suspects(module: FerModule, data: RunData, probabilities: np.ndarray, alpha: np.ndarray) -> pd.DataFrame:
    """Return the doubted training samples, most doubted first; see the module.

    ``probabilities`` (N, K) and ``alpha`` (N,) are of the training part in order. A label is doubted if the most probable
    class exceeds it by the margin of relabelling, whatever alpha; what the run relabelled itself is in ``labels.parquet``.
    """
    given = module.label_given.cpu().numpy()
    best = probabilities.argmax(1)
    rows = np.arange(len(given))
    gap = probabilities[rows, best] - probabilities[rows, given]
    margin = thresholds(torch.from_numpy(alpha), module.config.learning).numpy()
    doubted = np.flatnonzero(gap > margin)
    doubted = doubted[np.argsort(-gap[doubted], kind="stable")]
    names = np.array(data.classes)
    columns = {
        "sample": data.samples["train"][doubted],
        "given": names[given[doubted]],
        "proposed": names[best[doubted]],
        "label": names[best[doubted]],
        "alpha": alpha[doubted].round(4),
        "gap": gap[doubted].round(4),
        "thumbnail": "",
    }
    return pd.DataFrame(columns, index=doubted)


def write_suspects(suspects: pd.DataFrame, data: RunData, folder: RunFolder) -> Path:
    """Write the table and, where the set's card allows, thumbnails of its first samples; return the table's path."""
    name = data.config.data.name
    if has_card(name) and load_card(name).redistributable:
        (folder.path / THUMBNAILS).mkdir(exist_ok=True)
        for number, position in enumerate(suspects.index[:SHOWN]):
            file = f"{THUMBNAILS}/{number + 1:03d}.png"
            draw_thumbnail(data, position, folder.path / file)
            suspects.loc[position, "thumbnail"] = file
    path = folder.file(SUSPECTS)
    with whole_file(path) as draft:
        suspects.to_csv(draft, index=False)
    return path


def draw_thumbnail(data: RunData, position: int, path: Path) -> None:
    """Write one training sample as a PNG: an image, or eight frames of a clip in a row."""
    import cv2

    frames = list(pictures(data.train.images[[position]].numpy()))
    chosen = [frames[place] for place in np.unique(np.linspace(0, len(frames) - 1, 8).round().astype(int))]
    strip = np.concatenate(chosen, 1)
    strip = cv2.cvtColor(strip, cv2.COLOR_RGB2BGR) if strip.ndim == 3 else strip
    with whole_file(path) as draft:
        draft.write_bytes(cv2.imencode(".png", strip)[1].tobytes())
