"""One run's images and labels as batches: decoded once, kept as uint8 tensors, indexed a whole batch at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from fer_cli.config import RunConfig
from fer_cli.data.corrupt import plant_label_noise
from fer_cli.data.manifest import FaceSet
from fer_cli.data.splits import Split, make_split
from fer_cli.seeds import derive_seed

Batch = tuple[Tensor, Tensor, Tensor]
"""Images (B, S, S) uint8, labels (B,) int64, positions within the part (B,) int64."""

EVAL_BATCH = 256


class Part(Dataset[Batch]):
    """Images and labels of one part; indexed by a list of positions, it returns a whole batch."""

    def __init__(self, images: Tensor, labels: np.ndarray) -> None:
        self.images = images
        self.labels = torch.from_numpy(labels)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, positions: list[int]) -> Batch:
        """Return the batch at ``positions``."""
        index = torch.as_tensor(positions)
        return self.images[index], self.labels[index], index


class Batches(Sampler[list[int]]):
    """Lists of positions: shuffled anew each epoch from (seed, epoch), or in order when ``seed`` is None."""

    def __init__(self, n: int, size: int, seed: int | None) -> None:
        self.n, self.size, self.seed, self.epoch = n, size, seed, 0

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
            order = torch.randperm(self.n, generator=generator)
        last = len(self) - 1
        for batch in range(last + 1):
            end = self.n if batch == last else (batch + 1) * self.size
            yield order[batch * self.size : end].tolist()


class RunData(pl.LightningDataModule):
    """Everything a run knows of its data: parts, split, planted noise and the training part's mean and deviation."""

    def __init__(self, faces: FaceSet, config: RunConfig) -> None:
        super().__init__()
        self.classes = faces.info.classes
        self.config = config
        self.split: Split = make_split(faces.manifest, config.data)
        self.samples = faces.manifest["sample"].to_numpy()
        codes = faces.codes
        noise_seed = config.data.noise_seed
        self.noise_seed = config.seed if noise_seed is None else noise_seed
        self.true_labels = codes[self.split.train]
        given = plant_label_noise(self.true_labels, len(self.classes), config.data.label_noise, self.noise_seed)
        size = config.data.image_size
        self.train = Part(resized(faces.images[self.split.train], size), given)
        self.val = Part(resized(faces.images[self.split.val], size), codes[self.split.val])
        self.test = Part(resized(faces.images[self.split.test], size), codes[self.split.test])
        pixels = self.train.images.float() / 255
        self.mean, self.std = float(pixels.mean()), float(pixels.std())

    def _loader(self, part: Part, size: int, seed: int | None = None) -> DataLoader[Batch]:
        return DataLoader(part, batch_size=None, sampler=Batches(len(part), size, seed))

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return shuffled training batches with the (possibly noisy) labels."""
        return self._loader(self.train, self.config.train.batch_size, self.config.seed)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return validation batches in order, with true labels."""
        return self._loader(self.val, EVAL_BATCH)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return test batches in order, with true labels."""
        return self._loader(self.test, EVAL_BATCH)


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
