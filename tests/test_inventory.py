"""``fer runs``, ``fer show`` and ``fer diff``: rows of every state, filters, intervals, McNemar's counts, bad input."""

import csv
import io
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from fer_cli.claims import this_process
from fer_cli.config import METRICS, RunConfig
from fer_cli.errors import FerError, ResultsError, StudyError
from fer_cli.inventory.find import find_dependents, find_run, match_id
from fer_cli.inventory.rows import FILE, STATES, Row, filter_rows, list_rows, parse_age, run_ids, sort_rows
from fer_cli.inventory.scores import interval_scores, pair_answers, test_pair
from fer_cli.inventory.text import BARS, draw_sparkline, write_age, write_size
from fer_cli.metrics import compute_metrics
from fer_cli.runs import RunFolder
from fer_cli.uses import Use, add_use, read_uses
from tests.conftest import Called
from tests.fakes import fake_result, leave
from tests.studies import where

Fer = Callable[..., Called]
test_pair.__test__ = False  # type: ignore[attr-defined]
NAMES = ("done0000aaaa", "done1111bbbb")


def config_of(**settings: object) -> RunConfig:
    return RunConfig.model_validate(settings)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder with a run in every state, two of them done, the second starting from the first."""
    folder = tmp_path / "results"
    first = config_of(data={"name": "ck48"}, train={"epochs": 7})
    second = config_of(data={"name": "synth-basic"}, model={"backbone": "cnn3"}, learning={"method": "scn"}, seed=3)
    for name, config, counts, more in (
        (NAMES[0], first, [[15, 5, 0], [0, 15, 0], [0, 0, 15]], {}),
        (NAMES[1], second, [[20, 0, 0], [0, 14, 1], [0, 0, 15]], {"pretrained_by": NAMES[0], "warnings": ["inert"]}),
    ):
        run = RunFolder(folder, name)
        leave(run, fake_result(name, config, {"test": counts}, **more))
        run.write_config(config)
        run.file("history.csv").write_text("epoch,train/loss,train/accuracy\n1,2.0,0.3\n2,1.0,0.4\n")
    for state in ("new", "running", "stale", "failed", "damaged"):
        run = RunFolder(folder, f"{state}000")
        run.path.mkdir(parents=True)
        run.write_config(first)
        if state == "running":
            run.file("claim.json").write_text(this_process("token").model_dump_json())
            run.write_progress(1, 4)
        if state == "stale":
            run.file("last.ckpt").touch()
        if state == "failed":
            run.write_error("Traceback\nValueError: of this\n")
        if state == "damaged":
            run.file("result.json").write_text("{")
    return folder


def test_a_run_is_underfitted_by_the_rule_of_reports(tmp_path: Path, fer: Fer) -> None:
    """By images whose labels are right: uncertain labels err in 2 of 3 redraws, confident learning removes wrong ones."""
    noisy = {"label_noise": 0.4, "noise_kind": "uncertain"}
    runs = {
        "uncertain": (0.33, {"data": noisy}, "accuracy on correctly labelled images, estimated, 45 %;"),
        "confident": (0.4, {"data": {"label_noise": 0.4}, "learning": {"confident": "remove"}}, "accuracy 40 %;"),
        "trainer": (0.2, {}, "accuracy 20 %;"),
        "shared": (None, {"corrupt": {"blur": 1.0, "parts": ["test"]}}, "accuracy of run trainer 20 %;"),
        "learned": (0.33, {"data": {"label_noise": 0.4}}, ""),
    }
    for name, (accuracy, settings, _) in runs.items():
        run, config = RunFolder(tmp_path, name), config_of(**settings)
        leave(run, fake_result(name, config, trained_by="trainer" if name == "shared" else None))
        if accuracy is not None:
            run.file("history.csv").write_text(f"epoch,train/accuracy\n1,{accuracy}\n")
    for name, (_, _, words) in runs.items():
        shown = fer("show", name, "--results", tmp_path).out
        assert f"underfitted: final training {words}" in shown if words else "underfitted:" not in shown, shown


def test_every_state_has_a_row_and_an_explanation(results: Path, fer: Fer) -> None:
    rows = {row.run_id: row for row in list_rows(results)}
    assert {row.state for row in rows.values()} == set(STATES)
    assert all(row.state == name.removesuffix("000") for name, row in rows.items() if name.endswith("000"))
    assert rows["failed000"].reason == "ValueError: of this"
    assert "25 % done" in rows["running000"].reason and "result.json" in rows["damaged000"].reason
    row = rows[NAMES[1]]
    assert (row.network, row.data, row.seed, row.differs) == ("cnn3", "synth-basic", 3, "learning.method=scn")
    assert (row.accuracy, row.n, row.seconds, row.starts_from) == (49 / 50, 50, 4.0, (NAMES[0],))
    shown = fer("runs", "--states")
    assert [line.split("\t")[0] for line in shown.out.splitlines()[1:]] == list(STATES)
    text = fer("runs", "--help").out
    assert all(state in text for state in STATES) and "Example" in text


def test_rows_are_read_again_only_where_files_changed(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fer_cli import checked
    from fer_cli.inventory import rows as module

    monkeypatch.setattr(checked, "SETTLED", 0)
    before = list_rows(results)
    assert (results / "runs" / FILE).is_file()
    made: list[str] = []
    original = module.make_row
    monkeypatch.setattr(module, "make_row", lambda folder: made.append(folder.run_id) or original(folder))
    assert list_rows(results) == before
    assert not set(NAMES) & set(made) and "failed000" in made
    add_use(results / "runs" / NAMES[0], Use(study="s", title="s on ck48 (small)", arm="CNN"))
    frame = pd.read_parquet(results / "runs" / NAMES[1] / "predictions.parquet")
    frame["predicted"] = "happy"
    frame.to_parquet(results / "runs" / NAMES[1] / "predictions.parquet")
    made.clear()
    rows = {row.run_id: row for row in list_rows(results)}
    assert set(NAMES) <= set(made)
    assert rows[NAMES[0]].studies == (("s", "CNN"),) and rows[NAMES[1]].state == "damaged"
    (results / "runs" / FILE).write_text('{"version": 1, "rows": {"x": 1}}')
    assert {row.run_id: row for row in list_rows(results)}.keys() == rows.keys()


def test_filters_sorts_and_csv(results: Path, fer: Fer) -> None:
    rows = list_rows(results)
    assert {row.run_id for row in filter_rows(rows, state="done")} == set(NAMES)
    assert [row.run_id for row in filter_rows(rows, data="synth-basic", backbone="cnn3")] == [NAMES[1]]
    assert filter_rows(rows, since=0.0) == [] and len(filter_rows(rows, since=3600.0)) == len(rows)
    assert [row.accuracy for row in sort_rows(rows, "score")][:3] == [49 / 50, 45 / 50, None]
    assert sort_rows(rows, "age")[0].changed == max(row.changed for row in rows)
    add_use(results / "runs" / NAMES[0], Use(study="mine", title="mine on ck48 (small)", arm="CNN"))
    assert "1 of 7 runs" in fer("runs", "--study", "./mine.yaml", "--results", results).err
    called = fer("runs", "--csv", "--state", "done", "--sort", "id", "--results", results)
    table = list(csv.DictReader(io.StringIO(called.out)))
    assert [float(row["accuracy"]) for row in table] == [45 / 50, 49 / 50]
    assert "2 of 7 runs" in called.err and f"next: fer show {NAMES[0]}" in called.err
    assert [parse_age(text) for text in ("90m", "12h", "2d", "1w", "5s")] == [5400, 43200, 172800, 604800, 5]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["runs", "--state", "don"], "did you mean done?"),
        (["runs", "--data", "ck4"], "did you mean ck48?"),
        (["runs", "--backbone", "cnn4"], "did you mean cnn3"),
        (["runs", "--study", "none"], "--study none: no run has it"),
        (["runs", "--sort", "scor"], "did you mean score"),
        (["runs", "--since", "two days"], "give an age such as"),
        (["runs", "--since", "nand"], "give an age such as"),
        (["show", "done"], "2 runs begin with it: done0000aaaa, done1111bbbb; give more digits"),
        (["show", "done2"], "nearest: done0000aaaa, done1111bbbb"),
        (["show", ""], "no run ''"),
        (["diff", "done0", "done0"], "the same run twice"),
        (["diff", "done0", "../x"], "no run '../x'"),
        (["rerun", "failed"], "failed000: failed, so there is nothing to compare"),
        (["rerun", "damaged"], "result.json"),
    ],
)
def test_bad_input_is_one_line(results: Path, fer: Fer, arguments: list[str], words: str) -> None:
    called = fer(*arguments, "--results", results)
    assert called.code == 2
    assert called.err.startswith("error: ") and called.err.count("\n") == 1 and words in called.err


def test_no_run_at_all_names_the_command_that_makes_some(fer: Fer, tmp_path: Path) -> None:
    for command in (["runs"], ["show", "a"], ["rm", "a"], ["track", "sync"]):
        called = fer(*command, "--results", tmp_path / "none")
        assert called.code == 2 and "fer ablate --study demo" in called.err and called.err.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_an_id_is_its_own_prefix(results: Path) -> None:
    assert match_id("ab", ["ab", "abc"], "") == "ab"
    assert find_run(results, "done0").run_id == NAMES[0]
    with pytest.raises(ResultsError, match="nearest"):
        match_id("zz", ["ab", "abc"], "")


def test_show_has_every_part(results: Path, fer: Fer) -> None:
    add_use(results / "runs" / NAMES[0], Use(study="one", title="one on ck48", arm="A", at=(("data.label_noise", 0.2),)))
    first, second = (fer("show", name, "--results", results) for name in NAMES)
    for part in ("Scores in %", "Confusion", "Settings that are not the default", "Data", "Curves", "Provenance", "Files"):
        assert f"## {part}" in first.out
    assert "study and arm: one: A · data.label\\_noise 0.2" in first.out or "one: A · data.label_noise 0.2" in first.out
    assert f"runs that start from it: {NAMES[1]}" in first.out and f"starts from: {NAMES[0]} (done)" in second.out
    low, high = proportion_confint(45, 50, method="wilson")
    assert f"| accuracy | 90.00 [{100 * low:.2f}, {100 * high:.2f}] |" in first.out
    assert "| angry | 15 | 5 | 0 | 75.00 (20) |" in first.out
    assert "| train.epochs | 7 | 40 |" in first.out
    assert f"| train/loss | {BARS[-1]}{BARS[0]} | 2 | 1 | 2 | 1 |" in first.out
    assert "warning: inert" in second.out and "underfitted: final training accuracy 40 %" in first.out
    assert "majority" not in first.out
    for name in ("failed000", "running000", "stale000", "new000", "damaged000"):
        called = fer("show", name, "--results", results)
        assert called.code == 0, called.err
        assert f"the run is {name.removesuffix('000')}; it has no score" in called.out
        assert "train.epochs" in called.out
    config = fer("show", NAMES[1][:5], "--config", "--results", results)
    assert RunConfig.model_validate_json(config.out) == RunFolder(results, NAMES[1]).result().config


def test_intervals_agree_with_statsmodels_and_with_a_bootstrap_of_images() -> None:
    counts = np.array([[30, 5, 5], [2, 20, 8], [1, 3, 26]])
    found = interval_scores(counts)
    assert found["accuracy"] == pytest.approx(proportion_confint(76, 100, method="wilson"), abs=1e-12)
    cells = np.repeat(np.arange(9), counts.ravel())
    rng = np.random.default_rng(1)
    draws = [np.bincount(rng.choice(cells, 100), minlength=9).reshape(3, 3) for _ in range(4000)]
    scores = np.array([list(compute_metrics(draw, METRICS).values()) for draw in draws])
    for place, name in enumerate(METRICS):
        assert found[name] == pytest.approx(np.percentile(scores[:, place], [2.5, 97.5]), abs=0.02), name
    assert interval_scores(counts) == found


@pytest.mark.parametrize(("both", "b", "c"), [(10, 3, 9), (0, 0, 7), (5, 4, 4), (40, 1, 0), (3, 0, 0)])
def test_mcnemar_agrees_with_statsmodels(both: int, b: int, c: int) -> None:
    first = np.array([True] * (both + b) + [False] * (c + 2))
    second = np.array([True] * both + [False] * b + [True] * c + [False] * 2)
    found = test_pair(first, second)
    assert (found.n, found.both, found.b, found.c) == (both + b + c + 2, both, b, c)
    expected = mcnemar([[both, b], [c, 2]], exact=True).pvalue if b + c else 1.0
    assert found.p == pytest.approx(min(1.0, expected), abs=1e-12)


def test_mcnemar_by_hand() -> None:
    """b = 1, c = 5: two-sided exact p = 2 (C(6,0) + C(6,1)) / 2^6 = 14 / 64."""
    first, second = np.array([True] + [False] * 5), np.array([False] + [True] * 5)
    assert test_pair(first, second).p == pytest.approx(14 / 64, abs=1e-15)


def answer(folder: RunFolder, predicted: list[str], labels: list[str], **changes: object) -> tuple[Path, object]:
    """Leave a run with these answers to images 0, 1, ... in a shuffled order."""
    classes = ["angry", "happy", "sad"]
    counts = pd.crosstab(pd.Series(labels), pd.Series(predicted)).reindex(index=classes, columns=classes, fill_value=0)
    result = fake_result(folder.run_id, changes.pop("config", None), {"test": counts.to_numpy().tolist()}, **changes)  # type: ignore[arg-type]
    folder.path.mkdir(parents=True)
    frame = pd.DataFrame({"part": "test", "sample": [f"{n:03d}" for n in range(len(labels))], "label": labels})
    frame.assign(predicted=predicted).sample(frac=1, random_state=len(folder.run_id)).to_parquet(
        folder.file("predictions.parquet"), index=False
    )
    folder.write_result(result)
    return folder.path, result


def test_diff_counts_images_by_sample_and_says_why_it_cannot(tmp_path: Path, fer: Fer) -> None:
    labels = ["angry"] * 10 + ["happy"] * 10 + ["sad"] * 10
    ours, theirs = list(labels), list(labels)
    ours[0] = ours[1] = ours[2] = "sad"
    theirs[2] = theirs[29] = "happy"
    one = answer(RunFolder(tmp_path, "aaaa"), ours, labels, config=config_of(train={"epochs": 3}))
    two = answer(RunFolder(tmp_path, "bbbbb"), theirs, labels)
    pair = pair_answers(one, two)  # type: ignore[arg-type]
    assert not isinstance(pair, str)
    assert test_pair(*pair) == test_pair(np.array(ours) == labels, np.array(theirs) == labels)
    called = fer("diff", "aaaa", "bbbbb", "--results", tmp_path)
    assert "both right on 26, only aaaa on b = 1, only bbbbb on c = 2; McNemar's exact test p = 1" in called.out
    assert "| train.epochs | 3 | 40 |" in called.out and "| accuracy, test (n = 30) | 90.00 | 93.33 | +3.33 |" in called.out
    more = answer(RunFolder(tmp_path, "cc"), [*ours, "sad"], [*labels, "sad"])
    assert "31, 30 of them the same" in str(pair_answers(one, more))  # type: ignore[arg-type]
    other = answer(RunFolder(tmp_path, "dd"), ours, labels, fingerprint="0" * 16)
    assert "different builds" in str(pair_answers(one, other))  # type: ignore[arg-type]
    renamed = answer(RunFolder(tmp_path, "ee"), ours, ["happy", *labels[1:]])
    assert pair_answers(one, renamed) == "1 of their test images have different labels"  # type: ignore[arg-type]
    called = fer("diff", "aaaa", "dd", "--results", tmp_path)
    assert "not comparable image by image" in called.out and "fingerprint of" in called.out
    shutil.rmtree(tmp_path / "runs" / "bbbbb")
    RunFolder(tmp_path, "bbbbb").path.mkdir()
    RunFolder(tmp_path, "bbbbb").write_config(RunConfig())
    called = fer("diff", "aaaa", "bbbbb", "--results", tmp_path)
    assert called.code == 0 and "no scores to compare: bbbbb is new" in called.out


def test_a_fitted_classifier_names_its_features() -> None:
    from fer_cli.inventory.rows import describe_config

    config = config_of(features={"blocks": ["hog", "sift"], "classifier": "forest"})
    assert describe_config(config)["network"] == "forest on hog+sift"
    assert describe_config(config)["differs"] == ""


def test_open_runs_depend_by_their_settings(tmp_path: Path) -> None:
    from fer_cli.tasks import task_of

    config = config_of(data={"name": "ck48"}, model={"pretrain": "synth-basic"})
    before = task_of(config).before(config)
    assert before is not None
    leave(RunFolder(tmp_path, "first"), fake_result("first", before))
    RunFolder(tmp_path, "first").write_config(before)
    RunFolder(tmp_path, "open").path.mkdir()
    RunFolder(tmp_path, "open").write_config(config)
    assert find_dependents(tmp_path, list_rows(tmp_path), ["first", "open"]) == {"first": ["open"], "open": []}


def test_uses_are_recorded_by_a_study_and_never_enter_the_id(
    finished: tuple[Path, Path], fer: Fer, data_root: Path, tmp_path: Path
) -> None:
    study, trained = finished
    rows = list_rows(trained)
    assert {row.studies[0][0] for row in rows} == {"tiny"}
    assert {place for row in rows for _, place in row.studies} == {
        f"{arm} · data.label_noise {noise}" for arm in ("CNN", "SCN-CS") for noise in (0.0, 0.3)
    }
    results = tmp_path / "results"
    shutil.copytree(trained / "runs", results / "runs")
    other = tmp_path / "other.yaml"
    text = study.read_text()
    for old, new in (("name: tiny", "name: other"), ("  CNN: {}", "  plain: {}"), ("against: CNN", "against: plain")):
        text = text.replace(old, new)
    other.write_text(text)
    called = fer("ablate", "--study", other, "--no-track", *where(data_root, results))
    assert "0 done, 0 failed, 12 skipped" in called.err, called.err
    assert len(list((results / "runs").glob("*/result.json"))) == len(rows)
    uses = [read_uses(path) for path in (results / "runs").iterdir() if path.is_dir()]
    assert all([use.study for use in one] == ["tiny", "other"] for one in uses)
    assert {use.title for one in uses for use in one} == {"tiny on ck48 (small)", "other on ck48 (small)"}
    (results / "runs" / rows[0].run_id / "studies.json").write_text("{")
    assert {row.run_id: row.studies for row in list_rows(results)}[rows[0].run_id] == ()


def test_small_text() -> None:
    assert draw_sparkline([0.0, 7.0, 3.5, float("nan")]) == f"{BARS[0]}{BARS[7]}{BARS[4]}·"
    assert draw_sparkline([1.0, 1.0]) == BARS[0] * 2 and draw_sparkline([float("inf")]) == "·"
    assert draw_sparkline(list(range(100)), 10) == draw_sparkline([9 + 10 * n for n in range(10)], 10)
    assert [write_size(size) for size in (0, 1023, 1536, 3 * 2**20, 5 * 2**30)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "3.0 MiB",
        "5.0 GiB",
    ]
    assert [write_age(seconds) for seconds in (3, 125, 7300, 200_000)] == ["3 s", "2 min", "2 h", "2 d"]


def test_an_unknown_age_or_order_is_a_user_error() -> None:
    for call in (
        lambda: parse_age("2 years"),
        lambda: sort_rows([], "x"),
        lambda: filter_rows([Row("a", "done")], study="s"),
    ):
        with pytest.raises(FerError):
            call()
    with pytest.raises(StudyError):
        parse_age("-1d")


def test_thousands_of_runs_are_listed_in_a_second_or_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand here; 5,000 took 0.6 s of processor time on one core."""
    from fer_cli import checked

    monkeypatch.setattr(checked, "SETTLED", 0)
    first = RunFolder(tmp_path, "r0000")
    leave(first, fake_result("r0000"))
    content = json.loads(first.file("result.json").read_text())
    for number in range(1, 1000):
        folder = RunFolder(tmp_path, f"r{number:04d}")
        folder.path.mkdir()
        (folder.file("predictions.parquet")).hardlink_to(first.file("predictions.parquet"))
        content["run_id"] = folder.run_id
        folder.file("result.json").write_text(json.dumps(content))
    list_rows(tmp_path)
    began = time.process_time()
    assert len(list_rows(tmp_path)) == 1000
    assert time.process_time() - began < 1.0


def test_a_goal_within_a_results_folder_is_refused(fer: Fer, tmp_path: Path) -> None:
    name = "0123456789ab"
    leave(RunFolder(tmp_path / "A", name), fake_result(name))
    before = sorted(tmp_path.rglob("*"))
    for goal in (tmp_path / "A" / "runs", tmp_path / "A" / "runs" / name):
        called = fer("merge", tmp_path / "A", "--results", goal)
        assert (called.code, called.err.count("\n")) == (2, 1)
        assert f"{goal}: lies in the results folder {tmp_path / 'A'}; choose" in called.err
    assert sorted(tmp_path.rglob("*")) == before
    for other in ("runs", "sets", "studies"):
        (tmp_path / "A" / "runs" / other).mkdir()
    assert run_ids(tmp_path / "A") == [name]
