"""Model cards (Mitchell 2019, doi:10.1145/3287560.3287596): what an exported network was trained on, is worth and is not.

Every number is computed from the run and its data set; remarks are those of the data set's card, and what holds for every
recogniser of expressions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from fer_cli.config import METRICS
from fer_cli.config.networks import network_of
from fer_cli.data.cards import has_card, load_card
from fer_cli.data.manifest import SetInfo, read_manifest
from fer_cli.escape import hide_secrets, markdown
from fer_cli.metrics import majority_baseline, per_class
from fer_cli.report.protocol import describe_split
from fer_cli.results import Result
from fer_cli.runs import RunFolder
from fer_cli.use.exported import FORMAT, About, Preparation
from fer_cli.use.hub import describe_for_hub, header_lines
from fer_cli.use.intervals import DRAWS, Interval, choose_sampled, score_intervals

MEANING = (
    "A label names the expression that annotators, actors or the recipe of a drawn face gave a picture. It is not what the "
    "person feels: people who feel alike look different, and a frown may be concentration or bright light (Barrett et al. "
    "2019, Psychological Science in the Public Interest 20:1).",
    "The network always answers with one of its classes, also for a face with another expression, with none, and for what "
    "is no face.",
    "Probabilities are those of the softmax. They are not calibrated: 0.9 does not mean right in nine of ten cases.",
    "The scores hold for people, cameras, light and poses like those of the test part. They do not show how well it does "
    "for people of other ages, skin tones or cultures, with glasses, masks or disabilities.",
    "Not for decisions about a person: marks, attendance, hiring, health, lie detection. In the European Union, systems "
    "that infer emotions in education and at work are prohibited except for medical or safety reasons (Regulation (EU) "
    "2024/1689, Article 5(1)(f)); other laws may apply where you are.",
)
"""What labels can and cannot mean."""


@dataclass(frozen=True)
class Int8:
    """What int8 costs, measured on the test part."""

    calibrated: int
    """Validation samples."""
    n: int
    fp32: float
    """Accuracy of the file in float32."""
    int8: float
    interval: Interval
    """Of the difference."""
    drawn: str
    """What was drawn for it."""

    @property
    def words(self) -> str:
        """Return accuracies, difference and interval."""
        low, high = (100 * bound for bound in self.interval)
        return (
            f"{100 * self.int8:.1f} % accuracy on {self.n} test samples, {100 * self.fp32:.1f} % in float32: "
            f"{100 * (self.int8 - self.fp32):+.1f} points [{low:+.1f}, {high:+.1f}]"
        )


@dataclass(frozen=True)
class Measured:
    """What was measured on a file."""

    parity: float
    """Largest difference of probabilities between its float32 form and PyTorch."""
    seconds: dict[str, float]
    """Precision -> median seconds of a pass of one sample."""
    threads: int
    size: int
    """In bytes."""
    int8: Int8 | None
    notes: list[str] = field(default_factory=list)
    """What a user should know of the preparation."""

    @property
    def speed(self) -> str:
        """Return the time of a sample in each precision."""
        times = ", ".join(f"{1000 * value:.2f} ms a sample in {name}" for name, value in self.seconds.items())
        return f"{times} (median of single samples, {self.threads} thread{'s' * (self.threads > 1)})"


def write_card(
    path: Path,
    file: str,
    result: Result,
    infos: list[SetInfo],
    about: About,
    measured: Measured,
    folder: RunFolder,
    data_root: Path,
) -> None:
    """Write the card of the exported ``file``; ``infos``: of the run's data sets, the training set first."""
    unit = "clips" if network_of(about.backbone).clips else "images"
    sections = {
        "What labels mean, and what they do not": bullets(MEANING),
        "Data and licence": describe_sets(infos, result, unit),
        "Scores": describe_scores(result, infos, folder, data_root, unit),
        "Input": [*describe_input(about), *bullets(measured.notes)],
        "Training": describe_training(result),
        "File": describe_file(file, about, measured),
        "Limits of the data": bullets(limits_of(infos, result, about)),
    }
    head = f"{about.backbone} on {infos[0].name}, run {about.run}"
    what = "a clip of a face" if unit == "clips" else "a picture of a face"
    labels = markdown(", ".join(about.classes))
    lines = [
        *header_lines(describe_for_hub(result, Path(file).stem, unit)),
        f"# Model card: {markdown(head)}",
        "",
        f"{markdown(file)} gives {what} one of {len(about.classes)} labels: {labels}.",
    ]
    for title, body in sections.items():
        lines += ["", f"## {title}", "", *body]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def bullets(lines: Sequence[str]) -> list[str]:
    """Return the items of a Markdown list."""
    return [f"- {markdown(line)}" for line in lines]


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return the lines of a Markdown table; the first column is left-aligned."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    cells = [[str(cell) if index == 1 else markdown(str(cell)) for cell in line] for index, line in enumerate(lines)]
    return [f"| {' | '.join(line)} |" for line in cells]


def describe_sets(infos: list[SetInfo], result: Result, unit: str) -> list[str]:
    """Return sources, licences, numbers and split."""
    data = result.data
    lines = []
    for info in infos:
        role = "training, validation and test" if len(infos) == 1 else "test" if info is not infos[0] else "training"
        lines += [
            f"{role}: {info.title}; {info.amount} of {info.subjects or 'unknown'} people; fingerprint {info.fingerprint}",
            f"licence of {info.name}: {info.licence}",
        ]
    lines.append("whether the licence of the data allows this use of the network is for you to find out")
    lines.append(f"{data.train} {unit} in training, {data.val} in validation, {data.test} in test")
    if result.config.data.test is None:
        lines.append(f"split `{result.config.data.split}`: {describe_split(result.config.data)}")
        shared = f"{data.shared_subjects} of {data.test_subjects} people in the test part are also in the training part"
        lines.append(shared if data.shared_subjects else "no person is known to be in training and test part")
    lines += [f"{what}: {count}" for what, count in data.counted.items()]
    if data.flipped:
        lines.append(f"{data.flipped} training labels were replaced by other classes (label noise)")
    return bullets(lines)


def describe_scores(result: Result, infos: list[SetInfo], folder: RunFolder, data_root: Path, unit: str) -> list[str]:
    """Return the test scores with their intervals, those of each class, and the confusion matrix."""
    scores, classes = result.metrics["test"], result.data.classes
    truth, predicted, people = read_test(folder, result, infos[-1], data_root)
    sampled = choose_sampled(people)
    found = score_intervals(truth, predicted, len(classes), sampled)
    counts = np.array(scores.confusion)
    precision, recall, f1 = per_class(counts)
    usual = majority_baseline(scores.confusion)
    baseline = f"Always answering the most frequent class has {100 * usual['accuracy']:.1f} % accuracy."
    rows = [
        (METRICS[name].label, f"{100 * scores[name]:.1f} %", f"{100 * low:.1f} to {100 * high:.1f}")
        for name, (low, high) in found.items()
    ]
    of_classes = [
        (name, int(counts[code].sum()), *(f"{100 * values[code]:.1f} %" for values in (precision, recall, f1)))
        for code, name in enumerate(classes)
    ]
    return [
        f"The run predicted its test part once ({scores.n} {unit}), after the checkpoint was chosen on the validation part "
        f"by `{result.selection.rule}`. Intervals: 95 %, {DRAWS} bootstrap draws of {sampled.words}. They do not "
        f"contain what another training would change. {baseline}",
        "",
        *table(["score", "test", "95 % interval"], rows),
        "",
        *table(["class", f"test {unit}", "precision", "recall", "F1"], of_classes),
        "",
        f"Confusion matrix of the test part, in {unit}; rows are the labels, columns the answers:",
        "",
        *table(["", *classes], [(name, *scores.confusion[code]) for code, name in enumerate(classes)]),
        *test_remarks(result),
    ]


def test_remarks(result: Result) -> list[str]:
    """Return what was particular about the test."""
    lines = []
    if result.config.corrupt.active and "test" in result.config.corrupt.parts:
        given = result.config.corrupt.model_dump(exclude_defaults=True)
        lines.append(f"the test images were corrupted: {', '.join(f'{name} {value}' for name, value in given.items())}")
    if result.config.data.frame_order == "shuffled":
        lines.append("the frames of every clip were in a random order, in training and test")
    if result.machine.precision != "fp32":
        lines.append(f"these scores were computed in {result.machine.precision}; the file computes in float32")
    return ["", *bullets(lines)] if lines else []


def read_test(
    folder: RunFolder, result: Result, info: SetInfo, data_root: Path
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return true and predicted codes and the people ("" if unknown) of the test samples, (N,) each."""
    rows = pd.read_parquet(folder.file(result.predictions), columns=["part", "sample", "label", "predicted"])
    rows = rows[rows["part"] == "test"]
    place = {name: code for code, name in enumerate(result.data.classes)}
    manifest = read_manifest(data_root / info.name, info, ["sample", "subject"]).set_index("sample")["subject"]
    people = rows["sample"].map(manifest).fillna("").astype(str).to_numpy()
    truth, predicted = (rows[name].map(place).to_numpy(np.int64) for name in ("label", "predicted"))
    return truth, predicted, people


def describe_input(about: About) -> list[str]:
    """Return inputs, output, and the way from a picture to them."""
    how = about.preparation
    shape = f"n x {how.channels} x {how.size} x {how.size}"
    if how.frames is not None:
        shape = shape.replace("n x", f"n x {how.frames} x")
    lines = [
        f"`faces`: {shape} uint8 from 0 to 255, {'grey' if how.channels == 1 else 'RGB'}; n is free",
        "`probabilities`: n rows of a probability per label, in the order above",
        "inside the graph: division by 255, standardisation by "
        + ("the training part's mean and deviation" if how.normalise == "train" else "the sample's own mean and deviation")
        + (", the mean of the logits of a sample and its mirror image" * how.mirror_average + ", softmax"),
        *frames_lines(how),
        f"before the graph, from a picture to one of {how.stored} x {how.stored} pixels, as the data set was built:",
    ]
    words = [
        ", ".join(f"{name} {value}" for name, value in step.items() if name != "step" and value not in ([], {}, None))
        for step in how.steps
    ]
    steps = [f"{step.get('step')}: {text}" for step, text in zip(how.steps, words, strict=True)]
    last = [f"resize to {how.size} x {how.size} pixels, bilinear with antialiasing"] if how.stored != how.size else []
    return [*bullets(lines), *(f"  {line}" for line in bullets([*steps, *last]))]


def frames_lines(how: Preparation) -> list[str]:
    """Return what the input of a network on clips needs besides."""
    lines = []
    if how.frames is not None:
        lines.append(f"the {how.frames} frames of a clip are evenly spaced in it and in their order")
    if how.regions is not None:
        coarser = ", which is coarser than the scores above assume" * (how.landmarks != "fallback")
        lines.append(
            f"`regions`: boxes of regions of the face (kind {how.regions}) in each frame, as x0, y0, x1, y1 in fractions of "
            f"the side, float32; in training they were made from landmarks ({how.landmarks}). fer places them by the "
            f"detected face where there are no landmarks{coarser}"
        )
    return lines


def describe_training(result: Result) -> list[str]:
    """Return how the network was trained."""
    config, code, machine = result.config, result.origin.provenance, result.origin.machine
    start = {True: f"a training on {config.model.pretrain} (run {result.pretrained_by})"}.get(
        config.model.pretrain is not None, config.model.weights or "random weights"
    )
    commit = f"commit {code.commit}{' with uncommitted changes' * bool(code.dirty)}" if code.commit else "unknown commit"
    libraries = ", ".join(f"{name} {version}" for name, version in code.libraries.items())
    lines = [
        f"run {result.run_id}; fer {code.fer}, {commit}; seed {config.seed}",
        f"command: {hide_secrets(code.command)}" if code.command else "command: not recorded",
        f"learning method {config.learning.method}, {config.train.epochs} epochs of batches of {config.train.batch_size}, "
        f"{config.train.optimizer}, from {start}; chosen: epoch {result.selection.epoch}",
        f"{result.cost.parameters or 'unknown'} parameters; {libraries}",
        f"trained on {machine.device} in {name_precision(machine.precision)}",
        "all settings are in the run's config.json",
    ]
    return bullets([*lines, *result.warnings])


def name_precision(short: str) -> str:
    """Return the precision of a training, and how its answers differ in float32."""
    if short == "fp32":
        return "float32"
    return f"{short}; in float32, as here, probabilities differ from the recorded ones by about 0.01"


def describe_file(file: str, about: About, measured: Measured) -> list[str]:
    """Return format, size, speed and fidelity of the file."""
    lines = [
        f"{file}: ONNX, {about.precision}, {measured.size / 1e6:.2f} MB, format {FORMAT} of fer {about.fer}",
        f"largest difference to PyTorch's probabilities on random patches, in float32: {measured.parity:.1g}",
        f"{measured.speed}",
    ]
    if measured.int8 is not None:
        lines += [
            f"int8: {measured.int8.words}; the interval is of {DRAWS} bootstrap draws of {measured.int8.drawn}",
            f"int8: convolutions only, calibrated on {measured.int8.calibrated} validation samples",
        ]
    lines.append(
        "use: `fer predict` takes the file in place of a run; the metadata `fer.about` states labels and preparation"
    )
    return bullets(lines)


def limits_of(infos: list[SetInfo], result: Result, about: About) -> list[str]:
    """Return the remarks of the data sets' cards, and those of the run."""
    lines = []
    for info in infos:
        if has_card(info.name):
            lines += [f"{info.name}: {defect}" for defect in load_card(info.name).defects]
        if info.embedded is not None:
            lines.append(f"{info.name}: drawn faces; nothing here shows how well the network recognises real ones")
        lines += [f"{info.name}: {difference}" for difference in info.differences]
    if result.data.absent:
        lines.append(f"classes without training samples: {', '.join(result.data.absent)}")
    if about.preparation.channels == 1:
        lines.append("the network sees no colour")
    return lines or ["none is recorded; that does not mean that there are none"]
