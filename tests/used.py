"""Small trained runs for the tests of networks in use."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from fer_cli.config import Compute, RunConfig
from fer_cli.data.manifest import load_info, load_set
from fer_cli.learning.train import train_run
from fer_cli.runs import RunFolder

STILLS: dict[str, Any] = {
    "data": {"name": "synth-basic", "image_size": 24, "folds": 3, "val_fraction": 0.25},
    "model": {"backbone": "resnet10-small"},
    "train": {"epochs": 1, "batch_size": 32, "weight_average": 0.5},
}
CLIPS: dict[str, Any] = {
    "data": {"name": "synth-lecture", "image_size": 32, "frames": 4, "folds": 3, "val_fraction": 0.34},
    "model": {"backbone": "teacher-expression"},
    "train": {"epochs": 1, "batch_size": 8, "weight_average": 0.5},
}


def train_one(settings: dict[str, Any], data_root: Path, results: Path, **changes: dict[str, Any]) -> RunFolder:
    """Train a run in full precision and return its folder."""
    sections = {name: {**settings.get(name, {}), **changes.get(name, {})} for name in {**settings, **changes}}
    config = RunConfig.model_validate(sections)
    compute = Compute(data_root=data_root, results=results, device="cpu", precision="fp32", threads=1, track=False)
    folder = RunFolder(results, config.run_id("+".join(load_info(data_root, name).fingerprint for name in config.data.sets)))
    folder.path.mkdir(parents=True)
    folder.write_config(config)
    folder.write_result(train_run(config, compute, folder))
    return folder


def write_test_pictures(folder: RunFolder, data_root: Path, out: Path) -> pd.DataFrame:
    """Write the pictures of a run's test part as PNG, named by sample, and return their predictions in the same order."""
    table = pd.read_parquet(folder.file("predictions.parquet"))
    table = table[table["part"] == "test"].sort_values("sample")
    faces = load_set(data_root, folder.result().config.data.name)
    places = pd.Series(np.arange(len(faces.manifest)), faces.manifest["sample"])[table["sample"]].to_numpy()
    out.mkdir()
    for sample, image in zip(table["sample"], faces.images[places], strict=True):
        Image.fromarray(image[0, 0]).save(out / f"{sample}.png")
    return table
