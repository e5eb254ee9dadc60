"""A user's own data, which has no card: how its labels are read, and what is found.

``fer data build`` packs it, ``fer data check --from`` finds it again by the options that ``set.json`` keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.importers.accounts import accounts
from fer_cli.data.importers.folder import card_from_folder, scan_folder
from fer_cli.data.importers.found import Scan
from fer_cli.data.importers.hints import where_to_point
from fer_cli.data.importers.names import card_from_names, read_names, scan_names
from fer_cli.data.importers.own import read_codes
from fer_cli.data.importers.patterns import compile_pattern
from fer_cli.data.importers.table import card_from_table, scan_table
from fer_cli.data.manifest import SetInfo
from fer_cli.errors import DataError, nearest

LAYOUTS = ("folder", "csv")


@dataclass(frozen=True)
class Own:
    """How labels and people are found in a user's own data, as the options of ``fer data build`` say it."""

    layout: str | None = None
    """``folder`` (a folder per class) or ``csv`` (a table); none: labels are in file names."""
    subject: str | None = None
    """Pattern that finds the subject in an image's path; for class folders only."""
    label: str | None = None
    """Pattern that finds the label in an image's path."""
    codes: str | None = None
    """What numbers and short words mean: ``1=angry,2=disgust``."""

    def check(self) -> None:
        """Raise DataError for a layout or pattern that is none, and for options that do not go together."""
        if self.layout is not None and self.layout not in LAYOUTS:
            raise DataError(f"--layout {self.layout}: no such layout{nearest(self.layout, LAYOUTS)}")
        if self.label is not None and self.layout is not None:
            raise DataError("--label reads labels from file names and needs no --layout; give one of the two")
        if self.label is not None and self.subject is not None:
            raise DataError("--subject goes with --layout folder; put its group (?P<subject>...) into --label's pattern")
        if self.layout == "csv" and self.subject is not None:
            raise DataError("--subject goes with --layout folder; a table has a column 'subject'")
        if self.label is None and self.layout is None:
            raise DataError(f"your own data needs --layout {' or '.join(LAYOUTS)}, or --label for labels in file names")
        if self.subject is not None:
            compile_pattern(self.subject, "subject")

    def given_options(self) -> dict[str, str]:
        """Return the options that were given, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def own_of(options: Mapping[str, str]) -> Own:
    """Return how a set was read, by the options in its ``set.json``."""
    return Own(**{name: value for name, value in options.items() if name in Own.__dataclass_fields__})


def scan_own(name: str, source: Path, own: Own) -> tuple[Card, Scan, Path]:
    """Return the card made for data set ``name``, what is found in ``source``, and the folder that this lies in.

    Raises DataError for options that do not go together, for a source without images, and for labels that mean nothing.
    """
    own.check()
    codes = read_codes(own.codes) if own.codes is not None else {}
    if own.label is not None:
        names = read_names(source, own.label)
        card = card_from_names(name, names, codes)
        scan = scan_names(names, card)
    elif own.layout == "folder":
        card = card_from_folder(name, source, codes)
        scan = scan_folder(source, card, own.subject)
    else:
        card = card_from_table(name, source, codes)
        scan = scan_table(source, card)
        source = source.parent if source.is_file() else source
    scan = accounts(source, scan)
    if not scan.found:
        raise DataError(f"{source}: no images in it{where_to_point(source)}")
    return card, scan, source


def unused_codes(info: SetInfo) -> list[str]:
    """Return the codes, as ``0=neutral``, of classes that a built set has no image of."""
    codes = read_codes(info.own["codes"]) if "codes" in info.own else {}
    return [f"{code}={label}" for code, label in codes.items() if label not in info.classes]
