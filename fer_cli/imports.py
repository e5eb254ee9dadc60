"""Networks of a user's own code, named ``module:name`` in a study: their source, its SHA-256, and the import.

A module is looked for in the current folder, then on ``PYTHONPATH`` and among installed packages. Source files are found and
hashed without running them. The hash covers the module and what it imports, as its text says, from the same folder or
package: a run's id includes it, so that an edited network is a new run. Only ``import_object`` runs the code.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import re
import sys
import traceback
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from fer_cli.errors import StudyError, nearest
from fer_cli.escape import PATH, cut
from fer_cli.places import open_regular
from fer_cli.signals import ending

OWN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
"""``module:name``, e.g. ``my_module:MyNet`` or ``my_package.nets:MyNet``."""
INSTALLED = {"site-packages", "dist-packages"}
"""Folders of installed packages, where only the module's own package is hashed."""

folders: list[str] = []
"""Further folders in which modules are looked for: that of the command which sent a run to this process."""


def is_own(name: str) -> bool:
    """Return whether the name of a network is ``module:name``."""
    return OWN.fullmatch(name) is not None


def add_folder(folder: Path) -> None:
    """Look for modules in this folder, too, if it exists here."""
    if str(folder) not in folders and folder != Path.cwd() and folder.is_dir():
        folders.append(str(folder))


def search_path() -> list[str]:
    """Return the folders in which modules are looked for."""
    return [str(Path.cwd()), *folders, *(place for place in sys.path if place)]


def locate(module: str, root: list[str]) -> tuple[Path, list[str]] | None:
    """Return the source file of a module below ``root``, and the folders of its submodules; None if there is none."""
    places, found = root, None
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = PathFinder.find_spec(name, places)
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            return None
        places = list(spec.submodule_search_locations or [])
        found = Path(spec.origin), places
    return found


def find_source(name: str) -> Path:
    """Return the source file of ``module:name``; raises StudyError if there is none."""
    importlib.invalidate_caches()  # for a file written within the resolution of the folder's time
    module = name.partition(":")[0]
    if (found := locate(module, search_path())) is not None:
        return found[0]
    near = nearest(module, [path.stem for path in Path.cwd().glob("*.py")])
    missing = f"no module {cut(module)} (a Python source file) in {cut(Path.cwd(), PATH)} or on PYTHONPATH"
    raise StudyError(f"backbone {cut(name)}: {missing}{near if 'mean' in near else ''}")


def find_sources(name: str) -> dict[str, Path]:
    """Return the source files of ``module:name`` by module: its own, and those it imports from the same folder.

    Raises StudyError for a file that cannot be read or is not valid Python.
    """
    first = find_source(name)
    module = name.partition(":")[0]
    top = first.parents[module.count(".") + (first.name == "__init__.py")]
    package = module.split(".")[0]
    found: dict[str, Path] = {}
    left = [module]
    while left:
        wanted = left.pop()
        if top.name in INSTALLED and wanted.split(".")[0] != package:
            continue
        parts = wanted.split(".")
        for depth in range(1, len(parts) + 1):
            here = ".".join(parts[:depth])
            if here in found:
                continue
            if parts[0] == "fer_cli" or (place := locate(here, [str(top)])) is None:
                break
            found[here] = place[0]
            left += imported(here, place[0], name)
    return found


def imported(module: str, path: Path, name: str) -> Iterator[str]:
    """Yield the modules that a source file imports, and what could be modules, by full name."""
    text = read_source(path, name)
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f"{path.name}, line {getattr(error, 'lineno', None) or 1}"
        raise StudyError(
            f"backbone {cut(name)}: {where}: not valid Python ({getattr(error, 'msg', None) or error})"
        ) from None
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
            origin = ".".join(filter(None, (base, node.module)))
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names if alias.name != "*")


def read_source(path: Path, name: str) -> bytes:
    """Return the bytes of a source file; raises StudyError if it cannot be read."""
    try:
        with open_regular(path) as stream:
            return stream.read()
    except OSError as error:
        raise StudyError(f"backbone {cut(name)}: {cut(path, PATH)}: cannot be read ({error.strerror})") from None


def hash_source(name: str) -> str:
    """Return the SHA-256 of the source of ``module:name``: of one file's bytes, else of a list of hashes by module."""
    hashes = {key: hashlib.sha256(read_source(path, name)).hexdigest() for key, path in find_sources(name).items()}
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    return hashlib.sha256("".join(f"{found}  {key}\n" for key, found in sorted(hashes.items())).encode()).hexdigest()


def import_object(name: str, sha256: str | None) -> Any:
    """Import and return ``module:name``; raises StudyError if its source does not have this hash, or the import fails."""
    path, found = find_source(name), hash_source(name)
    if sha256 is not None and found != sha256:
        raise StudyError(
            f"backbone {cut(name)}: {cut(path, PATH)} is not the source of this run, which has SHA-256 {sha256[:12]}, "
            f"not {found[:12]}; restore that version, of which the run's folder has a copy, or train the study again"
        )
    module, _, attribute = name.partition(":")
    sys.path += [place for place in search_path() if place not in sys.path]
    try:
        content = importlib.import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the user's code may raise anything, SystemExit included
        if ending.is_set():
            raise
        raise StudyError(f"backbone {cut(name)}: {path.name} cannot be imported: {explain(error, path)}") from None
    if (there := getattr(content, "__file__", None)) is None or not Path(there).samefile(path):
        other = cut(there or "a part of Python", PATH)
        raise StudyError(f"backbone {cut(name)}: {path.name} has the name of another module ({other}); rename the file")
    if not hasattr(content, attribute):
        public = [key for key in vars(content) if not key.startswith("_") and callable(getattr(content, key))]
        raise StudyError(f"backbone {cut(name)}: {path.name} has no {attribute}{nearest(attribute, public)}")
    return getattr(content, attribute)


def explain(error: BaseException, path: Path) -> str:
    """Return an error in the user's code in one line, with the last line of ``path`` that was running."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    where = f" ({path.name}, line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {cut(' '.join(str(error).split()), PATH)}{where}"
