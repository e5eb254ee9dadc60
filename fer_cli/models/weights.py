"""Load matching weights from a file, e.g. torchvision's ImageNet weights, and report the rest.

Files are read with ``torch.load(weights_only=True)``: tensors and plain containers, never code. A damaged file or one of
another network raises a one-line error and leaves the network unchanged.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fer_cli.errors import DataError
from fer_cli.places import open_regular

CLASSIFIER = re.compile(r"(backbone\.)?(fc|classifier\.6)\.\w+")
"""Tensor names of a network's classifier, which is skipped if the number of classes differs."""

NAMED_BY_HASH = re.compile(r"-(?=\d*[a-f])(?=[a-f]*\d)([0-9a-f]{8,64})\.\w+$")
"""Suffix of file names that contain a prefix of the content's SHA-256, like torchvision's; never matches a date."""

REALS = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
"""Real numbers that load into each other; those of 8 bits and fewer are scaled by factors that are kept elsewhere."""
COMPLEX = frozenset({torch.complex64, torch.complex128})
INTEGERS = frozenset({torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64})

VARIANCE = re.compile(r"(.*\.)?running_var")
"""Tensor names of the variances of batch norms."""


@dataclass(frozen=True)
class Loaded:
    """Outcome of loading a weights file; ``str`` gives one line for the log."""

    loaded: int
    """Number of the network's tensors found in the file."""
    total: int
    """Number of the network's tensors."""
    missing: tuple[str, ...]
    """Tensors of the network that the file lacks; they keep their values."""
    unexpected: tuple[str, ...]
    """Entries of the file that the network lacks."""
    mismatched: dict[str, str]
    """Skipped tensors that both have -> reason, e.g. ``1000x512 in the file, here 7x512``."""
    summed: tuple[str, ...]
    """Tensors whose three colour channels were summed into one."""
    sha256: str

    def __str__(self) -> str:
        """Return e.g. ``loaded 318/320 tensors, skipped fc.bias (1000 in the file, here 7)``."""
        notes = [f"loaded {self.loaded}/{self.total} tensors"]
        if self.summed:
            notes.append(f"colour channels of {join_names(self.summed)} summed into one")
        if self.missing:
            notes.append(f"missing {join_names(self.missing)}")
        if self.mismatched:
            notes.append(f"skipped {join_names(f'{name} ({why})' for name, why in self.mismatched.items())}")
        if self.unexpected:
            notes.append(f"unused {join_names(self.unexpected)}")
        return ", ".join(notes)


def load_weights_file(
    path: Path, network: nn.Module, threshold: float = 0.9, classes: Sequence[str] | None = None, body: bool = False
) -> Loaded:
    """Load the weights of ``path`` into ``network`` by name, and return the outcome.

    Of a run's ``best.pt`` the backbone is loaded. Wrappers ``{"state_dict": ...}`` and ``module.`` prefixes are removed. A
    three-channel first convolution is summed for a one-channel network, which is equivalent on grey images. A classifier
    for another number of classes is skipped. Raises DataError if the file cannot be read, was trained on other ``classes``,
    or less than ``threshold`` of either side's tensors match, not counting skipped classifiers, ``attention`` blocks if the
    file has none, and batch-norm counters, which old files lack, or if values that fit are impossible in the network's
    precision. ``body``: the network is the user's module in an ``OwnNetwork``, none of whose layers is the classifier.
    """
    content, sha256 = read_file(path)
    check_classes(path, content, classes)
    given, own = extract_state(path, content, body), network.state_dict()
    tensors = {name: value for name, value in given.items() if isinstance(value, Tensor)}
    first = next((name for name, value in own.items() if value.ndim == 4), "")
    summed = [first] if first in tensors and has_extra_colours(tensors[first], own[first]) else []
    for name in summed:
        wide = torch.promote_types(tensors[name].dtype, own[name].dtype)
        tensors[name] = tensors[name].sum(1, keepdim=True, dtype=wide)
    mismatched = find_mismatches(tensors, own, body)
    fitting = {name: value for name, value in tensors.items() if name in own and name not in mismatched}
    missing = tuple(name for name in own if name not in tensors)
    unexpected = tuple(name for name in given if name not in own or name not in tensors)
    loaded = Loaded(len(fitting), len(own), missing, unexpected, mismatched, tuple(summed), sha256)
    check_share(path, loaded, threshold, own, given, body)
    fitting = {name: value.to(own[name].dtype) for name, value in fitting.items()}
    check_values(path, fitting)
    network.load_state_dict(own | fitting)
    return loaded


def check_values(path: Path, fitting: Mapping[str, Tensor]) -> None:
    """Raise DataError for NaN, infinite values and negative variances in tensors as they are loaded."""
    exact = {name: value for name, value in fitting.items() if value.is_floating_point() or value.is_complex()}
    endless = [name for name, value in exact.items() if not bool(value.isfinite().all())]
    negative = [name for name, value in exact.items() if VARIANCE.fullmatch(name) and bool((value.real < 0).any())]
    for what, names in (("NaN or infinite values", endless), ("negative variances", negative)):
        if names:
            raise DataError(f"{path}: {what} in {join_names(names)}; the file is damaged, download it again")


def read_file(path: Path) -> tuple[Any, str]:
    """Return the content of ``path``, tensors and plain containers, and its SHA-256; raises DataError."""
    try:
        with open_regular(path) as stream:
            data = stream.read()
    except OSError as error:
        raise DataError(f"{path}: cannot read weights file ({error.strerror}); give an existing .pt or .pth") from None
    sha256 = hashlib.sha256(data).hexdigest()
    named = NAMED_BY_HASH.search(path.name)
    if named and not sha256.startswith(named[1]):
        raise DataError(f"{path}: SHA-256 {named[1]}... in its name, {sha256[:8]}... of its content; download it again")
    try:
        if zipfile.is_zipfile(io.BytesIO(data)):  # torch does not verify the checksums
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                    raise DataError(f"{path}: a TorchScript program; save its weights by torch.save(net.state_dict(), ...)")
                if wrong := archive.testzip():
                    raise zipfile.BadZipFile(f"checksum of {wrong}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # for unsupported protocols torch warns before it fails
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True), sha256
    except DataError:
        raise
    except Exception as error:  # a damaged file can fail anywhere in the reader
        code = re.search(r"GLOBAL (\S+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if code:
            raise DataError(
                f"{path}: contains the Python object {code[1]}, but only tensors are read, never code; "
                "save it by torch.save(net.state_dict(), ...)"
            ) from None
        if "Unsupported operand" in str(error) and data[:1] in (b"P", b"\x80"):  # an archive of torch, or a bare pickle
            raise DataError(
                f"{path}: unsupported pickle protocol, which is not read as it may contain code; "
                "save it by torch.save(net.state_dict(), ...)"
            ) from None
        lines = str(error).rpartition("WeightsUnpickler error:")[2].strip().splitlines()
        why = f"{type(error).__name__}: {lines[0][:100]}" if lines else type(error).__name__
        raise DataError(f"{path}: damaged or not written by torch.save ({why}); download it again") from None


def is_run_checkpoint(content: Any) -> bool:
    """Return whether ``content`` is that of a run's ``best.pt``."""
    return (
        isinstance(content, Mapping)
        and isinstance(content.get("state"), Mapping)
        and isinstance(content.get("classes"), list | tuple)
    )


def check_classes(path: Path, content: Any, classes: Sequence[str] | None) -> None:
    """Raise DataError if a run's weights were trained on other classes or another class order."""
    if classes is None or not is_run_checkpoint(content) or list(content["classes"]) == list(classes):
        return
    raise DataError(
        f"{path}: trained on {', '.join(map(str, content['classes']))}; the run has {', '.join(classes)}; set data.classes "
        "to the file's, or pre-train on an embedded set by model.pretrain, which skips the classifier"
    )


def extract_state(path: Path, content: Any, body: bool) -> dict[str, Any]:
    """Return the weights by name, without wrapper and ``module.`` prefixes; ``body``: only the body's, if there is one."""
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if is_run_checkpoint(content):
        state = {str(name): value for name, value in content["state"].items()}
        inner = "backbone.body." if body and any(name.startswith("backbone.body.") for name in state) else "backbone."
        content = {name.removeprefix(inner): value for name, value in state.items() if name.startswith(inner)}
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise DataError(f"{path}: contains no named weights; save them by torch.save(net.state_dict(), ...)")
    named = {str(name).removeprefix("module."): value for name, value in content.items()}
    if len(named) < len(content):
        raise DataError(f"{path}: contains weights twice, with and without the prefix 'module.'")
    return named


def has_extra_colours(value: Tensor, own: Tensor) -> bool:
    """Return whether ``value`` is a three-channel kernel and ``own`` the same with one channel."""
    if explain_kind(value, own):
        return False
    return value.ndim == 4 and value.shape[1] == 3 and own.shape == (value.shape[0], 1, *value.shape[2:])


def find_mismatches(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], body: bool) -> dict[str, str]:
    """Return the names of incompatible tensors that both have -> reason; ``body``: no layer is the classifier."""
    both = [name for name in tensors if name in own]
    reasons = {name: why for name in both if (why := explain_mismatch(tensors[name], own[name]))}
    classifier = [] if body else [name for name in both if CLASSIFIER.fullmatch(name)]
    if any(name in reasons for name in classifier):  # never mix an old and a new classifier
        reasons |= {name: "of a classifier that does not fit" for name in classifier if name not in reasons}
    return reasons


def explain_mismatch(value: Tensor, own: Tensor) -> str:
    """Return why ``value`` cannot replace ``own``, or ""."""
    if why := explain_kind(value, own):
        return why
    if value.shape != own.shape:
        return f"{'x'.join(map(str, value.shape))} in the file, here {'x'.join(map(str, own.shape))}"
    return ""


def explain_kind(value: Tensor, own: Tensor) -> str:
    """Return why ``value`` cannot be converted to the kind of numbers in ``own``, or ""; any shape fits."""
    if value.is_meta:
        return "saved from the device meta, without values"
    if value.is_nested or value.layout != torch.strided or value.is_quantized:
        what = "nested" if value.is_nested else short(value.dtype if value.is_quantized else value.layout)
        return f"{what} in the file, here {short(own.dtype)}"
    kinds = {value.dtype, own.dtype}
    if len(kinds) == 1 or any(kinds <= kind for kind in (REALS, COMPLEX)):
        return ""
    if kinds <= INTEGERS and torch.promote_types(value.dtype, own.dtype) == own.dtype:  # never cut off
        return ""
    return f"{short(value.dtype)} in the file, here {short(own.dtype)}"


def short(kind: torch.dtype | torch.layout) -> str:
    """Return the name of a type of numbers or of a layout, e.g. ``float32``."""
    return str(kind).removeprefix("torch.")


def check_share(path: Path, loaded: Loaded, threshold: float, own: Iterable[str], given: Iterable[str], body: bool) -> None:
    """Raise DataError if less than ``threshold`` of either side's tensors match; ``body``: no layer is the classifier."""
    exempt = set() if body else {name for name in loaded.mismatched if CLASSIFIER.fullmatch(name)}
    here, there = ([name for name in names if not name.endswith(".num_batches_tracked")] for names in (own, given))
    if not any(".attention." in name for name in there):
        exempt |= {name for name in here if ".attention." in name}
    lost = {*loaded.missing, *loaded.mismatched, *loaded.unexpected} - exempt
    for names, whose in ((here, "the network's"), (there, "the file's")):
        counted = [name for name in names if name not in exempt]
        fit = sum(name not in lost for name in counted)
        if fit < threshold * len(counted) or not fit:
            raise DataError(
                f"{path}: weights of another network: only {fit} of {whose} {len(counted)} tensors match, "
                f"fewer than {threshold:.0%}; {str(loaded).partition(', ')[2]}"
            )


def join_names(names: Iterable[str], most: int = 3) -> str:
    """Return up to ``most`` names, and the number of further ones."""
    names = list(names)
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
