"""What can go wrong by the user's doing, as one small tree.

    FerError                 one line for the user, exit code 2
    ├── StudyError           a study YAML, its names or its settings
    ├── DataError            a card, a source folder or a built data set
    │   └── FeaturesError    features that one run's images do not give: that run fails, others go on
    └── ResultsError         the results folder: claims, run folders, tables
        ├── DamagedError     one run's file that cannot be read: that run is trained again, others go on
        └── ClaimLostError        a run that another process has taken over: left to it, others go on

Commands never catch these; ``fer_cli.cli.main`` prints ``error: <message>`` and exits with code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from fer_cli.escape import cut

MOST_NAMES = 1000
"""Names among which the nearest is looked for."""
FEW_NAMES = 60
"""Names that a message lists."""


class FerError(Exception):
    """A mistake the user can fix: the message says what, where, and how to fix it, in one line."""


class StudyError(FerError):
    """A study YAML, a name in it, or a setting it gives is wrong."""


class DataError(FerError):
    """A card, a source folder or a built data set is missing or wrong."""


class FeaturesError(DataError):
    """Features cannot be computed for one run's images or settings; other runs may still be possible."""


class ResultsError(FerError):
    """The results folder cannot be used, or does not hold what was asked for."""


class DamagedError(ResultsError):
    """A file of one run is cut short, of the wrong type or out of range; other runs may still be used."""


class ClaimLostError(ResultsError):
    """Another process works on a run that this one had claimed; what this one made of it is dropped."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean a, b?"`` for the known names closest to ``word``, or all of them when none is close."""
    names = sorted(known)
    close = difflib.get_close_matches(cut(word), names[:MOST_NAMES], n=3, cutoff=0.5)
    if close:
        return f"; did you mean {', '.join(map(cut, close))}?"
    more = f" and {len(names) - FEW_NAMES} more" if len(names) > FEW_NAMES else ""
    return f"; known: {', '.join(map(cut, names[:FEW_NAMES]))}{more}" if names else ""
