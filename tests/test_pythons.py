"""The Python versions that the package names: every file compiles without a warning where one is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fer_cli.places import PACKAGE

ROOT = PACKAGE.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAMED = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if line.startswith("Programming Language")]
COMPILE = """
import sys
for path in sys.stdin.read().split("\\0"):
    compile(open(path, encoding="utf-8").read(), path, "exec", dont_inherit=True)
print("%d.%d" % sys.version_info[:2])
"""


def find_python(version: str) -> str | None:
    """Return an interpreter of a version, of pyenv's too."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    places = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    return str(places[-1]) if places else shutil.which(f"python{version}")


def test_the_versions_named_begin_with_the_least() -> None:
    assert PROJECT["requires-python"] == f">={NAMED[0]}"
    assert sorted(NAMED) == NAMED
    least = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["target-version"]
    assert least == f"py{NAMED[0].replace('.', '')}"
    assert find_python(f"{sys.version_info.major}.{sys.version_info.minor}") == sys.executable


@pytest.mark.parametrize("version", [one for one in NAMED if find_python(one)])
def test_every_file_compiles(version: str) -> None:
    files = [str(path) for folder in (PACKAGE, ROOT / "tests") for path in folder.rglob("*.py")]
    python = find_python(version)
    assert python
    command = [python, "-W", "error", "-c", COMPILE]
    done = subprocess.run(command, input="\0".join(files), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == version
