"""Whether bowed heads are found in rendered pictures of a lesson: needs the extra ``landmarks``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fer_cli.data.align import Crop, choose_face, load_detector
from fer_cli.interaction.thresholds import HeadThresholds
from fer_cli.synthetic.actions import UNITS
from fer_cli.synthetic.expressions import RECIPES, draw_expression
from fer_cli.synthetic.faces import make_face
from fer_cli.synthetic.identities import make_identity
from fer_cli.synthetic.lesson import CENTRE_MM, CLEAR, LOOK, draw_seat, draw_wall, make_tiles
from fer_cli.synthetic.render import View
from fer_cli.use.heads import Heads, find_landmarks

PEOPLE, FACES, FRONTAL = 8, 14, 5
BOWED = HeadThresholds().bowed_deg


def draw_heads(number: int) -> list[tuple[np.ndarray, float]]:
    """Return pictures (H, W, 3) of a person's tile with the true pitch; the first ones look ahead."""
    tile, labels, drawn = make_tiles(2)[0], list(RECIPES["basic"]), []
    rng = np.random.default_rng([7, number])
    who, seat = make_identity(7, number, len(UNITS)), draw_seat(rng, draw_wall(number), tile)
    distance, scene = float(rng.uniform(800, 1100)), int(rng.integers(2**62))
    y, x = (tile.side - tile.height) // 2, (tile.side - tile.width) // 2
    for face in range(FACES):
        here = np.random.default_rng([7, number, face])
        label = labels[(face + number) % len(labels)]
        pitch = float(here.normal(0, 4) if face < FRONTAL else here.uniform(-35, 12))
        shown = replace(draw_expression(RECIPES["basic"][label], label, here, 0.2, 6.0), pitch=pitch)
        view = View((0.0, CENTRE_MM), tile.extent, distance)
        light = np.random.default_rng(scene)
        image = make_face(who, shown, LOOK, tile.side, light, view=view, ingredients=CLEAR, background=seat).image
        drawn.append((np.ascontiguousarray(image[y : y + tile.height, x : x + tile.width]), pitch))
    return drawn


@pytest.mark.exhaustive
def test_bowed_heads_are_separated_from_upright_ones_with_an_auc_of_95_percent() -> None:
    """Against the true pitch of pictures as a lesson shows them; no head that is found by the detector goes unmeasured."""
    place, detect = find_landmarks(), load_detector(Crop())
    assert place is not None, "pip install 'fer-cli[landmarks]'"
    heads = Heads(HeadThresholds(baseline_s=FRONTAL), place, lambda _: None)
    pitch, found = [], []
    for number in range(PEOPLE):
        for t, (picture, true) in enumerate(draw_heads(number)):
            face = choose_face(detect(picture))
            assert face is not None
            measured = heads.measure(picture, float(t), str(number), face.box)
            if t >= FRONTAL:
                pitch.append(true)
                found.append(measured)
    true, seen = np.array(pitch), np.array(found, np.float64)
    assert np.isfinite(seen).all() and 15 < (true < BOWED).sum() < 60
    bowed, upright = seen[true < BOWED], seen[true >= BOWED]
    assert (bowed[:, None] < upright[None]).mean() > 0.95
    assert (bowed < BOWED).mean() > 0.75 and (upright < BOWED).mean() < 0.25
    assert np.corrcoef(seen, true)[0, 1] > 0.85
