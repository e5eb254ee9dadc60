"""Versions of the report, and the hash of a study's expanded configs: whether a written table is behind."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from fer_cli.study import PlannedRun

VERSIONS = {1: "2026-11-02", 2: "2026-11-29"}
"""Version of reports -> its date. 1: reports without a version. 2: answer first, red flags on cells, tested differences.

Increment it when a table changes for the same runs.
"""
VERSION = max(VERSIONS)


def hash_configs(runs: Iterable[PlannedRun]) -> str:
    """Return 12 hex digits over arm, grid point and config of the runs, in any order; data sets' builds do not enter."""
    lines = sorted(f"{run.arm}|{run.at}|{run.config.run_id('')}" for run in runs)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
