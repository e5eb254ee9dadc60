"""The suite itself: start-up, drawing, building, planning and reporting as runs grow, and what a sweep adds per run."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np

from fer_cli.bench.timing import Row, call_fer
from fer_cli.config import Compute

RUNS = (100, 1000, 3000)
"""Finished runs that are planned and reported."""
IMAGES = (500, 2000)
"""Faces drawn, and JPEGs built."""
MIB = 2**20

STUDY = """
name: many
question: How long do a plan and a report of many runs take?
base: {{data.name: synth-basic, data.split: subject, model.backbone: resnet18-small}}
seeds: {seeds}
arms: {arms}
report: {{metrics: [accuracy, macro_f1], against: a0}}
"""


def time_start(compute: Compute, repeats: int) -> list[Row]:
    """Return the time of ``fer --help``."""
    times = [call_fer(["--help"])[0] for _ in range(repeats + 1)][1:]
    return [Row("fer --help", "s", float(np.median(times)), repeats=repeats, spread=max(times) / min(times))]


def time_data(compute: Compute, repeats: int) -> list[Row]:
    """Return images per second and peak memory of drawing faces and of building a set from JPEGs, as images grow.

    Each is one ``fer`` command, start-up included.
    """
    rows = []
    for count in IMAGES:
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary)
            options = ["--size", "64", "--data-root", str(root / "data"), "--jobs", "2"]
            draw = ["data", "build", "synth-basic", "--images", str(count), "--subjects", "50", *options]
            rows += both(f"draw {count:,} faces @ 64, two processes", count, draw, root / "data", repeats)
            write_jpegs(root / "tree", count)
            pattern = "(?P<subject>p[0-9]+)_"
            build = ["data", "build", "tree", "--from", str(root / "tree"), "--layout", "folder", "--subject", pattern]
            rows += both(f"build {count:,} JPEGs of 224 px @ 64", count, [*build, *options], root / "data", repeats)
    return rows


def both(case: str, count: int, command: list[str], made: Path, repeats: int) -> list[Row]:
    """Return two rows of one command, repeated from nothing: things per second, and peak memory; ``made`` is deleted."""
    seconds, peaks = [], []
    for _ in range(repeats):
        shutil.rmtree(made, ignore_errors=True)
        taken, peak = call_fer(command)
        seconds.append(taken)
        peaks.append(peak / MIB)
    rate, spread = count / float(np.median(seconds)), max(seconds) / min(seconds)
    return [
        Row(case, "images/s", rate, repeats=repeats, spread=spread),
        Row(f"{case}: peak memory", "MiB", max(peaks), repeats=repeats),
    ]


def write_jpegs(root: Path, count: int, side: int = 224) -> None:
    """Write ``count`` different JPEGs of 100 people in seven class folders."""
    rng = np.random.default_rng(0)
    canvas = cv2.GaussianBlur(rng.integers(0, 255, (4 * side, 4 * side, 3), dtype=np.uint8), (0, 0), 5)
    canvas = cv2.normalize(canvas, None, 0, 255, cv2.NORM_MINMAX)
    names = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    for name in names:
        (root / name).mkdir(parents=True)
    for number in range(count):
        x, y = np.random.default_rng(number).integers(0, 3 * side, 2)
        patch = np.roll(canvas[y : y + side, x : x + side], number % side, axis=1)
        cv2.imwrite(str(root / names[number % 7] / f"p{number % 100:03d}_{number:06d}.jpg"), patch)


def time_runs(compute: Compute, repeats: int) -> list[Row]:
    """Return seconds and peak memory of ``--plan`` and ``fer report`` over growing numbers of finished runs."""
    rows = []
    for count in RUNS:
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary)
            study = write_runs(root, count)
            where = ["--study", str(study), "--results", str(root / "results"), "--data-root", str(root / "data")]
            for name, command in (("plan", ["ablate", *where, "--plan"]), ("report", ["report", *where])):
                call_fer(["report", *where])  # the first report verifies every file; later ones find that noted
                found = [call_fer(command) for _ in range(repeats)]
                seconds = float(np.median([taken for taken, _ in found]))
                rows.append(Row(f"{name} of {count:,} finished runs", "s", seconds, repeats=repeats))
                rows.append(Row(f"{name} of {count:,} finished runs: peak memory", "MiB", max(p for _, p in found) / MIB))
    return rows


def write_runs(root: Path, count: int) -> Path:
    """Write a study of ``count`` runs and a finished folder for each, and return the study's file."""
    from fer_cli.plan import make_plan
    from fer_cli.study import Choice

    arms = {f"a{number}": ({"train.lr": 0.01 + 0.0001 * number} if number else {}) for number in range(count // 20)}
    path = root / "many.yaml"
    path.write_text(STUDY.format(seeds=list(range(20)), arms=json.dumps(arms)))
    compute = Compute(data_root=root / "data", results=root / "results", threads=1)
    rng = np.random.default_rng(0)
    for item in make_plan(str(path), Choice(), compute).items:
        write_run(item.folder.path, item.run_id, item.fingerprint, item.run.config.model_dump(mode="json"), rng)
    return path


def write_run(folder: Path, run_id: str, fingerprint: str, config: object, rng: np.random.Generator) -> None:
    """Write the files of a finished run with random predictions of 200 test images."""
    import pandas as pd

    from fer_cli.metrics import score

    classes = ["angry", "happy", "neutral", "sad"]
    labels = np.repeat(classes, 50)
    answers = np.where(rng.random(200) < 0.7, labels, rng.choice(classes, 200))
    frame = pd.DataFrame({"part": "test", "sample": [f"{n:05d}" for n in range(200)], "label": labels, "predicted": answers})
    sizes = {"train": 600, "val": 100, "test": 200, "shared_subjects": 0, "test_subjects": 10}
    content = {
        "schema": 1,
        "kind": "stills",
        "run_id": run_id,
        "fingerprint": fingerprint,
        "config": config,
        "metrics": {"test": score(labels, answers, classes)},
        "data": {"classes": classes, "split_hash": "s", **sizes},
        "selection": {"rule": "val/macro_f1", "epoch": 1},
        "health": {},
        "relabelled": None,
        "warnings": [],
        "cost": {"seconds": {"total": 1.0}},
        "machine": {"device": "cpu", "precision": "fp32", "threads": 1},
        "provenance": {"fer": "0", "commit": None, "dirty": None},
    }
    folder.mkdir(parents=True)
    frame.to_parquet(folder / "predictions.parquet", index=False)
    (folder / "history.csv").write_text("epoch,train/accuracy\n1,0.9\n")
    (folder / "result.json").write_text(json.dumps(content))


def time_sweep(compute: Compute, repeats: int) -> list[Row]:
    """Return what a sweep adds to each run beyond its own seconds: claims, mirroring, files and processes."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        study = root / "sweep.yaml"
        study.write_text(
            "name: sweep\nquestion: What does a sweep add?\n"
            "base: {data.name: synth-basic, data.image_size: 32, data.folds: 4, data.split: subject,\n"
            "  model.backbone: resnet10-small, train.epochs: 1}\n"
            "seeds: [0, 1, 2, 3]\narms: {a: {}, b: {train.lr: 0.001}}\nreport: {against: a}\n"
        )
        where = ["--study", str(study), "--data-root", str(compute.data_root)]
        taken: dict[str, list[float]] = {"serial": [], "two processes": []}
        for turn in range(repeats):
            for workers, name in enumerate(taken, 1):
                results = root / f"{workers}-{turn}"
                wall = call_fer(["ablate", *where, "--results", str(results), "--jobs", str(workers)])[0]
                found = [json.loads(path.read_text()) for path in results.glob("runs/*/result.json")]
                own = [result["cost"]["seconds"]["total"] for result in found]
                taken[name].append(1000 * (workers * wall - sum(own)) / len(own))
    return [
        Row(f"sweep overhead, {name}", "ms/run", float(np.median(added)), repeats=repeats, spread=max(added) / min(added))
        for name, added in taken.items()
    ]
