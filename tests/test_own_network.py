"""A network of the user's own code: found, hashed, tried, trained in workers, opened again, and refused when it is wrong."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch
from pydantic import ValidationError

from fer_cli.config import ModelConfig, RunConfig
from fer_cli.config.networks import network_of
from fer_cli.errors import DataError, StudyError
from fer_cli.imports import find_sources, hash_source, is_own
from fer_cli.learning.networks import check_networks, load_start_weights
from fer_cli.models.build import build_model
from fer_cli.models.counts import count_known
from fer_cli.models.own import OwnNetwork
from fer_cli.runs import read_config
from tests.conftest import Called, draw_face

Fer = Callable[..., Called]

NET = '''
from torch import nn


class MyNet(nn.Module):
    """Images (B, channels, S, S) float32 -> features (B, 32)."""

    def __init__(self, channels, image_size):
        super().__init__()
        layers = []
        for wide in (8, 16, 32):
            layers += [nn.Conv2d(channels, wide, 3, padding=1), nn.BatchNorm2d(wide), nn.ReLU(), nn.MaxPool2d(2)]
            channels = wide
        self.layers = nn.Sequential(*layers)

    def forward(self, images):
        return self.layers(images).mean((2, 3))
'''
STUDY = """
name: mine
question: Does my network learn?
base:
  data: {name: mine, image_size: 24, split: random, folds: 3, val_fraction: 0.25}
  train: {epochs: 2, batch_size: 16}
seeds: [0, 1]
arms:
  CNN: {model.backbone: cnn3}
  mine: {model.backbone: "MODULE:MyNet"}
report: {metrics: [accuracy], against: CNN}
"""
numbers = iter(range(1000))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of a user, without data and caches of others."""
    monkeypatch.setenv("FER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FER_RESULTS", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def write_net(home: Path, text: str = NET) -> str:
    """Write a module with a name that no other test imports, and return it."""
    module = f"my_net_{next(numbers)}"
    (home / f"{module}.py").write_text(text)
    return module


def pictures(home: Path, subjects: int = 6) -> Path:
    """Draw a folder of images, one folder per class, the person at the beginning of each name."""
    for folder in ("happy", "sadness", "anger"):
        (home / "photos" / folder).mkdir(parents=True)
        for subject in range(subjects):
            for frame in range(2):
                name = home / "photos" / folder / f"p{subject:02d}_{frame}.png"
                assert cv2.imwrite(str(name), draw_face(folder, subject, frame))
    return home / "photos"


def model(name: str, **settings: object) -> ModelConfig:
    return ModelConfig.model_validate({"backbone": name, "source_sha256": hash_source(name), **settings})


def test_own_images_and_an_own_network_give_a_table_in_four_commands(fer: Fer, home: Path) -> None:
    pictures(home)
    module = write_net(home)
    assert len(NET.strip().splitlines()) <= 20

    def call(*words: str) -> Called:
        called = fer(*words)
        assert called.code == 0, called.err
        return called

    call("data", "build", "mine", "--from", "photos", "--layout", "folder", "--subject", "(?P<subject>p[0-9]+)_")
    (home / "mine.yaml").write_text(STUDY.replace("MODULE", module))
    call("ablate", "--study", "mine.yaml", "--no-track", "--jobs", "2")
    table = call("report", "--study", "mine.yaml").out
    assert "| mine |" in table
    source = hash_source(f"{module}:MyNet")
    assert f"{module}:MyNet (source {source[:8]})" in table
    runs = [path.parent for path in (home / "results" / "runs").glob("*/config.json")]
    own = [run for run in runs if read_config(run / "config.json").model.source_sha256 == source]
    assert len(own) == 2
    assert (own[0] / f"source-{module}.py").read_text() == NET
    call("predict", own[0].name, "photos/happy/p00_0.png", "--no-detect")

    (home / f"{module}.py").write_text(NET.replace("(8, 16, 32)", "(8, 16, 16)"))  # another network, so other runs
    edited = fer("ablate", "--study", "mine.yaml", "--plan")
    assert "4 runs, 2 done, 2 to train" in edited.err
    assert f"of other sources of own networks are not used: 2 of {module}:MyNet (source {source[:8]})" in edited.err
    refused = fer("predict", own[0].name, "photos/happy/p00_0.png", "--no-detect")
    assert refused.code == 2
    assert f"{module}.py is not the source of this run" in refused.err
    printed = fer("ablate", "--study", "mine.yaml", "--executor", "print").out
    assert printed.startswith(f"cd {home} && fer ablate")


@pytest.mark.parametrize("settings", [{}, {"channels": 3}, {"dropout": 0.5}], ids=["plain", "colour", "dropout"])
def test_an_own_network_is_built_like_any_other(home: Path, settings: dict[str, object]) -> None:
    name = f"{write_net(home)}:MyNet"
    config = model(name, **settings)
    network = build_model(config, 5, attention=True, image_size=32)
    assert isinstance(network.backbone, OwnNetwork)
    assert network.backbone.feature_size == 32
    scores = network.eval()(torch.rand(4, config.channels, 32, 32))
    assert scores.logits.shape == (4, 5)
    assert scores.alpha is not None
    assert scores.alpha.shape == (4,)


def test_initial_weights_follow_the_seed(home: Path) -> None:
    config = model(f"{write_net(home)}:MyNet")
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(torch.cat([weight.flatten() for weight in build_model(config, 3, False, 24).parameters()]))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


BASE = """
import torch
from torch import nn


class Base(nn.Module):
    def __init__(self, channels, image_size):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(channels, 8, 3), nn.Linear(8, 8)

    def forward(self, x):
        return self.conv(x).mean((2, 3))


"""
WRONG = {
    "map": (
        "class MyNet(Base):\n    def forward(self, x): return self.conv(x)",
        "(2, 8, 22, 22) for a batch (2, 1, 24, 24)",
    ),
    "fails": ("class MyNet(Base):\n    def forward(self, x): return self.fc(self.conv(x))", "mat1 and mat2"),
    "arguments": ("class MyNet(Base):\n    def __init__(self, width): pass", "takes (width), but is called with channels"),
    "nan": (
        "def MyNet(channels, image_size):\n    net = Base(channels, image_size)\n"
        "    nn.init.constant_(net.conv.weight, float('nan'))\n    return net",
        "NaN or infinite",
    ),
    "huge": ("class MyNet(Base):\n    def forward(self, x): return super().forward(x) / 0", "NaN or infinite features"),
    "batch": (
        "class MyNet(Base):\n    def forward(self, x): return super().forward(x) - super().forward(x).mean(0)",
        "depend on the other images",
    ),
    "empty": (
        "class MyNet(nn.Module):\n    def __init__(self, channels, image_size): super().__init__()\n"
        "    def forward(self, x): return x.mean((2, 3))",
        "has no parameters",
    ),
    "chance": (
        "class MyNet(Base):\n    def forward(self, x): return nn.functional.dropout(super().forward(x))",
        "other features each time",
    ),
    "view": ("class MyNet(Base):\n    def forward(self, x): return self.conv(x).view(len(x), -1)", "use x.flatten(1)"),
    "frozen": ("class MyNet(Base):\n    def forward(self, x): return super().forward(x).detach()", "no gradient reaches"),
    "not built": ("def MyNet(channels, image_size): raise KeyError('width')", "cannot be built: KeyError: 'width'"),
    "no module": ("def MyNet(channels, image_size): return 3", "returns int, not a torch.nn.Module"),
    "in place": (
        "class MyNet(Base):\n    def forward(self, x):\n        x *= 2\n        return super().forward(x)",
        "changes",
    ),
    "double": ("class MyNet(Base):\n    def forward(self, x): return super().forward(x).double()", "returns float64"),
    "tuple": ("class MyNet(Base):\n    def forward(self, x): return x, x", "returns tuple"),
    "a value": ("MyNet = 3", "not callable, but int"),
    "another name": ("class MyNets(Base): pass", "has no MyNet; did you mean MyNets?"),
    "exits": ("class MyNet(Base):\n    def forward(self, x): raise SystemExit(0)", "SystemExit: 0"),
    "exits at once": ("def MyNet(channels, image_size): raise SystemExit(0)", "cannot be built: SystemExit: 0"),
    "other features": (
        "class MyNet(Base):\n    def forward(self, x): return super().forward(x)[:, : 4 if self.training else 8]",
        "returns 4 features in training mode and 8 in evaluation mode",
    ),
    "half in training": (
        "class MyNet(Base):\n    def forward(self, x): return super().forward(x).to([None, torch.half][self.training])",
        "returns float16",
    ),
    "stops": ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
    "imports": ("import no_such_library", "No module named 'no_such_library'"),
    "no copy": (
        "class MyNet(Base):\n    def __deepcopy__(self, memo): raise TypeError('not this')",
        "cannot be copied",
    ),
    "no choice of weights": (
        "class MyNet(Base):\n    def requires_grad_(self, on=True): raise RuntimeError('not supported on ScriptModules')",
        "does not let fer choose which weights are trained",
    ),
}


@pytest.mark.parametrize(("text", "why"), WRONG.values(), ids=WRONG)
def test_a_wrong_network_is_one_line_before_the_first_run(
    text: str, why: str, home: Path, tiny: Callable[..., object]
) -> None:
    name = f"{write_net(home, BASE + text)}:MyNet"
    config = tiny(model=model(name))
    with pytest.raises(StudyError) as error:
        check_networks([(config, ["happy", "sad"])])  # type: ignore[list-item]
    line = str(error.value)
    assert line.startswith(f"backbone {name}: ")
    assert why in line
    assert "\n" not in line


COUNTED = {
    "a plain tensor": ("        return self.conv(x).mean((2, 3)) * torch.ones(8)", 8 * 9 * 22**2 + 8 * 2),
    "a look at values": (
        "        if not torch.isfinite(x).all(): raise ValueError\n        return self.conv(x).mean((2, 3))",
        8 * 9 * 22**2 + 8 * 2,
    ),
    "its own scales": (
        "        return nn.functional.layer_norm(self.norm(self.conv(x)).mean((2, 3)), (8,))",
        8 * 9 * 22**2 + 8 * 2,
    ),
    "layers of other kinds": ("        return self.up(self.conv(x)).mean((2, 3))", None),
}


@pytest.mark.parametrize(("forward", "adds"), COUNTED.values(), ids=COUNTED)
def test_multiply_adds_are_counted_before_training_or_unknown(
    forward: str, adds: int | None, home: Path, tiny: Callable[..., RunConfig]
) -> None:
    up = "nn.ConvTranspose2d(8, 8, 2)" if "self.up" in forward else "None"
    layers = f"        self.norm, self.up = nn.BatchNorm2d(8), {up}\n    def forward(self, x):\n"
    init = "class MyNet(Base):\n    def __init__(self, **given):\n        super().__init__(**given)\n"
    config = model(f"{write_net(home, BASE + init + layers + forward)}:MyNet")
    check_networks([(tiny(model=config), ["happy", "sad"])])
    assert count_known(build_model(config, 2, False, 24), (1, 24, 24)) == adds


def test_a_network_that_fails_on_zeros_is_one_line(home: Path, tiny: Callable[..., RunConfig]) -> None:
    text = "class MyNet(Base):\n    def forward(self, x):\n        if not x.any(): raise ValueError('dark')\n"
    name = f"{write_net(home, BASE + text + '        return super().forward(x)')}:MyNet"
    with pytest.raises(StudyError, match="fails on a black image: ValueError: dark"):
        check_networks([(tiny(model=model(name)), ["happy", "sad"])])


NAMES = {
    "no_such_net:MyNet": "no module no_such_net",
    "MODULEX:MyNet": "did you mean MODULE?",
    "broken:MyNet": "broken.py, line 1: not valid Python",
    "a:b:c": "'a:b:c' is not module:name",
    "resnet": "did you mean",
}


@pytest.mark.parametrize(("name", "why"), NAMES.items(), ids=NAMES)
def test_a_wrong_name_is_one_line(name: str, why: str, fer: Fer, home: Path, data_root: Path) -> None:
    module = write_net(home)
    (home / "broken.py").write_text("def MyNet(:")
    study = STUDY.replace("MODULE:MyNet", name.replace("MODULE", module)).replace("name: mine,", "name: ck48,")
    (home / "mine.yaml").write_text(study)
    called = fer("ablate", "--study", "mine.yaml", "--data-root", data_root, "--plan")
    assert called.code == 2
    assert why.replace("MODULE", module) in called.err
    assert called.err.count("\n") == 1
    assert module not in sys.modules  # planning reads the source and runs none of it


def test_a_file_named_like_a_module_of_python_is_refused(home: Path) -> None:
    (home / "json.py").write_text(NET)
    with pytest.raises(StudyError, match="has the name of another module"):
        build_model(model("json:MyNet"), 3, False, 24)


def test_the_hash_covers_what_the_module_imports_beside_it(home: Path) -> None:
    module = write_net(home)
    alone = hash_source(f"{module}:MyNet")
    assert alone == hashlib.sha256(NET.encode()).hexdigest()
    (home / f"{module}.py").write_text("import parts_of_it\nfrom package_of_it import nets\n" + NET)
    (home / "parts_of_it.py").write_text("wide = 8\n")
    (home / "package_of_it").mkdir()
    (home / "package_of_it" / "__init__.py").write_text("")
    (home / "package_of_it" / "nets.py").write_text("from . import deep\nfrom .. import nothing\n")
    (home / "package_of_it" / "deep.py").write_text("import torch, json, parts_of_it\n")
    found = set(find_sources(f"{module}:MyNet"))
    assert found == {module, "parts_of_it", "package_of_it", "package_of_it.nets", "package_of_it.deep"}
    both = hash_source(f"{module}:MyNet")
    (home / "package_of_it" / "deep.py").write_text("import torch, json, parts_of_it  # edited\n")
    assert len({alone, both, hash_source(f"{module}:MyNet")}) == 3


def test_a_network_in_a_package_and_on_pythonpath(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = home / "elsewhere" / "pack_of_nets"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "net.py").write_text(NET)
    monkeypatch.syspath_prepend(str(home / "elsewhere"))
    config = model("pack_of_nets.net:MyNet")
    assert build_model(config, 3, False, 24).backbone.feature_size == 32


def save(path: Path, content: object) -> dict[str, object]:
    """Write weights and return the settings of a model that starts from them, frozen."""
    torch.save(content, path)
    return {"weights": str(path), "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "freeze": True}


def test_weights_of_the_users_file_start_it(home: Path, tiny: Callable[..., RunConfig]) -> None:
    module = write_net(home)
    body = build_model(model(f"{module}:MyNet"), 3, False, 24).get_submodule("backbone.body")
    config = model(f"{module}:MyNet", **save(home / "start.pt", body.state_dict()))
    check_networks([(tiny(model=config), ["happy", "sad"])])


@pytest.mark.parametrize("change", ["missing", "another size"])
def test_a_frozen_layer_without_weights_is_refused_even_if_it_is_called_fc(
    change: str, home: Path, tiny: Callable[..., RunConfig]
) -> None:
    net = NET.replace("super().__init__()", "super().__init__()\n        self.fc = nn.Linear(32, 8)")
    module = write_net(home, net.replace(".mean((2, 3))", ".mean((2, 3)) @ self.fc.weight.T"))
    state = build_model(model(f"{module}:MyNet"), 3, False, 24).get_submodule("backbone.body").state_dict()
    there = {name: value for name, value in state.items() if not name.startswith("fc.")}
    given = there if change == "missing" else state | {"fc.weight": torch.zeros(9, 32), "fc.bias": torch.zeros(9)}
    config = model(f"{module}:MyNet", **save(home / "start.pt", given))
    with pytest.raises(DataError, match=r"model.freeze: no weights for fc\.weight, fc\.bias"):
        check_networks([(tiny(model=config), ["happy", "sad"])])


def test_weights_of_an_earlier_run_of_it_start_it(home: Path) -> None:
    module = write_net(home)
    trained = build_model(model(f"{module}:MyNet"), 2, False, 24)
    content = {"state": trained.state_dict(), "classes": ["happy", "sad"]}
    config = model(f"{module}:MyNet", **save(home / "best.pt", content))
    started = build_model(config, 2, False, 24)
    load_start_weights(started, str(config.weights), config.weights_sha256, ["happy", "sad"])
    theirs = trained.get_submodule("backbone.body").state_dict()
    for name, value in started.get_submodule("backbone.body").state_dict().items():
        assert torch.equal(value, theirs[name])


def test_names() -> None:
    assert is_own("my_net:MyNet")
    assert is_own("a.b:C")
    assert not any(map(is_own, ("resnet18", "a:", ":b", "a:b:c", "a b:c", "../a:b", "a/b:c")))
    assert network_of("my_net:MyNet").joins
    with pytest.raises(ValueError, match="requires source_sha256"):
        ModelConfig(backbone="my_net:MyNet")
    with pytest.raises(ValueError, match="source_sha256"):
        from fer_cli.config import RunConfig

        RunConfig(model=ModelConfig(source_sha256="0" * 64))


def test_help_imports_nothing_of_the_user(home: Path) -> None:
    (home / "sitecustomise_me.py").write_text("raise SystemExit(9)")
    done = subprocess.run([sys.executable, "-m", "fer_cli", "ablate", "--help"], capture_output=True, check=False)
    assert done.returncode == 0


def test_settings_of_other_networks_are_refused_for_an_own_one() -> None:
    own = ModelConfig(backbone="nets:Net", source_sha256="0" * 64, motion=True)
    with pytest.raises(ValidationError, match=r"model\.motion has no effect: backbone is nets:Net"):
        RunConfig(model=own)
