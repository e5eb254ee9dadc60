"""``ray``: runs as tasks of a Ray cluster (extra ``ray``).

Where all nodes see the results folder, they train in it and claim runs themselves. Otherwise this process claims them, nodes
train in a folder of their own, and run folders come back through Ray, checked by hash. A run whose worker or node died is
trained again, on another node if there is one. Tasks belong to the process that started them and end with it: to leave a
sweep to the cluster, submit the command itself (``ray job submit``).
"""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fer_cli.config import METRICS, default_data_root
from fer_cli.errors import FerError, ResultsError
from fer_cli.escape import hide_secrets, quote_error
from fer_cli.executors.agenda import Agenda
from fer_cli.executors.jobs import Job, Outcome
from fer_cli.executors.options import Options
from fer_cli.executors.parcel import Parcel, pack, relocate, unpack
from fer_cli.executors.processes import record_death
from fer_cli.runs import RunFolder, history_name
from fer_cli.signals import end_on_sigterm
from fer_cli.sweeps import describe_version
from fer_cli.tracking import RunTracker

DEATHS = 2
"""Dead workers or nodes after which a run counts as failed."""
LOOK_S = 1.0
"""Most seconds between two looks at what became ready."""
PATIENCE_S = 60.0
"""Most seconds that a node may take to say what it has."""


def ray(graph: Agenda, run: Callable[[Job], Outcome], on_done: Callable[[Outcome], None]) -> None:
    """Execute the graph as tasks of Ray; ``run`` must be importable by name on the nodes."""
    with connect(graph.options):
        crew = Crew(run, graph.options)
        try:
            while True:
                while len(crew.busy) < graph.options.jobs and (job := graph.take()) is not None:
                    if (outcome := crew.start(job)) is not None and graph.finish(outcome):
                        on_done(outcome)
                if not crew.busy:
                    if graph.pause():
                        continue
                    return
                for outcome in crew.collect():
                    if graph.finish(outcome):
                        on_done(outcome)
        finally:
            crew.dismiss()


@contextmanager
def connect(options: Options) -> Iterator[None]:
    """Connect to a cluster, or to one on this machine without an address; raises FerError without Ray or the cluster."""
    try:
        import ray
    except ImportError:
        raise FerError("--executor ray: Ray is not installed; pip install 'fer-cli[ray]'") from None
    if ray.is_initialized():
        yield
        return
    try:
        if options.address is not None:
            refuse_silent(options.address)
        quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False, "logging_level": "ERROR"}
        local = {"include_dashboard": False, "num_cpus": options.cpus * min(options.jobs, os.cpu_count() or 1)}
        ray.init(options.address or "local", **quiet, **({} if options.address else local))
    except (ConnectionError, OSError, ValueError, RuntimeError) as error:
        why = quote_error(error, 160)
        if options.address is None:
            raise FerError(f"--executor ray: Ray does not start on this machine ({why}); try --executor processes") from None
        raise FerError(
            f"--address {hide_secrets(options.address)}: no Ray cluster there ({why}); start one with ray start --head"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def refuse_silent(address: str) -> None:
    """Raise ConnectionError if nothing listens at ``host:port``; Ray would try for a minute."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=5).close()


@dataclass(frozen=True)
class Sent:
    """A job at work: the name of its task, and what gives its claim back if this process holds it."""

    job: Job
    task: str
    claim: ExitStack


class Crew:
    """The tasks of one call."""

    def __init__(self, run: Callable[[Job], Outcome], options: Options) -> None:
        self.busy: dict[Any, Sent] = {}
        self._run, self._options = run, options
        self._version = describe_version()
        self._deaths: Counter[str] = Counter()
        self._parcels: dict[str, Any] = {}
        self._shared: bool | None = None

    def start(self, job: Job) -> Outcome | None:
        """Send a job to the cluster; return its outcome at once if another process has the run."""
        import ray

        if self._shared is None:
            self._shared = check_nodes(job.compute.results, self._version) and self._options.shared_disk is not False
        claim = ExitStack()
        if not self._shared:
            if not claim.enter_context(job.folder.claim()):
                return Outcome(job.run_id, job.title, "done" if job.folder.status == "done" else "elsewhere")
            job.folder.write_config(job.config)
        name = f"Ray task {secrets.token_hex(4)}"
        needs = [need for need in (job.start, job.trained) if need is not None]
        parcels = [] if self._shared else [self._parcel(need) for need in needs]
        resources = {"num_cpus": self._options.cpus, "num_gpus": self._options.gpus_per_run, "max_retries": 0}
        task = ray.remote(work_shared if self._shared else work_apart).options(**resources)
        self.busy[task.remote(self._run, job, name, self._version, *parcels)] = Sent(job, name, claim)
        return None

    def _parcel(self, folder: RunFolder) -> Any:
        """Return the reference of a finished run's files, which Ray sends to the nodes that need them."""
        import ray

        if folder.run_id not in self._parcels:
            self._parcels[folder.run_id] = ray.put(pack(folder))
        return self._parcels[folder.run_id]

    def collect(self) -> Iterator[Outcome]:
        """Yield the outcomes of tasks that ended; a run whose worker died is sent again."""
        import ray

        ready, _ = ray.wait(list(self.busy), num_returns=1, timeout=LOOK_S, fetch_local=False)
        for reference in ready:
            sent = self.busy.pop(reference)
            with sent.claim:
                try:
                    outcome, parcel = ray.get(reference)
                    if parcel is not None:
                        outcome = take_in(sent.job, outcome, parcel)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause if isinstance(error.cause, Exception) else error from None
                except (ray.exceptions.RayError, ArrivalError):
                    free_claim_of(sent)
                    outcome = None
            if outcome is None:
                self._deaths[sent.job.run_id] += 1
                dead = self._deaths[sent.job.run_id] >= DEATHS
                outcome = record_death(sent.job) if dead else self.start(sent.job)
            if outcome is not None:
                yield outcome

    def dismiss(self) -> None:
        """End all tasks, wait until they did, and give their claims back."""
        import ray

        for reference in self.busy:
            with suppress(Exception):  # of a cluster that is gone
                ray.cancel(reference)
        with suppress(Exception):
            ray.wait(list(self.busy), num_returns=len(self.busy), timeout=20)
        for sent in self.busy.values():
            sent.claim.close()


class ArrivalError(Exception):
    """A run did not arrive as it was sent."""


def take_in(job: Job, outcome: Outcome, parcel: Parcel) -> Outcome:
    """Write a run that came back into its folder, mirror it and return its outcome; raises ArrivalError if it is damaged."""
    tracker = RunTracker(job.mirror, job.folder)
    tracker.begin(job.title, job.config, dict(job.tags))
    try:
        unpack(parcel, job.folder)
    except ResultsError as error:
        raise ArrivalError(str(error)) from None
    if outcome.status == "done":
        result = job.folder.result()
        scores = {f"{result.part}/{name}": result.scores[name] for name in METRICS}
        tracker.end("FINISHED", scores, history_name(result))
    else:
        tracker.end("FAILED")
    return replace(outcome, mirrored=tracker.complete)


def free_claim_of(sent: Sent) -> None:
    """Remove the claim of a task that died, so that the run can be sent again at once."""
    with suppress(ResultsError):
        owner = sent.job.folder.owner()
        if owner is not None and owner.job == sent.task:
            sent.job.folder.free_claim(owner.token)


def work_shared(run: Callable[[Job], Outcome], job: Job, name: str, version: str) -> tuple[Outcome, None]:
    """Execute a job on a node that sees the results folder."""
    begin_work(name, version)
    return run(job), None


def work_apart(run: Callable[[Job], Outcome], job: Job, name: str, version: str, *parcels: Parcel) -> tuple[Outcome, Parcel]:
    """Execute a job in a folder of this node, and return its files."""
    begin_work(name, version)
    with tempfile.TemporaryDirectory(prefix="fer-ray-") as scratch:
        folder = RunFolder(Path(scratch), job.run_id)
        here = relocate(job, folder, {parcel.run_id: parcel for parcel in parcels})
        if not here.compute.data_root.is_dir():
            here = replace(here, compute=here.compute.model_copy(update={"data_root": default_data_root()}))
        outcome = run(here)
        return outcome, pack(folder)


def begin_work(name: str, version: str) -> None:
    """Name this process's task, end in order on SIGTERM, and refuse another version."""
    from fer_cli.executors.slurm import refuse_version

    os.environ["FER_JOB"] = name
    with suppress(ValueError):  # outside the main thread
        end_on_sigterm()
    refuse_version(version)


def check_nodes(results: Path, version: str) -> bool:
    """Return whether all nodes see the results folder; raises FerError if one has no fer, or another version."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    results.mkdir(parents=True, exist_ok=True)
    probe = results.absolute() / f".ray-{secrets.token_hex(6)}"
    probe.touch()
    try:
        asked = []
        for node in ray.nodes():
            if node["Alive"]:
                there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                task = ray.remote(describe_node).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
                asked.append(task.remote(probe))
        found = [answer for answer in map(ask_node, asked) if answer is not None]
    finally:
        probe.unlink(missing_ok=True)
    if not found:
        raise FerError("--executor ray: no node of the cluster answers; ray status shows what it has")
    for host, its_version, _ in found:
        if its_version != version:
            raise FerError(f"host {host} has {its_version}, this one has {version}; install the same version on both")
    return all(sees for _, _, sees in found)


def ask_node(reference: Any) -> tuple[str, str, bool] | None:
    """Return what a node says of itself, None if it died; raises FerError if it cannot run fer."""
    import ray

    gone = (ray.exceptions.TaskUnschedulableError, ray.exceptions.NodeDiedError, ray.exceptions.WorkerCrashedError)
    try:
        answer: tuple[str, str, bool] = ray.get(reference, timeout=PATIENCE_S)
    except gone:
        return None
    except ray.exceptions.RayError as error:
        why = hide_secrets(" ".join(str(error).split()))[-200:]
        raise FerError(f"--executor ray: a node cannot run fer ({why}); install the same fer on every node") from None
    return answer


def describe_node(probe: Path) -> tuple[str, str, bool]:
    """Return a node's host, its version of fer, and whether it sees a file."""
    return socket.gethostname(), describe_version(), probe.exists()
