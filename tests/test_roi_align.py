"""RoIAlign: hand-computed values, a loop over samples, and its symmetries."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fer_cli.models.roi_align import roi_align
from tests.clip_inputs import random_boxes

COUNTED = torch.arange(16.0).reshape(1, 1, 4, 4)


def bilinear(image: Tensor, y: float, x: float) -> Tensor:
    """The value (C,) of an image (C, H, W) at pixel coordinates, centres at whole numbers, clamped to the border."""
    height, width = image.shape[1:]
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = min(int(y), height - 1), min(int(x), width - 1)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    upper = (1 - across) * image[:, top, left] + across * image[:, top, right]
    lower = (1 - across) * image[:, bottom, left] + across * image[:, bottom, right]
    return (1 - down) * upper + down * lower


def looped(image: Tensor, box: Tensor, side: int) -> Tensor:
    """RoIAlign (C, side, side) of one box, sample by sample."""
    channels, height, width = image.shape
    x0, y0, x1, y1 = box.tolist()
    out = torch.zeros(channels, side, side)
    for row in range(2 * side):
        for column in range(2 * side):
            y = (y0 + (y1 - y0) * (row + 0.5) / (2 * side)) * height - 0.5
            x = (x0 + (x1 - x0) * (column + 0.5) / (2 * side)) * width - 0.5
            out[:, row // 2, column // 2] += bilinear(image, y, x) / 4
    return out


@pytest.mark.parametrize(
    ("box", "values"),
    [
        ((0, 0, 1, 1), [2.5, 4.5, 10.5, 12.5]),
        ((0.25, 0.25, 0.75, 0.75), [5, 6, 9, 10]),
        ((0, 0, 0.5, 0.25), [0.125, 1, 1.125, 2]),
        ((0.1, 0.2, 0.7, 0.9), [4.5, 5.7, 10.1, 11.3]),
    ],
)
def test_values_are_those_computed_by_hand(box: tuple[float, ...], values: list[float]) -> None:
    made = roi_align(COUNTED, torch.tensor(box, dtype=torch.float32).reshape(1, 1, 4), 2)
    torch.testing.assert_close(made.flatten(), torch.tensor(values, dtype=torch.float32), rtol=0, atol=1e-5)


def test_values_of_a_sine() -> None:
    maps = torch.sin(0.37 * torch.arange(64.0)).reshape(1, 1, 8, 8)
    made = roi_align(maps, torch.tensor([[[0.1, 0.2, 0.7, 0.9]]]), 2)
    wanted = torch.tensor([0.018069, 0.009892, -0.179510, 0.145192])
    torch.testing.assert_close(made.flatten(), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("height", "width", "side"), [(6, 6, 4), (7, 5, 3), (1, 1, 2)])
def test_it_equals_a_loop(height: int, width: int, side: int) -> None:
    torch.manual_seed(0)
    maps, boxes = torch.randn(3, 4, height, width), random_boxes(3, 1, 5)[:, 0]
    boxes[0, 0] = torch.tensor([0.0, 0.0, 1.0, 1.0])  # samples beyond the centres of the outermost pixels
    wanted = torch.stack(
        [torch.stack([looped(one, box, side) for box in part]) for one, part in zip(maps, boxes, strict=True)]
    )
    torch.testing.assert_close(roi_align(maps, boxes, side), wanted, rtol=0, atol=1e-5)


def test_regions_keep_their_order_and_mirror_images_give_mirrored_regions() -> None:
    torch.manual_seed(0)
    maps, boxes = torch.randn(2, 3, 6, 6), random_boxes(2, 1, 9)[:, 0]
    made, order = roi_align(maps, boxes, 4), torch.randperm(9)
    torch.testing.assert_close(roi_align(maps, boxes[:, order], 4), made[:, order])
    mirrored = torch.stack([1 - boxes[..., 2], boxes[..., 1], 1 - boxes[..., 0], boxes[..., 3]], 2)
    torch.testing.assert_close(roi_align(maps.flip(3), mirrored, 4), made.flip(4), rtol=0, atol=1e-5)


def test_places_are_exact_under_autocast() -> None:
    torch.manual_seed(0)
    maps, boxes = torch.randn(2, 3, 6, 6), random_boxes(2, 1, 9)[:, 0]
    with torch.autocast("cpu", torch.bfloat16):
        made = roi_align(maps, boxes, 4)
    assert torch.equal(made, roi_align(maps, boxes, 4))


def test_values_and_gradients_are_those_of_grid_sample() -> None:
    torch.manual_seed(0)
    maps, boxes, side = torch.randn(2, 3, 7, 5, requires_grad=True), random_boxes(2, 1, 4)[:, 0], 3
    steps = (torch.arange(2 * side) + 0.5) / (2 * side)
    places = 2 * (boxes[..., :2, None] + (boxes[..., 2:] - boxes[..., :2])[..., None] * steps) - 1  # (N, R, 2, points)
    x, y = places[:, :, 0, None, :].expand(-1, -1, 6, -1), places[:, :, 1, :, None].expand(-1, -1, -1, 6)
    grid = torch.stack([x, y], -1).flatten(1, 2)
    sampled = F.grid_sample(maps, grid, padding_mode="border", align_corners=False)
    wanted = F.avg_pool2d(sampled, 2).reshape(2, 3, 4, side, side).transpose(1, 2)
    made, weights = roi_align(maps, boxes, side), torch.randn(2, 4, 3, side, side)
    torch.testing.assert_close(made, wanted, rtol=0, atol=1e-5)
    gradients = [torch.autograd.grad((one * weights).sum(), maps)[0] for one in (made, wanted)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-5)
