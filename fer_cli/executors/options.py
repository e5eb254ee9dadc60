"""How a graph of runs is executed: the one place for the options of all executors; none of them changes a result."""

from __future__ import annotations

from pydantic import Field

from fer_cli.config import Section

SCHEDULED = ("slurm", "ray")
"""Executors whose runs work on other machines."""


class Options(Section):
    """The options of one call; an executor ignores those of others, which the command line refuses beside it."""

    executor: str | None = None
    """A name in EXECUTORS; None: ``serial`` for one job, else ``processes``."""
    jobs: int = Field(default=1, ge=1)
    """Most runs at a time."""
    wait: bool = True
    """Whether to wait for runs of other processes and take over from dead ones."""
    retry_failed: bool = False
    """Whether to train runs again that failed or were damaged before this call."""
    retries: int = Field(default=0, ge=0)
    """How often a run that fails in this call is trained again."""
    fail_fast: bool = False
    """Whether no run starts after the first failure."""
    timeout: float | None = Field(default=None, gt=0)
    """Most seconds of a run, which then counts as failed."""

    gpus: tuple[str, ...] = ()
    """processes: GPUs to use, as CUDA_VISIBLE_DEVICES names them."""
    per_gpu: int = Field(default=1, ge=1)
    """processes: runs at a time on each of them."""

    cpus: int = Field(default=1, ge=1)
    """slurm, ray: CPU cores of a run."""
    gpus_per_run: float = Field(default=0, ge=0)
    """slurm, ray: GPUs of a run; ray also takes fractions."""
    partition: str | None = None
    """slurm: partition; None: the cluster's default."""
    minutes: int | None = Field(default=None, ge=1)
    """slurm: time limit of a job, after which its run is requeued and continues; None: the partition's."""
    detach: bool = False
    """slurm: submit all runs and leave them to the cluster."""
    sbatch: tuple[tuple[str, str], ...] = ()
    """slurm: further options of sbatch, without their dashes."""
    address: str | None = None
    """ray: address of the cluster; None: one on this machine."""
    shared_disk: bool | None = None
    """ray: whether all nodes see the results folder; None: look."""

    @property
    def scheduled(self) -> bool:
        """Return whether runs work on other machines."""
        return self.executor in SCHEDULED
