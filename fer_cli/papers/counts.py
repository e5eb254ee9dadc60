"""Checks of counts: totals, ratios, correct images beside accuracies, rows of shares, stated numbers, run times."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from fer_cli.papers.findings import Found, join, show_printed, show_share
from fer_cli.papers.printed import Span, add_up, overlap
from fer_cli.papers.schema import Counts, Hits, Paper, Runtime, Scores, Shares, as_share


def check_totals(paper: Paper) -> Iterator[Found]:
    """Yield printed totals that are not the sum of their counts, naming the rows whose omission explains them."""
    for table in paper.of_kind(Counts):
        for total in table.totals:
            rows = {name: sum(cells.get(part) or 0 for part in total.parts) for name, cells in table.rows.items()}
            found = sum(rows.values())
            whole = all(cells.get(part) is not None for cells in table.rows.values() for part in total.parts)
            if found == total.printed or (not whole and found < total.printed):
                continue
            omitted = find_omitted(rows, found - total.printed)
            text = f"{' + '.join(map(str, rows.values()))} = {found}, printed {total.printed} ({total.printed - found:+d})"
            text += f"; the printed total leaves out {' and '.join(omitted)}" if omitted else ""
            yield Found(total.place, (join(table.place, "+".join(total.parts)),), text)
        for name, printed in table.row_totals.items():
            given = table.rows[name]
            counts = [count for count in given.values() if count is not None]
            if len(counts) == len(given) and sum(counts) != printed:
                text = f"{' + '.join(map(str, counts))} = {sum(counts)}, printed {printed}"
                yield Found(table.place, (name,), text)


def find_omitted(rows: dict[str, int], missing: int) -> tuple[str, ...]:
    """Return the one or two rows whose counts add up to what a total misses, none if there are none."""
    few = {name: n for name, n in rows.items() if 0 < n <= missing}
    subsets = (subset for size in (1, 2) for subset in combinations(few, size))
    return next((subset for subset in subsets if sum(few[name] for name in subset) == missing), ())


def check_ratios(paper: Paper) -> Iterator[Found]:
    """Yield stated ratios of two parts that differ by more than rounding each class to whole images."""
    for table in paper.of_kind(Counts):
        for ratio in table.ratios:
            first, second = (sum(table.part(part).values()) for part in ratio.parts)
            a, b = map(float, ratio.printed.split(":"))
            if not a + b or not first + second:
                continue
            wanted = (first + second) * b / (a + b)
            if abs(second - wanted) > len(table.rows):  # one image for each class
                real = f"{first / second:.4g}:1" if second else f"{first}:0"
                text = f"{first} and {second} images are {real}; {ratio.printed} would give {wanted:.1f}"
                yield Found(ratio.place, (join(table.place, ":".join(ratio.parts)),), text)


def check_hits(paper: Paper) -> Iterator[Found]:
    """Yield counts of correct images that do not fit their accuracies on one test set."""
    for table in paper.of_kind(Hits):
        sizes = [table.n] if table.n is not None else paper.sizes(table.set)
        implied: dict[str, Span] = {}
        for name, hit in table.rows.items():
            if hit.accuracy is not None and hit.correct is not None:
                share = as_share(hit.accuracy, table.unit)
                implied[name] = Span(hit.correct, hit.correct).over(share)
                if sizes and not any(share.meets(Span(hit.correct / n, hit.correct / n)) for n in sizes if n):
                    rates = " and ".join(show_share(Span(hit.correct / n, hit.correct / n), table.unit) for n in sizes if n)
                    text = f"{hit.correct} of {' or '.join(map(str, sizes))} images is {rates}"
                    yield Found(table.place, (name,), f"{text}, printed {show_printed(hit.accuracy, table.unit)}")
        if len(implied) > 1 and not sizes and not holds_whole(overlap(implied.values())):
            shown = ", ".join(f"{name} {span.text(3)}" for name, span in implied.items())
            text = f"correct images / accuracy gives the size of the test set, which must be one number: {shown}"
            yield Found(table.place, tuple(implied), text)


def holds_whole(span: Span | None) -> bool:
    """Return whether an interval holds a whole number."""
    return span is not None and span.holds_multiple(1)


def check_share_sums(paper: Paper) -> Iterator[Found]:
    """Yield rows of shares that do not add up to a whole."""
    for table in paper.of_kind(Shares):
        for name, cells in table.rows.items():
            given = [cell for cell in cells.values() if cell is not None]
            total = add_up(as_share(cell, table.unit) for cell in given)
            if len(given) == len(cells) and not total.meets(Span(1.0, 1.0)):
                text = f"{' + '.join(cell.text for cell in given)} = {show_share(total, table.unit)}, not a whole"
                yield Found(table.place, (name,), text)


def check_stated_rows(paper: Paper) -> Iterator[Found]:
    """Yield tables whose number of rows is not the stated one."""
    for table in paper.tables.values():
        if isinstance(table, Scores) and table.stated_rows is not None and table.stated_rows != len(table.rows):
            yield Found(table.place, ("rows",), f"the text states {table.stated_rows}, the table has {len(table.rows)} rows")


def check_times(paper: Paper) -> Iterator[Found]:
    """Yield run times, images per second and milliseconds per image that do not fit each other."""
    for table in paper.of_kind(Runtime):
        for name, row in table.rows.items():
            rates: dict[str, Span] = {}
            n = table.n if row.n is None else row.n
            if row.seconds is not None and n:
                rates[f"{n} images in {row.seconds.text} s"] = Span(n, n).over(row.seconds.span)
            if row.ms is not None:
                rates[f"{row.ms.text} ms an image"] = Span(1000, 1000).over(row.ms.span)
            if row.fps is not None:
                rates[f"{row.fps.text} fps printed"] = row.fps.span
            if len(rates) > 1 and overlap(rates.values()) is None:
                text = ", ".join(f"{what} = {rate.text(3)} images/s" for what, rate in rates.items())
                yield Found(table.place, (name,), text)
