"""Real clusters on this machine for tests: Slurm's and Ray's own daemons, which end with the tests, by process id.

Needed: Debian's ``slurm-wlm`` and ``munge``, and the extras ``slurm`` and ``ray``; without them a test fails with that line.
"""

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.processes import wait_for

CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={home}/munge/socket
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd.pid
SlurmctldPort={first}
SlurmdPort={second}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={home}/jobs.txt
KillWait=10
MinJobAge=60
DefMemPerCPU=400
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=60 State=UP
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def daemon(*command: str, log: Path, number: int = signal.SIGTERM) -> Iterator[None]:
    """Run a daemon in the foreground, and end it by this signal."""
    with log.open("w") as stream, subprocess.Popen(command, stdout=stream, stderr=stream) as running:
        try:
            yield
        finally:
            running.send_signal(number)
            try:
                running.wait(20)
            except subprocess.TimeoutExpired:
                running.kill()


@pytest.fixture(scope="session")
def slurm_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cluster of Slurm with one node of two processors, for all commands of Slurm in this process."""
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if shutil.which(name) is None]
    if missing or find_spec("submitit") is None:
        pytest.fail(f"not installed: {', '.join(missing) or 'submitit'}; apt-get install slurm-wlm munge, extra slurm")
    home = Path(f"/tmp/fer-slurm-{secrets.token_hex(4)}")  # munged wants a path that all may enter
    (home / "munge").mkdir(parents=True)
    for name in ("state", "spool"):
        (home / name).mkdir()
    key = home / "munge" / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    as_munge = []
    if os.geteuid() == 0:
        shutil.chown(home / "munge", "munge", "munge")
        shutil.chown(key, "munge", "munge")
        as_munge = ["setpriv", "--reuid=munge", "--regid=munge", "--clear-groups"]
    host = socket.gethostname()
    conf = CONF.format(host=host, user=getpass.getuser(), home=home, first=free_port(), second=free_port())
    (home / "slurm.conf").write_text(conf)
    files = [f"--{name}-file={home}/munge/{name}" for name in ("pid", "log", "seed")]
    munged = [*as_munge, "munged", "--foreground", f"--key-file={key}", f"--socket={home}/munge/socket", *files]
    before = dict(os.environ)
    os.environ["SLURM_CONF"] = str(home / "slurm.conf")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent.parent), *sys.path]))
    try:
        with daemon(*munged, log=home / "munged.out"):
            wait_for((home / "munge" / "socket").exists, 30)
            controller, node = daemon("slurmctld", "-D", log=home / "c"), daemon("slurmd", "-D", "-N", host, log=home / "d")
            with controller, node:
                wait_for(lambda: "idle" in printed("sinfo", "--noheader", "--format=%T"), 60)
                yield
                subprocess.run(["scancel", "--me"], check=False)
                wait_for(lambda: not printed("squeue", "--noheader"), 60)
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(home, ignore_errors=True)


def printed(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[object]:
    """A cluster of Ray with a node of two processors, to which this process is connected; ``add_node`` adds others."""
    if find_spec("ray") is None:
        pytest.fail("not installed: ray; extra ray")
    from ray.cluster_utils import Cluster

    before = dict(os.environ)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent.parent), *sys.path]))
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    os.environ["RAY_raylet_start_wait_time_s"] = "180"  # noqa: SIM112 (a busy machine starts it slowly)
    cluster = Cluster(initialize_head=True, connect=True, head_node_args={"num_cpus": 2, "object_store_memory": 10**8})
    try:
        yield cluster
    finally:
        import ray

        ray.shutdown()
        cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)
