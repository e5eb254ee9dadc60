"""The audit of a built set: duplicates, blanks, label conflicts, and data leakage between the parts of a split.

One audit covers all folds of one split. The verdict is ``leaks`` if two parts share a person, a sequence or a copy of an
image; ``flawed`` if there are copies outside one sequence, copies with different labels, or blank images; else ``clean``.
Look-alike frames within a sequence are counted but are not a flaw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import ValidationError

from fer_cli import __version__
from fer_cli.config import DataConfig, Section, auto_split
from fer_cli.data.cards import Card, card_names, has_card, load_card
from fer_cli.data.files import why_unreadable
from fer_cli.data.findings import FLAWS, KINDS, LEAKS, Facts, Finding, Fold, Folds, copies_of, gather_facts, leaks_of
from fer_cli.data.identity import known_codes
from fer_cli.data.manifest import FaceSet, load_info
from fer_cli.data.splits import known_of, make_split
from fer_cli.errors import DataError, nearest
from fer_cli.places import write_text
from fer_cli.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd

MOST = 512 * 2**20
"""Size limit of ``audit.json`` in bytes."""
SHOWN = 10
"""Groups printed per kind."""
FEW = 4
"""Images printed per group."""


class Collision(Section):
    """A class number with different meanings in different data sets."""

    number: int
    labels: dict[str, str]
    """Data set -> our label."""


class Audit(Section):
    """All findings in one set under one split."""

    name: str
    fingerprint: str
    fer_version: str
    split: str
    """``official``, one of ``data.split``, or ``none`` if no split could be made."""
    protocol: str
    """Description of the split."""
    verdict: Literal["clean", "flawed", "leaks"]
    reasons: list[str]
    """Why the verdict is not ``clean``, one line each."""
    notes: list[str]
    """Further remarks, one line each."""
    images: int
    classes: dict[str, int]
    """Label -> images."""
    imbalance: float | None
    """Images of the largest class per image of the smallest; None if a class is empty."""
    folds: list[Fold]
    findings: list[Finding]
    """Non-empty kinds, the worst first."""
    collisions: list[Collision]
    """Numbers with another meaning in another data set's code table."""

    def count(self, kind: str) -> int:
        """Return the number of findings of a kind."""
        return next((finding.count for finding in self.findings if finding.kind == kind), 0)


class AuditFile(Section):
    """``audit.json``: the latest audit of each split of one build."""

    fingerprint: str
    audits: dict[str, Audit]


def audit_set(faces: FaceSet, config: DataConfig | None = None, progress: Progress = silent) -> Audit:
    """Return the audit of a built set under a split (default: that of ``data.split: auto``).

    Official parts are taken as published, without the validation part that a run may carve from them. Raises DataError if
    the requested split cannot be made.
    """
    facts = gather_facts(faces, progress)
    notes = []
    try:
        split, protocol, folds = parts_of(facts, faces.info.name, config)
    except DataError as error:
        if config is not None:
            raise
        split, protocol, folds = "none", "none; checked for duplicates only", []
        notes.append(f"no split can be made: {error}")
    leaks, checked = leaks_of(facts, folds)
    findings = {**leaks, **copies_of(facts)}
    kinds = [kind for kind in KINDS if findings[kind].count]
    verdict: Literal["clean", "flawed", "leaks"] = "clean"
    if set(kinds) & {*LEAKS, *FLAWS}:
        verdict = "leaks" if set(kinds) & set(LEAKS) else "flawed"
    for what, known in (("person", facts.subjects >= 0), ("sequence", facts.sequences >= 0)):
        if not known.all():
            notes.append(
                f"{(~known).sum()} of {len(known)} images have no known {what}; leakage between them is undetectable"
            )
    counts = {label: int((faces.manifest["label"] == label).sum()) for label in faces.info.classes}
    least = min(counts.values(), default=0)
    return Audit(
        name=faces.info.name,
        fingerprint=faces.info.fingerprint,
        fer_version=__version__,
        split=split,
        protocol=protocol,
        verdict=verdict,
        reasons=[describe_finding(findings[kind]) for kind in kinds if kind in {*LEAKS, *FLAWS}],
        notes=notes,
        images=len(faces.manifest),
        classes=counts,
        imbalance=max(counts.values()) / least if least else None,
        folds=checked,
        findings=[findings[kind] for kind in kinds],
        collisions=collisions_with_cards(faces.info.name),
    )


def parts_of(facts: Facts, name: str, config: DataConfig | None) -> tuple[str, str, Folds]:
    """Return name, description and folds of a split; raises DataError if it cannot be made."""
    codes = known_codes(facts.manifest["split"])
    parts = list(dict.fromkeys(facts.manifest["split"].astype(str)[codes >= 0]))
    if config is None:
        config = split_by_name(name, auto_split(known_of(facts.manifest))[0])
    if config.split == "official":
        if len(parts) < 2:
            raise DataError(f"{name}: has no official parts; audit it with --split subject or random")
        return "official", f"official parts {', '.join(parts)}", [(parts, codes)]
    if config.split == "loso":  # one fold per person: anything shared by two people is shared by the parts of a fold
        unknown = int((facts.subjects < 0).sum())
        people = list(dict.fromkeys(facts.manifest["subject"].astype(str)))
        if unknown or len(people) < 2:
            partly = f"{unknown} of {len(codes)} images without a subject"
            known = "one subject" if not unknown else "no subjects" if unknown == len(codes) else partly
            raise DataError(f"{name}: has {known}, so loso is impossible; audit it with --split sequence or random")
        return "loso", f"loso, {len(people)} people", [(people, facts.subjects)]
    folds = list(make_folds(facts.manifest, config))
    many = f", {len(folds)} folds" if len(folds) > 1 else ""
    return config.split, f"{config.split}{many}, seed {config.split_seed}", folds


def make_folds(manifest: pd.DataFrame, config: DataConfig) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yield all folds of a split made by ``make_split``; images of other classes are in no part."""
    rows = np.arange(len(manifest))
    if config.classes:
        rows = np.flatnonzero(manifest["label"].isin(config.classes))
    chosen = manifest.iloc[rows].reset_index(drop=True)
    for fold in range(1 if config.split in {"holdout", "list"} else config.folds):
        split = make_split(chosen, config.model_copy(update={"fold": fold}))
        codes = np.full(len(manifest), -1, np.int64)
        for code, part in enumerate((split.train, split.val, split.test)):
            codes[rows[part]] = code
        yield ["train", "val", "test"], codes


def split_by_name(name: str, split: str) -> DataConfig:
    """Return the config of a split given by name; raises DataError for an unknown one, or one that needs a file."""
    known = ("subject", "random", "sequence", "loso", "holdout", "official")
    if split not in known:
        raise DataError(f"{name}: split '{split}' cannot be audited by name{nearest(split, known)}")
    return DataConfig.model_validate({"name": name, "split": split})


def code_table(card: Card) -> dict[int, str]:
    """Return the data set's own class numbers (folder names or label codes) -> label."""
    return {int(word): label for word, label in (card.folders | card.codes).items() if word.strip().isdecimal()}


def code_collisions(tables: Mapping[str, Mapping[int, str]]) -> list[Collision]:
    """Return, ascending, the numbers with different labels in different tables (data set -> number -> label)."""
    collisions = []
    for number in sorted({number for table in tables.values() for number in table}):
        labels = {name: table[number] for name, table in tables.items() if number in table}
        if len(set(labels.values())) > 1:
            collisions.append(Collision(number=number, labels=labels))
    return collisions


def collisions_with_cards(name: str) -> list[Collision]:
    """Return the numbers of a data set's code table that have another meaning in another card."""
    own = code_table(load_card(name)) if has_card(name) else {}
    if not own:
        return []
    tables = {card: code_table(load_card(card)) for card in card_names()}
    found = code_collisions({card: {n: table[n] for n in table if n in own} for card, table in tables.items()})
    return [
        Collision(number=c.number, labels={k: v for k, v in c.labels.items() if k == name or v != own[c.number]})
        for c in found
    ]


def audit_text(audit: Audit) -> str:
    """Return the printed report: verdict, counts, folds, and the first ten groups of each kind."""
    lines = [f"{audit.name}: {audit.images} images, fingerprint {audit.fingerprint}", f"split: {audit.protocol}"]
    lines += [f"verdict: {audit.verdict}", *(f"  {reason}" for reason in audit.reasons)]
    lines += [f"note: {note}" for note in audit.notes]
    if audit.imbalance is not None and audit.classes:
        most, least = max(audit.classes, key=audit.classes.__getitem__), min(audit.classes, key=audit.classes.__getitem__)
        sizes = f"largest {most} {audit.classes[most]}, smallest {least} {audit.classes[least]}"
        lines.append(f"classes: {sizes}, ratio {audit.imbalance:.1f}")
    elif empty := [label for label, count in audit.classes.items() if not count]:
        lines.append(f"classes: no image of {', '.join(empty)}")
    lines += ["", *(f"{audit.count(kind):>8}  {many}" for kind, (_, many) in KINDS.items()), ""]
    for number, fold in enumerate(audit.folds[:SHOWN]):
        sizes = ", ".join(f"{part} {size}" for part, size in list(fold.sizes.items())[:SHOWN])
        shared = ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in fold.shared.items())
        shared += "".join(f"; {n} of {part} near a training image" for part, n in fold.seen.items() if n)
        lines.append(f"fold {number}: {sizes}; shared: {shared}" if len(audit.folds) > 1 else f"{sizes}; shared: {shared}")
    for finding in audit.findings:
        lines += ["", f"{describe_finding(finding)}, {finding.images} images"]
        for group in finding.groups[:SHOWN]:
            images = [f"{i.part} {i.sample} ({i.file or 'drawn'}, {i.label})".lstrip() for i in group.images]
            lines.append(f"  {group.why}: {' | '.join(images[:FEW])}{' | ...' if len(images) > FEW else ''}")
        if finding.count > SHOWN:
            lines.append(f"  and {finding.count - SHOWN} more")
    for collision in audit.collisions:
        others = ", ".join(f"{label} in {name}" for name, label in collision.labels.items() if name != audit.name)
        lines.append(f"label number {collision.number}: {collision.labels[audit.name]} here, {others}")
    return "\n".join(lines) + "\n"


def describe_finding(finding: Finding) -> str:
    """Return a finding as text, e.g. ``1 blank image``."""
    one, many = KINDS[finding.kind]
    return f"{finding.count} {one if finding.count == 1 else many}"


def write_audit(data_root: Path, name: str, audit: Audit) -> None:
    """Add an audit to the set's ``audit.json``; raises DataError if the set was rebuilt since."""
    if load_info(data_root, name).fingerprint != audit.fingerprint:
        raise DataError(f"{data_root / name}: rebuilt since the audit; run fer data audit {name} again")
    audits = load_audits(data_root, name) | {audit.split: audit}
    file = AuditFile(fingerprint=audit.fingerprint, audits=audits)
    write_text(data_root / name / "audit.json", file.model_dump_json(indent=1) + "\n")


def load_audits(data_root: Path, name: str) -> dict[str, Audit]:
    """Return the stored audits of the current build of a set by split; empty if there are none."""
    path = data_root / name / "audit.json"
    if why_unreadable(path, MOST) is not None:
        return {}
    try:
        content = path.read_text(encoding="utf-8")
        file = AuditFile.model_validate_json(content)
        return file.audits if file.fingerprint == load_info(data_root, name).fingerprint else {}
    except (OSError, UnicodeDecodeError, ValidationError, DataError):
        return {}


def audit_lines(data_root: Path, name: str) -> dict[str, str]:
    """Return split -> summary line of the stored audits of a set."""
    return {
        split: f"audit: {a.verdict} ({a.protocol})" + (f": {', '.join(a.reasons)}" if a.reasons else "")
        for split, a in load_audits(data_root, name).items()
    }
