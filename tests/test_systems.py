"""The still-image systems in a run: networks by name, weights from a file, class-centre and the plain comparison losses."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from fer_cli.config import Compute, LearningConfig, ModelConfig, PartsConfig, RunConfig
from fer_cli.data.datamodule import RunData
from fer_cli.data.manifest import load_set
from fer_cli.errors import DataError
from fer_cli.expand import expand
from fer_cli.learning.losses import class_center_loss, classification_loss, method_loss
from fer_cli.learning.train import new_module, train_run
from fer_cli.models.build import build_model
from fer_cli.models.counts import count_multiply_adds, count_parameters
from fer_cli.models.multiscale import LADDER
from fer_cli.models.weights import load_weights_file
from fer_cli.study import Choice, load_study
from tests.conftest import STUDY, Called
from tests.fakes import folder_at

POINTS = torch.tensor([[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]])
CENTRES = torch.tensor([[1.0, 1.0], [2.0, 4.0]])
LABELS = torch.tensor([0, 1, 0])


def centre_loss(**settings: Any) -> float:
    config = LearningConfig(center_weight=1.0, **settings)
    return float(class_center_loss(POINTS, CENTRES, LABELS, config))


def test_class_centre_loss_by_hand() -> None:
    """Distances 1, 1 and 2; spread 2.5, unbiased 5, over elements 1.25."""
    assert centre_loss(center_reduction="sum") == pytest.approx(1.6, abs=1e-5)
    assert centre_loss() == pytest.approx(0.533333, abs=1e-5)
    assert centre_loss() * 2.5 == pytest.approx(1.333333, abs=1e-5)  # plain centre loss: without the spread, 2.5 here
    assert centre_loss(center_spread="unbiased") == pytest.approx(4 / 3 / 5, abs=1e-5)
    assert centre_loss(center_spread="elementwise") == pytest.approx(4 / 3 / 1.25, abs=1e-5)


def test_class_centre_loss_ignores_place_and_scale_and_likes_centres_apart() -> None:
    config = LearningConfig(center_weight=1.0)
    plain = class_center_loss(POINTS, CENTRES, LABELS, config)
    moved = class_center_loss(POINTS + 7, CENTRES + 7, LABELS, config)
    scaled = class_center_loss(POINTS * 3, CENTRES * 3, LABELS, config)
    assert torch.allclose(plain, moved)
    assert torch.allclose(plain, scaled)
    away = torch.tensor([0.0, 1.0])
    apart = CENTRES + torch.tensor([[-1.0], [1.0]]) * away
    points = POINTS + torch.tensor([[-1.0], [1.0], [-1.0]]) * away
    assert class_center_loss(points, apart, LABELS, config) < plain
    together = torch.ones(2, 2)
    assert torch.isfinite(class_center_loss(POINTS, together, LABELS, config))


def test_class_centre_loss_pulls_points_and_spreads_centres() -> None:
    points, centres = POINTS.clone().requires_grad_(), CENTRES.clone().requires_grad_()
    class_center_loss(points, centres, LABELS, LearningConfig(center_weight=1.0)).backward()
    assert points.grad is not None
    assert centres.grad is not None
    assert (points.grad * (POINTS - CENTRES[LABELS]) >= 0).all()  # descent moves each point towards its centre
    held = CENTRES.clone().requires_grad_()
    class_center_loss(POINTS, held, LABELS, LearningConfig(center_weight=1.0, center_detach=True)).backward()
    assert held.grad is not None
    assert not torch.allclose(held.grad, centres.grad)


def test_focal_loss_and_label_smoothing_against_their_definitions() -> None:
    logits, labels = torch.randn(8, 5, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 5
    p = logits.softmax(1)[torch.arange(8), labels]
    focal = classification_loss(logits, labels, LearningConfig(focal_gamma=2.0), "mean")
    assert torch.allclose(focal, (-((1 - p) ** 2) * p.log()).mean(), atol=1e-6)
    certain = torch.tensor([[40.0, 0, 0], [-40.0, 0, 0]], requires_grad=True)
    for gamma in (0.5, 1.0, 2.0):  # where p is 1 or 0, loss and slope are numbers still
        certain.grad = None
        loss = classification_loss(certain, torch.tensor([0, 0]), LearningConfig(focal_gamma=gamma), "mean")
        loss.backward()
        assert certain.grad is not None
        assert certain.grad.isfinite().all()
        assert loss.item() == pytest.approx((40 + math.log(2)) / 2, rel=1e-4)
    smooth = classification_loss(logits, labels, LearningConfig(label_smoothing=0.1), "mean")
    target = F.one_hot(labels, 5) * 0.9 + 0.1 / 5
    assert torch.allclose(smooth, -(target * logits.log_softmax(1)).sum(1).mean(), atol=1e-6)
    plain = method_loss(logits, None, labels, LearningConfig())["loss"]
    assert torch.equal(plain, F.cross_entropy(logits, labels))


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (lambda: LearningConfig(center_detach=True), "learning.center_detach has no effect"),
        (lambda: LearningConfig(label_smoothing=0.1, focal_gamma=1.0), "learning.label_smoothing has no effect"),
        (lambda: ModelConfig(backbone="cnn3", attention="se"), "model.attention has no effect"),
        (lambda: ModelConfig(attention="sge", reduction=4), "model.reduction has no effect"),
        (lambda: ModelConfig(groups=4), "model.groups has no effect"),
        (lambda: ModelConfig(parts=PartsConfig(residual=False)), "model.parts has no effect"),
        (lambda: ModelConfig(backbone="multiscale", downsample="both"), "model.downsample has no effect"),
        (lambda: ModelConfig(downsample="v1"), "v1 requires bottlenecks"),
        (lambda: ModelConfig(weights="a.pth"), "weights_sha256"),
        (lambda: ModelConfig(freeze=True), "random weights would be frozen"),
        (lambda: LearningConfig(center_lr=0.5), "learning.center_lr has no effect"),
        (lambda: PartsConfig(conv="dense"), "dense has one rate"),
        (lambda: PartsConfig(head="fc"), "requires head: gap"),
        (lambda: PartsConfig(rates=[1, 400]), "from 1 to 8"),
        (lambda: PartsConfig(conv="bsconv-s", pw_kernel=3), "3 requires bsconv-u"),
        (lambda: PartsConfig(attention="se", groups=4), "groups: has no effect"),
    ],
)
def test_settings_that_change_nothing_or_cannot_be_built_are_refused(section: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        made = section()
        RunConfig(**{"learning" if isinstance(made, LearningConfig) else "model": made})


def test_the_arms_of_sge_bsconv_are_the_rungs_of_the_ladder() -> None:
    runs = {run.arm: run.config.model.parts for run in expand(load_study("sge-bsconv"), Choice(seeds=(0,)))}
    assert list(runs.values()) == list(LADDER.values())


@pytest.mark.parametrize("rung", LADDER)
def test_the_ladder_can_be_said_in_settings(rung: str) -> None:
    """Each rung of He 2025's ablation is a choice of ``model.parts``, with the same number of parameters."""
    from fer_cli.models.multiscale import MultiScale

    parts = LADDER[rung]
    config = ModelConfig(backbone="multiscale", channels=3, parts=parts)
    built = build_model(config, 7, attention=False).backbone
    assert sum(p.numel() for p in built.parameters()) == sum(p.numel() for p in MultiScale(7, 3, 48, parts).parameters())


@pytest.mark.parametrize("attention", ["sge", "se", "cbam", "soft-threshold"])
def test_arms_share_all_weights_but_the_blocks(attention: str) -> None:
    torch.manual_seed(3)
    plain = build_model(ModelConfig(), 7, attention=False).state_dict()
    torch.manual_seed(3)
    armed = build_model(ModelConfig(attention=attention), 7, attention=False).state_dict()  # type: ignore[arg-type]
    assert set(plain) < set(armed)
    assert all(torch.equal(plain[name], armed[name]) for name in plain)


def test_centres_are_trained_and_the_loss_is_logged(
    tiny: Callable[..., RunConfig], compute: Compute, tmp_path: Path
) -> None:
    config = tiny(learning=LearningConfig(center_weight=0.1))
    result = train_run(config, compute, folder_at(tmp_path))
    assert result.metrics["test"].n > 0
    history = (tmp_path / "history.csv").read_text().splitlines()[0].split(",")
    assert "loss/centre" in history
    data = RunData(load_set(compute.data_root, "ck48"), config)
    module = new_module(config, data)
    assert module.centres is not None
    assert module.centres.shape == (7, module.model.backbone.feature_size)
    bare = new_module(tiny(), data)
    assert bare.centres is None
    assert torch.equal(bare.model.backbone.fc.weight, module.model.backbone.fc.weight)  # type: ignore[arg-type]


def test_centres_may_have_steps_of_their_own(tiny: Callable[..., RunConfig], compute: Compute) -> None:
    """The optimiser moves the weights alone; the centres go down the unweighted loss, whatever its weight is."""
    config = tiny(learning=LearningConfig(center_weight=0.1, center_lr=0.5))
    data = RunData(load_set(compute.data_root, "ck48"), config)
    module = new_module(config, data)
    assert module.centres is not None
    points, labels = torch.randn(8, module.model.backbone.feature_size), torch.arange(8) % 7
    before = module.centres.detach().clone().requires_grad_()
    class_center_loss(points, before, labels, config.learning).backward()
    assert before.grad is not None
    (0.1 * class_center_loss(points, module.centres, labels, config.learning)).backward()
    module.on_before_optimizer_step(torch.optim.SGD(module.model.parameters(), 1.0))
    assert torch.allclose(module.centres, before - 0.5 * before.grad, atol=1e-5)
    assert module.centres.grad is None


def test_a_run_from_a_file_of_weights_says_what_it_took(
    tiny: Callable[..., RunConfig], compute: Compute, tmp_path: Path
) -> None:
    import hashlib

    network = build_model(ModelConfig(), 5, attention=False).backbone
    torch.save(network.state_dict(), tmp_path / "faces.pth")  # type: ignore[attr-defined]
    sha256 = hashlib.sha256((tmp_path / "faces.pth").read_bytes()).hexdigest()
    config = tiny(model=ModelConfig(weights=str(tmp_path / "faces.pth"), weights_sha256=sha256))
    module = new_module(config, RunData(load_set(compute.data_root, "ck48"), config))
    assert torch.equal(module.model.backbone.conv1.weight, network.conv1.weight)  # type: ignore[attr-defined]
    assert str(module.weights_note).startswith("loaded ")
    assert "fc.weight" in str(module.weights_note)
    torch.save({"conv1.weight": torch.zeros(16, 1, 3, 3)}, tmp_path / "faces.pth")
    with pytest.raises(DataError):
        new_module(config, RunData(load_set(compute.data_root, "ck48"), config))


def test_a_runs_own_weights_start_another_on_the_same_classes_only(tmp_path: Path) -> None:
    net = build_model(ModelConfig(), 3, attention=True)
    content = {"state": net.state_dict(), "classes": ["happy", "sad", "neutral"], "config": "{}", "epoch": 1}
    torch.save(content, tmp_path / "best.pt")
    other = build_model(ModelConfig(), 3, attention=True).get_submodule("backbone")
    loaded = load_weights_file(tmp_path / "best.pt", other, classes=["happy", "sad", "neutral"])
    assert (loaded.loaded, loaded.missing, loaded.unexpected) == (loaded.total, (), ())
    assert torch.equal(other.fc.weight, net.backbone.fc.weight)  # type: ignore[union-attr, arg-type]
    with pytest.raises(DataError, match="trained on happy, sad, neutral; the run has sad, happy, neutral"):
        load_weights_file(tmp_path / "best.pt", other, classes=["sad", "happy", "neutral"])


def test_a_study_pins_the_file_it_starts_from(tmp_path: Path) -> None:
    network = build_model(ModelConfig(), 7, attention=False).backbone
    torch.save(network.state_dict(), tmp_path / "w.pth")  # type: ignore[attr-defined]
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY.replace("  train:", f"  model: {{weights: {tmp_path / 'w.pth'}}}\n  train:"))
    runs = expand(load_study(str(path)), Choice())
    assert len({run.config.model.weights_sha256 for run in runs}) == 1
    assert len(str(runs[0].config.model.weights_sha256)) == 64


def test_of_a_frozen_network_only_the_classifier_is_trained(
    tiny: Callable[..., RunConfig], compute: Compute, tmp_path: Path
) -> None:
    import hashlib

    file = tmp_path / "faces.pth"
    torch.manual_seed(3)
    given = build_model(ModelConfig(), 5, attention=False).backbone.state_dict()  # type: ignore[attr-defined]
    torch.save(given, file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    frozen = ModelConfig(weights=str(file), weights_sha256=sha256, freeze=True)
    config = tiny(model=frozen, learning=LearningConfig(method="scn"))
    train_run(config, compute, folder_at(tmp_path))
    kept = torch.load(tmp_path / "best.pt", weights_only=True)["state"]
    first = new_module(config, RunData(load_set(compute.data_root, "ck48"), config)).model.state_dict()
    for name, value in given.items():  # running means of batch norms among them
        assert torch.equal(kept[f"backbone.{name}"], value) is not name.startswith("fc."), name
    assert not torch.equal(kept["backbone.fc.weight"], first["backbone.fc.weight"])
    assert not torch.equal(kept["alpha.weight"], first["alpha.weight"])
    torch.save({name: value for name, value in given.items() if name != "layer4.1.bn2.weight"}, file)
    partial = frozen.model_copy(update={"weights_sha256": hashlib.sha256(file.read_bytes()).hexdigest()})
    with pytest.raises(DataError, match=r"no weights for layer4.1.bn2.weight, which would stay random"):
        train_run(tiny(model=partial), compute, folder_at(tmp_path / "other"))


def test_weights_are_verified_from_the_command_line(fer: Callable[..., Called], tmp_path: Path) -> None:
    network = build_model(ModelConfig(backbone="resnet18-small"), 1000, attention=False).backbone
    torch.save(network.state_dict(), tmp_path / "w.pth")  # type: ignore[attr-defined]
    called = fer("weights", "verify", tmp_path / "w.pth", "--model", "resnet18-small", "--channels", 1)
    assert called.code == 0, called.err
    assert called.out.startswith("loaded ")
    assert "SHA-256" in called.out
    for model, words in (
        ("resnet50-small", "tensors"),
        ("resnet51", "--model resnet51: no such network; did you mean resnet50"),
    ):
        wrong = fer("weights", "verify", tmp_path / "w.pth", "--model", model, "--channels", 1)
        assert (wrong.code, wrong.err.count("\n")) == (2, 1), wrong.err
        assert words in wrong.err
    (tmp_path / "code.pth").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    refused = fer("weights", "verify", tmp_path / "code.pth", "--model", "resnet18-small")
    assert (refused.code, refused.err.count("\n")) == (2, 1)


def test_a_table_tells_what_each_arms_network_costs(fer: Callable[..., Called], data_root: Path, tmp_path: Path) -> None:
    study = STUDY.replace("SCN-CS: {learning.method: scn-cs}", "SE: {model.attention: se}").replace("epochs: 2", "epochs: 1")
    (tmp_path / "tiny.yaml").write_text(
        study.replace("grid: {data.label_noise: [0.0, 0.3]}\n", "").replace("columns: data.label_noise, ", "")
    )
    where = ["--study", tmp_path / "tiny.yaml", "--data-root", data_root, "--results", tmp_path / "results"]
    assert fer("ablate", *where, "--no-track", "--seeds", "1", "--precision", "fp32").code == 0
    text = fer("report", *where, "--seeds", "1").out
    rows = {
        row.split("|")[1].strip(): row.split("|")[2:4]
        for row in text.split("Model complexity")[1].splitlines()
        if "|" in row
    }
    plain, se = (build_model(ModelConfig(attention=block), 7, attention=False) for block in ("none", "se"))  # type: ignore[arg-type]
    for arm, net in (("CNN", plain), ("SE", se)):
        assert rows[arm][0].strip() == f"{count_parameters(net):,}"
        assert rows[arm][1].strip() == f"{count_multiply_adds(net, (1, 24, 24)):,}"
    assert "SE: model.attention = se" in text
