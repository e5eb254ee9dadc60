"""What is recorded about the process itself."""

from __future__ import annotations

import subprocess
import sys

CHILD = "from fer_cli.provenance import peak_memory; print(peak_memory())"
PARENT = f"""
import subprocess, sys
held = b"x" * 2**29
print(subprocess.run([sys.executable, "-c", {CHILD!r}], capture_output=True, text=True, check=True).stdout)
{CHILD}
"""


def test_peak_memory_is_that_of_the_process_and_not_of_the_one_that_started_it() -> None:
    done = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, text=True, check=True)
    child, parent = map(int, done.stdout.split())
    assert 2**22 < child < 2**27
    assert 2**29 < parent < 2**30
