"""Numbers of single runs that claims compare instead of scores (``MEASURES``): kept by an analysis, or of the history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from fer_cli.config.analyses import MEASURES
from fer_cli.judge import Side
from fer_cli.outputs import read_history
from fer_cli.plan import Item, Plan
from fer_cli.report.collect import Cells, history_file
from fer_cli.results import Result
from fer_cli.stats import NotTestable


def read_measure(item: Item, result: Result, measure: str) -> float | None:
    """Return a measure of a finished run, None if the run has none."""
    analysis = MEASURES[measure].analysis
    if analysis is None:
        path = history_file(item, result)
        late = stability([np.array([row["val/accuracy"] for row in read_history(path)])]) if path.is_file() else None
        return None if late is None else 100 * late
    from fer_cli.analysis.outcome import read_cached

    kept = read_cached(item, analysis)
    value = kept.get(measure) if kept else None
    return None if value is None else float(value)


def stability(series: Sequence[np.ndarray]) -> float | None:
    """Return the sample deviation over the second half of the epochs, mean over seeds; None below two epochs."""
    late = [values[len(values) // 2 :] for values in series]
    if min(len(values) for values in late) < 2:
        return None
    return float(np.mean([values.std(ddof=1) for values in late]))


def measured(side: Side, items: Sequence[Item], results: dict[int, Result], measure: str) -> Side:
    """Return a side with a measure of its finished runs as scores, the higher the better; missing ones are its doubt."""
    known = MEASURES[measure]
    kept = {
        item.run.seed: read_measure(item, results[item.run.seed], measure) for item in items if item.run.seed in side.scores
    }
    scores = {seed: known.sign * value for seed, value in kept.items() if value is not None}
    lost = [seed for seed in side.scores if seed not in scores]
    remedy = "; fer report --figures measures it" if known.analysis else ", which trains no network"
    none = f"no {known.label} of seed {lost[0]}{remedy}" if lost else ""
    alone = f"{known.label}: has no values by image"
    return replace(side, scores=scores, doubt=side.doubt or none, images=lambda: NotTestable(alone))


def claimed_measures(plan: Plan) -> list[str]:
    """Return the measures that the study's claims compare."""
    return list(dict.fromkeys(claim.measure for claim in plan.study.claims if claim.measure is not None))


def measured_rows(plan: Plan, cells: Cells) -> Iterator[tuple[Item, str, float]]:
    """Yield the measures of the study's claims, of every finished run that has them."""
    for measure in claimed_measures(plan):
        for item in plan.items:
            result = cells[item.run.arm, item.run.at].results.get(item.run.seed)
            if result is not None and (value := read_measure(item, result, measure)) is not None:
                yield item, measure, value
