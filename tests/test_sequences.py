"""Simulated emotional states, images drawn for them, and decoding: ceilings, random numbers, no use of test images."""

from dataclasses import replace

import numpy as np
import pytest

from fer_cli.config.emotion import DecodeSettings
from fer_cli.errors import FerError
from fer_cli.interaction import decoding
from fer_cli.interaction.decoding import (
    Decoded,
    Predictions,
    estimate_emission,
    simulate_and_decode,
)
from fer_cli.interaction.hmm import filter_states, observe, smooth_states
from fer_cli.interaction.simulate import GENERATORS, Plan, build_chains, draw_classes, draw_images, simulate
from fer_cli.interaction.states import BASIC7, StateSpace, octants, of_classes
from fer_cli.seeds import derive_seed

SPACE = of_classes(BASIC7)


def predict(n: int, seed: int, skill: float = 2.0, classes: tuple[str, ...] = BASIC7) -> Predictions:
    """A recogniser whose logits are normal, the true class's raised by ``skill``."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(classes), n)
    logits = rng.normal(size=(n, len(classes))) + skill * np.eye(len(classes))[truth]
    shares = np.exp(logits)
    return Predictions(shares / shares.sum(axis=1, keepdims=True), [classes[code] for code in truth], classes)


LOST = ("happy", "bored")
VALIDATION, TEST = predict(700, 1), predict(2000, 2)


def compute_ceilings(space: StateSpace, plan: Plan, seed: int) -> dict[str, dict[str, np.ndarray]]:
    """Return what the true parameters reach when classes are drawn from the prior emission and recognised without error.

    By ``frame``, ``filter`` and ``smoother``: accuracy of ``states`` and of ``groups`` of each sequence, (M,).
    """
    simulated = simulate(space, plan, derive_seed(seed, "score"))
    states = simulated.states
    classes = draw_classes(states, space.emission, np.random.default_rng(derive_seed(seed, "classes")))
    chain = build_chains(space, simulated.factors, simulated.hidden, plan)
    model = np.full(space.size, 1 / space.size), chain, observe(space.emission, classes)
    single = space.frame_index[classes]
    decoded = {"frame": (single, space.group_index[single])}
    for name, infer in (("filter", filter_states), ("smoother", smooth_states)):
        gamma = infer(*model).gamma
        decoded[name] = gamma.argmax(axis=2), (gamma @ space.members).argmax(axis=2)
    truth = space.group_index[states]
    return {
        name: {"states": (a == states).mean(axis=1), "groups": (b == truth).mean(axis=1)} for name, (a, b) in decoded.items()
    }


@pytest.mark.parametrize(
    ("stay", "wanted"),
    [
        (0.4, (0.686, 0.686, 0.689)),
        (0.8, (0.689, 0.739, 0.828)),
        (0.9, (0.686, 0.813, 0.906)),
        (0.95, (0.686, 0.882, 0.956)),
    ],
)
def test_ceilings_of_six_groups(stay: float, wanted: tuple[float, float, float]) -> None:
    """True parameters, classes drawn from the prior emission and seen without error; frame, filter, smoother."""
    found = compute_ceilings(octants().stay(stay), Plan(400, 500, count=0), 1)
    for name, value in zip(("frame", "filter", "smoother"), wanted, strict=True):
        right = found[name]["groups"]
        error = right.std(ddof=1) / np.sqrt(len(right))
        assert abs(right.mean() - value) < 3 * np.hypot(error, error), "both values are simulated"
    if stay == 0.9:
        eight = [found[name]["states"].mean() for name in ("frame", "filter", "smoother")]
        assert eight == pytest.approx([0.512, 0.612, 0.687], abs=0.01)


def test_no_decoder_beats_the_smoother_with_true_parameters_and_factors() -> None:
    for generator in ("chain", "unmodelled"):
        plan = Plan(100, 200, generator, tau=3.0, faded=True)
        frame, filtered, smoothed = (values["states"].mean() for values in compute_ceilings(octants(), plan, 2).values())
        assert frame < filtered < smoothed < 1


@pytest.mark.parametrize("generator", GENERATORS)
def test_generators_share_their_random_numbers(generator: str) -> None:
    plan = Plan(30, 120, generator)  # type: ignore[arg-type]
    one, other = simulate(SPACE, plan, 5), simulate(SPACE, plan, 5)
    assert (one.states == other.states).all()
    assert one.states.dtype == np.int64
    chain = simulate(SPACE, Plan(30, 120), 5)
    assert (one.factors == chain.factors).all()
    assert (one.states[:, 0] == chain.states[:, 0]).all()
    assert (one.states == chain.states).all() == (generator == "chain")
    assert (simulate(SPACE, plan, 6).states != one.states).any()


def test_factors_change_every_fifty_steps() -> None:
    factors = simulate(SPACE, Plan(500, 120), 0).factors
    assert factors.shape == (500, 119, 4)
    changes = np.flatnonzero((np.diff(factors, axis=1) != 0).any(axis=(0, 2)))
    assert changes.tolist() == [49, 99], "moves 0-49, 50-99, 100-118"
    assert factors.mean(axis=(0, 1)) == pytest.approx([0.5] * 4, abs=0.06)
    assert not simulate(SPACE, Plan(5, 120, count=0), 0).factors.any()
    assert simulate(SPACE, Plan(5, 120, sign=-1), 0).factors.min() == -1


def dwell_times(states: np.ndarray) -> np.ndarray:
    """Lengths of all stays that begin and end within the sequences."""
    found = [np.diff(np.flatnonzero(np.diff(row) != 0)) for row in states]
    return np.concatenate(found)


def test_dwell_times_are_gamma_of_the_same_mean() -> None:
    """Squared coefficient of variation: 1/3 for the gamma of shape 3, 1 - 1/mean for the chain."""
    plan = Plan(200, 2000, count=0)
    chain = dwell_times(simulate(SPACE, plan, 3).states)
    dwell = dwell_times(simulate(SPACE, replace(plan, generator="dwell"), 3).states)
    assert chain.mean() == pytest.approx(10, abs=0.3)
    assert dwell.mean() == pytest.approx(10, abs=0.3)
    assert (chain.std() / chain.mean()) ** 2 == pytest.approx(0.9, abs=0.04)
    assert (dwell.std() / dwell.mean()) ** 2 == pytest.approx(1 / 3, abs=0.04)


def test_the_unmodelled_factor_is_active_in_a_quarter_of_the_blocks() -> None:
    plan = Plan(400, 500, count=0)
    plain, disturbed = (simulate(SPACE, replace(plan, generator=name), 4) for name in ("chain", "unmodelled"))
    assert not plain.hidden.any()
    assert disturbed.hidden.mean() == pytest.approx(0.25, abs=0.02)
    assert SPACE.valence[disturbed.states].mean() < SPACE.valence[plain.states].mean() - 0.005
    assert (disturbed.states[~disturbed.hidden.any(axis=1)] == plain.states[~disturbed.hidden.any(axis=1)]).all()


def test_fading_slows_the_chain() -> None:
    moves = [(np.diff(simulate(SPACE, Plan(50, 400, faded=faded), 0).states) != 0).mean() for faded in (False, True)]
    assert moves[1] / moves[0] == pytest.approx(1 - np.exp(-0.213981), abs=0.03)


def test_images_are_of_the_state_and_drawn_once() -> None:
    states = simulate(octants(), Plan(40, 50), 1).states
    labels = np.array(TEST.labels)
    images, lengths = draw_images(states, octants(), TEST.labels, np.random.default_rng(0))
    used = images[images >= 0]
    assert len(np.unique(used)) == len(used) == lengths.sum()
    assert (np.diff((images >= 0).astype(int), axis=1) <= 0).all(), "nothing after the end of a sequence"
    shown = np.array(octants().shows)[states]
    assert (labels[used] == shown[images >= 0]).all()
    for row, length in enumerate(lengths):
        if length < 50:
            assert np.isin(np.flatnonzero(labels == shown[row, length]), used).all(), "a class that ran out"


def test_a_sequence_ends_when_its_class_runs_out() -> None:
    space = of_classes(("happy", "sad"))
    states = np.array([[0, 0, 1, 0], [1, 1, 0, 0], [0, 1, 1, 1]])
    images, lengths = draw_images(states, space, ["happy", "sad", "happy", "sad"], np.random.default_rng(0))
    assert lengths.tolist() == [3, 1, 0]
    assert sorted(images[0, :3].tolist() + images[1, :1].tolist()) == [0, 1, 2, 3]
    assert (images[0, 3:] == -1).all()
    again, full = draw_images(states, space, ["happy", "sad"], np.random.default_rng(0), replace=True)
    assert (again == states).all()
    assert full.tolist() == [4, 4, 4]
    with pytest.raises(FerError, match="no image of class 'sad'"):
        draw_images(states, space, ["happy"], np.random.default_rng(0), replace=True)


def decode(validation: Predictions, test: Predictions = TEST) -> Decoded:
    return simulate_and_decode(DecodeSettings(), validation, test, 0)


def accuracy(**settings: object) -> float:
    return simulate_and_decode(DecodeSettings(**settings), VALIDATION, TEST, 0).scores()["group_accuracy"]  # type: ignore[arg-type]


@pytest.mark.parametrize("states", ["classes", "octants"])
def test_each_step_of_the_model_helps(states: str) -> None:
    frame, filtered, smoothed, learned, perfect = (
        accuracy(states=states, **arm)
        for arm in ({"decode": "frame"}, {"decode": "filter"}, {}, {"learn": True}, {"perfect": True})
    )
    assert frame < filtered < smoothed < learned <= perfect == 1
    assert filtered > frame + 0.05


def test_recognised_steps_are_counted_on_what_is_scored() -> None:
    """Joy and happiness share a group: of an image of either, the group is certain where no state reaches one half."""
    found = simulate_and_decode(DecodeSettings(states="octants", decode="filter", sequences=20), VALIDATION, TEST, 0)
    joyful = found.kept & (found.space.group_index[found.simulated.states] == found.space.groups.index(("joy", "happiness")))
    shared = found.gamma[joyful][:, [1, 2]].sum(axis=1)
    assert ((shared >= 0.5) & (found.gamma[joyful].max(axis=1) < 0.5)).any(), "certain of the group alone"
    sure = (found.gamma[found.kept] @ found.space.members).max(axis=1) >= 0.5
    right = found.predicted_group[found.kept] == found.space.group_index[found.simulated.states[found.kept]]
    assert found.scores()["recognised"] == (sure & right).sum() > joyful.sum() / 2


@pytest.mark.parametrize("how", ["frame", "filter", "smoother"])
def test_states_that_are_classes_are_recognised_by_themselves(how: str) -> None:
    found = simulate_and_decode(DecodeSettings(decode=how, sequences=20), VALIDATION, TEST, 0)  # type: ignore[arg-type]
    right = found.predicted[found.kept] == found.simulated.states[found.kept]
    assert found.scores()["recognised"] == (right & (found.gamma[found.kept].max(axis=1) >= 0.5)).sum() > 0


def test_factors_help_where_they_are_strong_and_the_model_is_right() -> None:
    strong = {"tau": 4.0, "decode": "filter", "sequences": 40}
    assert accuracy(**strong, incentive=True) > accuracy(**strong)


def test_settings_without_effect_are_known() -> None:
    assert DecodeSettings(learn=True, fading=True, psi=0.1, pseudo_count=0).idle() == {}
    assert list(DecodeSettings(decode="frame", learn=True, fading=True, psi=0.1).idle()) == ["learn", "fading", "psi"]
    assert DecodeSettings(perfect=True, model_stay=0.5).idle() == {"model_stay": "perfect uses the generator's parameters"}
    assert list(DecodeSettings(calmness_positive=True, fit_sequences=3).idle()) == ["fit_sequences", "calmness_positive"]


def test_efficacy_names_the_advice() -> None:
    settings = DecodeSettings(learn=True, incentive=True, tau=3.0, efficacy={"raise-fun": {"sad": 4.0}})
    table = simulate_and_decode(settings, VALIDATION, TEST, 0).frame()
    advised = table.loc[(table["predicted"] == "sad") & (table["tea"] < 0.4), "factors"]
    assert advised.str.contains("raise-fun").mean() > 0.9
    with pytest.raises(FerError, match="did you mean raise-fun"):
        simulate_and_decode(DecodeSettings(efficacy={"raise-funn": {}}), VALIDATION, TEST, 0)


@pytest.mark.parametrize("how", ["frame", "filter", "smoother"])
def test_advice_does_not_know_the_future(how: str) -> None:
    """Happy, then unseen for four steps, then angry or happy: a smoother knows which before, advice may not."""
    settings = DecodeSettings(decode=how)  # type: ignore[arg-type]
    simulated = simulate(SPACE, Plan(1, 10, count=0), 0)
    model = decoding.Model(np.full(7, 1 / 7), SPACE.transition, SPACE.emission)
    found = []
    for later in ("angry", "happy"):
        shares = np.full((1, 10, 7), np.nan)
        shares[0, 0], shares[0, 5:] = np.eye(7)[BASIC7.index("happy")], np.eye(7)[BASIC7.index(later)]
        images, lengths = np.arange(10)[None], np.array([10])
        found.append(decoding.decode_sequences(settings, SPACE, model, simulated, images, lengths, shares))
    one, other = found
    for name in ("tea", "in_region", "subset", "horizon", "unmet", "count"):
        mine, theirs = getattr(one.advice, name)[0], getattr(other.advice, name)[0]
        assert mine[:5].tolist() == theirs[:5].tolist(), name
    assert one.advice.tea[0, -1] < 0 < other.advice.tea[0, -1]
    assert (one.gamma[0, :5] != other.gamma[0, :5]).any() == (how == "smoother"), "what is scored may know it"


def test_arms_of_one_seed_share_images_and_states() -> None:
    arms = [{"decode": "frame"}, {"learn": True}, {"learn": True, "incentive": True, "fading": True}, {"perfect": True}]
    found = [simulate_and_decode(DecodeSettings(**arm), VALIDATION, TEST, 3) for arm in arms]
    for one in found[1:]:
        assert (one.images == found[0].images).all()
        assert (one.simulated.states == found[0].simulated.states).all()
    other = simulate_and_decode(DecodeSettings(decode="frame"), VALIDATION, TEST, 4)
    assert not np.array_equal(other.images, found[0].images)


def test_no_test_image_fits_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A and B are the same whatever the test images are; and Baum-Welch sees probabilities of validation images alone."""
    known = {row.tobytes() for row in VALIDATION.probabilities}
    seen: list[np.ndarray] = []
    whole = decoding.fit

    def spy(*args: np.ndarray, **kwargs: object) -> object:
        seen.append(args[3])
        return whole(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(decoding, "fit", spy)
    settings = DecodeSettings(learn=True, incentive=True, fit_sequences=20)
    one, other = (
        simulate_and_decode(settings, VALIDATION, predict(900, seed, skill), 0) for seed, skill in ((5, 2.0), (6, 0.0))
    )
    assert (one.model.transition == other.model.transition).all()
    assert (one.model.emission == other.model.emission).all()
    assert len(seen) == 2
    assert {row.tobytes() for row in seen[0].reshape(-1, 7)} <= known


def test_emission_is_the_confusion_plus_one() -> None:
    shares = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4], [np.nan, np.nan]])
    found = Predictions(shares, ["happy", "happy", "sad", "sad", "sad"], ("happy", "sad"))
    assert estimate_emission(found, of_classes(("happy", "sad"))) == pytest.approx(np.array([[3 / 4, 1 / 4], [0.5, 0.5]]))
    eight = estimate_emission(VALIDATION, octants())
    assert (eight[1] == eight[2]).all(), "joy and happiness show the same class"
    assert np.abs(eight.sum(axis=1) - 1).max() < 1e-12


def test_frame_by_frame_is_the_recogniser_itself() -> None:
    found = simulate_and_decode(DecodeSettings(decode="frame"), VALIDATION, TEST, 0)
    table = found.frame()
    names = np.array(BASIC7)[TEST.probabilities.argmax(axis=1)]
    assert table["predicted"].tolist() == names[table["image"]].tolist()
    assert table["truth"].tolist() == np.array(TEST.labels)[table["image"]].tolist()
    assert found.scores()["accuracy"] == pytest.approx((table["predicted"] == table["truth"]).mean())
    assert found.scores()["n"] == len(table) == found.lengths.sum()


def test_the_trace_has_names_and_advice() -> None:
    found = simulate_and_decode(DecodeSettings(states="octants", learn=True), VALIDATION, TEST, 0)
    table = found.frame()
    wanted = ["sequence", "step", "t_min", "tea", "in_region", "factors", "count", "horizon", "unmet", "image"]
    wanted += ["truth", "predicted", "truth_group", "predicted_group", *[f"gamma/{name}" for name in octants().names]]
    assert sorted(table.columns) == sorted(wanted)
    assert set(table["truth_group"]) <= {
        "excitement",
        "joy/happiness",
        "relaxation/calmness",
        "depression",
        "tension",
        "anger",
    }
    below = table["tea"] < 0.4 - 1e-9
    assert (table["count"] > 0).tolist() == below.tolist()
    assert (table.loc[~below, "factors"] == "none").all()
    gamma = table[[f"gamma/{name}" for name in octants().names]].to_numpy()
    assert (table["predicted"] == np.array(octants().names)[gamma.argmax(axis=1)]).all()


def test_steps_without_a_face_are_missing() -> None:
    rng = np.random.default_rng(0)
    shares = np.where(rng.random((2000, 1)) < 0.3, np.nan, TEST.probabilities)
    found = simulate_and_decode(DecodeSettings(), VALIDATION, replace(TEST, probabilities=shares), 0)
    assert isinstance(found, Decoded)
    assert np.isfinite(found.gamma).all()
    assert accuracy(decode="frame") < found.scores()["accuracy"] < accuracy()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda: decode(predict(50, 0, classes=("happy", "sad"))), "different classes"),
        (
            lambda: decode(replace(VALIDATION, labels=["hapy"] * 700)),
            "validation images have class 'hapy'; did you mean happy",
        ),
        (lambda: decode(replace(VALIDATION, probabilities=VALIDATION.probabilities * 2)), "validation predictions: image 0"),
        (lambda: decode(replace(VALIDATION, labels=["happy"])), "shape"),
        (lambda: decode(VALIDATION, Predictions(TEST.probabilities[:0], [], BASIC7)), "test predictions have shape"),
        (lambda: decode(VALIDATION, replace(TEST, probabilities=-TEST.probabilities)), "test predictions: image 0"),
        (lambda: simulate(SPACE, Plan(3, 5, "chains"), 0), "did you mean chain"),  # type: ignore[arg-type]
        (lambda: simulate(SPACE, Plan(0), 0), "at least 1 sequence"),
        (lambda: simulate(SPACE, Plan(3, sign=2.0), 0), "from -1 to 1"),
        (lambda: decode(VALIDATION, Predictions(np.eye(7)[:1], ["disgust"], BASIC7)), "no test image"),
        (lambda: decode(predict(70, 1, classes=LOST), predict(70, 2, classes=LOST)), "class 'bored' has no valence"),
    ],
)
def test_bad_input_is_one_line(change: object, words: str) -> None:
    with pytest.raises(FerError, match=words) as caught:
        change()  # type: ignore[operator]
    assert "\n" not in str(caught.value)
