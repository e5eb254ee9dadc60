"""A training is one process on one device: no variable of a cluster, launcher or of Lightning itself changes it."""

import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fer_cli.config import Compute, RunConfig, TrainConfig
from fer_cli.learning.smoke import smoke_network
from fer_cli.learning.train import train_run
from tests.fakes import folder_at

Tiny = Callable[..., RunConfig]
SURROUNDINGS = {
    "slurm": {"SLURM_NTASKS": "2", "SLURM_JOB_ID": "9"},
    "slurm, second task": {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "1"},
    "torchrun": {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "GROUP_RANK": "1"},
    "lsf": {"LSB_JOBID": "1", "LSB_DJOB_RANKFILE": "/nowhere", "JSM_NAMESPACE_LOCAL_RANK": "1", "JSM_NAMESPACE_SIZE": "2"},
    "kubernetes": {"KUBERNETES_PORT": "1", "MASTER_ADDR": "nowhere", "MASTER_PORT": "1", "WORLD_SIZE": "2", "RANK": "1"},
    "mpi": {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "PMI_RANK": "1", "PMI_SIZE": "2"},
    "lightning": {"PL_TRAINER_MAX_STEPS": "1", "PL_TRAINER_GRADIENT_CLIP_VAL": "0.001", "PL_TRAINER_DEVICES": "2"},
}


def trained(config: RunConfig, compute: Compute, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    return train_run(config, compute, folder_at(folder)).model_dump(exclude={"cost": {"seconds"}, "run_id": True})


@pytest.fixture(scope="module")
def undisturbed(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the training gives where no variable is set."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return trained(
        CONFIG, Compute(data_root=data_root, results=folder, device="cpu", precision="fp32", threads=1), folder / "r"
    )


CONFIG = RunConfig.model_validate(
    {
        "data": {"name": "ck48", "image_size": 24, "folds": 3, "val_fraction": 0.25},
        "model": {"backbone": "resnet10-small"},
        "train": TrainConfig(epochs=1, batch_size=32, weight_average=0.5),
    }
)


@pytest.mark.parametrize(
    "where",
    [pytest.param(name, marks=pytest.mark.slow) if name in {"lsf", "kubernetes", "mpi"} else name for name in SURROUNDINGS],
)
def test_no_variable_of_a_cluster_changes_a_training(
    where: str, undisturbed: dict[str, Any], compute: Compute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytorch_lightning.utilities.rank_zero import rank_zero_only

    for name, value in SURROUNDINGS[where].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 1)  # as where Lightning is imported under such variables
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text("#!/bin/sh\nexit 1\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(srun.parent), prepend=os.pathsep)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert trained(CONFIG, compute, tmp_path / "run") == undisturbed
        smoke_network(CONFIG, compute, tmp_path / "smoke")
    assert not [warning for warning in caught if "srun" in str(warning.message)]
    assert not list((tmp_path / "cwd").iterdir())
    assert all(os.environ[name] == value for name, value in SURROUNDINGS[where].items())


def test_sigterm_is_never_swallowed(compute: Compute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning's own handler ends training only: a prediction would go on."""
    from fer_cli.learning.module import FerModule

    seen = set()
    for name in ("training_step", "validation_step", "predict_step"):
        step = getattr(FerModule, name)

        def look(*given: Any, step: Callable[..., Any] = step, name: str = name) -> Any:
            seen.add((name, signal.getsignal(signal.SIGTERM)))
            return step(*given)

        monkeypatch.setattr(FerModule, name, look)
    before = signal.getsignal(signal.SIGTERM)
    smoke_network(CONFIG, compute, tmp_path)
    assert seen == {(name, before) for name in ("training_step", "validation_step", "predict_step")}
