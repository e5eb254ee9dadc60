"""Exact and near duplicates among many images, without comparing all pairs in Python.

Each image has a digest of its pixels, a 16 x 16 grey thumbnail and a descriptor: the 8 x 8 lowest DCT coefficients, whose
signs form the perceptual hash (Zauner 2010), scaled to unit length; the slot of the mean holds the norm of the omitted
coefficients. The inner product of two descriptors is an upper bound of the correlation of their thumbnails, so block-wise
matrix products over images sorted by one coefficient find all candidates, whose thumbnails are then compared. Mirrored,
shifted, cropped and histogram-equalised copies are deliberately not detected.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fer_cli.data.block import Block, grey_picture, pictures, resize_picture
from fer_cli.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd

SIDE = 16
"""Side of a thumbnail in pixels, small enough to be robust to re-encoding and resizing."""
CELLS = 8
"""Thumbnails are also compared on a grid of 8 x 8 cell means: a mouth or a brow covers a few cells."""
COPY = 0.98
"""Minimum thumbnail correlation of near duplicates: 99 % of copies of CK+48 and of 48- and 64-pixel embedded faces reach
0.986 after JPEG of quality 30 or halving and doubling the size. Not sufficient: two expressions of one person reach 0.99 on
CK+48."""
CELL = 0.15
"""Maximum cell difference of near duplicates, in standard deviations of the thumbnail. All JPEGs of quality 50 stay below
0.14; the closest two pictures of one person with one expression differ by 0.22 on CK+48, and by 0.156 where faces are drawn
frontal, evenly lit and of one size."""
NEIGHBOUR = 0.85
"""Minimum correlation of consecutive look-alike frames; a cut or a turned head falls below. Too low to detect copies."""
FEW_GREYS = 3
"""Images with at most this many grey values are blank (12 such in FER2013)."""
FLAT = 2.0
"""Images whose thumbnail has a smaller standard deviation (grey values, 0-255) are blank."""

CHUNK = 1024
"""Images read at a time, and rows of a block of products."""
COLUMNS = 8192
"""Columns of a block of products."""


@dataclass(frozen=True)
class Prints:
    """Fingerprints of all images, about half a kilobyte each."""

    pixels: np.ndarray
    """(N,) int64: equal for images with identical pixels."""
    thumbs: np.ndarray
    """(N, 16, 16) uint8 grey."""
    blank: np.ndarray
    """(N,) bool: at most 3 grey values, or nearly constant."""


def take_prints(images: Block, progress: Progress = silent) -> Prints:
    """Return the fingerprints of stills, read in chunks."""
    import pandas as pd

    digests: list[bytes] = []
    thumbs = np.empty((len(images), SIDE, SIDE), np.uint8)
    blank = np.zeros(len(images), bool)
    starts = range(0, len(images), CHUNK)
    for start in progress(starts, len(starts)):
        for position, image in enumerate(pictures(images[start : start + CHUNK]), start):
            digests.append(hashlib.blake2b(image.data, digest_size=16).digest())
            grey = grey_picture(image)
            thumbs[position] = resize_picture(grey, (SIDE, SIDE))
            few = np.count_nonzero(np.bincount(grey.ravel(), minlength=256)) <= FEW_GREYS
            blank[position] = few or thumbs[position].std() < FLAT
    return Prints(pd.factorize(np.array(digests, dtype=object))[0].astype(np.int64), thumbs, blank)


def exact_groups(prints: Prints, manifest: pd.DataFrame) -> np.ndarray:
    """Return a group number per image, (N,) int64: equal for identical pixels or identical single-image source files."""
    import pandas as pd

    files, digests = manifest["file"].astype(str), manifest["sha256"].astype(str)
    alone = ((files != "") & ~files.duplicated(keep=False) & (digests != "")).to_numpy()
    rows = np.flatnonzero(alone)
    return link_groups(
        len(manifest), np.concatenate([to_first(prints.pixels), rows[to_first(pd.factorize(digests[alone])[0])]])
    )


def to_first(keys: np.ndarray) -> np.ndarray:
    """Return (P, 2) int64: every position with the first position of the same key."""
    first, inverse = np.unique(keys, return_index=True, return_inverse=True)[1:]
    return np.stack([np.arange(len(keys)), first[inverse]], axis=1)


def link_groups(n: int, pairs: np.ndarray) -> np.ndarray:
    """Return the connected component of each position, (n,) int64, in the graph of the pairs (P, 2)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def near_duplicates(
    prints: Prints, exact: np.ndarray, sequences: np.ndarray, progress: Progress = silent
) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted pairs (P, 2) int64 of near duplicates not within one sequence, and their correlations (P,) float32.

    Groups of exact copies (``exact``, (N,) int64) are represented by their first image; blank images are skipped.
    ``sequences``: (N,) int64, -1 if unknown. Copies in several sequences belong to none of them.
    """
    chosen = np.unique(exact, return_index=True)[1]
    whole = common_sequence(sequences, exact)
    chosen = chosen[~prints.blank[chosen]]
    coefficients = describe_thumbs(prints.thumbs, chosen)
    widest = spread(coefficients)
    order = np.argsort(coefficients[:, widest], kind="stable")
    chosen, coefficients = chosen[order], coefficients[order]
    pairs, correlations = [np.empty((0, 2), np.int64)], [np.empty(0, np.float32)]
    for block in candidates(coefficients, widest, progress):
        first, second = np.sort(chosen[block], axis=1).T
        other = (whole[first] != whole[second]) | (whole[first] < 0)
        first, second = first[other], second[other]
        for start in range(0, len(first), CHUNK):
            i, j = first[start : start + CHUNK], second[start : start + CHUNK]
            correlation, difference = compare_thumbs(prints.thumbs[i], prints.thumbs[j])
            same = (correlation >= COPY) & (difference <= CELL)
            pairs.append(np.stack([i[same], j[same]], axis=1))
            correlations.append(correlation[same])
    found, values = separate_pairs(np.concatenate(pairs), sequences, exact), np.concatenate(correlations)
    order = np.lexsort((found[:, 1], found[:, 0]))
    return found[order], values[order]


def separate_pairs(pairs: np.ndarray, sequences: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Return pairs (P, 2) int64, each ascending; within one sequence, an image is replaced by its copy in another one."""
    shown = pairs.copy()
    for row in np.flatnonzero((sequences[pairs] >= 0).all(1) & (sequences[pairs[:, 0]] == sequences[pairs[:, 1]])):
        for side in (1, 0):
            copies = np.flatnonzero(exact == exact[pairs[row, side]])
            elsewhere = copies[sequences[copies] != sequences[pairs[row, 0]]]
            if len(elsewhere):
                shown[row, side] = elsewhere[0]
                break
    return np.sort(shown, axis=1)


def common_sequence(sequences: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Return (N,) int64: the sequence that holds all copies of an image, -1 if there is none."""
    groups = np.unique(exact, return_inverse=True)[1]
    low = np.full(groups.max(initial=-1) + 1, np.iinfo(np.int64).max)
    high = np.full(len(low), -1, np.int64)
    np.minimum.at(low, groups, sequences)
    np.maximum.at(high, groups, sequences)
    return np.asarray(np.where(low == high, low, -1)[groups])


def describe_thumbs(thumbs: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return unit descriptors (n, 64) float32 of the thumbnails ``chosen``; slot 0: norm of the omitted coefficients."""
    from scipy.fft import dctn

    low = np.empty((len(chosen), CELLS * CELLS), np.float32)
    for start in range(0, len(chosen), CHUNK):
        part = chosen[start : start + CHUNK]
        waves = dctn(thumbs[part].astype(np.float32), axes=(1, 2), norm="ortho")
        waves[:, 0, 0] = 0
        waves /= np.linalg.norm(waves, axis=(1, 2), keepdims=True)
        kept = waves[:, :CELLS, :CELLS].reshape(len(part), -1)
        kept[:, 0] = np.sqrt(np.maximum(0, 1 - (kept**2).sum(1)))
        low[start : start + CHUNK] = kept
    return low


def spread(coefficients: np.ndarray) -> int:
    """Return the column of descriptors (n, 64) with the largest variance, 0 if there are none."""
    return int(coefficients.var(axis=0).argmax()) if len(coefficients) else 0


def candidates(coefficients: np.ndarray, column: int, progress: Progress) -> Iterator[np.ndarray]:
    """Yield, block by block, all pairs (P, 2) of rows that may correlate by ``COPY`` or more.

    ``coefficients``: (n, 64) float32 of unit length, sorted by ``column``, the faster the larger its variance.
    """
    least = COPY - 1e-4  # tolerance of float32 products
    key = coefficients[:, column]
    reach = np.sqrt(2 - 2 * least)
    starts = range(0, len(key), CHUNK)
    for start in progress(starts, len(starts)):
        rows = coefficients[start : start + CHUNK]
        end = int(np.searchsorted(key, key[start + len(rows) - 1] + reach, side="right"))
        for left in range(start, end, COLUMNS):
            hits = np.argwhere(rows @ coefficients[left : min(end, left + COLUMNS)].T >= least) + [start, left]
            yield hits[hits[:, 1] > hits[:, 0]]


def compare_thumbs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return correlations and maximum cell differences, (n,) float32 each, of pairs of thumbnails (n, 16, 16)."""
    a, b = standardise(first), standardise(second)
    step = SIDE // CELLS
    cells = (a - b).reshape(-1, CELLS, step, CELLS, step).mean(axis=(2, 4))
    return (a * b).mean(axis=(1, 2)), np.abs(cells).max(axis=(1, 2), initial=0)


def standardise(thumbs: np.ndarray) -> np.ndarray:
    """Return (n, 16, 16) float32 with mean 0 and standard deviation 1 each; constant thumbnails become 0."""
    centred: np.ndarray = thumbs - thumbs.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    centred /= np.maximum(centred.std(axis=(1, 2), keepdims=True), 1e-6)
    return centred


def alike_neighbours(prints: Prints, exact: np.ndarray, sequences: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return pairs (P, 2) int64 of consecutive look-alike frames of a sequence that are not exact copies.

    ``sequences``: (N,) int64, -1 if unknown; ``frames``: (N,), the order within a sequence.
    """
    order = np.lexsort((frames, sequences))
    first, second = order[:-1], order[1:]
    linked = (sequences[first] == sequences[second]) & (sequences[first] >= 0) & (exact[first] != exact[second])
    linked &= ~prints.blank[first] & ~prints.blank[second]
    first, second = first[linked], second[linked]
    alike = [np.empty(0, bool)]
    for start in range(0, len(first), CHUNK):
        part = slice(start, start + CHUNK)
        alike.append(compare_thumbs(prints.thumbs[first[part]], prints.thumbs[second[part]])[0] >= NEIGHBOUR)
    pairs: np.ndarray = np.stack([first, second], axis=1)
    kept: np.ndarray = pairs[np.concatenate(alike)]
    return kept
