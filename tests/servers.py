"""A real ``mlflow server`` on PostgreSQL for tests, on loopback ports; both end with the test, by process id.

Needed: Debian's ``postgresql`` and the package ``psycopg2-binary``; without them a test fails with that line.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.clusters import daemon, free_port
from tests.processes import wait_for

LONG_S = 300


@contextmanager
def postgres() -> Iterator[str]:
    """An empty database of a PostgreSQL of its own, which runs as its own user; its URI."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres")) or [Path(shutil.which("postgres") or "")]
    if not found[-1].is_file() or find_spec("psycopg2") is None:
        missing = "psycopg2" if found[-1].is_file() else "PostgreSQL"
        pytest.fail(f"not installed: {missing}; apt-get install postgresql, pip install psycopg2-binary")
    programs, home, port = found[-1].parent, Path(f"/tmp/fer-postgres-{secrets.token_hex(4)}"), free_port()
    home.mkdir()
    as_user = []
    if os.geteuid() == 0:  # it refuses to run as root
        shutil.chown(home, "postgres", "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    try:
        made = [*as_user, str(programs / "initdb"), "-D", str(home / "data"), "-U", "fer", "-A", "trust", "-N"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, cwd=home)
        place = ["-k", str(home), "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        command = [*as_user, str(programs / "postgres"), "-D", str(home / "data"), *place]
        with daemon(*command, log=home.with_suffix(".log"), number=signal.SIGINT):  # SIGINT: with its clients
            asked = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
            wait_for(lambda: subprocess.run(asked, check=False).returncode == 0, 60)
            yield f"postgresql+psycopg2://fer@127.0.0.1:{port}/postgres"
    finally:
        shutil.rmtree(home, ignore_errors=True)
        home.with_suffix(".log").unlink(missing_ok=True)


class Server:
    """An ``mlflow server``, which can be killed, started again at the same port, halted and resumed."""

    def __init__(self, database: str, folder: Path) -> None:
        folder.mkdir()
        port = free_port()
        self.uri = f"http://127.0.0.1:{port}"
        where = ["--host", "127.0.0.1", "--port", str(port), "--workers", "2"]
        store = ["--backend-store-uri", database, "--artifacts-destination", str(folder / "artifacts")]
        self._command = [sys.executable, "-m", "mlflow", "server", *where, *store]
        self._log = folder / "log"
        path = os.pathsep.join(filter(None, sys.path))
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": path}
        self._environment = os.environ | quiet
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it answers later."""
        with self._log.open("a") as stream:
            self._running = subprocess.Popen(
                self._command, stdout=stream, stderr=stream, env=self._environment, start_new_session=True
            )

    def answers(self) -> bool:
        """Whether it answers."""
        with suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    def signal(self, number: int) -> None:
        """Send a signal to it and its workers, which are a session of their own."""
        assert self._running is not None
        with suppress(ProcessLookupError):
            os.killpg(self._running.pid, number)

    def stop(self) -> None:
        """Kill it and its workers."""
        self.signal(signal.SIGKILL)
        if self._running is not None:
            self._running.wait()


@contextmanager
def mlflow_server(folder: Path) -> Iterator[Server]:
    """A server on PostgreSQL that answers."""
    with postgres() as database:
        server = Server(database, folder)
        try:
            server.start()
            wait_for(server.answers, LONG_S)
            yield server
        finally:
            server.stop()
