"""``fer bench``: how fast the suite is on this machine, beside plain code."""

from __future__ import annotations

from typing import Annotated

import typer

from fer_cli.cli.options import DEFAULT_RESULTS, Results, thread_count
from fer_cli.cli.screen import say, show


def bench(
    only: Annotated[list[str] | None, typer.Option("--only", help="Run this benchmark only; repeatable.")] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Timed repeats; medians are reported.")] = 5,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Measure training, inference, features, data, reports and sweeps beside plain code, and write a table and a picture.

    Takes about ten minutes on two cores; close other programs first.
    """
    from fer_cli.bench import run_benchmarks, write_benchmarks
    from fer_cli.config import Compute, default_data_root

    compute = Compute(data_root=default_data_root(), results=results, threads=thread_count(), device="cpu", track=False)
    folder = results / "benchmarks"
    content = run_benchmarks(
        only or [], compute, repeats, lambda name: say(f"{name} …"), lambda partial: write_benchmarks(partial, folder)
    )
    files, text = write_benchmarks(content, folder)
    show(text)
    say(f"written: {', '.join(map(str, files))}")
    say("next: keep bench.json, and compare it after the next change of fer or of the machine")
