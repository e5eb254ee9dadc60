"""Checks of values across tables: one model with two values, copied rows, means, chance level, bounds of information."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from fer_cli.papers.findings import Found, join, list_accuracies, list_recalls, show_printed, show_share
from fer_cli.papers.printed import Printed, Span, add_up, overlap
from fer_cli.papers.schema import Information, Paper, Scores

FEWEST_CELLS, FEWEST_DIGITS = 3, 9
"""Equal cells of two rows, and significant digits in them together, from which chance is no explanation."""
MOST_BITS = 40
"""Information up to which the number of classes that it needs is worth printing."""
NEAR_CHANCE = 1.1
"""A mean probability up to this multiple of chance is at the chance level."""


def check_one_model(paper: Paper) -> Iterator[Found]:
    """Yield models with several values of one metric, or of one class's recall, on one test set."""
    groups: dict[tuple[str, str, str], list[tuple[str, str, str, Span]]] = defaultdict(list)
    for one in list_accuracies(paper):
        if one.set is not None:
            entry = (one.places[0], one.cells[0], show_printed(one.printed, one.unit), one.share)
            groups[one.model, one.set, "accuracy"].append(entry)
    for table in paper.of_kind(Scores):
        for row, name, cell in list_scores(table):
            column = table.column(name)
            if column.set is not None and column.metric != "accuracy" and cell.exact:
                shown = show_printed(cell, column.unit or table.unit)
                entry = (table.place, join(row, name), shown, table.share(name, cell))
                groups[table.models.get(row, row), column.set, column.metric].append(entry)
    for recalls in list_recalls(paper):
        for name, share in recalls.shares.items() if recalls.set is not None else ():
            entry = (recalls.place, join(recalls.model, name, "recall"), recalls.texts[name], share)
            groups[recalls.model, recalls.set or "", f"recall of {name}"].append(entry)
    for (model, data, metric), entries in groups.items():
        if len(entries) > 1 and overlap(span for *_, span in entries) is None:
            places = ", ".join(dict.fromkeys(place for place, *_ in entries))
            shown = ", ".join(f"{value} ({place})" for place, _, value, _ in entries)
            cells = tuple(dict.fromkeys(cell for _, cell, *_ in entries))
            yield Found(places, cells, f"{metric} of {model} on {data}: {shown}")


def list_scores(table: Scores) -> Iterator[tuple[str, str, Printed]]:
    """Yield row, column and cell of every printed score."""
    for row, cells in table.rows.items():
        for name, cell in cells.items():
            if cell is not None:
                yield row, name, cell


def check_copied_rows(paper: Paper) -> Iterator[Found]:
    """Yield rows of different models that are equal in every cell."""
    groups: dict[tuple[tuple[str, str], ...], list[tuple[str, str, str]]] = defaultdict(list)
    for table in paper.of_kind(Scores):
        for row, cells in table.rows.items():
            given = {name: cell for name, cell in cells.items() if cell is not None}
            digits = sum(informative(paper, table, *item) for item in given.items())
            if len(given) >= FEWEST_CELLS and digits >= FEWEST_DIGITS:
                values = tuple(sorted((name, cell.text) for name, cell in given.items()))
                groups[values].append((table.place, row, table.models.get(row, row)))
    for values, rows in groups.items():
        if len({model for *_, model in rows}) > 1:
            shown = " = ".join(f"{row} ({place})" for place, row, _ in rows)
            text = f"{len(values)} cells of different models are equal to the last digit: {shown}"
            places = ", ".join(dict.fromkeys(place for place, *_ in rows))
            yield Found(places, tuple(dict.fromkeys(row for _, row, _ in rows)), text)


def informative(paper: Paper, table: Scores, name: str, cell: Printed) -> float:
    """Return the digits that a cell tells: 0 for 0 and 100 %, else the printed ones, at most log10 of the images."""
    share = table.share(name, cell)
    if share.meets(Span(0, 0)) or share.meets(Span(1, 1)):
        return 0.0
    sizes = paper.sizes(table.column(name).set)
    return min(cell.digits, math.log10(max(sizes) + 1)) if sizes else cell.digits


def check_equal_cells(paper: Paper) -> Iterator[Found]:
    """Yield cells that are listed as different experiments (``differ``) and are equal to the last digit."""
    for first, second in paper.differ:
        one, other = paper.cell(first), paper.cell(second)
        if one is not None and other is not None and one.text == other.text:
            places = ", ".join(dict.fromkeys(paper.tables[path[0]].place for path in (first, second)))
            text = f"{one.text} in both, with {one.digits} significant digits"
            yield Found(places, (join(*first[1:]), join(*second[1:])), text)


def check_means(paper: Paper) -> Iterator[Found]:
    """Yield printed means and standard deviations of columns that are not those of their cells."""
    for table in paper.of_kind(Scores):
        for name in {**table.mean, **table.sd}:
            cells = [cells.get(name) for cells in table.rows.values()]
            given = [cell for cell in cells if cell is not None]
            if len(given) < len(cells):
                continue
            mean, printed = add_up(cell.span for cell in given) * (1 / len(given)), table.mean.get(name)
            if printed is not None and not mean.meets(printed.span):
                text = f"mean of {len(given)} rows is {mean.text(5)}, printed {printed.text}"
                yield Found(table.place, (join("mean", name),), text)
            deviation = table.sd.get(name)
            if deviation is not None and len(given) > 1 and not any(span.meets(deviation.span) for span in spread(given)):
                shown = " or ".join(span.text() for span in spread(given))
                text = f"standard deviation of {len(given)} rows is {shown}, printed {deviation.text}"
                yield Found(table.place, (join("sd", name),), text)


def spread(cells: list[Printed]) -> list[Span]:
    """Return the intervals of the sample and the population standard deviation of rounded values.

    A deviation changes at most by the Euclidean norm of the changes, divided by the root of its denominator.
    """
    values, halves = [cell.value for cell in cells], [(cell.span.high - cell.span.low) / 2 for cell in cells]
    spans = []
    for lost in (1, 0):
        middle, change = float(np.std(values, ddof=lost)), float(np.linalg.norm(halves)) / math.sqrt(len(cells) - lost)
        spans.append(Span(max(middle - change, 0.0), middle + change))
    return spans


def check_chance(paper: Paper) -> Iterator[Found]:
    """Yield mean probabilities of the true class that are at the chance level of the classes."""
    for table in paper.of_kind(Scores):
        if table.classes is None:
            continue
        chance = 1 / table.classes
        for name, cell in table.mean.items():
            if cell is None or table.column(name).metric != "probability":
                continue
            share = table.share(name, cell)
            if share.low <= NEAR_CHANCE * chance:
                unit = table.column(name).unit or table.unit
                text = f"mean probability {show_printed(cell, unit)}; chance over {table.classes} classes is"
                yield Found(table.place, (join("mean", name),), f"{text} {show_share(Span(chance, chance), unit)}")


def check_information(paper: Paper) -> Iterator[Found]:
    """Yield mutual information and entropies above the logarithm of the number of classes."""
    for table in paper.of_kind(Information):
        for row, cells in table.rows.items():
            labels = table.labels.get(row)
            for name, cell in cells.items():
                if cell is None or not labels:
                    continue
                bits, nats = math.log2(labels), math.log(labels)
                bound = nats if table.scale == "nats" else bits
                if cell.span.low > bound + cell.span.slack:
                    text = f"{cell.text} exceeds log({labels} classes) = {bits:.4g} bits = {nats:.4g} nats"
                    if cell.span.low < MOST_BITS:
                        needed = math.ceil(2**cell.span.low), math.ceil(math.exp(cell.span.low))
                        text += f"; needs {needed[0]} classes in bits, {needed[1]} in nats"
                    yield Found(table.place, (join(row, name),), text)
