"""``fer export``: a finished run's network as one file, checked against PyTorch, with a model card beside it."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fer_cli import __version__
from fer_cli.config import Compute, RunConfig
from fer_cli.data.block import open_block
from fer_cli.data.datamodule import Part, RunData
from fer_cli.data.manifest import IMAGES, SetInfo, verified_info
from fer_cli.errors import DataError, ResultsError, StudyError, nearest
from fer_cli.escape import cut
from fer_cli.learning.compute import use_threads
from fer_cli.places import whole_file
from fer_cli.results import Result
from fer_cli.runs import RunFolder
from fer_cli.use.exported import (
    ABOUT_KEY,
    BOXES,
    DIGEST_KEY,
    FACES,
    FORMAT,
    FORMAT_KEY,
    OUTPUT,
    SUFFIX,
    About,
    Preparation,
    check_installed,
    new_session,
    seal,
)
from fer_cli.use.graph import Judge, example_inputs, to_graph
from fer_cli.use.intervals import choose_sampled, gain_interval
from fer_cli.use.model_card import Int8, Measured, write_card
from fer_cli.use.named import find_run
from fer_cli.use.preparation import FacelessError, read_preparation
from fer_cli.use.quantise import Inputs, quantise
from fer_cli.use.recogniser import load_network

FORMATS = ("onnx",)
PARITY = 1e-4
"""Largest difference between probabilities of the file in float32 and of PyTorch."""
COMPARED = 5
"""Samples of random patches that they are compared on; not the number that the graph was traced with."""
CALIBRATION = 256
"""Validation samples that int8 is calibrated on, evenly spaced in the part."""
FRAMES = 64
"""Frames per batch of calibration and test."""
REPEATS = 30
"""Timed passes of one sample."""


@dataclass(frozen=True)
class Written:
    """What an export wrote and measured."""

    file: Path
    card: Path
    about: About
    measured: Measured


def export_run(
    run: str,
    compute: Compute,
    out: Path | None = None,
    kind: str = "onnx",
    int8: bool = False,
    replace: bool = False,
    on_step: Callable[[str], None] = lambda _: None,
    detector_model: Path | None = None,
) -> Written:
    """Write a finished run's network, and its card, to ``out`` (default: below ``exports`` in the results folder).

    ``run``: id, its first characters, folder, or ``study:arm``. ``on_step``: called with what is begun.
    ``detector_model``: file of a detector that needs one. Raises StudyError for an unknown format, FerError for missing
    packages, ResultsError for a run without a network for pictures and for existing files, DataError for a missing or
    changed data set.
    """
    if kind not in FORMATS:
        raise StudyError(f"--format {cut(kind)}: unknown{nearest(kind, FORMATS)}")
    check_installed("onnx", "onnxscript", "onnxruntime")
    folder, result, _ = find_run(run, compute)
    refuse_adapted(result)
    file = out or compute.results / "exports" / f"{folder.run_id}{'-int8' * int8}{SUFFIX}"
    if file.suffix != SUFFIX:
        raise StudyError(f"--out {cut(file, 300)}: must end in {SUFFIX}, by which commands know an exported file")
    card = file.with_suffix(".md")
    if there := [str(path) for path in (file, card) if os.path.lexists(path)]:
        if not replace:
            raise ResultsError(f"{', '.join(there)}: already there; add --replace to overwrite, or choose another --out")
        if folders := [path for path in (file, card) if path.is_dir()]:
            raise ResultsError(f"{folders[0]}: a folder; choose another --out")
    use_threads(compute)
    infos = read_sets(result, compute.data_root)
    with whole_file(card) as card_draft, whole_file(file) as draft:
        draft.touch()  # an unwritable place shows now, not after a minute of work
        card_draft.touch()
        about, content, measured = make_file(folder, result, infos, compute, int8, on_step, detector_model)
        draft.write_bytes(content)
        write_card(card_draft, file.name, result, infos, about, measured, folder, compute.data_root)
    return Written(file, card, about, measured)


def refuse_adapted(result: Result) -> None:
    """Raise ResultsError for a run whose scores are not those of one network."""
    if result.config.model.adapt != "none":
        other = f"; export {result.trained_by}, which trained it" if result.trained_by else ""
        raise ResultsError(f"run {result.run_id}: its scores are of batch norms adapted to each part of the test set{other}")


def read_sets(result: Result, data_root: Path) -> list[SetInfo]:
    """Return the infos of a run's data sets; raises DataError if one is missing or is not what the run was trained on."""
    infos = [verified_info(data_root, name) for name in result.config.data.sets]
    found = "+".join(info.fingerprint for info in infos)
    if found != result.fingerprint:
        raise DataError(
            f"{' and '.join(info.name for info in infos)}: built again since run {result.run_id} was trained "
            f"({found}, then {result.fingerprint}), so the preparation to export is unknown; give its --data-root, or "
            "train again"
        )
    return infos


def make_file(
    folder: RunFolder,
    result: Result,
    infos: list[SetInfo],
    compute: Compute,
    int8: bool,
    on_step: Callable[[str], None],
    detector_model: Path | None = None,
) -> tuple[About, bytes, Measured]:
    """Return what the file states, its content, and what was measured on it."""
    import onnx

    config = result.config
    about, notes = describe(result, infos, compute.data_root, int8, detector_model)
    judge = Judge(load_network(folder, result), config).eval()
    on_step("writing the network as a graph")
    model = to_graph(judge, example_inputs(config, about.preparation.channels))
    plain = new_session(model.SerializeToString(), compute.threads, folder.path)
    parity = measure_parity(judge, plain, about)
    one = as_inputs(*example_inputs(config, about.preparation.channels, 1))
    times = {"fp32": time_passes(plain, one)}
    lost = None
    if int8:
        from fer_cli.learning.train import load_data

        on_step("calibrating int8 on validation samples")
        data, _ = load_data(config, compute)
        chosen = np.unique(np.linspace(0, len(data.val) - 1, CALIBRATION).round().astype(int))
        model = quantise(model, batches(data.val, config, chosen))
        session = new_session(model.SerializeToString(), compute.threads, folder.path)
        on_step("testing int8")
        lost = measure_int8(plain, session, data, config)
        times["int8"] = time_passes(session, one)
    for key, value in {FORMAT_KEY: str(FORMAT), DIGEST_KEY: "0" * 64, ABOUT_KEY: about.model_dump_json()}.items():
        onnx.helper.set_model_props(model, {prop.key: prop.value for prop in model.metadata_props} | {key: value})
    model.producer_name, model.producer_version = "fer", __version__
    content = seal(model.SerializeToString())
    return about, content, Measured(parity, times, compute.threads, len(content), lost, notes)


def describe(
    result: Result, infos: list[SetInfo], data_root: Path, int8: bool, detector_model: Path | None = None
) -> tuple[About, list[str]]:
    """Return what a file states about itself, and what its user should know of the preparation."""
    config, network, source = result.config, result.config.model.network, infos[0]
    colour = config.model.channels == 3 and open_block(data_root / source.name / IMAGES).channels == 3
    try:
        used, notes = read_preparation(config, result.fingerprint, data_root, model=detector_model, can_skip=False)
    except FacelessError as error:
        used, notes = read_preparation(config, result.fingerprint, data_root, detect=False)
        notes.append(f"{error}; use fer predict --no-detect with pictures that are")
    preparation = Preparation(
        framing=None if used.framing is None else used.framing.model_dump(),
        interval_s=used.interval_s,
        size=config.data.image_size,
        channels=3 if colour else 1,
        normalise=config.model.normalise,
        mirror_average=config.model.mirror_average,
        frames=config.data.frames if network.clips else None,
        regions=config.model.regions if network.regions else None,
        landmarks=config.data.landmarks if network.regions else None,
        stored=source.image_size,
        steps=source.preprocessing,
    )
    about = About(
        run=result.run_id,
        fer=__version__,
        commit=result.origin.provenance.commit,
        backbone=config.model.backbone,
        classes=result.data.classes,
        preparation=preparation,
        data={info.name: info.fingerprint for info in infos},
        precision="int8" if int8 else "fp32",
    )
    return about, notes


def as_inputs(faces: torch.Tensor, boxes: torch.Tensor | None = None) -> Inputs:
    """Return the inputs of a graph by name."""
    return {FACES: faces.numpy()} | ({} if boxes is None else {BOXES: boxes.numpy()})


def measure_parity(judge: Judge, session: Any, about: About) -> float:
    """Return the largest difference of probabilities between file and PyTorch; raises ResultsError above ``PARITY``."""
    given = example_inputs(judge.config, about.preparation.channels, COMPARED, seed=1)
    with torch.inference_mode():
        expected = judge(*given).numpy()
    parity = float(np.abs(session.run([OUTPUT], as_inputs(*given))[0] - expected).max())
    if not parity <= PARITY:
        raise ResultsError(
            f"run {about.run}: probabilities of the ONNX file differ from PyTorch's by {parity:.1g}, more than {PARITY:g}; "
            "nothing was written; report this with the versions of torch and onnxruntime"
        )
    return parity


def batches(part: Part, config: RunConfig, positions: np.ndarray) -> Iterator[Inputs]:
    """Yield the samples of a part at ``positions`` (n,) as a graph takes them."""
    step = max(1, FRAMES // part.images.shape[1])
    for start in range(0, len(positions), step):
        here = positions[start : start + step]
        images = part.images[here]
        faces = images if config.model.network.clips else images[:, 0]
        yield as_inputs(faces, None if part.boxes is None else part.boxes[torch.from_numpy(here)])


def measure_int8(plain: Any, session: Any, data: RunData, config: RunConfig) -> Int8:
    """Return the test accuracy of both files, and the interval of the difference."""
    everything, truth = np.arange(len(data.test)), data.test.labels.numpy()
    right = []
    for one in (plain, session):
        answers = [one.run([OUTPUT], given)[0].argmax(1) for given in batches(data.test, config, everything)]
        right.append(np.concatenate(answers) == truth)
    sampled = choose_sampled(data.test_people)
    return Int8(
        calibrated=min(CALIBRATION, len(data.val)),
        n=len(truth),
        fp32=float(right[0].mean()),
        int8=float(right[1].mean()),
        interval=gain_interval(right[1], right[0], sampled),
        drawn=sampled.words,
    )


def time_passes(session: Any, given: Inputs) -> float:
    """Return the median seconds of a pass of one sample."""
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        session.run([OUTPUT], given)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
