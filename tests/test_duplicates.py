"""The search for copies misses no pair, measures as numpy does, and reads images in chunks."""

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_cli.data import duplicates
from fer_cli.data.block import Block, Index
from fer_cli.data.duplicates import Prints, candidates, compare_thumbs, near_duplicates, take_prints
from fer_cli.data.findings import groups_of, in_several, known_codes


def test_candidates_miss_nothing_that_comparing_all_pairs_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    bases = rng.normal(0, 1, (40, 6, 6))
    images = np.empty((400, 48, 48), np.uint8)
    for i in range(400):
        mixed = bases[i % 40] + rng.choice([0.0, 0.05, 0.15, 0.3]) * rng.normal(0, 1, (6, 6))
        smooth = cv2.resize(mixed, (48, 48), interpolation=cv2.INTER_CUBIC)
        images[i] = np.clip(128 + 35 * smooth + rng.normal(0, 3, smooth.shape), 0, 255)
    prints = take_prints(Block(images))
    i, j = np.triu_indices(400, 1)
    correlation, difference = compare_thumbs(prints.thumbs[i], prints.thumbs[j])
    same = (correlation >= duplicates.COPY) & (difference <= duplicates.CELL)
    expected = np.stack([i[same], j[same]], axis=1)
    assert 100 < len(expected) < 2000
    monkeypatch.setattr(duplicates, "CHUNK", 32)
    monkeypatch.setattr(duplicates, "COLUMNS", 48)
    assert near_duplicates(prints, np.arange(400), np.full(400, -1))[0].tolist() == expected.tolist()


def test_candidates_that_differ_in_the_sorted_coefficient_alone_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    angle = np.linspace(0.4, 2.6, 300)
    rows = np.zeros((300, 64), np.float32)
    rows[:, 9], rows[:, 0] = -np.cos(angle), np.sin(angle)
    monkeypatch.setattr(duplicates, "CHUNK", 16)
    monkeypatch.setattr(duplicates, "COLUMNS", 8)
    found = np.concatenate(list(candidates(rows, 9, lambda items, _: items)))
    i, j = np.triu_indices(300, 1)
    needed = angle[j] - angle[i] <= np.arccos(duplicates.COPY)
    assert needed.sum() > 5000
    assert set(map(tuple, np.stack([i, j], axis=1)[needed])) <= set(map(tuple, found))
    assert len(found) < 1.1 * needed.sum()


def test_no_copy_is_missed_where_two_coefficients_spread_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = iter((1, 8))  # as rounding decides, which depends on the order of rows
    monkeypatch.setattr(duplicates, "spread", lambda coefficients: next(columns))
    monkeypatch.setattr(duplicates, "CHUNK", 4)
    rng = np.random.default_rng(1)
    first = np.stack([cv2.resize(rng.uniform(3, 252, (3, 3)), (16, 16)) for _ in range(40)])
    thumbs = np.concatenate([first, first + rng.uniform(-2, 3, first.shape)]).astype(np.uint8)
    prints = Prints(np.arange(80), thumbs, np.zeros(80, bool))
    pairs = near_duplicates(prints, np.arange(80), np.full(80, -1))[0]
    assert pairs.tolist() == [[place, place + 40] for place in range(40)]


def test_correlation_and_cell_difference_agree_with_numpy() -> None:
    a, b = np.random.default_rng(2).integers(0, 256, (2, 5, 16, 16)).astype(np.uint8)
    correlation, difference = compare_thumbs(a, b)
    for k in range(5):
        assert correlation[k] == pytest.approx(np.corrcoef(a[k].ravel(), b[k].ravel())[0, 1], abs=1e-5)
        x, y = ((t[k] - t[k].mean()) / t[k].std() for t in (a, b))
        cells = [abs((x - y)[r : r + 2, c : c + 2].mean()) for r in range(0, 16, 2) for c in range(0, 16, 2)]
        assert difference[k] == pytest.approx(max(cells), abs=1e-5)


def test_images_are_read_in_chunks() -> None:
    class Reader(Block):
        largest = 0

        def __getitem__(self, index: Index) -> np.ndarray:
            found = super().__getitem__(index)
            self.largest = max(self.largest, len(found))
            return found

    reader = Reader(np.zeros((2500, 16, 16), np.uint8))
    assert take_prints(reader).blank.all()
    assert reader.largest == 1024


def test_keys_in_several_parts_by_hand() -> None:
    keys = np.array([7, 7, 7, 2, 2, 5, 5, -1, -1, 4])
    parts = np.array([0, 0, 1, 1, 1, 2, -1, 0, 1, 0])
    assert in_several(keys, parts).tolist() == [7]
    assert in_several(keys, np.where(parts < 0, 0, parts)).tolist() == [5, 7]
    assert [group.tolist() for group in groups_of(np.array([3, 1, 3, 0, 1, 3]))] == [[0, 2, 5], [1, 4]]
    assert groups_of(np.arange(4)) == []
    assert known_codes(pd.Series(["b", "", "a", "None", "b"])).tolist() == [0, -1, 1, -1, 0]
