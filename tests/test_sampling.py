"""Class-balanced sampling follows the labels as given, and says how much label noise the network then sees."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fer_cli.config import DataConfig, FeaturesConfig, RunConfig
from fer_cli.data.corrupt import plant_label_noise
from fer_cli.data.datamodule import Batches, RunData, class_weights, expected_noise
from fer_cli.data.manifest import load_set
from fer_cli.report.collect import Cell
from fer_cli.report.protocol import drawn_lines
from fer_cli.results import Result
from fer_cli.tasks import task_of
from tests.fakes import fake_result

Tiny = Callable[..., RunConfig]
CK48 = {"angry": 135, "disgust": 177, "fear": 75, "happy": 207, "sad": 84, "surprise": 249, "contempt": 54}
"""Images of each class in CK+48."""


def test_drawn_noise_by_hand() -> None:
    """Six labels of a, one of them wrong, and two of b, one of them wrong: a quarter is planted, a third drawn."""
    labels = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
    truth = torch.tensor([1, 0, 0, 0, 0, 0, 0, 1])
    classes = ["a", "b", "without images"]
    assert expected_noise(labels, truth, 1.0, classes) == pytest.approx((1 / 3, "b", 1 / 2))
    assert expected_noise(labels, truth, 0.0, classes) == pytest.approx((1 / 4, "b", 1 / 2))
    half = (1 / 6**0.5 + 1 / 2**0.5) / (6 / 6**0.5 + 2 / 2**0.5)
    assert expected_noise(labels, truth, 0.5, classes).wrong == pytest.approx(half)


def test_forty_percent_of_ck48_become_more_when_drawn() -> None:
    """40 % planted are 43-44 % drawn and about two thirds within the rarest class; draws of the sampler agree."""
    truth = np.repeat(np.arange(7), list(CK48.values()))
    for seed in range(5):
        labels = torch.from_numpy(plant_label_noise(truth, 7, 0.4, seed))
        wrong = labels != torch.from_numpy(truth)
        found = expected_noise(labels, torch.from_numpy(truth), 1.0, list(CK48))
        assert found.rarest == "contempt" and found.wrong_in_rarest is not None
        assert 0.42 < found.wrong < 0.45
        assert 0.60 < found.wrong_in_rarest < 0.75
        batches = Batches(9000, 64, seed, class_weights(labels, 1.0))
        drawn = torch.tensor(list(itertools.chain(*batches)))
        assert wrong[drawn].float().mean().item() == pytest.approx(found.wrong, abs=0.05)
        rarest = labels[drawn] == list(CK48).index(found.rarest)
        assert wrong[drawn][rarest].float().mean().item() == pytest.approx(found.wrong_in_rarest, abs=0.1)


def test_weights_follow_given_labels_never_true_ones(data_root: Path, tiny: Tiny) -> None:
    settings = DataConfig(name="ck48", folds=3, image_size=24, label_noise=0.4)
    data = RunData(load_set(data_root, "ck48"), tiny(data=settings))
    sampler = data.train_dataloader().sampler
    assert isinstance(sampler, Batches)
    assert sampler.weights is not None
    assert torch.equal(sampler.weights, class_weights(data.train.labels, 1.0))
    assert not torch.allclose(sampler.weights, class_weights(torch.from_numpy(data.true_labels), 1.0))
    truth = torch.from_numpy(data.true_labels)
    assert data.expected_noise(1.0) == expected_noise(data.train.labels, truth, 1.0, data.classes)
    fitted = RunData(load_set(data_root, "ck48"), tiny(data=settings, features=FeaturesConfig(blocks=["hog"])))
    balance = task_of(fitted.config).balance(fitted.config)
    assert fitted.expected_noise(balance).wrong == pytest.approx(0.4, abs=0.01), "a classifier sees each image once"


def test_the_head_of_a_table_says_what_is_drawn() -> None:
    def result(noise: float, **drawn: object) -> Result:
        return fake_result(config=RunConfig(data=DataConfig(label_noise=noise)), data={"drawn": drawn or None})

    noisy = {
        0: result(0.4, wrong=0.43, rarest="contempt", wrong_in_rarest=0.62),
        1: result(0.4, wrong=0.45, rarest="fear", wrong_in_rarest=0.66),
    }
    cells = {("A", ()): Cell("A", (), [0, 1], noisy), ("B", ()): Cell("B", (), [0], {0: result(0.0)})}
    assert drawn_lines(cells) == [
        "noise seen in training at `symmetric` 0.4, class-balanced sampling by given labels (train.class_balance 1): "
        "44.0 % of the drawn labels are wrong, 64.0 % within the rarest class (contempt or fear)"
    ]
    lost = Cell("A", (), [0], {0: result(0.4, wrong=0.5, rarest="fear", wrong_in_rarest=None)})
    assert drawn_lines({("A", ()): lost})[0].endswith(
        "50.0 % of the drawn labels are wrong, – within the rarest class (fear)"
    )
    older = Cell("A", (), [0], {0: result(0.4)})
    assert drawn_lines({("A", ()): older}) == [], "results of earlier versions do not say"
