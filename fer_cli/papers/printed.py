"""Printed numbers as the intervals of values that round to them.

``0.10`` stands for every value from 0.095 to 0.105 and ``<0.001`` for every one from 0 to 0.001. Intervals are closed, so
that both ways to round a half are allowed. The audit says "impossible" only if no values in the intervals fit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from typing import Annotated, Any

from pydantic import PlainValidator

from fer_cli.escape import cut

TOLERANCE = 1e-9
"""Relative error of binary floating point that never decides whether intervals meet."""
NUMBER = re.compile(
    r"(?P<sign>[<>≤≥]?)\s*(?P<digits>[-−]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)\s*(?P<percent>%?)"
)
COUNT = re.compile(r"[0-9]{1,12}|[0-9]{1,3}(?:,[0-9]{3}){1,3}")


@dataclass(frozen=True)
class Span:
    """A closed interval; ``high`` may be infinite."""

    low: float
    high: float

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.high + other.high)

    def __sub__(self, other: Span) -> Span:
        return Span(self.low - other.high, self.high - other.low)

    def __mul__(self, factor: float) -> Span:
        """Return the interval times a factor of at least 0."""
        return Span(self.low * factor, self.high * factor) if factor else Span(0.0, 0.0)

    def over(self, other: Span) -> Span:
        """Return the quotient of two intervals of values of at least 0."""
        return Span(max(self.low, 0.0) / other.high, self.high / other.low if other.low > 0 else math.inf)

    def quotient(self, other: Span) -> Span:
        """Return the quotient by an interval of positive values."""
        ends = [end / by for end in (self.low, self.high) for by in (other.low, other.high)]
        return Span(min(ends), max(ends))

    @property
    def slack(self) -> float:
        """Return the rounding error of floating point at this size."""
        return TOLERANCE * max((abs(end) for end in (self.low, self.high) if math.isfinite(end)), default=0.0)

    def meets(self, other: Span) -> bool:
        """Return whether the intervals have a common value."""
        slack = max(self.slack, other.slack)
        return self.low <= other.high + slack and other.low <= self.high + slack

    def holds_multiple(self, parts: int) -> bool:
        """Return whether some k/``parts`` lies in the interval, k a whole number."""
        slack = parts * self.slack
        return math.isinf(self.high) or math.ceil(self.low * parts - slack) <= math.floor(self.high * parts + slack)

    def text(self, digits: int = 4) -> str:
        """Return the ends with so many significant digits."""
        low, high = (f"{end:.{digits}g}".replace("-", "−") for end in (self.low, self.high))
        return low if low == high else f"{low} to {high}" if self.low < 0 else f"{low}–{high}"


def add_up(spans: Iterable[Span]) -> Span:
    """Return the sum of intervals."""
    return reduce(Span.__add__, spans, Span(0.0, 0.0))


def overlap(spans: Iterable[Span]) -> Span | None:
    """Return the common part of intervals (its low end may exceed the high one by rounding), or None."""
    given = list(spans)
    common = Span(max(span.low for span in given), min(span.high for span in given))
    slack = max(span.slack for span in given)
    return common if common.low <= common.high + slack else None


@dataclass(frozen=True)
class Printed:
    """A number as printed: its text, its value, and the interval of values that round to it; ``percent``: printed with %."""

    text: str
    value: float
    span: Span
    percent: bool = False

    @property
    def digits(self) -> int:
        """Return the number of significant digits, at least 1."""
        return max(1, len(re.sub(r"[eE].*|[^0-9]", "", self.text).lstrip("0")))

    @property
    def exact(self) -> bool:
        """Return whether it is a number, not a bound such as <0.001."""
        return self.text[0] not in "<>≤≥"


def read_printed(given: Any) -> Printed:
    """Return a printed number; raises ValueError for anything else."""
    if isinstance(given, Printed):
        return given
    if not isinstance(given, str) or not (found := NUMBER.fullmatch(given.strip())):
        raise ValueError(f"expected a number as printed, such as 0.10 or <0.001, found {cut(repr(given))}")
    digits = found["digits"].replace("−", "-")
    number = Decimal(digits)
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or abs(exponent) > 60 or number.adjusted() > 60:
        raise ValueError(f"{cut(given)} is out of range")
    value, half = float(number), Decimal(5).scaleb(exponent - 1)
    span = {"": Span(float(number - half), float(number + half)), "<": Span(0.0, value), "≤": Span(0.0, value)}.get(
        found["sign"], Span(value, math.inf)
    )
    if found["sign"] and value <= 0:
        raise ValueError(f"{cut(given)}: a bound must be above 0")
    return Printed(given.strip(), value, span, bool(found["percent"]))


def read_cell(given: Any) -> Printed | None:
    """Return a printed number, or None for a cell without one."""
    return None if given is None else read_printed(given)


def read_count(given: Any) -> int:
    """Return a count of at least 0, also with commas between thousands; raises ValueError for anything else."""
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return given
    if not isinstance(given, str) or not COUNT.fullmatch(given.strip()):
        raise ValueError(f"expected a count, a whole number of at least 0, found {cut(repr(given))}")
    return int(given.replace(",", ""))


def read_positive(given: Any) -> int:
    """Return a count of at least 1; raises ValueError for anything else."""
    if (count := read_count(given)) < 1:
        raise ValueError("expected a count of at least 1, found 0")
    return count


def or_none(read: Callable[[Any], int]) -> Callable[[Any], int | None]:
    """Return a reader that also accepts None."""
    return lambda given: None if given is None else read(given)


Number = Annotated[Printed, PlainValidator(read_printed)]
Cell = Annotated[Printed | None, PlainValidator(read_cell)]
Count = Annotated[int, PlainValidator(read_count)]
Positive = Annotated[int, PlainValidator(read_positive)]
OptionalCount = Annotated[int | None, PlainValidator(or_none(read_count))]
OptionalPositive = Annotated[int | None, PlainValidator(or_none(read_positive))]
