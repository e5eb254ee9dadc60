"""What a plan says of time and steps, what a budget leaves of it, and that benchmarks write what they measure."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fer_cli.config import Compute, RunConfig
from fer_cli.data.datamodule import RunData
from fer_cli.data.manifest import load_set
from fer_cli.errors import StudyError
from fer_cli.estimate import estimate, fit_budget, steps_of
from fer_cli.learning.compute import resolve_compute
from fer_cli.learning.timing import seconds_of_features
from fer_cli.plan import Plan, make_plan, part_sizes
from fer_cli.study import Choice
from tests.conftest import Called

Fer = Callable[..., Called]


@pytest.fixture
def plan(study_file: Path, compute: Compute) -> Plan:
    """The tiny study with five seeds of twelve epochs."""
    study_file.write_text(study_file.read_text().replace("epochs: 2", "epochs: 12"))
    return make_plan(str(study_file), Choice(seeds=(0, 1, 2, 3, 4)), compute)


def test_steps_are_those_that_training_takes(plan: Plan, compute: Compute) -> None:
    for item in plan.items[:2]:
        data = RunData(load_set(compute.data_root, "ck48"), item.run.config)
        batch, epochs = item.run.config.train.batch_size, item.run.config.train.epochs
        assert steps_of(item) == pytest.approx(epochs * math.ceil(len(data.train) / batch), rel=0.25)
        assert item.classes == len(data.classes)


def test_fewer_people_are_fewer_steps(plan: Plan, compute: Compute) -> None:
    item = plan.items[0]
    infos = {"ck48": load_set(compute.data_root, "ck48").info}
    config = item.run.config
    for people in (5, 9, 1000):
        few = config.model_copy(update={"data": config.data.model_copy(update={"max_subjects": people})})
        data = RunData(load_set(compute.data_root, "ck48"), few)
        assert part_sizes(few, infos)[0] == pytest.approx(len(data.train), rel=0.25)


def test_what_fits_a_budget_takes_no_longer(plan: Plan, compute: Compute, study_file: Path) -> None:
    times: dict[str, float | None] = {item.run_id: 60.0 for item in plan.everything}
    whole = len(plan.items) + len(plan.first)
    assert fit_budget(plan, times, plan.states(), 1, 2 * whole) == plan.choice
    for minutes in (0.7 * whole, 0.4 * whole, 0.2 * whole, 0.1 * whole):
        choice = fit_budget(plan, times, plan.states(), 1, minutes)
        smaller = make_plan(str(study_file), choice, compute)
        share = smaller.items[0].run.config.train.epochs / plan.items[0].run.config.train.epochs
        seeds = len({item.run.seed for item in smaller.items})
        assert len(smaller.items) * share * 60 / 60 <= minutes * 1.05
        assert seeds >= 3 or share <= 0.5
        assert {item.run_id for item in smaller.items}.isdisjoint(item.run_id for item in plan.items) == (
            choice.epochs is not None
        )
    half = fit_budget(plan, times, plan.states(), 2, 0.35 * whole)
    assert len(half.seeds or ()) >= 3, "two at once have twice the time"


def test_a_budget_that_fits_no_run_or_cannot_be_judged_is_one_line(plan: Plan) -> None:
    times: dict[str, float | None] = {item.run_id: 600.0 for item in plan.everything}
    with pytest.raises(StudyError, match=r"--budget 0.1: too small: one seed of one epoch takes about \d+\.\d minutes"):
        fit_budget(plan, times, plan.states(), 1, 0.1)
    with pytest.raises(StudyError, match=r"time of \d+ runs is unknown"):
        fit_budget(plan, dict.fromkeys(times), plan.states(), 1, 10)


def test_runs_that_are_done_take_no_time_but_with_other_epochs_all_are_trained_again(plan: Plan) -> None:
    times: dict[str, float | None] = {item.run_id: 60.0 for item in plan.everything}
    states = plan.states()
    each = len([item for item in plan.items if item.run.seed == 0])
    some = states | {item.run_id: "done" for item in plan.items if item.run.seed < 3}
    assert fit_budget(plan, times, dict.fromkeys(states, "done"), 1, 0.01) == plan.choice
    assert fit_budget(plan, times, some, 1, 2.3 * each) == plan.choice
    assert fit_budget(plan, times, some, 1, 1.5 * each) == replace(plan.choice, seeds=(0, 1, 2, 3)), "one seed is left"
    assert fit_budget(plan, times, some, 1, 0.1) == replace(plan.choice, seeds=(0, 1, 2)), "nothing is left"
    twelfth = fit_budget(plan, times, states | {item.run_id: "done" for item in plan.items[1:]}, 1, 0.7 * each)
    assert twelfth == plan.choice or (twelfth.epochs or 1.0) * each * len(twelfth.seeds or ()) <= 0.7 * each


def test_simulations_have_no_epochs(fer: Fer, compute: Compute) -> None:
    where = ["--data-root", compute.data_root, "--results", compute.results]
    called = fer("ablate", "--study", "interaction-models", "--plan", *where, "--epochs", "0.5")
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert "--epochs: the runs of interaction-models train no network; leave it out" in called.err
    called = fer("ablate", "--study", "interaction-models", "--plan", *where, "--budget", "1")
    assert called.code == 0, called.err
    assert "fits 1 minutes" in called.err and "--epochs" not in called.err
    called = fer("ablate", "--study", "interaction-models", "--plan", *where, "--budget", "0.01")
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert "too small: one seed takes about" in called.err


def test_networks_that_were_never_timed_are_timed_by_a_batch(
    plan: Plan, compute: Compute, fer: Fer, study_file: Path
) -> None:
    states = plan.states()
    assert set(estimate(plan, compute, states).values()) == {None}
    times = estimate(plan, compute, states, timing=True)
    assert all(seconds is not None and 0 < seconds < 600 for seconds in times.values())
    where = ["--data-root", compute.data_root, "--results", compute.results, "--device", "cpu", "--precision", "fp32"]
    called = fer("ablate", "--study", study_file, "--plan", "--budget", "0.2", *where)
    assert called.code == 0, called.err
    (line,) = (line for line in called.err.splitlines() if line.startswith("fits 0.2 minutes"))
    assert "--epochs" in line or "--seeds" in line
    again = fer("ablate", "--study", study_file, "--plan", *line.split(": fer ablate ", 1)[1].split()[2:])
    assert again.out == called.out, "the command without a budget plans the same runs"


@pytest.mark.parametrize("hog", [{"size": None}, {"size": None, "cell": 20}], ids=["whole", "larger blocks"])
def test_features_of_images_that_are_not_resized_are_timed(hog: dict[str, object], compute: Compute) -> None:
    features = {"blocks": ["hog"], "hog": hog}
    config = RunConfig.model_validate({"data": {"image_size": 24}, "features": features})
    assert all(seconds > 0 for seconds in seconds_of_features(config, 3, resolve_compute(compute)))


def test_epochs_enter_the_id_and_are_refused_where_they_are_compared(fer: Fer, study_file: Path, compute: Compute) -> None:
    where = ["--study", study_file, "--plan", "--data-root", compute.data_root, "--results", compute.results]
    plain, scaled = fer("ablate", *where), fer("ablate", *where, "--epochs", "2")
    assert {line[:12] for line in plain.out.splitlines()[1:]}.isdisjoint(line[:12] for line in scaled.out.splitlines()[1:])
    study_file.write_text(study_file.read_text().replace("data.label_noise: [0.0, 0.3]", "train.epochs: [1, 2]"))
    study_file.write_text(study_file.read_text().replace("columns: data.label_noise", "columns: train.epochs"))
    called = fer("ablate", *where, "--epochs", "2")
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert "compares train.epochs" in called.err


def test_benchmarks_write_a_table_and_numbers(fer: Fer, tmp_path: Path) -> None:
    called = fer("bench", "--only", "start", "--repeats", "1", "--results", tmp_path)
    assert called.code == 0, called.err
    content = json.loads((tmp_path / "benchmarks" / "bench.json").read_text())
    (row,) = content["rows"]["start"]
    assert row["unit"] == "s" and 0.05 < row["ours"] < 30
    assert {"processor", "cores", "instructions", "threads", "libraries"} <= content["machine"].keys()
    assert (tmp_path / "benchmarks" / "bench.md").read_text().strip() == called.out.strip()
    wrong = fer("bench", "--only", "strat")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "no benchmark 'strat'; did you mean start?" in wrong.err
