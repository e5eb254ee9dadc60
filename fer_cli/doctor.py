"""What of an installation works, what is missing, and how to fix it: ``fer doctor``.

Each check looks and changes nothing but a temporary file where it tests that a folder can be written. ``broken`` is what a
study needs; ``missing`` is optional, or made on demand.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from fer_cli.checks import check_results_folder
from fer_cli.config import Compute
from fer_cli.errors import FerError
from fer_cli.escape import cut, hide_secrets, quote_error
from fer_cli.places import cache_folder, shipped_folder
from fer_cli.provenance import code_version, processor_name

State = Literal["ok", "missing", "broken"]
DISTRIBUTION = "fer-cli"
OLDEST_PYTHON = (3, 11)
LITTLE_GB, TOO_LITTLE_GB = 5.0, 0.5
"""Free space below which a study may fill the disk, and below which it cannot begin."""
VARIABLES = (
    "FER_DATA", "FER_RESULTS", "FER_CACHE", "MLFLOW_TRACKING_URI", "OMP_NUM_THREADS", "ATEN_CPU_CAPABILITY",
    "CUDA_VISIBLE_DEVICES", "NO_COLOR",
)  # fmt: skip
"""Environment variables that change what fer does."""


@dataclass(frozen=True)
class Check:
    """One line of the diagnosis; ``fix``: what to do, "" if nothing."""

    group: str
    name: str
    state: State
    found: str
    fix: str = ""


def diagnose(compute: Compute) -> list[Check]:
    """Return all checks of this machine and of the folders in ``compute``."""
    found: list[Check] = []
    for group, look in CHECKS.items():
        try:
            found += [Check(group, *line) for line in look(compute)]
        except Exception as error:  # the diagnosis goes on, whatever is broken
            fix = "" if isinstance(error, FerError) else "reinstall fer, or report this"
            found.append(Check(group, group, "broken", cut(hide_secrets(f"{type(error).__name__}: {error}"), 200), fix))
    return found


def as_json(checks: list[Check]) -> dict[str, Any]:
    """Return the diagnosis for programs: whether nothing is broken, and the checks."""
    return {"ok": all(check.state != "broken" for check in checks), "checks": [asdict(check) for check in checks]}


Line = tuple[str, State, str, str]


def check_python(_: Compute) -> Iterator[Line]:
    """Yield Python, fer, its libraries and the environment."""
    python, old = platform.python_version(), sys.version_info < OLDEST_PYTHON
    yield "Python", "broken" if old else "ok", f"{python} ({sys.executable})", "install Python 3.11 or newer" if old else ""
    version = code_version()
    commit = f", commit {version['commit']}{' with changes' if version['dirty'] else ''}" if version["commit"] else ""
    yield "fer", "ok", f"{version['fer']}{commit}", ""
    wrong = [line for line in requirements("") if line[1] is not None]
    names = "; ".join(f"{name} {why}" for name, why in wrong)
    fix = f"pip install --upgrade {DISTRIBUTION}"
    yield "libraries", "broken" if wrong else "ok", names or "all that are required", fix if wrong else ""
    given = ", ".join(f"{name}={hide_secrets(os.environ[name])}" for name in VARIABLES if name in os.environ)
    yield "environment", "ok", cut(given or "no variable of fer is set", 300), ""


def requirements(extra: str) -> Iterator[tuple[str, str | None]]:
    """Yield the name of each requirement of an extra ("": of fer itself), and what is wrong with it, or None."""
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # a checkout on PYTHONPATH
        return
    for needed in map(Requirement, lines):
        marked = needed.marker is not None and "extra" in str(needed.marker)
        if marked != bool(extra) or (needed.marker is not None and not needed.marker.evaluate({"extra": extra})):
            continue
        if needed.name == DISTRIBUTION:
            for inner in sorted(needed.extras):
                yield from requirements(inner)
            continue
        try:
            version = metadata.version(needed.name)
        except metadata.PackageNotFoundError:
            yield needed.name, "is not installed"
        else:
            fits = needed.specifier.contains(version, prereleases=True)
            yield needed.name, None if fits else f"is {version}, needs {needed.specifier}"


def check_compute(compute: Compute) -> Iterator[Line]:
    """Yield processor, threads, instruction set and precision, and GPUs."""
    import torch

    from fer_cli.learning.compute import resolve_compute

    resolved = resolve_compute(compute)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield "processor", "ok", f"{processor_name()}, {cores} cores, {compute.threads} threads a run", ""
    right = bool(torch.allclose(torch.ones(8, 8) @ torch.ones(8, 8), torch.full((8, 8), 8.0)))
    capability = torch.backends.cpu.get_cpu_capability()
    fix = "" if right else "reinstall torch for this processor"
    yield "PyTorch", "ok" if right else "broken", f"{torch.__version__}, {capability}", fix
    precision = "bf16" if resolved.bf16 else "fp32"
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    yield "device", "ok", f"{', '.join(gpus) or 'no GPU'}; runs use {resolved.device} in {precision}", ""


def check_folders(compute: Compute) -> Iterator[Line]:
    """Yield write access to the folders and free space on their disks."""
    import tempfile

    folders = {"results": compute.results, "data root": compute.data_root, "cache": cache_folder()}
    options = {"results": "--results FOLDER", "data root": "--data-root FOLDER", "cache": "FER_CACHE=FOLDER"}
    for name, folder in {**folders, "temporary files": Path(tempfile.gettempdir())}.items():
        remedy = f"make it writable, or give another with {options.get(name, 'TMPDIR=FOLDER')}"
        try:
            check_results_folder(folder, remedy)
        except FerError as error:
            yield name, "broken", str(error), remedy
            continue
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
        free = shutil.disk_usage(there).free / 1e9
        state: State = "broken" if free < TOO_LITTLE_GB else "missing" if free < LITTLE_GB else "ok"
        yield name, state, f"{folder}: {free:.1f} GB free", "" if state == "ok" else f"free some space, or {remedy}"


def check_data(compute: Compute) -> Iterator[Line]:
    """Yield the shipped studies and cards, the embedded people, and the sets that are built."""
    from fer_cli.data.cards import card_names, load_card
    from fer_cli.data.manifest import built_sets
    from fer_cli.data.rebuild import build_command
    from fer_cli.study import study_names
    from fer_cli.synthetic.assets import FOLDER, read_asset, read_pins

    cards, studies = card_names(), study_names()
    whole = bool(cards and studies)
    where = shipped_folder("experiments").parent
    fix = "" if whole else f"reinstall {DISTRIBUTION}: its files are incomplete"
    yield "shipped files", "ok" if whole else "broken", f"{len(studies)} studies, {len(cards)} data cards in {where}", fix
    names = list(read_pins(FOLDER).files)
    for name in names:
        read_asset(name)
    yield "embedded people", "ok", f"the meshes are complete: {', '.join(names)}", ""
    built, unusable = built_sets(compute.data_root)
    for name, problem in sorted(unusable.items()):
        yield name, "broken", cut(problem, 200), f"build it again: {build_command(name, root=compute.data_root)} --replace"
    for name, info in sorted(built.items()):
        yield name, "ok", f"{info.state}, {info.kept} images, fingerprint {info.fingerprint}", ""
    real = [name for name in cards if name not in built and load_card(name).embedded is None]
    if real:
        text = f"not built: {', '.join(real)}"
        yield "real sets", "missing", text, "only if you have a copy: fer data build NAME --from FOLDER"


def check_weights(_: Compute) -> Iterator[Line]:
    """Yield the optional models of face detection and landmarks."""
    from fer_cli.data.detect import centerface_path
    from fer_cli.data.landmarks import dlib_model

    for name, find in (("face detector", centerface_path), ("face landmarks", dlib_model)):
        try:
            yield name, "ok", str(find()), ""
        except FerError as error:
            yield name, "missing", cut(error, 300), ""


def check_tracking(compute: Compute) -> Iterator[Line]:
    """Yield MLflow and its store; a server is not called."""
    from fer_cli.stores import check_store
    from fer_cli.tracking import describe_store, given_uri, view_command

    yield "MLflow", "ok", metadata.version("mlflow"), ""
    where = describe_store(compute.results)
    if given_uri(compute.results):
        yield "store", "ok", f"{where} (MLFLOW_TRACKING_URI; not called here)", ""
        return
    try:
        check_store(compute.results / "mlflow.db")
    except Exception as error:  # sqlite3 and the system raise many kinds
        fix = f"move {where} away, then rebuild it from the runs: fer track sync"
        yield "store", "broken", f"{where}: {cut(quote_error(error))}", fix
        return
    yield "store", "ok", view_command(compute.results) or f"{where}: made by the first run", ""


def check_extras(_: Compute) -> Iterator[Line]:
    """Yield the optional parts, and how to install those that are absent."""
    try:
        extras = metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        extras = []
    for extra in sorted(set(extras) - {"dev", "assets"}):
        absent = [f"{name} {why}" for name, why in requirements(extra) if why is not None]
        fix = f"pip install '{DISTRIBUTION}[{extra}]'" if absent else ""
        yield extra, "missing" if absent else "ok", "; ".join(absent) or "installed", fix


CHECKS: dict[str, Callable[[Compute], Iterator[Line]]] = {
    "installation": check_python,
    "computing": check_compute,
    "folders": check_folders,
    "data": check_data,
    "weights": check_weights,
    "tracking": check_tracking,
    "extras": check_extras,
}
"""Group -> its checks."""
