"""Outcome of a run: predictions, their scores and the description of its data, as one ``Result``."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fer_cli.config import RunConfig
from fer_cli.data.datamodule import RunData
from fer_cli.learning.compute import ResolvedCompute
from fer_cli.outputs import PREDICTIONS, count_predictions
from fer_cli.places import whole_file
from fer_cli.provenance import provenance
from fer_cli.results import Code, Cost, Data, Drawn, Learned, MachineRecord, Result, Scores
from fer_cli.runs import RunFolder


def prediction_frame(part: str, data: RunData, truth: np.ndarray, codes: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    """Return one row per image of ``part``, from true and predicted codes (N,) and class probabilities (N, K)."""
    names = np.array(data.classes)
    columns = {"part": part, "sample": data.samples[part], "label": names[truth], "predicted": names[codes]}
    return pd.DataFrame(columns | {f"p_{name}": scores[:, code] for code, name in enumerate(data.classes)})


def write_predictions(predictions: pd.DataFrame, data: RunData, folder: RunFolder) -> dict[str, Scores]:
    """Write ``predictions.parquet``, with the column ``face`` if faces were detected, and return the scores of its parts."""
    if data.test_faces is not None:
        found = predictions["sample"].map(data.test_faces).where(predictions["part"] == "test")
        predictions = predictions.assign(face=found.astype("boolean"))
    with whole_file(folder.file(PREDICTIONS)) as draft:
        predictions.to_parquet(draft, index=False)
    counts = count_predictions(folder.file(PREDICTIONS), data.classes)
    return {part: Scores.of(matrix, data.classes) for part, matrix in counts.items()}


def describe_data(data: RunData, fingerprint: str, balance: float) -> Data:
    """Return the description of a run's data; ``balance``: the degree of class-balanced sampling, 0 to 1."""
    return Data(
        fingerprint=fingerprint,
        classes=data.classes,
        train=len(data.train),
        val=len(data.val),
        test=len(data.parts.get("test", ())),
        absent=data.absent,
        split_hash=data.split.hash,
        test_hash=None if data.config.trial else data.split.test_hash,
        shared_subjects=data.split.shared_subjects,
        test_subjects=data.split.test_subjects,
        shared_sequences=data.split.shared_sequences,
        test_sequences=data.split.test_sequences,
        noise_seed=data.noise_seed if data.config.data.label_noise else None,
        dropped=data.dropped,
        flipped=int((data.train.labels.numpy() != data.true_labels).sum()),
        counted=data.counted,
        drawn=Drawn(**data.expected_noise(balance)._asdict()) if data.config.data.plants_noise else None,
    )


def new_result(
    config: RunConfig,
    folder: RunFolder,
    data: Data,
    metrics: dict[str, Scores],
    learned: Learned,
    cost: Cost,
    resolved: ResolvedCompute,
    start: RunFolder | None = None,
    trained: RunFolder | None = None,
    features: dict[str, object] | None = None,
) -> Result:
    """Return the result of the run in ``folder``; ``start`` and ``trained`` as in ``train_run``."""
    return Result(
        kind=config.kind,
        run_id=folder.run_id,
        fingerprint=str(data.fingerprint),
        pretrained_by=None if start is None else start.run_id,
        trained_by=None if trained is None else trained.run_id,
        config=config,
        metrics=metrics,
        data=data,
        features=features,
        cost=cost,
        machine=MachineRecord(**resolved.record()),
        provenance=Code(**provenance()),
        **{name: getattr(learned, name) for name in Learned.model_fields},
    )
