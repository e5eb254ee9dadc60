"""``fer export``: a file answers as its run did, its card states the run's numbers, what cannot be exported is refused."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fer_cli.config import (
    Compute,
    CorruptConfig,
    DataConfig,
    FeaturesConfig,
    LearningConfig,
    ModelConfig,
    RunConfig,
    SequencesConfig,
    TrainConfig,
)
from fer_cli.data.manifest import load_set
from fer_cli.data.prepare import prepare_images
from fer_cli.learning.train import train_run
from fer_cli.runs import RunFolder
from fer_cli.use import exported
from fer_cli.use.export import PARITY
from fer_cli.use.exported import Exported, load_exported
from fer_cli.use.model_card import frames_lines, name_precision
from fer_cli.use.recogniser import load_recogniser
from tests.conftest import Called
from tests.fakes import fake_result, leave

Fer = Callable[..., Called]


@dataclass(frozen=True)
class Trained:
    """A finished run, and what exports it."""

    folder: RunFolder
    data_root: Path

    @property
    def options(self) -> list[str]:
        return ["--results", str(self.folder.results), "--data-root", str(self.data_root)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Trained:
    """A small network with weighted logits, trained on the drawn faces in float32."""
    config = RunConfig(
        data=DataConfig(name="ck48", image_size=24, folds=3, val_fraction=0.25),
        model=ModelConfig(backbone="cnn3"),
        train=TrainConfig(epochs=3, batch_size=16),
        learning=LearningConfig(method="scn-cs"),
    )
    folder = RunFolder(tmp_path_factory.mktemp("results"), "0123456789ab")
    folder.path.mkdir(parents=True)
    compute = Compute(data_root=data_root, results=folder.results, device="cpu", precision="fp32", threads=1)
    result = train_run(config, compute, folder)
    folder.write_config(config)
    folder.write_result(result)
    return Trained(folder, data_root)


@pytest.fixture(scope="module")
def file(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its exported file, written by the command in a process of its own."""
    out = tmp_path_factory.mktemp("out") / "faces.onnx"
    command = [sys.executable, "-m", "fer_cli", "export", "0123", *trained.options, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(out), str(out.with_suffix(".md"))]
    assert done.stderr.splitlines()[-1].endswith(f"next: fer predict {out} PICTURE_OR_VIDEO")
    assert len(done.stderr.splitlines()) == 3, "of PyTorch's own words nothing is shown"
    assert sorted(path.name for path in out.parent.iterdir()) == ["faces.md", "faces.onnx"]
    return out


def test_samples(trained: Trained) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the predictions of the run's test part, and its images as the set holds them, (N, 1, 1, 48, 48) uint8."""
    rows = pd.read_parquet(trained.folder.file("predictions.parquet"))
    rows = rows[rows["part"] == "test"].reset_index(drop=True)
    faces = load_set(trained.data_root, "ck48")
    place = pd.Series(np.arange(len(faces.manifest)), index=faces.manifest["sample"])
    return rows, faces.images[place[rows["sample"]].to_numpy()]


test_samples.__test__ = False  # type: ignore[attr-defined]


def test_the_file_answers_as_the_run_did(trained: Trained, file: Path) -> None:
    found, result = load_exported(file), trained.folder.result()
    assert (found.name, found.classes, found.frames) == ("faces.onnx", result.data.classes, 1)
    assert (found.about.run, found.about.precision, found.about.backbone) == ("0123456789ab", "fp32", "cnn3")
    info = load_set(trained.data_root, "ck48").info
    assert found.about.data == {"ck48": info.fingerprint}
    assert found.preparation.steps == info.preprocessing
    assert (found.preparation.size, found.preparation.stored, found.preparation.channels) == (24, 48, 1)
    rows, images = test_samples(trained)
    crops = prepare_images(images, result.config).numpy()
    answers = found.predict(crops)
    assert answers.dtype == np.float32 and answers.shape == (len(rows), len(found.classes))
    stored = rows[[f"p_{name}" for name in found.classes]].to_numpy()
    np.testing.assert_allclose(answers, stored, atol=PARITY)
    assert (np.array(found.classes)[answers.argmax(1)] == rows["predicted"]).all()
    np.testing.assert_allclose(found.predict(images), answers, atol=1e-6)  # resized as in training
    np.testing.assert_allclose(found.predict(images[:3, 0]), answers[:3], atol=1e-6)  # without an axis of frames, alone
    grey = np.repeat(images[:4], 3, 2)  # colour pictures of grey faces
    np.testing.assert_allclose(found.predict(grey), answers[:4], atol=1e-6)
    assert found.predict(crops[:0]).shape == (0, len(found.classes))


def test_the_card_states_the_numbers_of_the_run(trained: Trained, file: Path) -> None:
    text, result = file.with_suffix(".md").read_text(), trained.folder.result()
    scores = result.metrics["test"]
    assert f"| accuracy | {100 * scores['accuracy']:.1f} % |" in text
    assert f"({scores.n} images)" in text and f"draws of {scores.n} samples, as if of a person each" in text
    for name, row in zip(result.data.classes, scores.confusion, strict=True):
        assert f"| {name} | {' | '.join(map(str, row))} |" in text
    info = load_set(trained.data_root, "ck48").info
    for words in (info.licence, info.fingerprint, "run 0123456789ab", "It is not what the person feels", "Article 5(1)(f)",
                  "a random image-level split leaks", "learning method scn-cs", f"{result.data.train} images in training",
                  "trained on cpu in float32", "not calibrated", "the network sees no colour"):  # fmt: skip
        assert words in text, words
    assert result.provenance.commit is None or str(result.provenance.commit) in text
    assert name_precision("bf16").startswith("bf16; in float32, as here, probabilities differ")


HUB = {
    "language", "license", "license_name", "license_link", "library_name", "pipeline_tag", "tags", "datasets", "metrics",
    "base_model", "model-index",
}  # fmt: skip
"""Keys of a model card that the hub documents (hub-docs, modelcard.md)."""


def test_the_card_begins_with_the_header_of_the_hub(trained: Trained, file: Path) -> None:
    import yaml

    _, text, body = file.with_suffix(".md").read_text().split("---\n", 2)
    assert body.lstrip().startswith("# Model card: ")
    header, result = yaml.safe_load(text), trained.folder.result()
    assert header.keys() <= HUB
    assert (header["license"], header["license_name"]) == ("other", header["license_name"].lower())
    assert header["pipeline_tag"] == "image-classification"
    (model,) = header["model-index"]
    (found,) = model["results"]
    assert model["name"] == file.stem
    assert found["task"]["type"] == header["pipeline_tag"]
    assert found["dataset"].keys() >= {"type", "name"}
    values = {metric["type"]: metric["value"] for metric in found["metrics"]}
    assert set(values) == set(header["metrics"])
    scores = result.metrics["test"]
    assert values == pytest.approx({"accuracy": scores["accuracy"], "f1": scores["macro_f1"]}, abs=1e-6)


def test_int8_states_what_it_costs(trained: Trained, tmp_path: Path, fer: Fer) -> None:
    out = tmp_path / "small.onnx"
    out.write_text("of another program")
    done = fer("export", trained.folder.path, *trained.options, "--out", out, "--int8")
    assert done.code == 2
    assert "already there; add --replace" in done.err and out.read_text() == "of another program"
    done = fer("export", trained.folder.path, *trained.options, "--out", out, "--int8", "--replace")
    assert done.code == 0, done.err
    found, (rows, images) = load_exported(out), test_samples(trained)
    assert found.about.precision == "int8"
    right = np.array(found.classes)[found.predict(images).argmax(1)] == rows["label"]
    exact = float((rows["predicted"] == rows["label"]).mean())
    words = f"{100 * right.mean():.1f} % accuracy on {len(rows)} test samples, {100 * exact:.1f} % in float32"
    assert words in done.err
    assert words in out.with_suffix(".md").read_text()
    assert right.mean() > exact - 0.1
    assert "ms a sample in int8" in done.err


def test_the_number_of_threads_is_given(file: Path) -> None:
    for threads in (1, 2):
        assert load_exported(file, threads).session.get_session_options().intra_op_num_threads == threads


def test_a_file_is_used_without_torch(file: Path) -> None:
    code = (
        "import sys, numpy as np; from pathlib import Path; from fer_cli.use.exported import load_exported;"
        f"f = load_exported(Path({str(file)!r})); f.predict(np.zeros((2, 1, 24, 24), np.uint8));"
        "print([m for m in ('torch', 'onnx', 'pandas', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# files that cannot be used


def refused(path: Path, words: str) -> None:
    with pytest.raises(exported.ResultsError, match=words) as raised:
        load_exported(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_damaged_foreign_and_later_files_are_refused(file: Path, tmp_path: Path) -> None:
    import onnx

    content, path = file.read_bytes(), tmp_path / "other.onnx"
    for size in (0, 1, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        refused(path, "empty" if not size else "not a complete ONNX file|changed or damaged")
    for place in (len(content) // 3, len(content) // 2):
        path.write_bytes(content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :])
        refused(path, "changed or damaged since it was exported")
    path.write_bytes(content.replace(b"fer.format\x12\x011", b"fer.format\x12\x012"))
    refused(path, "format 2 of exported files, but this fer reads 1")
    model = onnx.load(file)
    del model.metadata_props[:]
    onnx.save(model, path)
    refused(path, "an ONNX file without fer's metadata")
    onnx.helper.set_model_props(model, {"fer.format": "1", "fer.sha256": "0" * 64, "fer.about": json.dumps({"run": "x"})})
    path.write_bytes(exported.seal(model.SerializeToString()))
    refused(path, "its metadata is damaged")
    path.write_text("faces")
    refused(path, "not a complete ONNX file")
    path.unlink()
    refused(path, "No such file")
    path.mkdir()
    refused(path, "a folder, not a file")


def test_faces_of_another_kind_are_refused(file: Path) -> None:
    found = load_exported(file)
    for faces in (
        np.zeros((2, 1, 24, 24), np.float32),
        np.zeros((2, 3, 1, 24, 24), np.uint8),
        np.zeros((2, 2, 24, 24), np.uint8),
        np.zeros((24, 24), np.uint8),
    ):
        with pytest.raises(exported.ResultsError, match=r"takes faces \(N, 1, C, H, H\) uint8, not"):
            found.predict(faces)


class Session:
    """Notes what it is given; answers evenly."""

    def __init__(self) -> None:
        self.given: list[dict[str, np.ndarray]] = []

    def run(self, _: list[str], given: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.given.append(given)
        return [np.full((len(given["faces"]), 2), 0.5, np.float32)]


def test_clips_have_boxes_of_regions() -> None:
    preparation = exported.Preparation(size=16, frames=3, regions="none", landmarks="fallback", stored=16, steps=[])
    about = exported.About(
        run="r", fer="0", commit=None, backbone="b", classes=["a", "b"], preparation=preparation, data={}, precision="fp32"
    )
    session = Session()
    found = Exported("clips.onnx", about, session)
    clips = np.zeros((100, 3, 1, 16, 16), np.uint8)
    boxes = np.random.default_rng(0).random((100, 3, 3, 4))
    assert found.predict(clips, boxes).shape == (100, 2)
    assert [len(one["faces"]) for one in session.given] == [85, 15]
    np.testing.assert_array_equal(np.concatenate([one["regions"] for one in session.given]), boxes.astype(np.float32))
    found.predict(clips[:2])
    whole = session.given[-1]["regions"]
    assert whole.shape == (2, 3, 3, 4) and whole.dtype == np.float32
    assert (whole[..., 2:] > whole[..., :2]).all() and whole.min() >= 0 and whole.max() <= 1
    with pytest.raises(exported.ResultsError, match=r"boxes of regions \(2 x 3 x 3 x 4\), not 2 x 3 x 9 x 4"):
        found.predict(clips[:2], np.zeros((2, 3, 9, 4)))
    with pytest.raises(ValueError, match="unknown to this version"):
        exported.About.model_validate(about.model_dump() | {"preparation": preparation.model_copy(update={"regions": "x"})})


@pytest.mark.parametrize(("landmarks", "said"), [("fallback", False), ("truth", True)])
def test_the_card_of_a_network_on_regions_names_its_boxes(landmarks: str, said: bool) -> None:
    lines = frames_lines(exported.Preparation(size=16, frames=3, regions="au", landmarks=landmarks, stored=16, steps=[]))
    assert "evenly spaced" in lines[0] and lines[1].startswith("`regions`: boxes of regions of the face (kind au)")
    assert lines[1].endswith("coarser than the scores above assume") == said and len(lines) == 2


@pytest.mark.parametrize(
    ("device", "words"), [("cuda", "runs on the CPU; leave --device away"), ("gpu", "must be one of auto, cpu, cuda")]
)
def test_another_device_than_that_of_exported_files_is_refused(file: Path, device: str, words: str) -> None:
    with pytest.raises(exported.ResultsError, match=f"--device {device}: .*{words}"):
        load_recogniser(file.parent, file, device=device)


# runs that cannot be exported


def line_of(done: Called) -> str:
    assert done.code == 2 and done.out == ""
    lines = done.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("run", "extra", "words"),
    [
        ("0123456789aa", [], "no run .*nearest: 0123456789ab"),
        ("0123456789ab", ["--format", "onx"], "--format onx: unknown; did you mean onnx"),
        ("0123456789ab", ["--out", "faces.pt"], "must end in .onnx"),
        *(("0123456789ab", ["--out", out], "must end in .onnx") for out in (".", "", "/")),
    ],
)
def test_wrong_arguments_are_one_line(trained: Trained, fer: Fer, run: str, extra: list[str], words: str) -> None:
    import re

    assert re.search(words, line_of(fer("export", run, *trained.options, *extra)))


def test_unwritable_places_are_one_line(trained: Trained, fer: Fer, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    said = line_of(fer("export", "0123456789ab", *trained.options, "--out", tmp_path / "taken" / "faces.onnx"))
    assert str(tmp_path / "taken") in said
    (tmp_path / "faces.onnx").mkdir()
    said = line_of(fer("export", "0123456789ab", *trained.options, "--out", tmp_path / "faces.onnx", "--replace"))
    assert "a folder; choose another --out" in said


def make_run(results: Path, run_id: str, config: RunConfig, finished: bool = True, **changes: Any) -> None:
    folder = RunFolder(results, run_id)
    folder.path.mkdir(parents=True)
    folder.write_config(config)
    if finished:
        leave(folder, fake_result(run_id, config, **changes))


def test_runs_without_a_network_for_pictures_are_refused(fer: Fer, tmp_path: Path, data_root: Path) -> None:
    options = ["--results", str(tmp_path), "--data-root", str(data_root), "--out", str(tmp_path / "out.onnx")]
    assert "has no runs" in line_of(fer("export", "0123456789ab", *options))
    data = DataConfig(name="ck48", image_size=24)
    make_run(tmp_path, "begun", RunConfig(data=data), finished=False)
    assert "not a finished run (its state is new)" in line_of(fer("export", "begun", *options))
    make_run(tmp_path, "fitted", RunConfig(data=data, features=FeaturesConfig(blocks=["hog"], classifier="logistic")))
    assert "fits logistic on features (hog)" in line_of(fer("export", "fitted", *options))
    make_run(tmp_path, "decoded", RunConfig(data=data, sequences=SequencesConfig(simulation="emotions")))
    assert "decodes simulated sequences and has no network" in line_of(fer("export", "decoded", *options))
    joined = RunConfig(data=data, features=FeaturesConfig(blocks=["hog"], classifier="network"))
    make_run(tmp_path, "joined", joined)
    assert "its network also takes features (hog)" in line_of(fer("export", "joined", *options))
    adapted = RunConfig(
        data=DataConfig(name="ck48", test="synth-basic"), model=ModelConfig(adapt="batch-norm"), corrupt=CorruptConfig()
    )
    make_run(tmp_path, "adapted", adapted, trained_by="joined")
    assert "export joined, which trained it" in line_of(fer("export", "adapted", *options))
    make_run(tmp_path, "changed", RunConfig(data=data))
    assert "built again since run changed was trained" in line_of(fer("export", "changed", *options))
    elsewhere = [*options[:2], "--data-root", str(tmp_path / "none"), *options[4:]]
    assert "data set 'ck48' is not built" in line_of(fer("export", "changed", *elsewhere))
    (tmp_path / "runs" / "changed" / "predictions.parquet").write_bytes(b"cut")
    assert "predictions.parquet" in line_of(fer("export", "changed", *options))
    assert not (tmp_path / "out.onnx").exists()


def test_missing_packages_name_the_extra(trained: Trained, file: Path, fer: Fer, monkeypatch: pytest.MonkeyPatch) -> None:
    find = exported.importlib.util.find_spec
    absent = {"onnxscript", "onnxruntime"}
    monkeypatch.setattr(exported.importlib.util, "find_spec", lambda name: None if name in absent else find(name))
    said = line_of(fer("export", "0123456789ab", *trained.options))
    assert "need onnxscript, onnxruntime, which is not installed; install: pip install 'fer-cli[export]'" in said
    with pytest.raises(exported.FerError, match="need onnxruntime, which"):
        load_exported(file)


def test_the_help_has_an_example(fer: Fer) -> None:
    done = fer("export", "--help")
    assert done.code == 0 and "Example: fer export" in done.out and "--int8" in done.out
