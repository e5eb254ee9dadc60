"""Boxes of regions: which landmarks they bound, how they follow a mirror, and where they lie without landmarks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fer_cli.config import REGIONS, THIRDS, AugmentConfig
from fer_cli.data.augment import augment, augment_clips, mirror, move_boxes
from fer_cli.data.regions import AU, CELL, KINDS, MARGIN, MIRRORED, NAMES, boxes_of_points, clip_boxes, place_usual

SWAPPED = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
]  # fmt: skip
"""Landmark that takes each one's place in a mirrored face."""


def face(tilt: float = 0.0) -> np.ndarray:
    """A plain face, (68, 2): jaw, brows, nose, eyes and lips, at places as fractions of the image."""
    jaw = np.stack([0.5 - 0.35 * np.cos(np.linspace(0, np.pi, 17)), 0.45 + 0.45 * np.sin(np.linspace(0, np.pi, 17))], 1)
    brow = np.array([(0.2, 0.33), (0.25, 0.3), (0.31, 0.29), (0.37, 0.3), (0.43, 0.32)])
    nose = np.array([(0.5, y) for y in (0.4, 0.46, 0.52, 0.58)] + [(x, 0.62) for x in (0.43, 0.465, 0.5, 0.535, 0.57)])
    eye = np.array([(0.25, 0.4), (0.3, 0.38), (0.35, 0.38), (0.4, 0.4), (0.35, 0.42), (0.3, 0.42)])
    turn = np.linspace(0, 2 * np.pi, 13)[:-1]
    lip = np.stack([0.5 - 0.14 * np.cos(turn), 0.73 - 0.05 * np.sin(turn)], 1)
    inner = np.stack([0.5 - 0.1 * np.cos(np.linspace(0, 2 * np.pi, 9)[:-1]), np.full(8, 0.73)], 1)
    half = np.concatenate([jaw, brow, np.array([1, 0]) + np.array([-1, 1]) * brow[::-1], nose, eye])
    other = (np.array([1, 0]) + np.array([-1, 1]) * eye)[[3, 2, 1, 0, 5, 4]]
    points = np.concatenate([half, other, lip, inner])
    return points + np.array([tilt, 0]) * (points[:, 1:] - 0.5)


def boxes(points: np.ndarray, kind: str = "au", hidden: tuple[int, ...] = ()) -> np.ndarray:
    visible = np.ones((1, 68), dtype=bool)
    visible[0, list(hidden)] = False
    return boxes_of_points(points[None], visible, kind)[0]


def test_nine_boxes_of_eight_groups_of_action_units_in_three_thirds() -> None:
    assert len(AU) == 9
    assert len({region.units for region in AU}) == 8
    assert AU[0].units == AU[1].units == (1, 2, 5, 7)
    for kind, regions in KINDS.items():
        assert len(regions) == REGIONS[kind] == sum(THIRDS[kind]) == len(NAMES[kind]) == len(MIRRORED[kind])
    assert THIRDS["au"] == (3, 2, 4)
    assert [len(regions) for regions in KINDS.values()] == [9, 9, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_thirds_of_the_face_come_in_order(kind: str) -> None:
    found = boxes(face(), kind)
    middle = (found[:, 1] + found[:, 3]) / 2
    upper, central, lower = np.split(middle, np.cumsum(THIRDS[kind])[:2])
    assert upper.max() < central.min()
    assert central.max() < lower.min()


def test_boxes_bound_their_landmarks_and_a_margin() -> None:
    points = face()
    scale = float(np.linalg.norm(points[36] - points[45]))
    found = boxes(points)
    margin = MARGIN * scale
    own = points[[*range(17, 22), *range(36, 42)]]
    expected = [own[:, 0].min() - margin, own[:, 1].min() - margin - 0.15 * scale, *(own.max(0) + margin)]
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    mouth = points[48:68]
    assert found[8, 3] == pytest.approx(mouth[:, 1].max() + margin + 0.25 * scale, abs=1e-6)
    cheeks = [*points[36:48], points[29], (points[2] + points[41]) / 2, (points[14] + points[46]) / 2]
    assert found[3, 3] == pytest.approx(max(y for _, y in cheeks) + margin, abs=1e-6)
    both = boxes_of_points(np.stack([points, points * 0.5]), np.ones((2, 68), dtype=bool), "au")
    np.testing.assert_allclose(both[1], found * 0.5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mirrored_face_swaps_left_and_right(kind: str) -> None:
    points = face(tilt=0.1)
    mirrored = points[SWAPPED] * [-1, 1] + [1, 0]
    found = torch.from_numpy(boxes(points, kind))[None, None]
    expected = mirror(found, kind)[0, 0].numpy()
    places = [5] if kind == "au" else []  # its points are not symmetric: 48 to 55
    keep = [place for place in range(len(expected)) if place not in places]
    np.testing.assert_allclose(boxes(mirrored, kind)[keep], expected[keep], atol=1e-6)
    if kind == "au":
        swapped = boxes(mirrored)
        np.testing.assert_allclose(swapped[1, [0, 2]], 1 - boxes(points)[0, [2, 0]], atol=1e-6)
        np.testing.assert_allclose(swapped[0, [0, 2]], 1 - boxes(points)[1, [2, 0]], atol=1e-6)


def test_unseen_points_do_not_count_and_too_few_leave_the_usual_box() -> None:
    points = face()
    outside = points.copy()
    outside[17] = (-3.0, -3.0)
    moved, scale = boxes(outside, hidden=(17,)), float(np.linalg.norm(points[36] - points[45]))
    assert moved[0, 0] == pytest.approx(points[18, 0] - MARGIN * scale, abs=1e-6)
    hidden = (*range(17, 22), *range(36, 40))
    two, three = boxes(points, hidden=hidden), boxes(points, hidden=hidden[:-1])
    tight = np.concatenate([points.min(0), points.max(0)])[None]
    np.testing.assert_allclose(two[0], clip_boxes(place_usual(tight, "au"))[0, 0], atol=1e-6)
    own = points[[39, 40, 41]]
    np.testing.assert_allclose(
        three[0, [0, 2]], [own[:, 0].min() - MARGIN * scale, own[:, 0].max() + MARGIN * scale], atol=1e-6
    )
    nobody = boxes(points, hidden=tuple(range(68)))
    np.testing.assert_allclose(nobody, clip_boxes(place_usual(tight, "au"))[0], atol=1e-6)


@given(seed=st.integers(0, 10**6), size=st.floats(0.01, 3), shift=st.floats(-2, 2), kind=st.sampled_from(sorted(KINDS)))
def test_boxes_lie_within_the_image_and_have_a_size(seed: int, size: float, shift: float, kind: str) -> None:
    rng = np.random.default_rng(seed)
    points = (face() + rng.normal(0, 0.02, (68, 2))) * size + shift
    visible = rng.random((1, 68)) < 0.5
    found = boxes_of_points(points[None], visible, kind)[0]
    assert (found >= 0).all() and (found <= 1).all()
    assert (found[:, 2:] - found[:, :2] >= CELL - 1e-6).all()


def only(**settings: float) -> AugmentConfig:
    off = AugmentConfig(flip=0, rotate=0, translate=0, scale=0, brightness=0, contrast=0)
    return off.model_copy(update=settings)


def test_a_flip_mirrors_boxes_and_swaps_left_and_right() -> None:
    clips = torch.rand(2, 3, 1, 16, 16)
    given_boxes = torch.tensor([0.1, 0.2, 0.7, 0.9]).repeat(2, 3, 9, 1)
    given_boxes[:, :, 0] = torch.tensor([0.0, 0.1, 0.3, 0.4])
    images, moved = augment_clips(clips, given_boxes, only(flip=1.0), "au", 5)
    torch.testing.assert_close(moved[0, 0, 2], torch.tensor([0.3, 0.2, 0.9, 0.9]))
    torch.testing.assert_close(moved[0, 0, 1], torch.tensor([0.7, 0.1, 1.0, 0.4]))
    torch.testing.assert_close(moved[0, 0, 0], torch.tensor([0.3, 0.2, 0.9, 0.9]))
    torch.testing.assert_close(moved, mirror(given_boxes, "au"))
    torch.testing.assert_close(images, clips.flip(-1))
    same, kept = augment_clips(clips, given_boxes, only(), "au", 5)
    torch.testing.assert_close(kept, given_boxes)
    torch.testing.assert_close(same, clips)


def test_clips_change_with_boxes_as_they_do_without() -> None:
    clips, given_boxes = torch.rand(4, 3, 1, 16, 16), torch.rand(4, 3, 9, 2, 2).sort(3).values.flatten(3)
    images, moved = augment_clips(clips, given_boxes, AugmentConfig(erase=0.5), "au", 9)
    torch.testing.assert_close(images, augment(clips, AugmentConfig(erase=0.5), 9), rtol=0, atol=0)
    assert moved.shape == given_boxes.shape and moved.dtype == torch.float32


@given(
    seed=st.integers(0, 10**6),
    x=st.floats(0.3, 0.7),
    y=st.floats(0.3, 0.7),
    degrees=st.floats(0, 40),
    zoom=st.floats(0, 0.3),
    shift=st.floats(0, 0.1),
    flip=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_a_bright_patch_stays_inside_its_box(
    seed: int, x: float, y: float, degrees: float, zoom: float, shift: float, flip: float
) -> None:
    side = 64
    places = (torch.arange(side) + 0.5) / side
    box = torch.tensor([x - 0.1, y - 0.06, x + 0.1, y + 0.06])
    inside = ((places > box[0]) & (places < box[2]))[None, :] & ((places > box[1]) & (places < box[3]))[:, None]
    clips = inside.float().expand(2, 2, 1, side, side)
    config = only(rotate=degrees, scale=zoom, translate=shift, flip=flip)
    images, moved = augment_clips(clips, box.expand(2, 2, 3, 4), config, "none", seed)
    for clip in range(2):
        left, top, right, bottom = moved[clip, 0, 0].tolist()
        rows, columns = torch.nonzero(images[clip, 0, 0] > 0.5, as_tuple=True)
        reach = 1 / side
        assert places[columns].min() >= left - reach and places[columns].max() <= right + reach
        assert places[rows].min() >= top - reach and places[rows].max() <= bottom + reach
        spare = 0.12 + 0.2 * degrees / 40 + 2 * reach
        assert (right - left) - float(places[columns].max() - places[columns].min()) < spare, "not much larger either"


def test_boxes_moved_out_of_the_picture_keep_the_size_of_a_cell() -> None:
    away = torch.tensor([[[1.0, 0.0, 3.0], [0.0, 1.0, 0.0]]])
    moved = move_boxes(torch.tensor([[[[0.1, 0.2, 0.5, 0.6]]]]), away)[0, 0, 0]
    torch.testing.assert_close(moved, torch.tensor([0.0, 0.2, CELL, 0.6]))
