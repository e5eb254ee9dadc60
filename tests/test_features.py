"""Features: values worked out by hand or by the reference libraries, nothing learned from test images, a store to trust."""

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError
from skimage.feature import hog as skimage_hog
from skimage.feature import local_binary_pattern
from sklearn.cluster import KMeans
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from fer_cli.config import CNN, EXTRACTORS, load
from fer_cli.data.block import Block
from fer_cli.errors import DataError, StudyError
from fer_cli.features.extractor import Extractor
from fer_cli.features.fuse import fuse
from fer_cli.features.hog import Hog, compute_hog, divide_by_largest
from fer_cli.features.lbp import Lbp
from fer_cli.features.sift import Sift, descriptors, histogram
from tests.conftest import FOLDERS, draw_face

Y, X = np.mgrid[:64, :64]
WAVES = ((np.sin(X / 5) + np.cos(Y / 7)) * 60 + 120) / 255
GREY = (WAVES * 255).astype(np.uint8)
CONSTANT = np.full((1, 64, 64), 90, np.uint8)
WORDS = Sift(words=8)
SUBJECTS = 6


def drawn_faces() -> tuple[np.ndarray, list[str]]:
    """42 drawn faces, (42, 48, 48) uint8, and their labels."""
    drawn = [(draw_face(folder, subject, 1), folder) for folder in FOLDERS for subject in range(SUBJECTS)]
    return np.stack([image for image, _ in drawn]), [folder for _, folder in drawn]


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return drawn_faces()[0]


# --- every extractor ---------------------------------------------------------------------------------------------


HANDCRAFTED = [name for name in EXTRACTORS if name != CNN]


def small(name: str) -> Extractor:
    """The extractor as shipped, but for a codebook the few drawn faces can fill."""
    return WORDS if name == "sift" else load(EXTRACTORS[name])()


@pytest.mark.parametrize("name", HANDCRAFTED)
def test_an_extractor_gives_finite_rows_that_other_images_do_not_change(name: str, faces: np.ndarray) -> None:
    extractor = small(name)
    state = extractor.fit(faces[:30])
    rows = extractor.transform(faces, state)
    assert rows.shape == (len(faces), extractor.dims)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    alone = np.concatenate([extractor.transform(faces[i : i + 1], state) for i in (0, 17, 41)])
    np.testing.assert_array_equal(rows[[0, 17, 41]], alone)
    again = extractor.fit(faces[:30])
    assert {key: array.tobytes() for key, array in state.items()} == {key: array.tobytes() for key, array in again.items()}
    assert extractor.transform(faces[:0], state).shape == (0, extractor.dims)


@pytest.mark.parametrize("name", HANDCRAFTED)
def test_colour_images_are_taken_as_grey_ones(name: str, faces: np.ndarray) -> None:
    extractor = small(name)
    colour = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)
    plain = np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in colour])
    state = extractor.fit(faces)
    np.testing.assert_array_equal(extractor.transform(colour, state), extractor.transform(plain, state))


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 64, 64), np.float32), np.zeros((64, 64), np.uint8), np.zeros((2, 9, 9, 4), np.uint8)]
)
def test_what_is_no_stack_of_images_is_refused(wrong: np.ndarray) -> None:
    for name in HANDCRAFTED:
        with pytest.raises(DataError, match=r"images: .* are needed"):
            small(name).transform(wrong)


def test_every_extractor_has_its_name() -> None:
    assert all(load(code).name == name for name, code in EXTRACTORS.items())


# --- HOG ---------------------------------------------------------------------------------------------------------


def test_hog_gives_the_values_of_methods_md() -> None:
    values = compute_hog(WAVES, Hog())
    assert values.shape == (7 * 7 * 2 * 2 * 9,) == (1764,)
    assert values.sum() == pytest.approx(190.42, abs=5e-3)
    assert values[0] == pytest.approx(0.104054, abs=1e-6)
    sizes = {224: 26_244, 48: 900, 112: 6_084, 64: 1764}
    assert {size: Hog(size=size).dims for size in sizes} == sizes


@pytest.mark.parametrize("extractor", [Hog(), Sift(dense=True)], ids=["hog", "sift"])
def test_features_do_not_depend_on_intels_primitives(extractor: Hog | Sift, faces: np.ndarray) -> None:
    small = np.ascontiguousarray(faces[:4, ::2, ::2])
    before = cv2.ipp.useIPP()
    try:
        cv2.ipp.setUseIPP(False)
        without = extractor.transform(small)
        cv2.ipp.setUseIPP(True)
        np.testing.assert_array_equal(extractor.transform(small), without)
    finally:
        cv2.ipp.setUseIPP(before)


@pytest.mark.parametrize("extractor", [Hog(), Sift(words=2), Lbp()], ids=["hog", "sift", "lbp"])
def test_pictures_are_described_by_one_thread(
    extractor: Hog | Sift | Lbp, faces: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in worker processes, and whatever the number of cores: OpenCV adds up in another order with more threads."""
    before, used = cv2.getNumThreads(), set()
    describe = type(extractor).describe
    monkeypatch.setattr(
        type(extractor), "describe", lambda self, images: used.add(cv2.getNumThreads()) or describe(self, images)
    )
    try:
        cv2.setNumThreads(2)
        extractor.transform(faces[:4], extractor.fit(faces[:4]))
        assert (used, cv2.getNumThreads()) == ({1}, 2)
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize("norm", ["L2-Hys", "L2", "L1", "L1-sqrt"])
def test_hog_equals_scikit_image(norm: str, faces: np.ndarray) -> None:
    for image in faces[:4]:
        larger = cv2.resize(image, (64, 64), interpolation=cv2.INTER_CUBIC)
        theirs = skimage_hog(larger, 9, (8, 8), (2, 2), norm, transform_sqrt=True)
        np.testing.assert_allclose(Hog(norm=norm).transform(image[None])[0], theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("image", "place"), [(X, 0), (Y, 4), (X + Y, 2)])
def test_ramps_fall_into_the_orientation_of_their_gradient(image: np.ndarray, place: int) -> None:
    blocks = compute_hog(image, Hog(root=False)).reshape(7, 7, 2, 2, 9)[1:-1, 1:-1]
    expected = np.zeros_like(blocks)
    expected[..., place] = 0.5
    np.testing.assert_allclose(blocks, expected, atol=1e-6)


def test_eq_6_divides_a_block_by_its_largest_value() -> None:
    block = np.array([2.0, 4, 0, 8]).reshape(1, 1, 1, 1, 4)
    np.testing.assert_array_equal(divide_by_largest(block).ravel(), [0.25, 0.5, 0, 1])
    np.testing.assert_array_equal(divide_by_largest(block * 0), block * 0)


def test_norm_max_is_eq_6_on_raw_histograms() -> None:
    values = Hog(norm="max").transform(GREY[None])[0].reshape(7, 7, 2, 2, 9)
    raw = np.zeros((8, 8, 9))
    image = np.sqrt(GREY.astype(float))
    down, across = np.zeros_like(image), np.zeros_like(image)
    down[1:-1], across[:, 1:-1] = image[2:] - image[:-2], image[:, 2:] - image[:, :-2]
    angle = np.rad2deg(np.arctan2(down, across)) % 180
    for y in range(64):
        for x in range(64):
            raw[y // 8, x // 8, int(angle[y, x] // 20) % 9] += np.hypot(down[y, x], across[y, x])
    for row in range(7):
        for column in range(7):
            block = raw[row : row + 2, column : column + 2]
            np.testing.assert_allclose(values[row, column], block / block.max(), atol=1e-4)
    assert values.min() >= 0
    np.testing.assert_array_equal(values.max((2, 3, 4)), 1)


@pytest.mark.parametrize("norm", ["max", "L2-Hys"])
def test_a_constant_image_has_no_gradient(norm: str) -> None:
    np.testing.assert_array_equal(Hog(norm=norm).transform(CONSTANT), np.zeros((1, 1764)))


def test_images_without_room_for_a_block_are_refused_in_one_line() -> None:
    for settings_, side in ((Hog(), 15), (Hog(size=None), 15), (Hog(size=None, block=9), 64)):
        with pytest.raises(DataError, match="smaller than one block of") as caught:
            settings_.transform(np.zeros((1, side, 64), np.uint8))
        assert "\n" not in str(caught.value)
    assert Hog(size=None).transform(np.zeros((1, 16, 24), np.uint8)).shape == (1, 72)


@pytest.mark.parametrize("given", [{"size": 8}, {"block": 9}, {"size": 31, "cell": 16}])
def test_a_size_without_room_for_a_block_is_refused_with_the_settings(given: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match=r"size: \d+ pixels are smaller than one block of"):
        Hog.model_validate(given)


# --- SIFT and LBP ------------------------------------------------------------------------------------------------


def test_sift_words_are_the_nearest_and_shares_sum_to_one(faces: np.ndarray) -> None:
    state = WORDS.fit(faces)
    made, rows = WORDS.describe(Block(faces)[:]), WORDS.transform(faces, state)
    sums = rows.sum(1, dtype=np.float64)
    np.testing.assert_allclose(sums, np.where(made.counts > 0, 1, 0), atol=1e-6)
    assert (made.counts > 0).any()
    theirs = KMeans(8, init=state["words"], n_init=1, max_iter=1).fit(state["words"])
    theirs.cluster_centers_ = state["words"].astype(np.float64)
    for image, row in zip(faces[:10], rows, strict=False):
        found = cv2.SIFT_create().detectAndCompute(cv2.resize(image, (64, 64), interpolation=cv2.INTER_CUBIC), None)[1]
        counts = np.bincount(theirs.predict(found.astype(np.float64)), minlength=8)
        np.testing.assert_allclose(row, counts / len(found), atol=1e-6)
        np.testing.assert_array_equal(descriptors(cv2.resize(image, (64, 64), interpolation=cv2.INTER_CUBIC), WORDS), found)


def test_a_constant_image_has_no_key_points(faces: np.ndarray) -> None:
    assert WORDS.describe(Block(CONSTANT)[:]).counts.tolist() == [0]
    np.testing.assert_array_equal(WORDS.transform(CONSTANT, WORDS.fit(faces)), np.zeros((1, 8)))
    np.testing.assert_array_equal(histogram(np.zeros((0, 128), np.uint8), np.ones((3, 128))), np.zeros(3))
    np.testing.assert_array_equal(Sift(dense=True).transform(CONSTANT), np.zeros((1, 2048)))
    with pytest.raises(DataError, match="only 0 key points in 1 training images, for 128 words"):
        Sift().fit(CONSTANT)


def test_dense_sift_describes_a_grid() -> None:
    rows = Sift(dense=True).transform(GREY[None]).reshape(16, 128)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 512, rtol=0.01)
    point = cv2.KeyPoint(24.0, 8.0, 16.0, 0.0)  # second of the first row
    np.testing.assert_array_equal(rows[1], cv2.SIFT_create().compute(GREY, [point])[1][0])
    assert Sift(dense=True, size=128).transform(GREY[None]).shape == (1, 2048)
    with pytest.raises(ValidationError, match="words has no effect"):
        Sift(dense=True, words=5)


def test_a_codebook_can_be_learned_from_some_of_the_descriptors(faces: np.ndarray) -> None:
    fewer = Sift(words=8, sample=40)
    assert fewer.fit(faces)["words"].tobytes() != WORDS.fit(faces)["words"].tobytes()
    assert Sift(words=8, seed=1).fit(faces)["words"].tobytes() != WORDS.fit(faces)["words"].tobytes()


def test_lbp_equals_scikit_image_cell_by_cell() -> None:
    rows = Lbp().transform(GREY[None])[0].reshape(7, 7, 59)
    codes = local_binary_pattern(GREY, 8, 1, "nri_uniform").astype(int)
    edges = -(-np.arange(8) * 64 // 7)
    for row in range(7):
        for column in range(7):
            cell = codes[edges[row] : edges[row + 1], edges[column] : edges[column + 1]]
            np.testing.assert_allclose(rows[row, column], np.bincount(cell.ravel(), minlength=59) / cell.size, atol=1e-6)
    assert Lbp().dims == 2891
    with pytest.raises(ValidationError, match="9 cells do not fit"):
        Lbp(size=8, cells=9)


# --- scaling and fusion ------------------------------------------------------------------------------------------


def one_block(values: Any, train: Any, method: Any = "min-max") -> np.ndarray:
    values = np.asarray(values, np.float32)
    return fuse(np.arange(len(values)).astype(str), {"hog": values}, np.asarray(train), method).values


def test_min_max_by_hand() -> None:
    np.testing.assert_array_equal(one_block([[3], [7], [5]], [0, 1, 2]).ravel(), [0, 1, 0.5])
    np.testing.assert_array_equal(one_block([[3, 2], [7, 2], [9, 4], [1, 2]], [0, 1]), [[0, 0], [1, 0], [1, 0], [0, 0]])
    np.testing.assert_array_equal(one_block([[3, 7, 5], [4, 4, 4]], [], "per-vector"), [[0, 1, 0.5], [0, 0, 0]])
    np.testing.assert_array_equal(one_block([[3, 7]], [], "none"), [[3, 7]])


def test_scaling_equals_scikit_learn() -> None:
    values = np.random.default_rng(1).normal(3, 9, (2500, 7)).astype(np.float32)
    values[:, 3] = 0.1  # constant: 0 here
    train = np.arange(0, 2500, 2)
    exact = values.astype(np.float64)
    theirs = MinMaxScaler(clip=True).fit(exact[train]).transform(exact)
    np.testing.assert_allclose(one_block(values, train), theirs, atol=1e-6)
    theirs = StandardScaler().fit(exact[train]).transform(exact)
    theirs[:, 3] = 0
    np.testing.assert_allclose(one_block(values, train, "z-score"), theirs, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float32, st.tuples(st.integers(2, 9), st.integers(1, 4)), elements=st.floats(-(2.0**100), 2.0**100, width=32)),
    st.data(),
)
def test_min_max_keeps_its_range_and_order(values: np.ndarray, data: st.DataObject) -> None:
    train = np.array(sorted(data.draw(st.sets(st.integers(0, len(values) - 1), min_size=1))))
    scaled = one_block(values, train)
    assert scaled.min() >= 0
    assert scaled.max() <= 1
    varies = values[train].max(0) > values[train].min(0)
    np.testing.assert_array_equal(scaled[train].min(0), 0)
    np.testing.assert_array_equal(scaled[train].max(0), varies.astype(np.float32))
    order = np.argsort(values[:, 0], kind="stable")
    assert (np.diff(scaled[order, 0]) >= 0).all()


def test_blocks_are_joined_as_cnn_hog_sift() -> None:
    parts = {"sift": np.full((2, 128), 3, np.float32), "lbp": np.full((2, 5), 4, np.float32)}
    parts |= {"cnn": np.full((2, 4096), 1, np.float32), "hog": np.full((2, 1764), 2, np.float32)}
    joined = fuse(np.array(["a", "b"]), parts, np.array([0]), "none")
    assert list(joined.parts) == ["cnn", "hog", "sift", "lbp"]
    assert joined.slices["sift"] == slice(5860, 5988)  # 5988 with the first three
    np.testing.assert_array_equal(joined.values[0, [0, 4096, 5860, 5988]], [1, 2, 3, 4])
    np.testing.assert_array_equal(joined.block("hog"), parts["hog"])


def test_what_cannot_be_joined_or_fitted_is_said() -> None:
    names, block = np.array(["a", "b"]), np.ones((2, 3), np.float32)
    for parts, train, said in (
        ({"hog": block[:1]}, [0], "is \\(1, 3\\), for 2 samples"),
        ({"hog": block}, [], "fitted on training images"),
        ({"hog": block * np.nan}, [0], "contain NaN or infinite values"),
        ({}, [0], "no feature blocks"),
    ):
        with pytest.raises(DataError, match=said):
            fuse(names, parts, np.array(train, int))
    with pytest.raises(StudyError, match="no scaling 'minmax'; did you mean min-max"):
        fuse(names, {"hog": block}, np.array([0]), "minmax")  # type: ignore[arg-type]
