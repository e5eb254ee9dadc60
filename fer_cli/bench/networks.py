"""Training and inference of networks: the suite beside a plain PyTorch script, and beside the same steps without Lightning.

The plain script is what one writes first: fp32, contiguous, the same batches, augmentation, optimiser and moving average; at
inference, the network's default call. Training counts steps between the first and the last batch, without set-up.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F

from fer_cli.bench.timing import NOT_HERE, Row, compare
from fer_cli.config import Compute, DataConfig, ModelConfig, RunConfig, TrainConfig
from fer_cli.data.augment import augment
from fer_cli.data.datamodule import RunData
from fer_cli.learning.choices import Predictor, choose_layout
from fer_cli.learning.compute import ResolvedCompute, has_fast_bf16
from fer_cli.learning.module import FerModule
from fer_cli.learning.train import load_data, new_module, prepare_torch
from fer_cli.learning.trainer import new_trainer
from fer_cli.models.scn import Recogniser

CASES = {
    "resnet10-small @ 48": (ModelConfig(backbone="resnet10-small"), 48, 64, 24),
    "resnet18 @ 112": (ModelConfig(backbone="resnet18"), 112, 16, 4),
    "resnet50 + CBAM @ 224": (ModelConfig(backbone="resnet50", attention="cbam"), 224, 4, 2),
    "multiscale @ 48": (ModelConfig(backbone="multiscale"), 48, 32, 4),
}
"""Case -> network, side in pixels, batch size, steps that are timed."""


def prepare_case(name: str, compute: Compute) -> tuple[RunConfig, RunData, ResolvedCompute]:
    """Return the settings, data and resolved compute settings of a case."""
    model, side, batch, _ = CASES[name]
    data = DataConfig(name="synth-basic", image_size=side, folds=4)
    config = RunConfig(data=data, model=model, train=TrainConfig(epochs=1, batch_size=batch))
    loaded, resolved = load_data(config, compute)[0], prepare_torch(compute)
    return config, loaded, choose_layout(lambda: new_module(config, loaded).model, config, 10**6, resolved)


class Stopwatch(pl.Callback):
    """Takes the time between the end of the first training batch and that of the last."""

    def __init__(self) -> None:
        self.seconds, self._began = 0.0, 0.0

    def on_train_batch_end(self, *arguments: Any) -> None:
        """Start or read the clock."""
        if arguments[-1] == 0:
            self._began = time.perf_counter()
        self.seconds = time.perf_counter() - self._began


def bare_steps(module: FerModule, data: RunData, resolved: ResolvedCompute, steps: int) -> None:
    """Train ``steps`` batches by a plain loop over the same operations, in the precision and layout of ``resolved``."""
    config, model = module.config, module.model
    optimizer = torch.optim.AdamW(model.parameters(), config.train.lr, weight_decay=config.train.weight_decay)
    model.train()
    for number, batch in enumerate(data.train_dataloader()):
        if number == steps:
            return
        changed = augment(module.pixels(batch.images), config.augment, number)
        if resolved.channels_last:
            changed = changed.contiguous(memory_format=torch.channels_last)
        with torch.autocast(resolved.device, torch.bfloat16, enabled=resolved.bf16):
            loss = F.cross_entropy(model(changed).logits, batch.labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if module.averaged is not None:
            module.averaged.update_parameters(module.model)


def lightning_steps(config: RunConfig, data: RunData, resolved: ResolvedCompute, steps: int) -> float:
    """Return the seconds of ``steps`` training batches as the suite trains them, with logs but without a first batch."""
    watch, module = Stopwatch(), placed_module(config, data, resolved)
    with tempfile.TemporaryDirectory() as folder:
        limits = {"limit_train_batches": steps + 1, "limit_val_batches": 0}
        new_trainer(1, resolved, Path(folder), [watch], **limits).fit(module, datamodule=data)
    return watch.seconds


def plain_steps(config: RunConfig, data: RunData, resolved: ResolvedCompute, steps: int) -> float:
    """Return the seconds of ``steps`` batches of ``bare_steps``, after one that does not count."""
    module = placed_module(config, data, resolved)
    bare_steps(module, data, resolved, 1)
    began = time.perf_counter()
    bare_steps(module, data, resolved, steps)
    return time.perf_counter() - began


def placed_module(config: RunConfig, data: RunData, resolved: ResolvedCompute) -> FerModule:
    """Return a new module in the resolved memory layout."""
    module = new_module(config, data)
    if resolved.channels_last:
        module.to(memory_format=torch.channels_last)
    return module


def time_training(compute: Compute, repeats: int) -> list[Row]:
    """Return rows per case: beside the plain script, and beside the same steps without Lightning and logs."""
    rows = []
    plainly = ResolvedCompute("cpu", bf16=False, channels_last=False, threads=compute.threads)
    for name, (_, _, batch, wanted) in CASES.items():
        config, data, resolved = prepare_case(name, compute)
        steps = min(wanted, len(data.train) // batch - 1)
        taken: dict[str, list[float]] = {"ours": [], "plain": [], "bare": []}
        for _ in range(repeats):
            taken["ours"].append(lightning_steps(config, data, resolved, steps))
            taken["plain"].append(plain_steps(config, data, plainly, steps))
            taken["bare"].append(plain_steps(config, data, resolved, steps))
        rates = {kind: batch * steps / statistics.median(times) for kind, times in taken.items()}
        spread = max(taken["ours"]) / min(taken["ours"])
        note = f"{'bf16' if resolved.bf16 else 'fp32'}, {'channels-last' if resolved.channels_last else 'contiguous'}"
        for kind, against in (("plain", "plain PyTorch script, fp32"), ("bare", "the same steps in a bare loop")):
            rows.append(Row(f"train {name}", "images/s", rates["ours"], rates[kind], against, repeats, spread, note))
    return rows


def time_inference(compute: Compute, repeats: int) -> list[Row]:
    """Return a row per case: the suite's inference beside the network's default call on the same images, in fp32."""
    rows = []
    for name, (_, side, _, _) in CASES.items():
        config, data, resolved = prepare_case(name, compute)
        network = new_module(config, data).model.eval()
        count = max(8, min(256, 32 * 112**2 // side**2))
        images = torch.rand(count, config.model.channels, side, side)
        predict = Predictor(network, config.model.model_dump_json(), images.shape, resolved)

        def plain(network: Recogniser = network, images: torch.Tensor = images) -> torch.Tensor:
            with torch.no_grad():
                return network.pooled(images)

        def ours(predict: Predictor = predict, images: torch.Tensor = images) -> torch.Tensor:
            return predict(images)

        note = f"{'bf16, ' if resolved.bf16 else ''}{predict.choice}, lowest cosine {lowest_cosine(plain(), ours()):.6f}"
        rows.append(compare(f"infer {name}", count, ours, plain, "default call", repeats, note=note))
    if not has_fast_bf16("cpu"):
        rows.append(Row("infer, bf16", "images/s", None, note=f"{NOT_HERE}: needs bf16 units"))
    return rows


def lowest_cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the lowest similarity of two networks' features (B, F) of the same images."""
    return float(F.cosine_similarity(first, second, dim=1).min())
