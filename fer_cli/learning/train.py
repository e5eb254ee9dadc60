"""``train_run``: train on the training part, select the epoch on the validation part, predict the test part once.

The result is a function of (RunConfig, data, device, precision, threads).
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch.utils.data import DataLoader

from fer_cli.config import Compute, RunConfig
from fer_cli.data.datamodule import Batch, RunData
from fer_cli.errors import DamagedError
from fer_cli.learning.adapt import adapted_norms, deal_folds
from fer_cli.learning.choices import choose_layout
from fer_cli.learning.compute import ResolvedCompute, use_threads
from fer_cli.learning.confident import CONFIDENT, clean_labels, require_cleanlab
from fer_cli.learning.handcrafted import describe_features, extract_features
from fer_cli.learning.health import correction_scores, inert_warnings
from fer_cli.learning.module import FerModule
from fer_cli.learning.networks import load_start_weights
from fer_cli.learning.outcome import describe_data, new_result, prediction_frame, write_predictions
from fer_cli.learning.record import Record, load_backbone, load_weights
from fer_cli.learning.saved import read_tensors
from fer_cli.learning.sets import open_sets
from fer_cli.learning.suspects import SUSPECTS, THUMBNAILS, find_suspects, write_suspects
from fer_cli.learning.trainer import new_trainer
from fer_cli.models.build import build_model
from fer_cli.models.counts import count_known, count_multiply_adds, count_parameters
from fer_cli.outputs import damage_error
from fer_cli.places import whole_file
from fer_cli.results import Cost, Learned, Origin, Relabelled, Result, Seconds, Selection
from fer_cli.runs import OnEpoch, RunFolder
from fer_cli.seeds import derive_seed
from fer_cli.signals import ending

FOLD = "-fold-"
"""In the names of files of the trainings on folds of the training part."""

OF_TRAINING = (
    "best*.pt",
    "history*.csv",
    "centres*.csv",
    "labels.parquet",
    CONFIDENT,
    SUSPECTS,
    f"{THUMBNAILS}/*.png",
)
"""Files that a training leaves in a run's folder, and that a run which shares it has, too."""

log = logging.getLogger("fer")


def train_run(
    config: RunConfig,
    compute: Compute,
    folder: RunFolder,
    on_epoch: OnEpoch = lambda *_: None,
    start: RunFolder | None = None,
    trained: RunFolder | None = None,
) -> Result:
    """Train, select, predict; return the result and write ``predictions.parquet`` and weights to ``folder``.

    ``start``: the run with the initial weights. ``trained``: a finished run with the same training, which is reused. An
    interrupted training in ``folder`` is resumed after its last complete epoch.
    """
    began = time.monotonic()
    resolved = prepare_torch(compute)
    data, fingerprint = load_data(config, compute)
    if compute.layout == "auto":
        resolved = choose_layout(lambda: new_module(config, data).model, config, len(data.train), resolved)
    own, shapes = "own" in config.model.network.takes, input_shapes(config, data)
    adds = count_known(new_module(config, data).model, *shapes) if own else None  # what may fail does before training
    if trained is None:
        module, learned, training = learn(config, data, resolved, folder, on_epoch, start)
    else:
        module, learned, training = reuse_training(config, data, resolved, folder, trained)
    metrics = write_predictions(predict(module, data, resolved), data, folder)
    cost = Cost(
        parameters=count_parameters(module.model),
        multiply_adds=adds if own else count_multiply_adds(module.model, *shapes),
        seconds=Seconds(total=time.monotonic() - began, training=training),
    )
    described = describe_data(data, fingerprint, config.train.class_balance)
    return new_result(config, folder, described, metrics, learned, cost, resolved, start, trained, data.about_joined)


def learn(
    config: RunConfig,
    data: RunData,
    resolved: ResolvedCompute,
    folder: RunFolder,
    on_epoch: OnEpoch,
    start: RunFolder | None,
) -> tuple[FerModule, Learned, float]:
    """Train and select; return the module with the selected weights, the training record, and the training seconds."""
    margins = config.learning.margins
    confident = config.learning.confident != "none"
    folds = config.learning.confident_folds if confident else 0

    def report_progress(stage: int, epoch: int, row: dict[str, float]) -> None:
        folder.write_progress(stage * config.train.epochs + epoch, (folds + len(margins)) * config.train.epochs)
        if stage >= folds and len(margins) == 1:  # curves are of one training
            on_epoch(epoch, row)

    found: dict[str, float] = {}
    spent = 0.0
    if confident:
        require_cleanlab()
        began = time.monotonic()
        data, found = clean_labels(config, data, folder, partial(fit_fold, resolved, folder, report_progress, start))
        spent = time.monotonic() - began
    candidates = [
        fit(config, data, resolved, folder, partial(report_progress, folds + stage), start, margin)
        for stage, margin in enumerate(margins)
    ]
    lower = config.train.select_on == "val/loss"
    module, record = min(candidates, key=lambda fitted: fitted[1].best_value * (1 if lower else -1))
    for row in record.rows if len(margins) > 1 else []:  # only now is the training known that counts
        on_epoch(int(row["epoch"]), row)
    labels = current_labels(module, data)
    load_weights(record.best_path, module)
    if labels is not None:
        with whole_file(folder.file("labels.parquet")) as draft:
            labels.to_parquet(draft, index=False)
    notes = inert_warnings(record.rows, config.learning, config.train.epochs)
    for note in notes:
        log.warning(note)
    selection = Selection(
        rule=config.train.select_on,
        epoch=record.best_epoch,
        value=record.best_value,
        relabel_margin=module.config.learning.relabel_margin,
        weights=record.best_path.name,
    )
    relabelled = None
    if config.learning.parts.relabels:
        scores = correction_scores(module.label_true, module.label_given, module.label_current)
        relabelled = Relabelled(count=int(sum(row["relabel/count"] for row in record.rows)), **scores)  # type: ignore[arg-type]
        note_suspects(module, data, resolved, folder)
    logged = ("alpha", "relabel", "labels", "regions")
    health = {name: value for name, value in record.rows[-1].items() if name.startswith(logged)} | found
    learned = Learned(selection=selection, relabelled=relabelled, health=health, warnings=notes, weights=module.weights_note)
    for needless in folder.path.glob(f"*{FOLD}*"):
        needless.unlink()
    return module, learned, spent + sum(row["seconds"] for row in record.rows)


def fit_fold(
    resolved: ResolvedCompute,
    folder: RunFolder,
    report_progress: Callable[[int, int, dict[str, float]], None],
    start: RunFolder | None,
    config: RunConfig,
    data: RunData,
    number: int,
) -> Callable[[RunData], np.ndarray]:
    """Train the network of one fold of the training part, and return what predicts other data's training part (n, K).

    The prediction is of the last epoch, by no image's choice. The fold's files are removed at the end of the run.
    """
    module, _ = fit(config, data, resolved, folder, partial(report_progress, number), start, stage=f"{FOLD}{number}")
    trainer = new_trainer(1, resolved, Path(), [])
    return lambda other: judge(trainer, module, other.ordered_dataloader(other.train))[0]


def reuse_training(
    config: RunConfig, data: RunData, resolved: ResolvedCompute, folder: RunFolder, trained: RunFolder
) -> tuple[FerModule, Learned, float]:
    """Return the same as ``learn`` from a finished run with the same training, and copy its files to ``folder``."""
    result = trained.result()
    for file in (file for pattern in OF_TRAINING for file in trained.path.glob(pattern)):
        with whole_file(folder.path / file.relative_to(trained.path)) as draft:
            shutil.copyfile(file, draft)
    module = new_module(config, data)
    if resolved.channels_last:
        module.to(memory_format=torch.channels_last)
    load_weights(folder.file(result.selection.weights), module)
    taken = {name: getattr(result, name) for name in Learned.model_fields}
    origin = Origin(machine=result.machine, provenance=result.provenance)
    return module, Learned(**taken | {"trained_on": origin}), result.cost.seconds.training


def input_shapes(config: RunConfig, data: RunData) -> list[tuple[int, ...] | None]:
    """Return the input shapes of a run's network for one sample: image or clip, additional features and boxes, or None."""
    side, frames = config.data.image_size, data.val.images.shape[1]
    image = (config.model.channels, side, side)
    boxes = None if data.val.boxes is None else tuple(data.val.boxes.shape[1:])
    sample = (frames, *image) if config.model.network.clips else image
    return [sample, (data.joined,) if data.joined else None, boxes]


def load_data(config: RunConfig, compute: Compute) -> tuple[RunData, str]:
    """Return a run's data and the fingerprint of its data sets."""
    sets = open_sets(config, compute)
    data = RunData(sets[0], config, *sets[1:])
    if config.features.joined:
        features = extract_features(config, compute, data)
        data.join(features.values, describe_features(features))
    return data, "+".join(one.info.fingerprint for one in sets)


def prepare_torch(compute: Compute) -> ResolvedCompute:
    """Set the number of threads, silence Lightning, and return the resolved compute settings."""
    for name in ("pytorch_lightning", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    ignored = "does not have many workers|is smaller than the logging interval|Checkpoint directory|treespec, LeafSpec"
    warnings.filterwarnings("ignore", message=f".*({ignored}).*")
    return use_threads(compute)


def fit(
    config: RunConfig,
    data: RunData,
    resolved: ResolvedCompute,
    folder: RunFolder,
    on_epoch: OnEpoch,
    start: RunFolder | None = None,
    margin: float | None = None,
    stage: str = "",
) -> tuple[FerModule, Record]:
    """Train once, resuming from an intact ``last.ckpt``; ``margin``: delta 2 if searched; ``start``: as in ``train_run``.

    ``stage``: what the names of the training's files end in, if the run has others.
    """
    stage = stage if margin is None else f"-margin-{margin}"
    if margin is not None:
        learning = config.learning.model_copy(update={"relabel_margin": margin})
        config = config.model_copy(update={"learning": learning})
    record = Record(folder, config, on_epoch, stage)
    checkpoint = find_checkpoint(record.last_path)
    module = new_module(config, data)
    if start is not None:
        load_backbone(start.file("best.pt"), module)
    if resolved.channels_last:
        module.to(memory_format=torch.channels_last)
    trainer = new_trainer(config.train.epochs, resolved, folder.path, [record])
    try:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as end:
        if end.code == 1 and trainer.interrupted:  # Lightning's form of Ctrl-C
            raise KeyboardInterrupt from None
        if ending.is_set() or isinstance(end, SIGTERMException):
            raise
        raise RuntimeError(f"the training was ended by SystemExit({end.code!r}), as sys.exit() in a network does") from end
    if math.isnan(record.best_value):
        raise FloatingPointError(f"{config.train.select_on} was NaN in every epoch; lower train.lr")
    return module, record


def new_module(config: RunConfig, data: RunData) -> FerModule:
    """Return a newly initialised module; initial weights depend on the seed only, not on the arm."""
    torch.manual_seed(derive_seed(config.seed, "weights"))
    alpha, size = config.learning.parts.attention, config.data.image_size
    model = build_model(config.model, len(data.classes), alpha, size, data.joined, config.data.frames)
    file, sha256 = config.model.weights, config.model.weights_sha256
    note = None if file is None else load_start_weights(model, file, sha256, data.classes)
    if config.model.normalise == "train":
        model.mean.fill_(data.mean)
        model.std.fill_(data.std)
    module = FerModule(model, config, data)
    module.weights_note = note
    return module


def find_checkpoint(path: Path) -> Path | None:
    """Return ``path`` if it is an intact checkpoint to resume from, else None."""
    if not os.path.lexists(path):
        return None
    try:
        content = read_tensors(path)
        if not isinstance(content, dict) or not {"state_dict", "epoch", "callbacks", "optimizer_states"} <= set(content):
            raise damage_error(path, "contains no training state")
    except DamagedError as error:
        log.warning("%s; training starts over", error)
        return None
    return path


def predict(module: FerModule, data: RunData, resolved: ResolvedCompute) -> pd.DataFrame:
    """Return the predictions of validation and test part, and alpha; the only use of the test part, after selection.

    A trial predicts the validation part only.
    """
    trainer = new_trainer(1, resolved, Path(), [])
    frames = []
    for part in ("val",) if module.config.trial else ("val", "test"):
        loader = data.val_dataloader() if part == "val" else data.test_dataloader()
        if part == "test" and module.config.model.adapt != "none":
            probabilities, alpha = judge_adapted(trainer, module, data, resolved)
        else:
            probabilities, alpha = judge(trainer, module, loader)
        truth = loader.dataset.labels.numpy()  # type: ignore[attr-defined]
        frame = prediction_frame(part, data, truth, probabilities.argmax(1), probabilities)
        if alpha is not None:
            frame["alpha"] = alpha
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def judge(trainer: pl.Trainer, module: FerModule, loader: DataLoader[Batch]) -> tuple[np.ndarray, np.ndarray | None]:
    """Return class probabilities (N, K) and alpha (N,), if the network has any, of a part's images."""
    batches = trainer.predict(module, loader) or []
    probabilities = torch.cat([batch[0] for batch in batches]).float().numpy()
    if module.judged.alpha is None:
        return probabilities, None
    return probabilities, torch.cat([batch[1] for batch in batches]).float().numpy()


def judge_adapted(
    trainer: pl.Trainer, module: FerModule, data: RunData, resolved: ResolvedCompute
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return ``judge`` of the test images, each fold of its people with batch norms of the others' unlabelled images."""
    folds = deal_folds(data.test_people, str(data.config.data.test), data.config.data.split_seed)
    parts = []
    for fold in folds:
        others = np.setdiff1d(np.arange(len(data.test)), fold)
        with adapted_norms(module, data, others, resolved):
            parts.append(judge(trainer, module, data.test_dataloader(fold)))
    order = np.argsort(np.concatenate(folds), kind="stable")
    alphas = [alpha for _, alpha in parts if alpha is not None]
    return np.concatenate([part for part, _ in parts])[order], np.concatenate(alphas)[order] if alphas else None


def note_suspects(module: FerModule, data: RunData, resolved: ResolvedCompute, folder: RunFolder) -> None:
    """Write the training samples whose label the selected network doubts; see ``fer_cli.learning.suspects``."""
    probabilities, alpha = judge(new_trainer(1, resolved, Path(), []), module, data.ordered_dataloader(data.train))
    assert alpha is not None
    write_suspects(find_suspects(module, data, probabilities, alpha), data, folder)


def current_labels(module: FerModule, data: RunData) -> pd.DataFrame | None:
    """Return the true, given and current training labels; None if they cannot differ, or ``confident.parquet`` has them."""
    learning = module.config.learning
    if not learning.parts.relabels and (learning.confident != "none" or not module.config.data.plants_noise):
        return None
    names = np.array(data.classes)
    columns = {"label_true": module.label_true, "label_given": module.label_given, "label_current": module.label_current}
    named = {column: names[codes.cpu().numpy()] for column, codes in columns.items()}
    return pd.DataFrame({"sample": data.samples["train"], **named})
