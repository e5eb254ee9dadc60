"""Bit-identical arithmetic on every processor, for everything that affects a pixel.

The last digits of matrix products (BLAS), OpenCV's float filters and NumPy's float32 functions depend on the processor. Here
sums use a fixed order of single multiplications and additions (IEEE 754); images are blurred and enlarged as 16-bit
integers; inexact functions are computed in float64 and rounded to float32, which may differ once in 2^29 values.
"""

from __future__ import annotations

import cv2
import numpy as np

STEPS = 65535
"""Grey levels of a 16-bit image."""


def weighted_sum(weights: np.ndarray, layers: np.ndarray) -> np.ndarray:
    """Return the sum (...) of ``layers`` (n, ...) times ``weights`` (n,), in order and in the layers' precision."""
    total = np.zeros(layers.shape[1:], layers.dtype)
    term = np.empty_like(total)
    for place in np.flatnonzero(weights):
        total += np.multiply(layers[place], layers.dtype.type(weights[place]), out=term)
    return total


def matrix_product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the product (..., m, n) of matrices (..., m, k) and (..., k, n), for small k."""
    total = left[..., :, :1] * right[..., :1, :]
    for k in range(1, left.shape[-1]):
        total = total + left[..., :, k : k + 1] * right[..., k : k + 1, :]
    return np.asarray(total)


def rotate(points: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Return points or directions (n, 3) or (3,) rotated by ``rotation`` (3, 3)."""
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([x * a + y * b + z * c for a, b, c in rotation], -1)


def dot(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the scalar products (...) of vectors (k, ...) and (k, ...) or (k,), component by component."""
    total = left[0] * right[0]
    for k in range(1, len(left)):
        total = total + left[k] * right[k]
    return np.asarray(total)


def length(vectors: np.ndarray) -> np.ndarray:
    """Return the lengths (...) of vectors (k, ...)."""
    return np.asarray(np.sqrt(dot(vectors, vectors)))


def distance(start: np.ndarray, end: np.ndarray) -> float:
    """Return the distance of two points (k,)."""
    return float(length(np.asarray(end, np.float64) - np.asarray(start, np.float64)))


def exp(values: np.ndarray) -> np.ndarray:
    """Return e to the power of values, float32."""
    return np.exp(values, dtype=np.float64).astype(np.float32)


def logistic(values: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + e^-x) of values x, float32."""
    from scipy.special import expit

    return np.asarray(expit(values.astype(np.float64)), np.float32)


def power(values: np.ndarray, exponent: float) -> np.ndarray:
    """Return non-negative values to the power of ``exponent``, float32."""
    return np.power(values, exponent, dtype=np.float64).astype(np.float32)


def to_steps(image: np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Return a float image as uint16, mapping [``low``, ``high``] to [0, STEPS] with clipping."""
    return np.rint(np.clip((image - low) * (STEPS / (high - low)), 0, STEPS)).astype(np.uint16)


def from_steps(steps: np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Return a uint16 image as float32 values from ``low`` to ``high``."""
    return steps.astype(np.float32) * np.float32((high - low) / STEPS) + np.float32(low)


def blur(image: np.ndarray, sigma: float, sigma_y: float = 0.0, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Return the Gaussian blur, float32, of an image (H, W) or (H, W, 3) with values from ``low`` to ``high``.

    ``sigma``, ``sigma_y``: standard deviation in pixels (y default: as x). OpenCV blurs 16-bit images in fixed point.
    """
    blurred = cv2.GaussianBlur(to_steps(image, low, high), (0, 0), sigmaX=sigma, sigmaY=sigma_y)
    return from_steps(blurred, low, high)


def enlarge(image: np.ndarray, shape: tuple[int, int], low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Return an image with values from ``low`` to ``high`` enlarged linearly to ``shape`` (rows, columns), float32."""
    rows, columns = shape
    return from_steps(
        cv2.resize(to_steps(image, low, high), (columns, rows), interpolation=cv2.INTER_LINEAR_EXACT), low, high
    )


def halve(image: np.ndarray) -> np.ndarray:
    """Return an image (2H, 2W, 3) at half its size: each pixel the mean of four."""
    return np.asarray((image[::2, ::2] + image[::2, 1::2] + (image[1::2, ::2] + image[1::2, 1::2])) * np.float32(0.25))


def slopes(depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return twice the slopes of a map (H, W) in x and y (Sobel filter); 0 at the border."""
    across, along = np.zeros_like(depth), np.zeros_like(depth)
    rows = depth[:-2] + 2 * depth[1:-1] + depth[2:]
    columns = depth[:, :-2] + 2 * depth[:, 1:-1] + depth[:, 2:]
    across[1:-1, 1:-1] = (rows[:, 2:] - rows[:, :-2]) * np.float32(0.25)
    along[1:-1, 1:-1] = (columns[2:] - columns[:-2]) * np.float32(0.25)
    return across, along


def sample(texture: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return (3, n) bilinear samples of a texture (H, W, 3) float32 at (n, 2: column, row), borders repeated."""
    return sample_all((texture,), at)[0]


def sample_all(textures: tuple[np.ndarray, ...], at: np.ndarray) -> list[np.ndarray]:
    """Return ``sample`` of each of several textures of the same size."""
    height, width = textures[0].shape[:2]
    x, y = (np.clip(column, 0, size - 1) for column, size in zip(cv2.transpose(at), (width, height), strict=True))
    left, top = np.minimum(x.astype(np.int32), width - 2), np.minimum(y.astype(np.int32), height - 2)
    x, y = x - left.astype(np.float32), y - top.astype(np.float32)
    upper_left = (top * width + left).astype(np.intp)
    places = (upper_left, upper_left + 1, upper_left + width, upper_left + (width + 1))
    samples = []
    for texture in textures:
        pixels = texture.reshape(-1, 3).view("V12").ravel()  # a pixel as one element, which is many times faster
        upper, right, lower, below = (cv2.transpose(pixels.take(place).view(np.float32).reshape(-1, 3)) for place in places)
        upper += (right - upper) * x
        lower += (below - lower) * x
        lower -= upper
        lower *= y
        samples.append(np.asarray(lower + upper))
    return samples
