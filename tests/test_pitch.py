"""The pitch of a head from five points: its geometry, its constants on faces drawn anew, and the baseline of a person."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fer_cli.interaction.pitch import LINE, HeadPitch, estimate_pitch, measure_points
from fer_cli.interaction.thresholds import HeadThresholds
from fer_cli.synthetic.actions import UNITS
from fer_cli.synthetic.expressions import RECIPES, draw_expression
from fer_cli.synthetic.faces import Look, make_face
from fer_cli.synthetic.identities import make_identity

PEOPLE, FACES, FRONTAL = 20, 12, 4
UPRIGHT = np.array([[30.0, 40.0], [70, 40], [50, 60], [34, 80], [66, 80]])
"""Eyes 40 apart, mouth 32 wide and 40 below them, the nose half way: r = .5, w = .8."""


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Five points (N, 5, 2), true pitch (N,) and person (N,) of faces with six expressions and any pitch.

    The first faces of a person look ahead.
    """
    look = Look(occluded=0.0, difficulty=0.3, pose=12.0)
    labels = list(RECIPES["learning"])
    points, pitch, person = [], [], []
    for number in range(PEOPLE):
        who = make_identity(5, number, len(UNITS))
        for face in range(FACES):
            rng = np.random.default_rng([5, number, face])
            label = labels[(face + number) % len(labels)]
            drawn = draw_expression(RECIPES["learning"][label], label, rng, look.difficulty, look.pose)
            turned = rng.normal(0, 3) if face < FRONTAL else rng.uniform(-30, 12)
            at = make_face(who, replace(drawn, pitch=float(turned)), look, 32, rng).landmarks
            points.append(np.stack([at[36:42].mean(0), at[42:48].mean(0), at[30], at[48], at[54]]))
            pitch.append(turned)
            person.append(number)
    return np.array(points), np.array(pitch), np.array(person)


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Share of pairs of a positive and a negative in which the positive scores higher."""
    return float(np.mean(scores[positive][:, None] > scores[~positive][None]))


def test_the_measures_of_a_face_by_hand() -> None:
    r, w = measure_points(UPRIGHT[None])
    assert (r[0], w[0]) == pytest.approx((0.5, 0.8))
    assert estimate_pitch(UPRIGHT[None])[0] == pytest.approx(LINE[0] + 0.5 * LINE[1] + 0.8 * LINE[2])


@pytest.mark.parametrize("angle", [-40.0, 15.0, 90.0])
@pytest.mark.parametrize("scale", [0.01, 3.0])
def test_roll_size_and_place_do_not_matter(angle: float, scale: float) -> None:
    turn = np.deg2rad(angle)
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    assert np.concatenate(measure_points((UPRIGHT @ matrix.T + (7, -3))[None])) == pytest.approx([0.5, 0.8])


def test_a_nose_nearer_to_the_mouth_is_a_bowed_head_and_a_wider_mouth_is_not() -> None:
    lower, wider = UPRIGHT.copy(), UPRIGHT.copy()
    lower[2, 1] += 6
    wider[3:, 0] += (-8, 8)
    start = estimate_pitch(UPRIGHT[None])[0]
    assert estimate_pitch(lower[None])[0] < start - 15
    assert estimate_pitch(wider[None])[0] > start


def test_degenerate_faces_have_no_pitch() -> None:
    flat, one_eye = np.zeros((5, 2)), UPRIGHT.copy()
    one_eye[1] = one_eye[0]
    assert np.isnan(estimate_pitch(np.stack([flat, one_eye]))).all()


def test_the_constants_hold_on_faces_drawn_anew(sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    points, pitch, person = sample
    ahead = np.tile(np.arange(FACES) < FRONTAL, PEOPLE)
    plain = estimate_pitch(points)
    assert np.corrcoef(plain, pitch)[0, 1] > 0.8
    assert np.abs(plain - pitch)[~ahead].mean() < 7.5
    based = plain.copy()
    for number in range(PEOPLE):
        mine = person == number
        based[mine] -= np.median(plain[mine & ahead])
    rest, bowed = ~ahead, pitch < -20
    assert np.abs(based - pitch)[rest].mean() < 4.5 < np.abs(plain - pitch)[rest].mean()
    assert auc(-based[rest], bowed[rest]) > 0.95
    assert abs((based - pitch)[rest & bowed].mean()) < 6, "calibrated: not shrunk towards frontal faces"


def fit_line(points: np.ndarray, pitch: np.ndarray) -> tuple[float, float, float]:
    """Return the calibrated line of points (N, 5, 2) and true pitch (N,) in degrees."""
    columns = np.stack([np.ones(len(pitch)), *measure_points(points)], 1)
    line = np.linalg.lstsq(columns, pitch, rcond=None)[0]
    slope, start = np.polyfit(pitch, columns @ line, 1)
    line = line / slope
    line[0] -= start / slope
    return float(line[0]), float(line[1]), float(line[2])


def test_refitted_constants_are_near_those_in_the_code(sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    points, pitch, _ = sample
    line = fit_line(points, pitch)
    assert line[1] == pytest.approx(LINE[1], rel=0.25)
    assert line[2] == pytest.approx(LINE[2], rel=0.5)
    slope, start = np.polyfit(pitch, estimate_pitch(points, line), 1)
    assert (slope, start) == pytest.approx((1.0, 0.0), abs=1e-9)


def test_the_first_seconds_of_a_person_are_the_baseline() -> None:
    head = HeadPitch(HeadThresholds())
    zero = float(estimate_pitch(UPRIGHT[None])[0])
    for t in range(10):
        assert head.push(float(t), "a", UPRIGHT) == pytest.approx(zero)
    assert head.push(10.0, "a", UPRIGHT) == pytest.approx(0.0)
    bowed = UPRIGHT.copy()
    bowed[2, 1] += 10
    pitch = head.push(11.0, "a", bowed)
    assert pitch == pytest.approx(LINE[1] * 0.25)
    assert head.is_down(pitch) is True
    assert head.push(12.0, "b", bowed) == pytest.approx(zero + LINE[1] * 0.25), "another person has another baseline"


def test_no_face_is_no_pitch_and_minus_twenty_is_not_bowed() -> None:
    head = HeadPitch(HeadThresholds())
    assert head.push(0.0, "a", None) is None
    assert head.push(1.0, "a", np.zeros((5, 2))) is None
    assert [head.is_down(pitch) for pitch in (None, -20.0, -20.001)] == [None, False, True]
