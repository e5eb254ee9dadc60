"""Sets that tests draw whole, or change as if they had been built so."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_cli.data.cards import Embedded
from fer_cli.data.manifest import MANIFEST, SetInfo, load_info, write_info
from fer_cli.progress import silent
from fer_cli.synthetic.deal import list_samples
from fer_cli.synthetic.sets import hash_images, make_tasks, render_tasks


def rewrite(folder: Path, manifest: pd.DataFrame | None = None, **changes: Any) -> SetInfo:
    """Write ``set.json`` of a set again with other settings, beside another manifest if one is given."""
    info = load_info(folder.parent, folder.name).model_copy(update=changes)
    return write_info(folder, info, pd.read_parquet(folder / MANIFEST) if manifest is None else manifest)


def render_set(options: Embedded, classes: list[str], jobs: int = 1) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame]:
    """Return manifest, images (N, S, S) uint8 and ground truth of a whole set, rendered by ``jobs`` processes."""
    images, truth = render_tasks(make_tasks(options, classes), jobs, silent)
    return list_samples(options, classes).assign(sha256=hash_images(images)), images, truth
