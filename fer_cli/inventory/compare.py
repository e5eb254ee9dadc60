"""Two runs side by side: what differs in settings, data, code and machine, and in their answers: ``fer diff``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fer_cli.blocks import Block, Cell, Note, Number, Table
from fer_cli.config import METRICS, RunConfig
from fer_cli.errors import ResultsError
from fer_cli.inventory.rows import write_value
from fer_cli.inventory.scores import McNemar, pair_answers, test_pair
from fer_cli.inventory.text import table
from fer_cli.report.render import Report
from fer_cli.results import Result
from fer_cli.runs import RunFolder, read_config


def compare_runs(first: RunFolder, second: RunFolder) -> Report:
    """Return the report of what differs between two runs; scores only if both are done."""
    if first.run_id == second.run_id:
        raise ResultsError(f"{first.run_id}: the same run twice; give two runs to compare")
    states = [folder.status for folder in (first, second)]
    names = [first.run_id, second.run_id]
    results = [folder.result() if state == "done" else None for folder, state in zip((first, second), states, strict=True)]
    configs = [
        read_config(folder.file("config.json")) if result is None else result.config
        for folder, result in zip((first, second), results, strict=True)
    ]
    blocks: list[Block] = list(setting_table(configs, names))
    ours, theirs = results
    if ours is None or theirs is None:
        which = ", ".join(f"{name} is {state}" for name, state in zip(names, states, strict=True) if state != "done")
        blocks.append(Note(f"no scores to compare: {which}", head=True))
    else:
        answers = pair_answers((first.path, ours), (second.path, theirs))
        if isinstance(answers, str):
            blocks.append(Note(f"not comparable image by image: {answers}", head=True))
        else:
            blocks.append(Note(describe_pair(test_pair(*answers), names), head=True))
        blocks += score_table(ours, theirs, names)
        blocks += origin_table(ours, theirs, names)
    if not any(isinstance(block, Table) and block.title == SETTINGS for block in blocks):
        blocks.insert(0, Note("all settings are equal", head=True))
    return Report(f"{names[0]} and {names[1]}", blocks)


SETTINGS = "Settings that differ"


def setting_table(configs: Sequence[RunConfig], names: list[str]) -> list[Table]:
    """Return the settings that differ, as a table in a list, empty if there are none."""
    first, second = (config.flat() for config in configs)
    keys = [key for key in dict.fromkeys([*first, *second]) if first.get(key) != second.get(key)]
    return table(SETTINGS, names, [(key, [write_value(first.get(key)), write_value(second.get(key))]) for key in keys])


def describe_pair(found: McNemar, names: list[str]) -> str:
    """Return McNemar's counts and p in a sentence."""
    if found.b + found.c == 0:
        return f"same {found.n} test images: both runs are right on the same {found.both} of them"
    return (
        f"same {found.n} test images: both right on {found.both}, only {names[0]} on b = {found.b}, only {names[1]} on "
        f"c = {found.c}; McNemar's exact test p = {write_p(found.p)}; it compares these two trainings, not their methods"
    )


def write_p(p: float) -> str:
    """Return a p-value with three significant digits."""
    return f"{p:.3g}"


def score_table(ours: Result, theirs: Result, names: list[str]) -> list[Table]:
    """Return the scores of the parts that both have, side by side, with the difference."""
    rows: list[tuple[str, list[Cell]]] = []
    parts = [name for name in ours.metrics if name in theirs.metrics]
    for part in sorted(parts, key=lambda name: (name != "test", name)):
        one, two = ours.metrics[part], theirs.metrics[part]
        for name in METRICS:
            cells: list[Cell] = [Number(one[name]), Number(two[name]), Number(two[name] - one[name], unit="points")]
            rows.append((f"{METRICS[name].label}, {part} (n = {one.n}{'' if one.n == two.n else f' and {two.n}'})", cells))
    return table("Scores in %", [*names, "difference in points"], rows)


def origin_table(ours: Result, theirs: Result, names: list[str]) -> list[Table]:
    """Return what differs in data, code, libraries and machine."""
    first, second = describe_origin(ours), describe_origin(theirs)
    keys = [key for key in dict.fromkeys([*first, *second]) if first.get(key) != second.get(key)]
    rows = [(key, [str(first.get(key, "-")), str(second.get(key, "-"))]) for key in keys]
    return table("Data, code and machine that differ", names, rows)


def describe_origin(result: Result) -> dict[str, Any]:
    """Return data, code, libraries and machine of a run by name, without settings and durations."""
    machine, code, data = result.origin.machine, result.origin.provenance, result.data
    builds = result.fingerprint.split("+")
    return {
        **{f"fingerprint of {name}": build for name, build in zip(result.config.sets, builds, strict=False)},
        "split hash": data.split_hash,
        "samples": f"train {data.train}, validation {data.val}, test {data.test}",
        "classes": ", ".join(data.classes),
        "starts from": ", ".join(filter(None, [result.pretrained_by, result.trained_by])) or "-",
        "fer": code.fer,
        "commit": f"{code.commit or 'unknown'}{' with uncommitted changes' if code.dirty else ''}",
        "python": code.python or "-",
        **code.libraries,
        **{name: str(value) for name, value in machine.model_dump().items() if value is not None},
    }
