"""RAF-DB, compound set: blends of two expressions in eleven classes, in the layout of the basic set.

Both sets use the same file names and number classes from 1, so a source with numbers only up to 7 is refused as the basic
set.
"""

from __future__ import annotations

from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.importers.found import Scan, first_layout
from fer_cli.data.importers.rafdb import layouts


def scan_rafdb_compound(source: Path, card: Card) -> Scan:
    """Return all labelled images of the compound set under ``source``; raises DataError for the basic set."""
    return first_layout(source, card, layouts("compound"))
