"""What is computed from features and maps, by hand; the studies whose networks are looked into."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fer_cli.analysis import information as info
from fer_cli.analysis.activity import select_faces
from fer_cli.analysis.maps import block_of
from fer_cli.analysis.outcome import summarise
from fer_cli.analysis.points import distance_ratio, draw_sample, embed_tsne, silhouette
from fer_cli.config import ModelConfig, PartsConfig
from fer_cli.expand import expand
from fer_cli.study import Choice, load_study


def test_information_by_hand() -> None:
    seven = np.arange(70) % 7
    assert info.mutual_bits(seven, seven) * math.log(2) == pytest.approx(1.945910, abs=1e-6)
    halves = np.arange(8) // 4
    assert info.mutual_bits(halves, halves) * math.log(2) == pytest.approx(0.693147, abs=1e-6)
    assert info.mutual_bits(halves, np.arange(8) % 4) == pytest.approx(0, abs=1e-12)
    codes = np.stack([halves, np.arange(8) % 4], 1)
    assert info.information(codes, halves) == pytest.approx(0.5)  # 1 bit in one cell, 0 in the other


def test_information_between_cells_by_hand() -> None:
    halves, quarters = np.arange(8) // 4, np.arange(8) // 2
    assert info.between_cells(quarters[:, None]) == pytest.approx(2)  # of one cell: its entropy
    assert info.between_cells(np.stack([halves, quarters], 1)) == pytest.approx(1)
    three = np.stack([halves, quarters, np.arange(8) % 2], 1)
    assert info.between_cells(three) == pytest.approx(1 / 3)  # 1, 0 and 0 bits


def test_shuffled_labels_show_what_few_images_feign() -> None:
    random = np.random.default_rng(0)
    codes, labels = random.integers(0, 8, (4000, 2)), random.integers(0, 5, 4000)
    assert info.chance_information(codes, labels) == pytest.approx(7 * 4 / (2 * 4000 * math.log(2)), rel=0.3)
    assert info.chance_information(codes[:100], labels[:100]) > 0.1
    assert info.chance_information(codes, labels) == info.chance_information(codes, labels)


def test_groups_have_neutral_to_be_told_from() -> None:
    seven = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    found = info.groups_in(seven)
    assert found["positive"] == (["happy", "surprise"], ["happy", "surprise", "neutral"])
    assert found["negative"][1] == ["angry", "disgust", "fear", "sad", "neutral"]
    assert info.groups_in(["focused", "curious", "happy"]) == {}  # nothing to tell happy from


def test_distance_ratio_by_hand() -> None:
    """Means (0, 0), (4, 0) and (0, 3): distances 1, 1, 0, 2, 2, 0 within; 4, 3 and 5 between."""
    features = np.array([[-1.0, 0], [1, 0], [4, 0], [-2, 3], [2, 3], [4, 0]])
    labels = np.array([0, 0, 1, 2, 2, 1])
    assert distance_ratio(features, labels) == pytest.approx(1 / 4)
    assert distance_ratio(7 * features + 3, labels) == pytest.approx(1 / 4)
    assert distance_ratio(features, np.zeros(6, np.int64)) is None
    assert distance_ratio(np.ones((6, 2)), labels) is None


def test_silhouette_by_hand() -> None:
    """Pairs 2 apart, 10 from one another: (9 - 2) / 9 and (11 - 2) / 11 twice each, whatever a feature's unit."""
    features = np.array([[0.0], [2.0], [10.0], [12.0]]) * [[1.0, 1000.0]]
    expected = ((11 - 2) / 11 + (9 - 2) / 9) / 2
    assert silhouette(features, np.array([0, 0, 1, 1])) == pytest.approx(expected)
    assert silhouette(features, np.zeros(4)) is None
    assert silhouette(features, np.arange(4)) is None


def test_plane_is_the_same_every_time() -> None:
    random = np.random.default_rng(3)
    features = np.concatenate([random.normal(shift, 1, (20, 6)) for shift in (0, 8)])
    one, other = embed_tsne(features), embed_tsne(features)
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one, other)
    between = np.linalg.norm(one[:20].mean(0) - one[20:].mean(0))
    assert between > one[:20].std() + one[20:].std()
    assert embed_tsne(features[:3]) is None
    assert embed_tsne(np.ones((9, 4))) is None


def test_drawn_images_are_always_the_same_ones() -> None:
    assert draw_sample(5, 9).tolist() == [0, 1, 2, 3, 4]
    some = draw_sample(100, 10)
    assert len(set(some.tolist())) == 10
    assert (np.diff(some) > 0).all()
    assert some.tolist() == draw_sample(100, 10).tolist()


def test_text_of_a_mean_says_how_many_runs_it_rests_on() -> None:
    assert summarise([0.1, 0.3], 2).text == "0.200 ± 0.141 (2)"
    assert summarise([-0.1, None], 2).text == "−0.100 n = 1/2"
    assert summarise([0.50, 0.51, 0.52], 5, "%").text == "51.00 ± 1.00 n = 3/5"
    assert summarise([], 5).text == "– n = 0/5"


def test_faces_are_one_of_each_class_first() -> None:
    assert select_faces([0, 0, 1, 1, 2], 6) == [0, 1, 2, 3, 4]
    assert select_faces([2, 2, 0, 2, 1, 0], 4) == [2, 5, 4, 0]
    assert select_faces([3, 1, 2, 0, 4, 5, 6], 6) == [3, 1, 2, 0, 4, 5]


# cells of maps


def test_cells_are_means_over_the_grid() -> None:
    maps = [torch.arange(16.0).reshape(1, 1, 4, 4), torch.ones(1, 2, 1, 1)]
    fused = info.fuse_maps(maps)
    assert fused.shape == (1, 3, 14, 14)
    assert torch.equal(fused[:, 1:], torch.ones(1, 2, 14, 14))
    plain = F.interpolate(maps[0], (14, 14), mode="bilinear", align_corners=False)
    assert torch.allclose(fused[:, :1], plain, atol=1e-5)
    assert torch.allclose(info.pool_cells(fused, 2)[0, 3], fused[0, :, 7:, 7:].mean((1, 2)))  # last cell: right and below
    assert info.pool_cells(fused, 7).shape == (1, 49, 3)


def test_a_planted_class_is_read_and_noise_is_not() -> None:
    random = np.random.default_rng(1)
    labels = np.arange(240) % 3
    told = random.normal(0, 1, (240, 4, 5)).astype(np.float32)
    told[:, 2] += 6 * labels[:, None]  # one cell of four knows the class
    reading = info.Reading(told[:160], labels[:160])
    assert (reading.predict(told[160:]) == labels[160:]).mean() > 0.95
    codes = reading.encode(told[160:])
    assert codes.shape == (80, 4)
    each = [info.mutual_bits(labels[160:], one) for one in codes.T]
    assert int(np.argmax(each)) == 2
    assert each[2] == pytest.approx(math.log2(3), abs=0.01)


def test_attention_blocks_are_found_in_settings() -> None:
    assert block_of(ModelConfig()) is None
    assert block_of(ModelConfig(backbone="multiscale", parts=PartsConfig(attention="none"))) is None
    assert block_of(ModelConfig(backbone="multiscale")) == "sge"
    assert block_of(ModelConfig(attention="cbam")) == "cbam"
    assert block_of(ModelConfig(backbone="cnn3")) is None


@pytest.mark.parametrize(
    ("study", "other", "names"),
    [
        ("block-size", "sge-bsconv", {"multiscale": "+ joined stages"}),
        ("center-loss", "soft-threshold", {}),
    ],
)
@pytest.mark.parametrize("profile", ["smoke", "small", "paper"])
def test_studies_of_analyses_repeat_runs_of_others(study: str, other: str, names: dict[str, str], profile: str) -> None:
    """Both YAMLs say that their runs are those of another study, which so cost nothing: keep the settings alike."""
    theirs = [run.config for run in expand(load_study(other), Choice(profile))]
    for run in expand(load_study(study), Choice(profile)):
        assert run.config in theirs, f"{study}: {run.title} is no run of {other}"
