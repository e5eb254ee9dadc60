"""What the finished runs under a results folder say of a plan: how long its runs will take, and which do not fit it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_cli.config import Machine
from fer_cli.results import RESULT, find_damage, read_result

if TYPE_CHECKING:
    from fer_cli.ablate import Plan


def finished_results(results: Path) -> Iterator[dict[str, Any]]:
    """Yield the result of every finished run under ``results``, damaged ones left out."""
    for path in (results / "runs").glob(f"*/{RESULT}"):
        if find_damage(path.parent) is None:
            yield read_result(path)


def core_seconds_per_epoch(results: Path) -> dict[tuple[Any, ...], float]:
    """Return the median of seconds x threads per epoch of runs trained here, by what their time mostly depends on."""
    measured: dict[tuple[Any, ...], list[float]] = {}
    for result in finished_results(results):
        config = result["config"]
        if result.get("trained_by") or config.get("features", {}).get("blocks"):
            continue
        with suppress(KeyError):  # settings that an older version left out
            cost = result["seconds"]["total"] * result["machine"]["threads"] / config["train"]["epochs"]
            measured.setdefault(cost_key(config), []).append(cost)
    return {key: sorted(times)[len(times) // 2] for key, times in measured.items()}


def cost_key(config: dict[str, Any]) -> tuple[Any, ...]:
    """Return data set, image size, network and batch size."""
    data, model, train = config["data"], config["model"], config["train"]
    return data["name"], data["image_size"], model["backbone"], train["batch_size"]


def estimate(plan: Plan, machine: Machine) -> dict[str, float | None]:
    """Return expected seconds per run id that is not done; None where no like run has been timed here."""
    known = core_seconds_per_epoch(machine.results)
    times: dict[str, float | None] = {}
    for item in plan.everything:
        if item.folder.status != "done":
            each = known.get(cost_key(item.run.config.model_dump()))
            times[item.run_id] = None if each is None else each * item.epochs / machine.threads
    return times


def on_other_builds(plan: Plan, results: Path) -> str:
    """Return a phrase on the runs under ``results`` whose sets were built otherwise than the plan's; "" without any.

    They are part of no table: another build has another fingerprint, and so have its runs another identity.
    """
    built = {tuple(item.run.config.data.sets): item.fingerprint for item in plan.everything}
    others: Counter[str] = Counter()
    for result in finished_results(results):
        data = result["config"]["data"]
        sets = tuple(name for name in (data["name"], data.get("test")) if name is not None)
        if sets in built and result["fingerprint"] != built[sets]:
            others["+".join(sets)] += 1
    counts = ", ".join(f"{n} on {names}" for names, n in sorted(others.items()))
    return f"runs under {results} on other builds of these sets, which are not used: {counts}" if counts else ""
