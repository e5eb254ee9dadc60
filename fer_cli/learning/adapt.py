"""Batch norms re-estimated on images of the test set, without their labels (Li et al. 2017, adaptive batch normalisation).

The people of the test set are dealt into folds. For each fold, the batch norms' mean and variance are those of the images of
the other folds; the network with these predicts the fold. Every image is predicted once, by statistics of other people.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fer_cli.data.datamodule import EVAL_BATCH, RunData
from fer_cli.errors import DataError
from fer_cli.learning.compute import ResolvedCompute
from fer_cli.learning.module import FerModule
from fer_cli.seeds import derive_seed

FOLDS = 5


def deal_folds(people: np.ndarray, name: str, seed: int) -> list[np.ndarray]:
    """Return the positions (n,) int64 of each of FOLDS folds of ``people`` (N,); a person's images are in one fold.

    ``name``: of the set, for the DataError if a person is unknown or there are fewer people than folds.
    """
    known = np.unique(people)
    if (people == "").any() or len(known) < FOLDS:
        raise DataError(
            f"{name}: model.adapt: batch-norm deals known people into {FOLDS} folds; this set has images of unknown people, "
            f"or fewer than {FOLDS} people; remove model.adapt"
        )
    order = np.random.default_rng(derive_seed(seed, "adaptation folds")).permutation(len(known))
    fold = dict(zip(known[order], np.arange(len(known)) % FOLDS, strict=True))
    folds = np.array([fold[person] for person in people])
    return [np.flatnonzero(folds == number) for number in range(FOLDS)]


def norms_of(network: nn.Module) -> list[_BatchNorm]:
    """Return the batch norms of a network."""
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


@contextmanager
def adapted_norms(module: FerModule, data: RunData, positions: np.ndarray, resolved: ResolvedCompute) -> Iterator[None]:
    """Within the context, the judged network's batch norms have the statistics of the test images at ``positions`` (n,).

    Mirror images count like images. Batches are of nearly equal size and count alike.
    """
    norms = norms_of(module.judged)
    before = [({name: buffer.clone() for name, buffer in norm.named_buffers()}, norm.momentum) for norm in norms]
    batches = np.array_split(positions, -(-len(positions) // EVAL_BATCH))
    try:
        module.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches
            norm.train()
        with torch.no_grad(), torch.autocast(resolved.device, torch.bfloat16, enabled=resolved.bf16):
            for batch in batches:
                images = data.test.images[batch].to(module.device)
                for view in (images, images.flip(-1)):
                    module(view)
        module.eval()
        yield
    finally:
        for norm, (buffers, momentum) in zip(norms, before, strict=True):
            norm.momentum = momentum
            for name, buffer in buffers.items():
                norm.get_buffer(name).copy_(buffer)
