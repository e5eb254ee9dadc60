"""A trained network as a function from faces to class probabilities, with the preparation that its faces need."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from fer_cli.config import Compute, RunConfig, default_data_root
from fer_cli.data.landmarks import boxes_in_faces
from fer_cli.errors import DataError, ResultsError, nearest
from fer_cli.escape import cut
from fer_cli.learning.compute import use_threads
from fer_cli.learning.judge import judge_samples
from fer_cli.learning.saved import read_weights
from fer_cli.models.build import build_model
from fer_cli.models.scn import Recogniser as Network
from fer_cli.outputs import damage_error
from fer_cli.places import user_path
from fer_cli.results import Result
from fer_cli.runs import RunFolder
from fer_cli.use.exported import Exported, load_exported
from fer_cli.use.named import find_run
from fer_cli.use.preparation import Preparation, adopt_preparation, read_preparation

EXPORTED = ".onnx"
DEVICES = ("auto", "cpu", "cuda")
BATCH = 64
"""Samples per pass."""


class Recogniser(Protocol):
    """Recognises expressions in faces."""

    name: str
    """Run id, or name of an exported file."""
    classes: list[str]
    frames: int
    """Frames of a sample; 1: a still, or a clip of one frame."""
    preparation: Preparation
    notes: list[str]
    """What a user should know of it."""

    def predict(self, faces: np.ndarray, regions: np.ndarray | None = None) -> np.ndarray:
        """Return class probabilities (N, K) float32 of faces (N, C, H, H), or clips (N, S, C, H, H), uint8 crops.

        ``regions``: boxes (N, S, R, 4) in the crops if ``preparation.regions`` names any; by default, those of a face that
        fills the crop.
        """
        ...


class RunRecogniser:
    """The network of a finished run, in float32."""

    def __init__(
        self,
        name: str,
        network: Network,
        config: RunConfig,
        classes: list[str],
        preparation: Preparation,
        notes: list[str],
        device: str = "cpu",
    ) -> None:
        self.name, self.classes, self.preparation, self.notes = name, classes, preparation, notes
        self.config, self.device = config, device
        self.network = network.to(device).eval()
        self.frames = preparation.frames or 1

    @torch.inference_mode()
    def predict(self, faces: np.ndarray, regions: np.ndarray | None = None) -> np.ndarray:
        """Return class probabilities (N, K) float32; see ``Recogniser``."""
        clips = as_clips(faces, self.frames)
        if self.preparation.regions is not None and regions is None:
            whole = whole_regions(self.preparation)
            regions = np.broadcast_to(whole, (*clips.shape[:2], *whole.shape))
        found = np.empty((len(clips), len(self.classes)), np.float32)
        for start in range(0, len(clips), BATCH):
            here = slice(start, start + BATCH)
            images = torch.from_numpy(self.preparation.fit(clips[here])).to(self.device)
            boxes = None if regions is None else torch.from_numpy(np.array(regions[here], np.float32)).to(self.device)
            found[here] = judge_samples(self.network, images, self.config, None, boxes).logits.softmax(1).cpu().numpy()
        return valid(found, self.name)


class ExportedRecogniser:
    """The network of an exported file, with the preparation that the file states."""

    def __init__(self, exported: Exported, data_root: Path, detect: bool = True, detector_model: Path | None = None) -> None:
        """Take what ``fer_cli.use.exported`` read of a file."""
        self.name, self.classes, self.frames = exported.name, exported.classes, exported.frames
        self.exported = exported
        name = next(iter(exported.about.data))
        self.preparation = adopt_preparation(exported.preparation, name, data_root, detect, detector_model)
        self.notes = exported.notes

    def predict(self, faces: np.ndarray, regions: np.ndarray | None = None) -> np.ndarray:
        """Return class probabilities (N, K) float32; see ``Recogniser``."""
        crops = self.preparation.fit(as_clips(faces, self.frames))
        found: np.ndarray = self.exported.predict(crops, regions)
        return valid(found, self.name)


def valid(shares: np.ndarray, name: str) -> np.ndarray:
    """Return probabilities (N, K); raises ResultsError for NaN, of which some class would be the highest."""
    if np.isnan(shares).any():
        raise ResultsError(f"{name}: answers with NaN, so its weights are damaged or its training failed; train it again")
    return shares


def as_clips(faces: np.ndarray, frames: int) -> np.ndarray:
    """Return faces (N, [S,] C, H, W) as (N, S, C, H, W); raises DataError for another number of frames or type."""
    clips = faces[:, None] if faces.ndim == 4 else faces
    if clips.ndim != 5 or clips.dtype != np.uint8 or clips.shape[1] != frames:
        shape = " x ".join(map(str, faces.shape))
        raise DataError(f"faces: (N, {frames}, C, H, W) uint8 are needed, not {shape} {faces.dtype}")
    return clips


def whole_regions(preparation: Preparation) -> np.ndarray:
    """Return the boxes (R, 4) float32 of the regions of a face that fills the crop."""
    whole: np.ndarray = boxes_in_faces(np.array([[0.0, 0.0, 1.0, 1.0]]), str(preparation.regions))[0]
    return whole


def load_recogniser(
    results: Path,
    run: str | Path,
    data_root: Path | None = None,
    *,
    detect: bool = True,
    device: str = "auto",
    threads: int = 1,
    detector_model: Path | None = None,
    can_skip: bool = True,
) -> Recogniser:
    """Return the recogniser of an exported file, or of a finished run: id, beginning of one, folder or ``study:arm``.

    ``detect``: whether faces will be detected, which needs the run's data set; ``can_skip``: whether an error may name the
    option not to. Raises FerErrors as ``find_run`` and
    ``read_preparation`` do, DamagedError for weights that do not fit, ResultsError for a device that cannot be used.
    """
    root = data_root or default_data_root()
    if device not in DEVICES:
        raise ResultsError(f"--device {cut(device)}: must be one of {', '.join(DEVICES)}{nearest(device, DEVICES)}")
    if str(run).lower().endswith(EXPORTED):
        if device == "cuda":
            raise ResultsError(f"--device cuda: {cut(run)} runs on the CPU; leave --device away, or name the run itself")
        return ExportedRecogniser(load_exported(user_path(run), threads), root, detect, detector_model)
    compute = Compute(data_root=root, results=results, device=device, precision="fp32", threads=threads)  # type: ignore[arg-type]
    resolved = use_threads(compute)
    folder, result, why = find_run(str(run), compute)
    preparation, notes = read_preparation(result.config, result.fingerprint, root, detect, detector_model, can_skip)
    if result.config.model.adapt != "none":
        notes.append("its batch norms are those of training; its test scores are of norms adapted to the test set")
    network = load_network(folder, result)
    chosen = [f"run {folder.run_id}: {why}"] if why else []
    return RunRecogniser(
        folder.run_id, network, result.config, result.data.classes, preparation, [*chosen, *notes], resolved.device
    )


def load_network(folder: RunFolder, result: Result) -> Network:
    """Return the network behind a run's test scores; raises DamagedError if its weights do not fit."""
    config = result.config
    path = folder.file(result.selection.weights)
    content = read_weights(path)
    if content["classes"] != result.data.classes:
        raise damage_error(path, "trained on other classes than those of the result")
    bare = config.model.model_copy(update={"weights": None, "weights_sha256": None, "pretrain": None, "freeze": False})
    alpha, frames = config.learning.parts.attention, config.data.frames if bare.network.clips else 1
    network = build_model(bare, len(result.data.classes), alpha, config.data.image_size, frames=frames)
    try:
        network.load_state_dict(content["state"])
    except (RuntimeError, TypeError, AttributeError) as error:  # names or shapes of another network
        raise damage_error(path, str(error)) from None
    return network
