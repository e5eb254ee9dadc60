"""``fer predict`` on videos: two tracked people, times and rotation, clips, bounded memory, interruptions, bad input."""

import csv
import io
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer_cli.data.clips import group_clips
from fer_cli.data.manifest import load_set
from fer_cli.runs import RunFolder
from fer_cli.synthetic.build import build_embedded
from fer_cli.synthetic.lesson import Lesson, draw_lesson
from fer_cli.use import faces
from fer_cli.use.predict import Reader
from fer_cli.use.recogniser import load_recogniser
from fer_cli.use.sources import Moment, read_moments
from tests.conftest import Called
from tests.films import stretch_film, turn_film, write_film
from tests.processes import fork_fer, wait_for
from tests.studies import FER
from tests.test_clip_runs import OPTIONS
from tests.test_video import cut_short, write_video
from tests.used import CLIPS, STILLS, train_one

Fer = Callable[..., Called]
FRAMES = 12


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("used")


@pytest.fixture(scope="module")
def stills(results: Path, both_root: Path) -> RunFolder:
    return train_one(STILLS, both_root, results)


@pytest.fixture(scope="module")
def lecture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lecture")
    build_embedded("synth-lecture", root, OPTIONS)
    return root


@pytest.fixture(scope="module")
def clips(results: Path, lecture: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run on clips whose regions are placed by the detected face, in training as in use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FER_CACHE", str(tmp_path_factory.mktemp("cache")))
        return train_one(CLIPS, lecture, results, data={"landmarks": "fallback"})


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """A second of a lesson of two people there and back, twice, and the truth per frame."""
    drawn = list(draw_lesson(Lesson(1.0, 2, 3)))
    order = [*range(FRAMES), *range(FRAMES - 1, -1, -1)] * 2
    path = tmp_path_factory.mktemp("lesson") / "lesson.mp4"
    write_film(path, [drawn[number][0] for number in order], 12)
    rows = [row | {"frame": place} for place, number in enumerate(order) for row in drawn[number][1]]
    return path, pd.DataFrame(rows)


@pytest.fixture
def predict(fer: Fer, results: Path, both_root: Path) -> Fer:
    def call(run: RunFolder, *arguments: object, root: Path = both_root) -> Called:
        return fer("predict", "--device", "cpu", "--results", results, "--data-root", root, run.run_id, *arguments)

    return call


def table(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text))


def ious(found: pd.DataFrame, truth: pd.DataFrame) -> np.ndarray:
    """Return the overlap of each found box with that of the person of the same place, in each frame."""
    one = found[["x", "y", "w", "h"]].to_numpy()
    one = np.concatenate([one[:, :2], one[:, :2] + one[:, 2:]], 1)
    other = truth[["x0", "y0", "x1", "y1"]].to_numpy()
    shared = (np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])).clip(0).prod(1)
    areas = [(box[:, 2:] - box[:, :2]).prod(1) for box in (one, other)]
    return np.asarray(shared / (sum(areas) - shared))


def test_two_people_are_tracked_recognised_and_drawn(
    predict: Fer, stills: RunFolder, lesson: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    path, truth = lesson
    called = predict(stills, path, "--out", tmp_path / "faces.mp4", "--csv", tmp_path / "faces.csv")
    assert called.code == 0, called.err
    found = pd.read_csv(tmp_path / "faces.csv")
    assert found["face"].tolist() == [1, 2] * (4 * FRAMES), "ids are stable"
    assert ious(found, truth).min() > 0.6
    np.testing.assert_allclose(found["time_s"], np.repeat(np.arange(4 * FRAMES) / 12, 2), atol=1e-3)
    shares = found.filter(like="p_")
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
    assert ("p_" + found["class"]).tolist() == shares.idxmax(axis=1).tolist()
    plain, drawn = (list(read_moments(file)) for file in (path, tmp_path / "faces.mp4"))
    assert len(drawn) == 4 * FRAMES
    for before, after, boxes in zip(plain, drawn, found.groupby("time_s"), strict=True):
        changed = np.abs(after.image.astype(int) - before.image).max(2) > 60
        for row in boxes[1].itertuples():
            left, top, right = round(row.x), round(row.y), round(row.x + row.w)
            assert changed[top - 2 : top + 3, left:right].any(0).mean() > 0.5, "the upper edge of each box"
        assert not changed[400:].any()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["faces.csv", "faces.mp4"]


def test_clips_of_a_video_are_decided_by_overlapping_windows(
    predict: Fer, clips: RunFolder, lecture: Path, lesson: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    path, truth = lesson
    called = predict(clips, path, "--out", tmp_path / "f.avi", root=lecture)
    assert called.code == 0, called.err
    found = table(called.out)
    assert found["face"].tolist() == [1, 2] * (4 * FRAMES) and ious(found, truth).min() > 0.6
    np.testing.assert_allclose(found.filter(like="p_").sum(axis=1), 1, atol=1e-5)
    assert len(list(read_moments(tmp_path / "f.avi"))) == 4 * FRAMES
    assert len(found.groupby("face")["p_angry"].nunique()) == 2 and found["p_angry"].nunique() > 6


@pytest.mark.slow
def test_an_exported_file_of_a_network_on_clips_gives_the_table_of_its_run(
    fer: Fer, predict: Fer, clips: RunFolder, lecture: Path, lesson: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    where, file = ("--results", clips.results, "--data-root", lecture), tmp_path / "clips.onnx"
    exported = fer("export", clips.run_id, *where, "--out", file)
    assert exported.code == 0, exported.err
    called = fer("predict", file, lesson[0], *where, "--device", "cpu")
    assert called.code == 0, called.err
    one, other = table(predict(clips, lesson[0], root=lecture).out), table(called.out)
    shares = [found.filter(like="p_") for found in (one, other)]
    assert shares[0].shape[0] == 8 * FRAMES and shares[0].to_numpy().std(0).max() > 0
    np.testing.assert_allclose(shares[0], shares[1], atol=1e-4)
    pd.testing.assert_frame_equal(one.drop(columns=shares[0].columns), other.drop(columns=shares[1].columns))


def test_the_clips_of_the_set_get_the_runs_own_test_predictions(clips: RunFolder, lecture: Path, results: Path) -> None:
    """Their frames, as far apart as in training, make one window."""
    recogniser = load_recogniser(results, clips.run_id, lecture, detect=False, device="cpu")
    interval = recogniser.preparation.interval_s
    assert interval == pytest.approx(5 / 16 / 3)
    truth = pd.read_parquet(clips.file("predictions.parquet"))
    truth = truth[truth["part"] == "test"]
    samples = group_clips(load_set(lecture, "synth-lecture"), 4)
    places = pd.Series(np.arange(len(samples.manifest)), samples.manifest["sample"])[truth["sample"]].to_numpy()
    expected = truth[[f"p_{name}" for name in recogniser.classes]].to_numpy()
    for row, clip in zip(expected, samples.images[places], strict=True):
        moments = (
            Moment(number, number * interval, np.repeat(frame[0][..., None], 3, 2)) for number, frame in enumerate(clip)
        )
        for seen in Reader(recogniser, detect=False).follow(moments):
            np.testing.assert_allclose(seen.faces[0].probabilities, row, atol=1e-5)


def test_an_image_for_a_network_on_clips_says_what_it_needs(
    predict: Fer, clips: RunFolder, lecture: Path, tmp_path: Path
) -> None:
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "a.png")
    for given in (tmp_path / "a.png", tmp_path):
        called = predict(clips, given, root=lecture)
        assert (called.code, called.out, called.err.count("\n")) == (2, "", 1), called.err
        assert "the run reads clips of 4 frames of a face; give a video" in called.err
    write_video(tmp_path / "film.avi", 6, 64)
    called = predict(clips, tmp_path, "--no-detect", root=lecture)
    assert called.code == 0, called.err
    assert set(table(called.out)["file"]) == {str(tmp_path / "film.avi")}
    assert "skipped: 1 images, as the run reads clips" in called.err


GREYS = [np.full((48, 64, 3), 20 * number, np.uint8) for number in range(10)]


def test_times_are_those_of_the_time_stamps(predict: Fer, stills: RunFolder, tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mp4", GREYS)
    stretch_film(path, first=4, longer=5)
    found = table(predict(stills, path, "--no-detect").out)
    np.testing.assert_allclose(found["time_s"], [0, 0.1, 0.2, 0.3, 0.4, 0.9, 1.4, 1.9, 2.4, 2.9], atol=1e-3)
    assert set(zip(found["x"], found["y"], found["w"], found["h"], strict=True)) == {(8, 0, 48, 48)}


def test_a_turned_video_is_read_and_drawn_upright(predict: Fer, stills: RunFolder, tmp_path: Path) -> None:
    marked = [grey.copy() for grey in GREYS]
    for frame in marked:
        frame[:12, :12] = (255, 0, 0)
    path = write_film(tmp_path / "film.mp4", marked)
    turn_film(path)
    called = predict(stills, path, "--no-detect", "--out", tmp_path / "drawn.mp4")
    found = table(called.out)
    assert set(zip(found["x"], found["y"], found["w"], found["h"], strict=True)) == {(0, 8, 48, 48)}
    last = list(read_moments(tmp_path / "drawn.mp4"))[-1].image
    assert last.shape == (64, 48, 3)
    red = last.astype(int)[:8, -8:].mean((0, 1))
    assert red[0] > 2 * red[1], "the mark went from the upper left to the upper right corner"


def test_a_video_cut_short_gives_its_frames_and_a_warning(predict: Fer, stills: RunFolder, tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.avi", 6)
    cut_short(path, 3)
    called = predict(stills, path, "--no-detect")
    assert called.code == 0
    assert 3 <= len(table(called.out)) < 6
    assert "of 6 frames decode; it is damaged or cut short" in called.err
    (tmp_path / "no.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(500))
    called = predict(stills, tmp_path / "no.mp4", "--csv", tmp_path / "t.csv", "--out", tmp_path / "t.mp4")
    assert (called.code, called.out, called.err.count("\n")) == (2, "", 1), called.err
    assert "not a video that can be read, or cut short" in called.err
    assert not (tmp_path / "t.csv").exists() and not (tmp_path / "t.mp4").exists()


@pytest.mark.parametrize("name", [b"\xff\xfe.mp4", b"film_%02d.avi", "é\u202e.mp4".encode()])
def test_weird_names_of_videos(predict: Fer, stills: RunFolder, tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    write_film(tmp_path / f"plain{path.suffix}", GREYS).rename(path)
    out = path.with_name(os.fsdecode(b"out-" + name))
    called = predict(stills, path, "--no-detect", "--out", out)
    assert called.code == 0, called.err
    assert len(table(called.out)) == 10 and len(list(read_moments(out))) == 10
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([path.name, out.name])


class Blank:
    """A detector that finds nothing."""

    def __call__(self, image: np.ndarray) -> list[object]:
        return []


def test_no_face_for_minutes_is_a_row_per_frame(
    stills: RunFolder, results: Path, both_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faces, "load_detector", lambda crop: Blank())
    reader = Reader(load_recogniser(results, stills.run_id, both_root, device="cpu"))
    seen = list(reader.follow(Moment(n, n / 12, GREYS[n % 10]) for n in range(3 * 60 * 12)))
    assert len(seen) == reader.tally.without == reader.tally.frames == 2160
    assert not any(one.faces for one in seen) and [one.number for one in seen] == list(range(2160))


def memory() -> int:
    """Return the resident memory of this process in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 2**20


def noise(frames: int) -> Iterator[Moment]:
    """Yield frames of 0.9 MB."""
    random = np.random.default_rng(0)
    base = random.integers(0, 255, (480, 640, 3), dtype=np.uint8)
    for number in range(frames):
        yield Moment(number, number / 25, np.roll(base, number, 1))


@pytest.mark.parametrize("kind", [pytest.param("stills", marks=pytest.mark.exhaustive), "clips"])
def test_memory_does_not_grow_with_the_length_of_a_video(
    kind: str, stills: RunFolder, clips: RunFolder, results: Path, both_root: Path, lecture: Path
) -> None:
    """The 2,000 frames would take 1.8 GB; rows lag behind by a window and a batch at most."""
    run, root = (stills, both_root) if kind == "stills" else (clips, lecture)
    reader = Reader(load_recogniser(results, run.run_id, root, detect=False, device="cpu"), detect=False)
    if kind == "clips":
        reader.preparation = reader.preparation.model_copy(update={"interval_s": None})
    frames, begun, most, lag = (2000 if kind == "stills" else 300), 0, 0, 0
    given = 0

    def counted(moments: Iterator[Moment]) -> Iterator[Moment]:
        nonlocal given
        for moment in moments:
            given += 1
            yield moment

    for seen in reader.follow(counted(noise(frames))):
        lag = max(lag, given - seen.number)
        if seen.number == 100:
            begun = memory()
        elif seen.number > 100:
            most = max(most, memory())
    assert given == frames and lag <= 16 * 2 + 4
    assert most - begun < 60, "MiB"


@pytest.mark.parametrize(("number", "ended"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_leaves_a_table_of_whole_lines(
    stills: RunFolder, results: Path, both_root: Path, tmp_path: Path, number: int, ended: int
) -> None:
    path = write_film(tmp_path / "long.avi", GREYS * 400)
    out = tmp_path / "out"
    out.mkdir()
    where = ("--results", results, "--data-root", both_root, "--device", "cpu", "--out", out / "t.mp4")
    command = ["predict", stills.run_id, path, "--no-detect", "--csv", out / "t.csv", *where]
    running = fork_fer(tmp_path / "said", *command)
    wait_for(lambda: (out / "t.csv").is_file() and (out / "t.csv").read_bytes().count(b"\n") > 40)
    running.send_signal(number)
    code, _, err = running.finish()
    assert code == ended, err
    assert f"{out / 't.csv'}: holds the rows until the interruption" in err
    text = (out / "t.csv").read_text()
    rows = list(csv.reader(io.StringIO(text)))
    assert text.endswith("\n") and len({len(row) for row in rows}) == 1 and 40 < len(rows) < 4000
    assert [file.name for file in out.iterdir()] == ["t.csv"]


@pytest.mark.exhaustive
def test_a_reader_that_leaves_early_ends_the_command(
    stills: RunFolder, results: Path, both_root: Path, tmp_path: Path
) -> None:
    path = write_film(tmp_path / "long.avi", GREYS * 300)
    command = f"{FER} predict {stills.run_id} {path} --no-detect --results {results} --data-root {both_root} --device cpu"
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -3; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0].startswith("file,time_s,face") and lines[3] == "141", done
    frames = int(done.stderr.split(" pictures and frames")[0].splitlines()[-1])
    assert frames < 3000
