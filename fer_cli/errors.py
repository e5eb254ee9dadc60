"""User errors, as one small tree.

    FerError                 one line for the user, exit code 2
    ├── StudyError           a study YAML, its names or its settings
    ├── PaperError           a YAML of a paper's tables, or its name
    ├── DataError            a card, a source folder or a built data set
    │   └── FeaturesError    features that cannot be computed for one run; other runs continue
    └── ResultsError         the results folder: claims, run folders, tables
        ├── DamagedError     an unreadable file of one run, which is trained again; other runs continue
        └── ClaimLostError   a run that another process has taken over; other runs continue

Commands never catch these; ``fer_cli.cli.main`` prints ``error: <message>`` and exits with code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from fer_cli.escape import cut

MOST_NAMES = 1000
"""Names searched for the nearest one."""
FEW_NAMES = 60
"""Names listed in a message."""


class FerError(Exception):
    """An error the user can fix: the message gives cause, place and remedy in one line."""


class StudyError(FerError):
    """A study YAML, or a name or setting in it, is wrong."""


class PaperError(FerError):
    """A YAML of a paper's printed tables, or a name in it, is wrong."""


class DataError(FerError):
    """A card, a source folder or a built data set is missing or wrong."""


class FeaturesError(DataError):
    """Features cannot be computed for one run's images or settings."""


class ResultsError(FerError):
    """The results folder is unusable or lacks the requested results."""


class DamagedError(ResultsError):
    """A file of one run is truncated, of the wrong type or out of range."""


class ClaimLostError(ResultsError):
    """Another process took over a run that this one had claimed; this process discards its own work on it."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean a, b?"`` with the known names closest to ``word``, or all names if none is close."""
    names = sorted(known)
    close = difflib.get_close_matches(cut(word), names[:MOST_NAMES], n=3, cutoff=0.5)
    if close:
        return f"; did you mean {', '.join(map(cut, close))}?"
    more = f" and {len(names) - FEW_NAMES} more" if len(names) > FEW_NAMES else ""
    return f"; known: {', '.join(map(cut, names[:FEW_NAMES]))}{more}" if names else ""
