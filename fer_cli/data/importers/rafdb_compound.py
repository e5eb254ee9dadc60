"""RAF-DB, compound set: blends of two expressions in eleven classes, in the layout of the basic set.

Both sets name their files alike and number their classes from 1, so numbers up to 7 alone are refused: they are those of
the basic set.
"""

from __future__ import annotations

from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.importers.found import Scan, first_layout
from fer_cli.data.importers.rafdb import layouts


def scan_rafdb_compound(source: Path, card: Card) -> Scan:
    """Return every labelled image of the compound set under ``source``; raises DataError where it is the basic one."""
    return first_layout(source, card, layouts("compound"))
