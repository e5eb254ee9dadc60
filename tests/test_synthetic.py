"""Embedded faces: the mesh moves as FACS says, pictures carry their truth, the same seed gives the same bytes."""

from collections.abc import Callable
from dataclasses import fields, replace

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_cli.data.cards import CANONICAL, Embedded
from fer_cli.synthetic.actions import ACTION_UNITS, UNITS, action_matrix, combine_units
from fer_cli.synthetic.annotators import ERROR_RATES, annotate, confusion
from fer_cli.synthetic.expressions import RECIPES, Expression, draw_expression
from fer_cli.synthetic.faces import Look, express, make_face, movement, rotation
from fer_cli.synthetic.identities import Identity, make_identity
from fer_cli.synthetic.ingredients import Ingredients
from fer_cli.synthetic.landmarks import landmark_ids
from fer_cli.synthetic.mesh import REGIONS, head_mesh
from fer_cli.synthetic.occluders import choose_occluder
from tests.conftest import Called
from tests.sets import render_set

Fer = Callable[..., Called]
SMALL = Embedded(recipes="basic", images=48, subjects=6, size=32, seed=5)
EVERY = list(RECIPES["basic"])


def shown(person: Identity, **intensities: float) -> np.ndarray:
    """Return the landmarks (68, 3) of a person who shows the given units, looking ahead."""
    units = np.zeros((2, len(UNITS)), np.float32)
    for unit, value in intensities.items():
        units[:, UNITS.index(unit)] = value
    points, _ = express(person, Expression("neutral", units, 0, 0, 0, (0, 0)))
    return points[landmark_ids()]


def mouth_width(at: np.ndarray) -> float:
    return float(at[54, 0] - at[48, 0])


def corner_height(at: np.ndarray) -> float:
    """Return how high the mouth's corners are above the middle of the lips."""
    return float(at[[48, 54], 1].mean() - at[[51, 57], 1].mean())


def mouth_opening(at: np.ndarray) -> float:
    return float(at[[61, 62, 63], 1].mean() - at[[67, 66, 65], 1].mean())


def eye_opening(at: np.ndarray) -> float:
    return float(at[[37, 38, 43, 44], 1].mean() - at[[40, 41, 46, 47], 1].mean())


def inner_brow(at: np.ndarray) -> float:
    return float(at[[20, 21, 22, 23], 1].mean() - at[[39, 42], 1].mean())


def outer_brow(at: np.ndarray) -> float:
    return float(at[[17, 18, 25, 26], 1].mean() - at[[36, 45], 1].mean())


def lip_fullness(at: np.ndarray) -> float:
    return float(at[[50, 51, 52], 1].mean() - at[[56, 57, 58], 1].mean())


MOVES = [
    ("AU1", inner_brow, 3.0),
    ("AU2", outer_brow, 2.5),
    ("AU4", inner_brow, -3.0),
    ("AU5", eye_opening, 1.0),
    ("AU7", eye_opening, -0.8),
    ("AU12", mouth_width, 5.0),
    ("AU12", corner_height, 4.0),
    ("AU15", corner_height, -4.0),
    ("AU20", mouth_width, 5.0),
    ("AU18", mouth_width, -2.0),
    ("AU23", lip_fullness, -2.0),
    ("AU24", lip_fullness, -2.0),
    ("AU25", mouth_opening, 3.0),
    ("AU26", mouth_opening, 8.0),
    ("AU27", mouth_opening, 18.0),
    ("AU43", eye_opening, -4.0),
]
"""Unit, what it changes, and the least change in millimetres at full intensity (FACS's descriptions)."""


@pytest.fixture(scope="module")
def people() -> list[Identity]:
    return [make_identity(3, number, len(UNITS)) for number in range(4)]


@pytest.mark.parametrize(("unit", "measure", "least"), MOVES)
def test_units_move_the_landmarks_as_facs_says(
    people: list[Identity], unit: str, measure: Callable[[np.ndarray], float], least: float
) -> None:
    for person in people:
        change = measure(shown(person, **{unit: 1.0})) - measure(shown(person))
        assert change * np.sign(least) > abs(least) * 0.6, (unit, change)


def test_full_closure_shuts_the_eyes(people: list[Identity]) -> None:
    for person in people:
        assert eye_opening(shown(person, AU43=1.0)) < 0.35 * eye_opening(shown(person))


def test_inner_brows_rise_in_one_and_four_though_four_alone_lowers_them(people: list[Identity]) -> None:
    for person in people:
        assert inner_brow(shown(person, AU1=1.0, AU4=0.6)) > inner_brow(shown(person)) + 1.5
    both = np.zeros((2, len(UNITS)))
    both[:, [UNITS.index("AU1"), UNITS.index("AU4")]] = 1
    assert combine_units(both)[0, UNITS.index("AU4")] == pytest.approx(0.4)


PROTOTYPES = {
    "happy": [(mouth_width, 1), (corner_height, 1)],
    "surprise": [(mouth_opening, 1), (inner_brow, 1), (outer_brow, 1), (eye_opening, 1)],
    "angry": [(inner_brow, -1)],
    "fear": [(inner_brow, 1), (eye_opening, 1), (mouth_opening, 1)],
    "sad": [(corner_height, -1), (inner_brow, 1)],
    "disgust": [(inner_brow, -1)],
}


@pytest.mark.parametrize("label", PROTOTYPES)
def test_recipes_move_faces_as_their_emotion_does(people: list[Identity], label: str) -> None:
    rng = np.random.default_rng(0)
    for measure, sign in PROTOTYPES[label]:
        changes = []
        for person in people:
            for _ in range(10):
                drawn = draw_expression(RECIPES["basic"][label], label, rng, 0.2, 0.0)
                posed = Expression(label, drawn.units, 0, 0, 0, (0, 0))
                changes.append(measure(express(person, posed)[0][landmark_ids()]) - measure(shown(person)))
        assert np.mean(np.array(changes) * sign > 0) > 0.8, (label, measure.__name__, np.mean(changes))


def test_contempt_raises_one_corner_of_the_mouth_visibly_and_leaves_the_other(people: list[Identity]) -> None:
    rng = np.random.default_rng(2)
    for person in people:
        for _ in range(12):
            drawn = draw_expression(RECIPES["basic"]["contempt"], "contempt", rng, 0.3, 0.0)
            posed = express(person, Expression("contempt", drawn.units, 0, 0, 0, (0, 0)))[0][landmark_ids()]
            moved = np.linalg.norm((posed - shown(person))[[48, 54]], axis=1)
            assert moved.max() > 5
            assert moved.max() > 2.5 * moved.min()


def test_neutral_mouths_are_level_at_every_age() -> None:
    rng = np.random.default_rng(3)
    for number in range(24):
        person = make_identity(4, number, len(UNITS), (0.9, 1.0) if number % 2 else (0.0, 0.1))
        drawn = draw_expression(RECIPES["basic"]["neutral"], "neutral", rng, 0.3, 0.0)
        at = express(person, Expression("neutral", drawn.units, 0, 0, 0, (0, 0)))[0][landmark_ids()]
        rise = at[[48, 54], 1] - at[[62, 66], 1].mean()
        assert rise.min() > -1.5 and rise.max() < 2.5, (number, rise)


@pytest.mark.parametrize("label", EVERY)
def test_easy_occluders_leave_visible_what_carries_the_class(people: list[Identity], label: str) -> None:
    rng = np.random.default_rng(4)
    kinds = set()
    for person in people:
        for _ in range(8):
            drawn = draw_expression(RECIPES["basic"][label], label, rng, 0.3, 0.0)
            seed = int(rng.integers(2**32))
            look = Look((1.35, 1.35), occluded=1.0, difficulty=0.3, pose=0.0, shift=0.0)
            face, bare = (
                make_face(person, drawn, one, 64, np.random.default_rng(seed)) for one in (look, replace(look, occluded=0.0))
            )
            hidden = bare.visible & ~face.visible
            moved = movement(person, drawn)[:, 2]
            assert hidden[48:].mean() < 0.5
            assert hidden[17:27].mean() + hidden[36:48].mean() < 1.0
            assert label == "neutral" or moved[hidden].sum() < 0.5 * moved.sum()
            kinds.add(face.occluder)
    assert {"hand", "strand", "square"} <= kinds
    assert "mask" not in kinds
    hard = [choose_occluder(movement(people[0], drawn), 0.8, rng) for _ in range(30)]
    assert "mask" in {one.kind for one in hard if one is not None}


@pytest.mark.parametrize("difficulty", [0.0, 0.3, 0.5])
def test_skin_is_never_black_or_white(difficulty: float) -> None:
    for number in range(32):
        rng = np.random.default_rng(number)
        drawn = draw_expression(RECIPES["basic"][EVERY[number % 8]], EVERY[number % 8], rng, difficulty, 14.0)
        person = make_identity(5, number, len(UNITS))
        face = make_face(person, drawn, Look(difficulty=difficulty, occluded=0.0), 64, rng)
        hull = cv2.convexHull(np.round(face.landmarks).astype(np.int32))
        inside = cv2.fillConvexPoly(np.zeros((64, 64), np.uint8), hull, 1) > 0
        skin = cv2.cvtColor(face.image, cv2.COLOR_RGB2GRAY)[inside]  # as every set is stored
        assert ((skin == 0) | (skin == 255)).mean() < 0.01


@pytest.mark.parametrize("name", [field.name for field in fields(Ingredients) if field.name != "clothes"])
def test_an_ingredient_can_be_switched_off_and_the_others_stay(name: str) -> None:
    without = Ingredients(**{name: False})
    changed = []
    for number, label in enumerate(EVERY * 2):
        pair = []
        for ingredients in (Ingredients(), without):
            rng = np.random.default_rng(number)
            person = make_identity(9, number, len(UNITS), ingredients=ingredients)
            drawn = draw_expression(RECIPES["basic"][label], label, rng, 0.3, 14.0)
            look = Look(occluded=0.5, difficulty=0.3)
            pair.append(make_face(person, drawn, look, 32, rng, ingredients=ingredients))
        full, plain = pair
        changed.append((full.image != plain.image).any())
        np.testing.assert_array_equal(full.units, plain.units)
        assert plain.pose == ((0.0, 0.0, 0.0) if name == "pose" else full.pose)
        if name not in {"pose", "crop", "distance", "proportions"}:
            np.testing.assert_array_equal(full.landmarks, plain.landmarks)
        assert plain.occluder == ("none" if name == "occluder" else full.occluder)
    assert np.mean(changed) > {"glasses": 0.05, "occluder": 0.05, "crop": 0.5}.get(name, 0.7)


def test_learning_expressions_follow_the_papers_table() -> None:
    rng = np.random.default_rng(1)
    draws = {
        label: [draw_expression(recipe, label, rng, 0.3, 12.0) for _ in range(60)]
        for label, recipe in RECIPES["learning"].items()
    }

    def mean(label: str, unit: str) -> float:
        return float(np.mean([one.units[:, UNITS.index(unit)].mean() for one in draws[label]]))

    assert all(abs(one.yaw) >= 14 or one.pitch <= -14 for one in draws["distracted"])
    assert all(abs(one.gaze[0]) > 10 or one.gaze[1] < -10 for one in draws["distracted"])
    assert mean("distracted", "AU26") + mean("distracted", "AU25") < 0.05  # mouth closed
    assert min(mean("curious", unit) for unit in ("AU1", "AU2", "AU5")) > 0.4
    assert mean("confused", "AU4") > 0.5
    assert mean("tired", "AU43") > 0.5
    assert mean("tired", "AU26") + mean("tired", "AU27") > 0.3
    assert mean("happy", "AU12") > 0.5
    assert all(abs(one.gaze[1]) >= 10 for one in draws["tired"])
    assert max(abs(one.yaw) for one in draws["focused"]) < 6


def test_mesh_is_whole() -> None:
    mesh = head_mesh()
    assert mesh.faces.max() < mesh.size
    assert set(np.unique(mesh.region)) == set(range(len(REGIONS)))
    for array in (mesh.rest, mesh.corners, mesh.changes, mesh.actions):
        assert np.isfinite(array).all()
    assert np.all(mesh.region[mesh.faces].min(1) == mesh.region[mesh.faces].max(1))
    teeth = mesh.region == REGIONS.index("teeth")
    assert np.abs(mesh.actions[mesh.action("jawOpen")][teeth]).max() > 10
    assert np.abs(mesh.actions[mesh.action("mouthSmileLeft")][teeth]).max() == 0
    smile = np.linalg.norm(mesh.actions[mesh.action("mouthSmileLeft")], axis=1)
    assert smile[mesh.rest[:, 0] > 5].max() > 5 * smile[mesh.rest[:, 0] < -15].max()


def test_units_are_mixtures_of_known_actions() -> None:
    matrix = action_matrix()
    assert matrix.shape == (2 * len(ACTION_UNITS), 52)
    assert (matrix.max(1) > 0).all()


def test_landmarks_are_68_skin_vertices_and_mirror_each_other() -> None:
    mesh, ids = head_mesh(), landmark_ids()
    assert ids.shape == (68,)
    assert set(mesh.region[ids]) == {0}
    places = mesh.rest[ids]
    for right, left in ((0, 16), (4, 12), (17, 26), (21, 22), (36, 45), (39, 42), (48, 54), (31, 35), (60, 64)):
        np.testing.assert_allclose(places[right, :2] * (-1, 1), places[left, :2], atol=1.5)
    assert places[8, 1] < places[57, 1] < places[51, 1] < places[33, 1] < places[27, 1] < places[19, 1]


def test_head_turns_to_the_subjects_left_up_and_clockwise() -> None:
    nose = np.array([0, 0, 1.0])
    assert (rotation(30, 0, 0) @ nose)[0] > 0.4
    assert (rotation(0, 30, 0) @ nose)[1] > 0.4
    assert (rotation(0, 0, 30) @ np.array([0, 1.0, 0]))[0] > 0.4
    np.testing.assert_allclose(rotation(20, -10, 5) @ rotation(20, -10, 5).T, np.eye(3), atol=1e-6)


def test_truth_tells_what_the_picture_shows(people: list[Identity]) -> None:
    look = Look(occluded=0.0)
    for number, label in enumerate(EVERY):
        rng = np.random.default_rng(number)
        drawn = draw_expression(RECIPES["basic"][label], label, rng, look.difficulty, look.pose)
        face = make_face(people[number % 4], drawn, look, 64, rng)
        assert face.image.shape == (64, 64, 3)
        assert face.image.dtype == np.uint8
        assert face.image.std() > 8
        assert 0.6 < face.visible.mean() <= 1
        left, top, right, bottom = face.box
        assert -12 < left < right < 76
        assert -12 < top < bottom < 76
        assert face.pose == (drawn.yaw, drawn.pitch, drawn.roll)
        assert (face.units >= 0).all()


def test_people_differ_and_a_person_stays_the_same() -> None:
    one, again, other = make_identity(1, 4, len(UNITS)), make_identity(1, 4, len(UNITS)), make_identity(1, 5, len(UNITS))
    np.testing.assert_array_equal(one.shape, again.shape)
    np.testing.assert_array_equal(one.albedo, again.albedo)
    assert np.abs(one.shape - other.shape).max() > 2


def test_one_or_two_processes_give_the_same_bytes_and_another_seed_others() -> None:
    first, images, truth = render_set(SMALL, EVERY)
    second, same, told = render_set(SMALL, EVERY, 2)
    np.testing.assert_array_equal(images, same)
    pd.testing.assert_frame_equal(first, second)
    pd.testing.assert_frame_equal(truth, told)
    _, others, _ = render_set(SMALL.model_copy(update={"seed": 6}), EVERY)
    assert (images != others).mean() > 0.5


@pytest.mark.parametrize("classes", [list(CANONICAL), list(RECIPES["learning"])])
def test_annotators_err_as_their_matrix_says(classes: list[str]) -> None:
    rng = np.random.default_rng(0)
    label = classes[2]
    said = pd.DataFrame([annotate(label, classes, rng) for _ in range(4000)])
    for number, rate in enumerate(ERROR_RATES):
        matrix = confusion(number, classes)
        np.testing.assert_allclose(matrix.sum(1), 1)
        np.testing.assert_allclose(np.diag(matrix), 1 - rate)
        shares = said[f"annotator_{number + 1}"].value_counts(normalize=True).reindex(classes).fillna(0)
        np.testing.assert_allclose(shares, matrix[2], atol=0.025)
