"""The test clips of a finished run with what its network attended to, and the training labels that it replaced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from fer_cli.analysis.reopen import Reopened, reopen
from fer_cli.config import Compute
from fer_cli.data.block import pictures
from fer_cli.data.datamodule import Part
from fer_cli.data.manifest import TRUTH
from fer_cli.plan import Item


@dataclass(frozen=True)
class Clips:
    """Test clips: N clips of T frames with R regions."""

    part: Part
    labels: list[str]
    """(N,) true labels."""
    people: np.ndarray
    """(N,) persons."""
    boxes: np.ndarray | None
    """(N, T, R, 4) float32 in [0, 1]: x0, y0, x1, y1; None if the network takes no regions."""
    frames: np.ndarray | None
    """(N, T) attention over frames, which sums to 1."""
    regions: np.ndarray | None
    """(N, R) weights of regions in (0, 1)."""
    intensity: np.ndarray | None
    """(N, T) true intensity of the expression; None where it is not known."""

    def pick(self, count: int) -> list[int]:
        """Return the positions of at most ``count`` clips, each the first of its class, then of classes again."""
        order: list[int] = []
        for turn in range(count):
            for label in dict.fromkeys(self.labels):
                of_class = [place for place, name in enumerate(self.labels) if name == label]
                order += of_class[turn : turn + 1]
        return order[:count]

    def strip(self, place: int) -> list[np.ndarray]:
        """Return the frames of a clip, (H, W) or (H, W, 3) uint8."""
        return list(pictures(self.part.images[[place]].numpy()))


@torch.no_grad()
def see_test_clips(item: Item, compute: Compute) -> Clips:
    """Return the test clips of a finished run; raises ResultsError if its weights are missing."""
    run = reopen(item, compute)
    part, parts, device = run.data.test, list[dict[str, torch.Tensor]](), run.resolved.device
    for batch in run.data.test_dataloader():
        boxes = None if batch.boxes is None else batch.boxes.to(device)
        parts.append(run.network.attention(run.module.pixels(batch.images.to(device)), boxes))
    found = {name: torch.cat([one[name] for one in parts]).float().cpu().numpy() for name in parts[0]}
    labels = [run.data.classes[code] for code in part.labels.tolist()]
    boxes = None if part.boxes is None else part.boxes.numpy()
    intensity = true_intensity(run, compute)
    return Clips(part, labels, run.data.test_people, boxes, found.get("frames"), found.get("regions"), intensity)


def true_intensity(run: Reopened, compute: Compute) -> np.ndarray | None:
    """Return the true intensity (N, T) of the expression in the frames of the test clips; None where it is not known."""
    path = compute.data_root / run.data.config.data.sets[-1] / TRUTH
    if not path.is_file():
        return None
    truth = pd.read_parquet(path)
    return truth["intensity"].to_numpy()[run.data.test.images.images.rows] if "intensity" in truth else None


@dataclass(frozen=True)
class Change:
    """A training clip whose label a run replaced: its frames and labels."""

    frames: list[np.ndarray]
    true: str
    given: str
    new: str


def see_corrections(item: Item, compute: Compute, count: int) -> list[Change] | None:
    """Return at most ``count`` training samples whose label a finished run replaced; None if it replaces none."""
    path = item.folder.path / "labels.parquet"
    if not path.is_file():
        return None
    labels = pd.read_parquet(path)
    replaced = labels[labels["label_current"] != labels["label_given"]].head(count)
    if replaced.empty:
        return None
    part, columns = reopen(item, compute).data.train, ["sample", "label_true", "label_given", "label_current"]
    place = {sample: position for position, sample in enumerate(part.samples)}
    return [
        Change(list(pictures(part.images[[place[sample]]].numpy())), true, given, new)
        for sample, true, given, new in replaced[columns].to_numpy().tolist()
    ]
