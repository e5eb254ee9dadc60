"""Networks of a user's own code: ``model.backbone: module:name`` in a study.

``name`` is a class or function that takes ``channels`` (1 or 3) and ``image_size`` (pixels) by name and returns a
``torch.nn.Module`` from images (B, channels, image_size, image_size) float32, standardised, to features (B, F) float32. The
suite adds the classifier from F features to the classes, and whatever a learning method needs. ``check_own_network`` tries a
batch before the first run.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fer_cli.config import ModelConfig
from fer_cli.errors import StudyError
from fer_cli.imports import explain, find_source, import_object
from fer_cli.models.counts import count_known
from fer_cli.models.scn import Network
from fer_cli.signals import ending

SAMPLES = 3
"""Images of the batch that is tried."""
TOLERANCE = 1e-3
"""Largest difference of a feature, relative to the largest feature, between an image in a batch and alone."""


class OwnNetwork(Network):
    """The user's module ``body`` with a linear classifier; ``own``: its name, ``source_sha256``: of its source.

    Raises StudyError if the source is missing or another one, if the module cannot be built, or if its output is not
    features of images.
    """

    def __init__(self, classes: int, channels: int, image_size: int, own: str, source_sha256: str | None) -> None:
        super().__init__()
        self.body = build_body(own, source_sha256, channels, image_size)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            images = torch.randn(2, channels, image_size, image_size)
            features = run_body(own, self.body.eval(), images)
        self.body.train()
        self.feature_size = features.shape[1]
        self.fc = nn.Linear(self.feature_size, classes)

    def features(self, x: Tensor) -> Tensor:
        """Return the features (B, F) of images (B, channels, S, S)."""
        return self.body(x)  # type: ignore[no-any-return]


def build_body(own: str, source_sha256: str | None, channels: int, image_size: int) -> nn.Module:
    """Return the user's module; raises StudyError if it cannot be built as the interface says."""
    made = import_object(own, source_sha256)
    if not callable(made):
        raise StudyError(f"backbone {own}: not callable, but {type(made).__name__}; give a class or function")
    try:
        inspect.signature(made).bind(channels=channels, image_size=image_size)
    except (TypeError, ValueError):
        raise StudyError(
            f"backbone {own}: takes {describe_arguments(made)}, but is called with channels and image_size, by name"
        ) from None
    body = attempt(own, "cannot be built", lambda: made(channels=channels, image_size=image_size))
    if not isinstance(body, nn.Module):
        raise StudyError(f"backbone {own}: returns {type(body).__name__}, not a torch.nn.Module")
    return body


def describe_arguments(made: Callable[..., Any]) -> str:
    """Return the names of a callable's arguments."""
    try:
        names = [name for name in inspect.signature(made).parameters if name != "self"]
    except (TypeError, ValueError):
        return "unknown arguments"
    return f"({', '.join(names)})" if names else "no arguments"


def attempt(own: str, what: str, action: Callable[[], Any]) -> Any:
    """Return the outcome of the user's code; raises StudyError with ``what`` and the reason for any exception."""
    try:
        return action()
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        if ending.is_set():
            raise
        raise StudyError(f"backbone {own}: {what}: {explain(error, find_source(own))}") from error


def run_body(own: str, body: nn.Module, images: Tensor, what: str = "") -> Tensor:
    """Return the features of images; raises StudyError unless they are (B, F) float32; ``what``: of a failure."""
    batch = f"a batch {describe_shape(images)}"
    features = attempt(own, what or f"fails on {batch}", lambda: body(images))
    if not isinstance(features, Tensor):
        raise StudyError(f"backbone {own}: returns {type(features).__name__} for {batch}; a tensor (B, F) is needed")
    if features.ndim != 2 or features.shape[0] != images.shape[0] or features.shape[1] == 0:
        pool = "; average a map over its last two dimensions, x.mean((2, 3))" if features.ndim == 4 else ""
        needed = f"features ({images.shape[0]}, F) are needed{pool}"
        raise StudyError(f"backbone {own}: returns {describe_shape(features)} for {batch}; {needed}")
    if features.dtype != torch.float32:
        kind = str(features.dtype).removeprefix("torch.")
        raise StudyError(f"backbone {own}: returns {kind} for {batch}; features of float32 are needed")
    return features


def describe_shape(tensor: Tensor) -> str:
    """Return e.g. ``(3, 1, 48, 48)``."""
    return f"({', '.join(map(str, tensor.shape))})"


def check_own_network(config: ModelConfig, network: Network, image_size: int) -> None:
    """Raise StudyError unless the user's network can be trained and judged; a copy is tried.

    Tried: parameters, which must be finite; a training step, in both memory layouts; the same features for an image
    alone and in a batch, twice; the count of multiply-adds.
    """
    own, given = config.backbone, network.get_submodule("body")
    body = attempt(own, "cannot be copied, as the moving average of the weights needs", lambda: copy.deepcopy(given))
    frozen = "does not let fer choose which weights are trained, as a TorchScript module"
    attempt(own, frozen, lambda: body.requires_grad_(True))  # with model.freeze, too
    weights = list(body.parameters())
    if not weights:
        raise StudyError(f"backbone {own}: has no parameters; layers must be attributes of the module, or in a ModuleList")
    if not all(bool(weight.isfinite().all()) for weight in (*weights, *body.buffers()) if weight.is_floating_point()):
        raise StudyError(f"backbone {own}: has initial weights that are NaN or infinite")
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(SAMPLES, config.channels, image_size, image_size, generator=generator)
    size = check_evaluation(own, body.eval(), images)
    check_training(own, body.train(), images, size)
    attempt(own, "fails on a black image", lambda: count_known(given, images.shape[1:]))  # as before each training


def check_evaluation(own: str, body: nn.Module, images: Tensor) -> int:
    """Return the number of features.

    Raises StudyError for features that are not finite, or depend on chance or on the other images of a batch.
    """
    with torch.no_grad():
        given = images.clone()
        together = run_body(own, body, given)
        if not torch.equal(given, images):
            raise StudyError(f"backbone {own}: changes the images it is given; compute on a copy (x = x * 2, not x *= 2)")
        if not bool(together.isfinite().all()):
            raise StudyError(f"backbone {own}: returns NaN or infinite features for a batch {describe_shape(images)}")
        again = run_body(own, body, images.clone())
        alone = torch.cat([run_body(own, body, image[None].clone()) for image in images])
    least = TOLERANCE * max(1e-6, float(together.abs().max()))
    if float((again - together).abs().max()) > least:
        raise StudyError(
            f"backbone {own}: gives the same images other features each time in evaluation mode; use nn.Dropout or "
            "pass training=self.training"
        )
    if float((alone - together).abs().max()) > least:
        raise StudyError(
            f"backbone {own}: the features of an image depend on the other images of its batch in evaluation mode; keep "
            "images apart (e.g. nn.BatchNorm2d, not the mean of the batch)"
        )
    return together.shape[1]


def check_training(own: str, body: nn.Module, images: Tensor, size: int) -> None:
    """Raise StudyError if a training step fails in one of the memory layouts, or reaches no parameter.

    ``size``: number of features in evaluation, which the classifier takes.
    """
    layouts = {"": torch.contiguous_format, "channels-last memory": torch.channels_last}
    for name, layout in layouts.items():
        what = f"fails on a batch {describe_shape(images)}"
        if name:
            what += f" in {name}; use x.flatten(1) or x.reshape(...) instead of x.view(...)"
        attempt(own, what, lambda layout=layout: body.to(memory_format=layout))  # type: ignore[misc,call-overload]
        features = run_body(own, body, images.contiguous(memory_format=layout), what)
        if features.shape[1] != size:
            differ = f"{features.shape[1]} features in training mode and {size} in evaluation mode"
            raise StudyError(f"backbone {own}: returns {differ}; both must be equal")
        if not features.requires_grad:
            raise StudyError(f"backbone {own}: no gradient reaches its parameters; remove torch.no_grad() and detach()")
        attempt(own, f"{what}, in its gradient", features.square().sum().backward)
    if all(weight.grad is None for weight in body.parameters()):
        raise StudyError(f"backbone {own}: no gradient reaches its parameters; remove torch.no_grad() and detach()")
