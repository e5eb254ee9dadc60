"""Places for runs on this machine: so many at a time, or so many on each GPU; and a GPU or the machine for one run alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from fer_cli.executors.options import Options


@dataclass(frozen=True)
class Slot:
    """A place of a run: its GPU, "" without one; ``alone``: no other run works there meanwhile."""

    gpu: str
    alone: bool = False


class Slots:
    """Hands out places; without GPUs, the machine is one group of ``jobs`` places."""

    def __init__(self, options: Options) -> None:
        self._sizes = dict.fromkeys(options.gpus, options.per_gpu) or {"": options.jobs}
        self._used: Counter[str] = Counter()
        self._kept_free: str | None = None

    @property
    def crowded(self) -> bool:
        """Return whether a run may have neighbours."""
        return max(self._sizes.values()) > 1

    def take(self) -> Slot | None:
        """Return a place where the fewest runs work, or None."""
        free = [gpu for gpu, size in self._sizes.items() if self._used[gpu] < size and gpu != self._kept_free]
        if not free:
            return None
        gpu = min(free, key=self._used.__getitem__)
        self._used[gpu] += 1
        return Slot(gpu)

    def take_alone(self) -> Slot | None:
        """Return a place without neighbours; None until one has drained, and nothing starts there meanwhile."""
        gpu = self._kept_free if self._kept_free is not None else min(self._sizes, key=self._used.__getitem__)
        self._kept_free = gpu
        if self._used[gpu]:
            return None
        self._used[gpu], self._kept_free = self._sizes[gpu], None
        return Slot(gpu, alone=True)

    def give(self, slot: Slot) -> None:
        """Take a place back."""
        self._used[slot.gpu] -= self._sizes[slot.gpu] if slot.alone else 1
