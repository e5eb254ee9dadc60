"""Dressed bodies: cloth off the skin, tones apart, nothing saturated, sleeves that follow, the same clothes in all clips."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
from scipy.spatial import cKDTree

from fer_cli.synthetic import camera, clothes, figures, gestures
from fer_cli.synthetic.actions import UNITS
from fer_cli.synthetic.body import SIDES, body_mesh
from fer_cli.synthetic.bust import draw_bust
from fer_cli.synthetic.clothes import GREY, Style, style_of
from fer_cli.synthetic.figures import MATERIALS, Figure, draw_figure, make_figure, shape_body
from fer_cli.synthetic.identities import Identity, make_identity
from fer_cli.synthetic.ingredients import EVERYTHING, Ingredients
from fer_cli.synthetic.pieces import cut
from fer_cli.synthetic.poses import Arm, Pose, blend_motions, move_bones, move_points, skeleton, skinning_weights
from fer_cli.synthetic.render import View
from fer_cli.synthetic.tailor import base, drape, vertex_normals

BODIES, MORE = 60, 200
LEAST_MM = 4.0
CONTRAST = 0.15
SATURATED = 0.01
STYLE = Style()
CLOTH = MATERIALS.index("top")
LABELS = list(gestures.GESTURES)


def person_of(number: int) -> Identity:
    return make_identity(77, number, len(UNITS))


@dataclass
class Measured:
    """One drawn body."""

    at_rest: float
    """Least distance of cloth from the nearest skin that faces the same way, in mm."""
    posed: float
    """Least distance of cloth from the skin it covers in the gesture, in mm."""
    tones: float
    """Least difference in grey of a garment's colour and the skin's."""
    saturated: float
    """Share of skin pixels at 0 or 255."""


def clearance(figure: Figure, pose: Pose, rest: np.ndarray) -> tuple[float, float]:
    """Return the least distances at rest and in the pose; a skirt, which stands off the legs, only at rest."""
    cloth = np.flatnonzero(figure.code >= CLOTH)
    points, out = figure.rest.T[cloth].astype(float), figure.normals.T[cloth]
    normals = vertex_normals(rest, body_mesh().faces)
    near = cKDTree(rest).query(points, 12)[1]
    alike = (normals[near] * out[:, None]).sum(2) > 0.5
    first = near[np.arange(len(points)), alike.argmax(1)]
    off = ((points - rest[first]) * normals[first]).sum(1)[alike.any(1)]
    over = cloth[(figure.code[cloth] != MATERIALS.index("bottom")) | (not figure.outfit.skirt)]
    blended = blend_motions(figure.weights, move_bones(figure.joints, pose))
    apart = move_points(blended, figure.rest) - move_points(blended, figure.under)
    return float(off.min()), float(np.linalg.norm(apart[:, over], axis=0).min())


def measure(number: int) -> Measured:
    person, rng = person_of(number), np.random.default_rng(number)
    figure, label = make_figure(person, STYLE), LABELS[number % len(LABELS)]
    poses, episode = gestures.draw_gesture(label, 16, rng, 0.3, 8.0)
    pose = poses[int(episode.intensity.argmax())]
    view, lighting = gestures.draw_view(rng), camera.draw_lighting(rng, person.gloss, 0.3)
    drawn = draw_figure(person, figure, pose, view, lighting, camera.draw_background(rng, 192), STYLE)
    image = cv2.cvtColor(camera.expose(drawn.image, 96, rng, rng, 0.3), cv2.COLOR_RGB2GRAY)
    skin = image[drawn.skin.reshape(96, 2, 96, 2).all((1, 3))]
    greys = [*(figure.colours[CLOTH:] @ GREY), figure.outfit.second @ GREY]
    tones = np.abs(np.array(greys) - figure.colours[0] @ GREY).min()
    rest = shape_body(person.stream, person.female)[0]
    return Measured(*clearance(figure, pose, rest), float(tones), float(np.isin(skin, (0, 255)).mean()))


@pytest.fixture(scope="module")
def bodies() -> list[Measured]:
    return [measure(number) for number in range(BODIES)]


@pytest.mark.exhaustive
def test_more_bodies_are_dressed_as_well() -> None:
    more = [measure(number) for number in range(BODIES, MORE)]
    test_cloth_is_off_the_skin_wherever_it_covers_it(more)
    test_every_garment_differs_from_the_skin_in_grey(more)
    test_skin_is_neither_black_nor_white(more)


def test_cloth_is_off_the_skin_wherever_it_covers_it(bodies: list[Measured]) -> None:
    assert min(body.at_rest for body in bodies) >= LEAST_MM
    assert min(body.posed for body in bodies) >= LEAST_MM


def test_every_garment_differs_from_the_skin_in_grey(bodies: list[Measured]) -> None:
    assert min(body.tones for body in bodies) >= CONTRAST


def test_skin_is_neither_black_nor_white(bodies: list[Measured]) -> None:
    assert max(body.saturated for body in bodies) < SATURATED


@pytest.mark.parametrize("female", [True, False])
def test_cloth_hides_the_relief_of_the_chest(female: bool) -> None:
    for stream in range(6):
        skin = shape_body(stream, female)[0][base().ids]
        deep = []
        for surface in (skin, drape(skin, np.full(len(skin), 12.0))[0]):
            x, y, z = surface[surface[:, 2] > -90].T
            bands = [(np.abs(y - height) < 9) & (np.abs(x) < 110) for height in range(-430, -300, 10)]
            middle = [band & (np.abs(x) < 12) for band in bands]
            deep.append(max(z[a].max() - z[b].max() for a, b in zip(bands, middle, strict=True) if b.any()))
        assert deep[0] > 12
        assert deep[1] < 8


def test_hems_are_straight() -> None:
    number = next(n for n in range(20) if not make_figure(person_of(n), STYLE).outfit.tucked)
    person = person_of(number)
    outfit = make_figure(person, STYLE).outfit
    rest, joints = shape_body(person.stream, person.female)
    top = clothes.tailor_outfit(outfit, rest[base().ids], joints).top
    edges = np.sort(np.concatenate([top.faces[:, [0, 1]], top.faces[:, [1, 2]], top.faces[:, [2, 0]]]), 1)
    pairs, count = np.unique(edges, axis=0, return_counts=True)
    border = np.unique(pairs[count == 1])
    height = top.rest[border, 1] - joints[skeleton()[0]["root"], 1] - outfit.hem
    hem = np.abs(height) < 40
    assert hem.sum() > 30
    np.testing.assert_allclose(height[hem], 0, atol=0.5)


def test_a_cut_keeps_the_area_on_the_positive_side() -> None:
    points = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    faces, mix = cut(np.array([[0, 1, 2], [0, 2, 3]]), points[:, 0] - 0.25)
    a, b, c = ((mix @ points)[column] for column in faces.T)
    normals = np.cross(b - a, c - a)
    assert normals[:, 2].sum() / 2 == pytest.approx(0.75)
    assert (normals[:, 2] > 0).all()


def test_sleeves_follow_the_arms() -> None:
    number = next(n for n in range(20) if make_figure(person_of(n), STYLE).outfit.sleeve > 1.9)
    figure = make_figure(person_of(number), STYLE)
    wrist = skeleton()[0]["wrist.L"]
    cuff = (figure.code == CLOTH) & (np.linalg.norm(figure.rest.T - figure.joints[wrist], axis=1) < 75)
    assert cuff.sum() > 8
    for label in LABELS:
        motions = move_bones(figure.joints, gestures.GESTURES[label](np.random.default_rng(4))(6.0))
        moved = motions[wrist, :, :3] @ figure.joints[wrist] + motions[wrist, :, 3]
        points = move_points(blend_motions(figure.weights, motions), figure.rest).T[cuff]
        assert np.linalg.norm(points - moved, axis=1).max() < 90


def test_fingers_bend_towards_the_palm_and_the_relaxed_thumb_is_near_the_index() -> None:
    mesh, (place, _) = body_mesh(), skeleton()
    joints = mesh.joints.mean((0, 1, 2)).astype(float)

    def tips(arm: Arm) -> np.ndarray:
        motions = move_bones(joints, Pose(arm, arm))
        bones = [place[f"finger{finger}-3.L"] for finger in (1, 2, 3, 4, 5)] + [place["wrist.L"], place["finger3-1.L"]]
        return np.stack([motions[b, :, :3] @ joints[b] + motions[b, :, 3] for b in bones])

    straight = Arm((0.2, -0.9, 0.1), (0.1, -0.9, 0.3), curl=0)
    flat, bent = tips(straight), tips(replace(straight, curl=50))
    along = flat[6] - flat[5]
    palmwards = flat[0] - flat[5]  # the thumb is on the side of the palm
    palmwards -= along * (palmwards @ along) / (along @ along)
    assert (((bent - flat)[1:5] @ palmwards) > 0).all()
    thumb, index = (joints[place[f"finger{finger}-3.L"]] for finger in (1, 2))  # of the human model
    assert np.linalg.norm(flat[0] - flat[1]) < np.linalg.norm(thumb - index)


def segment_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the least distance of two segments (2, 3)."""
    t = np.linspace(0, 1, 40)[:, None]
    p, q = (ends[0] + (ends[1] - ends[0]) * t for ends in (a, b))
    return float(np.linalg.norm(p[:, None] - q[None], axis=2).min())


@pytest.mark.parametrize("seed", range(6))
def test_crossed_forearms_lie_over_one_another_with_hands_at_the_other_arm(seed: int) -> None:
    rest, joints = shape_body(seed, seed % 2 == 0)
    motions = move_bones(joints, gestures.GESTURES["crossed-arms"](np.random.default_rng(seed))(6.0))
    place, _ = skeleton()

    def ends(*names: str) -> np.ndarray:
        bones = [place[name] for name in names]
        return np.stack([motions[b, :, :3] @ joints[b] + motions[b, :, 3] for b in bones])

    fore = {side: ends(f"lowerarm01.{side}", f"wrist.{side}") for side in SIDES}
    assert segment_distance(fore["L"], fore["R"]) > 65  # about two radii of forearms near the wrist
    cloth = drape(rest[base().ids], np.full(len(base().ids), 12.0))[0]
    chest = cloth[(np.abs(cloth[:, 0]) < 60) & (np.abs(cloth[:, 1] + 450) < 40), 2].max()
    assert min(fore["L"][1, 2], fore["R"][1, 2]) > chest + 15
    for side, other in (("L", "R"), ("R", "L")):
        hand = ends(f"finger3-1.{side}", f"finger3-3.{side}")
        assert np.sign(hand[1, 0]) == SIDES[other]
        assert segment_distance(hand, ends(f"upperarm01.{other}", f"lowerarm01.{other}")) < 110


def test_a_person_wears_the_same_in_all_clips_and_others_wear_something_else() -> None:
    first = make_figure(person_of(3), STYLE)
    figures.build_figure.cache_clear()
    again = make_figure(person_of(3), STYLE)
    assert first is not again
    for name in ("rest", "code", "marks", "colours", "joints"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    np.testing.assert_array_equal(first.cloth.folds, again.cloth.folds)
    outfits = [make_figure(person_of(number), STYLE).outfit for number in range(12)]
    assert len({(outfit.kind, outfit.hem, *outfit.top.tolist()) for outfit in outfits}) == 12
    assert len({outfit.kind for outfit in outfits}) > 3


def test_a_clip_is_the_same_when_drawn_again() -> None:
    clips = []
    for _ in range(2):
        figures.build_figure.cache_clear()
        clips.append(
            [image for image, _ in gestures.gesture_clip(person_of(5), "writing", 3, 48, np.random.default_rng(1), 0.3, 8.0)]
        )
    np.testing.assert_array_equal(clips[0], clips[1])


@pytest.mark.parametrize("part", ["clothes", "hair", "lens", "light", "texture"])
def test_each_ingredient_can_be_left_out(part: str) -> None:
    person, without = person_of(0), Ingredients.without([part])
    style, frames = style_of(without), {}
    for name, chosen in (("all", EVERYTHING), ("without", without)):
        rng = np.random.default_rng(2)
        frames[name] = next(iter(gestures.gesture_clip(person, "explaining", 2, 96, rng, 0.0, 8.0, chosen)))[0]
    assert np.abs(frames["all"].astype(int) - frames["without"]).max() > 8
    pieces = make_figure(person, style)
    if part == "clothes":  # tones on the skin itself
        bare = shape_body(person.stream, person.female)[0].astype(np.float32)
        cloth = pieces.rest.T[pieces.code >= CLOTH]
        assert cKDTree(bare).query(cloth)[0].max() < 1e-3
    if part == "hair":
        assert MATERIALS.index("hair") not in pieces.code


def test_faces_have_dressed_shoulders_below_them() -> None:
    image = np.full((128, 128, 3), 2.0, np.float32)
    lighting = camera.draw_lighting(np.random.default_rng(0), 0.2, 0.2)
    draw_bust(image, person_of(4), (10.0, 5.0, -5.0), View((0.0, -60.0), 420.0, 900.0), lighting, STYLE)
    drawn = (image != 2.0).any(2)
    assert drawn[-1].mean() > 0.6
    assert not drawn[:40].any()
    assert 0 < drawn[82].mean() < drawn[-1].mean()  # a neck is narrower than shoulders


def test_skinning_moves_vertices_as_bones_do() -> None:
    mesh, (place, _) = body_mesh(), skeleton()
    joints = mesh.joints.mean((0, 1, 2)).astype(float)
    down = Arm((0.2, -0.95, 0.1), (0.1, -0.93, 0.3))
    motions = move_bones(joints, Pose(down, down, head=(20.0, -10.0, 5.0)))
    weights = skinning_weights(mesh.bones, mesh.weights)
    points = move_points(blend_motions(weights, motions), np.ascontiguousarray(mesh.rest.T)).T
    head = np.asarray(weights[:, [place["head"]]].todense()).ravel() > 0.999
    turn, shift = motions[place["head"], :, :3], motions[place["head"], :, 3]
    np.testing.assert_allclose(points[head], mesh.rest[head] @ turn.T + shift, atol=2e-2)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-5)


def test_shoulders_outside_the_picture_leave_it_as_it_was() -> None:
    lighting = camera.draw_lighting(np.random.default_rng(0), 0.2, 0.2)
    for high in (700.0, 5000.0):  # the border cuts all triangles away, or they are far outside
        image = np.full((32, 32, 3), 0.5, np.float32)
        draw_bust(image, person_of(4), (0.0, 0.0, 0.0), View((0.0, high), 120.0, 900.0), lighting, STYLE)
        assert (image == 0.5).all()
