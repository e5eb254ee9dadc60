"""Copies and look-alikes among many images, found without comparing pictures pair by pair in Python.

Every image leaves a print: a digest of its pixels, a grey thumbnail of 16 x 16, and from it the 8 x 8 lowest cosine (DCT)
coefficients of which the perceptual hash keeps the signs (Zauner 2010, "Implementation and benchmarking of perceptual image
hash functions"). Here the coefficients themselves are kept, scaled to unit length, and the slot of the mean, which is of no
interest, takes the length of all that the 8 x 8 leave out. The inner product of two such prints is then never less than the
correlation of their thumbnails: blocks of matrix products, over images sorted by one coefficient, give every candidate and
miss none. Candidates are compared thumbnail by thumbnail.

What is missed on purpose: mirrored, shifted, cropped and histogram-equalised copies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from fer_cli.data.block import Block, grey_picture, pictures
from fer_cli.progress import Progress, silent

"""Wraps an iterable of known length, e.g. in a progress bar."""

SIDE = 16
"""Side of a thumbnail in pixels: small enough that re-encoding and resizing hardly change it."""
CELLS = 8
"""Thumbnails are also compared on a grid of 8 x 8 cell means: a mouth or a brow covers a few cells."""
COPY = 0.98
"""Least correlation of the thumbnails of a near duplicate. Of copies of CK+48 and of 48- and 64-pixel embedded faces, 99 in
100 reach 0.986 after JPEG of quality 30 or halving and doubling the size. Alone it proves no copy: two expressions of one
person reach 0.99 on CK+48."""
CELL = 0.16
"""Largest difference of any cell between near duplicates, in standard deviations of the thumbnail. On the same faces every
JPEG of quality 50 stays below 0.14 and 98 in 100 of quality 30 below 0.16; the closest two expressions of one person differ
by 0.22 (CK+48) and 0.24 (embedded, frontal, evenly lit)."""
NEIGHBOUR = 0.85
"""Least correlation of a frame with the next of its sequence to be called its look-alike. As proof that two pictures are
copies it would be far too low; here the clip is known to be the same, and only a cut or a turned head falls below it."""
FEW_GREYS = 3
"""An image of at most so many grey values shows no face (12 such in FER2013)."""
FLAT = 2.0
"""An image whose thumbnail deviates less than this from its mean (grey values, 0-255) is nearly constant."""

CHUNK = 1024
"""Images read at a time, and rows of a block of products."""
COLUMNS = 8192
"""Columns of a block of products."""


@dataclass(frozen=True)
class Prints:
    """What is kept of every image; about half a kilobyte each, whatever the size of the image."""

    pixels: np.ndarray
    """(N,) int64: equal numbers for images with identical pixels."""
    thumbs: np.ndarray
    """(N, 16, 16) uint8 grey."""
    blank: np.ndarray
    """(N,) bool: at most 3 grey values, or nearly constant."""


def take_prints(images: Block, progress: Progress = silent) -> Prints:
    """Return the prints of stills, read in chunks."""
    digests: list[bytes] = []
    thumbs = np.empty((len(images), SIDE, SIDE), np.uint8)
    blank = np.zeros(len(images), bool)
    starts = range(0, len(images), CHUNK)
    for start in progress(starts, len(starts)):
        for position, image in enumerate(pictures(images[start : start + CHUNK]), start):
            digests.append(hashlib.blake2b(image.data, digest_size=16).digest())
            grey = grey_picture(image)
            thumbs[position] = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            few = np.count_nonzero(np.bincount(grey.ravel(), minlength=256)) <= FEW_GREYS
            blank[position] = few or thumbs[position].std() < FLAT
    return Prints(pd.factorize(np.array(digests, dtype=object))[0].astype(np.int64), thumbs, blank)


def exact_groups(prints: Prints, manifest: pd.DataFrame) -> np.ndarray:
    """Return a group number per image, (N,) int64: equal for identical pixels or an identical source file.

    A file that holds several images (a table, a film) says nothing of any one of them; its digest is not used.
    """
    files, digests = manifest["file"].astype(str), manifest["sha256"].astype(str)
    alone = ((files != "") & ~files.duplicated(keep=False) & (digests != "")).to_numpy()
    rows = np.flatnonzero(alone)
    return link_groups(
        len(manifest),
        np.concatenate([to_first(prints.pixels), rows[to_first(pd.factorize(digests[alone])[0])]]),
    )


def to_first(keys: np.ndarray) -> np.ndarray:
    """Return (P, 2) int64: every position with the first position that has the same key."""
    first, inverse = np.unique(keys, return_index=True, return_inverse=True)[1:]
    return np.stack([np.arange(len(keys)), first[inverse]], axis=1)


def link_groups(n: int, pairs: np.ndarray) -> np.ndarray:
    """Return a number per position, (n,) int64: equal for all that pairs (P, 2) link, directly or through others."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def near_duplicates(
    prints: Prints, exact: np.ndarray, sequences: np.ndarray, progress: Progress = silent
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs (P, 2) int64 of near duplicates outside one sequence, in order, and their correlations (P,) float32.

    Of each group of exact copies (``exact``, (N,) int64) the first stands for all; blank images are left out.
    ``sequences``: (N,) int64, -1 where none is known. Copies in several sequences belong to none of them.
    """
    chosen = np.unique(exact, return_index=True)[1]
    whole = common_sequence(sequences, exact)
    chosen = chosen[~prints.blank[chosen]]
    coefficients = describe_thumbs(prints.thumbs, chosen)
    order = np.argsort(coefficients[:, spread(coefficients)], kind="stable")
    chosen, coefficients = chosen[order], coefficients[order]
    pairs, correlations = [np.empty((0, 2), np.int64)], [np.empty(0, np.float32)]
    for block in candidates(coefficients, progress):
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
    """Return pairs (P, 2) int64, ascending within; where both are of one sequence, a copy of one in another replaces it."""
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
    """Return (N,) int64: the one sequence that holds all copies of an image, -1 where there is none."""
    groups = np.unique(exact, return_inverse=True)[1]
    low = np.full(groups.max(initial=-1) + 1, np.iinfo(np.int64).max)
    high = np.full(len(low), -1, np.int64)
    np.minimum.at(low, groups, sequences)
    np.maximum.at(high, groups, sequences)
    return np.asarray(np.where(low == high, low, -1)[groups])


def describe_thumbs(thumbs: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return prints (n, 64) float32 of unit length for thumbnails ``chosen``; slot 0 is the length of what is left out."""
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
    """Return the column of prints (n, 64) that varies most, 0 where there are none."""
    return int(coefficients.var(axis=0).argmax()) if len(coefficients) else 0


def candidates(coefficients: np.ndarray, progress: Progress) -> Iterator[np.ndarray]:
    """Yield, block by block, pairs (P, 2) of rows that may correlate by ``COPY`` or more; none is missed.

    ``coefficients``: (n, 64) float32 of unit length, sorted by the column that varies most.
    """
    least = COPY - 1e-4  # float32 products err by less
    key = coefficients[:, spread(coefficients)]
    reach = np.sqrt(2 - 2 * least)
    starts = range(0, len(key), CHUNK)
    for start in progress(starts, len(starts)):
        rows = coefficients[start : start + CHUNK]
        end = int(np.searchsorted(key, key[start + len(rows) - 1] + reach, side="right"))
        for left in range(start, end, COLUMNS):
            hits = np.argwhere(rows @ coefficients[left : min(end, left + COLUMNS)].T >= least) + [start, left]
            yield hits[hits[:, 1] > hits[:, 0]]


def compare_thumbs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for pairs of thumbnails (n, 16, 16) their correlations and largest cell differences, both (n,) float32."""
    a, b = standardise(first), standardise(second)
    step = SIDE // CELLS
    cells = (a - b).reshape(-1, CELLS, step, CELLS, step).mean(axis=(2, 4))
    return (a * b).mean(axis=(1, 2)), np.abs(cells).max(axis=(1, 2), initial=0)


def standardise(thumbs: np.ndarray) -> np.ndarray:
    """Return (n, 16, 16) float32 with mean 0 and deviation 1 each; thumbnails without contrast become 0."""
    centred: np.ndarray = thumbs - thumbs.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    centred /= np.maximum(centred.std(axis=(1, 2), keepdims=True), 1e-6)
    return centred


def alike_neighbours(prints: Prints, exact: np.ndarray, sequences: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return pairs (P, 2) int64 of frames next to each other in a sequence that look alike and are no exact copies.

    ``sequences``: (N,) int64, -1 where none is known; ``frames``: (N,), the order within a sequence.
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
