"""Training learns, is reproducible, continues exactly, and touches the test part once."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fer_cli.config import BACKBONES, AugmentConfig, Compute, DataConfig, LearningConfig, ModelConfig, RunConfig, TrainConfig
from fer_cli.data.datamodule import Batches, RunData, class_weights
from fer_cli.data.manifest import load_set
from fer_cli.data.prepare import resize
from fer_cli.learning.auxiliary import network_terms
from fer_cli.learning.losses import method_loss
from fer_cli.learning.module import FerModule
from fer_cli.learning.record import load_weights
from fer_cli.learning.train import new_module, train_run
from fer_cli.metrics import score
from fer_cli.models.build import build_model
from fer_cli.results import Result
from fer_cli.runs import RunFolder
from tests.clip_inputs import FRAMES, random_input
from tests.fakes import folder_at

Tiny = Callable[..., RunConfig]
ARMS = {
    "CNN": LearningConfig(),
    "SCN": LearningConfig(method="scn"),
    "CS": LearningConfig(method="cs"),
    "SCN-CS": LearningConfig(method="scn-cs"),
    "SCN-CS+RR": LearningConfig(method="scn-cs", cs_loss="literal+rr"),
}


# networks


@pytest.mark.parametrize(
    ("backbone", "channels", "parameters"),
    [
        ("resnet18", 3, 11_689_512),
        ("resnet18-small", 1, 828_888),
        ("resnet10-small", 1, 273_416),
        ("se-resnet18-tiny", 1, 390_104),
    ],
)
def test_parameter_counts(backbone: str, channels: int, parameters: int) -> None:
    net = build_model(ModelConfig(backbone=backbone, channels=channels), 1000, False).backbone  # type: ignore[arg-type]
    assert sum(p.numel() for p in net.parameters()) == parameters  # type: ignore[attr-defined]


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_attention_adds_its_head_and_nothing_else(backbone: str) -> None:
    config = ModelConfig(backbone=backbone)
    with torch.device("meta"):  # counted, not filled: VGG-16 has 134 million
        plain, with_alpha = (build_model(config, 7, attention, frames=FRAMES) for attention in (False, True))
    extra = sum(p.numel() for p in with_alpha.parameters()) - sum(p.numel() for p in plain.parameters())
    size = plain.backbone.feature_size
    hidden = min(64, size // 6)
    assert extra == (size * hidden + 2 * hidden + 1 if BACKBONES[backbone].clips else size + 1)


LARGE = {"teacher-expression-paper": pytest.mark.exhaustive, "vgg16": pytest.mark.slow}
"""Networks that take seconds for a step."""


@pytest.mark.parametrize(
    "backbone", [pytest.param(name, marks=LARGE[name]) if name in LARGE else name for name in BACKBONES]
)
def test_eval_is_independent_of_batch_and_gradient_reaches_everything(backbone: str) -> None:
    torch.manual_seed(0)
    config = ModelConfig(backbone=backbone, channels=1)
    net = build_model(config, 7, attention=True, frames=FRAMES)
    images, *boxes = random_input(config, 4)
    labels = torch.tensor([0, 1, 2, 3])
    scores = net(images, None, *boxes)
    loss = method_loss(scores.logits, scores.alpha, labels, LearningConfig(method="scn"))["loss"]
    terms = network_terms(net.backbone, ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"], scores, labels)
    torch.stack([loss, *terms.values()]).sum().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in net.parameters())
    net.eval()
    with torch.no_grad():
        alone = net(images[1:2], None, *(one[1:2] for one in boxes))
        assert torch.allclose(net(images, None, *boxes).logits[1:2], alone.logits, atol=1e-4)


@pytest.mark.parametrize("arm", list(ARMS))
def test_every_arm_overfits_one_batch(arm: str, data_root: Path, tiny: Tiny) -> None:
    config = tiny(learning=ARMS[arm])
    data = RunData(load_set(data_root, "ck48"), config)
    module = new_module(config, data)
    images, labels = data.train.images[:16], data.train.labels[:16]
    assert len(labels.unique()) > 3
    optimizer = torch.optim.AdamW(module.model.parameters(), 3e-3)
    for _ in range(40):
        scores = module.model(module.pixels(images))
        loss = method_loss(scores.logits, scores.alpha, labels, config.learning)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    module.eval()
    assert (module.model(module.pixels(images)).logits.argmax(1) == labels).float().mean() > 0.95


# data on its way to the network


def test_batches_cover_the_part_and_shuffle_by_epoch() -> None:
    batches = Batches(65, 32, seed=0)
    first = list(batches)
    assert [len(batch) for batch in first] == [32, 33] and len(batches) == 2
    assert sorted(itertools.chain(*first)) == list(range(65))
    batches.set_epoch(1)
    assert list(batches) != first
    batches.set_epoch(0)
    assert list(batches) == first
    weights = class_weights(torch.tensor([0] * 900 + [1] * 100), 1.0)
    drawn = torch.tensor(list(itertools.chain(*Batches(1000, 50, 0, weights))))
    assert abs(int((drawn >= 900).sum()) - 500) < 80
    assert list(Batches(65, 32, seed=None)) == [list(range(32)), list(range(32, 64)), [64]]


def test_resize_keeps_range_and_identity() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 2, 1, 48, 48), dtype=np.uint8)
    assert np.array_equal(resize(images, 48).numpy(), images)
    assert resize(images, 20).shape == (3, 2, 1, 20, 20)
    flat = np.full((1, 1, 3, 48, 48), 137, np.uint8)
    assert np.array_equal(resize(flat, 31).numpy(), np.full((1, 1, 3, 31, 31), 137, np.uint8))


def test_normalisation_is_fitted_on_the_training_part_only(data_root: Path, tiny: Tiny) -> None:
    config = tiny()
    faces = load_set(data_root, "ck48")
    data = RunData(faces, config)
    pixels = data.train.images[:].float() / 255
    model = new_module(config, data).model
    assert float(model.mean) == pytest.approx(float(pixels.mean()))
    assert float(model.std) == pytest.approx(float(pixels.std()))


def test_noise_is_planted_in_training_labels_only(data_root: Path, tiny: Tiny) -> None:
    faces = load_set(data_root, "ck48")
    clean, noisy = (
        RunData(faces, tiny(data=DataConfig(name="ck48", folds=3, image_size=24, label_noise=r))) for r in (0.0, 0.4)
    )
    flipped = (noisy.train.labels.numpy() != noisy.true_labels).sum()
    assert flipped == round(0.4 * len(noisy.train))
    assert torch.equal(clean.val.labels, noisy.val.labels)
    assert torch.equal(clean.test.labels, noisy.test.labels)
    assert clean.split.hash == noisy.split.hash


# whole runs

MILD = AugmentConfig(rotate=12, translate=0.08, scale=0.12, brightness=0.1, contrast=0.2)
"""Changes small enough for a few cartoons to be learnt in a few epochs."""


def run(config: RunConfig, compute: Compute, folder: Path) -> Result:
    folder.mkdir(parents=True)
    return train_run(config, compute, folder_at(folder))


def without_times(result: Result) -> dict[str, object]:
    """Return all of a result but how long it took and which folder it is in."""
    return result.model_dump(exclude={"cost": {"seconds"}, "run_id": True})


def test_separable_classes_are_learnt_and_the_record_is_whole(compute: Compute, tiny: Tiny, tmp_path: Path) -> None:
    config = tiny(
        data=DataConfig(name="ck48", folds=3, val_fraction=0.25, image_size=32),
        augment=MILD,
        train=TrainConfig(epochs=14, batch_size=16, weight_average=0.8, lr=3e-3),
    )
    result = run(config, compute, tmp_path / "run")
    assert result.metrics["test"]["accuracy"] > 0.9
    predictions = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    test = predictions[predictions["part"] == "test"]
    classes = result.data.classes
    again = score(test["label"].to_numpy(), test["predicted"].to_numpy(), classes)
    assert again == result.metrics["test"].model_dump()
    shares = test[[f"p_{name}" for name in classes]].to_numpy()
    assert np.allclose(shares.sum(1), 1, atol=1e-5)
    assert list(test["predicted"]) == [classes[i] for i in shares.argmax(1)]
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    best = history.loc[history["epoch"] == result.selection.epoch].iloc[0]
    assert best["val/macro_f1"] == history["val/macro_f1"].max() == pytest.approx(result.selection.value)
    assert result.metrics["val"]["macro_f1"] == pytest.approx(best["val/macro_f1"], abs=1e-6)


@pytest.mark.parametrize("method", ["ce", "scn-cs"])
def test_same_config_same_numbers_other_seed_others(method: str, compute: Compute, tiny: Tiny, tmp_path: Path) -> None:
    learning = LearningConfig(method=method)  # type: ignore[arg-type]
    config = tiny(learning=learning)
    first, second = (run(config, compute, tmp_path / name) for name in "ab")
    assert without_times(first) == without_times(second)
    frames = [pd.read_parquet(tmp_path / name / "predictions.parquet") for name in "ab"]
    pd.testing.assert_frame_equal(*frames, check_exact=True)
    other = run(tiny(learning=learning, seed=1), compute, tmp_path / "c")
    assert other.metrics != first.metrics


def test_arms_of_one_seed_start_from_the_same_weights(data_root: Path, tiny: Tiny) -> None:
    data = RunData(load_set(data_root, "ck48"), tiny())
    modules = [new_module(tiny(learning=learning), data) for learning in ARMS.values()]
    states = [module.model.backbone.state_dict() for module in modules]
    assert all(torch.equal(states[0][name], state[name]) for state in states for name in states[0])


class StopError(Exception):
    """Ends a training from outside."""


@pytest.mark.parametrize(
    ("backbone", "learning"),
    [
        ("resnet10-small", LearningConfig()),
        ("cnn3", LearningConfig(method="scn-cs", cs_threshold="val_search")),  # three trainings each time
    ],
)
def test_interrupted_training_equals_an_uninterrupted_one(
    backbone: str, learning: LearningConfig, compute: Compute, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped where progress is written, at the end of every epoch of every training."""
    config = tiny(
        data=DataConfig(name="ck48", folds=3, val_fraction=0.25, image_size=24, label_noise=0.2),
        model=ModelConfig(backbone=backbone, dropout=0.2),  # type: ignore[arg-type]
        train=TrainConfig(epochs=4, batch_size=32),
        learning=learning,
    )
    whole = run(config, compute, tmp_path / "whole")
    (tmp_path / "cut").mkdir()
    for stop_after in (1, 3):

        def stop(_: RunFolder, done: int, __: int, limit: int = stop_after) -> None:
            if done == limit:
                raise StopError

        with monkeypatch.context() as patch, pytest.raises(StopError):
            patch.setattr(RunFolder, "write_progress", stop)
            train_run(config, compute, folder_at(tmp_path / "cut"))
    seen: list[int] = []
    monkeypatch.setattr(RunFolder, "write_progress", lambda _, done, __: seen.append(done))
    resumed = train_run(config, compute, folder_at(tmp_path / "cut"))
    assert seen[0] == 4, "it started over"
    assert without_times(resumed) == without_times(whole)
    frames = [pd.read_parquet(tmp_path / name / "predictions.parquet") for name in ("whole", "cut")]
    pd.testing.assert_frame_equal(*frames, check_exact=True)
    for name in [path.name for path in (tmp_path / "whole").glob("history*.csv")]:
        tables = [pd.read_csv(tmp_path / part / name).drop(columns="seconds") for part in ("whole", "cut")]
        pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_broken_checkpoint_starts_over(compute: Compute, tiny: Tiny, tmp_path: Path) -> None:
    whole = run(tiny(), compute, tmp_path / "whole")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "last.ckpt").write_bytes(b"half a file")
    assert without_times(train_run(tiny(), compute, folder_at(tmp_path / "cut"))) == without_times(whole)


def test_val_search_keeps_the_margin_that_validation_prefers(compute: Compute, tiny: Tiny, tmp_path: Path) -> None:
    learning = LearningConfig(method="scn-cs", cs_threshold="val_search")
    (tmp_path / "run").mkdir()
    curve: list[tuple[int, dict[str, float]]] = []
    folder = folder_at(tmp_path / "run")
    result = train_run(tiny(learning=learning), compute, folder, lambda *epoch: curve.append(epoch))
    best = {m: pd.read_csv(tmp_path / "run" / f"history-margin-{m}.csv")["val/macro_f1"].max() for m in (0.1, 0.2, 0.3)}
    assert result.selection.relabel_margin in best
    assert best[result.selection.relabel_margin] == max(best.values())
    history = pd.read_csv(tmp_path / "run" / f"history-margin-{result.selection.relabel_margin}.csv")
    assert [epoch for epoch, _ in curve] == history["epoch"].tolist()
    assert [row["val/macro_f1"] for _, row in curve] == pytest.approx(history["val/macro_f1"].tolist())
    assert folder.progress() == 1


def test_test_part_is_seen_once_and_never_steers(
    compute: Compute, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = RunData.test_dataloader

    def spy(self: RunData) -> object:
        seen.append(1)
        return original(self)

    monkeypatch.setattr(RunData, "test_dataloader", spy)
    first = run(tiny(), compute, tmp_path / "a")
    assert len(seen) == 1

    def other_labels(self: RunData) -> object:
        self.test.labels = (self.test.labels + 1) % len(self.classes)
        return original(self)

    monkeypatch.setattr(RunData, "test_dataloader", other_labels)
    second = run(tiny(), compute, tmp_path / "b")
    assert first.selection == second.selection
    assert first.metrics["val"] == second.metrics["val"]
    assert first.metrics["test"] != second.metrics["test"]


def test_planted_flips_are_found_and_original_labels_stay(compute: Compute, tiny: Tiny, tmp_path: Path) -> None:
    config = tiny(
        data=DataConfig(name="ck48", folds=3, val_fraction=0.25, image_size=32, label_noise=0.2),
        augment=MILD,
        train=TrainConfig(epochs=24, batch_size=16, lr=3e-3),
        learning=LearningConfig(method="scn-cs", relabel_view="train", relabel_from=16 / 24, relabel_logits="raw"),
    )
    result = run(config, compute, tmp_path / "run")
    labels = pd.read_parquet(tmp_path / "run" / "labels.parquet")
    planted = labels["label_given"] != labels["label_true"]
    assert planted.sum() == result.data.flipped == round(0.2 * len(labels))
    assert result.data.drawn.wrong == pytest.approx(planted.mean(), abs=0.05)
    relabelled = result.relabelled
    right, changed = labels["label_current"] == labels["label_true"], labels["label_current"] != labels["label_given"]
    assert relabelled.wrong_start == pytest.approx(planted.mean())
    assert relabelled.wrong_end == pytest.approx((~right).mean())
    assert relabelled.precision == pytest.approx(right[changed].mean())
    assert relabelled.precision > 2 * planted.mean()
    assert relabelled.recall == pytest.approx(right[planted].mean())
    assert right[planted].sum() >= 5
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert history.loc[history["epoch"] < 17, "relabel/count"].sum() == 0
    assert history["relabel/count"].sum() == relabelled.count
    wrong = (labels["label_current"] != labels["label_true"]).mean()
    assert wrong == pytest.approx(history["labels/wrong_share"].iloc[-1], abs=1e-5)
    assert wrong < planted.mean()


def test_weights_carry_class_names_and_refuse_others(compute: Compute, tiny: Tiny, tmp_path: Path) -> None:
    run(tiny(), compute, tmp_path / "run")
    data = RunData(load_set(compute.data_root, "ck48"), tiny())
    module = new_module(tiny(), data)
    load_weights(tmp_path / "run" / "best.pt", module)
    module.classes = list(reversed(module.classes))
    with pytest.raises(ValueError, match=r"trained on classes \['angry'.*the data set has \['contempt'"):
        load_weights(tmp_path / "run" / "best.pt", module)


def test_divergence_is_an_error_not_a_result(compute: Compute, tiny: Tiny, tmp_path: Path) -> None:
    config = tiny(train=TrainConfig(epochs=1, batch_size=32, select_on="val/loss"))
    original = FerModule.on_validation_epoch_end

    def nan(self: FerModule) -> None:
        original(self)
        self._log({"val/loss": float("nan")}, 1)

    patch = pytest.MonkeyPatch()
    with patch.context() as context:
        context.setattr(FerModule, "on_validation_epoch_end", nan)
        with pytest.raises(FloatingPointError, match="was NaN in every epoch"):
            run(config, compute, tmp_path / "run")


def test_a_loss_that_is_not_finite_fails_the_run(tiny: Tiny, compute: Compute, tmp_path: Path) -> None:
    config = tiny(train=TrainConfig(epochs=1, batch_size=32, lr=1e20, schedule="constant", weight_average=0.0))
    with pytest.raises(FloatingPointError, match=r"loss was not finite in epoch 1; lower train\.lr"):
        run(config, compute, tmp_path / "run")


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "sgd", "momentum": 0.5, "weight_decay": 1e-3, "schedule": "cosine"},
        {"optimizer": "adam", "weight_decay": 0.0, "schedule": "constant"},
    ],
)
def test_other_optimisers_train(options: dict[str, object], compute: Compute, tiny: Tiny, tmp_path: Path) -> None:
    result = run(tiny(train=TrainConfig(epochs=1, batch_size=32, **options)), compute, tmp_path / "run")  # type: ignore[arg-type]
    assert 0 <= result.metrics["test"]["accuracy"] <= 1


def test_bf16_and_channels_last_train_too(compute: Compute, tiny: Tiny, tmp_path: Path) -> None:
    bf16 = compute.model_copy(update={"precision": "bf16"})
    result = run(tiny(), bf16, tmp_path / "run")
    assert result.machine.precision == "bf16"
    assert result.machine.channels_last is True
