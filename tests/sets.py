"""Built sets that tests change as if they had been built so."""

from pathlib import Path
from typing import Any

import pandas as pd

from fer_cli.data.manifest import MANIFEST, SetInfo, load_info, write_info


def rewrite(folder: Path, manifest: pd.DataFrame | None = None, **changes: Any) -> SetInfo:
    """Write ``set.json`` of a set again with other settings, beside another manifest if one is given."""
    info = load_info(folder.parent, folder.name).model_copy(update=changes)
    return write_info(folder, info, pd.read_parquet(folder / MANIFEST) if manifest is None else manifest)
