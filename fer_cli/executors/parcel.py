"""Run folders as bytes, to send them between machines without a shared disk; each file with its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fer_cli.errors import ResultsError
from fer_cli.executors.jobs import Job
from fer_cli.outputs import RESULT
from fer_cli.places import whole_file
from fer_cli.runs import RunFolder

LOCAL = {"claim.json", "heartbeat.txt", "queued.json"}
"""Files of a run folder that mean nothing on another machine."""


@dataclass(frozen=True)
class Parcel:
    """The files of a run folder, and the SHA-256 of each."""

    run_id: str
    files: Mapping[str, bytes]
    hashes: Mapping[str, str]

    def check(self) -> None:
        """Raise ResultsError if a file is not what was packed."""
        for name, content in self.files.items():
            if "/" in name or name.startswith(".") or hashlib.sha256(content).hexdigest() != self.hashes[name]:
                raise ResultsError(f"run {self.run_id}: {name[:80]} arrived with other content than was sent")


def pack(folder: RunFolder) -> Parcel:
    """Return the files of a run folder."""
    paths = [path for path in sorted(folder.path.iterdir()) if path.is_file() and not path.is_symlink()]
    files = {path.name: path.read_bytes() for path in paths if not path.name.startswith(".") and path.name not in LOCAL}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return Parcel(folder.run_id, files, hashes)


def unpack(parcel: Parcel, folder: RunFolder) -> None:
    """Write the files of a parcel that arrived whole, ``result.json`` last; raises ResultsError for any that did not."""
    parcel.check()
    folder.path.mkdir(parents=True, exist_ok=True)
    for name in sorted(parcel.files, key=lambda name: (name == RESULT, name)):
        with whole_file(folder.file(name)) as draft:
            draft.write_bytes(parcel.files[name])


def relocate(job: Job, folder: RunFolder, parcels: Mapping[str, Parcel]) -> Job:
    """Return a job that works in ``folder``'s results folder, with the runs that it starts from unpacked there."""

    def bring(need: RunFolder | None) -> RunFolder | None:
        if need is None:
            return None
        there = RunFolder(folder.results, need.run_id)
        if there.status != "done":
            unpack(parcels[need.run_id], there)
        return there

    compute = job.compute.model_copy(update={"results": folder.results, "track": False, "logger": None})
    start, trained = bring(job.start), bring(job.trained)
    return replace(job, folder=folder, compute=compute, mirror=None, start=start, trained=trained)
