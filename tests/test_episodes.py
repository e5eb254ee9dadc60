"""Episodes within clips: phases, random places, and classes that only the order of frames tells apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fer_cli.data.cards import card_names, load_card
from fer_cli.synthetic.actions import UNITS
from fer_cli.synthetic.clips import draw_clip
from fer_cli.synthetic.episodes import EXPRESSION, GESTURE, PHASES, QUICK, Timing, draw_episode, reverse, shape_episode
from fer_cli.synthetic.expressions import RECIPES
from fer_cli.synthetic.figures import shape_body
from fer_cli.synthetic.gestures import PERIODIC, draw_gesture, draw_view
from fer_cli.synthetic.identities import make_identity
from fer_cli.synthetic.joints import locate_joints
from fer_cli.synthetic.poses import move_bones

TIMINGS = {"basic": EXPRESSION, "learning": EXPRESSION, "order": QUICK, "gesture": GESTURE}
CLIPS = {name: card.embedded for name in card_names() if (card := load_card(name)).embedded and card.embedded.frames}


@given(frames=st.integers(16, 40), seed=st.integers(0, 1000), timing=st.sampled_from([EXPRESSION, GESTURE, QUICK]))
def test_an_episode_rises_holds_and_falls_and_its_phases_say_so(frames: int, seed: int, timing: Timing) -> None:
    episode = draw_episode(frames, np.random.default_rng(seed), timing)
    intensity, phase = episode.intensity, np.array(PHASES)[episode.phase]
    assert intensity.shape == phase.shape == (frames,)
    assert (np.diff(episode.phase) >= 0).all()
    assert (intensity[np.isin(phase, ("before", "after"))] == 0).all()
    assert (intensity[phase == "apex"] == 1).all()
    for name, sign in (("onset", 1), ("offset", -1)):
        assert (np.diff(intensity[phase == name]) * sign > 0).all()
    if timing is not QUICK:  # which may be cut before its apex
        assert intensity.max() > 0.8
        assert 0 <= episode.middle <= frames - 0.5


@pytest.mark.parametrize("name", CLIPS)
def test_no_fixed_frame_shows_the_apex_in_most_clips(name: str) -> None:
    options = CLIPS[name]
    assert options is not None
    if set(load_card(name).classes) <= set(PERIODIC):
        return  # no apex: every frame is one of a motion that goes on
    rng = np.random.default_rng(0)
    lengths, timing = rng.integers(options.frames[0], options.frames[1] + 1, 4000), TIMINGS[options.recipes]
    drawn = [draw_episode(int(frames), rng, timing, slow=bool(rng.integers(2))) for frames in lengths]
    shown = [episode.intensity >= 0.8 for episode in drawn]
    by_number = [np.mean([one[k] for one in shown if len(one) > k]) for k in range(options.frames[1])]
    by_place = [np.mean([one[round(k * (len(one) - 1))] for one in shown]) for k in np.linspace(0, 1, 33)]
    assert max(*by_number, *by_place) <= 0.3
    within = [one.mean() for one in shown]
    assert np.mean(within) > 0.15
    if options.recipes != "order":
        assert min(within) > 0


@given(frames=st.integers(16, 28), seed=st.integers(0, 1000))
def test_at_least_30_percent_of_a_clip_are_within_its_gesture(frames: int, seed: int) -> None:
    episode = draw_episode(frames, np.random.default_rng(seed), GESTURE)
    assert np.isin(episode.phase, [PHASES.index(name) for name in ("onset", "apex", "offset")]).mean() >= 0.3


def test_a_slow_episode_is_a_quick_one_backwards() -> None:
    for seed in range(20):
        quick, slow = (draw_episode(32, np.random.default_rng(seed), QUICK, slow) for slow in (False, True))
        np.testing.assert_array_equal(slow.intensity, quick.intensity[::-1])
        assert [PHASES[p] for p in slow.phase] == [PHASES[4 - p] for p in quick.phase[::-1]]
        assert slow.middle == 31 - quick.middle


def test_an_episode_by_hand() -> None:
    episode = shape_episode(12, (1, 3, 4, 8))
    values = [0, 0, 0.5, 1, 1, 0.84375, 0.5, 0.15625, 0, 0, 0, 0]
    np.testing.assert_allclose(episode.intensity, values)
    assert [PHASES[p] for p in episode.phase] == ["before", "onset", "onset", "apex", *["offset"] * 4, *["after"] * 4]
    assert (episode.middle, reverse(episode).middle) == (4.5, 6.5)
    assert episode.truth(5) == {"intensity": 0.8438, "phase": "offset"}


def score(features: np.ndarray, labels: np.ndarray) -> float:
    """Return the accuracy of a logistic regression on the second half of people, fitted on the first."""
    half = len(labels) // 2
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    flat = features.reshape(len(labels), -1)
    return float(model.fit(flat[:half], labels[:half]).score(flat[half:], labels[half:]))


def order_features(frames: np.ndarray, least: float) -> np.ndarray:
    """Return (n, 4, k): largest rise and fall between successive frames, and how often values (n, F, k) rise and fall."""
    steps = np.diff(frames, axis=1)
    return np.stack([steps.max(1), steps.min(1), (steps > least).sum(1), (steps < -least).sum(1)], 1)


@pytest.mark.parametrize("expression", ["happy", pytest.param("surprise", marks=pytest.mark.slow)])
def test_only_the_order_of_frames_tells_quick_from_slow(expression: str) -> None:
    options = CLIPS["synth-order"]
    assert options is not None and options.rate is not None
    people = [make_identity(options.seed, number, len(UNITS)) for number in range(10)]
    labels, clips = np.arange(1200) % 2, []
    for number, label in enumerate(labels):
        name = f"{expression}-{('quick', 'slow')[label]}"
        person, rng = people[number * len(people) // len(labels)], np.random.default_rng(number)
        recipe = RECIPES["order"][name]
        drawn = draw_clip(recipe, name, 32, rng, options.difficulty, options.pose, options.speech, options.rate)
        clips.append([(moment.expression.units * person.habit * person.asymmetry).ravel() for moment in drawn])
    units = np.array(clips)
    assert max(score(units[:, frame], labels) for frame in range(0, 32, 2)) <= 0.6
    assert score(units.mean(1), labels) <= 0.6
    assert score(np.sort(units, 1), labels) <= 0.6
    assert score(order_features(units, 0.02), labels) >= 0.95


@pytest.mark.slow
def test_only_the_order_of_frames_tells_beckoning_from_waving_off() -> None:
    options = CLIPS["synth-gesture-time"]
    assert options is not None and options.rate is not None
    people = [make_identity(options.seed, number, len(UNITS)) for number in range(6)]
    bones = [shape_body(person.stream, person.female)[1] for person in people]
    labels, clips = np.arange(240) % 2, []
    for number, label in enumerate(labels):
        who, rng = number * len(people) // len(labels), np.random.default_rng(number)
        poses, _ = draw_gesture(PERIODIC[label], 16, rng, options.difficulty, options.rate)
        view = draw_view(rng)
        clips.append(
            [
                locate_joints(people[who], move_bones(bones[who], pose, fingers=False), view, options.size).joints
                for pose in poses
            ]
        )
    joints = np.array(clips).reshape(len(labels), 16, -1)
    assert score(joints.reshape(len(labels) * 16, -1), labels.repeat(16)) <= 0.6, "of any single frame"
    assert score(joints.mean(1), labels) <= 0.6
    assert score(np.sort(joints, 1), labels) <= 0.6
    assert score(order_features(joints, 0.5), labels) >= 0.9
