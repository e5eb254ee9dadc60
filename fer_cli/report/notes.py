"""The notes of a report: the setup before the first number, and what the runs recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from fer_cli.blocks import Note
from fer_cli.data.importers.hints import few
from fer_cli.data.kept import KeptSet
from fer_cli.plan import Plan
from fer_cli.report.collect import Cells
from fer_cli.report.doubts import interval_line, underfitted_lines
from fer_cli.report.material import Material
from fer_cli.report.origin import choice_lines, model_lines
from fer_cli.report.protocol import VALIDATION, absent_lines, corrupt_lines, drawn_lines, noise_lines, seed_line, split_lines


def describe_setup(material: Material) -> Iterator[Note]:
    """Yield the data, splits, seeds, training and arms, which a reader must know before the first number."""
    plan, cells, about = material.plan, material.cells, material.about
    lines = [plan.study.question]
    for known in map(about, plan.sets):
        info = known.info
        built = "" if not info.differences else f"; differs from its card: {', '.join(info.differences)}"
        lines.append(
            f"data: {info.title}; fingerprint {info.fingerprint}; {info.amount}, {info.subjects} subjects, "
            f"{len(info.classes)} classes ({', '.join(info.classes)}){built}; licence: {info.licence}"
        )
        lines += describe_preparation(known)
        lines += describe_audits(known, plan)
    lines += (
        describe_transfers(plan, cells)
        + split_lines(plan, cells)
        + absent_lines(cells)
        + noise_lines(plan)
        + drawn_lines(cells)
    )
    lines += corrupt_lines(plan)
    lines += choice_lines(plan)
    seeds = sorted({item.run.seed for item in plan.items})
    drawn = any(d.label_noise and d.noise_seed is None for d in (item.run.config.data for item in plan.items))
    noise = "label noise, " if drawn else ""
    lines.append(
        f"±: sample standard deviation over n seeds ({', '.join(map(str, seeds))}); seed s has {seed_line(plan)}, its own "
        f"{noise}initial weights and batch order, the same for every arm"
    )
    lines += model_lines(plan)
    lines.append("arms: " + "; ".join(f"{arm}: {differing_settings(plan, arm)}" for arm in plan.study.arms))
    return (Note(line, head=True) for line in lines)


def describe_preparation(about: KeptSet) -> list[str]:
    """Return what was done to a set that was read from files, where that is more than decoding and resizing."""
    info, lines = about.info, []
    if info.parts:
        gone = ", ".join(f"{label} {n}" for label, n in info.dropped.items()) or "nothing"
        lines.append(
            f"{info.name} combines {', '.join(f'{name} ({mark})' for name, mark in info.parts.items())}; left out: {gone}"
        )
    for reason, counts in info.left_out.items():
        lines.append(f"{info.name}: {sum(counts.values())} of {info.found} images were left out when built: {reason}")
    if about.skipped:
        reasons = few([f"{reason} {n}" for reason, n in about.skipped.items()])
        many = sum(about.skipped.values())
        lines.append(f"{info.name}: no image was made of {many} of its source's files and rows: {reasons}")
    if info.undetected is not None:
        lines.append(
            f"{info.name}: no face was detected in {info.undetected} of its {info.kept} images; they are kept, and every "
            "score is over all test images unless it says `face detected`"
        )
    return lines


def describe_audits(about: KeptSet, plan: Plan) -> list[str]:
    """Return the verdicts on a set under the splits that the plan uses it with."""
    name = about.info.name
    splits = sorted({d.split for d in (item.run.config.data for item in plan.items) if d.name == name and d.test is None})
    return [f"{name}: {about.audit(split)}" for split in splits]


def describe_transfers(plan: Plan, cells: Cells) -> list[str]:
    """Return what is tested on where that is another set than the one trained on, and which of its classes are left out."""
    lines = []
    for name in sorted({item.run.config.data.test for item in plan.items if item.run.config.data.test}):
        splits = sorted({item.run.config.data.split for item in plan.items if item.run.config.data.test == name})
        results = [result for cell in cells.values() for result in cell.results.values()]
        results = [result for result in results if result.config.data.test == name]
        counts = sorted({(result.data.test, tuple(sorted(result.data.dropped.items()))) for result in results})
        told = "; ".join(
            f"{n} images" + "".join(f", {k} of {label} left out" for label, k in dropped) for n, dropped in counts
        )
        lines.append(
            f"tested on all of {name} ({told}), of which nothing was trained on or chosen by; the checkpoint comes from a "
            f"validation part of the training set, {' or '.join(VALIDATION[split] for split in splits)}"
        )
    return lines


def differing_settings(plan: Plan, arm: str) -> str:
    """Return the settings in which an arm differs from the baseline arm."""
    settings = next(item.run.differs for item in plan.items if item.run.arm == arm)
    return ", ".join(f"{key} = {value}" for key, value in settings) or "the baseline"


def describe_runs(material: Material) -> Iterator[Note]:
    """Yield notes on machines, code versions, intervals, underfitted arms, inert modules and what the paper leaves open."""
    plan, cells = material.plan, material.cells
    results = [result for cell in cells.values() for result in cell.results.values()]
    origins = [result.origin for result in results]
    machines = Counter(
        f"{m.device}, {m.precision}, {m.threads} thread{'s' if m.threads > 1 else ''}"
        for m in (origin.machine for origin in origins)
    )
    commits = Counter(
        f"{p.version}{' with uncommitted changes' if p.dirty else ''}" for p in (origin.provenance for origin in origins)
    )
    lines = [
        f"{what}: {', '.join(f'{name} ({n} runs)' for name, n in counts.most_common())}"
        for what, counts in (("computed on", machines), ("code", commits))
    ]
    lines += ["runs of different code versions are mixed in these tables"] if len(commits) > 1 else []
    lines += ["runs of different precision or device are mixed in these tables"] if len(machines) > 1 else []
    lines.append(interval_line(plan))
    lines += underfitted_lines(material.weak)
    for cell in cells.values():
        notes = Counter(note.split(":")[0] for result in cell.results.values() for note in result.warnings)
        place = ", ".join([cell.arm, *(f"{key} {value}" for key, value in cell.at)])
        lines += [f"{place}: {note} in {n} of {len(cell.results)} runs" for note, n in notes.items()]
    if plan.study.paper:
        lines.append(
            f"paper {plan.study.paper.cite}, {plan.study.paper.figure}; its figures were obtained on other data "
            "and are not comparable with ours"
        )
        lines += [f"left out by the paper: {plan.study.paper.left_out}"] if plan.study.paper.left_out else []
    return map(Note, lines)
