"""Reports: everything printed here is computed from run folders. Never imports torch or mlflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from fer_cli.checked import keep_checked
from fer_cli.config import Compute
from fer_cli.data.importers.hints import few
from fer_cli.data.kept import About, KeptSet, about_set, is_built, keep_sets
from fer_cli.errors import DamagedError, DataError, ResultsError
from fer_cli.places import write_text
from fer_cli.plan import Plan, last_choice, make_plan, on_other_builds
from fer_cli.report.collect import Cells, collect, find_results
from fer_cli.report.doubts import Weak, interval_line, underfitted, underfitted_lines
from fer_cli.report.origin import choice_lines, model_lines
from fer_cli.report.protocol import VALIDATION, absent_lines, corrupt_lines, drawn_lines, noise_lines, seed_line, split_lines
from fer_cli.report.render import latex, markdown, tidy_csv
from fer_cli.report.tables import (
    cost_table,
    detected_tables,
    difference_tables,
    health_table,
    leaky_tables,
    score_table,
    seed_tables,
)
from fer_cli.study import Choice, load_study
from fer_cli.table import Table

if TYPE_CHECKING:
    from fer_cli.analysis import Analysis


@dataclass(frozen=True)
class Written:
    """A report: its Markdown, its files, and how much of the plan it rests on."""

    markdown: str
    files: list[Path]
    figures: list[Path]
    choice: Choice
    planned: int
    missing: int
    damaged: list[str]
    """Of the missing runs, what is wrong with which file of those that are damaged."""
    unbuilt: list[str]
    """Sets that are not under the data root: what the results keep of them was taken."""


def make_report(
    study: str,
    compute: Compute,
    data: str | None = None,
    profile: str | None = None,
    seeds: tuple[int, ...] | None = None,
    split: str | None = None,
    figures: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Written:
    """Write the tables of a study under ``results/tables`` and return them.

    ``figures``: under ``results/figures``, too, with the tables of the analyses that the study names; ``tell`` hears of each
    before it begins, as it may take a while the first time. What is not given is as in the last ``fer ablate`` of that
    study. Raises ResultsError when no run of it is done.
    """
    results = compute.results
    choice = choice_of(study, results, data, profile, seeds, split)
    about = cache(partial(about_set, results, compute.data_root))
    plan = make_plan(study, choice, compute, about=about)
    found = find_results(plan)
    cells = collect(plan, found)
    finished = sum(len(cell.results) for cell in cells.values())
    broken = [str(result) for result in found.values() if isinstance(result, DamagedError)]
    if not finished:
        also = f" ({len(broken)} are damaged, e.g. {broken[0]})" if broken else ""
        others = f"; {builds}" if (builds := on_other_builds(plan, results)) else ""
        missing = f"no run of {plan.title} is done under {results}{also}{others}"
        raise ResultsError(f"{missing}; train it with: fer ablate --study {study}")
    weak = underfitted(plan, cells)
    tables = study_tables(plan, cells, weak)
    keep_sets(results, compute.data_root, plan.sets, about)
    keep_checked(results)
    head, foot = header(plan, cells, about), footer(plan, cells, weak)
    stem = results / "tables" / plan.stem
    drawn: list[Path] = []
    if figures:
        from fer_cli.report.figures import draw_study

        tell("figures")
        drawn = draw_study(plan, cells, results / "figures" / stem.name)
        for analysis in analysed(plan, compute, results / "figures" / stem.name, tell):
            tables += analysis.tables
            drawn += analysis.figures
            foot += analysis.notes
    elif names := plan.study.report.analyses:
        foot.append(f"not shown: {', '.join(names)}; with fer report --study {study} --figures")
    text = markdown(plan.title, head, tables, foot)
    contents = {".md": text, ".csv": tidy_csv(plan, cells), ".tex": latex(head, tables, foot)}
    files = []
    for suffix, content in contents.items():
        files.append(stem.with_name(stem.name + suffix))
        write_text(files[-1], content)
    unbuilt = [name for name in plan.sets if not is_built(compute.data_root, name)]
    return Written(text, files, drawn, choice, len(plan.items), len(plan.items) - finished, broken, unbuilt)


def study_tables(plan: Plan, cells: Cells, weak: Weak) -> list[Table]:
    """Return the tables of a study in the order of the report, those that it has nothing for left out."""
    metrics = plan.study.report.metrics
    tables = [score_table(plan, cells, metric, weak) for metric in metrics] + leaky_tables(plan, cells, weak)
    if len(plan.study.arms) > 1:
        tables += [table for metric in metrics for table in difference_tables(plan, cells, metric)]
    if plan.study.report.per_seed:
        tables += [table for metric in metrics for table in seed_tables(plan, cells, metric)]
    health = health_table(plan, cells)
    tables += [table for table in (health, cost_table(plan, cells)) if table]
    return tables + detected_tables(plan, cells, metrics, weak)


def choice_of(
    study: str, results: Path, data: str | None, profile: str | None, seeds: tuple[int, ...] | None, split: str | None
) -> Choice:
    """Return what is shown: as given, else as in the last ``fer ablate`` of the study, as far as that still fits."""
    last = last_choice(load_study(study), results)
    like = data in {None, last.data}
    same = like and profile in {None, last.profile}
    return Choice(
        profile or last.profile,
        data or last.data,
        seeds or (last.seeds if same else None),
        split or (last.split if like else None),
    )


def analysed(plan: Plan, compute: Compute, folder: Path, tell: Callable[[str], None]) -> Iterator[Analysis]:
    """Yield what each analysis that the study names has found."""
    if plan.study.report.analyses:
        from fer_cli.analysis import ANALYSES, Analysis

        for name in plan.study.report.analyses:
            tell(name)
            try:
                yield ANALYSES[name](plan, compute, folder)
            except (ResultsError, DataError) as error:  # weights or images that are gone: the scores are there still
                yield Analysis(notes=[f"{name}: {error}"])


def header(plan: Plan, cells: Cells, about: About) -> list[str]:
    """Return what a reader must know before the first number; ``about`` returns what is known of a set."""
    lines = [plan.study.question]
    for known in map(about, plan.sets):
        info = known.info
        built = "" if not info.differences else f"; differs from its card: {', '.join(info.differences)}"
        lines.append(
            f"data: {info.title}; fingerprint {info.fingerprint}; {info.amount}, {info.subjects} subjects, "
            f"{len(info.classes)} classes ({', '.join(info.classes)}){built}; licence: {info.licence}"
        )
        lines += prepared(known)
        lines += audits(known, plan)
    lines += transfers(plan, cells) + split_lines(plan, cells) + absent_lines(cells) + noise_lines(plan) + drawn_lines(cells)
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
    lines.append("arms: " + "; ".join(f"{arm}: {differs(plan, arm)}" for arm in plan.study.arms))
    return lines


def prepared(about: KeptSet) -> list[str]:
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


def audits(about: KeptSet, plan: Plan) -> list[str]:
    """Return the verdicts on a set under the splits that the plan uses it with."""
    name = about.info.name
    splits = sorted({d.split for d in (item.run.config.data for item in plan.items) if d.name == name and d.test is None})
    return [f"{name}: {about.audit(split)}" for split in splits]


def transfers(plan: Plan, cells: Cells) -> list[str]:
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


def differs(plan: Plan, arm: str) -> str:
    """Return the settings in which an arm differs from the baseline arm."""
    settings = next(item.run.differs for item in plan.items if item.run.arm == arm)
    return ", ".join(f"{key} = {value}" for key, value in settings) or "the baseline"


def footer(plan: Plan, cells: Cells, weak: Weak) -> list[str]:
    """Return what the runs themselves have to say: machines, code versions, inert modules, what the paper left out."""
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
    lines += underfitted_lines(weak)
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
    return lines
