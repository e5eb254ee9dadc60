"""Versions of the report: whether a written table is behind."""

from __future__ import annotations

VERSIONS = {1: "2026-11-02", 2: "2026-11-29", 3: "2026-11-29", 4: "2026-11-30", 5: "2026-11-30"}
"""Version of reports -> its date. 1: reports without a version. 2: answer first, red flags on cells, tested differences.
3: n beside every difference, red flags in every table, simulated seeds apart, pairs of classes corrected for folds.
4: claims about costs, parts of a claim that did nothing, seconds to train as medians with each training once.
5: samples per run, n_test/n_train, significant differences by name, what is simulated at the top, measures in the CSV.

Increment it when a table changes for the same runs.
"""
VERSION = max(VERSIONS)
