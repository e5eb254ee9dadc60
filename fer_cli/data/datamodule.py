"""One run's images and labels as batches: decoded once, kept as uint8 tensors, indexed a whole batch at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from fer_cli.config import RunConfig
from fer_cli.data.corrupt import corrupted, training_labels
from fer_cli.data.manifest import FaceSet
from fer_cli.data.splits import Split, make_split
from fer_cli.errors import DataError
from fer_cli.seeds import derive_seed

EVAL_BATCH = 256


class Batch(NamedTuple):
    """Some images of a part."""

    images: Tensor
    """(B, S, S) or (B, 3, S, S) uint8."""
    labels: Tensor
    """(B,) int64."""
    positions: Tensor
    """(B,) int64: places within the part."""
    joined: Tensor | None = None
    """(B, D) float32: features that the network gets beside the images, where the run has any."""


class Part(Dataset[Batch]):
    """Images and labels of one part; indexed by a list of positions, it returns a whole batch."""

    def __init__(self, images: Tensor, labels: np.ndarray) -> None:
        self.images = images
        self.labels = torch.from_numpy(labels)
        self.joined: Tensor | None = None
        """(N, D) float32: see ``RunData.join``."""

    def __len__(self) -> int:
        """Return the number of images."""
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
    """Everything a run knows of its data: parts, split, planted noise and the training part's mean and deviation.

    Images are resized, then corrupted where ``config.corrupt`` says so, once; validation images and labels never are.
    """

    def __init__(self, faces: FaceSet, config: RunConfig, other: FaceSet | None = None) -> None:
        """``other``: the set that is tested on, where it is not a part of ``faces``."""
        super().__init__()
        faces = faces.of_classes(config.data.classes)
        self.classes = faces.info.classes
        self.config = config
        self.split: Split = make_split(faces.manifest, config.data)
        samples = faces.manifest["sample"].to_numpy()
        self.samples = {part: samples[getattr(self.split, part)] for part in ("train", "val", "test")}
        codes = faces.codes
        noise_seed = config.data.noise_seed
        self.noise_seed = config.seed if noise_seed is None else noise_seed
        self.true_labels = codes[self.split.train]
        given = training_labels(faces.manifest, codes, self.split.train, self.classes, config.data, self.noise_seed)
        self.train = Part(self.ready("train", faces.images[self.split.train]), given)
        self.val = Part(self.ready("val", faces.images[self.split.val]), codes[self.split.val])
        self.dropped: dict[str, int] = {}
        """Images of the other set whose class is not among ours, by class."""
        if other is None:
            self.test = Part(self.ready("test", faces.images[self.split.test]), codes[self.split.test])
        else:
            labels = other.manifest["label"]
            self.dropped = dict(Counter(labels[~labels.isin(self.classes)]))
            if not set(labels) & set(self.classes):
                raise DataError(
                    f"{other.info.name}: none of its classes is among those trained on ({', '.join(self.classes)})"
                )
            other = other.of_classes([label for label in self.classes if label in other.info.classes])
            places = np.array([self.classes.index(label) for label in other.info.classes])
            self.samples["test"] = other.manifest["sample"].to_numpy()
            faces = other
            self.test = Part(self.ready("test", other.images), places[other.codes])
        self.about_joined: dict[str, Any] | None = None
        self.test_faces: dict[str, bool] | None = None
        """Test sample -> whether a face was detected in it; None where none was looked for."""
        if "face" in faces.manifest:
            found = faces.manifest.set_index("sample")["face"]
            self.test_faces = found[self.samples["test"]].to_dict()
        starts = range(0, len(self.train), EVAL_BATCH)
        check_contrast(config, (self.train.images[start : start + EVAL_BATCH] for start in starts))
        pixels = self.train.images.float() / 255
        self.mean, self.std = float(pixels.mean()), float(pixels.std())

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

    def ready(self, part: str, images: np.ndarray) -> Tensor:
        """Return a part's images as the run sees them; see ``prepared``."""
        known = self.samples.get(part, np.empty(0, object))  # images of no part of the run are never corrupted
        return prepared(images, known, self.config, part)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return random training batches with the (possibly noisy) labels, class-balanced if so set."""
        size, balance = self.config.train.batch_size, self.config.train.class_balance
        weights = class_weights(self.train.labels, balance) if balance else None
        return _loader(self.train, Batches(len(self.train), size, self.config.seed, weights))

    def drawn_noise(self) -> DrawnNoise:
        """Return how much label noise training sees: classifiers on features see each image once, networks draw them."""
        balance = 0.0 if self.config.features.fitted else self.config.train.class_balance
        return drawn_noise(self.train.labels, torch.from_numpy(self.true_labels), balance, self.classes)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return validation batches in order, with true labels."""
        return _loader(self.val, Batches(len(self.val), EVAL_BATCH, None))

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return test batches in order, with true labels."""
        return _loader(self.test, Batches(len(self.test), EVAL_BATCH, None))


def prepared(images: np.ndarray, samples: np.ndarray, config: RunConfig, part: str) -> Tensor:
    """Return images of a part uint8 at the run's size, corrupted where the run corrupts that part.

    (n, S, S); (n, 3, S, S) where the set is in colour and the network takes it. Grey is 0.299 R + 0.587 G + 0.114 B.
    """
    if images.ndim == 4 and config.model.channels == 3:
        return torch.stack([prepared(images[..., colour], samples, config, part) for colour in range(3)], dim=1)
    if images.ndim == 4:
        images = np.array([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]).reshape(images.shape[:3])
    small = resized(images, config.data.image_size)
    return corrupted(small, samples, config.corrupt) if part in config.corrupt.parts else small


def check_contrast(config: RunConfig, chunks: Iterable[Tensor]) -> None:
    """Raise DataError where pixels of the training images, given in chunks, do not differ: standardised, they are 0 / 0.

    With ``normalise: image`` that is so where no image has two different pixels, whatever the next one looks like. Chunks
    are read only up to the first that has contrast, the first of all as a rule.
    """
    values: set[int] = set()
    within = False
    for chunk in chunks:
        flat = chunk.flatten(1)
        low, high = flat.amin(1), flat.amax(1)
        within = bool((low < high).any())
        values |= {int(low.min()), int(high.max())}
        if within or (config.model.normalise == "train" and len(values) > 1):
            return
    blurred = ", or change corrupt, which may have removed it" if "train" in config.corrupt.parts else ""
    look = f"look at them with fer data peek {config.data.name}, and build the set again from the right images{blurred}"
    if len(values) > 1:
        raise DataError(
            f"{config.data.name}: no training image has contrast (deviation 0 within each), so model.normalise: image "
            f"leaves nothing of them; use model.normalise: train, or {look}"
        )
    grey = "".join(f": each pixel is {value}" for value in values)
    raise DataError(f"{config.data.name}: the training images have no contrast (deviation 0{grey}); {look}")


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


def drawn_noise(labels: Tensor, truth: Tensor, balance: float, classes: list[str]) -> DrawnNoise:
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


def resized(images: np.ndarray, size: int) -> Tensor:
    """Return (N, size, size) uint8 of (N, S, S) uint8: as they are, or bilinear with antialiasing."""
    tensor = torch.from_numpy(np.ascontiguousarray(images))
    if tensor.shape[-1] == size:
        return tensor
    parts = [
        F.interpolate(chunk[:, None].float(), (size, size), mode="bilinear", antialias=True).round().clamp(0, 255)
        for chunk in torch.split(tensor, 512)
    ]
    return torch.cat([part.squeeze(1).to(torch.uint8) for part in parts])
