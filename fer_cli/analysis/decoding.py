"""Decoded sequences of emotions: how many steps are recognised, and what the gate of ECEM advises (Fan 2025, Table 2).

The paper does not define its "number recognised": ours counts steps that are decoded correctly with a probability of at
least one half.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from fer_cli.analysis.outcome import Group, cache_result, figure_path, groups_on, note_none, summarise
from fer_cli.blocks import Block, Figure, Number, Table
from fer_cli.config import Compute
from fer_cli.plan import Item, Plan

if TYPE_CHECKING:
    from fer_cli.config.emotion import DecodeSettings
    from fer_cli.interaction.states import StateSpace

VERSION = 1


def decoding_analysis(plan: Plan, compute: Compute, folder: Path) -> list[Block]:
    """Return a table of recognised steps and advice per arm and kind of sequences, and figures of the states."""
    groups = [group for group in groups_on(plan, "emotions") if group.done]
    if not groups:
        return [note_none(plan, "decoding", "simulates emotions")]
    rows = [(group.label, describe_group(group)) for group in groups]
    columns = [
        "steps",
        "recognised",
        "recognised, %",
        "in the target region, %",
        "factors advised",
        "no advice reaches it, %",
    ]
    notes = [
        "means over seeds; recognised: steps decoded correctly with a probability of at least one half (ours; the paper "
        "defines no such number)",
        "target region and advice: of the valence at each step, decoded from the images up to it, also where states are "
        "smoothed; advice changes no sequence; a state above the region, such as happy, is not within it",
    ]
    return [Table("Decoded steps, and what ECEM advises", columns, rows, notes), *draw_models(groups, folder)]


def draw_models(groups: list[Group], folder: Path) -> list[Block]:
    """Return heat maps of transitions without and with factors, and the cube of the eight emotions where used."""
    from fer_cli.analysis.emotion_figures import draw_emotion_cube, draw_transitions
    from fer_cli.interaction.decoding import build_space

    blocks: list[Block] = []
    for states in dict.fromkeys(group.planned[0].run.config.sequences.states for group in groups):
        item = next(group.done[0] for group in groups if group.planned[0].run.config.sequences.states == states)
        settings, start = item.run.config.sequences, item.start
        assert start is not None
        space = build_space(settings, start.folder.result().data.classes)
        matrices, path = show_transitions(settings, space), figure_path(folder, "transitions", states)
        blocks.append(Figure(draw_transitions(space.names, matrices, path)))
        if space.pad is not None:
            path = figure_path(folder, "emotion-cube")
            blocks.append(Figure(draw_emotion_cube(space.names, space.pad, space.sign, space.valence, path)))
    return blocks


def show_transitions(settings: DecodeSettings, space: StateSpace) -> dict[str, np.ndarray]:
    """Return the simulated transitions (N, N) without and with all factors, without fading, by their titles."""
    from fer_cli.interaction.decoding import find_efficacy
    from fer_cli.interaction.incentives import incentive_transition

    driven = incentive_transition(space, np.ones(4), settings.tau, efficacy=find_efficacy(settings, space))
    return {"A, no factor": space.transition, "A, 4 factors": driven}


def describe_group(group: Group) -> list[Number | str]:
    """Return the cells of an arm."""
    runs = [measure(item) for item in group.seeds.values()]
    planned = len(group.planned)
    mean = {name: summarise([run[name] for run in runs], planned, unit) for name, unit in UNITS.items()}
    whole = {name: Number(sum(run[name] for run in runs) / len(runs), unit="count") for name in ("steps", "recognised")}
    return [whole["steps"], whole["recognised"], *(mean[name] for name in ("share", "inside", "factors", "unmet"))]


UNITS: dict[str, Literal["plain", "%"]] = {"share": "%", "inside": "%", "factors": "plain", "unmet": "%"}


def measure(item: Item) -> dict[str, float]:
    """Return what a run decoded and advised."""

    def count() -> dict[str, float]:
        import pandas as pd

        trace = pd.read_parquet(item.folder.file("trace.parquet"))
        result = item.folder.result()
        steps, recognised = len(trace), result.health["recognised"]
        return {
            "steps": steps,
            "recognised": recognised,
            "share": recognised / steps,
            "inside": float(trace["in_region"].mean()),
            "factors": float(trace["count"].mean()),
            "unmet": float(trace["unmet"].mean()),
        }

    found: dict[str, float] = cache_result(item, "decoding", VERSION, {}, count)
    return found
