"""A user's own data without a card: options for labels and subjects, recorded in ``set.json``, and the scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from fer_cli.data.cards import Card
from fer_cli.data.formats import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from fer_cli.data.importers.accounts import accounts
from fer_cli.data.importers.folder import card_from_folder, scan_folder
from fer_cli.data.importers.found import Scan
from fer_cli.data.importers.hints import where_to_point
from fer_cli.data.importers.names import card_from_names, read_names, scan_names
from fer_cli.data.importers.own import read_codes
from fer_cli.data.importers.patterns import compile_pattern
from fer_cli.data.importers.sequences import spread_clips
from fer_cli.data.importers.table import card_from_table, scan_table
from fer_cli.data.manifest import SetInfo
from fer_cli.errors import DataError, nearest

LAYOUTS = ("folder", "csv")


@dataclass(frozen=True)
class Own:
    """The options of ``fer data build`` for a user's own data."""

    layout: str | None = None
    """``folder`` (one folder per class) or ``csv`` (a table); None: labels are in file names."""
    subject: str | None = None
    """Pattern of the subject in an image's path; class folders only."""
    label: str | None = None
    """Pattern of the label in an image's path."""
    codes: str | None = None
    """Labels of numbers and short words: ``1=angry,2=disgust``."""
    frames: int | None = None
    """Evenly spaced frames of each video and sequence; None: all images, no videos."""

    def check(self) -> None:
        """Raise DataError for an invalid layout or pattern, and for conflicting options."""
        if self.layout is not None and self.layout not in LAYOUTS:
            raise DataError(f"--layout {self.layout}: no such layout{nearest(self.layout, LAYOUTS)}")
        if self.label is not None and self.layout is not None:
            raise DataError("--label (labels in file names) cannot be combined with --layout; give one of the two")
        if self.label is not None and self.subject is not None:
            raise DataError("--subject requires --layout folder; put the group (?P<subject>...) into the --label pattern")
        if self.layout == "csv" and self.subject is not None:
            raise DataError("--subject requires --layout folder; in a table, use a column 'subject'")
        if self.label is None and self.layout is None:
            raise DataError(f"your own data needs --layout {' or '.join(LAYOUTS)}, or --label for labels in file names")
        if self.layout == "csv" and self.frames is not None:
            raise DataError("--frames requires --layout folder or --label; the rows of a table are single images")
        if self.subject is not None:
            compile_pattern(self.subject, "subject")

    def given_options(self) -> dict[str, str]:
        """Return the given options by name."""
        return {name: str(value) for name, value in asdict(self).items() if value is not None}


def own_of(options: Mapping[str, str]) -> Own:
    """Return the build options recorded in ``set.json``."""
    texts = {name: value for name, value in options.items() if name in Own.__dataclass_fields__ and name != "frames"}
    return Own(**texts, frames=int(options["frames"]) if options.get("frames", "").isdecimal() else None)


def scan_own(name: str, source: Path, own: Own) -> tuple[Card, Scan, Path]:
    """Return a card for data set ``name``, the scan of ``source``, and the folder it refers to.

    Raises DataError for conflicting options, a source without images, and numeric labels without codes.
    """
    own.check()
    codes = read_codes(own.codes) if own.codes is not None else {}
    suffixes = IMAGE_SUFFIXES if own.frames is None else IMAGE_SUFFIXES | VIDEO_SUFFIXES
    if own.label is not None:
        names = read_names(source, own.label, suffixes)
        card = card_from_names(name, names, codes)
        scan = scan_names(names, card)
    elif own.layout == "folder":
        card = card_from_folder(name, source, codes, suffixes)
        scan = scan_folder(source, card, own.subject, suffixes)
    else:
        card = card_from_table(name, source, codes)
        scan = scan_table(source, card)
        source = source.parent if source.is_file() else source
    scan = accounts(source, scan if own.frames is None else spread_clips(source, scan, own.frames))
    if not scan.found:
        raise DataError(f"{source}: contains no images{where_to_point(source)}")
    return card, scan, source


def unused_codes(info: SetInfo) -> list[str]:
    """Return the codes, such as ``0=neutral``, of classes without images in a built set."""
    codes = read_codes(info.own["codes"]) if "codes" in info.own else {}
    return [f"{code}={label}" for code, label in codes.items() if label not in info.classes]
