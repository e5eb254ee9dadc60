"""The notes of a report: red flags under the main table, the protocol, and where the numbers come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from fer_cli.blocks import Note
from fer_cli.data.importers.hints import few
from fer_cli.data.kept import KeptSet
from fer_cli.plan import Plan
from fer_cli.recipes import describe_recipe
from fer_cli.report.collect import Cells
from fer_cli.report.compared import describe_place
from fer_cli.report.material import Material
from fer_cli.report.origin import choice_lines, group_networks, model_lines
from fer_cli.report.protocol import (
    VALIDATION,
    absent_lines,
    compromise_lines,
    corrupt_lines,
    drawn_lines,
    noise_lines,
    seed_line,
    size_lines,
    split_lines,
)
from fer_cli.report.version import VERSION, VERSIONS

MOST_PLACES = 4
"""Cells that a warning names."""


def describe_flags(material: Material) -> list[str]:
    """Return a line per warning of the runs, with the cells where it was given."""
    found: dict[str, list[str]] = {}
    for cell in material.cells.values():
        notes = Counter(note.split(":")[0] for result in cell.results.values() for note in result.warnings)
        for note, n in notes.items():
            found.setdefault(note, []).append(f"{describe_place(cell.arm, cell.at)} ({n}/{len(cell.results)} runs)")
    return [f"{note}: {few(places, MOST_PLACES)}" for note, places in found.items()]


def describe_protocol(material: Material) -> Iterator[Note]:
    """Return the notes on data, splits, seeds, training and arms."""
    plan, cells = material.plan, material.cells
    lines = []
    for known in map(material.describe, plan.sets):
        info = known.info
        lines.append(
            f"data: {info.title}; {info.amount}, {info.subjects} subjects, {len(info.classes)} classes "
            f"({', '.join(info.classes)})"
        )
        lines += describe_preparation(known)
    lines += size_lines(plan, cells) + describe_transfers(plan, cells) + split_lines(plan, cells) + absent_lines(cells)
    lines += noise_lines(plan)
    lines += drawn_lines(cells) + corrupt_lines(plan) + compromise_lines(cells) + choice_lines(plan)
    lines += recipe_lines(plan)
    lines += [describe_seeds(plan), *model_lines(plan)]
    if plan.choice.settings:
        lines.append(f"set for all runs, instead of what the study says: {', '.join(plan.choice.settings)}")
    lines.append("arms: " + "; ".join(f"{arm}: {differing_settings(plan, arm)}" for arm in plan.study.arms))
    if plan.study.paper and plan.study.paper.left_out:
        lines.append(f"not specified in the paper; our choices: {plan.study.paper.left_out}")
    return (Note(line, part="Protocol") for line in lines)


def describe_seeds(plan: Plan) -> str:
    """Return what ± is, if there is more than one seed, and what a seed determines."""
    seeds = sorted({item.run.seed for item in plan.items})
    known = len(plan.study.seeds)
    of = f" of the study's {known}" if set(seeds) < set(plan.study.seeds) else ""
    spread = f"±: sample standard deviation over n seeds ({', '.join(map(str, seeds))}{of}); seed s"
    data = [item.run.config.data for item in plan.items]
    noise = ["label noise"] if any(d.label_noise and d.noise_seed is None for d in data) else []
    drawn = [seed_line(plan), *noise, *(["initial weights", "batch order"] if group_networks(plan) else [])]
    words = " and ".join([", ".join(drawn[:-1]), drawn[-1]]) if len(drawn) > 1 else drawn[0]
    return f"{spread if len(seeds) > 1 else f'seed s = {seeds[0]}{of}'} determines {words}, the same for every arm"


def recipe_lines(plan: Plan) -> list[str]:
    """Return what the plan's recipe gives the arms, if it has one."""
    if plan.recipe is None:
        return []
    builds = {item.fingerprint.split("+")[0] for item in plan.items if item.run.config.data.name == plan.recipe.data}
    other = f"the recipe was made on another build of {plan.recipe.data}, fingerprint {plan.recipe.fingerprint}"
    configs = [item.run.config for item in plan.items]
    return describe_recipe(plan.recipe, configs) + [other] * (builds != {plan.recipe.fingerprint.split("<")[0]})


def describe_preparation(known: KeptSet) -> list[str]:
    """Return how a set was combined, and what its build left out or marked."""
    info, lines = known.info, []
    if info.parts:
        gone = ", ".join(f"{label} {n}" for label, n in info.dropped.items()) or "nothing"
        lines.append(
            f"{info.name} combines {', '.join(f'{name} ({mark})' for name, mark in info.parts.items())}; left out: {gone}"
        )
    for reason, counts in info.left_out.items():
        lines.append(f"{info.name}: {sum(counts.values())} of {info.found} images were left out of the build: {reason}")
    if known.skipped:
        reasons = few([f"{reason} {n}" for reason, n in known.skipped.items()])
        many = sum(known.skipped.values())
        lines.append(f"{info.name}: no image from {many} of its source's files and rows: {reasons}")
    if info.undetected is not None:
        lines.append(
            f"{info.name}: no face was detected in {info.undetected} of its {info.kept} images; they are kept, and "
            "scores cover all test images unless marked `face detected`"
        )
    return lines


def describe_audits(known: KeptSet, plan: Plan) -> list[str]:
    """Return the set's audit verdict for each split that the plan uses."""
    name = known.info.name
    splits = sorted({d.split for d in (item.run.config.data for item in plan.items) if d.name == name and d.test is None})
    return [f"{name}: {known.audit(split)}" for split in splits]


def describe_transfers(plan: Plan, cells: Cells) -> list[str]:
    """Return a line per test set other than the training set, with its excluded classes."""
    lines = []
    for name in sorted({item.run.config.data.test for item in plan.items if item.run.config.data.test}):
        splits = sorted({item.run.config.data.split for item in plan.items if item.run.config.data.test == name})
        results = [result for cell in cells.values() for result in cell.results.values()]
        results = [result for result in results if result.config.data.test == name]
        counts = sorted({(result.data.test, tuple(sorted(result.data.dropped.items()))) for result in results})
        sizes = "; ".join(f"{n} images" + "".join(f", {k} of {label} left out" for label, k in gone) for n, gone in counts)
        lines.append(
            f"tested on all of {name} ({sizes}), not used for training or selection; the checkpoint is selected on "
            f"a validation part of the training set, {' or '.join(VALIDATION[split] for split in splits)}"
        )
    return lines


def differing_settings(plan: Plan, arm: str) -> str:
    """Return the settings in which an arm differs from the baseline arm."""
    settings = next(item.run.differs for item in plan.items if item.run.arm == arm)
    shown = (f"{key} = {str(value)[:12] if key.endswith('_sha256') else value}" for key, value in settings)
    return ", ".join(shown) or "the baseline"


def describe_provenance(material: Material) -> Iterator[Note]:
    """Return notes on data sets' builds, machines, code versions, the paper, and the report itself."""
    plan, cells = material.plan, material.cells
    results = [result for cell in cells.values() for result in cell.results.values()]
    machines, commits = Counter[str](), Counter[str]()
    for origin in (result.origin for result in results):
        m, p = origin.machine, origin.provenance
        machines[f"{m.device}, {m.precision}, {m.threads} thread{'s' if m.threads > 1 else ''}"] += 1
        commits[f"{p.version}{' with uncommitted changes' if p.dirty else ''}"] += 1
    lines = []
    for known in map(material.describe, plan.sets):
        info = known.info
        built = "" if not info.differences else f"; differs from its card: {', '.join(info.differences)}"
        lines.append(f"{info.name}: fingerprint {info.fingerprint}{built}; licence: {info.licence}")
        lines += describe_audits(known, plan)
    lines += [
        f"{title}: {', '.join(f'{name} ({n} runs)' for name, n in counts.most_common())}"
        for title, counts in (("computed on", machines), ("code", commits))
    ]
    lines += ["these tables mix runs of different code versions"] if len(commits) > 1 else []
    lines += ["these tables mix runs of different precision or device"] if len(machines) > 1 else []
    if any(result.relabelled for result in results):
        lines.append("suspects.csv in a run's folder lists the labels that its network doubts, a file for data.noise_file")
    if plan.study.paper:
        lines.append(f"paper: {', '.join(filter(None, [plan.study.paper.cite, plan.study.paper.figure]))}")
    lines.append(f"report version {VERSION} of {VERSIONS[VERSION]}; hash of the expanded configs {plan.configs}")
    return (Note(line, part="Provenance") for line in lines)
