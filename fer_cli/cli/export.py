"""``fer export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fer_cli.cli.build_options import DetectorModel
from fer_cli.cli.options import DEFAULT_RESULTS, DataRoot, Results, data_root_or_default, expand_path, thread_count
from fer_cli.cli.screen import say, show
from fer_cli.commands import write_command


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of a finished run, its first characters, or its folder.")],
    kind: Annotated[str, typer.Option("--format", help="File format: onnx.")] = "onnx",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            callback=expand_path,
            help="File to write, .onnx; its model card is beside it.",
            show_default="RESULTS/exports/RUN.onnx",
        ),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Convolutions in int8; calibrated on validation, its cost measured on test images."),
    ] = False,
    detector_model: DetectorModel = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace existing files.")] = False,
    results: Results = DEFAULT_RESULTS,
    data_root: DataRoot = None,
) -> None:
    """Write a run's network as a file that needs neither the run, its data nor PyTorch, with a model card.

    The file holds labels, preparation and standardisation. Needs the extra 'export', and the run's data set.
    """
    from fer_cli.config import Compute
    from fer_cli.use.export import export_run

    root = data_root_or_default(data_root)
    compute = Compute(data_root=root, results=results, threads=thread_count(), device="cpu", precision="fp32", track=False)
    written = export_run(run, compute, out, kind, int8, replace, lambda step: say(f"{step} …"), detector_model)
    show(str(written.file))
    show(str(written.card))
    measured = written.measured
    say(
        f"{measured.size / 1e6:.2f} MB; {measured.speed}; probabilities within {measured.parity:.1g} of PyTorch's in float32"
    )
    if measured.int8 is not None:
        say(f"int8: {measured.int8.words}")
    for note in measured.notes:
        say(f"warning: {note}")
    say(f"read the model card before use; next: {write_command('fer predict', written.file, 'PICTURE_OR_VIDEO')}")
