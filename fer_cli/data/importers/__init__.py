"""IMPORTERS: for each data set the function that says which files of a source folder are which images.

Each tries the official layout first, then the re-packs in circulation, and says which one it found.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.importers.ck48 import scan_ck48
from fer_cli.data.importers.found import Scan

IMPORTERS: dict[str, Callable[[Path, Card], Scan]] = {
    "ck48": scan_ck48,
}
