"""Choices that depend on the machine, made by a short measurement, once for each network and machine, and kept.

What pays is the memory layout of fp32 convolutions: channels-last trained 1.3 to 2.3 times as fast as contiguous memory,
depending on network and processor. Fused and foreach optimisers changed the time of a step by less than its noise and are
not used; tracing and freezing a network helps at inference with small networks only, and depends on its control flow.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import math
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial

import torch
import torch.nn.functional as F
from filelock import FileLock
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fer_cli.config import REGIONS, RunConfig
from fer_cli.learning.compute import ResolvedCompute
from fer_cli.models.scn import Recogniser
from fer_cli.places import cache_folder, read_text, write_text

ENOUGH = 2**25
"""Pixels that a training processes in all, below which a measurement would cost more than it saves."""
ROUNDS = 3
PIXELS = 2**16
"""Most pixels of a sample that is timed, unless two images or clips have more."""
GAIN = 0.95
"""Share of the default's time that another choice must stay below: a tie keeps the default."""
VERSION = 1


def choose_layout(
    build: Callable[[], Recogniser], config: RunConfig, images: int, resolved: ResolvedCompute
) -> ResolvedCompute:
    """Return the settings with the faster memory layout for training a network on ``images`` images on this CPU.

    ``build``: makes the network; called only where a layout is to be chosen and was not measured before.
    """
    side = config.data.image_size
    frames = config.data.frames if config.model.network.clips else 1
    if resolved.device != "cpu" or resolved.bf16 or images * frames * config.train.epochs * side**2 < ENOUGH:
        return resolved
    sample = sample_inputs(config)
    works = {
        name: partial(lambda layout: train_steps(build(), sample, layout), layout)
        for name, layout in (("contiguous", torch.contiguous_format), ("channels-last", torch.channels_last))
    }
    chosen = choose("train", config.model.model_dump_json(), sample[0].shape, resolved, works)
    return replace(resolved, channels_last=chosen == "channels-last")


Inputs = tuple[Tensor, None, Tensor | None]
"""Images (B, C, S, S) or clips (B, T, C, S, S) float32, no additional features, and boxes (B, T, R, 4) or None."""


def sample_inputs(config: RunConfig) -> Inputs:
    """Return random samples as a run's network takes them, of at most ``PIXELS``, but at least two."""
    network, side, frames = config.model.network, config.data.image_size, config.data.frames
    generator = torch.Generator().manual_seed(0)
    shape = [frames, config.model.channels, side, side] if network.clips else [config.model.channels, side, side]
    pixels = math.prod(shape) // config.model.channels
    count = max(2, min(config.train.batch_size, PIXELS // pixels))
    images = torch.rand(count, *shape, generator=generator)
    if not network.regions:
        return images, None, None
    corners = torch.rand(count, frames, REGIONS[config.model.regions], 2, 2, generator=generator).sort(3).values
    return images, None, corners.flatten(3)


def lay_out(samples: Tensor, layout: torch.memory_format) -> Tensor:
    """Return images (B, C, S, S) in a memory layout; clips are contiguous, and networks lay out their frames."""
    return samples.contiguous(memory_format=layout if samples.ndim == 4 else torch.contiguous_format)


def train_steps(network: Recogniser, inputs: Inputs, layout: torch.memory_format, bf16: bool = False) -> float:
    """Return the seconds of the second of two training steps."""
    network.to(memory_format=layout)  # type: ignore[call-overload]
    network.train()
    images, *others = inputs
    labels = torch.zeros(len(images), dtype=torch.int64)
    seconds = 0.0
    for _ in range(2):
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            scores = network(lay_out(images, layout), *others)
        F.cross_entropy(scores.logits, labels).backward()  # type: ignore[no-untyped-call]
        seconds = time.perf_counter() - began
    return seconds


Works = Mapping[str, Callable[[], float]]
"""Name -> function that returns the seconds it took."""


def choose(kind: str, network: str, shape: torch.Size, resolved: ResolvedCompute, works: Works) -> str:
    """Return the name of the fastest of ``works``; a gain below 5 % keeps the first, the default."""
    taken = measure(kind, network, shape, resolved, works)
    default, best = next(iter(works)), min(taken, key=taken.__getitem__)
    return best if taken[best] < GAIN * taken[default] else default


def measure(kind: str, network: str, shape: torch.Size, resolved: ResolvedCompute, works: Works) -> dict[str, float]:
    """Return the seconds of each of ``works``, as measured on this machine before, else now; best of a few rounds."""
    here = {
        "kind": kind,
        "network": network,
        "shape": list(shape),
        "resolved": asdict(resolved),
        "processor": platform.processor() or platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "works": list(works),
        "version": VERSION,
    }
    key = hashlib.sha256(json.dumps(here, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_folder() / "choices" / f"{key}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        try:
            kept = {name: float(json.loads(read_text(path))["seconds"][name]) for name in works}
            if all(math.isfinite(seconds) and seconds > 0 for seconds in kept.values()):
                return kept
        except (OSError, ValueError, KeyError, TypeError):
            pass  # not measured yet, or not readable: measured now
        with torch.random.fork_rng(devices=[]):
            taken = {name: min(work() for _ in range(ROUNDS)) for name, work in works.items()}
        write_text(path, json.dumps({"seconds": taken, "of": here}, indent=1) + "\n")
    return taken


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode whose batch norms are part of the convolutions before them, where the names say so.

    Pairs are ``convN`` and ``bnN`` of one module, and a convolution followed by a batch norm in a ``Sequential``.
    """
    folded = copy.deepcopy(network).eval()
    for module in folded.modules():
        children = dict(module.named_children())
        names = list(children)
        pairs = [(name, name.replace("conv", "bn")) for name in names if name.startswith("conv")]
        if isinstance(module, nn.Sequential):
            pairs = list(itertools.pairwise(names))
        for conv, norm in pairs:
            first, second = children[conv], children.get(norm)
            if type(first) is nn.Conv2d and isinstance(second, nn.BatchNorm2d):
                setattr(module, conv, fuse_conv_bn_eval(first, second))
                setattr(module, norm, nn.Identity())
    return folded


INFERENCE = ("contiguous", "channels-last", "folded", "folded, channels-last")
"""Forms of a network for inference."""


class Predictor:
    """A network for inference on one shape of images, in the faster layout, with its batch norms folded if that helps.

    The values are those of the network to within rounding. ``choice`` names what was chosen.
    """

    def __init__(
        self, network: Recogniser, key: str, shape: torch.Size, resolved: ResolvedCompute, layout: str = "auto"
    ) -> None:
        """``key``: what sets the network apart from others; ``shape``: of a batch (B, C, S, S); ``layout``: of Compute."""
        self.resolved = resolved
        self.choice = "channels-last" if resolved.channels_last else "contiguous"
        if resolved.device == "cpu":
            sample = torch.rand(shape, generator=torch.Generator().manual_seed(0))
            names = [name for name in INFERENCE if layout == "auto" or self._layout(name) == self._layout(layout)]
            works = {name: partial(self._time, network, name, sample) for name in names}
            self.choice = choose("infer", key, shape, resolved, works)
        self.network = self._make(network, self.choice)

    @property
    def layout(self) -> torch.memory_format:
        """The layout of images and weights."""
        return self._layout(self.choice)

    def __call__(self, images: Tensor) -> Tensor:
        """Return pooled features (B, F) float32 of images (B, C, S, S) float32 in [0, 1]."""
        with torch.inference_mode(), torch.autocast(self.resolved.device, torch.bfloat16, enabled=self.resolved.bf16):
            return self.network.pooled(images.contiguous(memory_format=self.layout)).float()

    @staticmethod
    def _layout(name: str) -> torch.memory_format:
        return torch.channels_last if name.endswith("channels-last") else torch.contiguous_format

    def _make(self, network: Recogniser, name: str) -> Recogniser:
        made = fold_batch_norms(network) if name.startswith("folded") else copy.deepcopy(network).eval()
        return made.to(memory_format=self._layout(name))  # type: ignore[no-any-return,call-overload]

    def _time(self, network: Recogniser, name: str, images: Tensor) -> float:
        made = self._make(network, name)
        with torch.inference_mode(), torch.autocast(self.resolved.device, torch.bfloat16, enabled=self.resolved.bf16):
            made.pooled(images.contiguous(memory_format=self._layout(name)))  # warm
            began = time.perf_counter()
            made.pooled(images.contiguous(memory_format=self._layout(name)))
            return time.perf_counter() - began
