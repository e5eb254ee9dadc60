"""The runs of an analysis, its cached results in their folders, and their summary."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fer_cli.blocks import Block, Note, Number
from fer_cli.overlap import leak_of
from fer_cli.places import read_text, write_text
from fer_cli.plan import Item, Plan
from fer_cli.stats import sample_sd
from fer_cli.tasks import task_of

POSITIVE = ("happy", "surprise")
NEGATIVE = ("angry", "disgust", "fear", "sad")
GROUPS = {"positive": POSITIVE, "negative": NEGATIVE}
"""Positive and negative expressions; He 2025 does not list them, so this is our choice."""
TRAINS = "trains a network on images"
"""What a run must do for the analyses of networks."""


@dataclass(frozen=True)
class Group:
    """The planned and finished runs of one arm at one grid point; ``label``: arm and grid values."""

    arm: str
    label: str
    planned: list[Item]
    done: list[Item]

    @property
    def seeds(self) -> dict[int, Item]:
        """Return the finished runs by seed."""
        return {item.run.seed: item for item in self.done}


def groups_of(plan: Plan, networks: bool = True) -> list[Group]:
    """Return the runs by arm and grid point, in the study's order; ``networks``: only those that train networks."""
    found: dict[tuple[str, tuple[tuple[str, Any], ...]], list[Item]] = {}
    for arm in plan.study.arms:
        for item in (item for item in plan.items if item.run.arm == arm):
            if networks and not task_of(item.run.config).trains_network:
                continue
            found.setdefault((arm, item.run.at), []).append(item)
    groups = []
    for (arm, at), items in found.items():
        values = [f"{key.rsplit('.', 1)[-1].replace('_', ' ')} {value}" for key, value in at]
        done = [item for item in items if item.folder.status == "done"]
        leaky = leak_of([item.folder.result() for item in done], all(item.run.config.data.ignores_people for item in items))
        groups.append(Group(arm, ", ".join([f"{arm} (leaky)" if leaky else arm, *values]), items, done))
    return groups


def groups_on(plan: Plan, simulation: str) -> list[Group]:
    """Return the runs on a kind of simulation, by arm and grid point."""
    groups = groups_of(plan, networks=False)
    return [group for group in groups if group.planned[0].run.config.sequences.simulation == simulation]


def select_runs(plan: Plan) -> list[tuple[Group, Item]]:
    """Return the runs in figures: each arm at its first grid point, at the first seed that most arms have finished."""
    first = {group.arm: group for group in reversed(groups_of(plan))}
    groups = [first[arm] for arm in plan.study.arms if arm in first and first[arm].done]
    counts = {seed: sum(seed in group.seeds for group in groups) for group in groups for seed in group.seeds}
    if not counts:
        return []
    seed = min(counts, key=lambda one: (-counts[one], one))
    return [(group, group.seeds[seed]) for group in groups if seed in group.seeds]


def note_none(plan: Plan, name: str, needed: str) -> Note:
    """Return the note of an analysis without any run to look at; ``needed``: what such a run does, in words."""
    done = any(item.folder.status == "done" for item in plan.items)
    return Note(f"{name}: {f'no finished run {needed}' if done else 'no run is done'}")


def takes_clips(group: Group) -> bool:
    """Return whether the network of an arm takes clips."""
    return group.planned[0].run.config.model.network.clips


def note_clips(name: str, groups: Iterable[Group]) -> list[Block]:
    """Return a note on the arms that an analysis of networks on stills leaves out; [] if there are none."""
    labels = "; ".join(group.label for group in groups if takes_clips(group))
    return [Note(f"{name}, omitted because the network takes clips: {labels}")] if labels else []


def cache_result(item: Item, name: str, version: int, settings: dict[str, Any], measure: Callable[[], Any]) -> Any:
    """Return ``measure()``, cached in ``analysis-<name>.json`` while version, settings and result are unchanged."""
    path = item.folder.file(f"analysis-{name}.json")
    result = hashlib.sha256(item.folder.file("result.json").read_bytes()).hexdigest()
    mark = json.loads(json.dumps({"version": version, "settings": settings, "result_sha256": result}))
    try:
        kept = json.loads(read_text(path))
        values = kept["values"]
        if {key: kept[key] for key in mark} == mark and kept.get("values_sha256", sha256_of(values)) == sha256_of(values):
            return values
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass  # missing, truncated or edited: recomputed
    values = json.loads(json.dumps(measure()))
    write_text(path, json.dumps({**mark, "values": values, "values_sha256": sha256_of(values)}) + "\n")
    return values


def read_cached(item: Item, name: str) -> Any:
    """Return what an analysis has cached of a run's present result, None without."""
    try:
        kept = json.loads(read_text(item.folder.file(f"analysis-{name}.json")))
        result = hashlib.sha256(item.folder.file("result.json").read_bytes()).hexdigest()
        fits = kept["result_sha256"] == result and kept["values_sha256"] == sha256_of(kept["values"])
        return kept["values"] if fits else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def sha256_of(values: Any) -> str:
    """Return the SHA-256 of cached values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def summarise(values: Sequence[float | None], planned: int, unit: Literal["plain", "%"] = "plain") -> Number:
    """Return mean, sample deviation and count of the defined values: ``(5)``, or ``n = 3/5`` where some are missing."""
    known = [value for value in values if value is not None]
    mean = sum(known) / len(known) if known else None
    expected = None if len(known) == planned else planned
    return Number(mean, sample_sd(known), n=len(known), planned=expected, unit=unit, digits=2 if unit == "%" else 3)


def figure_path(folder: Path, *names: str) -> Path:
    """Return the path of a figure: the names in lower case, joined by hyphens, as a PNG."""
    return folder / ("-".join(re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") for name in names) + ".png")
