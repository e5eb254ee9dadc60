"""Accuracy within pairs of classes that only the order of frames distinguishes (``synth-order``).

Classes with the same word before their hyphen are a pair. Of a clip's two classes the one with the higher predicted
probability counts as the answer, so confusions with other expressions do not matter and guessing gives one half.
"""

from __future__ import annotations

from pathlib import Path

from fer_cli.analysis.outcome import TRAINS, Group, groups_of, note_none, summarise
from fer_cli.blocks import DASH, Block, Note, Number, Table
from fer_cli.blocks import Cell as Entry
from fer_cli.config import Compute
from fer_cli.judge import Case, Side, Weighed, plain_difference, weigh
from fer_cli.outputs import PREDICTIONS
from fer_cli.overlap import mean_overlap
from fer_cli.plan import Item, Plan
from fer_cli.study import Claim

Scores = dict[int, dict[str, float]]
"""Seed -> accuracy by pair."""


def pairs_analysis(plan: Plan, compute: Compute, folder: Path) -> list[Block]:
    """Return the accuracy within each pair per arm, and its difference to the baseline arm at the same grid point."""
    groups = [group for group in groups_of(plan) if group.done]
    if not groups:
        return [note_none(plan, "pairs", TRAINS)]
    scores = {group.label: {seed: within_pairs(item) for seed, item in group.seeds.items()} for group in groups}
    pairs = list(dict.fromkeys(name for runs in scores.values() for one in runs.values() for name in one))
    if not pairs:
        return [Note("pairs: no two classes share the word before their hyphen")]
    against = plan.study.report.against
    bases = {group.planned[0].run.at: group for group in groups if group.arm == against}
    rows: list[tuple[str, list[Entry]]] = []
    methods: dict[str, None] = {}
    for group in groups:
        runs, base = scores[group.label], bases.get(group.planned[0].run.at)
        entries: list[Entry] = [summarise([one[name] for one in runs.values()], len(group.planned), "%") for name in pairs]
        if base is None or base is group:
            rows.append((group.label, [*entries, DASH]))
            continue
        number, method = compare_pairs(pair_case(group, base, scores))
        rows.append((group.label, [*entries, number]))
        methods[method] = None
    title = "Accuracy within pairs of classes in %: mean ± sd (n)"
    columns = [*pairs, f"mean of pairs, difference to {against} in points [95 % interval]"]
    notes = ["guessing gives 50 %; of the two classes of a clip's pair, the more probable one counts as the answer"]
    notes += [f"intervals of differences: {'; '.join(methods)}; not tested"] if methods else []
    return [Table(title, columns, rows, notes)]


def pair_case(ours: Group, theirs: Group, scores: dict[str, Scores]) -> Case:
    """Return the comparison of two arms by their means over pairs."""
    first, second = (pair_side(group, scores[group.label]) for group in (ours, theirs))
    return Case(Claim(text="difference", arm=ours.arm, over=theirs.arm, source="table"), (), first, second)


def pair_side(group: Group, scores: Scores) -> Side:
    """Return the means over pairs of an arm, with the parts that its seeds were tested on."""
    results = [group.seeds[seed].folder.result() for seed in sorted(scores)]
    tested = [result.data.test_hash or result.data.split_hash for result in results]
    means = {seed: mean(one) for seed, one in scores.items()}
    return Side(group.arm, sorted(item.run.seed for item in group.planned), means, tested, mean_overlap(results))


def compare_pairs(case: Case) -> tuple[Number, str]:
    """Return the difference with its interval, and the method of it or why there is none."""
    weighed = weigh(case)
    if isinstance(weighed, Weighed):
        return Number(weighed.spread.mean, interval=weighed.spread.interval(), unit="points"), weighed.test
    return Number(plain_difference(case), unit="points"), f"none ({weighed})"


def within_pairs(item: Item) -> dict[str, float]:
    """Return the test accuracy within each pair of a finished run, by the pair's common word."""
    import pandas as pd

    table = pd.read_parquet(item.folder.file(PREDICTIONS))
    table = table[table["part"] == "test"]
    classes = sorted(name.removeprefix("p_") for name in map(str, table) if name.startswith("p_"))
    found = {}
    for word in dict.fromkeys(name.split("-")[0] for name in classes):
        pair = [name for name in classes if name.split("-")[0] == word]
        rows = table[table["label"].isin(pair)]
        if len(pair) == 2 and len(rows):
            first, second = (rows[f"p_{name}"] for name in pair)
            found[word] = float(((first > second) == (rows["label"] == pair[0])).mean())
    return found


def mean(scores: dict[str, float]) -> float:
    """Return the mean over pairs."""
    return sum(scores.values()) / len(scores)
