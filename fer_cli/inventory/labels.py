"""Images whose labels are probably wrong, from the out-of-fold predictions of a study's runs: ``fer data audit --labels``.

Runs with ``learning.confident`` keep what networks that had not seen an image say of its label (``confident.parquet``). An
image is listed once per level of the study and given label, with the number of runs that predicted it and that suspect the
label. Where labels were planted, recall and precision are against them; the set's own label counts as right.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from fer_cli.blocks import DASH, decimal, percent
from fer_cli.choices import last_choice
from fer_cli.config import Compute
from fer_cli.data.block import pictures
from fer_cli.data.cards import has_card, load_card
from fer_cli.data.manifest import FaceSet, load_set
from fer_cli.data.peek import enlarge, pad_line, render_text, widen
from fer_cli.errors import DataError
from fer_cli.marks import check_picture, check_place, write_png
from fer_cli.outputs import damage_error
from fer_cli.places import whole_file
from fer_cli.plan import Plan, make_plan
from fer_cli.study import load_study

CONFIDENT = "confident.parquet"
"""The file of a run, which ``learning.confident`` writes."""
COLUMNS = ["sample", "label_true", "label_given", "confidence", "suspect", "proposed"]
SUSPECTS = ["level", "sample", "label", "given", "proposed", "confidence", "suspect_in", "runs"]
HEAD = ["level", "runs", "labels judged", "suspect", "wrong as planted", "recall", "precision"]
SHOWN, WIDE, SIDE = 48, 8, 96
"""Images on the sheet, per row, and the side of each in pixels."""


@dataclass(frozen=True)
class Level:
    """What the runs at one level found: ``judged``, a row per run and training image, in the columns of their files."""

    name: str
    runs: int
    judged: pd.DataFrame

    @property
    def suspects(self) -> pd.DataFrame:
        """Return a row per suspect sample and given label, the most suspect first: by share of runs, then confidence."""
        groups = self.judged.groupby(["sample", "label_true", "label_given"], sort=True)
        found = groups.agg(
            proposed=("proposed", lambda answers: answers.mode().iloc[0]),
            confidence=("confidence", "mean"),
            suspect_in=("suspect", "sum"),
            runs=("suspect", "size"),
        ).reset_index()
        found = found[found["suspect_in"] > 0]
        share = found["suspect_in"] / found["runs"]
        found = found.assign(level=self.name, share=share, confidence=found["confidence"].round(4))
        ordered = found.sort_values(["share", "confidence", "sample"], ascending=[False, True, True], kind="stable")
        names = {"label_true": "label", "label_given": "given"}
        return ordered.rename(columns=names)[SUSPECTS].reset_index(drop=True)

    def row(self) -> list[str]:
        """Return its cells under ``HEAD``."""
        suspect = self.judged["suspect"].to_numpy(bool)
        wrong = (self.judged["label_given"] != self.judged["label_true"]).to_numpy()
        recall = percent(float(suspect[wrong].mean())) if wrong.any() else DASH
        precision = percent(float(wrong[suspect].mean())) if wrong.any() and suspect.any() else DASH
        counts = [str(self.runs), str(len(suspect)), str(int(suspect.sum())), str(int(wrong.sum()))]
        return [self.name, *counts, recall, precision]


@dataclass(frozen=True)
class Doubts:
    """The levels of a study on one set, and the files written: the table and, where the set's card allows, the sheet."""

    levels: list[Level]
    table: Path
    sheet: Path | None


def doubt_labels(study: str, name: str, compute: Compute, out: Path | None = None) -> Doubts:
    """Return the images of a set whose labels the study's finished runs doubt; writes ``<out>.csv`` and ``<out>.png``.

    Raises DataError if no finished run has out-of-fold predictions, and for an ``out`` without a name.
    """
    if out is not None and not out.name:
        raise DataError(f"--out {out}: a folder; name a CSV to write")
    if out is not None:
        check_place(Path(f"{cut_ending(out)}.csv"), ",".join(SUSPECTS), "a table of suspect labels")
        check_picture(Path(f"{cut_ending(out)}.png"))
    choice = replace(last_choice(load_study(study), compute.results), data=name)
    plan = make_plan(study, choice, compute)
    levels = read_levels(plan)
    if not levels:
        arms = [item.run.arm for item in plan.items if item.run.config.learning.confident != "none"]
        hint = "it has no arm with learning.confident: remove"
        if arms:
            hint = f"first: fer ablate --study {shlex.quote(study)} --data {name} --only {shlex.quote(arms[0])}"
        raise DataError(f"{plan.study.name} on {name}: no finished run has out-of-fold predictions; {hint}")
    stem = compute.results / "labels" / plan.stem if out is None else cut_ending(out)
    stem.parent.mkdir(parents=True, exist_ok=True)
    table = Path(f"{stem}.csv")
    with whole_file(table) as draft:
        pd.concat([level.suspects for level in levels]).to_csv(draft, index=False)
    own = [level for level in levels if (level.judged["label_given"] == level.judged["label_true"]).all()]
    shown = (own or levels)[0].suspects
    sheet = None
    if has_card(name) and load_card(name).redistributable and len(shown):
        sheet = Path(f"{stem}.png")
        draw_sheet(load_set(compute.data_root, name), shown, sheet)
    return Doubts(levels, table, sheet)


def cut_ending(out: Path) -> Path:
    """Return a path without .csv or .png; any other ending is part of the name, as in ``scn-0.2``."""
    return out.with_suffix("") if out.suffix.lower() in {".csv", ".png"} else out


def read_levels(plan: Plan) -> list[Level]:
    """Return the levels with finished runs that have out-of-fold predictions, in the study's order."""
    found: dict[str, list[pd.DataFrame]] = {}
    for item in {item.run_id: item for item in plan.items}.values():
        path = item.folder.file(CONFIDENT)
        if item.run.config.learning.confident == "none" or item.folder.status != "done" or not path.is_file():
            continue
        try:
            table = pd.read_parquet(path, columns=COLUMNS)
        except (OSError, ValueError, KeyError) as error:
            raise damage_error(path, f"not a table of out-of-fold predictions ({error})") from None
        several = sum(one.learning.confident != "none" for one in {i.run.arm: i.run.config for i in plan.items}.values()) > 1
        at = [f"{key} {value}" for key, value in item.run.at]
        found.setdefault(", ".join([*at, *([item.run.arm] if several else [])]) or "all", []).append(table)
    return [Level(name, len(tables), pd.concat(tables, ignore_index=True)) for name, tables in found.items()]


def draw_sheet(faces: FaceSet, suspects: pd.DataFrame, path: Path) -> None:
    """Write a PNG of the first suspect images, each above its given and proposed label."""
    rows = suspects.head(SHOWN)
    places = pd.Series(np.arange(len(faces.manifest)), faces.manifest["sample"])
    images = [next(pictures(faces.images[np.array([places[sample]])][:, :1])) for sample in rows["sample"]]
    texts = [
        (given, f"→ {proposed}", f"p {decimal(p, 2)}, {many}/{runs}")
        for given, proposed, p, many, runs in rows[["given", "proposed", "confidence", "suspect_in", "runs"]].to_numpy()
    ]
    tiles = [draw_tile(image, lines) for image, lines in zip(images, texts, strict=True)]
    width = max(tile.shape[1] for tile in tiles)
    tiles = [widen(tile, width) for tile in tiles]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % WIDE)
    lines = [np.concatenate(tiles[start : start + WIDE], 1) for start in range(0, len(tiles), WIDE)]
    level = rows["level"].iloc[0]
    told = f"{faces.info.name}, {level}: given label → proposed; p: predicted for the given one; suspect in n of the runs"
    head = pad_line(render_text(told))
    full = max(head.shape[1], lines[0].shape[1])
    sheet = np.concatenate([widen(block, full) for block in [head, *lines]])
    write_png(path, sheet)


def draw_tile(image: np.ndarray, lines: tuple[str, ...]) -> np.ndarray:
    """Return an image (S, S) or (S, S, 3) uint8, enlarged, above lines of text: (H, W, 3) uint8."""
    blocks = [pad_line(enlarge(image, SIDE)), *(pad_line(render_text(line)) for line in lines)]
    width = max(block.shape[1] for block in blocks)
    return np.concatenate([widen(block, width) for block in blocks])
