"""Joints and boxes of bodies: where the bones are in the picture, inside it, and seen unless something is in front."""

from dataclasses import replace

import numpy as np
import pytest

from fer_cli.data.cards import load_card
from fer_cli.synthetic import camera
from fer_cli.synthetic.actions import UNITS
from fer_cli.synthetic.body import SIDES
from fer_cli.synthetic.clothes import Style
from fer_cli.synthetic.faces import OVERSAMPLE
from fer_cli.synthetic.figures import Picture, draw_figure, make_figure, shape_body
from fer_cli.synthetic.gestures import GESTURES, draw_gesture, draw_view
from fer_cli.synthetic.identities import Identity, make_identity
from fer_cli.synthetic.joints import BOXES, JOINTS, Places, locate_joints
from fer_cli.synthetic.poses import HANGING, Arm, Pose, move_bones, skeleton
from fer_cli.synthetic.render import View, to_camera, to_pixels

SIZE = 112
VIEW = View((0.0, -180.0), 1550.0, 3000.0)
REST = Pose(HANGING, HANGING)
SETS = ("synth-gesture", "synth-gesture-qa", "synth-gesture-summary", "synth-gesture-time")
CLIPS = 40
EARS = {"left_ear", "right_ear"}


@pytest.fixture(scope="module")
def people() -> list[Identity]:
    return [make_identity(31, number, len(UNITS)) for number in range(4)]


def draw(person: Identity, pose: Pose, view: View = VIEW) -> tuple[Picture, Places]:
    light = replace(camera.FRONTAL)
    background = np.zeros((SIZE * OVERSAMPLE, SIZE * OVERSAMPLE, 3), np.float32)
    figure = make_figure(person, Style())
    drawn = draw_figure(person, figure, pose, view, light, background, Style())
    return drawn, locate_joints(person, drawn.motions, view, SIZE, (figure, drawn))


def seen(places: Places) -> set[str]:
    return {name for name, visible in zip(JOINTS, places.visible, strict=True) if visible}


def test_joints_are_cocos_and_lie_at_their_bones(people: list[Identity]) -> None:
    assert len(JOINTS) == 17
    assert JOINTS[:5] == ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
    assert JOINTS[-2:] == ("left_ankle", "right_ankle")
    pose = GESTURES["explaining"](np.random.default_rng(0))(2.0)
    for person in people:
        joints = shape_body(person.stream, person.female)[1]
        motions = move_bones(joints, pose)
        places = locate_joints(person, motions, VIEW, SIZE)
        bones = {"elbow": "lowerarm01", "wrist": "wrist", "hip": "upperleg01", "eye": "eye", "ankle": "foot"}
        for joint, bone in bones.items():
            for side, word in (("L", "left"), ("R", "right")):
                at = skeleton()[0][f"{bone}.{side}"]
                point = motions[at, :, :3] @ joints[at] + motions[at, :, 3]
                expected = to_pixels(to_camera(point[None].astype(np.float32), VIEW), VIEW, SIZE)[0]
                np.testing.assert_allclose(places.joints[JOINTS.index(f"{word}_{joint}")], expected, atol=0.02)


def test_a_standing_body_is_the_right_way_round(people: list[Identity]) -> None:
    for person in people:
        _, places = draw(person, REST)
        at = dict(zip(JOINTS, places.joints, strict=True))
        for name in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee"):
            assert at[f"left_{name}"][0] > at[f"right_{name}"][0], "the subject's left is at the picture's right"
        down = ["left_ear", "left_shoulder", "left_elbow", "left_hip", "left_knee", "left_ankle"]
        assert (np.diff([at[name][1] for name in down]) > 0).all()
        assert seen(places) - EARS == set(JOINTS[:13]) - EARS, "knees and ankles are below the picture"
        assert seen(places) >= EARS or person.long_hair
        boxes = dict(zip(BOXES, places.boxes, strict=True))
        assert boxes["hand_L"][0] > boxes["torso"][0] and boxes["hand_R"][2] < boxes["torso"][2]
        assert boxes["head"][0] < at["nose"][0] < boxes["head"][2] and boxes["head"][1] < at["nose"][1] < boxes["head"][3]
        assert boxes["head"][3] < boxes["torso"][3] and boxes["torso"][1] < at["left_shoulder"][1] < boxes["torso"][3]
        for side, word in zip(SIDES, ("left", "right"), strict=True):
            x0, y0, x1, y1 = boxes[f"hand_{side}"]
            x, y = at[f"{word}_wrist"]
            assert x0 - 2 < x < x1 + 2 and y0 - 2 < y < y1


def test_a_hand_box_holds_the_drawn_hand(people: list[Identity]) -> None:
    raised = Arm((0.54, 0.64, 0.15), (0.06, 0.98, 0.1), twist=-80, curl=-5)
    for person in people:
        drawn, places = draw(person, Pose(raised, HANGING))
        x0, y0, x1, y1 = (places.boxes[1] + 0.5) * OVERSAMPLE - 0.5
        rows, columns = np.nonzero(drawn.material >= 0)
        beside = (columns > x0 - 20) & (rows < y1)  # nothing else of the body is there
        assert abs(rows[beside].min() - y0) < 2.5
        inside = (rows > y0) & (rows < y1) & (columns > x0 - 20)
        assert abs(columns[inside & (rows < (y0 + y1) / 2)].max() - x1) < 12
        assert drawn.skin[int(y0) + 2 : int(y1) - 2, int(x0) : int(x1) + 1].mean() > 0.3


def test_what_the_body_hides_is_not_visible(people: list[Identity]) -> None:
    for person in people:
        turned = seen(draw(person, replace(REST, head=(70.0, 0.0)))[1])
        assert "left_ear" not in turned and "right_eye" in turned
        behind = Arm((0.1, -0.95, -0.3), (-0.75, -0.2, -0.5))
        assert "left_wrist" not in seen(draw(person, Pose(behind, HANGING))[1])
        before = Arm((-0.2, -0.3, 0.93), (-0.4, 0.86, 0.13), curl=0, hand=(0.15, 1.0, 0.0))
        covered = seen(draw(person, Pose(before, HANGING))[1])
        assert "left_wrist" in covered and "nose" not in covered, "the hand is in front of the face"


def test_a_forearm_that_points_at_the_camera_hides_neither_its_elbow_nor_its_wrist(people: list[Identity]) -> None:
    held = Arm((0.24, -0.92, 0.2), (0.05, 0.2, 0.97), twist=-125, curl=4)
    for person in people:
        assert seen(draw(person, Pose(held, held))[1]) >= {"left_wrist", "right_wrist", "left_elbow", "right_elbow"}


def test_joints_outside_the_picture_are_not_visible(people: list[Identity]) -> None:
    places = draw(people[0], REST, View((0.0, 0.0), 400.0, 2000.0))[1]
    inside = ((places.joints > -0.5) & (places.joints < SIZE - 0.5)).all(1)
    assert seen(places) <= {name for name, there in zip(JOINTS, inside, strict=True) if there}
    assert "nose" in seen(places) and "left_wrist" not in seen(places)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in {"synth-gesture-qa", "synth-gesture-summary"} else name
        for name in SETS
    ],
)
def test_hands_stay_in_the_picture_and_nods_can_be_seen(people: list[Identity], name: str) -> None:
    card = load_card(name)
    assert card.embedded is not None and card.embedded.rate is not None
    bones = [shape_body(person.stream, person.female)[1] for person in people]
    for label in card.classes:
        inside, hand, nods = [], [], []
        for number in range(CLIPS):
            who, rng = number % len(people), np.random.default_rng(number)
            poses, _ = draw_gesture(label, 16, rng, card.embedded.difficulty, card.embedded.rate)
            view, noses = draw_view(rng), []
            for pose in poses[:: 1 if label == "nodding" else 3]:
                places = locate_joints(people[who], move_bones(bones[who], pose), view, card.embedded.size)
                wrists = places.joints[[JOINTS.index("left_wrist"), JOINTS.index("right_wrist")]]
                inside.append(((wrists >= -0.5) & (wrists < card.embedded.size - 0.5)).all())
                boxes = places.boxes[[BOXES.index("hand_L"), BOXES.index("hand_R")]]
                hand.append((boxes[:, :3] >= -0.5).all() and (boxes[:, 2] < card.embedded.size - 0.5).all())
                noses.append(places.joints[0, 1])
            nods.append(np.ptp(noses))
        assert np.mean(inside) >= 0.97, label
        assert np.mean(hand) >= 0.97, f"{label}: hands at the left, right or upper border"
        if label == "nodding":
            assert min(nods) > 2
