"""Puts the verdicts of ``results/RESULTS.md`` into the README: ``python -m tests.verdicts`` after ``fer report --all``."""

from __future__ import annotations

from pathlib import Path

from fer_cli.report.overview import FILE, VERDICTS

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DECIDED = {"supported", "contradicted"}
BEGIN, END = "<!-- verdicts, by python -m tests.verdicts -->", "<!-- end of verdicts -->"


def put_verdicts(readme: str, overview: str) -> str:
    """Return the README with the counts of ``RESULTS.md`` and the claims that are decided between its marks."""
    counts, _, head, rule, *rows = overview.partition(f"## {VERDICTS}\n\n")[2].partition("\n\n## ")[0].split("\n")
    table = "\n".join([counts, "", head, rule, *(row for row in rows if row.split(" | ")[2] in DECIDED)])
    before, after = readme.partition(BEGIN)[0], readme.partition(END)[2]
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


if __name__ == "__main__":
    README.write_text(put_verdicts(README.read_text(), (ROOT / "results" / FILE).read_text()))
