"""A run's images and labels as batches."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from fer_cli.config import RunConfig
from fer_cli.data.clips import count_repeated, draw_orders
from fer_cli.data.corrupt import training_labels
from fer_cli.data.landmarks import RegionFinder
from fer_cli.data.manifest import FaceSet
from fer_cli.data.prepare import Prepared, check_contrast, mean_and_deviation
from fer_cli.data.splits import Split, group_images, make_split, other_part
from fer_cli.data.uncertain import plant_uncertainty
from fer_cli.errors import DataError
from fer_cli.seeds import derive_seed

EVAL_BATCH = 256


class Batch(NamedTuple):
    """A batch of samples of a part."""

    images: Tensor
    """(B, T, C, S, S) uint8, T = 1 for stills; ``FerModule.pixels`` converts it to network input."""
    labels: Tensor
    """(B,) int64."""
    positions: Tensor
    """(B,) int64: positions within the part."""
    joined: Tensor | None = None
    """(B, D) float32: additional input features, if the run has any."""
    boxes: Tensor | None = None
    """(B, T, R, 4) float32 in [0, 1], x0, y0, x1, y1: regions of the face in each frame, if the network takes any."""


class Part(Dataset[Batch]):
    """Images and labels of one part; indexing with a list of positions returns a batch."""

    def __init__(self, samples: np.ndarray, images: Prepared, labels: np.ndarray, boxes: np.ndarray | None = None) -> None:
        """Take the names (N,), images, labels (N,) int64 and, if the run has any, boxes of the samples."""
        self.samples, self.images = samples, images
        self.labels = torch.from_numpy(labels)
        self.boxes = None if boxes is None else torch.from_numpy(boxes)
        """(N, T, R, 4) float32: see ``Batch``."""
        self.joined: Tensor | None = None
        """(N, D) float32: see ``RunData.join``."""

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: np.ndarray) -> Part:
        """Return the samples at ``index`` (n,) as a part."""
        boxes = None if self.boxes is None else self.boxes.numpy()[index]
        taken = Part(self.samples[index], self.images.take(index), self.labels.numpy()[index], boxes)
        taken.joined = None if self.joined is None else self.joined[torch.from_numpy(index)]
        return taken

    def __getitem__(self, positions: list[int]) -> Batch:
        """Return the batch at ``positions``."""
        index = torch.as_tensor(positions)
        joined, boxes = (None if more is None else more[index] for more in (self.joined, self.boxes))
        return Batch(self.images[index], self.labels[index], index, joined, boxes)


class Batches(Sampler[list[int]]):
    """Lists of positions: in order if ``seed`` is None, else shuffled each epoch from (seed, epoch).

    Without ``weights`` (n,) each position occurs once per epoch; with them, n positions are drawn with replacement.
    """

    def __init__(self, n: int, size: int, seed: int | None, weights: Tensor | None = None) -> None:
        self.n, self.size, self.seed, self.weights, self.epoch = n, size, seed, weights, 0

    def set_epoch(self, epoch: int) -> None:
        """Select the shuffle; called by Lightning at the start of every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of batches; a last batch of one image is merged into the previous one (batch norm needs two)."""
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
    """The data of a run: parts, split, label noise, and mean and standard deviation of the training part."""

    def __init__(self, faces: FaceSet, config: RunConfig, other: FaceSet | None = None) -> None:
        """Take a set, for networks on clips with clips as samples; ``other``: the test set, if not a part of ``faces``."""
        super().__init__()
        faces = faces.of_classes(config.data.classes)
        self.config, self.classes = config, faces.info.classes
        self.split: Split = make_split(faces.manifest, config.data)
        self.noise_seed = config.seed if config.data.noise_seed is None else config.data.noise_seed
        codes = faces.codes
        self.true_labels = codes[self.split.train]
        self.degraded: np.ndarray | None = None
        """(N,) bool: which training samples are degraded; None without such noise."""
        ways = None
        if config.data.degrades:
            noise = plant_uncertainty(self.true_labels, len(self.classes), config.data.label_noise, self.noise_seed)
            given, ways, self.degraded = noise.labels, noise.ways, noise.degraded
        else:
            given = training_labels(faces.manifest, codes, self.split.train, self.classes, config.data, self.noise_seed)
        self.train_groups: np.ndarray | None = None
        """(N,) what holds training samples together in folds: their person, if known, else clip; for confident learning."""
        if config.learning.confident != "none":
            self.train_groups = group_images(faces.manifest.iloc[self.split.train])
        finders = [make_finder(one, config) for one in (faces, other) if one is not None]
        self.train = take_part("train", faces, self.split.train, given, config, finders[0], ways)
        self.val = take_part("val", faces, self.split.val, codes[self.split.val], config, finders[0])
        self._test: Part | None = None  # of a trial, which reads no test image
        if other is not None:
            self._test = take_other(other, self.classes, config, finders[1])
        elif not config.trial:
            self._test = take_part("test", faces, self.split.test, codes[self.split.test], config, finders[0])
        self.counted = count_compromises(list(self.parts.values()), finders)
        """Observation, such as clips that repeat frames or frames without a face -> its number in all parts."""
        self.dropped = {} if other is None else count_unknown(other, self.classes)
        """Class -> images of the other set that are not among ours."""
        tested = self.parts["test"].samples if "test" in self.parts else np.array([], object)
        self.test_faces = find_faces(other or faces, tested)
        people = (other or faces).manifest.set_index("sample")["subject"].astype(str)
        self.test_people = people[tested].to_numpy()
        """(N,) the person of each test image; "" if unknown."""
        self.about_joined: dict[str, Any] | None = None
        self.eval_batch = max(1, EVAL_BATCH // self.train.images.shape[1])
        """Samples per batch of validation and test: fewer clips than stills, whose frames count."""
        check_contrast(config, self.train.images.chunks(self.eval_batch))
        self.mean, self.std = mean_and_deviation(self.train.images)

    @property
    def test(self) -> Part:
        """The test part; raises DataError in a trial, which has none."""
        if self._test is None:
            raise DataError(f"{self.config.data.name}: a trial of fer search reads no test image")
        return self._test

    @property
    def parts(self) -> dict[str, Part]:
        """Return the parts by name; a trial has no test part."""
        return {"train": self.train, "val": self.val} | ({} if self._test is None else {"test": self._test})

    @property
    def samples(self) -> dict[str, np.ndarray]:
        """Return the names of each part's samples."""
        return {name: part.samples for name, part in self.parts.items()}

    def join(self, features: np.ndarray, about: dict[str, Any]) -> None:
        """Attach (N, D) float32 ``features``, one row per image of the run's set, unaffected by augmentation.

        ``about``: their description in the result.
        """
        self.about_joined = about
        for part, positions in ((self.train, self.split.train), (self.val, self.split.val), (self.test, self.split.test)):
            part.joined = torch.from_numpy(features[positions])

    def train_on(self, index: np.ndarray, labels: np.ndarray | None = None) -> RunData:
        """Return the same data with the training samples at ``index`` (n,) only, and their ``labels`` (n,) if given."""
        data = copy.copy(self)
        data.train = self.train.take(index)
        if labels is not None:
            data.train.labels = torch.from_numpy(labels)
        data.true_labels = self.true_labels[index]
        data.train_groups = None if self.train_groups is None else self.train_groups[index]
        data.degraded = None if self.degraded is None else self.degraded[index]
        data.mean, data.std = mean_and_deviation(data.train.images)
        return data

    @property
    def absent(self) -> list[str]:
        """Return the classes without training images, by true label."""
        there = set(self.true_labels.tolist())
        return [label for code, label in enumerate(self.classes) if code not in there]

    @property
    def joined(self) -> int:
        """Return the number of additional input features per image."""
        return 0 if self.train.joined is None else self.train.joined.shape[1]

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return shuffled training batches with the (possibly noisy) labels, class-balanced if configured."""
        size, balance = self.config.train.batch_size, self.config.train.class_balance
        weights = class_weights(self.train.labels, balance) if balance else None
        return _loader(self.train, Batches(len(self.train), size, self.config.seed, weights))

    def expected_noise(self, balance: float) -> DrawnNoise:
        """Return the label noise in training batches with class balancing of strength ``balance`` (0 to 1)."""
        return expected_noise(self.train.labels, torch.from_numpy(self.true_labels), balance, self.classes)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return validation batches in order, with true labels."""
        return self.ordered_dataloader(self.val)

    def ordered_dataloader(self, part: Part) -> DataLoader[Batch]:
        """Return batches of a part in order."""
        return _loader(part, Batches(len(part), self.eval_batch, None))

    def test_dataloader(self, positions: np.ndarray | None = None) -> DataLoader[Batch]:
        """Return test batches in order, with true labels; ``positions`` (n,): those of the images to take, default all."""
        chosen = np.arange(len(self.test)) if positions is None else positions
        batches = [chosen[start : start + self.eval_batch].tolist() for start in range(0, len(chosen), self.eval_batch)]
        return _loader(self.test, batches)


def make_finder(faces: FaceSet, config: RunConfig) -> RegionFinder | None:
    """Return what finds the boxes of regions in the clips of a set; None if the run's network takes no regions."""
    regions = config.model.network.regions
    return RegionFinder(faces, config.model.regions, config.data.landmarks) if regions else None


def take_part(
    part: str,
    faces: FaceSet,
    positions: np.ndarray,
    labels: np.ndarray,
    config: RunConfig,
    finder: RegionFinder | None = None,
    ways: np.ndarray | None = None,
) -> Part:
    """Return the samples at ``positions`` (n,) of a set with ``labels`` (n,) int64, prepared for this part.

    ``finder``: gives the boxes of the clips' regions. The order of their frames is drawn now if it is ``shuffled``. ``ways``
    (n,): how each sample is degraded, as in ``Prepared``.
    """
    samples, images = faces.manifest["sample"].to_numpy()[positions], faces.images.select(positions)
    boxes = None if finder is None else finder.boxes(images)
    if config.data.frame_order == "shuffled":
        order = draw_orders(samples, images.frames, config.seed)
        images = images.reorder(order)
        boxes = None if boxes is None else np.take_along_axis(boxes, order[..., None, None], 1)
    return Part(samples, Prepared(images, samples, config, part, ways), labels, boxes)


def count_compromises(parts: list[Part], finders: list[RegionFinder | None]) -> dict[str, int]:
    """Return what a run on clips makes do with -> how often, over all parts; nothing that did not occur."""
    repeating = sum(count_repeated(part.images.images.rows) for part in parts)
    counted = Counter({f"clips with fewer frames than {parts[0].images.shape[1]}, some of which are repeated": repeating})
    for finder in finders:
        counted += Counter() if finder is None else finder.counted
    return dict(+counted)


def take_other(other: FaceSet, classes: list[str], config: RunConfig, finder: RegionFinder | None = None) -> Part:
    """Return the samples of another set with a class in ``classes`` as test part; raises DataError for none."""
    chosen = other_part(other.manifest, classes, config.data)
    if not len(chosen):
        raise DataError(f"{other.info.name}: none of its classes is among the training classes ({', '.join(classes)})")
    order = {label: code for code, label in enumerate(classes)}
    codes = np.array([order[label] for label in other.manifest["label"].iloc[chosen]])
    return take_part("test", other, chosen, codes, config, finder)


def count_unknown(other: FaceSet, classes: list[str]) -> dict[str, int]:
    """Return label -> number of samples of another set for classes outside ``classes``."""
    labels = other.manifest["label"]
    return dict(Counter(labels[~labels.isin(classes)]))


def find_faces(faces: FaceSet, samples: np.ndarray) -> dict[str, bool] | None:
    """Return sample -> whether a face was detected when the set was built; None without detection."""
    if "face" not in faces.manifest:
        return None
    return dict(zip(samples, faces.manifest.set_index("sample")["face"][samples], strict=True))


def _loader(part: Part, batches: Batches | list[list[int]]) -> DataLoader[Batch]:
    return DataLoader(part, batch_size=None, sampler=batches)


def class_weights(labels: Tensor, balance: float) -> Tensor:
    """Return a weight (N,) per image: 1 / (images of its given label) ** balance."""
    return (1.0 / torch.bincount(labels).clamp(min=1).double() ** balance)[labels]


class DrawnNoise(NamedTuple):
    """Expected fractions of wrong labels in the sampled training images."""

    wrong: float
    """Among all sampled images."""
    rarest: str
    """The non-empty class with the fewest images."""
    wrong_in_rarest: float | None
    """Among the sampled images labelled as the rarest class; None if noise left none."""


def expected_noise(labels: Tensor, truth: Tensor, balance: float, classes: list[str]) -> DrawnNoise:
    """Return the expected label noise under sampling by ``class_weights`` of the given ``labels`` (N,).

    Class balancing raises it: an image wrongly labelled as a rare class is drawn as often as the class's own images.
    """
    weights, wrong = class_weights(labels, balance), labels != truth
    counts = torch.bincount(truth, minlength=len(classes))
    rarest = int(torch.where(counts > 0, counts, len(truth) + 1).argmin())
    among = wrong[labels == rarest]
    share = float((weights * wrong).sum() / weights.sum())
    return DrawnNoise(share, classes[rarest], float(among.double().mean()) if len(among) else None)
