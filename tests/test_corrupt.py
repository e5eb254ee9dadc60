"""Corruption: exact counts and sizes, the same for every model, training labels only, and never the validation part."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fer_cli.config import CONFUSABLE, OCCLUDERS, CorruptConfig, DataConfig, RunConfig
from fer_cli.data.corrupt import corrupt_images, partners_of, plant_label_noise, plant_pair_noise
from fer_cli.data.datamodule import RunData
from fer_cli.data.draws import normals, uniforms
from fer_cli.data.manifest import load_set
from fer_cli.data.occlude import occlusion_masks
from fer_cli.errors import DataError
from fer_cli.synthetic.annotators import confusion

Tiny = Callable[..., RunConfig]
SEVEN = ["angry", "disgust", "fear", "happy", "sad", "surprise", "contempt"]


def names(n: int) -> np.ndarray:
    return np.array([f"image {i}" for i in range(n)], dtype=object)


def noise_images(n: int, side: int, low: int = 1, high: int = 256) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(low, high, (n, 1, 1, side, side), dtype=np.uint8))


# label noise


def test_symmetric_noise_keeps_its_draws() -> None:
    """Results of earlier versions rest on these draws."""
    assert plant_label_noise(np.arange(12) % 4, 4, 0.5, seed=7).tolist() == SYMMETRIC_DRAWS


SYMMETRIC_DRAWS = [0, 2, 2, 2, 0, 0, 2, 1, 2, 2, 2, 3]


def test_pair_noise_of_thirty_percent_flips_exactly_thirty_of_a_hundred_within_pairs() -> None:
    codes = np.arange(100) % 7
    partners = partners_of(SEVEN, CONFUSABLE)
    noisy = plant_pair_noise(codes, partners, 0.3, seed=0)
    changed = noisy != codes
    assert changed.sum() == 30
    assert partners[codes[changed], noisy[changed]].all()
    assert np.array_equal(noisy, plant_pair_noise(codes, partners, 0.3, seed=0))
    assert not np.array_equal(noisy, plant_pair_noise(codes, partners, 0.3, seed=1))


@settings(max_examples=50)
@given(st.integers(1, 300), st.floats(0, 0.99), st.integers(0, 99))
def test_pair_noise_is_exact_and_reaches_partners_only(n: int, rate: float, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 7, n)
    partners = partners_of(SEVEN, CONFUSABLE)
    noisy = plant_pair_noise(codes, partners, rate, seed)
    changed = noisy != codes
    assert changed.sum() == round(rate * n)
    assert partners[codes[changed], noisy[changed]].all()


def test_partners_of_a_class_come_equally_often() -> None:
    partners = partners_of(["fear", "surprise", "sad", "happy"], CONFUSABLE)
    assert partners.sum(1).tolist() == [2, 1, 1, 0]
    noisy = plant_pair_noise(np.zeros(6000, np.int64), partners, 0.5, seed=1)
    assert np.bincount(noisy, minlength=4).tolist()[3] == 0
    assert abs(int((noisy == 1).sum()) - 1500) < 5 * np.sqrt(750)


def test_pairs_that_cannot_be_planted() -> None:
    with pytest.raises(DataError, match="50 of 100 labels are to be replaced, but only 25"):
        plant_pair_noise(np.arange(100) % 8, partners_of([*SEVEN, "x"], [["fear", "x"]]), 0.5, 0)
    with pytest.raises(DataError, match="no class 'feer'; did you mean fear"):
        partners_of(SEVEN, [["feer", "surprise"]])
    with pytest.raises(DataError, match="no pair is among the classes wave, nod"):
        partners_of(["wave", "nod"], CONFUSABLE)


def test_simulated_annotators_take_confusable_classes_for_one_another_most_often() -> None:
    errors = confusion(1, SEVEN)
    for row, truth in enumerate(SEVEN):
        alike = [said for said in SEVEN if [truth, said] in CONFUSABLE or [said, truth] in CONFUSABLE]
        others = [said for said in SEVEN if said not in {truth, *alike}]
        rates = {said: errors[row, SEVEN.index(said)] for said in SEVEN}
        assert rates[truth] == pytest.approx(0.85)
        assert [rates[said] for said in alike] == pytest.approx([6 * rates[others[0]]] * len(alike))
        assert [rates[said] for said in others] == pytest.approx([rates[others[0]]] * len(others))


# images


@pytest.mark.parametrize(("side", "share", "square"), [(48, 0.67, 39), (224, 0.67, 183), (48, 0.0, 0), (48, 0.1, 15)])
def test_side_of_the_square(side: int, share: float, square: int) -> None:
    config = CorruptConfig(occlusion=share)
    masks = occlusion_masks(names(20), side, config)
    assert (masks.sum((1, 2)) == square**2).all()
    assert config.covered_pixels(side) == square**2
    for mask in masks[: 20 if square else 0]:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert len(rows) == len(columns) == square
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()


def test_square_is_black_and_nothing_else_changes() -> None:
    images = noise_images(30, 48)
    config = CorruptConfig(occlusion=0.3)
    masks = torch.from_numpy(occlusion_masks(names(30), 48, config))[:, None, None]
    after = corrupt_images(images, names(30), config)
    assert (after[masks] == 0).all()
    assert torch.equal(after[~masks], images[~masks])
    assert after.dtype == torch.uint8


def test_square_stands_at_every_place_about_equally() -> None:
    masks = occlusion_masks(names(8000), 16, CorruptConfig(occlusion=0.25))
    tops, lefts = masks.any(2).argmax(1), masks.any(1).argmax(1)
    for places in (tops, lefts):
        counts = np.bincount(places, minlength=9)
        assert len(counts) == 9
        assert np.abs(counts - 8000 / 9).max() < 5 * np.sqrt(8000 / 9)
    assert abs(np.corrcoef(tops, lefts)[0, 1]) < 0.05


@pytest.mark.parametrize("occluder", OCCLUDERS)
@settings(max_examples=15, deadline=None)
@given(st.floats(0, 0.9), st.integers(16, 64), st.integers(0, 5))
def test_occluders_cover_the_share_they_are_given(occluder: str, share: float, side: int, seed: int) -> None:
    config = CorruptConfig(occlusion=share, occluder=occluder, seed=seed)
    covered = occlusion_masks(names(4), side, config).sum((1, 2))
    wanted = config.covered_pixels(side)
    assert (covered >= wanted).all()
    assert (covered <= wanted + (0 if occluder == "square" else 4 * side)).all()
    assert wanted == pytest.approx(share * side * side, abs=side + 1)


def test_shapes_cover_what_they_are_named_after() -> None:
    eyes = occlusion_masks(names(1), 100, CorruptConfig(occlusion=0.12, occluder="eyes"))[0]
    mask = occlusion_masks(names(1), 100, CorruptConfig(occlusion=0.3, occluder="mask"))[0]
    assert eyes[38, 30] and eyes[38, 70] and not eyes[75].any() and not eyes[10].any()
    assert mask[75, 50] and mask[75, 30] and not mask[30].any()
    assert np.array_equal(eyes, eyes[:, ::-1]) and np.array_equal(mask, mask[:, ::-1])
    hands = occlusion_masks(names(40), 64, CorruptConfig(occlusion=0.2, occluder="hand"))
    assert len({hand.tobytes() for hand in hands}) == 40
    palm_only = hands.sum((1, 2)).astype(float) / np.array([hand.any(0).sum() * hand.any(1).sum() for hand in hands])
    assert palm_only.mean() < 0.75, "a hand fills less of its bounding box than a disc: there are fingers"


ALL_STEPS = CorruptConfig(occlusion=0.1, occluder="hand", light=0.7, blur=0.8, downscale=2, noise=0.05, jpeg=60)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(12)), st.integers(1, 12))
def test_an_image_is_corrupted_alike_in_any_company(order: list[int], kept: int) -> None:
    images, labels = noise_images(12, 24), names(12)
    whole = corrupt_images(images, labels, ALL_STEPS)
    some = order[:kept]
    assert torch.equal(corrupt_images(images[some], labels[some], ALL_STEPS), whole[some])


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    images = noise_images(7, 24)
    whole = corrupt_images(images, names(7), ALL_STEPS)
    monkeypatch.setattr("fer_cli.data.corrupt.PIXELS_AT_ONCE", 1000)
    assert torch.equal(corrupt_images(images, names(7), ALL_STEPS), whole)


def test_another_seed_is_another_corruption_and_none_is_identity() -> None:
    images = noise_images(5, 24)
    for config in (CorruptConfig(occlusion=0.2), CorruptConfig(noise=0.1), CorruptConfig(occlusion=0.2, occluder="hand")):
        other = config.model_copy(update={"seed": 1})
        assert not torch.equal(corrupt_images(images, names(5), config), corrupt_images(images, names(5), other))
    assert corrupt_images(images, names(5), CorruptConfig()) is images
    empty = images[:0]
    assert len(corrupt_images(empty, names(0), CorruptConfig(noise=0.1))) == 0


def test_light_noise_blur_resolution_and_jpeg_by_hand() -> None:
    flat = torch.full((4, 1, 1, 64, 64), 120, dtype=torch.uint8)

    def after(images: torch.Tensor, **steps: float) -> torch.Tensor:
        return corrupt_images(images, names(len(images)), CorruptConfig(**steps)).double()  # type: ignore[arg-type]

    assert (after(flat, light=0.3) == 36).all()
    noisy = after(flat, noise=0.05)
    assert float(noisy.mean()) == pytest.approx(120, abs=0.5)
    assert float(noisy.std()) == pytest.approx(0.05 * 255, rel=0.03)
    for step in ({"blur": 2.0}, {"downscale": 4}, {"jpeg": 50}):
        assert (after(flat, **step) == 120).all(), step
    point = torch.zeros(1, 1, 1, 65, 65, dtype=torch.uint8)
    point[..., 32, 32] = 255
    assert float(after(point, blur=1.5).max()) == pytest.approx(255 / (2 * np.pi * 1.5**2), abs=1)
    checks = torch.from_numpy((np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8))[None, None, None]
    assert float(after(checks, downscale=4).std()) < 10
    rough = [
        float((after(noise_images(2, 64), jpeg=quality) - noise_images(2, 64).double()).abs().mean()) for quality in (95, 20)
    ]
    assert 0 < rough[0] < rough[1]


def test_drawn_numbers_are_uniform_normal_and_independent() -> None:
    drawn = uniforms(names(4000), 0, "test", 4)
    assert ((drawn >= 0) & (drawn < 1)).all()
    counts = np.histogram(drawn, 10, (0, 1))[0]
    assert np.abs(counts - 1600).max() < 5 * np.sqrt(1600)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(4)).max() < 0.07
    assert abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 0.07
    assert not np.isin(drawn, uniforms(names(4000), 1, "test", 4)).any()
    assert not np.isin(drawn, uniforms(names(4000), 0, "other", 4)).any()
    bell = normals(names(100), 0, "test", 1000)
    assert (float(bell.mean()), float(bell.std())) == pytest.approx((0, 1), abs=0.02)
    assert np.isfinite(bell).all()
    assert uniforms(np.array(["S010_004"], dtype=object), 0, "square", 2)[0].tolist() == pytest.approx(FIXED_DRAWS)


FIXED_DRAWS = [0.9875330680918679, 0.8037424551735478]
"""Results rest on these draws: another version of the hash would place every square elsewhere."""


# a run's data


def run_data(root: Path, config: RunConfig) -> RunData:
    return RunData(load_set(root, config.data.name), config)


def test_only_the_named_parts_are_changed_and_never_validation(data_root: Path, tiny: Tiny) -> None:
    plain = run_data(data_root, tiny())
    for parts in (["train"], ["test"], ["train", "test"]):
        data = run_data(data_root, tiny(corrupt=CorruptConfig(parts=parts, occlusion=0.3)))
        for part in ("train", "val", "test"):
            same = torch.equal(getattr(data, part).images[:], getattr(plain, part).images[:])
            assert same == (part not in parts), (parts, part)
            assert torch.equal(getattr(data, part).labels, getattr(plain, part).labels)


def test_masks_are_the_same_for_every_seed_and_fold(data_root: Path, tiny: Tiny) -> None:
    both = CorruptConfig(parts=["train", "test"], occlusion=0.3)
    seen: dict[str, bytes] = {}
    for seed in range(3):
        config = tiny(seed=seed, corrupt=both, data=DataConfig(name="ck48", folds=3, fold=seed))
        data = run_data(data_root, config)
        for part in ("train", "test"):
            for sample, image in zip(data.samples[part], getattr(data, part).images[:].numpy(), strict=True):
                assert seen.setdefault(sample, image.tobytes()) == image.tobytes()
    assert len(seen) == 168


def noise_file(folder: Path, rows: dict[str, str]) -> DataConfig:
    path = folder / "noise.csv"
    path.write_text("sample,label\n" + "".join(f"{sample},{label}\n" for sample, label in rows.items()))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return DataConfig(name="ck48", folds=3, noise_kind="file", noise_file=str(path), noise_sha256=sha256)


@pytest.mark.parametrize("kind", ["symmetric", "asymmetric"])
def test_noise_is_planted_in_training_labels_alone(data_root: Path, tiny: Tiny, kind: str) -> None:
    plain = run_data(data_root, tiny())
    config = DataConfig(name="ck48", image_size=24, folds=3, val_fraction=0.25, label_noise=0.3, noise_kind=kind)
    data = run_data(data_root, tiny(data=config))
    changed = data.train.labels.numpy() != data.true_labels
    assert changed.sum() == round(0.3 * len(data.train))
    assert torch.equal(data.val.labels, plain.val.labels) and torch.equal(data.test.labels, plain.test.labels)
    if kind == "asymmetric":
        pairs = {
            (data.classes[a], data.classes[b])
            for a, b in zip(data.true_labels[changed], data.train.labels[changed], strict=True)
        }
        assert {frozenset(pair) for pair in pairs} <= {frozenset(pair) for pair in CONFUSABLE}


def test_labels_of_a_file_replace_training_labels_alone(data_root: Path, tiny: Tiny, tmp_path: Path) -> None:
    manifest = load_set(data_root, "ck48").manifest
    listed = dict.fromkeys(manifest["sample"][manifest["label"] == "happy"], "sad")
    data = run_data(data_root, tiny(data=noise_file(tmp_path, listed)))
    happy, sad = data.classes.index("happy"), data.classes.index("sad")
    assert (data.train.labels.numpy()[data.true_labels == happy] == sad).all()
    others = data.true_labels != happy
    assert np.array_equal(data.train.labels.numpy()[others], data.true_labels[others])
    assert (data.test.labels == happy).any() and (data.val.labels == happy).any()


def test_a_file_that_is_wrong_or_has_changed_is_refused(data_root: Path, tiny: Tiny, tmp_path: Path) -> None:
    manifest = load_set(data_root, "ck48").manifest
    sample, label = manifest["sample"].iloc[0], manifest["label"].iloc[0]
    other = "sad" if label != "sad" else "happy"

    def refused(rows: dict[str, str], words: str) -> None:
        with pytest.raises(DataError, match=words):
            run_data(data_root, tiny(data=noise_file(tmp_path, rows)))

    refused({"S999": "happy"}, "no sample 'S999'")
    refused({sample: "glad"}, "no class 'glad'; did you mean sad|no class 'glad'")
    refused({sample: label}, "has no effect")
    config = noise_file(tmp_path, {sample: other})
    path = tmp_path / "noise.csv"
    for content, words in (
        (f"sample,label\n{sample},happy\n{sample},fear\n", "changed since the run was planned"),
        (None, "cannot be read from"),
    ):
        path.unlink() if content is None else path.write_text(content)
        with pytest.raises(DataError, match=words):
            run_data(data_root, tiny(data=config))
    for content, words in (
        (f"sample,label\n{sample},happy\n{sample},fear\n", "duplicate sample"),
        ("name,label\nx,y\n", "no column 'sample'"),
        ("sample,name\nx,y\n", "no column 'label'"),
        ("", "not a CSV table"),
    ):
        path.write_text(content)
        fresh = config.model_copy(update={"noise_sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
        with pytest.raises(DataError, match=words):
            run_data(data_root, tiny(data=fresh))


PARTS = (["train", "test"], ["test", "train"])
IDLE = [
    ({"data": {"noise_kind": "asymmetric"}}, "data.noise_kind has no effect: data.label_noise is 0"),
    ({"data": {"noise_pairs": [["a", "b"]], "label_noise": 0.1}}, "data.noise_pairs has no effect: noise_kind is symmetric"),
    ({"data": {"noise_seed": 1}}, "data.noise_seed has no effect: data.label_noise is 0"),
    ({"data": {"noise_file": "x", "noise_sha256": "0" * 64}}, "data.noise_file has no effect"),
    (
        {"data": {"noise_kind": "file", "noise_file": "x", "noise_sha256": "0" * 64, "label_noise": 0.1}},
        "data.label_noise has no effect",
    ),
    ({"data": {"noise_kind": "file"}}, "needs noise_file"),
    ({"data": {"noise_kind": "file", "noise_file": "x"}}, "noise_sha256"),
    ({"data": {"noise_pairs": [["a", "a"]]}}, "two different labels"),
    ({"corrupt": {"occluder": "mask"}}, "corrupt.occluder has no effect: corrupt.occlusion is 0"),
    ({"corrupt": {"parts": ["train"]}}, "corrupt.parts has no effect: nothing is corrupted"),
    ({"corrupt": {"seed": 3, "blur": 1.0}}, "corrupt.seed has no effect: nothing is drawn at random"),
    ({"corrupt": {"seed": 3, "occlusion": 0.2, "occluder": "eyes"}}, "corrupt.seed has no effect"),
    ({"corrupt": {"occlusion": 0.00001}}, "corrupt.occlusion has no effect: it covers no pixel"),
    ({"corrupt": {"downscale": 1.001}}, "corrupt.downscale has no effect: 48 pixels stay 48"),
    ({"corrupt": {"parts": ["test", "test"], "blur": 1.0}}, "duplicates are not allowed"),
    ({"corrupt": {"parts": ["val"], "blur": 1.0}}, "corrupt.parts"),
    ({"corrupt": {"parts": [], "blur": 1.0}}, "corrupt.parts"),
    ({"corrupt": {"occlusion": 1.0}}, "less than 1"),
]


def test_parts_in_any_order_are_the_same_run() -> None:
    runs = [RunConfig.model_validate({"corrupt": {"parts": parts, "blur": 1.0}}) for parts in PARTS]
    assert {run.run_id("x") for run in runs} == {"3685f7314772"}


@pytest.mark.parametrize(("tree", "words"), IDLE)
def test_settings_without_effect_are_refused(tree: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        RunConfig.model_validate(tree)


def test_corruption_is_part_of_the_identity_and_its_absence_is_not() -> None:
    plain = RunConfig().run_id("abc")
    assert RunConfig(corrupt=CorruptConfig()).run_id("abc") == plain
    assert RunConfig(corrupt=CorruptConfig(occlusion=0.1)).run_id("abc") != plain
    files = [DataConfig(noise_kind="file", noise_file="x", noise_sha256=digit * 64) for digit in "01"]
    assert len({RunConfig(data=data).run_id("abc") for data in files}) == 2
