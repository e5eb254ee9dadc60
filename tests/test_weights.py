"""Files of weights: what fits is loaded and the rest is named; damaged, foreign or executable files are one line."""

import argparse
import hashlib
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fer_cli.errors import DataError
from fer_cli.models.resnet import Bottleneck, ResNet, resnet18_small
from fer_cli.models.weights import load_weights_file

State = dict[str, Tensor]


def tiny(
    classes: int = 5, channels: int = 1, seed: int = 0, blocks: tuple[int, ...] = (1, 1, 1, 1), **options: Any
) -> ResNet:
    """Return a bottleneck network of few parameters and trained-looking statistics."""
    torch.manual_seed(seed)
    net = ResNet(classes, channels, Bottleneck, (4, 4, 8, 8), blocks, stem="small", **options)
    for name, value in net.state_dict().items():
        if "running" in name:
            value.uniform_(0.5, 1.5)
    return net.eval()


@pytest.fixture
def save(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    def write(content: object, name: str = "weights.pth", **options: Any) -> Path:
        torch.save(content, tmp_path / name, **options)
        return tmp_path / name

    yield write


def refused(path: Path, net: nn.Module, threshold: float = 0.9) -> str:
    """Return the one line by which ``path`` is refused; the network stays as it was."""
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(DataError) as caught:
        load_weights_file(path, net, threshold)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert len(message) < len(str(path)) + 400
    return message


# what loads


def test_a_file_of_the_same_network_loads_whole(save: Callable[..., Path]) -> None:
    source, net, x = tiny(seed=1), tiny(seed=2), torch.randn(2, 1, 16, 16)
    path = save(source.state_dict())
    assert not torch.allclose(net(x), source(x))
    loaded = load_weights_file(path, net)
    assert torch.equal(net(x), source(x))
    total = len(net.state_dict())
    assert (loaded.loaded, loaded.total, loaded.missing, loaded.unexpected) == (total, total, (), ())
    assert loaded.mismatched == {}
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert str(loaded) == f"loaded {total}/{total} tensors"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3, "arch": "resnet"},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}, "best": 0.5},
        lambda state: {name: nn.Parameter(value) if value.is_floating_point() else value for name, value in state.items()},
        lambda state: {name: value.half().float() for name, value in state.items() if value.is_floating_point()},
    ],
    ids=["state_dict", "module", "both", "parameters", "without-counters"],
)
def test_wrappers_prefixes_and_old_files_load(wrap: Callable[[State], Any], save: Callable[..., Path]) -> None:
    source, net = tiny(seed=1), tiny(seed=2)
    loaded = load_weights_file(save(wrap(source.state_dict())), net)
    for name, value in net.named_parameters():
        assert torch.allclose(value, source.state_dict()[name], atol=1e-3), name
        assert value.requires_grad
    assert all(name.endswith("num_batches_tracked") for name in loaded.missing)
    assert not loaded.unexpected


def test_the_format_before_zip_loads(save: Callable[..., Path]) -> None:
    source, net = tiny(seed=1), tiny(seed=2)
    loaded = load_weights_file(save(source.state_dict(), _use_new_zipfile_serialization=False), net)
    assert loaded.loaded == loaded.total
    assert torch.equal(net.fc.weight, source.fc.weight)


def test_half_precision_loads_into_single(save: Callable[..., Path]) -> None:
    source, net = tiny(seed=1).half(), tiny(seed=2)
    assert load_weights_file(save(source.state_dict()), net).mismatched == {}
    assert net.conv1.weight.dtype == torch.float32
    assert torch.equal(net.conv1.weight, source.conv1.weight.float())


def test_a_classifier_of_other_classes_is_left_out_and_named(save: Callable[..., Path]) -> None:
    source, net = tiny(classes=1000, seed=1), tiny(classes=7, seed=2)
    own = net.fc.weight.clone()
    loaded = load_weights_file(save(source.state_dict()), net)
    total = len(net.state_dict())
    assert loaded.loaded == total - 2
    assert loaded.mismatched == {
        "fc.weight": "1000x32 in the file, here 7x32",
        "fc.bias": "1000 in the file, here 7",
    }
    assert str(loaded).startswith(f"loaded {total - 2}/{total} tensors, skipped fc.weight (1000x32 in the file")
    assert torch.equal(net.fc.weight, own)
    assert torch.equal(net.conv1.weight, source.conv1.weight)


def test_a_classifier_is_never_half_loaded(save: Callable[..., Path]) -> None:
    state = tiny(seed=1).state_dict()
    state["fc.weight"] = torch.zeros(5, 31)
    net = tiny(seed=2)
    bias = net.fc.bias.clone()
    assert set(load_weights_file(save(state), net).mismatched) == {"fc.weight", "fc.bias"}
    assert torch.equal(net.fc.bias, bias)


def test_left_out_classifiers_do_not_count_in_a_small_network(save: Callable[..., Path]) -> None:
    class Few(nn.Module):
        def __init__(self, classes: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, 2, 3)
            self.fc = nn.Linear(2, classes)

    loaded = load_weights_file(save(Few(10).state_dict()), Few(3), threshold=1.0)
    assert (loaded.loaded, loaded.total) == (2, 4)


def test_colours_are_added_up_for_one_channel(save: Callable[..., Path]) -> None:
    source, net = tiny(channels=3, seed=1), tiny(channels=1, seed=2)
    loaded = load_weights_file(save(source.state_dict()), net)
    grey = torch.rand(2, 1, 16, 16)
    assert torch.allclose(net(grey), source(grey.expand(-1, 3, -1, -1)), atol=1e-5)
    assert loaded.summed == ("conv1.weight",)
    assert loaded.loaded == loaded.total
    assert "colour channels of conv1.weight summed into one" in str(loaded)


def test_one_channel_does_not_load_into_three(save: Callable[..., Path]) -> None:
    loaded = load_weights_file(save(tiny(channels=1).state_dict()), tiny(channels=3))
    assert loaded.mismatched == {"conv1.weight": "4x1x3x3 in the file, here 4x3x3x3"}


@pytest.mark.parametrize("attention", ["cbam", "se", "sge", "soft-threshold"])
def test_plain_weights_load_into_a_network_with_attention(attention: str, save: Callable[..., Path]) -> None:
    options = {"groups": 4} if attention == "sge" else {"reduction": 4}
    source, net = tiny(seed=1), tiny(seed=2, attention=attention, **options)
    loaded = load_weights_file(save(source.state_dict()), net)
    assert loaded.loaded == len(source.state_dict())
    assert loaded.missing
    assert all(".attention." in name for name in loaded.missing)
    assert f"and {len(loaded.missing) - 3} more" in str(loaded)


@pytest.mark.parametrize("downsample", ["both", "shortcut", "dilated", "v1"])
def test_one_file_fits_every_down_sampling(downsample: str, save: Callable[..., Path]) -> None:
    loaded = load_weights_file(save(tiny(seed=1).state_dict()), tiny(seed=2, downsample=downsample), threshold=1.0)
    assert loaded.loaded == loaded.total


# what is refused


def test_another_network_is_refused(save: Callable[..., Path]) -> None:
    assert "of another network" in refused(save(resnet18_small(5).state_dict()), tiny())
    deeper = refused(save(tiny(blocks=(1, 3, 3, 1)).state_dict()), tiny())
    assert "of the file's" in deeper
    assert "unused layer2.1.conv1.weight" in deeper
    shallower = refused(save(tiny().state_dict()), tiny(blocks=(1, 3, 3, 1)))
    assert "of the network's" in shallower
    assert "missing layer2.1.conv1.weight" in shallower
    assert "of the file's" in refused(save(tiny(attention="cbam", reduction=4).state_dict()), tiny())
    assert "of the network's" in refused(
        save(tiny(attention="se", reduction=4).state_dict()), tiny(attention="cbam", reduction=4)
    )


def test_the_threshold_is_the_callers(save: Callable[..., Path]) -> None:
    state = tiny(seed=1).state_dict()
    dropped = [name for name in state if name.startswith("layer1")]
    path = save({name: value for name, value in state.items() if name not in dropped})
    assert "fewer than 90%" in refused(path, tiny(seed=2))
    assert set(load_weights_file(path, tiny(seed=2), threshold=0.5).missing) == set(dropped)
    assert "fewer than 100%" in refused(path, tiny(seed=2), threshold=1.0)


def test_nothing_in_common_is_refused_at_any_threshold(save: Callable[..., Path]) -> None:
    refused(save({"weight": torch.zeros(2)}), tiny(), threshold=0.0)


class Trap:
    """Makes a file if it is unpickled by a reader that runs code."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def test_code_is_refused_and_not_run(tmp_path: Path, save: Callable[..., Path]) -> None:
    state: dict[str, Any] = dict(tiny(seed=1).state_dict())
    trace = tmp_path / "trace"
    message = refused(save({**state, "extra": Trap(trace)}), tiny())
    assert "mkdir" in message
    assert "never code" in message
    old = tmp_path / "plain.pkl"
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        old.write_bytes(pickle.dumps(Trap(trace), protocol=protocol))
        assert "code" in refused(old, tiny())
        if protocol > 3:  # of torch's own making, but by a protocol that its safe reader does not know
            assert "may contain code" in refused(save(state, pickle_protocol=protocol), tiny())
    assert not trace.exists()
    assert "argparse.Namespace" in refused(save({"state_dict": state, "args": argparse.Namespace(lr=1)}), tiny())
    assert "fer_cli.models.resnet.ResNet" in refused(save(tiny()), tiny())


def test_missing_file_folder_and_other_content_are_refused(tmp_path: Path, save: Callable[..., Path]) -> None:
    assert "No such file" in refused(tmp_path / "none.pth", tiny())
    assert "cannot read weights file" in refused(tmp_path, tiny())
    for content in ([1, 2], torch.zeros(3), {"state_dict": {"a": 1}}, {}):
        assert "contains no named weights" in refused(save(content), tiny())
    for data in (b"", b"hello", b"\x80\x02", b"<!doctype html><title>404</title>" * 20):
        path = tmp_path / "other.pth"
        path.write_bytes(data)
        assert "damaged or not written by torch.save" in refused(path, tiny())
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("folder/a.txt", "b")
    assert "damaged or not written by torch.save" in refused(tmp_path / "other.zip", tiny())
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("script/constants.pkl", "b")
    assert "TorchScript" in refused(tmp_path / "script.pt", tiny())
    twice = {"fc.bias": torch.zeros(5), "module.fc.bias": torch.ones(5)}
    assert "twice" in refused(save(twice), tiny())


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_truncated_files_are_refused(share: float, legacy: bool, save: Callable[..., Path]) -> None:
    path = save(tiny(seed=1).state_dict(), _use_new_zipfile_serialization=not legacy)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert "damaged or not written by torch.save" in refused(path, tiny())


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7])
def test_a_flipped_bit_is_found_by_the_checksums(share: float, save: Callable[..., Path]) -> None:
    state = {**tiny(seed=1).state_dict(), "fc.weight": torch.randn(40_000, 32)}
    path = save(state)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        record = max(archive.infolist(), key=lambda info: info.file_size)
    assert record.file_size > 0.95 * len(data) - 100_000
    data[record.header_offset + 1000 + int(share * (record.file_size - 2000))] ^= 1
    path.write_bytes(data)
    assert "checksum" in refused(path, tiny())


def test_a_name_that_promises_a_hash_is_held_to_it(save: Callable[..., Path]) -> None:
    path = save(tiny(seed=1).state_dict())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    right = path.rename(path.with_name(f"resnet-{digest[:8]}.pth"))
    assert load_weights_file(right, tiny()).sha256 == digest
    wrong = right.rename(right.with_name("resnet-11ad3fa6.pth"))
    assert "SHA-256 11ad3fa6... in its name" in refused(wrong, tiny())
    for name in ("best-20250131.pth", "resnet-deadbeef.pth", "resnet-a1.pth"):  # a date, a word, a version
        wrong = wrong.rename(wrong.with_name(name))
        assert load_weights_file(wrong, tiny()).loaded


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_infinite_and_undefined_numbers_are_refused(value: float, save: Callable[..., Path]) -> None:
    state = tiny(seed=1).state_dict()
    state["layer1.0.bn1.running_var"][2] = value
    assert "layer1.0.bn1.running_var" in refused(save(state), tiny())


def test_numbers_are_tested_as_they_are_loaded(save: Callable[..., Path]) -> None:
    double = {
        name: value.double() if value.is_floating_point() else value for name, value in tiny(seed=1).state_dict().items()
    }
    assert load_weights_file(save(double), tiny()).mismatched == {}
    double["conv1.weight"][0] = 1e300
    assert "NaN or infinite values in conv1.weight" in refused(save(double), tiny())
    colours = {**tiny(channels=3, seed=1).half().state_dict()}
    colours["conv1.weight"] = torch.full((4, 3, 3, 3), 60_000.0, dtype=torch.float16)
    net = tiny()
    assert load_weights_file(save(colours), net).summed
    assert net.conv1.weight.unique().tolist() == [180_000.0]


def test_negative_variances_are_refused(save: Callable[..., Path]) -> None:
    state = tiny(seed=1).state_dict()
    state["layer1.0.bn1.running_var"][2] = -1e-3
    assert "negative variances in layer1.0.bn1.running_var" in refused(save(state), tiny())
    state["layer1.0.bn1.running_var"][2] = 0.0
    assert load_weights_file(save(state), tiny()).mismatched == {}


ODD: dict[str, Callable[[Tensor], Tensor]] = {
    "meta": lambda value: value.to("meta"),
    "float8_e4m3fn": lambda value: value.to(torch.float8_e4m3fn),
    "float8_e8m0fnu": lambda value: value.abs().to(torch.float8_e8m0fnu),
    "int64": lambda value: value.long(),
    "bool": lambda value: value > 0,
    "uint16": lambda value: value.abs().to(torch.uint16),
    "complex64": lambda value: value.to(torch.complex64),
    "sparse_coo": lambda value: value.to_sparse(),
    "sparse_csr": lambda value: value.flatten(1).to_sparse_csr(),
    "quint8": lambda value: torch.quantize_per_tensor(value, 0.1, 3, torch.quint8),
    "nested": lambda value: torch.nested.nested_tensor([value[0], value[1, :1]]),
}


@pytest.mark.filterwarnings("ignore")  # torch, of prototypes
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ODD)
def test_no_kind_of_tensor_is_a_traceback(kind: str, channels: int, save: Callable[..., Path]) -> None:
    state = tiny(channels=channels, seed=1).state_dict()
    state["conv1.weight"] = ODD[kind](state["conv1.weight"])
    loaded = load_weights_file(save(state), tiny())
    assert kind in loaded.mismatched["conv1.weight"]
    assert loaded.loaded == loaded.total - 1
    state |= {
        name: value.to("meta") if kind == "meta" else value.bool() for name, value in state.items() if "conv" not in name
    }
    assert "of another network" in refused(save(state), tiny())


def test_counters_of_other_integers_are_never_cut_off(save: Callable[..., Path]) -> None:
    class Counting(nn.Module):
        def __init__(self, dtype: torch.dtype) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 3)
            self.register_buffer("seen", torch.tensor(200, dtype=dtype))

    loaded = load_weights_file(save(Counting(torch.int32).state_dict()), Counting(torch.int64), 0.5)
    assert loaded.mismatched == {}
    for dtype, own in ((torch.int64, torch.int32), (torch.complex64, torch.int64), (torch.bool, torch.int64)):
        loaded = load_weights_file(save(Counting(dtype).state_dict()), Counting(own), 0.5)
        assert set(loaded.mismatched) == {"seen"}


def test_what_only_looks_like_a_run_is_no_traceback(save: Callable[..., Path]) -> None:
    state = tiny(seed=1).state_dict()
    run: dict[Any, Any] = {f"backbone.{name}": value for name, value in state.items()}
    assert "no named weights" in refused(save({"state": run, "classes": 5}), tiny())
    path = save({"state": {**run, 0: torch.zeros(2)}, "classes": ["a"]})
    assert load_weights_file(path, tiny(), classes=["a"]).mismatched == {}


@pytest.mark.parametrize("value", [torch.zeros(5, dtype=torch.int64), torch.zeros(5, dtype=torch.complex64)])
def test_numbers_of_another_kind_are_left_out(value: Tensor, save: Callable[..., Path]) -> None:
    loaded = load_weights_file(save({**tiny(seed=1).state_dict(), "fc.bias": value}), tiny())
    assert set(loaded.mismatched) == {"fc.weight", "fc.bias"}
    assert "here float32" in loaded.mismatched["fc.bias"]
