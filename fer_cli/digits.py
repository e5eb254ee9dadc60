"""Numbers in users' tables: plain decimals. Python's ``float`` also takes ``1_0`` and the digits of other scripts."""

from __future__ import annotations


def parse_number(text: str) -> float:
    """Return the number of a cell, possibly NaN or infinite; raises ValueError for what is no number in ASCII digits."""
    digits = text.strip()
    if "_" in digits or not digits.isascii():
        raise ValueError(f"not a number: {text!r}")
    return float(digits)
