"""``simulate_run``: simulate sequences of emotions, decode or classify them, and score the answers (Fan 2025, Tables 2-4).

A run on ``emotions`` reads the recogniser's predictions of validation and test images from the folder of its run: emissions
and transitions are fitted on validation images, scores are of test images. ``trace.parquet`` has one row per step.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fer_cli.config import SEQUENCE_MODELS, Compute, RunConfig, SequencesConfig
from fer_cli.data.manifest import expected_info
from fer_cli.interaction import regimes, tags
from fer_cli.interaction.decoding import Decoded, Predictions, build_space, simulate_and_decode
from fer_cli.learning.compute import resolve_compute
from fer_cli.learning.outcome import new_result
from fer_cli.outputs import PREDICTIONS, count_predictions
from fer_cli.places import whole_file
from fer_cli.results import SIMULATED, Cost, Data, Learned, Result, Scores, Seconds, Selection
from fer_cli.runs import RunFolder

TRACE = "trace.parquet"
"""One row per step of the decoded sequences; see ``Decoded.frame``."""
SMOKED = 20
"""Random predictions of each class in a smoke test."""


@dataclass(frozen=True)
class Answers:
    """Test answers of a simulation: ``truth`` and ``predicted`` (N,) names of ``classes``, ``shares`` (N, K) in [0, 1]."""

    classes: list[str]
    truth: np.ndarray
    predicted: np.ndarray
    shares: np.ndarray
    samples: list[str]
    trained: int
    """Samples that the model was fitted on."""
    health: dict[str, float]
    trace: pd.DataFrame | None = None


def simulate_run(config: RunConfig, compute: Compute, folder: RunFolder, start: RunFolder | None = None) -> Result:
    """Simulate, decode and score; ``start``: the finished run of the recogniser, if the simulation shows images."""
    began = time.monotonic()
    answers = ANSWERS[str(config.sequences.simulation)](config, start)
    columns = {"part": "test", "sample": answers.samples, "label": answers.truth, "predicted": answers.predicted}
    shares = {f"p_{name}": answers.shares[:, place].astype(np.float32) for place, name in enumerate(answers.classes)}
    with whole_file(folder.file(PREDICTIONS)) as draft:
        pd.DataFrame(columns | shares).to_parquet(draft, index=False)
    if answers.trace is not None:
        with whole_file(folder.file(TRACE)) as draft:
            answers.trace.to_parquet(draft, index=False)
    counts = count_predictions(folder.file(PREDICTIONS), answers.classes)
    metrics = {part: Scores.of(matrix, answers.classes) for part, matrix in counts.items()}
    learned = Learned(
        selection=Selection(rule="nothing is chosen", epoch=None), relabelled=None, health=answers.health, warnings=[]
    )
    cost = Cost(seconds=Seconds(total=time.monotonic() - began))
    data = describe_sequences(answers, start)
    return new_result(config, folder, data, metrics, learned, cost, resolve_compute(compute), start)


def describe_sequences(answers: Answers, start: RunFolder | None) -> Data:
    """Return the data of a run: the recogniser's, with the simulated steps as test part; or those of a simulation."""
    steps = hashlib.sha256("\x1f".join([*answers.samples, *answers.truth.tolist()]).encode()).hexdigest()[:16]
    size = len(answers.truth)
    if start is None:
        return Data(
            fingerprint=SIMULATED,
            classes=answers.classes,
            split_hash=steps,
            train=answers.trained,
            val=0,
            test=size,
            shared_subjects=0,
            test_subjects=0,
        )
    shown = start.result().data
    return shown.model_copy(
        update={"classes": answers.classes, "test": size, "test_hash": steps, "absent": [], "drawn": None}
    )


def class_names(sequences: SequencesConfig, classes: list[str]) -> list[str]:
    """Return the classes that a run is scored on, given the recogniser's."""
    if sequences.recognised:
        return ["/".join(group) for group in build_space(sequences, classes).groups]
    return list(tags.TAGS if sequences.simulation == "tags" else regimes.REGIMES)


def decode_emotions(config: RunConfig, start: RunFolder | None) -> Answers:
    """Return the decoded emotions of simulated sequences of test images."""
    assert start is not None
    validation, test = read_predictions(start, "val"), read_predictions(start, "test")
    decoded = simulate_and_decode(config.sequences, validation, test, config.seed)
    return describe_decoded(decoded, len(validation.labels))


def describe_decoded(decoded: Decoded, trained: int) -> Answers:
    """Return decoded sequences as answers in groups of states; ``trained``: number of validation images."""
    table = decoded.frame()
    groups = ["/".join(group) for group in decoded.space.groups]
    names = [f"sequence {s}, step {t}" for s, t in zip(table["sequence"], table["step"], strict=True)]
    scores = decoded.scores()
    health = {name: scores[name] for name in ("sequences", "recognised")}
    return Answers(
        groups,
        table["truth_group"].to_numpy(),
        table["predicted_group"].to_numpy(),
        decoded.gamma[decoded.kept] @ decoded.space.members,
        names,
        trained,
        health,
        table,
    )


def read_predictions(start: RunFolder, part: str) -> Predictions:
    """Return a recogniser's predictions of its validation or test images."""
    table = pd.read_parquet(start.file(PREDICTIONS))
    table = table[table["part"] == part]
    classes = [name.removeprefix("p_") for name in map(str, table) if name.startswith("p_")]
    return Predictions(table[[f"p_{name}" for name in classes]].to_numpy(np.float64), table["label"].tolist(), classes)


def predict_tags(config: RunConfig, start: RunFolder | None) -> Answers:
    """Return the predicted tags of simulated test sequences."""
    method = dict(zip(SEQUENCE_MODELS, tags.METHODS, strict=True))[config.sequences.model]
    found = tags.predict_tags(config.seed, method)
    shares, names = found.probabilities[method], list(tags.TAGS)
    samples = [f"sequence {s}, step {t}" for s, t in zip(found.sequence, found.step, strict=True)]
    return Answers(names, found.tag, np.array(names)[shares.argmax(1)], shares, samples, tags.TRAIN * tags.STEPS, {})


def predict_categories(config: RunConfig, start: RunFolder | None) -> Answers:
    """Return the predicted categories of simulated test windows."""
    method = dict(zip(SEQUENCE_MODELS, regimes.METHODS, strict=True))[config.sequences.model]
    found = regimes.predict_regimes(config.seed, config.sequences.window, method)
    samples = [f"window {place}" for place in range(len(found.regime))]
    names, trained = list(regimes.REGIMES), regimes.TRAIN * len(regimes.REGIMES)
    return Answers(names, found.regime, found.predicted[method], found.probabilities[method], samples, trained, {})


ANSWERS: dict[str, Callable[[RunConfig, RunFolder | None], Answers]] = {
    "emotions": decode_emotions,
    "tags": predict_tags,
    "interaction": predict_categories,
}
"""Simulation -> function of a run's settings and the recogniser's run."""


def smoke_simulation(config: RunConfig, compute: Compute) -> None:
    """Simulate and decode a few sequences of random predictions of the set's classes, or simulate without images."""
    if not config.sequences.recognised:
        ANSWERS[str(config.sequences.simulation)](config, None)
        return
    classes = config.data.classes or expected_info(compute.data_root, config.data.name).classes
    labels = classes * SMOKED
    shares = np.random.default_rng(0).dirichlet(np.ones(len(classes)), len(labels))
    few = config.sequences.model_copy(update={"sequences": 2, "fit_sequences": 2, "steps": 10})
    predictions = Predictions(shares, labels, classes)
    simulate_and_decode(few, predictions, predictions, config.seed)
