"""One row per run under a results folder, for thousands of runs in a second or two.

Rows of finished runs are kept in ``runs/.rows.json`` with the signatures of the files they come from; a row is used only as
long as ``results.py`` holds the run for verified with these files, and is made again otherwise.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

from fer_cli.checked import is_verified, save_verified, sign_files
from fer_cli.config import RunConfig, flatten
from fer_cli.errors import DamagedError, ResultsError, StudyError, nearest
from fer_cli.escape import cut
from fer_cli.inventory.store import read_places
from fer_cli.outputs import RESULT
from fer_cli.places import read_text, write_text
from fer_cli.results import Result
from fer_cli.runs import RunFolder, Status, read_config
from fer_cli.uses import USES, find_places

FILE = ".rows.json"
VERSION = 1  # incremented when the fields of a row or their meaning change

STATES: dict[Status, str] = {
    "new": "a folder without results that no process works on; fer ablate trains it",
    "running": "a living process has claimed it and trains it",
    "stale": "interrupted: its process is gone; fer ablate continues after its last complete epoch",
    "failed": "training ended with an error, in error.txt; fer ablate --retry-failed trains it again",
    "done": "result.json and the files behind it are complete and agree",
    "damaged": "one of its files is truncated, invalid or disagrees with another; fer ablate --retry-failed trains it again",
}
"""State -> what it means."""
assert set(STATES) == set(get_args(Status))
AGES = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
"""Unit of an age -> seconds."""
RUN_ID = re.compile("[0-9a-f]{12}")
OWN_FILES = ("config.json", RESULT, "error.txt", "claim.json")
Watch = Callable[[Sequence[str]], Iterable[str]]
OWN = ("data.name", "data.test", "model.backbone", "model.source_sha256", "seed", "task")
"""Settings that have their own place in a row."""


@dataclass(frozen=True)
class Row:
    """What a list of runs shows of one run; ``accuracy`` and ``macro_f1``: of its test part, of ``n`` images."""

    run_id: str
    state: Status
    network: str = ""
    """Backbone; of a classifier on features, its name and the features."""
    data: str = ""
    """Data set, and the set it is tested on if that is another."""
    seed: int | None = None
    differs: str = ""
    """Settings that are not the default, as ``name=value``, without those that have their own place."""
    accuracy: float | None = None
    macro_f1: float | None = None
    n: int | None = None
    changed: float = 0.0
    """When its result, error or claim was written, in seconds of ``time.time``."""
    seconds: float | None = None
    studies: tuple[tuple[str, str], ...] = ()
    """Studies that use it, each with arm and grid point, as far as recorded."""
    starts_from: tuple[str, ...] = ()
    """Ids of the runs whose weights or training it took, as far as known."""
    reason: str = ""
    """Why it failed or is damaged."""

    @property
    def age(self) -> float:
        """Return the seconds since the run changed."""
        return max(0.0, time.time() - self.changed)

    @property
    def study(self) -> str:
        """Return the studies and arms as text, e.g. ``scn-cs: SCN · data.label_noise 0.2``."""
        return "; ".join(f"{study}: {place}" for study, place in self.studies)


SORTS: dict[str, Callable[[Row], Any]] = {
    "age": lambda row: -row.changed,
    "score": lambda row: (row.accuracy is None, -(row.accuracy or 0.0)),
    "seconds": lambda row: (row.seconds is None, -(row.seconds or 0.0)),
    "state": lambda row: (list(STATES).index(row.state), -row.changed),
    "data": lambda row: (row.data, row.network, row.seed),
    "id": lambda row: row.run_id,
}
"""Name of an order -> key: youngest, best, longest, or first."""


def run_ids(results: Path) -> list[str]:
    """Return the names of all run folders, sorted; raises ResultsError if there is none."""
    folder = results / "runs"
    paths = folder.iterdir() if folder.is_dir() else ()
    names = sorted(path.name for path in paths if path.is_dir() and is_run(path))
    if not names:
        raise ResultsError(f"no run under {results}; train some with: fer ablate --study demo, or give --results FOLDER")
    return names


def is_run(path: Path) -> bool:
    """Return whether a folder is a run's: by its name, or by a file that only runs have."""
    if path.name.startswith("."):
        return False
    return RUN_ID.fullmatch(path.name) is not None or any((path / name).exists() for name in OWN_FILES)


def list_rows(results: Path, names: Iterable[str] | None = None, watch: Watch = lambda names: names) -> list[Row]:
    """Return the rows of all runs, or of those named, in the order of their ids.

    ``watch``: takes the names and yields them, to show progress: the first call reads every file of every run.
    """
    wanted = run_ids(results) if names is None else list(names)
    kept = read_kept_rows(results / "runs")
    found, fresh = [], {}
    for name in watch(wanted):
        folder = RunFolder(results, name)
        files = sign_files(folder.path, (USES,))
        entry = kept.get(name)
        if entry is not None and entry[0] == files and is_verified(folder.path, files[:-1]):
            row = entry[1]
        else:
            row = make_row(folder)
            if row.state == "done":
                fresh[name] = files, row
        found.append(row)
    save_verified(results)
    if fresh:
        there = set(wanted) if names is None else kept.keys()
        keep_rows(results / "runs", {name: kept[name] for name in kept if name in there}, fresh)
    if all(row.studies for row in found):
        return found
    places = read_places(results)  # of runs of earlier versions, which MLflow's tags name
    return [row if row.studies else replace(row, studies=places.get(row.run_id, ())) for row in found]


def make_row(folder: RunFolder) -> Row:
    """Return the row of one run, read from its folder."""
    state, studies = folder.status, find_places(folder.path)
    if state == "done":
        with suppress(DamagedError):
            return row_of_result(folder.result(), studies, time_of(folder, RESULT))
        state = folder.status  # damaged since it was looked at
    row = Row(folder.run_id, state, changed=time_of(folder, RESULT, "claim.json", "error.txt", "config.json", ""))
    row = replace(row, studies=studies, reason=explain_state(folder, state))
    with suppress(DamagedError):
        row = replace(row, **describe_config(read_config(folder.file("config.json"))))
    return row


def row_of_result(result: Result, studies: tuple[tuple[str, str], ...], changed: float) -> Row:
    """Return the row of a finished run."""
    starts = tuple(run_id for run_id in (result.pretrained_by, result.trained_by) if run_id)
    seconds = result.cost.seconds.total
    about = describe_config(result.config)
    kept: dict[str, Any] = {"starts_from": starts}
    if (scores := result.metrics.get("test")) is not None:  # a trial has none
        kept |= {"accuracy": scores["accuracy"], "macro_f1": scores["macro_f1"], "n": scores.n}
    return Row(result.run_id, "done", studies=studies, changed=changed, seconds=seconds, **about, **kept)


def describe_config(config: RunConfig) -> dict[str, Any]:
    """Return the fields of a row that settings give: network, data, seed, differs."""
    features = config.features
    network = f"{features.classifier} on {'+'.join(features.blocks)}" if features.fitted else config.model.title
    data = " → ".join(config.data.sets)
    changed = {name: value for name, value in list_changes(config).items() if name not in OWN}
    if features.fitted:
        changed = {name: value for name, value in changed.items() if name not in {"features.blocks", "features.classifier"}}
    return {"network": network, "data": data, "seed": config.seed, "differs": write_settings(changed)}


def list_changes(config: RunConfig) -> dict[str, Any]:
    """Return the settings that are not the default, by dotted name."""
    return flatten(config.model_dump(mode="json", exclude_defaults=True))


def write_settings(settings: dict[str, Any]) -> str:
    """Return settings as ``name=value, name=value``."""
    return ", ".join(f"{name}={write_value(value)}" for name, value in settings.items())


def write_value(value: Any) -> str:
    """Return the text of a setting as a study file would have it."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def explain_state(folder: RunFolder, state: Status) -> str:
    """Return why a run failed or is damaged, or who trains it; "" otherwise."""
    if state == "failed":
        return folder.error_line()
    if state == "damaged":
        return str(folder.damage)
    if state == "running":
        with suppress(DamagedError):
            return f"{folder.owner()} trains it, {100 * folder.progress():.0f} % done"
    return ""


def time_of(folder: RunFolder, *names: str) -> float:
    """Return the time of the first of these files that exists, in seconds of ``time.time``; "": the folder."""
    for name in names:
        with suppress(OSError):
            return (folder.path / name).lstat().st_mtime
    return 0.0


def read_kept_rows(runs: Path) -> dict[str, tuple[Any, Row]]:
    """Return the kept rows of a folder of runs by id, with the signatures of their files; none if the file is invalid."""
    with suppress(OSError, ValueError, RecursionError, KeyError, TypeError, IndexError):
        content = json.loads(read_text(runs / FILE))
        if content["version"] == VERSION:
            return {name: (as_tuples(files), row_of_record(row)) for name, (files, row) in content["rows"].items()}
    return {}


def as_tuples(pairs: Sequence[Any]) -> Any:
    """Return pairs read from JSON as tuples, and lists in them too."""
    return tuple(tuple(tuple(part) if isinstance(part, list) else part for part in pair) for pair in pairs)


def row_of_record(record: dict[str, Any]) -> Row:
    """Return a row read from JSON."""
    pairs = {"studies": as_tuples(record["studies"]), "starts_from": tuple(record["starts_from"])}
    return Row(**record | pairs)


def keep_rows(runs: Path, kept: dict[str, tuple[Any, Row]], fresh: dict[str, tuple[Any, Row]]) -> None:
    """Write the rows of finished runs, if the folder is writable."""
    rows = {name: [files, asdict(row)] for name, (files, row) in {**kept, **fresh}.items()}
    with suppress(OSError):
        write_text(runs / FILE, json.dumps({"version": VERSION, "rows": rows}))


def filter_rows(rows: Iterable[Row], since: float | None = None, **wanted: str | None) -> list[Row]:
    """Return the rows that have all given values and changed within ``since`` seconds.

    ``wanted``: state, study, data (of training or test), backbone. Raises ResultsError with the nearest value if no row has
    one of them.
    """
    found = list(rows)
    values: dict[str, Callable[[Row], Iterable[str]]] = {
        "state": lambda row: [row.state],
        "study": lambda row: [study for study, _ in row.studies],
        "data": lambda row: row.data.split(" → "),
        "backbone": lambda row: [row.network, row.network.split(" (source ")[0]],
    }
    for name, value in wanted.items():
        if value is None:
            continue
        known = set(STATES) if name == "state" else {one for row in rows for one in values[name](row)}
        if value not in known:
            raise ResultsError(f"--{name} {cut(value)}: no run has it{nearest(value, known)}")
        found = [row for row in found if value in values[name](row)]
    return [row for row in found if since is None or row.age <= since]


def parse_age(text: str) -> float:
    """Return the seconds of an age such as ``90m``, ``12h``, ``2d`` or ``1w``; raises StudyError for anything else."""
    number, unit = text.strip()[:-1], text.strip()[-1:]
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if unit not in AGES or not 0 <= value < 1e6:
        raise StudyError(f"--since {cut(text)}: give an age such as 90m, 12h, 2d or 1w (s, m, h, d or w)")
    return value * AGES[unit]


def sort_rows(rows: Iterable[Row], order: str) -> list[Row]:
    """Return rows in an order of ``SORTS``; raises ResultsError for an unknown one."""
    if order not in SORTS:
        raise ResultsError(f"--sort {cut(order)}: no such order{nearest(order, SORTS)}")
    return sorted(rows, key=SORTS[order])


def count_states(rows: Iterable[Row]) -> Iterator[str]:
    """Yield ``12 done``, ``1 failed`` for the states that occur."""
    states = [row.state for row in rows]
    for state in STATES:
        if count := states.count(state):
            yield f"{count} {state}"
