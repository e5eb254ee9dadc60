"""The LightningModule: one training loop for all methods, configured by LearningConfig.

Training labels are buffers of the module, ``label_given`` (noise included) and ``label_current`` (after relabelling), so
checkpoints contain them and relabelling cannot touch other parts. All randomness of a step is seeded from (seed, epoch,
batch), so a resumed run equals an uninterrupted one.
"""

from __future__ import annotations

from typing import Any, cast

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fer_cli.config import RunConfig
from fer_cli.data.augment import augment, augment_clips
from fer_cli.data.datamodule import Batch, Batches, RunData
from fer_cli.learning.auxiliary import network_terms
from fer_cli.learning.health import alpha_health, attention_health
from fer_cli.learning.judge import judge_samples, scale_pixels
from fer_cli.learning.losses import center_spread, class_center_loss, method_loss
from fer_cli.learning.relabel import relabel
from fer_cli.metrics import score
from fer_cli.models.roi import dead_regions
from fer_cli.models.scn import Recogniser, Scores
from fer_cli.seeds import derive_seed


class FerModule(pl.LightningModule):
    """Trains a Recogniser by the method of ``config`` and logs scores and module diagnostics every epoch."""

    label_given: Tensor
    label_current: Tensor
    label_true: Tensor
    reached: Tensor

    def __init__(self, model: Recogniser, config: RunConfig, data: RunData) -> None:
        super().__init__()
        self.model = model
        self.averaged = moving_average(model, config.train.weight_average)
        self.config = config
        self.weights_note: str | None = None
        """Outcome of loading the initial weights from a file."""
        self.classes = data.classes
        self.register_buffer("label_given", data.train.labels.clone())
        self.register_buffer("label_current", data.train.labels.clone())
        self.register_buffer("label_true", torch.from_numpy(data.true_labels))
        if config.learning.relabel_accuracy is not None:
            self.register_buffer("reached", torch.tensor(False))
        self.degraded = None if data.degraded is None else torch.from_numpy(data.degraded)
        """(N,) bool: which training samples are degraded, if any."""
        self.centres = first_centres(model, config, len(data.classes))
        self.centre_rows: list[dict[str, float]] = []
        """What the class-centre loss did in each step of the epoch."""
        self._alphas: list[Tensor] = []
        self._positions: list[Tensor] = []
        self._steps: list[tuple[int, dict[str, Tensor]]] = []  # size and values of each batch; logged once per epoch
        self._replaced = 0
        self._scores: Scores | None = None
        self._seen: list[tuple[Tensor, Tensor]] = []

    def pixels(self, images: Tensor) -> Tensor:
        """Return (B, C, S, S) float32 in [0, 1] of stills (B, 1, C, S, S) uint8, grey repeated; of clips (B, T, C, S, S)."""
        return scale_pixels(images, self.config.model)

    def forward(self, images: Tensor, joined: Tensor | None = None, boxes: Tensor | None = None) -> Scores:
        """Return the judged network's scores of samples (B, T, C, S, S) uint8, with joined features and boxes of regions."""
        return self.judged(self.pixels(images).contiguous(), joined, boxes)  # type: ignore[no-any-return]

    @property
    def judged(self) -> Recogniser:
        """The network of validation, test and ``best.pt``: the weight average, or the trained one if there is none."""
        return self.model if self.averaged is None else cast(Recogniser, self.averaged.module)

    # training

    def on_train_epoch_start(self) -> None:
        """Reset the epoch's diagnostics; frozen batch norms stay in evaluation mode."""
        self.model.train()
        self._alphas, self._positions = [], []
        self._steps = []
        self.centre_rows = []
        self._replaced = 0

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one augmented batch."""
        labels = self.label_current[batch.positions]
        seed = derive_seed(self.config.seed, "batch", self.current_epoch, batch_idx)
        seed_draws(seed, self.device)
        with torch.autocast(self.device.type, enabled=False):  # bf16 coordinates would be off by a tenth of a pixel
            changed, boxes = augment_batch(self.pixels(batch.images), batch.boxes, self.config, seed)
        scores: Scores = self.model(changed, batch.joined, boxes)
        losses = method_loss(scores.logits, scores.alpha, labels, self.config.learning)
        losses = self.with_terms(losses, scores, labels)
        correct = (scores.logits.argmax(1) == labels).float().mean()
        parts = {f"loss/{name}": value.detach() for name, value in losses.items() if name != "loss"}
        self._steps.append((len(labels), {**parts, "train/loss": losses["loss"].detach(), "train/accuracy": correct}))
        self._scores = Scores(scores.logits.detach(), None if scores.alpha is None else scores.alpha.detach())
        return losses["loss"]

    def with_terms(self, losses: dict[str, Tensor], scores: Scores, labels: Tensor) -> dict[str, Tensor]:
        """Return ``losses`` with class-centre loss and the network's auxiliary terms, if any, added to the total."""
        learning = self.config.learning
        terms = network_terms(self.model.backbone, self.classes, scores, labels)
        points = scores.logits if learning.center_on == "logits" else scores.features
        if self.centres is not None and points is not None:
            points = points.float()
            terms["centre"] = self.center_weight() * class_center_loss(points, self.centres, labels, learning)
            self._note_centres(points.detach(), terms["centre"].detach())
        if not terms:
            return losses
        parts = {name: term.detach() for name, term in terms.items()}
        return losses | {"loss": torch.stack([losses["loss"], *terms.values()]).sum(), **parts}

    def center_weight(self) -> float:
        """Return the weight of the class-centre loss in this step."""
        learning = self.config.learning
        if learning.center_warmup == 0:
            return learning.center_weight
        rising = learning.center_warmup * float(self.trainer.estimated_stepping_batches)
        return learning.center_weight * min(1.0, (self.global_step + 1) / rising)

    def _note_centres(self, points: Tensor, loss: Tensor) -> None:
        """Keep what the class-centre loss did in this step, for ``centres.csv``."""
        assert self.centres is not None
        spread = center_spread(self.centres.detach(), self.config.learning)
        deviation = points.std(0, correction=0).mean()
        row = {"spread": float(spread), "deviation": float(deviation), "loss": float(loss)}
        self.centre_rows.append({"step": self.global_step + 1, "weight": self.center_weight()} | row)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Update the centres by plain gradient descent if ``center_lr`` is set."""
        learning = self.config.learning
        if learning.center_lr is None or self.centres is None or self.centres.grad is None:
            return
        with torch.no_grad():
            self.centres.sub_(self.centres.grad, alpha=learning.center_lr / self.center_weight())
        self.centres.grad = None  # not in the optimiser, so its zero_grad does not reset it

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Update the weight average; relabel the training view after the step, from the scores of the same forward pass."""
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        scores, learning = self._scores, self.config.learning
        if scores is None or scores.alpha is None:
            return
        self._alphas.append(scores.alpha)
        self._positions.append(batch.positions)
        if learning.relabel_view != "train" or not self.may_relabel():
            return
        index = batch.positions
        images = torch.unique(index)  # class-balanced batches may repeat an image; its last label counts
        before = self.label_current[images]
        self.label_current[index] = relabel(scores.logits, scores.alpha, self.label_current[index], learning)
        self._replaced += int((before != self.label_current[images]).sum())

    def may_relabel(self) -> bool:
        """Return whether the method replaces labels in this epoch."""
        learning, epochs = self.config.learning, self.config.train.epochs
        if not learning.parts.relabels or self.current_epoch + 1 < learning.first_relabel_epoch(epochs):
            return False
        return learning.relabel_accuracy is None or bool(self.reached)

    @torch.no_grad()
    def relabel_clean(self) -> None:
        """Relabel the whole training part from the averaged network's scores of its images without augmentation."""
        network, data = self.judged, cast(RunData, self.trainer.datamodule)  # type: ignore[attr-defined]
        mode = network.training
        network.eval()
        parts: list[Scores] = []
        with self.trainer.precision_plugin.forward_context():
            for places in Batches(len(data.train), data.eval_batch, None):  # a loader would draw from torch's generator
                batch = data.train[places]
                images, joined, boxes = (
                    None if one is None else one.to(self.device) for one in (batch.images, batch.joined, batch.boxes)
                )
                parts.append(self(images, joined, boxes))
        network.train(mode)
        logits = torch.cat([part.logits for part in parts])
        alpha = torch.cat([part.alpha for part in parts if part.alpha is not None])
        before = self.label_current.clone()
        self.label_current.copy_(relabel(logits, alpha, before, self.config.learning))
        self._replaced += int((before != self.label_current).sum())

    def on_train_epoch_end(self) -> None:
        """Relabel the clean view, and log the diagnostics of the enabled modules."""
        learning = self.config.learning
        last = self.current_epoch + 1 == self.config.train.epochs
        if learning.relabel_view == "clean" and self.may_relabel() and not last:  # what follows the last is never trained on
            self.relabel_clean()
        health: dict[str, float] = {}
        if learning.parts.attention:
            alpha, places = torch.cat(self._alphas), torch.cat(self._positions)
            health |= attention_health(alpha, learning.beta)
            wrong = (self.label_given != self.label_true)[places]
            health |= alpha_health(alpha, wrong, None if self.degraded is None else self.degraded[places.cpu()])
        if learning.parts.relabels:
            health["relabel/count"] = self._replaced
        if learning.parts.relabels or self.config.data.plants_noise:
            wrong = (self.label_current != self.label_true).float().mean()
            health["labels/wrong_share"] = float(wrong)
        if (dead := dead_regions(self.model)) is not None:
            health["regions/dead"] = dead
        self._log(self._mean_steps() | health, 1)

    def _mean_steps(self) -> dict[str, Tensor]:
        """Return the mean over the epoch's images of what each training batch logged."""
        sizes = torch.tensor([size for size, _ in self._steps], dtype=torch.float32)
        names = self._steps[0][1] if self._steps else {}
        values = {name: torch.stack([step[name].float().cpu() for _, step in self._steps]) for name in names}
        return {name: (value * sizes).sum() / sizes.sum() for name, value in values.items()}

    # validation and prediction

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect logits and labels of a validation batch."""
        self._seen.append((self.judge(batch).logits, batch.labels))

    def on_validation_epoch_end(self) -> None:
        """Log the scores of the whole validation part."""
        logits, labels = (torch.cat(part).cpu() for part in zip(*self._seen, strict=True))
        self._seen = []
        names = dict(enumerate(self.classes))
        truth, predicted = ([names[code] for code in codes.tolist()] for codes in (labels, logits.argmax(1)))
        scores = score(truth, predicted, self.classes)
        if (wanted := self.config.learning.relabel_accuracy) is not None and scores["accuracy"] >= wanted:
            self.reached.fill_(True)
        self._log({f"val/{name}": scores[name] for name in ("accuracy", "macro_f1")}, len(labels))
        self._log({"val/loss": F.cross_entropy(logits, labels)}, len(labels))

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> tuple[Tensor, Tensor | None]:
        """Return class probabilities (B, K) and alpha (B,) of one batch."""
        scores = self.judge(batch)
        return scores.logits.softmax(1), scores.alpha

    def judge(self, batch: Batch) -> Scores:
        """Return decision logits and alpha, averaged over mirror images if so set; joined features are never mirrored."""
        return judge_samples(self.judged, batch.images, self.config, batch.joined, batch.boxes)

    def _log(self, values: dict[str, Any], batch_size: int) -> None:
        floats = {name: torch.as_tensor(value, dtype=torch.float32) for name, value in values.items()}
        self.log_dict(floats, on_step=False, on_epoch=True, batch_size=batch_size)

    # optimisation

    def configure_optimizers(self) -> Any:
        """Return optimiser and per-step schedule; weight decay skips biases and norms."""
        train = self.config.train
        trained = [p for p in self.model.parameters() if p.requires_grad]
        decayed = [p for p in trained if p.ndim > 1]
        spared = [p for p in trained if p.ndim <= 1]
        spared += [] if self.centres is None or self.config.learning.center_lr is not None else [self.centres]
        groups = [{"params": decayed, "weight_decay": train.weight_decay}, {"params": spared, "weight_decay": 0.0}]
        optimizer: torch.optim.Optimizer
        if train.optimizer == "sgd":
            optimizer = torch.optim.SGD(groups, train.lr, momentum=train.momentum)
        else:
            optimizer = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[train.optimizer](groups, train.lr)
        steps = max(2, int(self.trainer.estimated_stepping_batches))
        if train.schedule == "constant":
            return optimizer
        schedule: torch.optim.lr_scheduler.LRScheduler
        if train.schedule == "cosine":
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        else:
            cycled = train.optimizer != "sgd"  # the first beta of Adam, never train.momentum
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, train.lr, total_steps=steps, cycle_momentum=cycled)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def augment_batch(images: Tensor, boxes: Tensor | None, config: RunConfig, seed: int) -> tuple[Tensor, Tensor | None]:
    """Return augmented images and, if the network takes any, the boxes (B, T, R, 4) of their regions, moved alike."""
    if boxes is None:
        return augment(images, config.augment, seed), None
    return augment_clips(images, boxes, config.augment, config.model.regions, seed)


def seed_draws(seed: int, device: torch.device) -> None:
    """Seed the generators that a step on ``device`` draws from.

    ``torch.manual_seed`` does the same but also prepares every other kind of device, which takes 3 % of a small step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def first_centres(model: Recogniser, config: RunConfig, classes: int) -> nn.Parameter | None:
    """Return centres (K, D) drawn from N(0, 1), D the number of features or logits; None without class-centre loss."""
    if config.learning.center_weight == 0:
        return None
    size = classes if config.learning.center_on == "logits" else model.backbone.feature_size
    generator = torch.Generator().manual_seed(derive_seed(config.seed, "centres"))
    return nn.Parameter(torch.randn(classes, size, generator=generator))


def moving_average(model: Recogniser, decay: float) -> AveragedModel | None:
    """Return a copy of ``model`` for the moving average of its weights and running statistics; None if ``decay`` is 0."""
    if decay == 0:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)  # type: ignore[no-untyped-call]
