"""Places on this machine: GPUs, runs that are alone, memory, time limits; and how many runs a scheduler bears."""

import json
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from fer_cli.executors import Job, Options, Outcome, agenda
from fer_cli.executors.jobs import is_out_of_memory, limit_run
from fer_cli.executors.slots import Slot, Slots
from tests.fakes import fake_result, leave
from tests.stories import Story, succeed


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agenda, "POLL_S", 0.05)


def note_gpu(job: Job) -> Outcome:
    """Note the GPUs that the run may see, and when."""
    began = time.monotonic()
    time.sleep(0.2)
    with job.folder.claim():
        seen = {"gpu": os.environ.get("CUDA_VISIBLE_DEVICES"), "began": began, "ended": time.monotonic()}
        job.folder.file("gpu.json").write_text(json.dumps(seen))
        leave(job.folder, fake_result(job.run_id, job.config))
    return Outcome(job.run_id, job.title, "done")


def test_each_run_sees_one_gpu_and_no_gpu_has_more_runs_than_asked(tmp_path: Path) -> None:
    story = Story(tmp_path / "results", {str(number): [] for number in range(10)})
    story.execute("processes", run=note_gpu, gpus=("0", "3"), per_gpu=2, jobs=4)
    notes = [json.loads(item.folder.file("gpu.json").read_text()) for item in story.items.values()]
    assert set(Counter(note["gpu"] for note in notes)) == {"0", "3"}
    for gpu in ("0", "3"):
        here = [note for note in notes if note["gpu"] == gpu]
        at_once = [sum(other["began"] <= note["began"] < other["ended"] for other in here) for note in here]
        assert max(at_once) == 2, "two runs shared a GPU, never three at one moment"


def test_places_are_filled_evenly_and_one_run_gets_a_gpu_alone() -> None:
    slots = Slots(Options(gpus=("a", "b"), per_gpu=2))
    taken = [slots.take() for _ in range(5)]
    assert [slot and slot.gpu for slot in taken] == ["a", "b", "a", "b", None]
    slots.give(Slot("a"))
    assert slots.take_alone() is None, "a neighbour still works there"
    assert slots.take() is None, "and nobody joins it"
    slots.give(Slot("a"))
    alone = slots.take_alone()
    assert alone == Slot("a", alone=True)
    assert slots.take() is None
    slots.give(alone)
    assert [slots.take(), slots.take(), slots.take()] == [Slot("a"), Slot("a"), None]


def exhaust(job: Job) -> Outcome:
    """Run out of memory as long as a neighbour works, as told by files; ``greedy`` does so always."""
    here = job.folder.results / f"at-{job.title}"
    here.touch()
    time.sleep(0.3)
    crowded = len(list(job.folder.results.glob("at-*"))) > 1
    here.unlink()
    if job.title == "greedy" or (job.title == "large" and crowded):
        with job.folder.claim():
            job.folder.write_error("OutOfMemoryError: CUDA out of memory\n")
        return Outcome(job.run_id, job.title, "failed", "OutOfMemoryError: CUDA out of memory", memory=True)
    return succeed(job)


def test_a_run_that_ran_out_of_memory_is_trained_once_more_alone(tmp_path: Path) -> None:
    needs = {"large": [], "greedy": [], "on large": ["large"], "other": [], "more": []}
    story = Story(tmp_path / "results", needs)
    story.execute("processes", run=exhaust, jobs=3)
    assert dict(story.ended) == dict.fromkeys(["large", "on large", "other", "more"], "done") | {"greedy": "failed"}
    assert len(story.ended) == 5
    assert not story.items["large"].folder.file("error.txt").exists()


def test_memory_errors_are_told_from_others() -> None:
    import torch

    caused = RuntimeError("could not train")
    caused.__cause__ = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    allocator = RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: not enough memory")
    assert all(map(is_out_of_memory, [MemoryError(), caused, caused.__cause__, allocator]))
    assert not any(map(is_out_of_memory, [ValueError("out of memory"), RuntimeError("shape mismatch"), OSError(28, "x")]))


def test_a_run_over_its_time_fails_with_the_limit_in_words() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"stopped after 0.002 minutes \(--timeout\)"), limit_run(0.12):
        time.sleep(30)
    assert time.monotonic() - began < 5
    with limit_run(None), limit_run(30):
        pass
    with pytest.raises(TimeoutError, match="the network"), limit_run(30):
        raise TimeoutError("the network")


def resident_memory() -> int:
    """Return the bytes of memory that this process holds."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def at_once(job: Job) -> Outcome:
    """Do nothing."""
    return Outcome(job.run_id, job.title, "done")


def test_a_thousand_runs_are_scheduled_in_little_memory_and_time(tmp_path: Path) -> None:
    """Each waits for the one before the last: the graph is as long as it is wide."""
    titles = [str(number) for number in range(1000)]
    story = Story(tmp_path / "results", {title: titles[: int(title)][-2:-1] for title in titles})
    before, held = time.process_time(), resident_memory()
    story.execute("serial", run=at_once)
    assert time.process_time() - before < 5
    assert len(story.ended) == 1000
    assert resident_memory() - held < 2**28


def fail(job: Job) -> Outcome:
    """Fail."""
    return Outcome(job.run_id, job.title, "failed", "Oops: no")


def test_a_failure_blocks_a_chain_of_any_length(tmp_path: Path) -> None:
    titles = [str(number) for number in range(1500)]
    story = Story(tmp_path / "results", {title: titles[: int(title)][-1:] for title in titles})
    story.execute("serial", run=fail)
    assert story.ended == [("0", "failed")]
    assert story.settled == dict.fromkeys(titles[1:], "blocked")
