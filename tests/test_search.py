"""The trials of ``fer search``: as many for every arm, on validation images; what a study's block may say."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_cli.config import DataConfig, FeaturesConfig, LearningConfig, RunConfig
from fer_cli.errors import StudyError
from fer_cli.expand import PEOPLE_KNOWN, expand
from fer_cli.places import shipped_folder
from fer_cli.recipes import Recipe, Tried, choose, read_recipe
from fer_cli.search import Search, rate_factors
from fer_cli.study import Choice, Study, load_study, study_names
from fer_cli.tasks import task_of
from fer_cli.trials import list_own, list_trials

STUDY = """
name: tried
question: q?
base:
  data: {name: ck48, image_size: 24}
  train: {epochs: 10, lr: 1e-3}
seeds: [0, 1, 2]
arms:
  CNN: {}
  SCN: {learning.method: scn}
  SE: {model.attention: se, train.lr: 2e-3}
grid: {data.label_noise: [0.0, 0.3]}
report: {against: CNN}
search:
  knobs:
    SCN: {learning.beta: [0.5, 0.7, 0.9]}
    SE: {model.reduction: [4, 8, null]}
"""
SEARCHED = ("scn-cs", "sge-bsconv", "cbam", "soft-threshold", "center-loss", "networks", "robustness-noise")


def load(text: str, folder: Path) -> Study:
    path = folder / "tried.yaml"
    path.write_text(text)
    return load_study(str(path))


def trials_of(study: Study, profile: str = "small") -> dict[str, list[tuple[dict[str, Any], list[RunConfig]]]]:
    own = list_own(study, Choice(profile), lambda _: PEOPLE_KNOWN)
    return {
        arm: [(changes, [run.config for run in runs]) for changes, runs in trials]
        for arm, trials in list_trials(study, own).items()
    }


def test_each_arm_gets_its_rates_and_its_knob_or_finer_rates(tmp_path: Path) -> None:
    found = {arm: [changes for changes, _ in trials] for arm, trials in trials_of(load(STUDY, tmp_path)).items()}
    assert found == {
        "CNN": [{}, *({"train.lr": rate} for rate in (3.333e-4, 3e-3, 5.774e-4, 1.732e-3))],
        "SCN": [{}, {"train.lr": 3.333e-4}, {"train.lr": 3e-3}, {"learning.beta": 0.5}, {"learning.beta": 0.9}],
        "SE": [{}, {"train.lr": 6.667e-4}, {"train.lr": 6e-3}, {"model.reduction": 4}, {"model.reduction": 8}],
    }


def test_trials_are_shortened_runs_of_the_first_seeds_at_one_grid_point(tmp_path: Path) -> None:
    more = "search:\n  seeds: 2\n  epochs: 0.25\n  images: 40\n  at: {data.label_noise: 0.3}\n"
    study = load(STUDY.replace("search:\n", more), tmp_path)
    for trials in trials_of(study).values():
        for changes, configs in trials:
            assert [config.seed for config in configs] == [config.data.fold for config in configs] == [0, 1]
            for config in configs:
                assert config.trial
                assert (config.train.epochs, config.data.max_images, config.data.label_noise) == (2, 40, 0.3)  # round(2.5)
                assert changes.items() <= config.flat().items()
    own = {run.config.run_id("x") for run in expand(study, Choice())}
    assert not own & {c.run_id("x") for trials in trials_of(study).values() for _, configs in trials for c in configs}


@settings(max_examples=60, deadline=None)
@given(
    rates=st.sampled_from([3, 5, 7, 9]),
    seeds=st.integers(1, 3),
    knobs=st.dictionaries(
        st.sampled_from(["a", "b", "c"]),
        st.lists(st.floats(0, 0.9).map(lambda x: round(x, 2)), min_size=2, max_size=9, unique=True),
        max_size=3,
    ),
    own=st.lists(st.sampled_from([0.0, 0.1, 0.5]), min_size=3, max_size=3),
    lr=st.lists(st.sampled_from([1e-4, 1e-3, 0.02]), min_size=3, max_size=3),
)
def test_every_arm_of_any_study_gets_the_same_effort(
    rates: int, seeds: int, knobs: dict[str, list[float]], own: list[float], lr: list[float]
) -> None:
    heads = ["vgg-small", "cnn3", "cnn6"]
    arms = {
        name: {"model.backbone": heads[i], "learning.label_smoothing": own[i], "train.lr": lr[i]}
        for i, name in enumerate("abc")
    }
    block = {"rates": rates, "seeds": seeds, "knobs": {k: {"learning.label_smoothing": v} for k, v in knobs.items()}}
    content = {"name": "any", "question": "q?", "arms": arms, "report": {"against": "a"}, "search": block}
    trials = trials_of(Study.model_validate(content))
    assert len({(len(found), *(len(configs) for _, configs in found)) for found in trials.values()}) == 1
    for i, (arm, found) in enumerate(trials.items()):
        assert len({config.model_dump_json() for _, configs in found for config in configs}) == seeds * len(found)
        tried = {config.train.lr / lr[i] for _, configs in found for config in configs}
        half = 3.0 ** (rates // 2)
        assert min(tried) == pytest.approx(1 / half, rel=1e-3)
        assert max(tried) == pytest.approx(half, rel=1e-3)
        smooth = {config.learning.label_smoothing for _, configs in found for config in configs}
        assert smooth == {own[i], *knobs.get(arm, [])}


@pytest.mark.parametrize("rates", [3, 5, 7, 9])
def test_rates_are_distinct_with_the_own_one_first(rates: int) -> None:
    every = rate_factors(40, rates)
    assert every[0] == 1
    assert len(set(every)) == 40
    assert sorted(every[:rates]) == pytest.approx([3.0 ** (n - rates // 2) for n in range(rates)], rel=1e-3)
    assert all(rate_factors(n, rates) == every[:n] for n in range(rates, 40))


@pytest.mark.parametrize("name", SEARCHED)
@pytest.mark.parametrize("profile", ["small", "paper"])
def test_shipped_studies_list_their_trials(name: str, profile: str) -> None:
    study = load_study(name)
    trials = trials_of(study, profile)
    assert len({len(found) for found in trials.values()}) == 1
    assert set(study.search.knobs) <= set(trials)
    assert all(len(values) == 3 for knob in study.search.knobs.values() for values in knob.values())


@pytest.mark.parametrize("name", SEARCHED)
def test_a_search_takes_about_half_of_its_study(name: str) -> None:
    study = load_study(name)
    trained = [task_of(run.config).training(run.config) or run.config for run in expand(study, Choice())]
    tried = [config for found in trials_of(study).values() for _, configs in found for config in configs]

    def work(configs: list[RunConfig]) -> float:
        different = {config.model_dump_json(): config for config in configs}
        return sum(config.train.epochs * (config.data.max_images or 10_000) for config in different.values())

    assert work(tried) <= 0.55 * work(trained)


BAD = {
    "rates: 4": "rates: 4 is even",
    "rates: 11": "search.rates",
    "seeds: 4": "search.seeds: 4 exceeds the study's 3 seeds",
    "epochs: 0": "search.epochs",
    "images: 0": "search.images",
    "epoch: 0.5": "epoch",
    "at: {data.label_nose: 0.3}": "'data.label_nose' is in neither grid nor levels; did you mean data.label_noise",
    "at: {data.label_noise: 0.4}": "search.at.data.label_noise: '0.4' is not one of its values",
    "knobs: {SNC: {learning.beta: [0.5, 0.7]}}": "search.knobs: no arm 'SNC'; did you mean",
    "knobs: {SCN: {learning.beta: [0.5]}}": "search.knobs.SCN.learning.beta",
    "knobs: {SCN: {learning.beta: [0.5, 0.5]}}": "without duplicates",
    "knobs: {SCN: {learning.beta: [0.5, 0.7], learning.relabel_margin: [0.1, 0.2]}}": "give one setting, not 2",
    "knobs: {SCN: {train.lr: [0.5, 0.7]}}": "train.lr cannot be a knob",
    "knobs: {SCN: {train.epochs: [5, 10]}}": "train.epochs cannot be a knob",
    "knobs: {SCN: {data.max_images: [5, 10]}}": "data.max_images cannot be a knob",
    "knobs: {SCN: {learning.betta: [0.5, 0.7]}}": "no setting 'learning.betta'; did you mean learning.beta",
    "knobs: {SCN: {learning.beta: [0.5, 1.7]}}": "search.knobs.SCN: learning.beta",
    "knobs: {CNN: {learning.beta: [0.5, 0.6]}}": "search.knobs.CNN: learning.beta has no effect",
}


@pytest.mark.parametrize("line", BAD)
def test_a_wrong_block_is_one_line(line: str, tmp_path: Path) -> None:
    head = STUDY.split("search:", maxsplit=1)[0]
    with pytest.raises(StudyError) as error:
        trials_of(load(f"{head}search: {{{line}}}\n", tmp_path))
    assert BAD[line] in str(error.value)
    assert "\n" not in str(error.value)


def test_a_trial_too_short_to_relabel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = load(STUDY, tmp_path)
    monkeypatch.setattr(LearningConfig, "first_relabel_epoch", lambda _, epochs: epochs + 1)
    with pytest.raises(StudyError, match="arm SCN: a trial of 10 epochs ends before relabelling starts, in epoch 11"):
        trials_of(study)


def test_what_has_no_validation_part_cannot_be_searched(tmp_path: Path) -> None:
    for setting, words in (
        ("features: {blocks: [hog], classifier: linear-svm}", "select nothing on a validation part"),
        ("data.leak: val", "leaves no validation part apart from training"),
        ("data.leak: test", "leaves no validation part apart from training"),
    ):
        text = STUDY.split("arms:", maxsplit=1)[0] + f"arms: {{a: {{{setting}}}}}\nreport: {{against: a}}\n"
        with pytest.raises(StudyError, match=words):
            trials_of(load(text, tmp_path))
    with pytest.raises(ValueError, match="no validation part"):
        RunConfig(trial=True, features=FeaturesConfig(blocks=["hog"]))
    assert RunConfig(trial=True, data=DataConfig(name="a", test="b")).sets == ("a",)


def test_levels_of_test_images_are_not_tried_apart(tmp_path: Path) -> None:
    text = STUDY.replace("data.label_noise: [0.0, 0.3]", "corrupt.noise: [0.1, 0.3]")
    trials = trials_of(load(text, tmp_path))
    assert not any(config.corrupt.active for found in trials.values() for _, configs in found for config in configs)


def test_a_study_whose_grid_is_rates_needs_no_block_to_load_but_cannot_be_searched(tmp_path: Path) -> None:
    text = STUDY.split("grid:", maxsplit=1)[0].replace(", train.lr: 2e-3", "") + "grid: {train.lr: [1e-3, 1e-2]}\n"
    study = load(text + "report: {against: CNN}\n", tmp_path)
    with pytest.raises(StudyError, match=r"tried\.yaml: search: train\.lr is varied by grid"):
        trials_of(study)


@pytest.mark.parametrize(
    ("scores", "rule", "best"),
    [
        ([[0.5], [0.6], [0.6]], "val/accuracy", 1),
        ([[0.6], [0.6], [0.5]], "val/accuracy", 0),  # a tie goes to the arm's own settings, which are first
        ([[0.5, 0.7], [0.65, 0.65], [0.9, None]], "val/macro_f1", 1),  # a diverged seed leaves no mean
        ([[0.5], [0.4], [0.6]], "val/loss", 1),
        ([[None], [0.2], [0.1]], "val/accuracy", 1),
    ],
)
def test_the_best_mean_is_chosen(scores: list[list[float | None]], rule: str, best: int) -> None:
    tried = [Tried(settings={"train.lr": i} if i else {}, scores=one) for i, one in enumerate(scores)]
    assert choose(tried, rule) is tried[best]
    own_last = [*tried[1:], tried[0]]
    assert choose(own_last, rule) is tried[best]


def test_nothing_is_chosen_where_all_diverged() -> None:
    assert choose([Tried(settings={}, scores=[None])], "val/loss") is None


def test_shipped_recipes_are_of_shipped_studies() -> None:
    for path in (shipped_folder("experiments") / "recipes").glob("*.yaml"):
        recipe: Recipe = read_recipe(path)
        assert recipe.name == path.stem
        assert recipe.study in study_names()
        assert not recipe.less_tried


def test_a_search_has_defaults() -> None:
    assert Search() == Search(rates=3, seeds=1, epochs=1.0, knobs={})
