"""Valence and entropy under incentive factors and disturbances, and the time to the target region (Fan 2025, Fig 11).

The time is the first minute at which the mean decoded valence of the students is within the region, or "never" in the
sequences' length; beside it stands what the chain alone predicts. A sequence that ends early counts as long as it lasts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fer_cli.analysis.outcome import Group, cache_result, figure_path, groups_on, note_none
from fer_cli.blocks import DASH, MINUS, Block, Cell, Figure, Number, Table
from fer_cli.config import Compute
from fer_cli.plan import Item, Plan

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Page

    from fer_cli.config.emotion import DecodeSettings
    from fer_cli.interaction.ecem import Recovery
    from fer_cli.interaction.states import StateSpace

VERSION = 2
NEVER = "never"


def incentives_analysis(plan: Plan, compute: Compute, folder: Path) -> list[Block]:
    """Return the time to the region per arm and start, and a figure of valence and entropy over time."""
    groups = [group for group in groups_on(plan, "emotions") if group.done]
    if not groups:
        return [note_none(plan, "incentives", "simulates emotions")]
    found = {group.label: {seed: read_curves(item) for seed, item in group.seeds.items()} for group in groups}
    rows, limit = [], find_limit(groups[0].done[0])
    for group in groups:
        runs, sign = list(found[group.label].values()), sign_of(group)
        times = [reach(run["minutes"], run["valence"], sign, limit) for run in runs]
        last = [run["valence"][-1] for run in runs]
        rows.append(
            (
                group.label,
                [
                    describe_times(times),
                    predict_time(group.done[0]),
                    Number(float(np.mean(last)), unit="plain"),
                    Number(float(np.mean([run["entropy"][-1] for run in runs])), unit="plain"),
                ],
            )
        )
    columns = [
        "minutes to the region, by seed",
        "minutes predicted by the chain",
        "valence at the end",
        "entropy at the end, nats",
    ]
    notes = [
        f"region: mean decoded valence of at least {limit:g} ({-limit:g} or less under disturbances)",
        f"sequences last {plan.items[0].run.config.sequences.steps - 1} steps; `{NEVER}`: not within them",
        "0: within it from the first step; entropy: of the decoded emotions; that in `expected-*.png` is the chain's",
    ]
    if any(group.planned[0].run.config.sequences.factors is None for group in groups):
        notes.append(f"{DASH}: factors are redrawn, so that no single chain predicts the time")
    path = figure_path(folder, "incentives")
    from fer_cli.drawing import save

    save(draw_curves(plan, groups, found), path)
    table = Table("Time to the target region", columns, rows, notes)
    return [table, Figure(path), *draw_expected(groups, folder)]


def answer_incentives(plan: Plan, compute: Compute) -> str:
    """Return how long it takes from the study's first start into the region, and out of it; "" without finished runs."""
    groups = [group for group in groups_on(plan, "emotions") if group.done]
    first = groups[0].planned[0].run.at if groups else ()
    limit = find_limit(groups[0].done[0]) if groups else 0.0
    where = "".join(f", {key.rsplit('.', 1)[-1]} {value}" for key, value in first)
    said = []
    for sign, words in ((1, "at least"), (-1, "at most")):
        found = {}
        for group in (one for one in groups if one.planned[0].run.at == first and sign_of(one) == sign):
            curves = [read_curves(item) for item in group.done]
            found[group.arm] = [reach(curve["minutes"], curve["valence"], sign, limit) for curve in curves]
        if found:
            bound = f"{sign * limit:g}".replace("-", MINUS)
            times = "; ".join(map(describe_arm, found.items()))
            said.append(f"Simulated{where}: minutes until the mean valence is {words} {bound}: {times}.")
    return " ".join(said)


def describe_arm(entry: tuple[str, list[float | None]]) -> str:
    """Return an arm with the range of its times: ``2 factors 13 to 16 (n = 3)``."""
    arm, times = entry
    known = [one for one in times if one is not None]
    if not known:
        return f"{arm} never in these sequences (n = {len(times)})"
    low, high = min(known), max(known)
    span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    within = f"n = {len(times)}" if len(known) == len(times) else f"{len(known)} of {len(times)} seeds, else never"
    return f"{arm} {span} ({within})"


def draw_expected(groups: list[Group], folder: Path) -> list[Block]:
    """Return the curves of the chain alone: factors from the first start of the study, disturbances from the last."""
    from fer_cli.analysis.emotion_figures import draw_recoveries

    blocks: list[Block] = []
    for sign, item in ((1, groups[0].done[0]), (-1, groups[-1].done[0])):
        settings = item.run.config.sequences
        curves = expect_curves(settings, space_of(item), sign)
        low, high = sorted((sign * settings.region.low, sign * settings.region.high))
        path = figure_path(folder, "expected", "factors" if sign > 0 else "disturbances")
        blocks.append(Figure(draw_recoveries(curves, low, high, settings.start or "any emotion", path)))
    return blocks


def expect_curves(settings: DecodeSettings, space: StateSpace, sign: int) -> list[Recovery]:
    """Return the curves of the simulated chain alone under 1 to 4 factors (``sign`` 1) or disturbances (-1)."""
    from fer_cli.interaction.decoding import build_plan
    from fer_cli.interaction.ecem import recover

    plan = build_plan(settings, space, 1)
    start = np.full(space.size, 1 / space.size) if plan.initial is None else plan.initial
    span = settings.steps * settings.minutes
    return recover(
        space, start, settings.region, sign, plan.psi, plan.minutes, span, plan.tau, plan.efficacy, fading=plan.faded
    )


def space_of(item: Item) -> StateSpace:
    """Return the states of a run, of the classes of its recogniser."""
    from fer_cli.interaction.decoding import build_space

    assert item.start is not None
    return build_space(item.run.config.sequences, item.start.folder.result().data.classes)


def sign_of(group: Group) -> int:
    """Return 1 for factors, or none, and -1 for disturbances."""
    return -1 if (group.planned[0].run.config.sequences.factors or 0) < 0 else 1


def find_limit(item: Item) -> float:
    """Return the lower end of the target region of a run; disturbances aim at its negative (ours)."""
    return item.run.config.sequences.region.low


def reach(minutes: list[float], valence: list[float], sign: int, limit: float) -> float | None:
    """Return the first minute at which the valence is in the region, None for never."""
    there = np.flatnonzero(sign * np.array(valence) >= limit)
    return minutes[there[0]] if len(there) else None


def describe_times(times: list[float | None]) -> str:
    """Return times as ``9, 11, never``."""
    return ", ".join(NEVER if one is None else f"{one:g}" for one in times)


def read_curves(item: Item) -> dict[str, list[float]]:
    """Return minutes, and mean valence and entropy (nats) of the decoded emotions of a run's students."""

    def measure() -> dict[str, list[float]]:
        import pandas as pd

        from fer_cli.interaction.ecem import entropy, valence

        trace, space = pd.read_parquet(item.folder.file("trace.parquet")), space_of(item)
        shares = trace[[f"gamma/{name}" for name in space.names]].to_numpy()
        table = pd.DataFrame({"valence": valence(shares, space), "entropy": entropy(shares)})
        means = table.groupby(trace["t_min"]).mean()
        columns = {"minutes": means.index, "valence": means["valence"], "entropy": means["entropy"]}
        return {name: [float(value) for value in values] for name, values in columns.items()}

    found: dict[str, list[float]] = cache_result(item, "incentives", VERSION, {}, measure)
    return found


def predict_time(item: Item) -> Cell:
    """Return the minute at which the chain alone, without observations, is in the region; a dash where factors change."""
    from fer_cli.interaction.decoding import predict_time as predict

    if item.run.config.sequences.factors is None:
        return Number(None)
    assert item.start is not None
    found = predict(item.run.config.sequences, item.start.folder.result().data.classes, find_limit(item))
    return NEVER if found is None else Number(found, unit="plain", digits=0)


def draw_curves(plan: Plan, groups: list[Group], found: Mapping[str, Mapping[int, Mapping[str, list[float]]]]) -> Page:
    """Draw valence and entropy over minutes: rows of factors and of disturbances per start, a line per number of them.

    Factors that are redrawn have a line of their own, among those of factors.
    """
    from matplotlib.lines import Line2D

    from fer_cli.analysis.emotion_figures import LINES
    from fer_cli.drawing import COLUMN, PALETTE, Words, page

    starts = list(dict.fromkeys(group.planned[0].run.at for group in groups))
    counts = {group.label: group.planned[0].run.config.sequences.factors for group in groups}
    sides = {label: 1 if count is None else count for label, count in counts.items()}
    signs = [sign for sign in (1, -1) if any(sign * side > 0 for side in sides.values())] or [1]
    sizes: list[int | None] = list(range(max(abs(count or 0) for count in counts.values()) + 1))
    sizes += [None] if None in counts.values() else []
    styles: dict[int | None, dict[str, Any]] = {
        size: {"color": PALETTE[place], "ls": LINES[place % len(LINES)], "lw": 1.1} for place, size in enumerate(sizes)
    }
    keys = [Line2D([], [], label="redrawn" if size is None else str(size), **styles[size]) for size in sizes]
    words = Words(
        "Decoded emotions over time",
        ("means over students and seeds; key: number of factors or disturbances",),
        [keys],
        [plan.title],
    )
    region = groups[0].planned[0].run.config.sequences.region
    rows = [(start, sign) for start in starts for sign in signs]
    figure = page(COLUMN, 0.3 + 1.2 * len(rows), words)
    axes = figure.subplots(len(rows), 2, sharex=True, sharey="col", squeeze=False)
    for row, (start, sign) in enumerate(rows):
        for group in groups:
            count = counts[group.label]
            if group.planned[0].run.at != start or sign * sides[group.label] < 0:
                continue
            runs = list(found[group.label].values())
            for column, name in enumerate(("valence", "entropy")):
                length = min(len(run[name]) for run in runs)
                values = np.mean([run[name][:length] for run in runs], axis=0)
                axes[row, column].plot(runs[0]["minutes"][:length], values, **styles[count and abs(count)])
        where = ", ".join(f"{name.rsplit('.', 1)[-1].replace('_', ' ')}: {value}" for name, value in start) or "all students"
        what = f", {'factors' if sign > 0 else 'disturbances'}" if len(signs) > 1 else ""
        axes[row, 0].set_title(where + what, loc="left")
        axes[row, 0].axhspan(*sorted((sign * region.low, sign * region.high)), color="0.9", lw=0)
        axes[row, 0].set_ylabel("valence")
        axes[row, 1].set_ylabel("entropy, nats")
    for axis in axes[-1]:
        axis.set_xlabel("minutes")
    return figure
