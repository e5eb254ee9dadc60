"""The ``cnn`` block of fused features: what the classifier of a finished run gets of each image (Sun 2024, section 3.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cached_property
from typing import ClassVar

import numpy as np
from pydantic import PrivateAttr

from fer_cli.ablate import Item
from fer_cli.analysis.deep import check_unseen, features_of
from fer_cli.analysis.reopen import Reopened, reopen
from fer_cli.config import Machine
from fer_cli.features.extractor import Described, Extractor
from fer_cli.learning.machine import choose_means


class Cnn(Extractor):
    """Features of one run's network; the precision is a part of them, since it changes their last digits."""

    name: ClassVar[str] = "cnn"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy", "opencv-contrib-python")
    processes: ClassVar[bool] = False

    run: str
    """Id of the run."""
    weights: str
    """SHA-256 of its weights."""
    device: str
    precision: str
    _item: Item = PrivateAttr()
    _machine: Machine = PrivateAttr()

    @classmethod
    def of(cls, item: Item, machine: Machine, unseen: Iterable[str]) -> Cnn:
        """Return the features of a finished run.

        Raises DataError where one of the samples ``unseen``, which are to be tested on, had a part in its weights.
        """
        check_unseen(item, machine, unseen)
        path = item.folder.file(item.folder.result()["selection"].get("weights", "best.pt"))
        means = choose_means(machine)
        weights = hashlib.sha256(path.read_bytes()).hexdigest()
        made = cls(run=item.run_id, weights=weights, device=means.device, precision="bf16" if means.bf16 else "fp32")
        made._item, made._machine = item, machine
        return made

    @cached_property
    def opened(self) -> Reopened:
        """Return the run's network, read when it is first needed."""
        return reopen(self._item, self._machine)

    @property
    def dims(self) -> int:
        """Return how many values an image gets."""
        return int(self.opened.network.backbone.feature_size)

    def describe(self, images: np.ndarray) -> Described:
        """Return the features of (n, S, S) or (n, S, S, 3) uint8 images, a row each."""
        return Described(features_of(self.opened, images), np.ones(len(images), np.int64))
