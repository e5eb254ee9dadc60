"""Regular expressions that a user gives, searched in the path of every file: who is in an image, and what it shows."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

from fer_cli.data.files import readable_name, shorten
from fer_cli.errors import DataError, nearest
from fer_cli.escape import cut
from fer_cli.signals import limit_time

GROUPS = ("subject", "sequence", "frame")
"""Names of groups that say who and when; ``sequence`` is numbered within the subject, ``frame`` is of digits."""
NEEDED = {"subject": "(?P<subject>S[0-9]+)", "label": "(?P<label>[a-z]+)"}
"""Groups that a pattern must have, one or the other -> an example."""
SECONDS, NAMES_A_SECOND = 10.0, 10_000
"""A pattern may take so long, and a second more for so many names; a usual one does a million names a second."""


def compile_pattern(text: str, need: str) -> re.Pattern[str]:
    """Return a pattern that has the group ``need`` (subject or label) and no groups with names that mean nothing here.

    Raises DataError for any other, and for what is no regular expression.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sets that a later Python may read otherwise
            pattern = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise DataError(f"pattern '{cut(text)}': no regular expression ({error})") from None
    known = (*dict.fromkeys((need, *GROUPS)),)
    for group in pattern.groupindex:
        if group not in known:
            hint = "" if group not in NEEDED else f"; that group goes with --{group}"
            raise DataError(f"pattern '{cut(text)}': no such group '{group}'{hint or nearest(group, known)}")
    if need not in pattern.groupindex:
        raise DataError(f"pattern '{cut(text)}': has no group named {need}, such as {NEEDED[need]}")
    return pattern


def search_names(pattern: re.Pattern[str], names: Sequence[str]) -> list[re.Match[str] | None]:
    """Return where the pattern is first found in each name; raises DataError where that takes too long."""
    found: list[re.Match[str] | None] = []
    try:
        with limit_time(SECONDS + len(names) / NAMES_A_SECOND):
            for name in names:
                found.append(pattern.search(name))  # noqa: PERF401 (the number done identifies the name that takes long)
    except TimeoutError:
        where = f"'{shorten(readable_name(names[min(len(found), len(names) - 1)]))}'"
        cause = "a repeat within a repeat, such as (a+)+, does that"
        raise DataError(f"pattern '{cut(pattern.pattern)}': takes too long to search in {where}; {cause}") from None
    return found


def read_groups(match: re.Match[str] | None, pattern: re.Pattern[str], name: str, where: str) -> tuple[str, str, int]:
    """Return subject, sequence and frame that a match in ``name`` gives, empty and 0 where the pattern has no such group.

    Raises DataError, naming ``where``, for a group that finds nothing: images of an unknown person could be in two parts of
    a split.
    """
    groups = match.groupdict("") if match else {}
    subject, sequence, frame = (groups.get(group, "") for group in GROUPS)
    if "subject" in pattern.groupindex and not subject:
        raise DataError(f"{where}: pattern '{cut(pattern.pattern)}' finds no subject in '{name}'")
    if frame and not frame.isdecimal():
        raise DataError(f"{where}: pattern '{cut(pattern.pattern)}' takes '{frame}' for a frame number")
    return subject, f"{subject}_{sequence}" if sequence and subject else sequence, int(frame or 0)
