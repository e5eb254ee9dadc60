"""Windows of clips over a track: their frames, their overlap, and the mean of their probabilities."""

import numpy as np
import pytest

from fer_cli.use.preparation import Picture, Preparation
from fer_cli.use.windows import Decisions, Sighting, View, Windows


class Sums:
    """A recogniser of two classes: the first has the mean of the clip's grey values, as a share of 255."""

    name, classes, notes = "sums", ["bright", "dark"], list[str]()

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.preparation = Preparation(picture=Picture(size=8), size=8, frames=frames)
        self.seen: list[list[int]] = []

    def predict(self, faces: np.ndarray, regions: np.ndarray | None = None) -> np.ndarray:
        self.seen += faces[:, :, 0, 0, 0].tolist()
        bright = faces.mean((1, 2, 3, 4), dtype=np.float64) / 255
        return np.stack([bright, 1 - bright], 1).astype(np.float32)


def view(value: int) -> View:
    return View(np.full((1, 8, 8), value, np.uint8))


def decide(frames: int, times: list[float], interval: float | None = None) -> tuple[Sums, list[Sighting]]:
    """Pass a track whose n-th frame has grey value n, and return its sightings, all recognised."""
    sums = Sums(frames)
    decisions, windows = Decisions(sums), Windows(frames, interval)
    sightings = [Sighting(1, (0, 0, 8, 8)) for _ in times]
    for number, time in enumerate(times):
        decisions.add(windows.push(sightings[number], view(number), time))
    decisions.add(windows.finish())
    decisions.flush()
    assert all(one.done for one in sightings)
    return sums, sightings


def test_stills_are_windows_of_one_frame() -> None:
    sums, sightings = decide(1, [0.1 * n for n in range(40)])
    assert sums.seen == [[n] for n in range(40)]
    assert [one.probabilities[0] for one in sightings] == pytest.approx([n / 255 for n in range(40)], rel=1e-5)


def test_windows_overlap_by_half_and_their_probabilities_are_averaged() -> None:
    """Frames 0-3, 2-5, 4-7, and at the end 5-8."""
    sums, sightings = decide(4, [0.1 * n for n in range(9)])
    assert sums.seen == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [5, 6, 7, 8]]
    means = np.array([1.5, 3.5, 5.5, 6.5])
    spans = [(0, 3), (2, 5), (4, 7), (5, 8)]
    for frame, one in enumerate(sightings):
        covering = [mean for mean, (first, last) in zip(means, spans, strict=True) if first <= frame <= last]
        if frame == 5:  # given out before the last window, which only the end of the track makes
            covering.remove(6.5)
        assert one.probabilities[0] * 255 == pytest.approx(np.mean(covering), rel=1e-5), frame
        assert one.probabilities.sum() == pytest.approx(1)


def test_a_short_track_repeats_frames_as_short_clips_in_training() -> None:
    assert decide(4, [0.0])[0].seen == [[0, 0, 0, 0]]
    assert decide(4, [0.0, 0.1])[0].seen == [[0, 0, 1, 1]]
    assert decide(4, [0.0, 0.1, 0.2])[0].seen == [[0, 1, 1, 2]]


def test_a_track_that_ends_with_a_window_has_no_other() -> None:
    assert decide(4, [0.1 * n for n in range(4)])[0].seen == [[0, 1, 2, 3]]
    assert decide(4, [0.1 * n for n in range(6)])[0].seen == [[0, 1, 2, 3], [2, 3, 4, 5]]


@pytest.mark.parametrize(("rate", "step"), [(8, 2), (12, 3), (24, 6)])
def test_frames_are_as_far_apart_as_in_training(rate: int, step: int) -> None:
    """A quarter of a second, whatever the video's rate; frames in between are decided by the windows around them."""
    sums, sightings = decide(4, [n / rate for n in range(4 * step + 1)], interval=0.25)
    assert sums.seen[0] == [0, step, 2 * step, 3 * step]
    assert sums.seen[-1] == [step, 2 * step, 3 * step, 4 * step]
    assert sightings[1].probabilities[0] * 255 == pytest.approx(1.5 * step, rel=1e-5)


def test_a_slow_video_takes_every_frame_and_a_gap_starts_no_flood() -> None:
    assert decide(2, [0.0, 1.0, 2.0], interval=0.25)[0].seen == [[0, 1], [1, 2]]
    sums, _ = decide(4, [0.0, 0.25, 2.0, 2.05, 2.1, 2.25, 2.5], interval=0.25)
    assert sums.seen == [[0, 1, 2, 5], [1, 2, 5, 6]]


def test_uneven_rates_keep_the_mean_distance() -> None:
    """30 frames a second and a distance of 0.28 s: on average every 8.4th frame, not every 9th."""
    sums, _ = decide(8, [n / 30 for n in range(240)], interval=0.28)
    taken = sorted({value for window in sums.seen for value in window})
    assert np.diff(taken).mean() == pytest.approx(8.4, abs=0.15) and set(np.diff(taken)) == {8, 9}


def test_sightings_are_given_out_while_a_track_goes_on() -> None:
    """At most the frames of one window and of one batch are held."""
    sums = Sums(6)
    decisions, windows, held, most = Decisions(sums), Windows(6), list[Sighting](), 0
    for number in range(2000):
        one = Sighting(1, (0, 0, 8, 8))
        held.append(one)
        decisions.add(windows.push(one, view(number % 256), number / 30))
        held = [one for one in held if not one.done]
        most = max(most, len(held))
    assert most <= 6 + 3 * 16
    assert len(windows._held) <= 6 and len(windows._recent) <= 6
