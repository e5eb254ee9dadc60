"""Files of events, as recorders of lessons write them."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from fer_cli.interaction.events import PREFIX, Event
from fer_cli.places import write_text


def write_events(path: Path, events: Iterable[Event]) -> Path:
    """Write events as JSON lines, or as CSV if the suffix is .csv, and return the path."""
    if path.suffix.lower() != ".csv":
        write_text(path, "".join(event.model_dump_json(exclude_none=False) + "\n" for event in events))
        return path
    listed = list(events)
    classes = sorted({name for event in listed for name in event.probabilities or ()})
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [name for name in Event.model_fields if name != "probabilities"]
    writer.writerow([*names, *(PREFIX + name for name in classes)])
    for event in listed:
        cells = ["" if (value := getattr(event, name)) is None else value for name in names]
        writer.writerow([*cells, *((event.probabilities or {}).get(name, "") for name in classes)])
    write_text(path, out.getvalue())
    return path
