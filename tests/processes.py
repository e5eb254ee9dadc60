"""``fer`` in a process of its own, waiting for other processes, and catching one at work."""

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from fer_cli.executors.processes import PRELOADED


@dataclass(frozen=True)
class Forked:
    """A process that runs ``fer``; ``folder`` takes what it prints."""

    process: BaseProcess
    folder: Path

    def send_signal(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def finish(self, seconds: float = 100) -> tuple[int, str, str]:
        """Wait for its end and return its exit code, as of ``subprocess``, and what it printed to stdout and stderr."""
        self.process.join(seconds)
        code = self.process.exitcode
        assert code is not None, "waited too long"
        return code, (self.folder / "out").read_text(), (self.folder / "err").read_text()


def fork_fer(folder: Path, *arguments: object) -> Forked:
    """Start ``fer`` with these arguments; ``folder``, made here, takes what it prints.

    It is forked from the server of the executor ``processes``, which has imported PyTorch: a process that imports it again
    takes five seconds longer to start and tests nothing more.
    """
    folder.mkdir()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=call_fer, args=(folder, [str(one) for one in arguments], dict(os.environ)))
    process.start()
    return Forked(process, folder)


def call_fer(folder: Path, arguments: list[str], environment: dict[str, str]) -> None:
    """Be the command ``fer``, in a process that does nothing else."""
    from fer_cli.cli import main

    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore Ctrl-C
    for name, stream in (("out", 1), ("err", 2)):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), stream)
    sys.argv = ["fer", *arguments]
    main()


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def stopped_at_work(results: Path) -> Path:
    """Halt a worker and return the claim it holds; one caught between two runs is let go and tried again."""
    for _ in range(100):
        for claim in results.glob("runs/*/claim.json"):
            with suppress(OSError, ValueError):
                worker = json.loads(claim.read_text())["pid"]
                os.kill(worker, signal.SIGSTOP)
                time.sleep(0.1)
                if claim.is_file() and not claim.with_name("result.json").is_file():
                    return claim
                os.kill(worker, signal.SIGCONT)
        time.sleep(0.1)
    raise AssertionError("no worker was caught at work")
