"""What is read from the networks of finished runs: a tiny study, trained and looked into."""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fer_cli.ablate import run_plan
from fer_cli.analysis import ANALYSES
from fer_cli.analysis import information as info
from fer_cli.analysis.activity import columns_of
from fer_cli.analysis.embedding import embedding_analysis
from fer_cli.analysis.maps import is_redistributable
from fer_cli.analysis.outcome import cache_result, groups_of, select_runs
from fer_cli.analysis.reopen import Reopened, pooled_features, reopen
from fer_cli.blocks import Block, Figure, Note, Table, cell_text
from fer_cli.config import Compute
from fer_cli.errors import ResultsError
from fer_cli.learning.train import predict
from fer_cli.plan import Plan, make_plan
from fer_cli.study import Choice
from tests.conftest import Called
from tests.sets import rewrite

STUDY = """
name: looked-into
question: What is inside?
base:
  data: {name: synth-basic, image_size: 24, folds: 3, val_fraction: 0.25}
  model: {backbone: resnet10-small}
  train: {epochs: 1, batch_size: 32, weight_average: 0.5}
seeds: [0, 1]
arms:
  plain: {}
  sge: {model.backbone: multiscale, model.channels: 3}
  drsn: {model.attention: soft-threshold}
report: {against: plain}
"""


def tables(blocks: list[Block]) -> list[Table]:
    return [block for block in blocks if isinstance(block, Table)]


def figures(blocks: list[Block]) -> list[Path]:
    return [block.path for block in blocks if isinstance(block, Figure)]


def notes(blocks: list[Block]) -> list[str]:
    return [block.text for block in blocks if isinstance(block, Note)]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Compute:
    """A machine whose ``synth-basic`` holds the faces that the tests draw, so that they may be shown."""
    root = tmp_path_factory.mktemp("looked-into")
    for name in ("ck48", "synth-basic"):
        shutil.copytree(data_root / "ck48", root / "data" / name)
        rewrite(root / "data" / name, name=name)
    return Compute(data_root=root / "data", results=root / "results", device="cpu", precision="fp32", threads=1, track=False)


@pytest.fixture(scope="module")
def plan(here: Compute) -> Plan:
    """A study of three arms at two seeds, of which the second seed of ``drsn`` is not done."""
    path = here.results.parent / "looked-into.yaml"
    path.write_text(STUDY)
    whole = make_plan(str(path), Choice(), here)
    done = [item for item in whole.items if (item.run.arm, item.run.seed) != ("drsn", 1)]
    assert run_plan(replace(whole, items=done), here).ok
    return whole


def item_of(plan: Plan, arm: str, seed: int = 0) -> Any:
    return next(item for item in plan.items if (item.run.arm, item.run.seed) == (arm, seed))


@pytest.fixture(scope="module")
def multiscale(plan: Plan, here: Compute) -> Reopened:
    return reopen(item_of(plan, "sge"), here)


def forbid(*_: object, **__: object) -> None:
    raise AssertionError("computed again")


def texts(table: Table) -> dict[str, list[str]]:
    return {label: [cell_text(cell) for cell in cells] for label, cells in table.rows}


# blocks


def test_one_cell_is_the_plain_mean(multiscale: Reopened) -> None:
    data = multiscale.data
    train = info.cell_features(multiscale, data.train.images, (1,))[1]
    test = info.cell_features(multiscale, data.test.images, (1,))[1]
    assert train.shape == (len(data.train), 1, 448)
    with torch.no_grad():
        pixels = next(multiscale.batches(data.test.images))
        standard = (pixels - multiscale.network.mean) / multiscale.network.std
        maps = multiscale.network.get_submodule("backbone").maps(standard)  # type: ignore[operator]
    mean = info.fuse_maps(maps[1:]).mean((2, 3)).numpy()
    np.testing.assert_allclose(test[:, 0], mean, atol=1e-5)
    labels = data.train.labels.numpy()
    as_vector = info.Reading(train[:, 0][:, None], labels).predict(mean[:, None])
    np.testing.assert_array_equal(info.Reading(train, labels).predict(test), as_vector)


def test_nothing_is_fitted_on_test_images(multiscale: Reopened) -> None:
    """What is fitted comes from training images: spoilt test images change what is read, not how."""
    seen: list[info.Reading] = []

    class Kept(info.Reading):
        def __init__(self, train: np.ndarray, labels: np.ndarray) -> None:
            super().__init__(train, labels)
            seen.append(self)

    test = multiscale.data.test
    clean = test.images[:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(info, "Reading", Kept)
        first = info.block_numbers(multiscale, (2,), 4000)
        patch.setattr(test, "images", 255 - clean.flip(0))
        second = info.block_numbers(multiscale, (2,), 4000)
    one, other = seen
    assert first["grids"] != second["grids"]
    np.testing.assert_array_equal(one.scaler.mean_, other.scaler.mean_)
    np.testing.assert_array_equal(one.pca.components_, other.pca.components_)
    np.testing.assert_array_equal(one.classifier.coef_, other.classifier.coef_)
    for ours, theirs in zip(one.coders, other.coders, strict=True):
        np.testing.assert_array_equal(ours.cluster_centers_, theirs.cluster_centers_)


# finished runs


def test_the_reopened_network_is_the_one_that_was_judged(plan: Plan, here: Compute, multiscale: Reopened) -> None:
    import pandas as pd

    item = item_of(plan, "sge")
    kept = pd.read_parquet(item.folder.file("predictions.parquet"))
    pd.testing.assert_frame_equal(predict(multiscale.module, multiscale.data, multiscale.resolved), kept)
    assert not multiscale.network.training
    features = pooled_features(multiscale, multiscale.data.test)
    assert features.shape == (len(multiscale.data.test), 448)
    assert features.dtype == np.float32


def test_lost_weights_are_one_clear_error(plan: Plan, here: Compute, tmp_path: Path) -> None:
    item = item_of(plan, "plain")
    shutil.copytree(item.folder.path, tmp_path / "runs" / item.run_id)
    copy = replace(item, folder=type(item.folder)(tmp_path, item.run_id))
    copy.folder.file("best.pt").unlink()
    with pytest.raises(ResultsError, match=r"best\.pt: missing"):
        reopen(copy, here)


def test_embedding_says_how_many_runs_it_rests_on(plan: Plan, here: Compute, tmp_path: Path) -> None:
    found = ANALYSES["embedding"](plan, here, tmp_path)
    (table,) = tables(found)
    assert [label for label, _ in table.rows] == ["plain", "sge", "drsn"]
    assert all(text.endswith("(2)") for text in texts(table)["sge"])
    assert all(text.endswith("n = 1/2") and "±" not in text for text in texts(table)["drsn"])
    assert figures(found) == [tmp_path / "embedding.png"]
    assert figures(found)[0].stat().st_size > 10_000
    kept = json.loads(item_of(plan, "sge").folder.file("analysis-embedding.json").read_text())
    assert kept["version"] == 1
    assert kept["settings"] == {"part": "test"}
    assert math.isfinite(kept["values"]["silhouette"])
    assert kept["values"]["distance_ratio"] > 0


def test_scatters_are_of_one_seed_and_repeat_exactly(plan: Plan, here: Compute, tmp_path: Path) -> None:
    embedding_analysis(plan, here, tmp_path)
    path = item_of(plan, "sge").folder.file("analysis-embedding-points.json")
    first = path.read_text()
    assert len(json.loads(first)["values"]["points"]) == len(json.loads(first)["values"]["labels"]) == 56
    assert not item_of(plan, "sge", 1).folder.file(path.name).exists()
    path.unlink()
    embedding_analysis(plan, here, tmp_path, by_group=True)
    assert path.read_text() == first


def test_blocks_of_a_run(plan: Plan, here: Compute, tmp_path: Path) -> None:
    one = replace(plan, items=[item_of(plan, "sge"), item_of(plan, "drsn", 1)])
    found = ANALYSES["blocks"](one, here, tmp_path)
    recall, information, between = tables(found)
    assert figures(found) == []
    assert recall.columns == ["1×1", "2×2", "5×5", "7×7"]
    assert list(texts(recall)) == ["sge, positive", "sge, negative", "drsn, positive", "drsn, negative"]
    assert texts(recall)["drsn, positive"] == ["– n = 0/1"] * 4
    assert texts(information)["sge, positive"][-2] == "1.000"  # the set has no neutral: two labels
    assert texts(information)["sge, negative"][-2] == "2.000"
    assert information.notes[1:] == ["positive: happy, surprise", "negative: angry, disgust, fear, sad"]
    assert len(between.columns) == len(texts(between)["sge, positive"]) == 5
    values = json.loads(item_of(plan, "sge").folder.file("analysis-blocks.json").read_text())["values"]
    for grid in values["grids"].values():
        for name, numbers in grid.items():
            assert 0 <= numbers["recall"] <= 1
            assert -1e-9 <= numbers["information"] <= values["bound"][name] + 1e-9
            assert 0 <= numbers["between"] <= 3


@pytest.mark.parametrize("name", ["embedding", "blocks", "maps", "efficiency", "mixing"])
def test_a_second_look_computes_nothing(
    name: str, plan: Plan, here: Compute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fer_cli.analysis.reopen as reopening
    from fer_cli.analysis import mixing

    monkeypatch.setattr(mixing, "PASSES", 1)  # how exactly it is timed is not looked at
    one = replace(plan, items=[item_of(plan, "sge")])
    first = ANALYSES[name](one, here, tmp_path / "first")
    assert tables(first) or figures(first)
    monkeypatch.setattr(reopening, "reopen", forbid)
    second = ANALYSES[name](one, here, tmp_path / "second")
    assert tables(second) == tables(first)
    assert [path.name for path in figures(second)] == [path.name for path in figures(first)]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(figures(first), figures(second), strict=True))


def test_what_is_stored_counts_only_for_the_same_result_and_settings(plan: Plan) -> None:
    item, calls = item_of(plan, "plain"), []

    def ask(version: int = 1, compute: Callable[[], Any] | None = None, **settings: Any) -> Any:
        return cache_result(item, "test", version, settings, compute or (lambda: calls.append(1) or len(calls)))

    assert [ask(grid=(1, 2)), ask(grid=(1, 2)), ask(grid=(1,)), ask(2, grid=(1,)), ask(2, grid=(1,))] == [1, 1, 2, 3, 3]
    path = item.folder.file("analysis-test.json")
    path.write_text(path.read_text()[:-20])
    assert ask(2, grid=(1,)) == 4
    result = item.folder.file("result.json")
    before = result.read_text()
    result.write_text(before + "\n")
    assert ask(2, grid=(1,)) == 5
    result.write_text(before)
    path.unlink()


def test_looking_again_loads_neither_torch_nor_scikit_learn(plan: Plan, here: Compute, tmp_path: Path) -> None:
    ANALYSES["embedding"](plan, here, tmp_path)
    path = here.results.parent / "looked-into.yaml"
    code = f"""
import sys
from pathlib import Path
from fer_cli.plan import make_plan
from fer_cli.analysis import ANALYSES
from fer_cli.config import Compute
from fer_cli.study import Choice
from tests.conftest import Called
compute = Compute(data_root=Path({str(here.data_root)!r}), results=Path({str(here.results)!r}), device="cpu", threads=1)
found = ANALYSES["embedding"](make_plan({str(path)!r}, Choice(), compute), compute, Path({str(tmp_path)!r}))
drawn = [block for block in found if type(block).__name__ == "Figure"]
print(len(drawn), [name for name in ("torch", "sklearn") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1 []"


# maps


def test_maps_are_drawn_of_arms_with_blocks(plan: Plan, here: Compute, tmp_path: Path) -> None:
    found = ANALYSES["maps"](plan, here, tmp_path)
    stem = "maps"
    assert [path.name for path in figures(found)] == [f"{stem}-2-sge.png", f"{stem}-3-drsn.png"]
    assert all(path.stat().st_size > 20_000 for path in figures(found))
    assert notes(found)[-1] == "maps, no attention block: plain"
    kept = json.loads(item_of(plan, "sge").folder.file("analysis-maps.json").read_text())["values"]
    assert len(kept["samples"]) == len(set(kept["labels"])) == 6


def test_columns_of_maps_show_gates_or_what_thresholds_leave(plan: Plan, here: Compute, multiscale: Reopened) -> None:
    images = multiscale.data.test.images[:3]
    gates = columns_of(multiscale, images)
    assert [column.values.shape for column in gates] == [(3, 24, 24), (3, 12, 12), (3, 6, 6), (3, 3, 3)]
    assert all(column.overlay and 0 <= column.low < column.high <= 1 for column in gates)
    passed = columns_of(reopen(item_of(plan, "drsn"), here), images)
    assert [column.title for column in passed][:2] == ["stage 1\nin", "stage 1\nout"]
    for before, after in zip(passed[::2], passed[1::2], strict=True):
        assert (after.values <= before.values + 1e-6).all()  # thresholds only take away
        assert after.values.sum() < before.values.sum()
        assert before.high == after.high


def test_restricted_images_enter_no_picture(plan: Plan, here: Compute, tmp_path: Path) -> None:
    path = tmp_path / "looked-into.yaml"
    path.write_text(STUDY.replace("synth-basic", "ck48").replace("[0, 1]", "[0]"))
    restricted = make_plan(str(path), Choice(), here, only=("sge",))
    assert run_plan(restricted, here).ok
    found = ANALYSES["maps"](restricted, here, tmp_path / "figures")
    assert found == [Note("maps, not drawn because images of ck48 may not be redistributed: sge")]
    assert not (tmp_path / "figures").exists()
    assert not list(restricted.items[0].folder.path.glob("analysis-maps*"))
    assert is_redistributable(here, "synth-basic")
    shutil.copytree(here.data_root / "ck48", tmp_path / "mine")
    rewrite(tmp_path / "mine", name="mine", parts={"synth-basic": "0", "ck48": "1"})
    assert not is_redistributable(here.model_copy(update={"data_root": tmp_path}), "mine")  # one part of two is restricted


# plans


def test_figures_take_the_seed_that_most_arms_have(plan: Plan) -> None:
    assert [(group.label, item.run.seed) for group, item in select_runs(plan)] == [("plain", 0), ("sge", 0), ("drsn", 0)]
    late = replace(plan, items=[item for item in plan.items if (item.run.arm, item.run.seed) != ("plain", 0)])
    late = replace(late, items=[item for item in late.items if item.run.arm != "drsn"])
    assert [(group.label, item.run.seed) for group, item in select_runs(late)] == [("plain", 1), ("sge", 1)]
    assert [len(group.done) for group in groups_of(plan)] == [2, 2, 1]


@pytest.mark.parametrize("name", ANALYSES)
def test_a_study_without_finished_runs_says_so(name: str, plan: Plan, here: Compute, tmp_path: Path) -> None:
    empty = replace(plan, items=[item_of(plan, "drsn", 1)])
    assert ANALYSES[name](empty, here, tmp_path) == [Note(f"{name}: no run is done")]


def test_networks_without_stages_are_left_out_of_blocks(plan: Plan, here: Compute, tmp_path: Path) -> None:
    path = tmp_path / "looked-into.yaml"
    path.write_text(STUDY.replace("  plain: {}", "  plain: {model.backbone: cnn3}"))
    found = ANALYSES["blocks"](make_plan(str(path), Choice(), here, only=("plain",)), here, tmp_path)
    assert not tables(found)
    assert notes(found) == ["blocks: plain is omitted: its network has no stages with feature maps"]


# the command


def test_report_shows_what_the_study_asks_for(plan: Plan, here: Compute, fer: Callable[..., Called], tmp_path: Path) -> None:
    path = tmp_path / "looked-into.yaml"
    path.write_text(STUDY.replace("{against: plain}", "{against: plain, analyses: [embedding, maps]}"))
    where = ["--study", path, "--results", here.results, "--data-root", here.data_root]
    plain = fer("report", *where)
    assert plain.code == 0, plain.err
    assert f"not shown: embedding, maps; run fer report --study {path} --figures" in plain.out
    whole = fer("report", *where, "--figures", "--formats", "png")
    assert whole.code == 0, whole.err
    assert "Class separation of test features" in whole.out
    assert "not shown" not in whole.out
    assert "embedding …" in whole.err
    folder = here.results / "figures" / "looked-into-synth-basic-small"
    for path in folder.glob("*.png"):
        assert str(path) in whole.err
    assert {"curves.png", "confusion.png", "embedding.png"} <= {p.name for p in folder.iterdir()}
