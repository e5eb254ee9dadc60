"""Train the recorded settings of a finished run again, elsewhere, with its compute choices, and compare: ``fer rerun``.

Equal settings, data, code, libraries, processor and threads give equal bits; what else differs is named beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer_cli.config import CNN, METRICS, Compute, RunConfig
from fer_cli.errors import DataError, ResultsError
from fer_cli.inventory.compare import describe_origin
from fer_cli.inventory.scores import read_predictions
from fer_cli.results import SIMULATED, Result
from fer_cli.runs import RunFolder
from fer_cli.tasks import task_of

if TYPE_CHECKING:
    import pandas as pd

WEIGHTS = "best*.pt"


@dataclass(frozen=True)
class Step:
    """One run that a rerun needs; ``reused``: it is finished and only read, else it is trained in ``folder``."""

    title: str
    config: RunConfig
    fingerprint: str
    folder: RunFolder
    reused: bool = False
    start: RunFolder | None = None
    trained: RunFolder | None = None


@dataclass(frozen=True)
class Difference:
    """How two trainings of the same settings differ; ``largest``: of a class's probability, 0 with ``equal`` bits."""

    equal: bool
    n: int
    largest: float
    changed: dict[str, tuple[int, int]]
    """Part -> images whose predicted class changed, and images."""
    scores: dict[str, tuple[float, float]]
    """Part and metric -> score before and now; of the test part, for a trial of the validation part."""
    causes: dict[str, tuple[str, str]]
    """What else differs, such as the processor or a library: before and now."""
    wrong: str = ""
    """Why the predictions cannot be compared image by image."""


def open_original(folder: RunFolder) -> Result:
    """Return the result of the run to train again; raises ResultsError unless it is done."""
    if (state := folder.status) not in {"done", "damaged"}:
        raise ResultsError(
            f"{folder.run_id}: {state}, so there is nothing to compare a rerun with; fer ablate trains unfinished runs"
        )
    return folder.result()


def choose_compute(result: Result, data_root: Path, results: Path) -> tuple[Compute, list[str]]:
    """Return the recorded compute settings, and notes on those that are not to be had here."""
    import torch

    machine, notes = result.machine, []
    device = "cuda" if machine.device == "cuda" else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        notes.append("it was computed on a GPU, and none is visible here: trained on the CPU, with other roundings")
        device = "cpu"
    layout = {True: "channels-last", False: "contiguous", None: "auto"}[machine.channels_last]
    if CNN in result.config.features.blocks and "layout" not in (result.features or {}):
        layout = "auto"  # that of its network's features is not known
    chosen = {"device": device, "precision": machine.precision, "threads": machine.threads, "layout": layout}
    return Compute(data_root=data_root, results=results, track=False, **chosen), notes  # type: ignore[arg-type]


def check_build(result: Result, data_root: Path) -> None:
    """Raise DataError if a data set is not the build that the run was trained on."""
    from fer_cli.data.manifest import expected_info

    names = result.config.sets
    for name, recorded in zip(names, result.fingerprint.split("+") if names else [], strict=True):
        if (now := expected_info(data_root, name).fingerprint) != recorded:
            code = result.origin.provenance
            raise DataError(
                f"{name} under {data_root} has fingerprint {now}, but run {result.run_id} was trained on {recorded}: the "
                f"set was rebuilt, so a rerun would differ; restore that build (fer {code.fer}, commit {code.commit})"
            )


def plan_steps(folder: RunFolder, result: Result, scratch: Path, data_root: Path) -> list[Step]:
    """Return the runs that a rerun of ``folder`` needs, each after those it depends on; the last is the run itself.

    A run that it starts from, or whose training it shares, is reused if it is done and has its weights.
    """
    steps: dict[str, Step] = {}

    def need(config: RunConfig, run_id: str | None, title: str) -> RunFolder:
        name = run_id or identify(config, data_root)
        if name in steps:
            return steps[name].folder
        found = RunFolder(folder.results, name)
        if found.status == "done" and any(found.path.glob(WEIGHTS)):
            steps[name] = Step(title, config, fingerprint_of(config, data_root), found, reused=True)
        else:
            add(config, found.result() if found.status == "done" else None, name, title)
        return steps[name].folder

    def add(config: RunConfig, recorded: Result | None, name: str, title: str) -> None:
        task = task_of(config)
        start = trained = None
        if (before := task.before(config)) is not None:
            start = need(before, recorded.pretrained_by if recorded else None, task.name_before(config))
        shares = recorded is None or recorded.trained_by is not None
        if shares and (training := task.training(config)) is not None:
            trained = need(training, recorded.trained_by if recorded else None, "shared training")
        fingerprint = fingerprint_of(config, data_root)
        steps[name] = Step(title, config, fingerprint, RunFolder(scratch, name), False, start, trained)

    add(result.config, result, folder.run_id, f"run {folder.run_id}")
    return list(steps.values())


def fingerprint_of(config: RunConfig, data_root: Path) -> str:
    """Return the fingerprint of the data sets of a run as they are now, of a run without images ``SIMULATED``."""
    from fer_cli.data.manifest import expected_info

    return "+".join(expected_info(data_root, name).fingerprint for name in config.sets) or SIMULATED


def identify(config: RunConfig, data_root: Path) -> str:
    """Return the id that a run has on the data sets as they are now."""
    identity = fingerprint_of(config, data_root)
    if (before := task_of(config).before(config)) is not None:
        identity = f"{identity}<{identify(before, data_root)}"
    return config.run_id(identity)


def train_step(step: Step, compute: Compute) -> None:
    """Train one run in its scratch folder; raises ResultsError with the last line of its error if it fails."""
    from fer_cli.executors.jobs import Job, execute

    job = Job(step.title, step.config, step.fingerprint, step.folder, compute, None, (), step.start, step.trained)
    outcome = execute(job)
    if outcome.status != "done":
        raise ResultsError(f"{step.title}: {outcome.status}: {outcome.message or 'another process trains it'}")


def compare_again(folder: RunFolder, result: Result, again: RunFolder) -> Difference:
    """Return how a rerun differs from the original."""
    now = again.result()
    before, after = describe_origin(result), describe_origin(now)
    named = {key: (str(before.get(key, "-")), str(after.get(key, "-"))) for key in dict.fromkeys([*before, *after])}
    causes = {key: pair for key, pair in named.items() if pair[0] != pair[1] and key != "starts from"}
    scores = {f"{result.part} {name}": (result.scores[name], now.scores[name]) for name in METRICS}
    ours, theirs = read_predictions(folder.path, result), read_predictions(again.path, now)
    wrong = find_mismatch(ours, theirs)
    if wrong:
        return Difference(False, len(ours), float("nan"), {}, scores, causes, wrong)
    columns = [name for name in ours.columns if name.startswith("p_")]
    p, q = ours[columns].to_numpy(), theirs[columns].to_numpy()
    moved = (ours["predicted"] != theirs["predicted"]).to_numpy()
    parts = ours["part"].to_numpy()
    changed = {str(part): (int(moved[parts == part].sum()), int((parts == part).sum())) for part in dict.fromkeys(parts)}
    equal = bool(not moved.any() and p.dtype == q.dtype and np.array_equal(p, q, equal_nan=True))
    largest = float(np.nanmax(np.abs(p.astype(np.float64) - q.astype(np.float64)), initial=0.0)) if columns else 0.0
    return Difference(equal, len(ours), largest, changed, scores, causes)


def find_mismatch(ours: pd.DataFrame, theirs: pd.DataFrame) -> str:
    """Return why two tables of predictions are not of the same images and classes, or ""."""
    if len(ours) != len(theirs) or any((ours[name] != theirs[name]).any() for name in ("part", "sample", "label")):
        return f"the parts have other images than before, {len(ours)} and now {len(theirs)}: this version splits differently"
    columns = [{name for name in frame.columns if name.startswith("p_")} for frame in (ours, theirs)]
    return "" if columns[0] == columns[1] else "the classes are not those of the original"


@contextmanager
def scratch_folder(keep: Path | None) -> Iterator[Path]:
    """Yield the results folder of a rerun: ``keep``, which must be new or empty, else a temporary one."""
    import tempfile

    if keep is None:
        with tempfile.TemporaryDirectory(prefix="fer-rerun-") as folder:
            yield Path(folder)
        return
    if keep.is_symlink() or (keep.exists() and (not keep.is_dir() or any(keep.iterdir()))):
        raise ResultsError(f"--keep {keep}: not an empty folder; give a new one, so that nothing in it is overwritten")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep
