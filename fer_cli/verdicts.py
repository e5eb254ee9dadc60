"""Claims of a study judged by its run folders, and their table (``fer report --claims``)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path

import numpy as np

from fer_cli.blocks import DASH, Number
from fer_cli.checked import save_verified
from fer_cli.config import METRICS, Compute, RunConfig, load
from fer_cli.data.identity import known_codes
from fer_cli.data.kept import is_built, look_up_set
from fer_cli.data.manifest import load_info, read_manifest
from fer_cli.errors import DamagedError, DataError, FerError, ResultsError
from fer_cli.judge import Case, Images, Judgement, Point, Side, judge
from fer_cli.plan import Item, Plan, last_choice, make_plan
from fer_cli.report.collect import Cell, Cells, collect, find_results
from fer_cli.report.doubts import UNDERFITTED, final_training_accuracy
from fer_cli.results import RESULT, Result, read_result
from fer_cli.settings import grid_key
from fer_cli.stats.images import pseudo_values
from fer_cli.stats.outcomes import NotTestable
from fer_cli.study import Choice, Claim, load_study, study_names

HEAD = ("study", "data", "claim", "verdict", "difference [95 % interval]", "p", "p (Holm)", "n", "test", "reproduced", "why")


@dataclass(frozen=True)
class Judged:
    """The judgements of one study on one data set."""

    plan: Plan
    judgements: list[Judgement]


def judge_studies(
    study: str,
    compute: Compute,
    data: str | None = None,
    profile: str | None = None,
    seeds: tuple[int, ...] | None = None,
    split: str | None = None,
    epochs: float | None = None,
    recipe: bool | None = None,
) -> list[Judged]:
    """Return the judged claims of a study, or of all shipped ones (``all``), on each data set with finished runs.

    Options as in ``fer report``; with a data set, only that one. Raises ResultsError if a study has no claims or no run is
    done.
    """
    given = Choice(profile or "", data, seeds, split, epochs)
    names = study_names() if study == "all" else [study]
    found = [judged for name in names for judged in judge_sets(name, compute, given, study != "all", recipe)]
    save_verified(compute.results)
    if found:
        return found
    if study != "all" and not load_study(study).claims:
        raise ResultsError(f"{study}: no claims; add them to the study under claims: (text, arm, over or at_least, source)")
    again = f"fer ablate --study {'scn-cs' if study == 'all' else study}"
    raise ResultsError(f"no run of a study with claims is done under {compute.results}; train it with: {again}")


def judge_sets(name: str, compute: Compute, given: Choice, strict: bool, recipe: bool | None = None) -> Iterator[Judged]:
    """Yield the judged claims of one study by data set, the last first; sets without a finished run are left out.

    ``recipe``: whether to judge the runs of its recipe, by default those of the last run. ``strict``: raise StudyError or
    DataError if the study cannot run on the given set, or on its own.
    """
    study = load_study(name)
    if not study.claims:
        return
    last = last_choice(study, compute.results)
    describe = cache(partial(look_up_set, compute.results, compute.data_root))
    seen: set[str] = set()
    for data in [given.data] if given.data else [last.data, None, *find_sets(compute.results)]:
        same = data == last.data and given.profile in {"", last.profile}
        choice = Choice(
            given.profile or last.profile,
            data,
            given.seeds or (last.seeds if same else None),
            given.split or (last.split if data == last.data else None),
            given.epochs or (last.epochs if same else None),
            (same and last.recipe) if recipe is None else recipe,
        )
        try:
            plan = make_plan(name, choice, compute, describe=describe)
        except FerError:
            if strict and (given.data or (data is None and not seen)):
                raise
            continue  # the study cannot run on that set
        known = {} if plan.data in seen else find_results(plan)
        seen.add(plan.data)
        if not any(isinstance(result, Result) for result in known.values()):
            continue
        judged = Judged(plan, judge_plan(plan, collect(plan, known), compute))
        if given.data or data in {None, last.data} or any(one.n for one in judged.judgements):  # else runs of other studies
            yield judged


def find_sets(results: Path) -> list[str]:
    """Return the names of the sets that finished runs were trained on, sorted."""
    names = set()
    for path in (results / "runs").glob(f"*/{RESULT}"):
        try:
            names.add(read_result(path.parent).config.data.name)
        except DamagedError:
            continue
    return sorted(names)


def judge_plan(plan: Plan, cells: Cells, compute: Compute) -> list[Judgement]:
    """Return the judgements of a study's claims on a plan's cells, a claim at several points in their order."""
    return judge([case for claim in plan.study.claims for case in find_cases(claim, plan, cells, compute)])


def find_cases(claim: Claim, plan: Plan, cells: Cells, compute: Compute) -> Iterator[Case]:
    """Yield a claim at each point where it is made, with the scores of its arms."""
    for at in claimed_points(claim, plan):
        found = [cells[arm, at] for arm in (claim.arm, claim.over) if arm is not None]
        old = any(result.data.test_hash is None for cell in found for result in cell.ordered)
        sides = [make_side(claim, plan, cell, "split_hash" if old else "test_hash", compute) for cell in found]
        printed, both = find_printed(claim, plan, at)
        yield Case(claim, at, sides[0], sides[1] if claim.over is not None else None, printed, both)


def claimed_points(claim: Claim, plan: Plan) -> list[Point]:
    """Return the grid points where a claim is made: those with its values, at every value of the other factors."""
    study, chosen = plan.study, []
    for factor, values in plan.factors.items():  # values as printed, in the study's order
        written = study.grid.get(factor, list(study.levels.get(factor, {})))
        kept = list(values)
        if factor in claim.at:
            place = [grid_key(value) for value in written].index(grid_key(claim.at[factor]))
            kept = [values[place]]
        chosen.append([(factor, value) for value in kept])
    return list(product(*chosen))


def make_side(claim: Claim, plan: Plan, cell: Cell, hashed: str, compute: Compute) -> Side:
    """Return the scores of one arm of a claim; ``hashed``: the hash that identifies test parts, which old results lack."""
    items = [item for item in plan.items if (item.run.arm, item.run.at) == (cell.arm, cell.at)]
    return Side(
        cell.arm,
        cell.planned,
        dict(zip(cell.seeds, cell.values(claim.metric), strict=True)),
        [getattr(result.data, hashed) for result in cell.ordered],
        cell.overlap,
        find_doubt(claim, cell, items),
        lambda: read_images(items, cell, claim.metric, compute),
    )


def find_doubt(claim: Claim, cell: Cell, items: list[Item]) -> str:
    """Return why a cell's scores are no evidence: underfitted networks or data leakage; "" if they are."""
    accuracies = [
        final_training_accuracy(item, cell.results[item.run.seed]) for item in items if item.run.seed in cell.results
    ]
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    if short := [accuracy for accuracy in known if accuracy < UNDERFITTED]:
        mean = 100 * sum(short) / len(short)
        return f"underfitted in {len(short)}/{len(known)} runs (final training accuracy {mean:.0f} %)"
    return "" if claim.leaks else find_leak(cell)


def find_leak(cell: Cell) -> str:
    """Return how test images, or the people in them, take part in training or selection; "" if they do not."""
    results = cell.ordered
    if leak := next((r.config.data.leak for r in results if r.config.data.leak != "none"), None):
        return f"{'validation' if leak == 'val' else 'test'} images are also trained on"
    for unit in ("subjects", "sequences"):
        shared, tested = (sum(getattr(r.data, f"{kind}_{unit}") for r in results) for kind in ("shared", "test"))
        if shared:
            return f"leaky split: {f'{100 * shared / tested:.0f} %' if tested else shared} of test {unit} were trained on"
    if any(r.config.data.split == "official" and r.config.data.test_part == "public" for r in results):
        return "tested on the public part, which is meant for model selection"
    if results and cell.leaky and not all(r.data.test_subjects for r in results):
        return "the split ignores people, who may be in training and test parts: the set does not name them"
    return ""


def read_images(items: list[Item], cell: Cell, metric: str, compute: Compute) -> Images | NotTestable:
    """Return the contributions of test images to a metric by seed (S, N), with the people in them if the set is built."""
    import pandas as pd

    folders = {item.run.seed: item.folder for item in items}
    values, samples = [], None
    for seed in cell.seeds:
        result = cell.results[seed]
        columns = ["part", "sample", "label", "predicted"]
        table = pd.read_parquet(folders[seed].file(result.predictions), columns=columns)
        table = table[table["part"] == cell.part].sort_values("sample", kind="stable")
        names = tuple(table["sample"].astype(str))
        if samples is not None and names != samples:
            return NotTestable(f"{cell.arm}: seeds were tested on different images")
        samples = names
        truth, answers = (pd.Categorical(table[name], result.data.classes).codes.astype(np.int64) for name in columns[2:])
        values.append(pseudo_values(truth, answers, len(result.data.classes), load(METRICS[metric].code)))
    if samples is None:
        return NotTestable(f"{cell.arm}: no seed is done")
    data = cell.ordered[0].config.data
    return Images(np.array(values), samples, find_people(compute.data_root, data.test or data.name, samples))


def find_people(data_root: Path, name: str, samples: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the person in each sample, or None if the set is not built, has changed, or does not name people."""
    people = _read_people(data_root, name)
    if any(sample not in people for sample in samples):
        return None
    return tuple(people[sample] for sample in samples)


@cache
def _read_people(data_root: Path, name: str) -> Mapping[str, str]:
    """Return the person in each sample of a built set; {} unless all are named."""
    if not is_built(data_root, name):
        return {}
    try:
        table = read_manifest(data_root / name, load_info(data_root, name), ["sample", "subject"])
    except DataError:
        return {}
    if (known_codes(table["subject"]) < 0).any():
        return {}
    return dict(zip(table["sample"].astype(str), table["subject"].astype(str), strict=True))


def find_printed(claim: Claim, plan: Plan, at: Point) -> tuple[tuple[float, ...], bool]:
    """Return the paper's values for this data set, and whether they are differences to the other arm.

    A data set is the paper's if its name, or its name and test part, has the same letters and digits. Values are those of
    the default settings, so a claim at another grid value has none.
    """
    usual = RunConfig().flat()
    if plan.study.paper is None or any(grid_key(usual.get(factor)) != grid_key(value) for factor, value in at):
        return (), False
    data = plan.items[0].run.config.data
    names = {plain(plan.data), plain(f"{plan.data}{data.test_part}")}
    fits = [one for one in plan.study.paper.published if plain(one.data) in names and one.metric == claim.metric]
    ours = [one for one in fits if one.arm == claim.arm]
    theirs = [one for one in fits if one.arm == claim.over]
    gaps = [a.value - b.value for a in ours for b in theirs if plain(a.data) == plain(b.data)]
    return (tuple(gaps), True) if gaps else (tuple(one.value for one in ours), False)


def plain(name: str) -> str:
    """Return the letters and digits of a name in lower case; a plus counts, as CK+ is not CK."""
    return re.sub(r"[^a-z0-9+]", "", name.lower())


def tabulate(found: list[Judged]) -> list[tuple[str, ...]]:
    """Return the rows of the table of claims, with the columns of ``HEAD``."""
    return [
        (judged.plan.study.name, judged.plan.data, *describe_judgement(one)) for judged in found for one in judged.judgements
    ]


def describe_judgement(one: Judgement) -> tuple[str, ...]:
    """Return the cells of a judgement after study and data set."""
    interval = (one.low, one.high) if one.low is not None and one.high is not None else None
    at = ", ".join(f"{factor} {value}" for factor, value in one.at if factor not in one.claim.at)
    p, adjusted = (DASH if value is None else f"{value:.4f}" for value in (one.p, one.adjusted))
    return (
        f"{one.claim.text} ({at})" if at else one.claim.text,
        one.verdict,
        Number(one.difference, interval=interval, unit="points").text,
        p,
        adjusted,
        str(one.n),
        one.test or DASH,
        one.reproduced,
        one.why or DASH,
    )


def count_verdicts(found: list[Judged]) -> str:
    """Return how many claims have each verdict, e.g. ``3 claims: 1 supported, 2 undecided``."""
    verdicts = [one.verdict for judged in found for one in judged.judgements]
    counts = {verdict: verdicts.count(verdict) for verdict in ("supported", "contradicted", "undecided", "not testable")}
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return f"{len(verdicts)} claim{'s' * (len(verdicts) != 1)}: {words}"
