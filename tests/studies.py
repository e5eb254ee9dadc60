"""What tests of whole studies share: the command, its options, and what a study left behind."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from fer_cli.tracking import new_client, store_uri

FER = str(Path(sys.executable).with_name("fer"))


def where(data_root: Path, results: Path) -> list[str]:
    return ["--data-root", str(data_root), "--results", str(results), "--precision", "fp32"]


def run_fer(*arguments: object) -> tuple[str, str]:
    """Call ``fer``, as ``main`` does, for a fixture of many tests; it must end well; return what it printed."""
    from fer_cli.cli import main

    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["fer", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 0, err.getvalue()
    return out.getvalue(), err.getvalue()


def outcome(results: Path, seeds: int = 1000) -> dict[str, Any]:
    """Return what a study left behind of its first seeds, times and provenance apart."""
    found = {}
    for path in sorted((results / "runs").glob("*/result.json")):
        result = json.loads(path.read_text())
        if result["config"]["seed"] < seeds:
            found[path.parent.name] = {k: v for k, v in result.items() if k not in {"cost", "provenance", "trained_on"}}
    return found


def mlflow_runs(results: Path) -> list[Any]:
    client = new_client(store_uri(results))
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    return [run for run in client.search_runs(ids, max_results=1000) if run.data.tags.get("fer.kind") == "run"]
