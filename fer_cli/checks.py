"""What would stop a run, found before the first one begins: what a config alone cannot know."""

from __future__ import annotations

import tempfile
from pathlib import Path

from fer_cli.ablate import Plan
from fer_cli.config import DataConfig, Machine
from fer_cli.errors import ResultsError

NOT_OF_SPLITS = {"label_noise", "noise_kind", "noise_pairs", "noise_file", "noise_sha256", "noise_seed", "image_size"}
"""Settings of a run's data that do not change which image stands in which part."""


def check_runs(plan: Plan, machine: Machine) -> None:
    """Raise a FerError for what would stop a run that is not done yet.

    That is a missing GPU, a split that cannot be made, a network that cannot be built, or results that cannot be written.
    """
    from fer_cli.data.manifest import FaceSet, load_set
    from fer_cli.data.splits import make_split
    from fer_cli.learning.machine import choose_means
    from fer_cli.learning.networks import check_networks

    choose_means(machine)
    layouts: dict[str, DataConfig] = {}
    for config in (item.run.config.data for item in plan.everything):
        layouts[config.model_dump_json(exclude=NOT_OF_SPLITS)] = config
    sets: dict[tuple[str, ...], FaceSet] = {}

    def faces_of(config: DataConfig) -> FaceSet:
        key = (config.name, *config.classes)
        if key not in sets:
            faces = load_set(machine.data_root, config.name)
            sets[key] = faces.of_classes(config.classes) if config.classes else faces
        return sets[key]

    for config in layouts.values():
        make_split(faces_of(config).manifest, config)
    left = [item.run.config for item in plan.everything if item.folder.status != "done"]
    check_networks((config, faces_of(config.data).info.classes) for config in left)
    check_results_folder(machine.results)


def check_results_folder(results: Path) -> None:
    """Raise ResultsError, in one line, when the results folder cannot be written to."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
    except OSError as error:
        raise ResultsError(f"{results}: cannot write results there ({error.strerror}); use --results FOLDER") from None
