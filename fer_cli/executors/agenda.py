"""Schedules a graph of runs for an executor."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Sequence

from fer_cli.executors.jobs import Job, Outcome
from fer_cli.executors.options import Options
from fer_cli.plan import Item, is_runnable

POLL_S = 2.0  # polling interval for runs of other processes, in seconds


class Agenda:
    """Hands out runs whose dependencies are done, in the plan's order.

    ``job_of``: makes the job of a run. ``settle``: called with each run that is not trained here and its state: done,
    failed, damaged or blocked (a dependency will not be done). ``options``: what to retry, when to stop, and whether to wait
    for runs of other processes and take over from dead ones. ``waiting``: called with these runs when nothing else is left.
    """

    def __init__(
        self,
        items: Sequence[Item],
        job_of: Callable[[Item], Job],
        settle: Callable[[Item, str], None] = lambda *_: None,
        options: Options | None = None,
        waiting: Callable[[list[Item]], None] = lambda _: None,
    ) -> None:
        self.items = {item.run_id: item for item in items}
        self.options = options or Options()
        self._job_of, self._settle, self._waiting = job_of, settle, waiting
        self._places = {name: place for place, name in enumerate(self.items)}
        self._ready: list[tuple[int, str]] = []
        self._open: dict[str, Item] = {}
        self._held: dict[str, Item] = {}
        self._done: set[str] = set()
        self._lost: set[str] = set()
        self._jobs: dict[str, Job] = {}
        self._tries: Counter[str] = Counter()
        self._stopped = False
        self._followers: dict[str, list[str]] = {}
        self._announced: set[str] = set()
        self._looked = time.monotonic()
        for item in items:
            for need in item.needs:
                self._followers.setdefault(need.run_id, []).append(item.run_id)
                if need.run_id not in self.items:  # not in this plan: use its current state
                    (self._done if need.folder.status == "done" else self._lost).add(need.run_id)
        for item in items:
            self._sort(item, self.options.retry_failed)

    @property
    def size(self) -> int:
        """Return the number of runs left to hand out, as currently known."""
        return len(self._ready) + len(self._open)

    @property
    def held(self) -> list[Item]:
        """Return the runs claimed by other processes."""
        return list(self._held.values())

    @property
    def blocked(self) -> list[Item]:
        """Return the runs that wait for their dependencies."""
        return list(self._open.values())

    @property
    def stopped(self) -> bool:
        """Return whether no run starts any more, because of ``fail_fast``."""
        return self._stopped

    @property
    def unstarted(self) -> list[Item]:
        """Return the runs that could start and were not handed out, because ``fail_fast`` stopped it."""
        return [self.items[name] for _, name in sorted(self._ready)]

    @property
    def timeout(self) -> float | None:
        """Return the timeout in seconds for waiting on jobs before calling ``take`` again; None: no timeout."""
        return POLL_S if self._held else None

    def take(self) -> Job | None:
        """Return the job of a run that is ready, or None."""
        if self._stopped:
            return None
        if self._held and time.monotonic() - self._looked >= POLL_S:
            self._look()
        return self.make_job(self.items[heapq.heappop(self._ready)[1]]) if self._ready else None

    def make_job(self, item: Item) -> Job:
        """Return the job of a run, the same each time; a scheduler that knows dependencies may ask before it is ready."""
        if item.run_id not in self._jobs:
            self._jobs[item.run_id] = self._job_of(item)
        return self._jobs[item.run_id]

    def finish(self, outcome: Outcome) -> bool:
        """Record the outcome of a job; return False if the run is tried again, so that the outcome is not its last."""
        name = outcome.run_id
        if outcome.status == "elsewhere":
            self._held[name] = self.items[name]
            return True
        self._tries[name] += 1
        if outcome.status == "failed" and self._tries[name] <= self.options.retries and not self._stopped:
            heapq.heappush(self._ready, (self._places[name], name))
            return False
        self._stopped |= self.options.fail_fast and outcome.status != "done"
        self._end(name, outcome.status == "done")
        return True

    def is_settled(self, name: str) -> bool:
        """Return whether a run is done, or will not be in this call."""
        return name in self._done or name in self._lost

    def put_back(self, name: str) -> None:
        """Take back the run of a job that did not start."""
        heapq.heappush(self._ready, (self._places[name], name))

    def pause(self) -> bool:
        """Wait for other processes; return False if there is nothing to wait for."""
        if not self._held or not self.options.wait or self._stopped:
            return False
        if not self._look():
            if not self._held.keys() <= self._announced:
                self._announced |= self._held.keys()
                self._waiting(self.held)
            time.sleep(POLL_S)
        return True

    def _look(self) -> bool:
        """Reschedule runs that other processes released, and return whether there were any."""
        self._looked = time.monotonic()
        changed = [name for name, item in self._held.items() if item.folder.status != "running"]
        for name in changed:
            self._sort(self._held.pop(name), self.options.retry_failed)
        return bool(changed)

    def _sort(self, item: Item, retry_failed: bool) -> None:
        """Schedule a run by its state."""
        status = item.folder.status
        if status == "running":
            self._held[item.run_id] = item
        elif is_runnable(status, retry_failed):
            self._open[item.run_id] = item
            if self._consider(item.run_id):
                self._end(item.run_id, done=False)
        else:
            self._settle(item, status)
            self._end(item.run_id, status == "done")

    def _consider(self, name: str) -> bool:
        """Make a run ready if its dependencies are done, or blocked if one will not be; return whether it is blocked."""
        needs = {need.run_id for need in self._open[name].needs}
        if needs & self._lost:
            self._settle(self._open.pop(name), "blocked")
            self._lost.add(name)
            return True
        if needs <= self._done:
            del self._open[name]
            heapq.heappush(self._ready, (self._places[name], name))
        return False

    def _end(self, name: str, done: bool) -> None:
        """Record that a run is done or will not be, and reconsider its dependents, and theirs if they are blocked."""
        (self._done if done else self._lost).add(name)
        left = [name]  # not by recursion: a thousand runs may depend on each other in a row
        while left:
            left += [one for one in self._followers.get(left.pop(0), ()) if one in self._open and self._consider(one)]
