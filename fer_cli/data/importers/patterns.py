"""User-given regular expressions for subjects and labels, searched in the path of every file."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

from fer_cli.data.files import read_number, readable_name, shorten
from fer_cli.errors import DataError, nearest
from fer_cli.escape import cut
from fer_cli.signals import limit_time

GROUPS = ("subject", "sequence", "frame")
"""Optional groups; ``sequence`` is numbered within the subject, ``frame`` is a number."""
NEEDED = {"subject": "(?P<subject>S[0-9]+)", "label": "(?P<label>[a-z]+)"}
"""Required groups (one of them) -> example."""
SECONDS, NAMES_A_SECOND = 10.0, 10_000
"""Time limit of a search: a constant plus names per second; typical patterns search a million names per second."""


def compile_pattern(text: str, need: str) -> re.Pattern[str]:
    """Return a pattern with the group ``need`` (subject or label); raises DataError for an invalid one or unknown groups."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # future syntax changes
            pattern = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise DataError(f"pattern '{cut(text)}': not a regular expression ({error})") from None
    known = (*dict.fromkeys((need, *GROUPS)),)
    for group in pattern.groupindex:
        if group not in known:
            hint = "" if group not in NEEDED else f"; that group belongs to --{group}"
            raise DataError(f"pattern '{cut(text)}': unknown group '{group}'{hint or nearest(group, known)}")
    if need not in pattern.groupindex:
        raise DataError(f"pattern '{cut(text)}': needs a group named {need}, such as {NEEDED[need]}")
    return pattern


def search_names(pattern: re.Pattern[str], names: Sequence[str]) -> list[re.Match[str] | None]:
    """Return the first match in each name; raises DataError if the search takes too long."""
    found: list[re.Match[str] | None] = []
    try:
        with limit_time(SECONDS + len(names) / NAMES_A_SECOND):
            for name in names:
                found.append(pattern.search(name))  # noqa: PERF401 (the length identifies the slow name)
    except TimeoutError:
        where = f"'{shorten(readable_name(names[min(len(found), len(names) - 1)]))}'"
        cause = "avoid nested repeats such as (a+)+"
        raise DataError(f"pattern '{cut(pattern.pattern)}': takes too long to search in {where}; {cause}") from None
    return found


def read_groups(match: re.Match[str] | None, pattern: re.Pattern[str], name: str, where: str) -> tuple[str, str, int]:
    """Return subject, sequence and frame of a match in ``name``; "" and 0 for absent groups.

    Raises DataError with ``where`` for a missing subject, since an unknown person could be in two parts of a split, and for
    an invalid frame number.
    """
    groups = match.groupdict("") if match else {}
    subject, sequence, frame = (groups.get(group, "") for group in GROUPS)
    if "subject" in pattern.groupindex and not subject:
        raise DataError(f"{where}: pattern '{cut(pattern.pattern)}' finds no subject in '{name}'")
    if frame and not frame.isdecimal():
        raise DataError(f"{where}: pattern '{cut(pattern.pattern)}' gives '{frame}' as frame number")
    return subject, f"{subject}_{sequence}" if sequence and subject else sequence, read_number(frame, where)
