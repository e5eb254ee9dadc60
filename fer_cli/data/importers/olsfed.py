"""OL-SFED: students watching online lessons, five academic emotions. Its layout on disk is not known to us.

It is given out on request only and no public copy was seen, so two plain layouts are read: a folder per class, and a csv.
"""

from __future__ import annotations

from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.importers.folder import by_folder
from fer_cli.data.importers.found import Scan, first_layout
from fer_cli.data.importers.table import by_table


def scan_olsfed(source: Path, card: Card) -> Scan:
    """Return images by class folder, or by table; raises DataError for a class that the card does not know."""
    return first_layout(source, card, {f"class folders {', '.join(card.folders)}": by_folder, "a csv": by_table})
