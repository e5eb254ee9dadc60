"""``fer track sync``: the mirror of run folders, idempotent, resumable, with means, tables and figures of each study."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fer_cli.config import METRICS, RunConfig
from fer_cli.inventory.mirror import OTHERS, sync_mirror
from fer_cli.inventory.parents import Group, name_metrics
from fer_cli.inventory.rows import list_rows
from fer_cli.inventory.store import find_parent, read_places
from fer_cli.places import PACKAGE
from fer_cli.runs import RunFolder
from fer_cli.stores import check_store, known_revisions
from fer_cli.tracking import new_client, store_uri
from fer_cli.uses import Use, add_use
from tests.conftest import Called
from tests.fakes import fake_result, leave
from tests.studies import mlflow_runs, where

Fer = Callable[..., Called]
USE = Use(study="mine", title="mine on ck48 (small)", stem="mine-ck48-small", profile="small", data="ck48", arm="A")
HISTORY = "epoch,train/loss,val/macro_f1,seconds\n1,2.0,0.3,1.0\n2,1.0,0.5,1.0\n"


pytestmark = pytest.mark.usefixtures("no_store_given")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two arms of two seeds, a failed run, one of no known study, a new and a running one; a table and a figure."""
    folder = tmp_path / "results"
    for arm, seed, right in (("A", 0, 20), ("A", 1, 15), ("B", 0, 10), ("B", 1, 10)):
        run = RunFolder(folder, f"{arm.lower()}{seed}")
        config = RunConfig.model_validate({"seed": seed, "train": {"epochs": 2 if arm == "A" else 3}})
        counts = [[right, 20 - right, 0], [0, 15, 0], [0, 0, 15]]
        leave(run, fake_result(run.run_id, config, {"test": counts}))
        run.write_config(config)
        run.file("history.csv").write_text(HISTORY)
        add_use(run.path, USE.model_copy(update={"arm": arm}))
    leave(RunFolder(folder, "lost"), fake_result("lost"))
    for name in ("bad", "new"):
        RunFolder(folder, name).path.mkdir()
        RunFolder(folder, name).write_config(RunConfig(seed=7))
    RunFolder(folder, "bad").write_error("ValueError: x\n")
    add_use(RunFolder(folder, "bad").path, USE)
    (folder / "tables").mkdir()
    (folder / "tables" / "mine-ck48-small.md").write_text("# table\n")
    (folder / "figures" / "mine-ck48-small").mkdir(parents=True)
    (folder / "figures" / "mine-ck48-small" / "curves.png").write_bytes(b"PNG")
    return folder


def parents(results: Path) -> dict[str, Any]:
    client = new_client(store_uri(results))
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    return {run.data.tags["fer.title"]: run for run in client.search_runs(ids, "tags.`fer.kind` = 'study'")}


def stored(results: Path, ids: bool = True) -> dict[str, list[tuple[Any, ...]]]:
    """Return the content of the store's tables; without MLflow's own ids and times to compare two stores."""
    with sqlite3.connect(results / "mlflow.db") as connection:
        if ids:
            tables = ("experiments", "runs", "tags", "params", "metrics", "latest_metrics")
            found = {name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}"))) for name in tables}
        else:
            named = "JOIN tags ids ON ids.run_uuid = x.run_uuid AND ids.key IN ('fer.run_id', 'fer.title')"
            skip = "('mlflow.parentRunId', 'fer.synced', 'fer.pid', 'fer.host', 'fer.started')"
            queries = {
                "params": f"SELECT ids.value, x.key, x.value FROM params x {named}",
                "metrics": f"SELECT ids.value, x.key, x.value, x.step FROM metrics x {named}",
                "tags": f"SELECT ids.value, x.key, x.value FROM tags x {named} WHERE x.key NOT IN {skip}",
                "runs": f"SELECT ids.value, x.name, x.status, x.lifecycle_stage FROM runs x {named}",
            }
            found = {name: sorted(map(repr, connection.execute(query))) for name, query in queries.items()}
    connection.close()
    return found  # type: ignore[return-value]


def files(results: Path) -> dict[str, bytes]:
    folder = results / "mlartifacts"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_store_is_built_from_run_folders_and_a_second_call_changes_nothing(results: Path, fer: Fer) -> None:
    called = fer("track", "sync", "--results", results, "--data-root", results)
    assert called.code == 0, called.err
    assert "2 studies; runs: 6 new, 1 not begun" in called.err and "next: mlflow ui" in called.err
    before = stored(results), files(results)
    called = fer("track", "sync", "--results", results, "--data-root", results)
    assert "6 unchanged" in called.err, called.err
    assert (stored(results), files(results)) == before
    runs = {run.data.tags["fer.run_id"]: run for run in mlflow_runs(results)}
    assert runs.keys() == {"a0", "a1", "b0", "b1", "lost", "bad"}
    one = runs["a1"]
    assert (one.info.status, runs["bad"].info.status) == ("FINISHED", "FAILED")
    assert one.data.params["seed"] == "1" and one.data.params["train.epochs"] == "2"
    assert (one.data.tags["arm"], one.data.tags["study"], one.info.run_name) == ("A", "mine", "A · seed 1")
    result = RunFolder(results, "a1").result()
    assert {name: one.data.metrics[f"test/{name}"] for name in METRICS} == {n: result.metrics["test"][n] for n in METRICS}
    history = new_client(store_uri(results)).get_metric_history(one.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in history] == [(1, 2.0), (2, 1.0)]
    assert one.info.end_time - one.info.start_time == pytest.approx(4000, abs=1)
    assert one.info.end_time == int(1000 * RunFolder(results, "a1").file("result.json").stat().st_mtime)


def test_the_curve_of_a_searched_run_is_that_of_its_chosen_margin(tmp_path: Path) -> None:
    """The histories of the other margins are among its artifacts alone."""
    run = RunFolder(tmp_path, "a0")
    config = RunConfig.model_validate({"learning": {"method": "scn-cs", "cs_threshold": "val_search"}})
    chosen = {"rule": "val/macro_f1", "epoch": 2, "relabel_margin": 0.2, "weights": "best-margin-0.2.pt"}
    leave(run, fake_result("a0", config, selection=chosen))
    run.write_config(config)
    add_use(run.path, USE)
    for margin, loss in ((0.1, 9.0), (0.2, 2.0)):
        run.file(f"history-margin-{margin}.csv").write_text(HISTORY.replace("2.0", str(loss)))
    sync_mirror(tmp_path, tmp_path)
    (one,) = mlflow_runs(tmp_path)
    points = new_client(store_uri(tmp_path)).get_metric_history(one.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in points] == [(1, 2.0), (2, 1.0)]
    assert sum("history-margin" in name for name in files(tmp_path)) == 2


def test_the_parent_shows_data_commit_profile_means_tables_and_figures(results: Path) -> None:
    sync_mirror(results, results)
    found = parents(results)
    assert found.keys() == {USE.title, OTHERS}
    parent = found[USE.title]
    assert parent.info.status == "FINISHED"
    known = {key: parent.data.tags[key] for key in ("study", "data", "profile", "commit")}
    assert known == {"study": "mine", "data": "ck48", "profile": "small", "commit": "abc"}
    assert parent.data.metrics == {"accuracy/A": pytest.approx((50 + 45) / 100), "accuracy/B": pytest.approx(0.8)}
    assert "| A | 95.00 ± 7.07 (2) |" in parent.data.tags["mlflow.note.content"]
    assert found[OTHERS].data.metrics == {}
    place = f"mine/{parent.info.run_id}/artifacts"
    kept = files(results)
    assert kept[f"{place}/tables/mine-ck48-small.md"] == b"# table\n" and kept[f"{place}/figures/curves.png"] == b"PNG"
    children = [run for run in mlflow_runs(results) if run.data.tags["mlflow.parentRunId"] == parent.info.run_id]
    assert {run.data.tags["fer.run_id"] for run in children} == {"a0", "a1", "b0", "b1", "bad"}


@pytest.mark.exhaustive
def test_what_changed_is_updated_and_what_is_gone_is_removed(results: Path, fer: Fer) -> None:
    sync_mirror(results, results)
    assert fer("rm", "b0", "--results", results).code == 0
    leave(RunFolder(results, "bad"), fake_result("bad", RunConfig(seed=7)))
    RunFolder(results, "bad").file("error.txt").unlink()
    done = sync_mirror(results, results)
    assert dict(done.counts) == {"unchanged": 4, "updated": 1, "removed": 1, "not begun": 1}
    runs = {run.data.tags["fer.run_id"]: run for run in mlflow_runs(results)}
    assert "b0" not in runs and runs["bad"].info.status == "FINISHED"
    assert parents(results)[USE.title].data.metrics["accuracy/A"] == pytest.approx((50 + 45 + 50) / 150)
    assert fer("rm", "--restore", "b0", "--results", results).code == 0
    assert sync_mirror(results, results).counts["new"] == 1
    assert {run.data.tags["fer.run_id"] for run in mlflow_runs(results)} == {"a0", "a1", "b0", "b1", "lost", "bad"}


KILLED = """
import os, signal, sys
from pathlib import Path
from fer_cli import tracking
from fer_cli.inventory import mirror
count = 0
def counted(original):
    def call(*arguments, **options):
        global count
        count += 1
        if count == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)
    return call
for name in ("begin", "end", "_log", "_keep"):
    setattr(tracking.RunTracker, name, counted(getattr(tracking.RunTracker, name)))
mirror.fill_parent = counted(mirror.fill_parent)
mirror.sync_mirror(Path(sys.argv[1]), Path(sys.argv[1]))
"""


@pytest.mark.parametrize("step", [pytest.param(5, marks=pytest.mark.slow), pytest.param(9, marks=pytest.mark.exhaustive)])
def test_a_sync_that_was_killed_is_completed_by_the_next(results: Path, tmp_path: Path, step: int) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(results, whole)
    sync_mirror(whole, whole)
    sync_mirror(results, results)  # the store exists; its runs are forgotten
    client = new_client(store_uri(results))
    for run in mlflow_runs(results):
        client.delete_run(run.info.run_id)
    with sqlite3.connect(results / "mlflow.db") as connection:
        for table in ("tags", "params", "metrics", "latest_metrics", "runs"):
            connection.execute(f"DELETE FROM {table}")
    connection.close()
    command = [sys.executable, "-c", KILLED, str(results), str(step)]
    assert subprocess.run(command, cwd=PACKAGE.parent, check=False).returncode == -signal.SIGKILL
    assert stored(results, ids=False) != stored(whole, ids=False)
    sync_mirror(results, results)
    assert stored(results, ids=False) == stored(whole, ids=False)


@pytest.mark.exhaustive
def test_runs_mirrored_while_they_trained_are_completed_not_doubled(fer: Fer, data_root: Path, tmp_path: Path) -> None:
    study, results = tmp_path / "pair.yaml", tmp_path / "results"
    study.write_text(
        """
name: pair
question: Is it mirrored once?
base:
  data: {name: ck48, image_size: 24, folds: 3, val_fraction: 0.25}
  model: {backbone: cnn3}
  train: {epochs: 2, batch_size: 32}
seeds: [0, 1]
arms: {A: {}, "B + 50 %": {train.lr: 0.001}}
report: {against: A}
"""
    )
    called = fer("ablate", "--study", study, *where(data_root, results))
    assert called.code == 0, called.err
    (parent,) = parents(results).values()
    rows = list_rows(results)
    means = {
        name: sum(row.accuracy or 0 for row in rows if row.studies[0][1] == arm) / 2
        for name, arm in (("accuracy/A", "A"), ("accuracy/B _ 50 _", "B + 50 %"))
    }
    assert parent.data.metrics == {name: pytest.approx(value) for name, value in means.items()}
    assert (parent.data.tags["data"], parent.data.tags["profile"]) == ("ck48", "small")
    called = fer("report", "--study", study, "--data-root", data_root, "--results", results)
    assert called.code == 0, called.err
    kept = [name for name in files(results) if f"{parent.info.run_id}/artifacts/tables/" in name]
    assert sorted(Path(name).name for name in kept) == [f"pair-ck48-small.{suffix}" for suffix in ("csv", "md", "tex")]
    before = stored(results, ids=False)
    done = sync_mirror(results, data_root)
    assert dict(done.counts) == {"updated": 4}
    assert stored(results, ids=False) == before
    assert sync_mirror(results, data_root).counts == {"unchanged": 4}
    rebuilt = tmp_path / "rebuilt"
    shutil.copytree(results, rebuilt, ignore=shutil.ignore_patterns("mlflow*", "mlartifacts"))
    sync_mirror(rebuilt, data_root)
    assert stored(rebuilt, ids=False) == before
    names = {Path(name).name for name in files(rebuilt)}
    assert names == {Path(name).name for name in files(results)}


@pytest.mark.exhaustive
def test_runs_of_earlier_versions_are_named_by_mlflow_and_by_the_plans_of_their_studies(
    finished: tuple[Path, Path], data_root: Path, tmp_path: Path
) -> None:
    """Runs of earlier versions have no studies.json; their studies' plans or MLflow's tags tell study and arm."""
    results = tmp_path / "results"
    shutil.copytree(finished[1], results)
    for path in results.glob("runs/*/studies.json"):
        path.unlink()
    rows = list_rows(results)
    assert {row.studies for row in rows} == {(("tiny", "CNN"),), (("tiny", "SCN-CS"),)}
    assert read_places(results).keys() == {row.run_id for row in rows}
    done = sync_mirror(results, data_root)
    assert dict(done.counts) == {"updated": 12} and parents(results).keys() == {"tiny on ck48 (small)"}
    found = find_parent(results, "tiny on ck48 (small)")
    assert found is not None and found[1] == "tiny" and find_parent(results, "none") is None


def test_a_running_run_is_left_to_its_process(results: Path) -> None:
    with RunFolder(results, "new").claim():
        done = sync_mirror(results, results)
    assert done.counts["left"] == 1 and "new" not in {run.data.tags["fer.run_id"] for run in mlflow_runs(results)}


@pytest.mark.exhaustive
def test_a_given_store_holds_the_runs_of_this_folder_apart(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{tmp_path}/shared/other.db"
    (tmp_path / "shared").mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    other = tmp_path / "copy"
    shutil.copytree(results, other)
    assert sync_mirror(results, results).counts["new"] == 6 == sync_mirror(other, other).counts["new"]
    assert sync_mirror(results, results).counts == {"unchanged": 6, "not begun": 1}
    assert not (results / "mlflow.db").exists()
    client = new_client(uri)
    experiment = client.get_experiment_by_name("mine").experiment_id
    found = client.search_runs([experiment], "tags.`fer.kind` = 'study'")
    assert len(found) == 2 and len({run.data.tags["fer.results"] for run in found}) == 2
    kept = [client.list_artifacts(run.info.run_id, "tables") for run in found]
    assert [[item.path for item in items] for items in kept] == [["tables/mine-ck48-small.md"]] * 2


@pytest.mark.parametrize(
    "uri",
    [
        "http://me:pass-word@127.0.0.1:1/",
        "http://me:pass-word@127.0.0.1:x/",
        "http://127.0.0.1:1/?token=pass-word",
        "nothing://me:pass-word@x",
        f"http://me:{'long' * 60}pass-word@127.0.0.1:1/",
    ],
)
def test_a_store_out_of_reach_is_one_line_without_the_password(
    uri: str, tmp_path: Path, fer: Fer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    leave(RunFolder(tmp_path, "lost"), fake_result("lost"))
    called = fer("track", "sync", "--results", tmp_path)
    assert called.code == 2 and called.err.count("error: MLflow store ") == 1
    assert not any(secret in called.err + called.out for secret in ("pass-word", "longlong")), called.err
    known = uri.startswith("http")  # another attempt cannot help where MLflow does not know such addresses
    assert called.err.endswith("; run fer track sync again\n" if known else " mssql, databricks, databricks-uc or uc\n")


def test_a_broken_store_is_one_line(results: Path, fer: Fer) -> None:
    (results / "mlflow.db").write_bytes(b"no database" * 1000)
    called = fer("track", "sync", "--results", results)
    assert called.code == 2 and called.err.count("error: ") == 1 and "mlflow.db" in called.err
    assert "Traceback" not in called.err and "move it away, then run fer track sync again" in called.err
    (results / "mlflow.db").unlink()
    assert fer("track", "sync", "--results", results).code == 0


TABLES = {
    "mine": ["CREATE TABLE mine (x)"],
    "experiments": ["CREATE TABLE experiments (x)", "CREATE TABLE alembic_version (x)"],
    "deadbeef": [
        *(f"CREATE TABLE {name} (experiment_id, run_uuid)" for name in ("experiments", "runs", "tags", "metrics", "params")),
        "CREATE TABLE alembic_version (version_num)",
        "INSERT INTO alembic_version VALUES ('deadbeef')",
    ],
}


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("name", TABLES)
def test_the_database_of_another_program_is_left_as_it_is(
    results: Path, fer: Fer, monkeypatch: pytest.MonkeyPatch, name: str, given: bool
) -> None:
    path = results / ("other.db" if given else "mlflow.db")
    if given:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        for line in TABLES[name]:
            connection.execute(line)
    connection.close()
    before = path.read_bytes()
    called = fer("track", "sync", "--results", results)
    assert called.code == 2 and called.err.count("\n") == 1 and path.name in called.err and name in called.err
    assert "move it away, or choose another" in called.err and "again" not in called.err
    assert path.read_bytes() == before


def test_a_store_that_was_killed_while_it_was_made_is_taken(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("CREATE TABLE experiments (experiment_id)")
    connection.close()
    check_store(tmp_path / "a.db")
    assert len(known_revisions()) > 30


@pytest.mark.parametrize(
    ("uri", "advice"),
    [
        ("postgresql+nodriver://localhost/x", "give another MLFLOW_TRACKING_URI"),
        ("weird://x/y", "give an MLFLOW_TRACKING_URI that begins with"),
    ],
)
def test_a_store_that_no_second_call_opens_is_not_called_again(
    results: Path, fer: Fer, monkeypatch: pytest.MonkeyPatch, uri: str, advice: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    called = fer("track", "sync", "--results", results)
    assert called.code == 2 and advice in called.err and "sync again" not in called.err, called.err


def test_a_report_without_a_mirror_makes_none(
    finished: tuple[Path, Path], data_root: Path, tmp_path: Path, fer: Fer
) -> None:
    study, trained = finished
    results = tmp_path / "results"
    shutil.copytree(trained / "runs", results / "runs")
    called = fer("report", "--study", study, "--results", results, "--data-root", data_root)
    assert called.code == 0, called.err
    assert not list(results.glob("ml*"))


def test_names_of_metrics_are_safe_and_apart() -> None:
    found = name_metrics("accuracy", ["α", "β", "a · data.label_noise 0.2", "..", "x/../y", "A" * 400])
    assert found[:4] == ["accuracy/_", "accuracy/_ 2", "accuracy/a/data.label_noise 0.2", "accuracy/_.."]
    assert found[4] == "accuracy/x_.._y" and len(found[5]) == 240
    group = Group(USE)
    for number in range(400):
        group.scores[f"arm {number:03d}"] = [0.5, 0.7]
    assert len(group.note) <= 4000 and len(group.metrics) == 400
    assert json.loads(json.dumps(group.tags))["study"] == "mine"
