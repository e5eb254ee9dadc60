"""One run's images and labels as batches, indexed a whole batch at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from fer_cli.config import RunConfig
from fer_cli.data.corrupt import training_labels
from fer_cli.data.manifest import FaceSet
from fer_cli.data.prepare import Prepared, check_contrast, mean_and_deviation
from fer_cli.data.splits import Split, make_split
from fer_cli.errors import DataError
from fer_cli.seeds import derive_seed

EVAL_BATCH = 256


class Batch(NamedTuple):
    """Some samples of a part."""

    images: Tensor
    """(B, T, C, S, S) uint8, T = 1 for stills; ``FerModule.pixels`` makes of it what a network takes."""
    labels: Tensor
    """(B,) int64."""
    positions: Tensor
    """(B,) int64: places within the part."""
    joined: Tensor | None = None
    """(B, D) float32: features that the network gets beside the images, where the run has any."""


class Part(Dataset[Batch]):
    """Images and labels of one part; indexed by a list of positions, it returns a whole batch."""

    def __init__(self, samples: np.ndarray, images: Prepared, labels: np.ndarray) -> None:
        """Keep the names (N,) of the samples, their images and labels (N,) int64."""
        self.samples, self.images = samples, images
        self.labels = torch.from_numpy(labels)
        self.joined: Tensor | None = None
        """(N, D) float32: see ``RunData.join``."""

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.images)

    def __getitem__(self, positions: list[int]) -> Batch:
        """Return the batch at ``positions``."""
        index = torch.as_tensor(positions)
        return Batch(self.images[index], self.labels[index], index, None if self.joined is None else self.joined[index])


class Batches(Sampler[list[int]]):
    """Lists of positions: in order when ``seed`` is None, else drawn anew each epoch from (seed, epoch).

    Without ``weights`` (n,) each position comes once an epoch; with them, n positions are drawn with replacement.
    """

    def __init__(self, n: int, size: int, seed: int | None, weights: Tensor | None = None) -> None:
        self.n, self.size, self.seed, self.weights, self.epoch = n, size, seed, weights, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the shuffle; Lightning calls this at the start of every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of batches; a last batch of one image joins the one before it (batch norm needs two)."""
        full, rest = divmod(self.n, self.size)
        return max(1, full + (rest > 1 or (rest == 1 and self.seed is None)))

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the epoch's batches."""
        order = torch.arange(self.n)
        if self.seed is not None:
            generator = torch.Generator().manual_seed(derive_seed(self.seed, "shuffle", self.epoch))
            if self.weights is None:
                order = torch.randperm(self.n, generator=generator)
            else:
                order = torch.multinomial(self.weights, self.n, replacement=True, generator=generator)
        last = len(self) - 1
        for batch in range(last + 1):
            end = self.n if batch == last else (batch + 1) * self.size
            yield order[batch * self.size : end].tolist()


class RunData(pl.LightningDataModule):
    """Everything a run knows of its data: parts, split, planted noise and the training part's mean and deviation."""

    def __init__(self, faces: FaceSet, config: RunConfig, other: FaceSet | None = None) -> None:
        """``other``: the set that is tested on, where it is not a part of ``faces``."""
        super().__init__()
        faces = faces.of_classes(config.data.classes)
        self.config, self.classes = config, faces.info.classes
        self.split: Split = make_split(faces.manifest, config.data)
        self.noise_seed = config.seed if config.data.noise_seed is None else config.data.noise_seed
        codes = faces.codes
        self.true_labels = codes[self.split.train]
        given = training_labels(faces.manifest, codes, self.split.train, self.classes, config.data, self.noise_seed)
        self.train = take_part("train", faces, self.split.train, given, config)
        self.val = take_part("val", faces, self.split.val, codes[self.split.val], config)
        if other is None:
            self.test = take_part("test", faces, self.split.test, codes[self.split.test], config)
        else:
            self.test = take_other(other, self.classes, config)
        self.dropped = {} if other is None else count_unknown(other, self.classes)
        """Images of the other set whose class is not among ours, by class."""
        self.test_faces = find_faces(other or faces, self.test.samples)
        self.about_joined: dict[str, Any] | None = None
        check_contrast(config, self.train.images.chunks(EVAL_BATCH))
        self.mean, self.std = mean_and_deviation(self.train.images)

    @property
    def samples(self) -> dict[str, np.ndarray]:
        """Return the names of each part's samples."""
        return {"train": self.train.samples, "val": self.val.samples, "test": self.test.samples}

    def join(self, features: np.ndarray, about: dict[str, Any]) -> None:
        """Give each image its row of (N, D) float32 ``features``, whose rows are the images of the run's own set in order.

        They are of the image as it is, whatever augmentation or mirroring makes of it. ``about``: what a result tells.
        """
        self.about_joined = about
        for part, positions in ((self.train, self.split.train), (self.val, self.split.val), (self.test, self.split.test)):
            part.joined = torch.from_numpy(features[positions])

    @property
    def absent(self) -> list[str]:
        """Return the classes that no training image is of, by its true label."""
        there = set(self.true_labels.tolist())
        return [label for code, label in enumerate(self.classes) if code not in there]

    @property
    def joined(self) -> int:
        """Return how many features the network gets beside each image."""
        return 0 if self.train.joined is None else self.train.joined.shape[1]

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return random training batches with the (possibly noisy) labels, class-balanced if so set."""
        size, balance = self.config.train.batch_size, self.config.train.class_balance
        weights = class_weights(self.train.labels, balance) if balance else None
        return _loader(self.train, Batches(len(self.train), size, self.config.seed, weights))

    def expected_noise(self, balance: float) -> DrawnNoise:
        """Return how much label noise training sees that draws its images so far class-balanced (0 to 1)."""
        return expected_noise(self.train.labels, torch.from_numpy(self.true_labels), balance, self.classes)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return validation batches in order, with true labels."""
        return _loader(self.val, Batches(len(self.val), EVAL_BATCH, None))

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return test batches in order, with true labels."""
        return _loader(self.test, Batches(len(self.test), EVAL_BATCH, None))


def take_part(part: str, faces: FaceSet, positions: np.ndarray, labels: np.ndarray, config: RunConfig) -> Part:
    """Return the samples at ``positions`` (n,) of a set, with their ``labels`` (n,) int64, as the run sees that part."""
    samples = faces.manifest["sample"].to_numpy()[positions]
    return Part(samples, Prepared(faces.images.select(positions), samples, config, part), labels)


def take_other(other: FaceSet, classes: list[str], config: RunConfig) -> Part:
    """Return, as test part, the samples of another set whose class is among ``classes``; raises DataError for none."""
    known = [label for label in classes if label in other.info.classes]
    if not other.manifest["label"].isin(known).any():
        raise DataError(f"{other.info.name}: none of its classes is among those trained on ({', '.join(classes)})")
    other = other.of_classes(known)
    codes = np.array([classes.index(label) for label in known])[other.codes]
    return take_part("test", other, np.arange(len(codes)), codes, config)


def count_unknown(other: FaceSet, classes: list[str]) -> dict[str, int]:
    """Return label -> samples of another set whose class is not among ``classes``."""
    labels = other.manifest["label"]
    return dict(Counter(labels[~labels.isin(classes)]))


def find_faces(faces: FaceSet, samples: np.ndarray) -> dict[str, bool] | None:
    """Return sample -> whether a face was detected in it when the set was built; None where none was looked for."""
    if "face" not in faces.manifest:
        return None
    return dict(zip(samples, faces.manifest.set_index("sample")["face"][samples], strict=True))


def _loader(part: Part, batches: Batches) -> DataLoader[Batch]:
    return DataLoader(part, batch_size=None, sampler=batches)


def class_weights(labels: Tensor, balance: float) -> Tensor:
    """Return a weight (N,) per image: 1 / (images of its label) ** balance, on the labels as given."""
    return (1.0 / torch.bincount(labels).clamp(min=1).double() ** balance)[labels]


class DrawnNoise(NamedTuple):
    """Expected shares of wrong labels among the training images that are drawn."""

    wrong: float
    """Of all drawn images."""
    rarest: str
    """The class with the fewest images, of those that have any."""
    wrong_in_rarest: float | None
    """Of the drawn images labelled as the rarest class; None where noise left none."""


def expected_noise(labels: Tensor, truth: Tensor, balance: float, classes: list[str]) -> DrawnNoise:
    """Return the noise that sampling by ``class_weights`` of the given ``labels`` (N,) draws.

    Class-balanced sampling raises it: most labels of a rare class are then those of other classes' images, and an image that
    is wrongly labelled as a rare class is drawn as often as those that are of it.
    """
    weights, wrong = class_weights(labels, balance), labels != truth
    counts = torch.bincount(truth, minlength=len(classes))
    rarest = int(torch.where(counts > 0, counts, len(truth) + 1).argmin())
    among = wrong[labels == rarest]
    share = float((weights * wrong).sum() / weights.sum())
    return DrawnNoise(share, classes[rarest], float(among.double().mean()) if len(among) else None)
