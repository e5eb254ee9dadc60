"""Clips of faces and of gestures: smooth in time, one person and scene each, the same with one process or two."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_cli.config import DataConfig
from fer_cli.data.cards import Embedded, card_names, load_card
from fer_cli.data.manifest import load_set
from fer_cli.data.splits import make_split
from fer_cli.errors import DataError
from fer_cli.synthetic.actions import UNITS
from fer_cli.synthetic.annotators import annotate, confusion
from fer_cli.synthetic.body import SIDES, body_mesh
from fer_cli.synthetic.build import build_embedded
from fer_cli.synthetic.clips import blinks, draw_clip, speech_motion
from fer_cli.synthetic.episodes import PHASES
from fer_cli.synthetic.expressions import RECIPES
from fer_cli.synthetic.gestures import GESTURES, draw_gesture, truth_of_pose
from fer_cli.synthetic.poses import (
    HANGING,
    Pose,
    blend_motions,
    move_bones,
    move_points,
    rotation_about,
    rotation_between,
    skinning_weights,
)
from fer_cli.synthetic.sets import check_options
from tests.sets import render_set

EMBEDDED = [name for name in card_names() if load_card(name).embedded is not None]


def test_a_clip_shows_its_expression_and_moves_smoothly() -> None:
    rng = np.random.default_rng(0)
    clip = draw_clip(RECIPES["basic"]["happy"], "happy", 32, rng, 0.2, 14.0, 0.0, 16.0)
    smile = np.array([one.expression.units[:, UNITS.index("AU12")].mean() for one in clip])
    intensity = np.array([one.truth()["intensity"] for one in clip])
    np.testing.assert_allclose(smile, intensity * smile.max(), atol=1e-3)
    assert smile.max() > 0.4
    assert np.abs(np.diff(smile)).max() < 0.45
    assert np.abs(np.diff([one.expression.yaw for one in clip])).max() < 8
    assert not any(one.truth()["speech"] for one in clip)


def test_truth_tells_speech_and_blinks_from_the_expression() -> None:
    clip = draw_clip(RECIPES["basic"]["neutral"], "neutral", 64, np.random.default_rng(5), 0.0, 14.0, 0.7, 16.0)
    truth = pd.DataFrame([one.truth() for one in clip])
    units = {name: [one.expression.units[0, UNITS.index(name)] for one in clip] for name in ("AU25", "AU26", "AU43")}
    assert truth["speech"].max() > 0.3
    assert np.corrcoef(truth["speech"], np.maximum(units["AU25"], units["AU26"]))[0, 1] > 0.95
    assert truth["blink"].max() == 1
    np.testing.assert_allclose(
        np.array(units["AU43"])[truth["blink"] > 0.2], truth["blink"][truth["blink"] > 0.2], atol=1e-4
    )
    assert truth["speech"].between(0, 1).all() and truth["blink"].between(0, 1).all()


def test_speech_moves_the_mouth_more_the_more_is_spoken() -> None:
    amounts = []
    for speech in (0.0, 0.4, 0.9):
        rng = np.random.default_rng(1)
        amounts.append(np.mean([speech_motion(32, speech, rng, 16.0)["AU26"].mean() for _ in range(50)]))
    assert amounts[0] == 0
    assert amounts[0] < amounts[1] < amounts[2]


@pytest.mark.parametrize("rate", [8.0, 16.0, 25.0])
def test_people_blink_every_one_to_three_seconds(rate: float) -> None:
    rng = np.random.default_rng(2)
    closed = np.array([blinks(round(60 * rate), rng, rate) for _ in range(4)])
    assert 20 <= (closed == 1).sum(1).mean() <= 50
    assert closed.max() == 1


def test_rotations_turn_what_they_should() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        a, b = rng.normal(size=3), rng.normal(size=3)
        turn = rotation_between(a, b)
        np.testing.assert_allclose(turn @ a / np.linalg.norm(a), b / np.linalg.norm(b), atol=1e-9)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(
        rotation_between(np.array([1.0, 0, 0]), np.array([-1.0, 0, 0])) @ [1, 0, 0], [-1, 0, 0], atol=1e-9
    )
    np.testing.assert_allclose(rotation_about(np.array([0, 0, 2.0]), 90) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def hands(pose: Pose) -> dict[str, np.ndarray]:
    """Return the middle of each hand of the mean body in this pose, in mm, trunk and head straight."""
    mesh = body_mesh()
    joints = mesh.joints.mean((0, 1, 2))
    motions = move_bones(joints, Pose(pose.left, pose.right))
    blended = blend_motions(skinning_weights(mesh.bones, mesh.weights), motions)
    points = move_points(blended, np.ascontiguousarray(mesh.rest.T)).T
    is_hand = mesh.part == 3
    return {side: points[is_hand & (mesh.rest[:, 0] * sign > 0)].mean(0) for side, sign in SIDES.items()}


def apexes(label: str) -> list[dict[str, np.ndarray]]:
    return [hands(GESTURES[label](np.random.default_rng(seed))(6.0)) for seed in range(6)]


def test_arms_go_where_the_gesture_says() -> None:
    hanging = hands(Pose(HANGING, HANGING))
    assert max(hanging["L"][1], hanging["R"][1]) < -550
    for apex in apexes("hand-raised"):
        assert max(apex["L"][1], apex["R"][1]) > 100
        assert min(apex["L"][1], apex["R"][1]) < -550
    for apex in apexes("pointing"):
        assert 400 < max(apex["L"][0], -apex["R"][0]) < 560  # the narrowest view reaches to 750
    for apex in apexes("crossed-arms"):
        assert abs(apex["L"][0]) < 200
        assert abs(apex["R"][0]) < 200
        assert -520 < apex["L"][1] < -200
    for apex in apexes("explaining"):
        assert min(apex["L"][2], apex["R"][2]) > hanging["L"][2] + 80
        assert abs(apex["L"][1] - apex["R"][1]) < 60
    for apex in apexes("writing"):
        assert max(apex["L"][1], apex["R"][1]) > -150
    for label in ("nodding", "idle"):
        for apex in apexes(label):
            np.testing.assert_allclose(apex["L"], hanging["L"], atol=1)


def test_waving_off_is_beckoning_backwards() -> None:
    for seed in range(4):
        beckon, wave = (GESTURES[name](np.random.default_rng(seed)) for name in ("beckon", "wave-off"))
        heights = []
        for t in np.arange(0, 22, 0.25):
            assert wave(t) == beckon(-t)
            heights.append(max(beckon(t).left.fore[1], beckon(t).right.fore[1]))
        steps = np.diff(heights)
        assert steps.max() > -2 * steps.min() > 0, "quickly towards the body, slowly out again"


def test_truth_says_how_high_hands_are() -> None:
    poses, episode = draw_gesture("hand-raised", 20, np.random.default_rng(1), 0.0, 8.0)
    raised = truth_of_pose(poses[int(episode.intensity.argmax())])
    assert max(raised["hand_L"], raised["hand_R"]) > 1.5
    assert min(raised["hand_L"], raised["hand_R"]) < -1.5


SMALL = {
    "synth-lecture": {"images": 7, "subjects": 3, "size": 32},
    "synth-order": {"images": 4, "subjects": 2, "size": 32},
    "synth-gesture": {"images": 7, "subjects": 3, "size": 32},
    "synth-scene": {"images": 14, "subjects": 3, "size": 32},
    "synth-teacher": {"images": 14, "subjects": 3, "size": 32},
}


def check_truth_of_clips(truth: pd.DataFrame, options: Embedded) -> None:
    """Check what the truth says of each frame in its clip."""
    assert options.rate is not None
    assert truth["intensity"].between(0, 1).all() and truth["intensity"].nunique() > 5
    assert set(truth["phase"]) <= set(PHASES) and truth["phase"].nunique() > 3
    np.testing.assert_allclose(truth["time_s"], truth["frame"] / options.rate, atol=1e-4)
    given = truth.groupby("sequence")[["annotator_1", "annotator_2", "annotator_3"]]
    assert (given.nunique() == 1).all(axis=None)
    own = ["joints", "joints_visible", "head_box"] if options.recipes == "gesture" else ["speech", "blink", "landmarks"]
    assert set(own) <= set(truth.columns)


def test_annotators_mistake_alike_classes_most_and_cannot_err_with_one_class() -> None:
    table = confusion(2, ["happy-quick", "happy-slow", "surprise-quick", "surprise-slow"])
    np.testing.assert_allclose(table.sum(1), 1)
    np.testing.assert_allclose(table[0], [0.75, 0.25 * 6 / 8, 0.25 / 8, 0.25 / 8])
    given = annotate("happy", ["happy"], np.random.default_rng(0))
    assert given == {"annotator_1": "happy", "annotator_2": "happy", "annotator_3": "happy"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "synth-lecture" else name for name in SMALL]
)
def test_sets_build_whole_with_one_process_or_two(name: str, tmp_path: Path) -> None:
    infos = [build_embedded(name, tmp_path / str(jobs), SMALL[name], jobs) for jobs in (1, 2)]
    assert infos[0].fingerprint == infos[1].fingerprint
    faces = load_set(tmp_path / "1", name)
    truth = pd.read_parquet(tmp_path / "1" / name / "truth.parquet")
    assert truth["sample"].tolist() == faces.manifest["sample"].tolist()
    assert faces.manifest["sample"].is_unique
    assert set(faces.manifest["label"]) == set(load_card(name).classes)
    assert faces.images.packed.std() > 10
    card = load_card(name)
    assert card.embedded is not None
    lengths = faces.manifest.groupby("sequence").size()
    if card.embedded.frames:
        assert card.embedded.frames[0] <= lengths.min() <= lengths.max() <= card.embedded.frames[1]
        assert (faces.manifest.groupby("sequence")["label"].nunique() == 1).all()
        check_truth_of_clips(truth, card.embedded)
        still = [
            np.abs(np.diff(faces.images[np.flatnonzero(faces.manifest["sequence"] == s)].astype(float), axis=0)).mean()
            for s in lengths.index
        ]
        shuffled = np.abs(np.diff(faces.images[:: int(lengths.max())].astype(float), axis=0)).mean()
        assert 0 < np.mean(still) < 0.6 * shuffled
    else:
        assert (lengths == 1).all()


def test_clips_of_faces_are_as_the_video_networks_need_them() -> None:
    for name in ("lecture", "qa", "summary", "order"):
        options = load_card(f"synth-{name}").embedded
        assert options is not None
        assert (options.subjects, options.images, options.frames, options.rate, options.size) == (60, 420, [32, 32], 16, 64)


def test_harder_gestures_are_smaller() -> None:
    options = [load_card(f"synth-gesture{role}").embedded for role in ("", "-qa", "-summary")]
    assert [one.difficulty for one in options if one] == [0.3, 0.55, 0.85]


def test_harder_videos_have_weaker_expressions_and_more_speech() -> None:
    options = [load_card(f"synth-{role}").embedded for role in ("lecture", "qa", "summary")]
    assert all(one is not None for one in options)
    for key in ("difficulty", "speech", "pose", "occluded"):
        values = [getattr(one, key) for one in options]
        assert values == sorted(values)
        assert len(set(values)) == 3


@pytest.mark.parametrize("name", EMBEDDED)
def test_every_embedded_card_can_be_drawn(name: str) -> None:
    card = load_card(name)
    assert card.embedded is not None
    check_options(name, card.embedded, card.classes)
    few = card.embedded.model_copy(
        update={"images": len(card.classes), "subjects": 1, "size": 16, "frames": card.embedded.frames and [2, 3]}
    )
    manifest, images, _ = render_set(few, card.classes)
    assert set(manifest["label"]) == set(card.classes)
    assert len(images) == len(manifest)


BAD: list[tuple[dict[str, object], str]] = [
    ({"frames": [5]}, "minimum and maximum"),
    ({"frames": [9, 4]}, "minimum and maximum"),
    ({"recipes": "gesture", "frames": []}, "gestures are clips"),
    ({"recipes": "order", "frames": []}, "expressions in an order are clips"),
    ({"frames": [4, 9]}, "rate: required"),
    ({"rate": 16.0}, "no effect without frames"),
]


@pytest.mark.parametrize(("changes", "words"), BAD)
def test_impossible_clips_are_refused(changes: dict[str, object], words: str) -> None:
    options = Embedded(recipes="basic", images=8, subjects=2, size=32).model_copy(update=changes)
    with pytest.raises(DataError, match=words):
        check_options("some", options, ["a", "b"])


def test_learning_set_keeps_its_people_in_one_part_each(tmp_path: Path) -> None:
    build_embedded("synth-learning", tmp_path, {"images": 120, "subjects": 20, "size": 16}, 1)
    manifest = load_set(tmp_path, "synth-learning").manifest
    parts = make_split(manifest, DataConfig(name="synth-learning"))
    people = [set(manifest["subject"].iloc[part]) for part in (parts.train, parts.val, parts.test)]
    assert sum(map(len, people)) == len(set.union(*people)) == 20
