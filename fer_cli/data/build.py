"""Building a set from a source folder: scan, decode, compare with the card, write atomically."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from fer_cli import __version__
from fer_cli.data.archive import archive_of, source_at
from fer_cli.data.block import Block, picture_shape
from fer_cli.data.cards import Card, has_card, load_card
from fer_cli.data.compare import check_scan, differences
from fer_cli.data.decode import Preparation, decode_all, recorded_steps
from fer_cli.data.files import readable_name, shorten
from fer_cli.data.identity import SCHEME, clip_codes, fingerprint, image_hash, sample_ids
from fer_cli.data.importers import CLIP_IMPORTERS, IMPORTERS
from fer_cli.data.importers.accounts import accounts
from fer_cli.data.importers.found import Found, Scan
from fer_cli.data.importers.hints import where_to_point
from fer_cli.data.importers.sequences import spread_over
from fer_cli.data.manifest import COLUMNS, IMAGES, TIME, SetInfo, load_info, write_info
from fer_cli.data.own import Own, scan_own
from fer_cli.data.pack import Pack, Row, check_place, draft_folder, job_digest
from fer_cli.data.rebuild import FRAMES
from fer_cli.errors import DataError, nearest
from fer_cli.progress import Progress, silent
from fer_cli.signals import hold_signals
from fer_cli.yamls import explain

LEFT_OUT = "left out"
"""Status of files that are not part of the set."""
ALLOW = "pass --allow-incomplete to build without them"


@dataclass(frozen=True)
class Choices:
    """User options for building a set from files."""

    preparation: dict[str, Any] = field(default_factory=dict)
    """Settings of ``Preparation``; defaults: the card's size, grey, whole images."""
    drop_duplicates: bool = False
    """Keep only the first of identical files, or of identical boxes in them."""
    replace: bool = False
    """Allow replacing a larger set."""
    threads: int | None = None
    frames: int | None = None
    """Evenly spaced frames of each sequence or video, for clips; None: those that the importer takes for stills."""


def scan_source(card: Card, source: Path, frames: int | None = None) -> Scan:
    """Scan ``source`` with the card's importer; ``frames``: see ``Choices``.

    Raises DataError for an embedded set, a card without importer, one without sequences if ``frames`` are given, and a
    folder without images.
    """
    if card.embedded is not None:
        raise DataError(f"data set '{card.name}' is rendered, not read from files; build it without --from")
    if card.name not in IMPORTERS:
        raise DataError(f"data set '{card.name}' has a card but no importer{nearest(card.name, IMPORTERS)}")
    if frames is None:
        scan = accounts(source, IMPORTERS[card.name](source, card))
    elif card.name in CLIP_IMPORTERS:
        scan = accounts(source, CLIP_IMPORTERS[card.name](source, card, spread_over(frames)))
        scan = dataclasses.replace(scan, counts={}, most=len(scan.found))  # the card counts stills
    else:
        able = ", ".join(CLIP_IMPORTERS)
        raise DataError(f"--frames: {card.name} has no sequences that are read so; sets that have: {able}, and your own")
    if not scan.found:
        gone = "".join(f"; {len(files)} {reason}" for reason, files in scan.skipped.items())
        pointer = where_to_point(source, card.folders)
        raise DataError(f"{source}: contains no images; read as {scan.layout}, but none is labelled{gone}{pointer}")
    return scan


def build_set(
    name: str,
    source: Path,
    data_root: Path,
    allow_incomplete: bool = False,
    choices: Choices = Choices(),
    progress: Progress = silent,
) -> SetInfo:
    """Build data set ``name`` from ``source`` into ``data_root``; an interrupted build is resumed.

    Raises DataError, leaving nothing behind, for an unknown card or importer, no images, unknown classes and, unless
    ``allow_incomplete``, for unreadable images or counts that differ from the card's.
    """
    card = load_card(name)
    with source_at(source) as place:
        return build_scan(
            card, place, scan_source(card, place, choices.frames), data_root, allow_incomplete, choices, progress
        )


def build_scan(
    card: Card,
    source: Path,
    scan: Scan,
    data_root: Path,
    allow_incomplete: bool = False,
    choices: Choices = Choices(),
    progress: Progress = silent,
    own: Own | None = None,
) -> SetInfo:
    """Pack a scan of ``source`` as data set ``card.name`` (see ``build_set``); ``own``: options of a set without card."""
    how = preparation_of(card, choices)
    check_scan(card, scan, source, allow_incomplete)
    check_size(data_root, card.name, len(scan.found), choices.replace)
    tail = picture_shape(how.size, 1 if how.colour == "grey" else 3)
    about = {"name": card.name, "card": card.version, "fer": __version__, "how": how.model_dump()}
    about |= {"duplicates": choices.drop_duplicates, "scheme": SCHEME}
    with draft_folder(data_root, card.name) as draft:
        pack = Pack(draft, tail, job_digest(scan.found, source, about))
        rest = scan.found[len(pack.rows) :]
        decoded = decode_all(rest, how, choices.threads or os.cpu_count() or 1)
        for _ in progress(pack.add(decoded, scan.found, choices.drop_duplicates), len(rest)):
            pass
        check_whole(scan, source, pack.rows, allow_incomplete)
        check_size(data_root, card.name, sum(row[0] == "kept" for row in pack.rows), choices.replace)
        manifest, order = manifest_of(scan.found, pack.rows, source, how.crop is not None)
        images = pack.finish(order)
        used = [row for row in pack.rows if row[0] == "kept"]
        steps = [{"step": FRAMES, "per clip": choices.frames}] if choices.frames else []
        steps += recorded_steps(how, {row[3] for row in used}, any(row[5] for row in used))
        gone = list_left_out(scan, pack.rows, source)
        info = describe_built(card, scan, pack.rows, manifest, images, steps, gone).model_copy(
            update={"own": own.given_options() if own else {}}
        )
        if (archive := archive_of(source)) is not None:
            info = info.model_copy(update={"archive": {readable_name(archive.file.name): archive.sha256()}})
        gone.to_csv(draft / "left_out.csv", index=False)
        info = write_info(draft, info, manifest)
        move_into_place(draft, data_root / card.name)
    return info


def build_own(
    name: str,
    source: Path,
    layout: str | None,
    subject: str | None,
    data_root: Path,
    allow_incomplete: bool = False,
    choices: Choices = Choices(),
    progress: Progress = silent,
    label: str | None = None,
    codes: str | None = None,
) -> SetInfo:
    """Build a user's own data as set ``name``; ``layout``, ``subject``, ``label`` and ``codes``: see ``Own``.

    Raises DataError for the name of a card, and as ``scan_own`` and ``build_set`` do.
    """
    if has_card(name):
        raise DataError(f"{name}: has a card; build it without --layout and --label, or choose another name")
    if not name.replace("-", "").replace("_", "").isalnum():
        raise DataError(f"{name}: set names consist of letters, digits, '-' and '_'")
    own = Own(layout, subject, label, codes, choices.frames)
    with source_at(source) as place:
        card, scan, folder = scan_own(name, place, own)
        return build_scan(card, folder, scan, data_root, allow_incomplete, choices, progress, own)


def preparation_of(card: Card, choices: Choices) -> Preparation:
    """Return the preparation settings; raises DataError naming a wrong option."""
    given = {"size": card.image_size} | choices.preparation
    if "crop" in given:  # same size and interpolation with and without a detected face
        smooth = {"interpolation": how} if (how := given.get("interpolation", "area")) != "area" else {}
        given["crop"] = {"size": given["size"], **smooth, **given["crop"]}
    try:
        return Preparation.model_validate(given)
    except ValidationError as error:
        raise DataError(f"--{explain(error, Preparation).removeprefix('crop.').removeprefix('crop: ')}") from None


def previous_info(data_root: Path, name: str) -> SetInfo | None:
    """Return the info of the set that a build would replace, None if there is no usable one."""
    try:
        return load_info(data_root, name)
    except DataError:
        return None


def check_size(data_root: Path, name: str, images: int, replace: bool) -> None:
    """Raise DataError if a set of ``images`` images (or clips) would replace a larger one without ``replace``."""
    old = previous_info(data_root, name)
    held = 0 if old is None else old.clips or old.kept
    if old is not None and images < held and not replace:
        what = f"has {held} {'clips' if old.clips else 'images'} (fingerprint {old.fingerprint}), this build only {images}"
        raise DataError(f"{data_root / name}: {what}; pass --replace to replace it, or another --data-root")


def check_whole(scan: Scan, source: Path, rows: list[Row], allowed: bool) -> None:
    """Raise DataError if images are unreadable and that is not ``allowed``, or if none is left."""
    kept = [image for image, row in zip(scan.found, rows, strict=True) if row[0] == "kept"]
    unreadable = [
        (display_name(image, source), row) for image, row in zip(scan.found, rows, strict=True) if row[0] == "unreadable"
    ]
    if unreadable and not allowed:
        first = ", ".join(
            [*(f"{shorten(name)} ({row[4]})" for name, row in unreadable[:5]), *["..."][: len(unreadable) - 5]]
        )
        raise DataError(f"{len(unreadable)} of {len(scan.found)} images in {source} cannot be read: {first}; {ALLOW}")
    if not kept:
        reasons = "; ".join(f"{n} {why}" for why, n in Counter(row[4] for row in rows).most_common(3))
        raise DataError(f"{source}: none of {len(scan.found)} images can be used ({reasons})")


def display_name(image: Found, source: Path) -> str:
    """Return an image's path below the source, with the sample name if the file holds several."""
    path = path_below(image, source)
    alone = image.pixels is None and image.moment is None and image.box is None
    return path if alone else f"{path} [{image.sample}]"


def path_below(image: Found, source: Path) -> str:
    """Return the path of an image's file below the source, or its name if the source is that file."""
    return readable_name(image.file.name if image.file == source else image.file.relative_to(source).as_posix())


def manifest_of(found: list[Found], rows: list[Row], source: Path, faces: bool) -> tuple[pd.DataFrame, list[int]]:
    """Return the manifest of kept images in sample order, and that order as positions in the array.

    ``faces`` adds a column that says whether a face was detected; frames of videos have one with their time.
    """
    kept = [(image, row) for image, row in zip(found, rows, strict=True) if row[0] == "kept"]
    ids = sample_ids([image for image, _ in kept], [row[1] for _, row in kept])
    order = sorted(range(len(kept)), key=ids.__getitem__)
    cells = []
    for place in order:
        image, row = kept[place]
        what = (image.label, image.subject, image.sequence, image.frame, image.split, row[1])
        cells.append((ids[place], image.sample, path_below(image, source), *what))
    manifest = pd.DataFrame(cells, columns=list(COLUMNS))
    if any(row[6] is not None for _, row in kept):
        manifest[TIME] = np.array([kept[place][1][6] for place in order], dtype=np.float64)
    return manifest.assign(face=[bool(kept[place][1][2]) for place in order]) if faces else manifest, order


def list_left_out(scan: Scan, rows: list[Row], source: Path) -> pd.DataFrame:
    """Return all images that were not kept: file, label (or empty), status (unreadable, ..., left out) and reason."""
    gone = [
        (display_name(f, source), f.label, row[0], row[4])
        for f, row in zip(scan.found, rows, strict=True)
        if row[0] != "kept"
    ]
    gone += [(name, "", LEFT_OUT, reason) for reason, names in scan.skipped.items() for name in names]
    return pd.DataFrame(gone, columns=["file", "label", "status", "reason"])


def describe_built(
    card: Card,
    scan: Scan,
    rows: list[Row],
    manifest: pd.DataFrame,
    images: Block,
    steps: list[dict[str, Any]],
    gone: pd.DataFrame,
) -> SetInfo:
    """Return the content of ``set.json`` for a set built from files."""
    gone = gone[gone["status"] != LEFT_OUT]  # those are in ``skipped``
    files = {status: dict(zip(part["file"], part["reason"], strict=True)) for status, part in gone.groupby("status")}
    kept = [image for image, row in zip(scan.found, rows, strict=True) if row[0] == "kept"]
    info = describe_set(card, manifest, images, steps)
    return info.model_copy(
        update={
            "layout": scan.layout,
            "found": len(manifest) + len(gone),
            "unreadable": files.get("unreadable", {}),
            "no_face": list(files.get("no face", [])),
            "duplicates": list(files.get("duplicate", [])),
            "skipped": scan.skipped,
            "others": scan.others,
            "differences": differences(card, scan.counts, kept),
            "expected": scan.counts,
            "left_out": {status: part["label"].value_counts().to_dict() for status, part in gone.groupby("status")},
            "notes": dict(Counter(row[4] for row in rows if row[0] == "kept" and row[4])),
            "undetected": int((~manifest["face"]).sum()) if "face" in manifest else None,
        }
    )


def describe_set(
    card: Card,
    manifest: pd.DataFrame,
    images: Block,
    steps: list[dict[str, Any]],
    identity: str | None = None,
    embedded: dict[str, Any] | None = None,
) -> SetInfo:
    """Return the content of ``set.json``; ``identity``: fingerprint of an embedded set (default: that of the content)."""
    counts, images_sha256 = Counter(manifest["label"]), image_hash(images)
    return SetInfo(
        name=card.name,
        title=card.pretty_name,
        card_version=card.version,
        licence=card.licence,
        classes=card.classes,
        counts={label: counts[label] for label in card.classes},
        subjects=manifest.loc[manifest["subject"] != "", "subject"].nunique(),
        sequences=None if (codes := clip_codes(manifest)).min(initial=0) < 0 else len(set(codes.tolist())) or None,
        image_size=images.side,
        preprocessing=steps,
        found=len(manifest),
        kept=len(manifest),
        unreadable={},
        differences=[],
        fingerprint=identity or fingerprint(manifest, images_sha256, steps, card.classes),
        fer_version=__version__,
        files={IMAGES: images_sha256},
        embedded=embedded,
    )


def move_into_place(draft: Path, final: Path) -> None:
    """Move a finished draft into place; the older build is replaced only now, and restored on failure.

    A signal that comes meanwhile is raised afterwards, when one of the two is in place.
    """
    check_place(final)
    old = final.with_name(f".{final.name}.{os.getpid()}.old")
    try:
        with hold_signals():
            if final.exists():
                final.rename(old)
            try:
                draft.rename(final)
            except BaseException:
                if old.exists():
                    old.rename(final)
                raise
    finally:
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)
