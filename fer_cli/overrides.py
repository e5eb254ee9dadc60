"""Single settings given on the command line, ``--set train.lr=0.001``: typed as in a study, and named in titles and files.

They replace what base, data set and profile of a study say; a setting that the study compares cannot be given.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence

from fer_cli.errors import FerError, StudyError, nearest
from fer_cli.escape import cut
from fer_cli.settings import Settings, grid_key
from fer_cli.yamls import parse_yaml

NONE = "none"
"""Given alone: no settings, where those of the last run are the default."""
ELSEWHERE = {
    "data.name": "use --data",
    "data.split": "use --split",
    "data.fold": "it follows from the seed; use --seeds",
    "data.split_seed": "it follows from the seed; use --seeds",
    "seed": "use --seeds",
    "task": "it follows from the other settings",
    "trial": "use fer search",
    "data.noise_sha256": "it is computed from data.noise_file",
    "data.split_sha256": "it is computed from data.split_file",
    "model.weights_sha256": "it is computed from model.weights",
    "model.source_sha256": "it is computed from the source of model.backbone",
}
"""Setting that cannot be given -> what to do instead."""
PLAIN = re.compile(r"[A-Za-z0-9._=-]+")
LONGEST = 80
"""Characters of the settings in a file name; beyond, and where others than letters, digits and ``._=-`` occur, a hash."""


def parse_settings(texts: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the settings of ``--set`` in one spelling, ``name=value`` by name; None if none are given.

    Values are YAML, as in a study. Raises StudyError for a text that is not of this form, and for a name given twice.
    """
    if not texts:
        return None
    if list(texts) == [NONE]:
        return ()
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise StudyError(f"--set {cut(text)}: give NAME=VALUE, e.g. --set train.lr=0.001")
        name = name.strip()
        if name in found:
            raise StudyError(f"--set {cut(name)}: is given twice")
        found[name] = f"{name}={write_plain(read_value(name, value))}"
    return tuple(found[name] for name in sorted(found))


def read_value(name: str, text: str) -> object:
    """Return a value written in YAML; raises StudyError unless it is one value or a list."""
    try:
        tree = parse_yaml(f"value: {text.strip()}\n", f"--set {cut(name)}", StudyError)
    except FerError:
        tree = {}
    if list(tree) != ["value"] or isinstance(tree["value"], dict) or "\n" in text.strip():
        raise StudyError(f"--set {cut(name)}: {cut(repr(text))} is not a value as in a study's YAML; give one or a list")
    return tree["value"]


def write_plain(value: object) -> str:
    """Return a value as YAML on one line: text as it is if it is read as text, else JSON."""
    if isinstance(value, str):
        try:
            if parse_yaml(f"value: {value}\n", "--set", StudyError) == {"value": value} and value.isprintable():
                return value
        except FerError:
            pass
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def settings_of(given: Iterable[str] | None) -> Settings:
    """Return the settings by name, from the spelling of ``parse_settings``."""
    pairs = (text.partition("=") for text in given or ())
    return {name: read_value(name, value) for name, _, value in pairs}


def name_settings(given: Sequence[str] | None) -> str | None:
    """Return the part of a file name that distinguishes such tables from the study's own, e.g. ``set-train.lr=0.001``."""
    if not given:
        return None
    text = "+".join(given)
    if len(text) > LONGEST or not all(map(PLAIN.fullmatch, given)):
        text = hashlib.sha256("\n".join(given).encode()).hexdigest()[:8]
    return f"set-{text}"


def check_settings(name: str, given: Settings, ground: Settings, usual: Settings, taken: dict[str, Iterable[str]]) -> None:
    """Raise StudyError for a setting that is unknown, set elsewhere, compared by the study ``name``, or there already.

    ``ground``: the study's settings before its arms, ``usual``: all defaults, ``taken``: place in the study -> settings.
    """
    for key, value in given.items():
        if key not in usual:
            raise StudyError(f"--set {cut(key)}: no such setting{nearest(key, usual)}")
        if key in ELSEWHERE:
            raise StudyError(f"--set {key}: cannot be given; {ELSEWHERE[key]}")
        if where := next((place for place, settings in taken.items() if key in settings), None):
            raise StudyError(
                f"--set {key}: {where} of {cut(name)} sets it: the study compares it; change a copy (fer study new)"
            )
        if grid_key(ground.get(key, usual[key])) == grid_key(value):
            raise StudyError(f"--set {key}={write_plain(value)}: {cut(name)} has this value already; leave it out")
