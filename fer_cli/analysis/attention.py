"""What networks on clips attend to: frames (teacher study 2024, Eq 2-5) and regions of the face (section 2.2).

Apex mass: the attention on frames at which the expression's true intensity is at least .8, minus the share of such frames,
which uniform attention would give them. Attention after ConvLSTMs weighs states that remember earlier frames, so it may
rightly lie later than the apex. Faces are only drawn from data sets whose card allows redistribution.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fer_cli.analysis.maps import is_redistributable
from fer_cli.analysis.outcome import (
    TRAINS,
    Group,
    cache_result,
    figure_path,
    groups_of,
    note_none,
    select_runs,
    summarise,
    takes_clips,
)
from fer_cli.blocks import Block, Figure, Note, Number, Table
from fer_cli.config import Compute
from fer_cli.plan import Item, Plan
from fer_cli.stats import paired_difference

VERSION = 1
APEX = 0.8
"""True intensity from which a frame counts as apex."""
STRIPS = 5
"""Clips drawn, of different classes as far as there are."""


def attention_analysis(plan: Plan, compute: Compute, folder: Path) -> list[Block]:
    """Return tables of apex mass and region weights, and figures of regions, of attention over time and of corrections."""
    done = [group for group in groups_of(plan) if group.done]
    groups = [group for group in done if takes_clips(group)]
    if not groups:
        return [Note("attention: no network takes clips") if done else note_none(plan, "attention", TRAINS)]
    found = {item.run_id: measure_attention(item, compute) for group in groups for item in group.done}
    blocks: list[Block] = [*apex_table(groups, found), *region_table(groups, found)]
    for group, item in select_runs(plan):
        tested = item.run.config.sets[-1]
        if item.run_id not in found:
            continue
        if not is_redistributable(compute, tested):
            blocks.append(Note(f"attention: not drawn because images of {tested} may not be redistributed"))
            break
        blocks += draw_attention(plan, group, item, compute, folder)
    return blocks


def measure_attention(item: Item, compute: Compute) -> dict[str, Any]:
    """Return the mean attention of a finished run's test clips; see ``measure``. Cached in the run's folder."""

    def measure() -> dict[str, Any]:
        from fer_cli.analysis.seen import see_test_clips

        seen = see_test_clips(item, compute)
        values: dict[str, Any] = {"clips": len(seen.people)}
        if seen.regions is not None:
            values["regions"] = seen.regions.mean(0).tolist()
        if seen.frames is not None and seen.intensity is not None:
            apex = seen.intensity >= APEX
            mass, share = (seen.frames * apex).sum(1), apex.mean(1)
            people = np.unique(seen.people)
            by_person = [[float(part[seen.people == one].mean()) for one in people] for part in (mass, share)]
            values |= {"mass": by_person[0], "share": by_person[1], "people": [str(one) for one in people]}
        return values

    values: dict[str, Any] = cache_result(item, "attention", VERSION, {"part": "test", "apex": APEX}, measure)
    return values


def apex_table(groups: list[Group], found: dict[str, dict[str, Any]]) -> list[Table]:
    """Return the apex mass per arm; [] if no arm attends to frames whose true intensity is known."""
    rows = []
    for group in groups:
        runs = [found[item.run_id] for item in group.done if "mass" in found[item.run_id]]
        if runs:
            mass, share = ([value for run in runs for value in run[name]] for name in ("mass", "share"))
            delta = paired_difference(mass, share)
            interval = None if delta.low is None or delta.high is None else (delta.low, delta.high)
            rows.append(
                (
                    group.label,
                    [
                        Number(float(np.mean(mass))),
                        Number(float(np.mean(share))),
                        Number(delta.mean, interval=interval, unit="points"),
                        Number(sum(run["clips"] for run in runs), unit="count"),
                    ],
                )
            )
    if not rows:
        return []
    notes = [
        f"apex: frames at which the true intensity of the expression is {APEX:g} or more; interval over the test people of "
        "all seeds, each counted once per seed",
        "after ConvLSTMs, a frame's state also holds what came before, so attention may lie later than the apex",
    ]
    return [Table("Attention on the apex", ["attention, %", "share of frames, %", "difference", "clips"], rows, notes)]


def region_table(groups: list[Group], found: dict[str, dict[str, Any]]) -> list[Table]:
    """Return the mean weight of each region per arm with region weights; a table per kind of boxes."""
    from fer_cli.data.regions import NAMES

    tables = []
    for kind in dict.fromkeys(group.planned[0].run.config.model.regions for group in groups):
        rows = []
        for group in groups:
            runs = [found[item.run_id]["regions"] for item in group.done if "regions" in found[item.run_id]]
            if runs and group.planned[0].run.config.model.regions == kind:
                columns = zip(*runs, strict=True)
                rows.append((group.label, [summarise(list(values), len(group.planned)) for values in columns]))
        if rows:
            title = f"Region weights, boxes `{kind}`: mean over test clips ± sd over seeds (n)"
            tables.append(Table(title, list(NAMES[kind]), rows, ["weights lie in (0, 1) and need not sum to 1"]))
    return tables


def draw_attention(plan: Plan, group: Group, item: Item, compute: Compute, folder: Path) -> list[Block]:
    """Draw a finished run's regions and weights on a face, its attention over time, and the labels that it corrected."""
    from fer_cli.analysis.seen import see_corrections, see_test_clips
    from fer_cli.analysis.strips import correction_figure, region_figure, strip_figure
    from fer_cli.drawing import Words, save

    place = str(list(plan.study.arms).index(group.arm) + 1)
    foot = f"{plan.title}; seed {item.run.seed}, run {item.run_id}; tested on {item.run.config.sets[-1]}"
    seen = see_test_clips(item, compute)
    chosen = seen.pick(STRIPS)
    figures = {}
    if seen.boxes is not None:
        figures["regions"] = region_figure(
            Words(f"{plan.study.name}: face regions, {group.label}", foot=[foot]),
            seen,
            chosen[0],
            item.run.config.model.regions,
        )
    if seen.frames is not None:
        figures["frames"] = strip_figure(f"{plan.study.name}: attention over time, {group.label}", foot, seen, chosen)
    if (changes := see_corrections(item, compute, STRIPS)) is not None:
        figures["corrected"] = correction_figure(
            Words(f"{plan.study.name}: replaced labels, {group.label}", foot=[foot]), changes
        )
    blocks: list[Block] = []
    captions = {
        "regions": "boxes on the middle frame; the darker, the larger the region's mean weight over the test clips",
        "frames": "frames with the attention they get (bars) and the true intensity of the expression (line)",
        "corrected": "training clips whose label the run replaced: true, given and new label",
    }
    for name, figure in figures.items():
        path = figure_path(folder, "attention", name, place, group.arm)
        save(figure, path)
        blocks += [Figure(path), Note(f"{path.name}: {captions[name]}")]
    return blocks
