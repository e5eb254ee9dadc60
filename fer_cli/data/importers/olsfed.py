"""OL-SFED: students watching online lessons, five academic emotions.

It is available on request only and its layout is unknown to us, so two plain layouts are read: a folder per class, and a
CSV.
"""

from __future__ import annotations

from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.importers.folder import by_folder
from fer_cli.data.importers.found import Scan, first_layout
from fer_cli.data.importers.table import by_table


def scan_olsfed(source: Path, card: Card) -> Scan:
    """Return images by class folder or table; raises DataError for an unknown class."""
    return first_layout(source, card, {f"class folders {', '.join(card.folders)}": by_folder, "a csv": by_table})
