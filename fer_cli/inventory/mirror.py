"""Rebuild the MLflow mirror from run folders: ``fer track sync``. A second call changes nothing, an interrupted one goes on.

A child run is complete once it has the tag ``fer.synced``, a hash of the files that it mirrors; it is written last. Runs
that a process trains are left to it.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fer_cli.attempts import given_up
from fer_cli.checked import sign_files
from fer_cli.config import METRICS, Compute, RunConfig
from fer_cli.errors import DamagedError, FerError, ResultsError
from fer_cli.escape import quote_error
from fer_cli.inventory.parents import Client, Group, fill_parent
from fer_cli.inventory.rows import Watch, run_ids, time_of
from fer_cli.inventory.store import read_places, read_titles
from fer_cli.outputs import RESULT
from fer_cli.results import Result
from fer_cli.runs import RunFolder, Status, history_name, read_config
from fer_cli.stores import check_store
from fer_cli.tracking import (
    LOCK_S,
    End,
    Mirror,
    RunTracker,
    describe_store,
    find_run,
    given_uri,
    new_client,
    open_experiment,
    place_tags,
    reap,
    search_runs,
    store_file,
    store_uri,
)
from fer_cli.uses import Use, read_uses

OTHERS = "other runs"
"""Experiment of the runs whose study is not recorded."""
SYNCED = "fer.synced"
SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks", "databricks-uc", "uc")
"""What the addresses of stores begin with that MLflow can open."""
ENDS: dict[Status, End] = {"done": "FINISHED", "failed": "FAILED", "damaged": "FAILED", "stale": "KILLED"}
"""State -> status in MLflow; runs in other states are not mirrored."""


@dataclass
class Synced:
    """What one call did; ``counts``: new, updated, unchanged, left (a process trains them), removed, double."""

    counts: Counter[str] = field(default_factory=Counter)
    studies: int = 0


def sync_mirror(results: Path, data_root: Path, watch: Watch = lambda names: names) -> Synced:
    """Mirror every run folder, and the studies that use them; raises ResultsError if the store fails.

    ``watch``: takes the run ids and yields them, to show progress.
    """
    names = run_ids(results)
    uses = find_uses(results, data_root, names)
    given_up.clear()
    try:
        return Sync(results, uses).carry_out(names, watch)
    except (FerError, KeyboardInterrupt):
        raise
    except Exception as error:  # a file, database or server may raise anything
        what = f"{describe_store(results)}: {quote_error(error)}"
        raise ResultsError(f"MLflow store {what}{remedy(error, given_uri(results))}") from None


def remedy(error: Exception, uri: str) -> str:
    """Return what to do about an error of the store with this URI, "" if its message says so."""
    from sqlalchemy.exc import NoSuchModuleError

    if isinstance(error, OSError) and error.errno is None and not isinstance(error, ConnectionError):  # of check_store
        return ""
    if isinstance(error, ModuleNotFoundError | NoSuchModuleError):
        return f"; install this driver of {uri.partition(':')[0]} databases, or give another MLFLOW_TRACKING_URI"
    if uri and uri.partition(":")[0].partition("+")[0] not in SCHEMES:
        return f"; give an MLFLOW_TRACKING_URI that begins with {', '.join(SCHEMES[:-1])} or {SCHEMES[-1]}"
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return "; move it away, then run fer track sync again"
    return "; run fer track sync again"


class Sync:
    """One call of ``sync_mirror``."""

    def __init__(self, results: Path, uses: dict[str, list[Use]]) -> None:
        self.results, self.uses = results, uses
        self.uri = given_uri(results) or store_uri(results)
        self.client = open_client(results, self.uri)
        self.mine = place_tags(results)
        self.done = Synced()
        self._experiments: dict[str, tuple[str, str]] = {}
        self._parents: dict[str, str] = {}
        self._children: dict[str, Any] = {}
        for run in self._find_children():
            self._keep_one(run)

    def carry_out(self, names: Sequence[str], watch: Watch) -> Synced:
        """Mirror the runs, then the parents, and remove the children whose run folder is gone."""
        groups: dict[str, Group] = {}
        for name in watch(names):
            folder = RunFolder(self.results, name)
            result = self.mirror_run(folder, self.uses[name][0])
            for use in self.uses[name]:
                group = groups.setdefault(use.title, Group(use))
                if use.table and result is not None and use.study != OTHERS:
                    group.add(use.place, result)
        for group in groups.values():
            fill_parent(self.client, self._mirror_of(group.use), self.results, group)
        self.done.studies = len(groups)
        for name, run in self._children.items():
            if name not in set(names):
                self.client.delete_run(run.info.run_id)  # MLflow keeps it as deleted, to be restored
                self.done.counts["removed"] += 1
        return self.done

    def mirror_run(self, folder: RunFolder, use: Use) -> Result | None:
        """Mirror one run, unless it is complete, and return its result if it is done."""
        state = folder.status
        found = folder.find_result() if state == "done" else None
        result = found if isinstance(found, Result) else None
        if state not in ENDS:
            self.done.counts["left" if state == "running" else "not begun"] += 1
            return None
        known, signature = self._children.get(folder.run_id), sign_run(folder, state)
        if known is not None and known.data.tags.get(SYNCED) == signature:
            self.done.counts["unchanged"] += 1
            return result
        try:
            config = result.config if result is not None else read_config(folder.file("config.json"))
        except DamagedError:
            self.done.counts["unreadable"] += 1
            return result
        self._write(folder, use, config, result, ENDS[state], signature)
        self.done.counts["new" if known is None else "updated"] += 1
        return result

    def _write(
        self, folder: RunFolder, use: Use, config: RunConfig, result: Result | None, end: End, signature: str
    ) -> None:
        """Write a child run: parameters, histories, scores and artifacts, and last the tag that it is complete."""
        mirror = self._mirror_of(use, self._children.get(folder.run_id))
        ended = time_of(folder, RESULT, "error.txt", "claim.json", "config.json", "")
        seconds = 0.0 if result is None else result.cost.seconds.total
        tracker = RunTracker(mirror, folder, (int(1000 * (ended - seconds)), int(1000 * ended)), wait=True)
        tracker.begin(
            f"{use.place} · seed {config.seed}", config, {"arm": use.arm, "study": use.study, "seed": str(config.seed)}
        )
        scores = {} if result is None else {f"{result.part}/{name}": result.scores[name] for name in METRICS}
        tracker.end(end, scores, "history.csv" if result is None else history_name(result))
        if not tracker.complete:
            raise ResultsError(
                f"MLflow store {describe_store(self.results)}: a run could not be written; run fer track sync again"
            )
        self.client.set_tag(tracker.run_id, SYNCED, signature)

    def _keep_one(self, run: Any) -> None:
        """Note a child run, or remove it if its run has another: a request that was repeated in vain may leave two."""
        if self._children.setdefault(run.data.tags["fer.run_id"], run) is not run:
            self.client.delete_run(run.info.run_id)
            self.done.counts["double"] += 1

    def _find_children(self) -> Iterator[Any]:
        """Yield this results folder's child runs of all experiments, after marking those of dead processes as killed."""
        for experiment in self.client.search_experiments():
            reap(self.client, experiment.experiment_id, self.results)
            query = " and ".join(
                ["tags.`fer.kind` = 'run'", *(f"tags.`{key}` = '{value}'" for key, value in self.mine.items())]
            )
            for run in search_runs(self.client, experiment.experiment_id, query):
                if "fer.run_id" in run.data.tags:
                    yield run

    def _mirror_of(self, use: Use, child: Any = None) -> Mirror:
        """Return where a plan's runs are mirrored, its parent created if missing; a child that exists stays where it is."""
        if use.study not in self._experiments:
            self._experiments[use.study] = open_experiment(self.client, self.uri, self.results, use.study)
        identity, artifacts = self._experiments[use.study]
        if child is not None and child.info.experiment_id != identity:
            study = self.client.get_experiment(child.info.experiment_id).name
            identity, artifacts = open_experiment(self.client, self.uri, self.results, study)
            return Mirror(self.uri, identity, child.data.tags.get("mlflow.parentRunId", ""), artifacts)
        if use.title not in self._parents:
            tags = {"fer.kind": "study", "fer.title": use.title, **self.mine}
            run = find_run(self.client, identity, tags)
            if run is None:
                run = self.client.create_run(identity, run_name=use.title, tags=tags)
                self.client.set_terminated(run.info.run_id, "FINISHED")
            self._parents[use.title] = run.info.run_id
        return Mirror(self.uri, identity, self._parents[use.title], artifacts)


def open_client(results: Path, uri: str) -> Client:
    """Return a client of the store, whose tables are created if missing; concurrent commands wait for each other."""
    from filelock import FileLock

    if uri != store_uri(results):
        if (file := store_file(uri)) is not None:
            check_store(file)
        client = new_client(uri)
        client.search_experiments(max_results=1)
        return client
    with FileLock(results / "mlflow.lock", timeout=LOCK_S):
        check_store(results / "mlflow.db")
        client = new_client(uri)
        client.search_experiments(max_results=1)
    return client


def sign_run(folder: RunFolder, state: Status) -> str:
    """Return a hash of a run's state and the names, sizes and times of the files that scores come from, and its error."""
    files: Any = sign_files(folder.path, ("error.txt",))
    return hashlib.sha256(repr((state, [(name, sign[:2]) for name, sign in files])).encode()).hexdigest()[:16]


def find_uses(results: Path, data_root: Path, names: Iterable[str]) -> dict[str, list[Use]]:
    """Return the uses of runs: as recorded, else by the plans of the studies that ran, else by MLflow's tags, else none."""
    found = {name: read_uses(RunFolder(results, name).path) for name in names}
    if not (lost := [name for name, uses in found.items() if not uses]):
        return found
    planned: dict[str, list[Use]] = {}
    for use_of_run in plan_uses(results, data_root):
        planned.setdefault(use_of_run[0], []).append(use_of_run[1])
    tagged, titles = read_places(results), read_titles(results)
    for name in lost:
        tags = [Use(study=study, title=titles.get(name, study), arm=arm) for study, arm in tagged.get(name, ())]
        found[name] = planned.get(name) or tags or [Use(study=OTHERS, title=OTHERS, arm="run")]
    return found


def plan_uses(results: Path, data_root: Path) -> Iterator[tuple[str, Use]]:
    """Yield run id and use of the plans of shipped studies that ran in a results folder, as far as they can be planned."""
    from functools import cache

    from fer_cli.ablate import use_of
    from fer_cli.choices import last_choice
    from fer_cli.data.kept import KeptSet, look_up_set, read_kept
    from fer_cli.plan import make_plan
    from fer_cli.study import load_study

    compute = Compute(data_root=data_root, results=results)

    @cache
    def describe(name: str) -> KeptSet:
        return read_kept(results, name) or look_up_set(results, data_root, name)  # as it was when the study ran

    for path in sorted((results / "studies").glob("*.json")):
        with suppress(FerError):
            plan = make_plan(path.stem, last_choice(load_study(path.stem), results), compute, describe=describe)
            first = {item.run_id for item in plan.first}
            yield from ((item.run_id, use_of(plan, item, item.run_id not in first)) for item in plan.everything)
