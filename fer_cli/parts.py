"""Parts of a plan: chosen runs with those they start from, and shards, which share no run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fer_cli.errors import StudyError
from fer_cli.plan import Item, Plan


def choose_runs(plan: Plan, names: Iterable[str]) -> Plan:
    """Return the part of a plan with these runs and all that they depend on."""
    every = {item.run_id: item for item in plan.everything}
    wanted = set(names)
    left = list(wanted)
    needed: set[str] = set()
    while left:
        for need in every[left.pop()].needs:
            if need.run_id in every and need.run_id not in wanted | needed:
                needed.add(need.run_id)
                left.append(need.run_id)
    items = [item for item in plan.items if item.run_id in wanted]
    tabled = {item.run_id for item in items}
    return replace(
        plan, items=items, first=[every[name] for name in every if name in wanted | needed and name not in tabled]
    )


def choose_shard(plan: Plan, text: str) -> Plan:
    """Return shard ``i/n`` of a plan, i from 1; raises StudyError for a shard out of range.

    Every run is in exactly one shard, together with all runs that it depends on, so that shards need not see each other's
    results. Shards have about the same number of epochs. They depend on the plan alone, not on what is done.
    """
    number, count = parse_shard(text)
    groups = sorted(connect_runs(plan.everything), key=lambda group: -sum(item.epochs for item in group))
    shards: list[list[Item]] = [[] for _ in range(count)]
    costs = [0] * count
    for group in groups:
        place = costs.index(min(costs))
        shards[place] += group
        costs[place] += sum(item.epochs for item in group)
    return choose_runs(plan, (item.run_id for item in shards[number - 1]))


def parse_shard(text: str) -> tuple[int, int]:
    """Return number and count of a shard written ``i/n``; raises StudyError if it is not one."""
    number, _, count = text.partition("/")
    digits = all(part.isascii() and part.isdigit() and len(part) < 7 for part in (number, count))
    if not digits or not 1 <= int(number) <= int(count):
        raise StudyError(f"--shard {text[:40]}: give I/N, the I-th of N parts, such as 1/4 to 4/4")
    return int(number), int(count)


def connect_runs(items: list[Item]) -> list[list[Item]]:
    """Return the runs in groups that do not depend on each other, each in the given order."""
    leader = {item.run_id: item.run_id for item in items}

    def find(name: str) -> str:
        while leader[name] != name:
            leader[name] = name = leader[leader[name]]
        return name

    for item in items:
        for need in item.needs:
            if need.run_id in leader:
                leader[find(item.run_id)] = find(need.run_id)
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(find(item.run_id), []).append(item)
    return list(groups.values())
