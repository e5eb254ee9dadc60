"""Planned runs as a graph: order, circles, states and costs, from a study and from run folders alone."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fer_cli.checks import check_runs
from fer_cli.config import Compute, RunConfig
from fer_cli.errors import ResultsError, StudyError
from fer_cli.estimate import estimate
from fer_cli.plan import Item, Plan, describe_other_builds, finished_results, make_plan, read_runs, sort_runs
from fer_cli.study import Choice
from fer_cli.tasks import TASKS
from tests.conftest import STUDY, Called
from tests.fakes import fake_result, leave

LEVELS = STUDY.replace("grid: {data.label_noise: [0.0, 0.3]}", "grid: {corrupt.noise: [0.1, 0.3]}").replace(
    "columns: data.label_noise", "columns: corrupt.noise"
)


def put_result(item: Item, **changes: object) -> None:
    """Write a made-up result of a planned run, and its predictions."""
    made = {
        "fingerprint": item.fingerprint,
        "pretrained_by": item.start and item.start.run_id,
        "trained_by": item.trained and item.trained.run_id,
    }
    item.folder.path.mkdir(parents=True, exist_ok=True)
    item.folder.write_config(item.run.config)
    leave(item.folder, fake_result(item.run_id, item.run.config, **made | changes))


@pytest.fixture
def plan(tmp_path: Path, compute: Compute) -> Plan:
    """Two levels, tested by trainings that no table shows."""
    path = tmp_path / "tiny.yaml"
    path.write_text(LEVELS)
    return make_plan(str(path), Choice(seeds=(0, 1)), compute, only=("CNN",))


def test_runs_come_after_those_they_need_and_keep_their_order_else() -> None:
    assert sort_runs({"c": ["a", "b"], "x": [], "b": ["a"], "a": [], "y": ["gone"]}) == ["x", "a", "y", "b", "c"]


def test_a_circle_is_one_line() -> None:
    with pytest.raises(ResultsError, match=r"depend on each other in a cycle, (a → b → a|b → a → b);") as error:
        sort_runs({"a": ["b"], "b": ["a"], "c": []})
    assert "\n" not in str(error.value)


def test_a_planned_run_that_would_need_itself_is_one_line(
    fer: Callable[..., Called], study_file: Path, compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = RunConfig(seed=99)
    circular = replace(TASKS["stills"], before=lambda config: RunConfig(seed=98) if config == other else other)
    monkeypatch.setitem(TASKS, "stills", circular)
    with pytest.raises(StudyError, match="depend on itself"):
        make_plan(str(study_file), Choice(), compute)
    called = fer("ablate", "--study", study_file, "--plan", "--data-root", compute.data_root)
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert called.err.startswith("error: ")


def test_levels_come_after_the_training_they_share(plan: Plan) -> None:
    assert [item.run_id for item in plan.everything] == [item.run_id for item in [*plan.first, *plan.items]]
    assert all(item.needs == (item.trained,) for item in plan.items)
    assert set(plan.states().values()) == {"new"}


def test_run_folders_alone_give_the_same_graph(plan: Plan, compute: Compute, tmp_path: Path) -> None:
    for item in plan.everything:
        put_result(item)
    copied = tmp_path / "copied"
    shutil.copytree(compute.results, copied)
    found = read_runs(copied)
    assert found.keys() == {item.run_id for item in plan.everything}
    for item in plan.everything:
        same = found[item.run_id]
        assert (same.run.config, same.fingerprint, same.epochs) == (item.run.config, item.fingerprint, item.epochs)
        assert [need.run_id for need in same.needs] == [need.run_id for need in item.needs]
    assert list(found)[: len(plan.first)] == sorted(item.run_id for item in plan.first)
    one = plan.items[-1]
    assert list(read_runs(copied, [one.run_id])) == [one.needs[0].run_id, one.run_id]


def test_unfinished_and_damaged_folders(plan: Plan, compute: Compute) -> None:
    done, begun, damaged, *_ = plan.items
    put_result(done)
    begun.folder.path.mkdir(parents=True)
    begun.folder.write_config(begun.run.config)
    begun.folder.write_error("Traceback\nOops: no\n")
    damaged.folder.path.mkdir()
    damaged.folder.file("result.json").write_text("{")
    found = read_runs(compute.results)
    assert found.keys() == {done.run_id, begun.run_id}
    assert (found[begun.run_id].run.config, found[begun.run_id].folder.status) == (begun.run.config, "failed")
    assert found[done.run_id].needs == (), "the training it shares is not there"
    assert read_runs(compute.results / "none") == {}


def test_results_in_a_circle_are_one_line(plan: Plan, compute: Compute) -> None:
    one, other = plan.items[:2]
    put_result(one, trained_by=other.run_id)
    put_result(other, pretrained_by=one.run_id)
    with pytest.raises(ResultsError, match="in a cycle"):
        read_runs(compute.results)


def test_costs_come_from_finished_runs_and_a_finished_plan_reads_none(plan: Plan, compute: Compute) -> None:
    states = plan.states()
    assert set(estimate(plan, compute, states).values()) == {None}
    (training, other), levels = plan.first, plan.items
    put_result(training, cost={"seconds": {"total": 6.0}}, machine={"device": "cpu", "precision": "fp32", "threads": 2})
    times = estimate(plan, compute, plan.states())
    assert times.keys() == {other.run_id, *(item.run_id for item in levels)}
    assert times[other.run_id] == 12.0  # 6 s on two threads, here on one
    assert {times[item.run_id] for item in levels} == {6.0}  # of two epochs, one
    assert estimate(plan, compute, dict.fromkeys(states, "done")) == {}


def test_runs_on_other_builds_are_counted(plan: Plan, compute: Compute) -> None:
    item = plan.items[0]
    put_result(item)
    assert describe_other_builds(plan, compute.results) == ""
    foreign = compute.results / "runs" / "0123456789ab"
    shutil.copytree(item.folder.path, foreign)
    result = json.loads((foreign / "result.json").read_text()) | {"run_id": foreign.name, "fingerprint": "0" * 16}
    (foreign / "result.json").write_text(json.dumps(result))
    assert describe_other_builds(plan, compute.results).endswith("are not used: 1 on ck48")
    assert [one.run_id for one in finished_results(compute.results, but=[item.run_id])] == [foreign.name]


def heavy_imports(words: list[str], heavy: tuple[str, ...]) -> tuple[str, list[str]]:
    """Return what ``fer`` prints in a process of its own, and which modules it imported."""
    code = (
        f"import sys\nsys.argv = {['fer', *words]!r}\nfrom fer_cli.cli import main\n"
        f"try: main()\nexcept SystemExit: pass\nprint(*[name for name in {heavy!r} if name in sys.modules], sep=',')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *said, loaded = done.stdout.splitlines()
    return "\n".join(said), [name for name in loaded.split(",") if name]


def test_the_plan_of_a_finished_study_imports_nothing_that_trains(plan: Plan, compute: Compute, tmp_path: Path) -> None:
    for item in plan.everything:
        put_result(item)
    words = [
        "--study",
        str(tmp_path / "tiny.yaml"),
        "--data-root",
        str(compute.data_root),
        "--results",
        str(compute.results),
    ]
    training = ("torch", "sklearn", "mlflow")
    said, loaded = heavy_imports(["ablate", "--seeds", "2", "--only", "CNN", "--plan", *words], training)
    assert said.count("\tdone\t") == len(plan.everything)
    assert loaded == []
    said, loaded = heavy_imports(
        ["report", "--seeds", "2", *words], training
    )  # reads predictions and manifest, and notes them
    assert said.startswith("# tiny on ck48")
    assert loaded == []
    alone = [word.replace(str(compute.data_root), str(tmp_path / "none")) for word in words]
    said, loaded = heavy_imports(["report", "--seeds", "2", *alone], (*training, "pandas"))
    assert said.startswith("# tiny on ck48")
    assert loaded == []
    assert check_runs(plan, compute.model_copy(update={"data_root": tmp_path}), plan.states()) == []
