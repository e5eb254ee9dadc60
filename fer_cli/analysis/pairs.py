"""Accuracy within pairs of classes that only the order of frames distinguishes (``synth-order``).

Classes with the same word before their hyphen are a pair. Of a clip's two classes the one with the higher predicted
probability counts as the answer, so confusions with other expressions do not matter and guessing gives one half.
"""

from __future__ import annotations

from pathlib import Path

from fer_cli.analysis.outcome import groups_of, summarise
from fer_cli.blocks import Block, Note, Number, Table
from fer_cli.config import Compute
from fer_cli.outputs import PREDICTIONS
from fer_cli.plan import Item, Plan
from fer_cli.stats import paired_difference


def pairs_analysis(plan: Plan, compute: Compute, folder: Path) -> list[Block]:
    """Return the accuracy within each pair per arm, and its difference to the baseline arm over the seeds of both."""
    groups = [group for group in groups_of(plan) if group.done]
    if not groups:
        return [Note("pairs: no run is done")]
    scores = {group.label: {seed: within_pairs(item) for seed, item in group.seeds.items()} for group in groups}
    pairs = list(dict.fromkeys(name for runs in scores.values() for one in runs.values() for name in one))
    if not pairs:
        return [Note("pairs: no two classes share the word before their hyphen")]
    base = next((scores[group.label] for group in groups if group.arm == plan.study.report.against), {})
    rows = []
    for group in groups:
        runs = scores[group.label]
        cells = [summarise([one[name] for one in runs.values()], len(group.planned), "%") for name in pairs]
        both = [seed for seed in runs if seed in base and group.arm != plan.study.report.against]
        ours, theirs = ([mean(of[seed]) for seed in both] for of in (runs, base))
        delta = paired_difference(ours, theirs) if both else None
        known = delta is not None and delta.low is not None and delta.high is not None
        interval = (delta.low, delta.high) if known and delta is not None else None
        cells.append(Number(None if delta is None else delta.mean, interval=interval, unit="points"))  # type: ignore[arg-type]
        rows.append((group.label, cells))
    title = "Accuracy within pairs of classes in %: mean ± sd (n)"
    columns = [*pairs, f"mean of pairs, difference to {plan.study.report.against} in points [95 % interval]"]
    notes = ["guessing gives 50 %; of the two classes of a clip's pair, the more probable one counts as the answer"]
    return [Table(title, columns, rows, notes)]


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
