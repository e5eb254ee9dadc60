"""Checks of precision, recall, F1, accuracy and confusion matrices.

Precision, recall and accuracy are rates of counts, F1 is the harmonic mean of precision and recall, and accuracy is the mean
recall weighted by the images of each class. Means over runs keep the last identity; their F1 is at most the harmonic mean
(which is concave) of mean precision and mean recall.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fer_cli.papers.findings import Found, join, list_accuracies, list_recalls, merge_equal, show_printed, show_share
from fer_cli.papers.printed import Printed, Span, add_up
from fer_cli.papers.schema import ClassRow, ClassScores, Confusion, Paper, Unit, as_share


def harmonic(precision: Span, recall: Span) -> Span:
    """Return the harmonic mean of two shares in [0, 1], which grows with either."""

    def mean(a: float, b: float) -> float:
        a, b = min(max(a, 0.0), 1.0), min(max(b, 0.0), 1.0)
        return 2 * a * b / (a + b) if a + b else 0.0

    return Span(mean(precision.low, recall.low), mean(precision.high, recall.high))


def list_triples(paper: Paper) -> Iterator[tuple[ClassScores, str, str, Printed, Span, Span, Span]]:
    """Yield table, class, the words of its precision and recall, its printed F1, and the shares precision, recall and F1."""
    for table in paper.of_kind(ClassScores):
        for name, row in table.rows.items():
            if row.precision is not None and row.recall is not None and row.f1 is not None:
                shares = (as_share(cell, table.unit) for cell in (row.precision, row.recall, row.f1))
                words = (
                    f"precision {show_printed(row.precision, table.unit)} and recall {show_printed(row.recall, table.unit)}"
                )
                yield table, name, words, row.f1, *shares  # type: ignore[misc]


def outside_of(table: ClassScores, precision: Span, recall: Span, f1: Span) -> str | None:
    """Return whether an F1 is "above" both precision and recall or, of one run, "below" them; None: neither."""
    if f1.low > max(precision.high, recall.high) + f1.slack:
        return "above"
    return "below" if f1.high < min(precision.low, recall.low) - f1.slack and table.runs == 1 else None


def is_harmonic(table: ClassScores, precision: Span, recall: Span, f1: Span) -> bool:
    """Return whether an F1 may be the harmonic mean of precision and recall."""
    mean = harmonic(precision, recall)
    return f1.meets(mean) or (table.runs > 1 and f1.low <= mean.high)


def check_f1_outside(paper: Paper) -> Iterator[Found]:
    """Yield F1 below both precision and recall (of one run), or above both."""
    for table, name, words, printed, precision, recall, f1 in list_triples(paper):
        if (side := outside_of(table, precision, recall, f1)) is not None:
            text = f"F1 {show_printed(printed, table.unit)} is {side} both {words}"
            mean = show_share(harmonic(precision, recall), table.unit)
            yield Found(table.place, (join(table.model, name, "f1"),), f"{text}; their harmonic mean is {mean}")


def check_f1_harmonic(paper: Paper) -> Iterator[Found]:
    """Yield F1 between precision and recall that is not their harmonic mean."""
    for table, name, words, printed, *shares in list_triples(paper):
        if not is_harmonic(table, *shares) and outside_of(table, *shares) is None:
            text = f"the harmonic mean of {words} is {show_share(harmonic(*shares[:2]), table.unit)}"
            cells = (join(table.model, name, "f1"),)
            yield Found(table.place, cells, f"{text}, printed F1 {show_printed(printed, table.unit)}")


def check_accuracy_recall(paper: Paper) -> Iterator[Found]:
    """Yield accuracies that are not the mean recall weighted by the images of each class, of the same model and set."""
    accuracies = [one for one in merge_equal(list_accuracies(paper)) if not one.cited]
    for recalls in list_recalls(paper):
        counts = {name: n for name, n in recalls.counts.items() if n is not None}
        support = paper.support(recalls.set)
        complete = set(counts) == set(recalls.shares) == set(recalls.counts)
        if not complete or set(support or counts) != set(counts) or not sum(counts.values()):
            continue
        total = sum(counts.values())
        mean = add_up(recalls.shares[name] * (n / total) for name, n in counts.items())
        macro = add_up(recalls.shares.values()) * (1 / len(counts))
        for one in accuracies:
            same_set = one.set == recalls.set if one.set is not None else recalls.place in one.places
            if one.model == recalls.model and same_set and not one.share.meets(mean):
                text = f"recalls of {recalls.place} weighted by {', '.join(map(str, counts.values()))} images give"
                text += f" {show_share(mean, one.unit)} (unweighted {show_share(macro, one.unit)})"
                text += f", printed accuracy {show_printed(one.printed, one.unit)}"
                yield Found(", ".join(one.places), one.cells, text)


def check_recall_rates(paper: Paper) -> Iterator[Found]:
    """Yield recalls that are no whole number of images of their class."""
    for recalls in list_recalls(paper):
        for name, share in recalls.shares.items():
            n = recalls.counts[name]
            if n and not share.holds_multiple(n * recalls.runs):
                text = f"{recalls.texts[name]} of {no_rate(share, recalls.unit, n, recalls.runs)}"
                yield Found(recalls.place, (join(recalls.model, name, "recall"),), text)


def check_accuracy_rates(paper: Paper) -> Iterator[Found]:
    """Yield accuracies that are no whole number of the test set's images, whichever of its stated sizes holds."""
    for one in merge_equal(list_accuracies(paper)):
        sizes = paper.sizes(one.set)
        if sizes and not one.cited and not any(one.share.holds_multiple(n * one.runs) for n in sizes):
            text = "; ".join(no_rate(one.share, one.unit, n, one.runs) for n in sizes)
            yield Found(", ".join(one.places), one.cells, f"{show_printed(one.printed, one.unit)} of {text}")


def no_rate(share: Span, unit: Unit, n: int, runs: int) -> str:
    """Return that no whole number of n images has a share, with the nearest counts and their rates."""
    parts = n * runs
    below = min(max(int((share.low + share.high) / 2 * parts), 0), parts - 1)
    rates = " and ".join(f"{k}/{parts} = {show_share(Span(k / parts, k / parts), unit, 6)}" for k in (below, below + 1))
    return f"{n} images{f' x {runs} runs' if runs > 1 else ''} is no whole number: {rates}"


def check_class_counts(paper: Paper) -> Iterator[Found]:
    """Yield precision, recall and F1 of a class that may each be right, but that no whole numbers of images give."""
    for table, name, words, printed, precision, recall, f1 in list_triples(paper):
        n = table.rows[name].n or paper.support(table.set).get(name)
        other = outside_of(table, precision, recall, f1) or not is_harmonic(table, precision, recall, f1)
        if not n or table.runs > 1 or other or not recall.holds_multiple(n):
            continue
        if not find_counts(precision, recall, f1, n):
            text = f"no numbers of correct and of predicted images give {words} of {n} images and F1"
            yield Found(table.place, (join(table.model, name),), f"{text} {show_printed(printed, table.unit)}")


def find_counts(precision: Span, recall: Span, f1: Span, n: int) -> bool:
    """Return whether some correct of n images, among some predicted ones, have a precision, recall and F1 in the intervals.

    Precision is correct / predicted, recall correct / n and F1 2 correct / (n + predicted).
    """
    slack = n * recall.slack
    right = np.arange(max(np.ceil(recall.low * n - slack), 0), min(np.floor(recall.high * n + slack), n) + 1)
    if len(right) and right[0] == 0 and precision.low <= precision.slack and f1.low <= f1.slack:
        return True
    right = right[right > 0]
    fewest, most = right.copy(), np.full(len(right), np.inf)
    for span, base in ((precision, 0), (f1 * 0.5, n)):  # right / (base + predicted) lies in the interval
        high, low = span.high + span.slack, span.low - span.slack
        fewest = np.maximum(fewest, np.ceil(right / high - base)) if high > 0 else np.full(len(right), np.inf)
        most = np.minimum(most, np.floor(right / low - base)) if low > 0 else most
    return bool((fewest <= most).any())


def check_class_means(paper: Paper) -> Iterator[Found]:
    """Yield printed macro and weighted averages that are not those of the classes."""
    for table in paper.of_kind(ClassScores):
        support = paper.support(table.set)
        counts = {name: support.get(name) if row.n is None else row.n for name, row in table.rows.items()}
        total = sum(n or 0 for n in counts.values())
        equal = dict.fromkeys(table.rows, 1 / len(table.rows))
        by_n = {name: (n or 0) / total for name, n in counts.items()} if total and None not in counts.values() else None
        for kind, given, weights in (("macro", table.macro, equal), ("weighted", table.weighted, by_n)):
            if weights is not None:
                yield from compare_means(table, kind, given, weights)


def compare_means(table: ClassScores, kind: str, given: ClassRow, weights: dict[str, float]) -> Iterator[Found]:
    """Yield averages of one row that are not the weighted means of the classes; F1 may also be that of the means."""
    means: dict[str, Span] = {}
    for metric in ("precision", "recall", "f1"):
        cells = [getattr(row, metric) for row in table.rows.values()]
        if None not in cells:
            shares = [as_share(cell, table.unit) for cell in cells]
            means[metric] = add_up(share * weight for share, weight in zip(shares, weights.values(), strict=True))
    for metric, mean in means.items():
        printed: Printed | None = getattr(given, metric)
        options = [mean]
        if metric == "f1" and len(means) == 3:
            options.append(harmonic(means["precision"], means["recall"]))
        if printed is not None and not any(as_share(printed, table.unit).meets(option) for option in options):
            shown = " or ".join(show_share(option, table.unit) for option in options)
            text = f"{kind} mean of the classes' {metric} is {shown}, printed {show_printed(printed, table.unit)}"
            yield Found(table.place, (join(table.model, kind, metric),), text)


def check_confusion_rows(paper: Paper) -> Iterator[Found]:
    """Yield rows of confusion matrices that do not add up to their class's images, or to a whole."""
    for table in paper.of_kind(Confusion):
        support = paper.support(table.set)
        for name in table.rows:
            if (given := table.whole_row(name)) is None:
                continue
            if table.normalised:
                total = add_up(as_share(cell, table.unit) for cell in given)
                if not total.meets(Span(1.0, 1.0)):
                    text = (
                        f"the row adds up to {show_share(total, table.unit)}, not to {'100 %' if table.unit == '%' else 1}"
                    )
                    yield Found(table.place, (join(table.model, name),), text)
            elif table.runs == 1 and name in support and round(sum(cell.value for cell in given)) != support[name]:
                text = f"the row adds up to {sum(cell.value for cell in given):g} images, the class has {support[name]}"
                yield Found(table.place, (join(table.model, name),), text)
