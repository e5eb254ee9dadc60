"""The runs that an analysis rests on, the numbers that it keeps in their folders, and how it summarises them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fer_cli.blocks import Number
from fer_cli.places import read_text, write_text
from fer_cli.plan import Item, Plan
from fer_cli.stats import sample_sd
from fer_cli.tasks import task_of

POSITIVE = ("happy", "surprise")
NEGATIVE = ("angry", "disgust", "fear", "sad")
GROUPS = {"positive": POSITIVE, "negative": NEGATIVE}
"""Positive and negative expressions of He 2025, who does not list them; ours."""


@dataclass(frozen=True)
class Group:
    """The planned runs of one arm at one grid point, and those of them that are done."""

    arm: str
    label: str
    """The arm and its grid values, in words."""
    planned: list[Item]
    done: list[Item]

    @property
    def seeds(self) -> dict[int, Item]:
        """Return the finished runs by seed."""
        return {item.run.seed: item for item in self.done}


def groups_of(plan: Plan) -> list[Group]:
    """Return the plan's networks by arm and grid point, in the order of the study's arms and grid."""
    found: dict[tuple[str, tuple[tuple[str, Any], ...]], list[Item]] = {}
    for arm in plan.study.arms:
        for item in (item for item in plan.items if item.run.arm == arm and task_of(item.run.config).trains_network):
            found.setdefault((arm, item.run.at), []).append(item)
    groups = []
    for (arm, at), items in found.items():
        leaky = " (leaky split)" if any(item.run.config.data.ignores_people for item in items) else ""
        values = [f"{key.rsplit('.', 1)[-1].replace('_', ' ')} {value}" for key, value in at]
        done = [item for item in items if item.folder.status == "done"]
        groups.append(Group(arm, ", ".join([arm + leaky, *values]), items, done))
    return groups


def select_runs(plan: Plan) -> list[tuple[Group, Item]]:
    """Return the runs that figures show: of each arm, at the first grid point, the one of the same seed.

    The seed is the first of those that most arms have finished, so that the panels show the same test images.
    """
    first = {group.arm: group for group in reversed(groups_of(plan))}
    groups = [first[arm] for arm in plan.study.arms if arm in first and first[arm].done]
    counts = {seed: sum(seed in group.seeds for group in groups) for group in groups for seed in group.seeds}
    if not counts:
        return []
    seed = min(counts, key=lambda one: (-counts[one], one))
    return [(group, group.seeds[seed]) for group in groups if seed in group.seeds]


def cache_result(item: Item, name: str, version: int, settings: dict[str, Any], measure: Callable[[], Any]) -> Any:
    """Return what ``measure`` says of a finished run, read back from ``analysis-<name>.json`` of its folder where possible.

    What is stored counts only if version and settings of the analysis are the same, the run has the same result still, and
    the values are those that were written.
    """
    path = item.folder.file(f"analysis-{name}.json")
    result = hashlib.sha256(item.folder.file("result.json").read_bytes()).hexdigest()
    mark = json.loads(json.dumps({"version": version, "settings": settings, "result_sha256": result}))
    try:
        kept = json.loads(read_text(path))
        values = kept["values"]
        if {key: kept[key] for key in mark} == mark and kept.get("values_sha256", sha256_of(values)) == sha256_of(values):
            return values
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass  # not there, cut short or edited: computed again
    values = json.loads(json.dumps(measure()))
    write_text(path, json.dumps({**mark, "values": values, "values_sha256": sha256_of(values)}) + "\n")
    return values


def sha256_of(values: Any) -> str:
    """Return the SHA-256 of what an analysis keeps."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def summarise(values: Sequence[float | None], planned: int, unit: Literal["plain", "%"] = "plain") -> Number:
    """Return mean, sample deviation and number of the values that are known, of the planned ones."""
    known = [value for value in values if value is not None]
    mean = sum(known) / len(known) if known else None
    return Number(mean, sample_sd(known), n=len(known), planned=planned, unit=unit, digits=2 if unit == "%" else 3)


def figure_path(folder: Path, *names: str) -> Path:
    """Return where a figure goes in the folder of its plan: the names, joined and in small letters, as a PNG."""
    return folder / ("-".join(re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") for name in names) + ".png")
