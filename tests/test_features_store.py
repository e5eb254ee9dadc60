"""Features of a set: nothing learned from test images, a store to trust, and files that say where they came from."""

import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from fer_cli.config import DataConfig
from fer_cli.data.block import Block, load_rows, open_block
from fer_cli.data.manifest import FaceSet, SetInfo
from fer_cli.data.splits import Split, make_split
from fer_cli.errors import DataError, FerError
from fer_cli.features import store
from fer_cli.features.clean import list_entries, remove_entries
from fer_cli.features.extractor import Descriptions, Extractor
from fer_cli.features.files import read_features, write_features
from fer_cli.features.fuse import Features, extract, fuse
from fer_cli.features.hog import Hog
from fer_cli.features.lbp import Lbp
from fer_cli.features.parallel import describe_images
from fer_cli.features.sift import Sift
from fer_cli.features.store import Store
from tests.conftest import FOLDERS
from tests.test_features import SUBJECTS, WORDS, drawn_faces


def faces_of(images: np.ndarray, labels: list[str]) -> FaceSet:
    n = len(images)
    table = {"sample": [f"s{i:04d}" for i in range(n)], "label": labels, "subject": [f"p{i % SUBJECTS}" for i in range(n)]}
    table["name"] = table["sample"]
    manifest = pd.DataFrame({**table, "sequence": "", "split": "none"})
    print_ = hashlib.sha256(images.tobytes()).hexdigest()[:16]
    info = {"name": "drawn", "title": "Drawn", "licence": "none", "classes": list(FOLDERS), "fingerprint": print_}
    numbers = {"card_version": 1, "subjects": SUBJECTS, "image_size": images.shape[1], "found": n, "kept": n}
    rest = {"counts": {}, "preprocessing": [], "unreadable": {}, "differences": []}
    rest |= {"fer_version": "0", "files": {}}
    return FaceSet(SetInfo(**info, **numbers, **rest), manifest, Block(images))


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    return faces_of(*drawn_faces())


@pytest.fixture(scope="module")
def split(faces: FaceSet) -> Split:
    return make_split(faces.manifest, DataConfig(name="drawn", split="random", folds=3, val_fraction=0.3))


@pytest.fixture
def kept(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def with_images(faces: FaceSet, positions: np.ndarray) -> FaceSet:
    """The same set with other pixels at ``positions``."""
    images = faces.images.packed.copy()
    images[positions] = np.random.default_rng(5).integers(0, 256, images[positions].shape, dtype=np.uint8)
    return faces_of(images, faces.manifest["label"].tolist())


@pytest.mark.parametrize("method", ["min-max", "z-score"])
def test_nothing_fitted_depends_on_validation_or_test_images(method: Any, faces: FaceSet, split: Split, kept: Store) -> None:
    extractors: dict[str, Extractor] = {"hog": Hog(), "sift": WORDS}

    def fitted(faces: FaceSet) -> list[bytes]:
        words = kept.extract(faces, WORDS, split.train).state["words"]
        scaling = extract(faces, split, extractors, kept, method).scaling
        return [each.tobytes() for each in (words, scaling.low, scaling.span)]

    ours = fitted(faces)
    assert fitted(with_images(faces, np.concatenate([split.val, split.test]))) == ours
    changed = fitted(with_images(faces, split.train[:1]))
    assert all(mine != other for mine, other in zip(ours, changed, strict=True))


# --- processes and the store -------------------------------------------------------------------------------------


def test_processes_and_chunks_change_no_byte(faces: FaceSet, split: Split, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", faces.images.packed)
    mapped = FaceSet(faces.info, faces.manifest, open_block(tmp_path / "images.npy"))
    for extractor in (Hog(), WORDS):
        made = []
        for jobs, chunk in ((1, 64), (2, 5)):
            seen: list[int] = []

            def counted(items: Any, total: int, seen: list[int] = seen) -> Any:
                for item in items:
                    seen.append(total)
                    yield item

            kept = Store(tmp_path / f"{jobs}-{chunk}", jobs, chunk, lambda _, count=counted: count)  # type: ignore[misc]
            found = kept.extract(mapped, extractor, split.train)
            assert len(seen) == seen[0] == -(-42 // chunk)
            made.append((found.values.tobytes(), {name: a.tobytes() for name, a in found.state.items()}, found.key))
        assert made[0] == made[1]
        rows = extractor.transform(faces.images, extractor.fit(faces.images[split.train]))
        assert rows.tobytes() == made[0][0]


def test_nothing_is_computed_twice(faces: FaceSet, split: Split, kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for extractor in (Hog(), WORDS):
        first = kept.extract(faces, extractor, split.train)
        assert first.origin == "computed"
        monkeypatch.setattr(type(extractor), "describe", lambda *_: pytest.fail("described again"))
        again = kept.extract(faces, extractor, split.train)
        assert again.origin == "found"
        assert again.values.tobytes() == first.values.tobytes()
        assert isinstance(again.values, np.memmap)
        assert not again.values.flags.writeable
        assert not isinstance(load_rows(again.values, slice(2, 5)), np.memmap)  # read, not mapped: memory stays bounded
    other = kept.extract(faces, Sift(words=6), split.train[:-1])  # another codebook: the key points are known
    assert other.origin == "computed"
    assert other.values.shape == (42, 6)


def test_every_change_gives_another_entry(faces: FaceSet, split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    def key(extractor: Extractor, faces: FaceSet = faces, train: np.ndarray = split.train) -> str:
        return store.learn_key(store.describe_key(faces, extractor), faces, extractor, train)

    hogs = [Hog(), Hog(norm="max"), Hog(size=None), Hog(root=False), Hog(cell=16), Hog(block=1), Hog(orientations=8)]
    sifts = [
        Sift(),
        Sift(words=64),
        Sift(size=128),
        Sift(dense=True),
        Sift(seed=1),
        Sift(sample=9),
        Sift(edge=5),
        Sift(contrast=0),
    ]
    lbps = [Lbp(), Lbp(cells=8), Lbp(points=4), Lbp(radius=2), Lbp(size=48)]
    keys = [key(extractor) for extractor in hogs + sifts + lbps]
    keys += [key(Sift(), train=split.train[1:]), key(Hog(), with_images(faces, split.test))]
    fewer = FaceSet(faces.info, faces.manifest[1:], faces.images.select(slice(1, None)))
    keys += [store.describe_key(fewer, Hog()), store.describe_key(faces, Hog())]
    monkeypatch.setattr(Hog, "version", Hog.version + 1)
    keys.append(key(Hog()))
    monkeypatch.setattr(store.metadata, "version", lambda _: "0.1")
    keys += [key(Hog()), key(Sift())]
    assert len(set(keys)) == len(keys)
    assert key(Sift(), train=split.train[::-1]) == key(Sift())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def reshape(path: Path) -> None:
    array = np.load(path)
    np.save(path, array.reshape(-1, 6, *array.shape[1:]) if array.ndim > 1 else array[:, None])


class Planted:
    def __reduce__(self) -> Any:
        return pytest.fail, ("a pickle was loaded",)


def plant(path: Path) -> None:
    np.save(path, np.array([Planted()], object), allow_pickle=True)


@pytest.mark.parametrize("harm", [cut, flip, reshape, plant, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", ["values", "counts"])
def test_a_damaged_array_is_made_anew(harm: Any, name: str, faces: FaceSet, kept: Store) -> None:
    first = kept.extract(faces, Lbp(size=8, cells=1))
    before = first.values.tobytes()
    harm(kept.folder / f"{first.key}.{name}.npy")
    second = kept.extract(faces, Lbp(size=8, cells=1))
    assert second.origin == "mended"
    assert second.values.tobytes() == before
    assert kept.extract(faces, Lbp(size=8, cells=1)).origin == "found"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "arrays": 3}', '{"format": 0, "arrays": {}}'])
def test_a_damaged_record_is_made_anew(text: str, faces: FaceSet, kept: Store) -> None:
    first = kept.extract(faces, Lbp(size=8, cells=1))
    (kept.folder / f"{first.key}.json").write_text(text)
    assert kept.extract(faces, Lbp(size=8, cells=1)).origin == "mended"


def test_a_damaged_codebook_is_learned_again(faces: FaceSet, split: Split, kept: Store) -> None:
    first = kept.extract(faces, WORDS, split.train)
    flip(kept.folder / f"{first.key}.state-words.npy")
    second = kept.extract(faces, WORDS, split.train)
    assert second.origin == "mended"
    np.testing.assert_array_equal(second.state["words"], first.state["words"])


class Faulty(Extractor):
    """Gives no number for the image with ``nan_at`` as its first pixel."""

    name: ClassVar[str] = "faulty"
    dims: ClassVar[int] = 1  # type: ignore[assignment]
    nan_at: int

    def describe(self, images: np.ndarray) -> Descriptions:
        values = images[:, 0, 0, 0, :1].astype(np.float32)
        return Descriptions(np.where(values == self.nan_at, np.nan, values), np.ones(len(images), np.int64))


def test_a_value_that_is_no_number_stops_and_leaves_nothing(kept: Store) -> None:
    faces = faces_of(np.arange(10, dtype=np.uint8)[:, None, None] * np.ones((4, 4), np.uint8), ["happy"] * 10)
    with pytest.raises(DataError, match="faulty: NaN or infinite values for image 's0007'"):
        Store(kept.folder, chunk=4).extract(faces, Faulty(nan_at=7))
    assert {path.suffix for path in kept.folder.iterdir()} <= {".lock"}


class Dying(Faulty):
    """Ends its process, as one that runs out of memory is ended."""

    def describe(self, images: np.ndarray) -> Descriptions:
        os._exit(9)


def test_a_process_that_dies_is_told_in_one_line(kept: Store) -> None:
    faces = faces_of(np.zeros((8, 4, 4), np.uint8), ["happy"] * 8)
    with pytest.raises(FerError, match="faulty: a worker process died"):
        Store(kept.folder, 2, 4).extract(faces, Dying(nan_at=300))


def test_learning_needs_training_images(faces: FaceSet, kept: Store) -> None:
    with pytest.raises(DataError, match="sift: learns from training images, but none are given"):
        kept.extract(faces, WORDS)


def test_what_is_read_stays_readable_when_the_store_is_emptied(faces: FaceSet, split: Split, kept: Store) -> None:
    found = kept.extract(faces, Hog(), split.train)
    expected = np.array(found.values)
    assert list(remove_entries(list_entries(kept.folder)))
    assert not list(kept.folder.glob("*.npy"))
    features = fuse(faces.manifest["sample"].to_numpy(dtype=str), {"hog": found.values}, split.train, "none")
    np.testing.assert_array_equal(features.values, expected)


def test_the_store_is_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FER_CACHE", str(tmp_path))
    assert Store().folder == tmp_path / "features"


def test_few_chunks_are_read_ahead() -> None:
    read: list[int] = []

    class Watched(Faulty):
        processes: ClassVar[bool] = False

        def describe(self, images: np.ndarray) -> Descriptions:
            read.append(len(images))
            return super().describe(images)

    parts = describe_images(Watched(nan_at=300), Block(np.zeros((50, 4, 4), np.uint8)), chunk=8)
    next(parts)
    assert read == [8]
    assert sum(len(part.counts) for part in parts) == 42


# --- files -------------------------------------------------------------------------------------------------------


@pytest.fixture
def fused(faces: FaceSet, split: Split, kept: Store) -> Features:
    images = faces.images.packed.copy()
    images[split.test[:2]] = 90  # two images without key points
    blank = faces_of(images, faces.manifest["label"].tolist())
    return extract(blank, split, {"sift": WORDS, "hog": Hog()}, kept)


@pytest.mark.parametrize("stem", ["features", "\udcff"])
@pytest.mark.parametrize("ending", ["parquet", "npz"])
def test_a_file_gives_back_what_was_written(ending: str, stem: str, fused: Features, split: Split, tmp_path: Path) -> None:
    path = tmp_path / f"{stem}.{ending}"
    write_features(path, fused)
    found = read_features(path, fused.provenance["data"]["fingerprint"])
    np.testing.assert_array_equal(found.values, fused.values)
    np.testing.assert_array_equal(found.samples, fused.samples)
    np.testing.assert_array_equal(found.scaling.low, fused.scaling.low)
    np.testing.assert_array_equal(found.scaling.span, fused.scaling.span)
    assert found.slices == fused.slices == {"hog": slice(0, 1764), "sift": slice(1764, 1772)}
    assert found.values.dtype == np.float32
    assert found.empty == fused.empty == {"hog": 2, "sift": 2}
    assert found.provenance == fused.provenance
    assert found.provenance["split"]["hash"] == split.hash
    assert found.provenance["extractors"]["sift"] == {"version": Sift.version, "dims": 8, **WORDS.model_dump()}
    assert "scikit-image" in found.provenance["libraries"]
    first = path.read_bytes()
    write_features(path, fused)
    assert path.read_bytes() == first
    write_features(path, found)
    assert path.read_bytes() == first


def test_files_open_with_plain_libraries(fused: Features, tmp_path: Path) -> None:
    write_features(tmp_path / "f.npz", fused)
    write_features(tmp_path / "f.parquet", fused)
    with np.load(tmp_path / "f.npz", allow_pickle=False) as stored:
        assert stored["hog"].shape == (42, 1764)
        assert json.loads(str(stored["fer"]))["provenance"]["data"]["name"] == "drawn"
    table = pd.read_parquet(tmp_path / "f.parquet")
    assert list(table.columns) == ["sample", "hog", "sift"]
    assert len(table["sift"][0]) == 8
    assert json.loads(pq.read_schema(tmp_path / "f.parquet").metadata[b"fer"])["scaling"]["method"] == "min-max"


@pytest.mark.parametrize("ending", ["parquet", "npz"])
def test_features_that_cannot_be_used_are_refused_in_one_line(ending: str, fused: Features, tmp_path: Path) -> None:
    path = tmp_path / f"features.{ending}"
    with pytest.raises(DataError, match="no such features file"):
        read_features(path)
    write_features(path, fused)
    ours = fused.provenance["data"]["fingerprint"]
    with pytest.raises(DataError, match=f"features of different data \\(fingerprint {ours}, not 0123\\)"):
        read_features(path, "0123")
    whole = path.read_bytes()
    middle = bytearray(whole)
    middle[len(whole) // 3] ^= 64
    for harmed in (whole[: len(whole) // 2], b"", bytes(middle)):
        path.write_bytes(harmed)
        with pytest.raises(DataError, match="damaged or not a feature file") as caught:
            read_features(path)
        assert "\n" not in str(caught.value)


def test_other_files_are_no_features_files(fused: Features, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must end in \.parquet or \.npz"):
        write_features(tmp_path / "features.csv", fused)
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    for name in ("other.npz", "other.parquet"):
        with pytest.raises(DataError, match="not a feature file"):
            read_features(tmp_path / name)
    taken = fuse(fused.samples, {"fer": np.ones((42, 2), np.float32)}, np.array([0]))
    with pytest.raises(DataError, match="a block cannot be named 'fer'"):
        write_features(tmp_path / "f.npz", taken)
    assert not zipfile.is_zipfile(tmp_path / "other.parquet")
