"""Hashes of pixels that fingerprints stand for: ``python -m tests.drawn [THREADS]`` prints them as JSON.

Of small embedded sets, one of each kind, of a lesson, and of a photograph as it is resized for a real set. Beside pixels
and truth, ``floats`` covers what they are made from before it is rounded to 256 levels. A last digit that depends on the
processor shows there first.
"""

import hashlib
import itertools
import json
import sys

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from fer_cli.data.cards import Embedded, load_card
from fer_cli.data.decode import INTERPOLATION, Preparation, prepare_image
from fer_cli.features.extractor import resize
from fer_cli.seeds import derive_seed
from fer_cli.synthetic import faces, sets
from fer_cli.synthetic.actions import UNITS
from fer_cli.synthetic.expressions import RECIPES, draw_expression
from fer_cli.synthetic.identities import make_identity
from fer_cli.synthetic.lesson import Lesson, draw_frame
from fer_cli.synthetic.render import draw_head

KINDS = {
    "synth-basic": {"images": 16, "subjects": 4},
    "synth-learning": {"images": 12, "subjects": 3, "size": 64},
    "synth-student": {"images": 8, "subjects": 2},
    "synth-scene": {"images": 7, "subjects": 2},
    "synth-lecture": {"images": 7, "subjects": 2, "frames": [3, 3]},
    "synth-order": {"images": 4, "subjects": 2, "frames": [3, 3]},
    "synth-gesture": {"images": 7, "subjects": 2, "frames": [3, 3], "size": 64},
    "synth-gesture-time": {"images": 2, "subjects": 2, "frames": [3, 3], "size": 64},
}
"""Card -> options that make a small set of it."""


def small_set(name: str) -> tuple[Embedded, list[str]]:
    """Return options and classes of a small set."""
    card = load_card(name)
    assert card.embedded is not None
    return card.embedded.model_copy(update=KINDS[name]), card.classes


def set_hash(name: str) -> str:
    """Return 16 hex digits over the pixels and the truth of a small set."""
    options, classes = small_set(name)
    total = hashlib.sha256()
    for task in sets.make_tasks(options, classes):
        images, rows = sets.render_person(task)
        total.update(images.tobytes() + repr(rows).encode())
    return total.hexdigest()[:16]


def float_hash() -> str:
    """Return 16 hex digits over shapes, textures and shaded heads, float32, of two people who show an expression each."""
    total = hashlib.sha256()
    for number, label in enumerate(("happy", "fear")):
        person = make_identity(7, number, len(UNITS))
        rng = np.random.default_rng(derive_seed(7, "floats", number))
        shown = draw_expression(RECIPES["basic"][label], label, rng, 0.3, 14.0)
        points, units = faces.express(person, shown)
        turn = faces.rotation(shown.yaw, shown.pitch, shown.roll)
        view = faces.frame(points[faces.landmark_ids()], faces.Look(), rng)
        eyes = faces.Eyes(person.iris, person.sclera, 2.0, faces.gaze_vectors(shown, turn))
        lighting = faces.camera.draw_lighting(rng, person.gloss, 0.4)
        head = draw_head(points, turn, view, 96, person.albedo, faces.fold_texture(person, units), eyes, lighting)
        for array in (person.shape, person.albedo, person.lines, head.image, faces.camera.draw_background(rng, 96)):
            total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


def resized_hash() -> str:
    """Return 16 hex digits over a photograph, grey and RGB, brought to 48 pixels in every way, and as features resize it."""
    total = hashlib.sha256()
    photo = np.random.default_rng(3).integers(0, 256, (40, 70, 3), dtype=np.uint8).repeat(3, 0).repeat(2, 1)
    for name, picture in itertools.product(INTERPOLATION, (photo, np.ascontiguousarray(photo[..., 1]))):
        made = prepare_image(picture, "", None, Preparation(size=48, interpolation=name))  # type: ignore[arg-type]
        assert made.image is not None
        total.update(np.ascontiguousarray(made.image).tobytes())
    for side in (40, 400):
        total.update(np.ascontiguousarray(resize(photo[..., 1], side)).tobytes())
    return total.hexdigest()[:16]


def lesson_hash() -> str:
    """Return 16 hex digits over a frame of a lesson and its truth."""
    frame, rows = draw_frame(Lesson(seconds=2.0, faces=5, seed=1), 20)
    return hashlib.sha256(frame.tobytes() + repr(rows).encode()).hexdigest()[:16]


def all_hashes(threads: int = 1) -> dict[str, str]:
    """Return every hash, computed with so many threads."""
    cv2.setNumThreads(threads)
    with threadpool_limits(threads):
        others = {"lesson": lesson_hash(), "floats": float_hash(), "resized": resized_hash()}
        return {**{name: set_hash(name) for name in KINDS}, **others}


if __name__ == "__main__":
    print(json.dumps(all_hashes(int(sys.argv[1]) if len(sys.argv) > 1 else 1)))
