"""Findings of an audit: duplicates and blanks, independent of the split, and what the parts of a split share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fer_cli.config import Section
from fer_cli.data.duplicates import Prints, alike_neighbours, exact_groups, link_groups, near_duplicates, take_prints
from fer_cli.data.identity import known_codes
from fer_cli.data.manifest import FaceSet
from fer_cli.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

KINDS = {
    "subjects": ("person in several parts", "people in several parts"),
    "sequences": ("sequence in several parts", "sequences in several parts"),
    "exact_across": ("group of identical images across parts", "groups of identical images across parts"),
    "near_across": ("pair of near duplicates across parts", "pairs of near duplicates across parts"),
    "exact": ("group of identical images", "groups of identical images"),
    "near": ("pair of near duplicates", "pairs of near duplicates"),
    "conflict": ("group of copies with different labels", "groups of copies with different labels"),
    "blank": ("blank image", "blank images"),
    "repeated": ("run of identical frames in a sequence", "runs of identical frames in a sequence"),
    "look_alike": ("run of look-alike frames in a sequence", "runs of look-alike frames in a sequence"),
}
"""Kind of finding -> singular and plural; the worst first."""
LEAKS = ("subjects", "sequences", "exact_across", "near_across")
FLAWS = ("exact", "near", "conflict", "blank")
LISTED = 1000
"""Groups listed per kind; the count covers all."""
MEMBERS = 20
"""Images listed per group."""
Folds = list[tuple[list[str], np.ndarray]]
"""Per fold: names of its parts, and the part of every image as a position in them, (N,) int64, -1 for none."""


class Named(Section):
    """An image by name."""

    sample: str
    file: str
    """Source file; empty for an embedded image."""
    label: str
    part: str = ""


class Group(Section):
    """Images that belong together."""

    why: str
    images: list[Named]
    """The first 20; for a person or sequence, one per part."""


class Finding(Section):
    """All findings of one kind."""

    kind: str
    """One of ``KINDS``."""
    count: int
    """Groups over all folds."""
    images: int
    """Images in these groups."""
    groups: list[Group]
    """The first 1000."""


class Fold(Section):
    """Sizes and shared content of the parts of one fold."""

    sizes: dict[str, int]
    """Part -> images."""
    shared: dict[str, int]
    """Kind of leakage -> count."""
    seen: dict[str, int] = {}
    """Part other than training -> images that are near duplicates of a training image."""


@dataclass(frozen=True)
class Facts:
    """Split-independent facts about the images; positions are those of the manifest."""

    manifest: pd.DataFrame
    subjects: np.ndarray
    """(N,) int64, -1 if unknown; so are ``sequences``, which are numbered over people."""
    sequences: np.ndarray
    exact: np.ndarray
    """(N,) int64: group of identical images."""
    near: np.ndarray
    """(P, 2) int64: near duplicates not within one sequence; identical images are represented by the first."""
    correlations: np.ndarray
    alike: np.ndarray
    """(P, 2) int64: consecutive look-alike frames."""
    prints: Prints

    def name_images(self, positions: np.ndarray, parts: list[str] | None = None) -> list[Named]:
        """Return the names of the first 20 positions."""
        rows = self.manifest.iloc[positions[:MEMBERS]]
        cells = zip(rows["sample"], rows["file"], rows["label"], parts or [""] * len(rows), strict=False)
        return [Named(sample=str(s), file=str(f), label=str(la), part=p) for s, f, la, p in cells]


def gather_facts(faces: FaceSet, progress: Progress) -> Facts:
    """Return the split-independent facts."""
    manifest = faces.manifest
    subjects, clips = known_codes(manifest["subject"]), known_codes(manifest["sequence"])
    sequences = np.where(clips < 0, -1, (subjects + 1) * (clips.max(initial=0) + 1) + clips)
    prints = take_prints(faces.images, progress)
    exact = exact_groups(prints, manifest)
    near, correlations = near_duplicates(prints, exact, sequences, progress)
    alike = alike_neighbours(prints, exact, sequences, manifest["frame"].to_numpy())
    return Facts(manifest, subjects, sequences, exact, near, correlations, alike, prints)


def copies_of(facts: Facts) -> dict[str, Finding]:
    """Return duplicates, look-alikes, conflicts and blank images by kind, empty kinds included."""
    labels, digests = (facts.manifest[column].to_numpy() for column in ("label", "sha256"))
    exact: list[tuple[np.ndarray, str]] = []
    repeated, conflict = list(exact), list(exact)
    for group in groups_of(facts.exact):
        clips = facts.sequences[group]
        same = "identical files" if (digests[group] == digests[group[0]]).all() else "identical pixels"
        copies = (group, f"{len(group)} {same}")
        (repeated if clips[0] >= 0 and (clips == clips[0]).all() else exact).append(copies)
        if (labels[group] != labels[group[0]]).any():
            conflict.append(copies)
    near = [(two, f"correlation {value:.3f}") for two, value in zip(facts.near, facts.correlations.tolist(), strict=True)]
    conflict += [(two, why) for two, why in near if labels[two[0]] != labels[two[1]]]
    alike = [(run, f"{len(run)} look-alike frames") for run in groups_of(link_groups(len(labels), facts.alike))]
    blank = [(at, "blank") for at in np.flatnonzero(facts.prints.blank)[:, None]]
    kinds = {"exact": exact, "near": near, "conflict": conflict, "blank": blank, "repeated": repeated, "look_alike": alike}
    return {kind: make_finding(facts, kind, found) for kind, found in kinds.items()}


def make_finding(facts: Facts, kind: str, found: list[tuple[np.ndarray, str]]) -> Finding:
    """Return a finding of groups, given as (positions, reason)."""
    images = len(np.unique(np.concatenate([group for group, _ in found]))) if found else 0
    groups = [Group(why=why, images=facts.name_images(group)) for group, why in found[:LISTED]]
    return Finding(kind=kind, count=len(found), images=images, groups=groups)


def groups_of(keys: np.ndarray) -> list[np.ndarray]:
    """Return the ascending positions of every key that occurs more than once, ordered by first position."""
    inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)[1:]
    several = np.flatnonzero(counts[inverse] > 1)
    order = several[np.argsort(inverse[several], kind="stable")]
    starts = np.flatnonzero(np.diff(inverse[order], prepend=-1))[1:]
    return sorted(np.split(order, starts), key=lambda group: int(group[0])) if len(order) else []


def leaks_of(facts: Facts, folds: Folds) -> tuple[dict[str, Finding], list[Fold]]:
    """Return the leakage over all folds by kind, empty kinds included, and the amounts per fold."""
    keys = {"subjects": facts.subjects, "sequences": facts.sequences, "exact_across": facts.exact}
    seen: dict[str, dict[int, Group | None]] = {kind: {} for kind in LEAKS}
    checked = []
    for number, (names, parts) in enumerate(folds):
        shared = {kind: in_several(own, parts) for kind, own in keys.items()}
        held = parts_held(facts.exact, parts)
        shared["near_across"] = np.flatnonzero(are_across(held, facts))
        where = f"fold {number}, " if len(folds) > 1 else ""
        for kind, own in shared.items():
            for key in own.tolist():
                if key not in seen[kind]:
                    few = len(seen[kind]) < LISTED
                    seen[kind][key] = leak_group(facts, kind, key, names, parts, where) if few else None
        sizes = {name: int((parts == code).sum()) for code, name in enumerate(names)}
        seen_near = near_training(held, facts, names, parts)
        checked.append(Fold(sizes=sizes, shared={kind: len(shared[kind]) for kind in LEAKS}, seen=seen_near))
    findings = {}
    for kind, found in seen.items():
        those = np.array(list(found), dtype=np.int64)
        near = kind == "near_across"
        own = np.isin(facts.exact, facts.exact[facts.near[those]]) if near else np.isin(keys[kind], those)
        images = int(own.sum())
        groups = [group for group in found.values() if group is not None]
        findings[kind] = Finding(kind=kind, count=len(found), images=images, groups=groups)
    return findings, checked


def in_several(keys: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Return, ascending, the keys that occur in two or more parts; keys and parts (N,) int64, -1 for none."""
    used = (keys >= 0) & (parts >= 0)
    there = np.unique(np.stack([keys[used], parts[used]]), axis=1)[0]
    return np.unique(there[1:][there[1:] == there[:-1]])


def parts_held(exact: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Return (N, parts) bool: which parts contain an image or a copy of it; ``exact`` and ``parts`` (N,) int64."""
    groups = np.unique(exact, return_inverse=True)[1]
    held = np.zeros((groups.max(initial=-1) + 1, parts.max(initial=-1) + 1), bool)
    held[groups[parts >= 0], parts[parts >= 0]] = True
    return np.asarray(held[groups])


def are_across(held: np.ndarray, facts: Facts) -> np.ndarray:
    """Return (P,) bool: which near pairs have their images (or copies) in different parts."""
    i, j = facts.near.T
    alone = (held[i].sum(1) == 1) & (held[i] == held[j]).all(1)
    return np.asarray(held[i].any(1) & held[j].any(1) & ~alone)


def near_training(held: np.ndarray, facts: Facts, names: list[str], parts: np.ndarray) -> dict[str, int]:
    """Return part (other than training) -> number of images that are near duplicates of a training image."""
    if "train" not in names or held.shape[1] <= names.index("train"):
        return {}
    train = held[:, names.index("train")]
    i, j = facts.near.T
    near = np.isin(facts.exact, facts.exact[np.concatenate([i[train[j]], j[train[i]]])])
    return {name: int((near & (parts == code)).sum()) for code, name in enumerate(names) if name != "train"}


def leak_group(facts: Facts, kind: str, key: int, names: list[str], parts: np.ndarray, where: str) -> Group:
    """Return the group of a leaking person, sequence, copy or near pair (numbered ``key``) with its parts."""
    if kind == "near_across":
        group = np.flatnonzero(np.isin(facts.exact, facts.exact[facts.near[key]]) & (parts >= 0))
        what = f"correlation {facts.correlations[key]:.3f}"
    else:
        own = {"subjects": facts.subjects, "sequences": facts.sequences, "exact_across": facts.exact}[kind]
        group, what = np.flatnonzero((own == key) & (parts >= 0)), "identical"
    held = parts[group]
    if kind in {"subjects", "sequences"}:
        column = kind.removesuffix("s")
        what = f"{column} {facts.manifest[column].iloc[group[0]]}"
        group = group[np.unique(held, return_index=True)[1]]
    counts = ", ".join(f"{names[code]} {int((held == code).sum())}" for code in np.unique(held))
    return Group(why=f"{where}{what}: {counts}", images=facts.name_images(group, [names[code] for code in parts[group]]))
