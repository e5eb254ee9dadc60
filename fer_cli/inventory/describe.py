"""Everything that is known about one run, as the blocks of a report: ``fer show``."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from fer_cli.blocks import Block, Cell, Note, Number, Table
from fer_cli.config import METRICS, RunConfig
from fer_cli.errors import DamagedError, ResultsError
from fer_cli.inventory.find import find_dependents
from fer_cli.inventory.rows import STATES, Row, list_changes, list_rows, write_value
from fer_cli.inventory.scores import DRAWS, interval_scores
from fer_cli.inventory.text import draw_sparkline, measure_size, table, write_age, write_number, write_size
from fer_cli.outputs import HISTORIES, read_history
from fer_cli.plan import read_runs
from fer_cli.report.doubts import ESTIMATED, UNDERFITTED, final_training_accuracy
from fer_cli.report.render import Report
from fer_cli.results import PARTS, Result, Scores
from fer_cli.runs import RunFolder, read_config

SERIES = ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "val/macro_f1")
"""Columns of a history that are drawn first."""
MOST_SERIES = 12
IMAGES_NOTE = (
    f"95 % intervals over test images, taken as independent: Wilson's for accuracy, {DRAWS:,} bootstrap samples "
    "for the others; they do not include the variation between seeds"
)


def describe_run(folder: RunFolder, rows: list[Row] | None = None) -> Report:
    """Return the report of one run; ``rows``: those of all runs (default: read), which say who starts from it."""
    rows = list_rows(folder.results) if rows is None else rows
    row = next(row for row in rows if row.run_id == folder.run_id)
    result: Result | None = None
    config: RunConfig | None = None
    with suppress(DamagedError):
        if row.state == "done":
            result = folder.result()
    with suppress(DamagedError):
        config = result.config if result is not None else read_config(folder.file("config.json"))
    blocks: list[Block] = [Note(line, head=True) for line in head_lines(folder, row, rows)]
    if result is not None:
        blocks += score_tables(result)
    if config is not None:
        blocks += setting_tables(config)
    if result is not None:
        blocks += data_table(result)
    blocks += curve_table(folder.path)
    if result is not None:
        blocks += origin_table(result)
    blocks += file_table(folder.path)
    blocks += [Note(f"warning: {line}") for line in warning_lines(folder, result, row)]
    return Report(f"run {folder.run_id}", blocks)


def head_lines(folder: RunFolder, row: Row, rows: list[Row]) -> list[str]:
    """Return state, purpose, network, and the runs before and after this one."""
    lines = [f"state: {row.state} ({STATES[row.state]}); {write_age(row.age)} ago"]
    lines += [f"why: {row.reason}"] if row.reason else []
    lines.append(f"study and arm: {row.study or 'not recorded; the next fer ablate of its study records them'}")
    lines += [f"network {row.network}, data {row.data}, seed {row.seed}"] if row.network else []
    states = {one.run_id: one.state for one in rows}
    before = [f"{name} ({states.get(name, 'gone')})" for name in row.starts_from]
    lines.append(f"starts from: {', '.join(before) or 'no other run'}")
    after = find_dependents(folder.results, rows, [row.run_id])[row.run_id]
    lines.append(f"runs that start from it: {', '.join(after) or 'none'}")
    return lines


def score_tables(result: Result) -> list[Table]:
    """Return a table of scores by part, with intervals of the test part, and the confusion matrix of the test part.

    Those of a trial are of the validation part.
    """
    main, test, classes = result.part, result.scores, result.data.classes
    counts = np.array(test.confusion)
    known = interval_scores(counts)
    parts = {main: test, **{name: scores for name, scores in result.metrics.items() if name != main}}
    rows: list[tuple[str, list[Cell]]] = [
        (METRICS[name].label, [score_cell(scores, name, known if part == main else {}) for part, scores in parts.items()])
        for name in METRICS
    ]
    columns = [f"{part} (n = {scores.n})" for part, scores in parts.items()]
    recall: list[tuple[str, list[Cell]]] = [
        (label, [*(str(count) for count in row), Number(test.recall.get(label), n=sum(row))])
        for label, row in zip(classes, test.confusion, strict=True)
    ]
    confusion = Table(
        f"Confusion on the {PARTS[main]} part",
        [*classes, "recall % (n)"],
        recall,
        ["rows are the true classes, columns the predicted"],
    )
    return [Table("Scores in %", columns, rows, [IMAGES_NOTE]), confusion]


def score_cell(scores: Scores, metric: str, intervals: dict[str, tuple[float, float]]) -> Number:
    """Return a score with its interval, if it has one."""
    return Number(scores[metric], interval=intervals.get(metric))


def setting_tables(config: RunConfig) -> list[Table]:
    """Return the settings that are not the default beside the default, then the others, a line per section."""
    changed, every = list_changes(config), config.flat()
    defaults = RunConfig().flat()
    rows = [(name, [write_value(value), write_value(defaults.get(name))]) for name, value in changed.items()]
    groups: dict[str, list[str]] = {}
    for name, value in every.items():
        if name not in changed:
            section, _, rest = name.rpartition(".")
            groups.setdefault(section or "run", []).append(f"{rest}={write_value(value)}")
    others = [(section, [", ".join(values)]) for section, values in groups.items()]
    return [
        *table("Settings that are not the default", ["value", "default"], rows),
        *table("Settings at their default", ["values"], others),
    ]


def data_table(result: Result) -> list[Table]:
    """Return data sets, classes, split and numbers of samples."""
    data, config = result.data, result.config.data
    fold = f", fold {config.fold} of {config.folds}, partition {config.split_seed}" if config.split in SPLIT_FOLDS else ""
    rows = {
        "data set": " → ".join(config.sets),
        "fingerprint": result.fingerprint,
        "classes": ", ".join(data.classes),
        "split": f"{config.split}{fold} (hash {data.split_hash})",
        "samples": f"train {data.train}, validation {data.val}, test {data.test}",
        "subjects in both training and test": f"{data.shared_subjects} of the {data.test_subjects} in the test part",
        "sequences in both": f"{data.shared_sequences} of {data.test_sequences}" if data.test_sequences else "",
        "wrong training labels": str(data.flipped) if data.flipped else "",
        "test images left out": ", ".join(f"{label} {count}" for label, count in data.dropped.items()),
        "counted": ", ".join(f"{what} {count}" for what, count in data.counted.items()),
    }
    return table("Data", [""], [(name, [text]) for name, text in rows.items() if text])


SPLIT_FOLDS = ("subject", "random", "sequence")


def curve_table(folder: Path) -> list[Table]:
    """Return a table per history with a sparkline of each of its curves."""
    tables = []
    for path in sorted(folder.glob(HISTORIES)):
        with suppress(DamagedError):
            rows = read_history(path)
            names = [name for name in SERIES if name in rows[0]]
            names += [name for name in rows[0] if name not in {*SERIES, "epoch", "lr", "seconds"}][
                : MOST_SERIES - len(names)
            ]
            lines = []
            for name in names:
                values = [row[name] for row in rows]
                lines.append(
                    (name, [draw_sparkline(values), *map(write_number, (values[0], min(values), max(values), values[-1]))])
                )
            note = f"all curves: {path}" + (f"; drawn: {folder / 'curves.png'}" if (folder / "curves.png").is_file() else "")
            tables += table(f"Curves, {len(rows)} epochs", ["", "first", "least", "greatest", "last"], lines, [note])
    return tables


def origin_table(result: Result) -> list[Table]:
    """Return selection, cost, machine, code and command."""
    machine, code, chosen = result.origin.machine, result.origin.provenance, result.selection
    layout = "" if machine.channels_last is None else f", {'channels-last' if machine.channels_last else 'contiguous'}"
    state = {True: ", with uncommitted changes", False: "", None: ""}[code.dirty]
    size = "" if result.cost.parameters is None else f"{result.cost.parameters:,} trainable parameters"
    adds = "" if result.cost.multiply_adds is None else f", {result.cost.multiply_adds:,} multiply-adds"
    value = "" if chosen.value is None else f" ({write_number(chosen.value)})"
    rows = {
        "checkpoint": f"epoch {chosen.epoch} by {chosen.rule}{value}" if chosen.epoch is not None else chosen.rule,
        "initial weights": result.weights or "",
        "cost": f"{result.cost.seconds.total:.1f} s, of which training {result.cost.seconds.training:.1f} s",
        "network": f"{size}{adds}",
        "machine": f"{machine.device}, {machine.precision}, {machine.threads} thread{'s' * (machine.threads > 1)}{layout}",
        "processor": ", ".join(filter(None, [machine.processor, machine.instructions])),
        "code": f"fer {code.fer}, commit {code.commit or 'unknown'}{state}",
        "python": code.python or "",
        "libraries": ", ".join(f"{name} {version}" for name, version in code.libraries.items()),
        "command": code.command or "",
    }
    return table("Provenance", [""], [(name, [text]) for name, text in rows.items() if text])


def file_table(folder: Path) -> list[Table]:
    """Return the files of the run's folder with their sizes."""
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    rows = [(path.name, [write_size(measure_size(path))]) for path in paths]
    return table(f"Files in {folder}", ["size"], rows)


def warning_lines(folder: RunFolder, result: Result | None, row: Row) -> Iterable[str]:
    """Yield the run's own warnings, and what keeps its scores from meaning what they seem to."""
    if row.state != "done":
        yield f"the run is {row.state}; it has no score"
    if result is None:
        return
    yield from result.warnings
    data = result.data
    if data.absent:
        yield f"no training image of {', '.join(data.absent)}, which the network cannot predict"
    if data.shared_subjects:
        yield f"data leakage: {data.shared_subjects} of {data.test_subjects} test people are in the training part"
    if data.shared_sequences:
        yield f"data leakage: {data.shared_sequences} of {data.test_sequences} test sequences are in the training part"
    if result.origin.provenance.dirty:
        yield "trained with uncommitted changes; the commit alone does not give the code"
    yield from underfit_lines(folder, result)


def underfit_lines(folder: RunFolder, result: Result) -> Iterable[str]:
    """Yield a warning if the run's network is underfitted, by the rule of reports."""
    with suppress(ResultsError):
        item = read_runs(folder.results, [folder.run_id]).get(folder.run_id)
        final = None if item is None else final_training_accuracy(item, result)
        if item is not None and final is not None and final.share < UNDERFITTED:
            whose = "" if item.network in (item, None) else f" of run {item.network.run_id}"
            which = f"{whose} {ESTIMATED}" if final.estimated else whose
            yield f"underfitted: final training accuracy{which} {100 * final.share:.0f} %; not evidence about the method"


def config_text(folder: RunFolder) -> str:
    """Return all settings of a run as JSON; raises DamagedError if they cannot be read."""
    config = folder.result().config if folder.status == "done" else read_config(folder.file("config.json"))
    return config.model_dump_json(indent=1)
