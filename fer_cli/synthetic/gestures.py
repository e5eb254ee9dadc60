"""Clips of a teacher's upper body: pointing, writing, explaining, arms crossed, nodding, hand raised, idle.

A gesture gives arm directions over time. A clip goes from rest into the gesture and back, at a random place; beckoning and
waving off, which differ in the direction of time alone, go on throughout. Bodies use the rasteriser and shading of faces;
faces are neutral.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from fer_cli.synthetic import camera, exact
from fer_cli.synthetic.body import SIDES
from fer_cli.synthetic.clips import wander
from fer_cli.synthetic.clothes import style_of
from fer_cli.synthetic.episodes import GESTURE, Episode, constant_episode, draw_episode
from fer_cli.synthetic.faces import OVERSAMPLE
from fer_cli.synthetic.figures import draw_figure, make_figure
from fer_cli.synthetic.identities import Identity
from fer_cli.synthetic.ingredients import EVERYTHING, Ingredients
from fer_cli.synthetic.joints import locate_joints
from fer_cli.synthetic.poses import HANGING, Arm, Pose
from fer_cli.synthetic.render import View

BLUR_PX = 0.5
"""Blur of an unsharp picture, in pixels: heads are small, and would vanish in the blur of a picture of a face."""
SPAN_MM = (1500.0, 1600.0)
"""Range of the image side: hands that point or are raised stay inside."""
LOWEST_VIEW_MM = -940.0
"""Least height of the lower border: bodies end at the thighs."""
CENTRE_MM = (0.0, -215.0)


def jitter(value: tuple[float, float, float], size: float, rng: np.random.Generator) -> tuple[float, float, float]:
    """Return ``value`` with random noise added."""
    x, y, z = np.asarray(value) + rng.normal(0, size, 3)
    return (float(x), float(y), float(z))


def one_arm(arm: Arm, rng: np.random.Generator, trunk: float = 0.0) -> Callable[[float], Pose]:
    """Return a motion of one arm, left or right, while the other hangs; ``trunk``: rotation to that side in degrees."""
    left = bool(rng.random() < 0.5)
    drawn = replace(arm, upper=jitter(arm.upper, 0.1, rng), fore=jitter(arm.fore, 0.1, rng))
    speed, size, phase = rng.uniform(0.4, 1.0), rng.uniform(0.02, 0.08), rng.uniform(0, 6.3)

    def at(t: float) -> Pose:
        x, y, z = drawn.fore
        moving = replace(drawn, fore=(x + size * np.sin(speed * t + phase), y + size * np.cos(speed * t), z))
        turn = trunk if left else -trunk
        return Pose(moving if left else HANGING, HANGING if left else moving, (turn, 0.0), (turn * 0.6, 0.0))

    return at


def pointing(rng: np.random.Generator) -> Callable[[float], Pose]:
    """Point to the side with the index finger, the elbow slightly bent."""
    fore = (0.52, rng.uniform(0.15, 0.42), 0.74)
    return one_arm(Arm((0.48, rng.uniform(-0.8, -0.45), 0.35), fore, twist=-45, curl=62, point=True), rng, 14)


def writing(rng: np.random.Generator) -> Callable[[float], Pose]:
    """Write on a board, half turned to it, with small strokes of the hand at head height."""
    move = one_arm(Arm((0.72, 0.05, -0.15), (0.35, 0.9, -0.05), twist=80, curl=32), rng, rng.uniform(38, 60))
    rate, size = rng.uniform(1.4, 2.4), rng.uniform(0.08, 0.16)

    def at(t: float) -> Pose:
        pose = move(t)

        def stroke(arm: Arm) -> Arm:
            if arm is HANGING:
                return arm
            x, y, z = arm.fore
            return replace(arm, fore=(x + size * np.sin(rate * t), y, z + size * np.cos(1.7 * rate * t)))

        return replace(pose, left=stroke(pose.left), right=stroke(pose.right))

    return at


def explaining(rng: np.random.Generator) -> Callable[[float], Pose]:
    """Move both forearms, held forward with open palms, apart and together."""
    upper, high, rate = jitter((0.24, -0.92, 0.2), 0.05, rng), rng.uniform(0.0, 0.4), rng.uniform(0.35, 0.7)
    phase = rng.uniform(0, 6.3)

    def at(t: float) -> Pose:
        out = 0.08 + 0.3 * np.sin(rate * t + phase)
        lift = high + 0.15 * np.cos(rate * t)
        arm = Arm(upper, (float(out), float(lift), 0.8), twist=-125, curl=4)
        return Pose(arm, arm)

    return at


def crossed_arms(rng: np.random.Generator) -> Callable[[float], Pose]:
    """Cross the forearms in front of the chest, one over the other, each hand at the other upper arm."""
    high, sway = rng.uniform(-0.05, 0.04), rng.uniform(0.01, 0.03)
    left_over = bool(rng.random() < 0.5)

    def at(t: float) -> Pose:
        move = sway * np.sin(0.5 * t)
        over = Arm((0.15, -0.75, 0.63 + move), (-0.95, 0.19 + high, 0.28), 10, 0, hand=(-0.88, 0.1 + high, -0.45))
        under = Arm((0.15, -0.83, 0.49 + move), (-0.96, 0.09 + high, 0.12), 10, 4, hand=(-0.85, 0.42 + high, -0.1))
        return Pose(over, under) if left_over else Pose(under, over)

    return at


def nodding(rng: np.random.Generator) -> Callable[[float], Pose]:
    """Nod the head with hanging arms, lowest in the middle of the episode."""
    size, rate = rng.uniform(20, 28), rng.uniform(0.8, 1.4)
    return lambda t: Pose(HANGING, HANGING, head=(0.0, float(-size * (0.5 + 0.5 * np.cos(rate * t)))))


def hand_raised(rng: np.random.Generator) -> Callable[[float], Pose]:
    """Raise an arm with the hand open."""
    return one_arm(Arm((0.54, 0.64, 0.15), (0.06, 0.98, 0.1), twist=-80, curl=-5), rng)


def idle(rng: np.random.Generator) -> Callable[[float], Pose]:
    """Stand still."""
    return lambda t: Pose(HANGING, HANGING)


IN = Arm((0.3, -0.86, 0.42), (0.02, 0.9, 0.42), twist=-60, curl=42, hand=(-0.2, 0.75, -0.5))
OUT = Arm((0.42, -0.72, 0.55), (0.5, 0.3, 0.8), twist=-60, curl=4, hand=(0.55, 0.05, 0.8))
"""A forearm bent to the shoulder and one held out, between which hands beckon."""
STROKE = 0.28
"""Fraction of the period of beckoning that its quick stroke towards the body takes."""


def beckoning(rng: np.random.Generator) -> Callable[[float], Pose]:
    """Move a forearm quickly towards the body and slowly out again, over and over."""
    left, period, phase = bool(rng.random() < 0.5), rng.uniform(7, 11), rng.uniform()
    near, far = (replace(arm, upper=jitter(arm.upper, 0.06, rng), fore=jitter(arm.fore, 0.06, rng)) for arm in (IN, OUT))

    def at(t: float) -> Pose:
        place = (t / period + phase) % 1.0
        ramp = place / STROKE if place < STROKE else (1 - place) / (1 - STROKE)
        moving = mix_arms(far, near, ramp * ramp * (3 - 2 * ramp))
        return Pose(moving, HANGING) if left else Pose(HANGING, moving)

    return at


def waving_off(rng: np.random.Generator) -> Callable[[float], Pose]:
    """Beckon backwards in time: a forearm moves quickly away from the body and slowly back."""
    motion = beckoning(rng)
    return lambda t: motion(-t)


GESTURES: dict[str, Callable[[np.random.Generator], Callable[[float], Pose]]] = {
    "pointing": pointing,
    "writing": writing,
    "explaining": explaining,
    "crossed-arms": crossed_arms,
    "nodding": nodding,
    "hand-raised": hand_raised,
    "idle": idle,
    "beckon": beckoning,
    "wave-off": waving_off,
}
"""Gesture -> function that draws a motion: a pose at each time, in frames from the middle of its episode."""
PERIODIC = ("beckon", "wave-off")
"""Gestures that go on throughout a clip."""


Direction = tuple[float, ...]


def between(p: Direction, q: Direction, share: float) -> Any:
    """Return the interpolation of two directions or angles."""
    return tuple(float((1 - share) * x + share * y) for x, y in zip(p, q, strict=True))


def mix_arms(a: Arm, b: Arm, share: float) -> Arm:
    """Return the interpolation of two arms."""
    upper, fore = between(a.upper, b.upper, share), between(a.fore, b.fore, share)
    hand = None if a.hand is b.hand is None else between(a.hand or a.fore, b.hand or b.fore, share)
    twist, curl = between((a.twist, a.curl), (b.twist, b.curl), share)
    return Arm(upper, fore, twist, curl, b.point, hand)


def mix_poses(rest: Pose, pose: Pose, share: float) -> Pose:
    """Return the interpolation of two poses: ``share`` 0 is ``rest``, 1 is ``pose``."""
    left, right = mix_arms(rest.left, pose.left, share), mix_arms(rest.right, pose.right, share)
    return Pose(left, right, between(rest.trunk, pose.trunk, share), between(rest.head, pose.head, share))


def draw_gesture(
    label: str, frames: int, rng: np.random.Generator, difficulty: float, rate: float
) -> tuple[list[Pose], Episode]:
    """Return a pose per frame and the gesture's episode; ``difficulty`` makes gestures smaller and adds body movement.

    ``rate``: frames per second.
    """
    motion = GESTURES[label](rng)
    episode = constant_episode(frames) if label in PERIODIC else draw_episode(frames, rng, GESTURE)
    shares = episode.intensity * rng.uniform(1.0 - 0.5 * difficulty, 1.0)
    restless = 3.0 + 7.0 * difficulty
    drifts = [wander(frames, restless * size, rng, rate) for size in (1.0, 0.4, 1.4, 0.8)]
    start = Pose(HANGING, HANGING)
    poses = [mix_poses(start, motion(t - episode.middle), float(shares[t])) for t in range(frames)]
    moved = [
        replace(
            pose,
            trunk=(pose.trunk[0] + drifts[0][t], pose.trunk[1] + drifts[1][t]),
            head=(pose.head[0] + drifts[2][t], pose.head[1] + drifts[3][t]),
        )
        for t, pose in enumerate(poses)
    ]
    return moved, episode


def draw_view(rng: np.random.Generator) -> View:
    """Return a view from head to thighs with room for a raised arm."""
    shift, extent = rng.normal(0, 40, 2), rng.uniform(*SPAN_MM)
    height = max(CENTRE_MM[1] + shift[1], LOWEST_VIEW_MM + extent / 2)
    return View((CENTRE_MM[0] + shift[0], height), extent, float(rng.uniform(2200, 3600)))


def gesture_clip(
    person: Identity,
    label: str,
    frames: int,
    size: int,
    rng: np.random.Generator,
    difficulty: float,
    rate: float,
    ingredients: Ingredients = EVERYTHING,
) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """Yield the frames (size, size, 3) uint8 of a clip with their ground truth, in a constant scene."""
    style = style_of(ingredients)
    poses, episode = draw_gesture(label, frames, rng, difficulty, rate)
    figure = make_figure(person, style)
    view = draw_view(rng)
    lighting = camera.draw_lighting(rng, person.gloss, difficulty)
    if not ingredients.light:
        lighting = camera.FRONTAL
    background = camera.draw_background(rng, size * OVERSAMPLE)
    scene, noise = int(rng.integers(2**62)), np.random.default_rng(int(rng.integers(2**62)))
    for t, pose in enumerate(poses):
        drawn = draw_figure(person, figure, pose, view, lighting, background, style)
        lens = np.random.default_rng(scene)
        picture = camera.expose(drawn.image, size, lens, noise, difficulty, ingredients.lens, BLUR_PX, drawn.skin[::2, ::2])
        places = locate_joints(person, drawn.motions, view, size, (figure, drawn))
        yield picture, truth_of_pose(pose) | episode.truth(t) | places.truth()


def truth_of_pose(pose: Pose) -> dict[str, float]:
    """Return the ground truth of an image: rotations in degrees, and each hand's height from -2 (hanging) to 2 (raised)."""
    truth = {"trunk_yaw": pose.trunk[0], "trunk_pitch": pose.trunk[1], "head_yaw": pose.head[0], "head_pitch": pose.head[1]}
    for side, arm in zip(SIDES, (pose.left, pose.right), strict=True):
        parts = [np.asarray(direction) / exact.length(np.asarray(direction)) for direction in (arm.upper, arm.fore)]
        truth[f"hand_{side}"] = float(parts[0][1] + parts[1][1])
    return {name: round(value, 4) for name, value in truth.items()}
