"""Embedded faces have the same bytes on every processor: constants, the switches of every library, sums in fixed order."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

from fer_cli.synthetic import exact, recipe
from tests.drawn import KINDS, float_hash, lesson_hash, resized_hash, set_hash, small_set

HASHES = {
    "synth-basic": "97f98fe2304cee46",
    "synth-learning": "a31b8fde5d202169",
    "synth-student": "ee9a73953dbd601c",
    "synth-scene": "5f905e8edfe7a19b",
    "synth-lecture": "94362ffdd8ff4ad6",
    "synth-order": "b41f0bad5c251c70",
    "synth-gesture": "ee09b6f014659e01",
    "synth-gesture-time": "117168860587d085",
    "lesson": "7745cf42a0043583",
    "floats": "d2e65d2aeaeedd6b",
    "resized": "2e6fef4f7f427264",
}
"""Of the pixels and truth of small sets, and of a resized photograph.

Whoever changes a pixel of a set raises ``recipe.VERSION`` and replaces these.
"""
FINGERPRINTS = {
    "synth-basic": "b45f41d94c6aa72d",
    "synth-learning": "51a00d8c8f3984e8",
    "synth-student": "80d8d4731fa6ea45",
    "synth-scene": "f267cc56ba1a7af2",
    "synth-lecture": "1831ea17215987b3",
    "synth-order": "baf358fe361029a9",
    "synth-gesture": "39eb85c299d2e19c",
    "synth-gesture-time": "bd3a1727760ce424",
}
"""Of the same sets, by their recipes: they stand for the pixels above, so both change together or not at all."""

FEATURES = ",".join(name for name in __cpu_dispatch__ if __cpu_features__[name])
SWITCHES = {
    "blas of 2008, torch, numpy and opencv without instructions": {
        "OPENBLAS_CORETYPE": "Nehalem",
        "ATEN_CPU_CAPABILITY": "default",
        "NPY_DISABLE_CPU_FEATURES": FEATURES,
        "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX2,FMA3,FP16,AVX,SSE4.2,SSE4.1",
    },
    "blas of 2013, opencv with ipp": {"OPENBLAS_CORETYPE": "Haswell", "OPENCV_IPP": "avx2"},
    "blas with avx-512, two threads": {"OPENBLAS_CORETYPE": "SkylakeX", "THREADS": "2"},
}
"""Each library has its own switch: where bytes stay the same with several, they do with each."""


@pytest.mark.parametrize("name", KINDS)
def test_a_small_set_of_each_kind_has_the_bytes_it_always_had(name: str) -> None:
    assert set_hash(name) == HASHES[name]
    assert recipe.recipe_fingerprint(*small_set(name)) == FINGERPRINTS[name]


def test_what_pixels_are_made_of_and_resized_photographs_have_the_bytes_they_always_had() -> None:
    assert float_hash() == HASHES["floats"]
    assert resized_hash() == HASHES["resized"]


def test_a_frame_of_a_lesson_has_the_bytes_it_always_had() -> None:
    assert lesson_hash() == HASHES["lesson"]


@pytest.mark.parametrize("switch", SWITCHES)
def test_bytes_do_not_depend_on_the_processors_instructions(switch: str) -> None:
    settings = SWITCHES[switch]
    avx512 = __cpu_features__.get("X86_V4") or __cpu_features__.get("AVX512_SKX")
    if settings["OPENBLAS_CORETYPE"] == "SkylakeX" and not avx512:
        settings = {"THREADS": settings["THREADS"]}  # such kernels end in an illegal instruction here
    call = [sys.executable, "-W", "ignore", "-m", "tests.drawn", settings.get("THREADS", "1")]
    done = subprocess.run(call, env=os.environ | settings, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == HASHES


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 9), columns=st.integers(1, 9))
def test_sums_in_fixed_order_are_the_products_of_numpy(seed: int, rows: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, turn, points = (
        rng.normal(size=(rows, 4)),
        rng.normal(size=(4, columns)),
        rng.normal(size=(3, 3)),
        rng.normal(size=(7, 3)),
    )
    np.testing.assert_allclose(exact.matrix_product(a, b), a @ b, atol=1e-12)
    np.testing.assert_allclose(exact.rotate(points, turn), points @ turn.T, atol=1e-12)
    np.testing.assert_allclose(exact.rotate(points[0], turn), turn @ points[0], atol=1e-12)
    np.testing.assert_allclose(exact.dot(points.T, turn[0]), points @ turn[0], atol=1e-12)
    np.testing.assert_allclose(exact.length(points.T), np.linalg.norm(points, axis=1), atol=1e-12)
    np.testing.assert_allclose(exact.weighted_sum(a[0], b), a[0] @ b, atol=1e-12)
    assert exact.distance(points[0], points[1]) == pytest.approx(np.linalg.norm(points[0] - points[1]))


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """A smooth image (64, 48, 3) float32 in [0, 1]."""
    noise = np.random.default_rng(0).random((64, 48, 3)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 1.5), 0, 1)


@pytest.mark.parametrize(("sigma", "sigma_y"), [(0.4, 0.0), (1.2, 0.0), (1.0, 6.0), (3.0, 0.0)])
def test_blur_is_opencvs_up_to_rounding(image: np.ndarray, sigma: float, sigma_y: float) -> None:
    expected = cv2.GaussianBlur(image, (0, 0), sigmaX=sigma, sigmaY=sigma_y)
    np.testing.assert_allclose(exact.blur(image, sigma, sigma_y), expected, atol=3e-4)
    np.testing.assert_allclose(exact.blur(image * 8 - 4, sigma, sigma_y, -4, 4), expected * 8 - 4, atol=3e-3)


def test_resizing_sampling_and_slopes_are_opencvs_up_to_rounding(image: np.ndarray) -> None:
    expected = cv2.resize(image, (96, 200), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(exact.enlarge(image, (200, 96)), expected, atol=3e-4)
    np.testing.assert_allclose(exact.halve(image), cv2.resize(image, (24, 32), interpolation=cv2.INTER_AREA), atol=1e-6)
    at = np.random.default_rng(1).uniform(-3, 70, (500, 2)).astype(np.float32)
    remapped = cv2.remap(image, at[None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
    np.testing.assert_allclose(exact.sample(image, at), remapped.T, atol=2e-3)  # OpenCV rounds places to 1/32 of a pixel
    across, along = exact.slopes(image[..., 0])
    for ours, (x, y) in ((across, (1, 0)), (along, (0, 1))):
        sobel = cv2.Sobel(image[..., 0], cv2.CV_32F, x, y, scale=0.25)
        np.testing.assert_allclose(ours[1:-1, 1:-1], sobel[1:-1, 1:-1], atol=1e-6)
        assert not ours[[0, -1]].any()


def test_functions_are_those_of_numpy_in_double_precision() -> None:
    values = np.linspace(-400, 20, 1000)
    np.testing.assert_allclose(exact.exp(values), np.exp(values), rtol=1e-6, atol=1e-38)
    np.testing.assert_allclose(exact.logistic(values), 1 / (1 + np.exp(-values)), rtol=1e-6, atol=1e-38)
    np.testing.assert_allclose(
        exact.power(np.linspace(0, 1, 9, dtype=np.float32), 0.83), np.linspace(0, 1, 9) ** 0.83, rtol=1e-6
    )
