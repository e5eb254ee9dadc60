"""Which pictures an embedded set has: class, person and number of each, from its options alone.

The k-th picture does not depend on how many are asked for, so a larger set holds all pictures of a smaller one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fer_cli.data.manifest import COLUMNS
from fer_cli.seeds import derive_seed

if TYPE_CHECKING:
    from fer_cli.data.cards import Embedded


def deal_pictures(options: Embedded, classes: list[str]) -> pd.DataFrame:
    """Return subject and number (int64) and label of each picture or clip, sorted by person and number.

    Classes take turns by the card's proportions (default: equal), each first once; the j-th picture of a class comes when
    the sequence has (j + 1/2) / share pictures, so that every prefix is as close to the proportions as whole numbers allow.
    The pictures of a class go to the people in rounds of random order.
    """
    shares = np.array([options.proportions.get(label, 1) if options.proportions else 1 for label in classes], float)
    shares /= shares.sum()
    counts = np.ceil(shares * options.images).astype(int) + 1
    code = np.repeat(np.arange(len(classes)), counts)
    turn = np.concatenate([np.arange(count) for count in counts])
    due = np.where(turn == 0, 0.0, (turn + 0.5) / shares[code])
    order = np.lexsort((code, due))[: options.images]
    people = np.concatenate([deal_people(options, label, count) for label, count in zip(classes, counts, strict=True)])
    found = pd.DataFrame({"subject": people[order], "label": np.array(classes, object)[code[order]]})
    found.insert(1, "number", found.groupby("subject").cumcount())
    return found.sort_values(["subject", "number"], ignore_index=True)


def deal_people(options: Embedded, label: str, count: int) -> np.ndarray:
    """Return the person of each of the first ``count`` pictures of a class, (count,) int64."""
    rounds = range(-(-count // options.subjects))
    rngs = (np.random.default_rng(derive_seed(options.seed, "dealing", label, number)) for number in rounds)
    return np.concatenate([rng.permutation(options.subjects) for rng in rngs])[:count]


def clip_length(options: Embedded, rng: np.random.Generator) -> int:
    """Return the number of frames of a clip, the first draw of its random stream; 1 for a still."""
    return int(rng.integers(options.frames[0], options.frames[1] + 1)) if options.frames else 1


def picture_stream(options: Embedded, subject: int, number: int) -> np.random.Generator:
    """Return the random stream of a person's picture or clip."""
    return np.random.default_rng(derive_seed(options.seed, "picture", subject, number))


def name_picture(subject: int, number: int) -> str:
    """Return the name of a picture or clip."""
    return f"{subject:05d}-{number:04d}"


def list_samples(options: Embedded, classes: list[str]) -> pd.DataFrame:
    """Return the manifest of a set of which nothing is drawn yet: one row per image or frame, without SHA-256."""
    dealt = deal_pictures(options, classes)
    names = [name_picture(*place) for place in zip(dealt["subject"], dealt["number"], strict=True)]
    manifest = pd.DataFrame(
        {"sequence": names, "label": dealt["label"], "subject": [f"p{number:05d}" for number in dealt["subject"]]}
    )
    manifest = manifest.assign(file="", split="none", sha256="")
    if options.frames:
        streams = (picture_stream(options, *place) for place in zip(dealt["subject"], dealt["number"], strict=True))
        manifest = manifest.loc[np.repeat(manifest.index, [clip_length(options, stream) for stream in streams])]
    manifest = manifest.assign(frame=manifest.groupby("sequence").cumcount().astype(np.int64)).reset_index(drop=True)
    samples = manifest["sequence"]
    if options.frames:
        samples = samples + "-" + manifest["frame"].map("{:02d}".format)
    return manifest.assign(sample=samples, name=samples)[list(COLUMNS)]
