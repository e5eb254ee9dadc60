"""LaTeX tables: what a page has room for, names that mean something in TeX, counts out of the cells, captions and labels."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_cli import escape
from fer_cli.blocks import Note, Number, Table
from fer_cli.report.fit import PAGES, TALL, Grid, Piece, count_lines, fit, group_headings, split_words
from fer_cli.report.latex import grid_of, move_counts, piece, unique_label
from fer_cli.report.render import Report, render_latex, render_markdown
from fer_cli.report.reread import main, read_report, rewrite
from fer_cli.report.widths import text_points

ROOT = Path(__file__).parent.parent
TRACKED = sorted(
    path.with_suffix(".md") for folder in ("tables", "ancova") for path in (ROOT / "results" / folder).glob("*.tex")
)
AWKWARD = ["a_b 50 % & {c} #1", "[x] $y$", "*", "~^\\", "two\nlines", '`code` | <b> "q" -- --']


def share(value: float, sd: float | None = None, n: int | None = 5, planned: int | None = 5, best: bool = False) -> Number:
    return Number(value, sd, n=n, planned=planned, best=best)


def tabular(latex: str) -> list[list[str]]:
    """The cells of each row, rules left out."""
    body = latex.split(r"\begin{tabular}", 1)[1].split(r"\end{tabular}", 1)[0]
    rows = [line.removesuffix(r" \\") for line in body.splitlines() if line.endswith(r" \\")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)&", row)] for row in rows]


def test_golden_table_with_ties_missing_cells_and_awkward_names() -> None:
    """Two arms tie, one misses seeds: their number stays with its dash."""
    rows = [
        ("A_1", [share(0.9347, 0.0052, best=True), share(0.5, 0.1)]),
        ("[b] 50 %", [share(0.9347, 0.0105, best=True), Number(None, n=2, planned=5)]),
        ("*", [share(0.1, None, 1, 1), "95.80"]),
    ]
    table = Table("accuracy in %: mean ± sd, n = 5", ["noise 0.0", "noise 0.2"], rows, ["50 % & more"])
    latex = render_latex(Report("one & two on ck48 (small)", [table, Note("foot")]))
    assert (
        latex
        == r"""% needs \usepackage{booktabs,array}; made for 2-column pages
% foot

\begin{table}
\centering
\caption{one \& two on ck48 (small); accuracy in \%: mean $\pm$ sd, n = 5}
\label{tab:one-two-on-ck48-small:accuracy}
\begin{tabular}{lcc}
\toprule
 & \multicolumn{2}{c}{noise} \\
\cmidrule(lr){2-3}
 & 0.0 & 0.2 \\
\midrule
A\_1 & \textbf{93.47 $\pm$ 0.52} & 50.00 $\pm$ 10.00 \\
{}[b] 50 \% & \textbf{93.47 $\pm$ 1.05} & -- n = 2/5 \\
{}* & 10.00 & 95.80 \\
\bottomrule
\end{tabular}
\par\smallskip
\par\raggedright\footnotesize 50 \% \& more
\end{table}
"""
    )


def test_one_count_goes_into_the_captions_and_differences_have_a_minus() -> None:
    scores = Table("accuracy in %: mean ± sd (n)", ["accuracy"], [("A", [share(0.9, 0.01, planned=None)])])
    delta = Number(-0.012, interval=(-0.0305, 0.0065), unit="points")
    differences = Table("accuracy, difference to A in points [95 % interval]", ["accuracy"], [("B", [delta])])
    costs = Table("Model complexity", ["parameters"], [("A", [Number(1000, unit="count")])])
    told = replace(differences, title="accuracy, difference to B in points, n = 5")
    latex = render_latex(Report("t on s (small)", [scores, differences, costs, told]))
    captions = re.findall(r"\\caption\{(.*)\}", latex)
    assert captions == [
        r"t on s (small); accuracy in \%: mean $\pm$ sd (n = 5)",
        r"t on s (small); accuracy, difference to A in points [95 \% interval]; n = 5",
        "t on s (small); Model complexity",
        "t on s (small); accuracy, difference to B in points, n = 5",
    ]
    assert r"B & $-$1.20 [$-$3.05, +0.65] \\" in latex
    assert re.findall(r"\\label\{(.*)\}", latex) == [
        "tab:t-on-s-small:accuracy",
        "tab:t-on-s-small:accuracy-difference-to-a",
        "tab:t-on-s-small:model-complexity",
        "tab:t-on-s-small:accuracy-difference-to-b",
    ]


def test_labels_are_unique_and_plain() -> None:
    known: list[str] = []
    assert [unique_label("tab:a", known) for _ in range(3)] == ["tab:a", "tab:a-2", "tab:a-3"]
    latex = render_latex(Report("ÄÖ _%", [Table("§§", ["x"], [("a", ["1"])]), Table("§", ["x"], [("a", ["1"])])]))
    assert re.findall(r"\\label\{(.*)\}", latex) == ["tab:table:table", "tab:table:table-2"]


def test_flags_stay_with_the_numbers() -> None:
    grid, n = move_counts(Grid("t", (Piece(()), Piece(("x",))), ((Piece(("A",)), piece("61.00 ± 2.00 (3) †‡")),)))
    assert (grid.rows[0][1].text, n) == ("61.00 ± 2.00 †‡", "3")
    assert escape.latex("2.00 †‡") == r"2.00 $\dagger$$\ddagger$"


def test_headings_that_begin_alike_share_one() -> None:
    def groups(*headings: str) -> tuple[list[str], list[tuple[str, int, int]]]:
        grid, found = group_headings(Grid("t", (Piece(()), *map(split_words, headings)), ()))
        return [piece.text for piece in grid.head[1:]], [(group.name, group.first, group.last) for group in found]

    assert groups("accuracy", "he-2025: a", "he-2025: b") == (["accuracy", "a", "b"], [("he-2025", 2, 3)])
    assert groups("label noise 0.0", "label noise 0.2") == (["0.0", "0.2"], [("label noise", 1, 2)])
    assert groups("CNN + HOG", "CNN + SIFT", "HOG")[1] == [], "a sum is no common heading"
    assert groups("p", "p from F") == (["p", "p from F"], [])


def test_widths_are_those_of_computer_modern() -> None:
    """Measured by TeX with \\settowidth: W, +51.93, the same in bold."""
    assert text_points("W") == pytest.approx(10.28, abs=0.01)
    assert text_points("+51.93") == pytest.approx(30.56, abs=0.05)
    assert text_points("+51.93", bold=True) == pytest.approx(35.14, abs=0.5)


LONG = "An arm with a long name (re-implemented by others) and more of it"


def test_a_table_takes_the_least_that_fits() -> None:
    def made(columns: int, label: str = "A", cell: str = "93.47 ± 0.52", rows: int = 3) -> Grid:
        row = (split_words(label), *[piece(cell)] * columns)
        return Grid("t", (Piece(()), *[Piece((f"c{i}",)) for i in range(columns)]), (row,) * rows)

    plain = fit(made(2), 2)
    assert (plain.wide, plain.font, plain.parts[0][1]) == (False, "", (None, None, None))
    wrapped = fit(made(1, LONG), 2)
    assert (wrapped.wide, wrapped.font) == (False, "") and wrapped.parts[0][1][0] is not None
    stacked = fit(made(2, "A", "+51.93 [+48.47, +55.39]"), 2)
    assert not stacked.wide and stacked.parts[0][1][1] is not None, "intervals go below"
    wide = fit(made(5, LONG), 2)
    assert (wide.wide, wide.font) == (True, "")
    assert fit(made(5, LONG), 1).wide is False, "a page of one column has no wider one"
    assert fit(made(6, LONG), 2).font == r"\footnotesize"
    assert len(fit(made(20), 2).parts) > 1, "parts below each other"
    tall = fit(made(1, LONG, rows=200), 2)
    assert sum(count_lines(*tall.parts[0][:2])) * 12 > TALL
    latex = render_latex(Report("r", [Table("t", ["x"], [(LONG, ["1"])] * 200)]))
    assert latex.count(r"\begin{table") > 3 and latex.count(r"\label") == 1
    assert latex.count(LONG) == 200


def test_captions_headings_and_notes_take_room_on_the_page() -> None:
    """A table that fills a page by its rows alone is broken; the last float has all notes, and rows enough for no more."""
    rows = [(f"row {number}", ["1"]) for number in range(40)]

    def broken(notes: list[str]) -> list[int]:
        latex = render_latex(Report("r", [Table("t", ["x"], rows, notes)]))
        floats = latex.split(r"\begin{table")[1:]
        assert [latex.count(note) for note in notes] == [floats[-1].count(note) for note in notes] == [1] * len(notes)
        return [part.count("row ") for part in floats]

    assert broken([]) == [40]
    before, last = broken([f"note {'word ' * 60}{number}." for number in range(6)])
    assert before + last == 40 and before >= 15 and last < 30
    assert broken([f"note {'word ' * 90}{number}." for number in range(30)]) == [39, 1]


@given(
    st.lists(st.text(st.sampled_from("a _%&[]*~^\\\n{}$#\"'`|-"), max_size=30), min_size=1, max_size=4),
    st.integers(1, 9),
    st.sampled_from([1, 2]),
)
def test_every_table_is_balanced_and_within_the_page(labels: list[str], columns: int, page: int) -> None:
    rows = [(label, [share(0.9347, 0.0052)] * columns) for label in labels]
    report = Report("\\x & y", [Table("t_1 (n)", [f"{labels[0]} {i}" for i in range(columns)], rows)], page_columns=page)
    latex = render_latex(report)
    for name in ("tabular", "table"):
        assert len(re.findall(rf"\\begin\{{{name}\*?\}}", latex)) == len(re.findall(rf"\\end\{{{name}\*?\}}", latex)) > 0
    for part in latex.split(r"\begin{tabular}")[1:]:
        cells = {len(row) for row in tabular(r"\begin{tabular}" + part) if not row[-1].startswith(r"\multi")}
        assert len(cells) >= 1
    fitted = fit(grid_of(report.tables[0]), page)
    for _, widths, _ in fitted.parts:
        assert sum(width or 0.0 for width in widths) <= PAGES[page][1]


def test_markdown_is_read_back_to_the_same_latex(tmp_path: Path) -> None:
    rows = [(name, [share(0.9, 0.01, best=True), "α sd 0.1; **x** | y", ""]) for name in AWKWARD]
    delta = Number(-0.012, interval=(-0.0305, 0.0065), unit="points")
    tables = [
        Table("A_b in %: mean ± sd (n)", ["*c*", "d|e", "f"], rows, ["note `code` * _x_"]),
        Table("B", ["g"], [("h", [delta])]),
    ]
    report = Report("title_1 *of* it", [Note("head `a`", head=True), *tables, Note("foot & 50 %")])
    path = tmp_path / "one.md"
    path.write_text(render_markdown(report))
    assert rewrite(path) == render_latex(report)
    main([str(path), "--columns", "1"])
    assert path.with_suffix(".tex").read_text() == render_latex(Report(report.title, report.blocks, page_columns=1))


@pytest.mark.parametrize("path", TRACKED, ids=lambda path: path.stem)
def test_tracked_latex_is_that_of_the_markdown_beside_it(path: Path) -> None:
    """If not: python -m fer_cli.report.reread FILE.md"""
    assert path.with_suffix(".tex").read_text() == rewrite(path)
    _, _, grids = read_report(path.read_text())
    assert sum(len(grid.rows) for grid in grids) == sum(
        line.startswith("|") for line in path.read_text().splitlines()
    ) - 2 * len(grids)


PREAMBLE = (
    r"\documentclass[a4paper,10pt,{}]{{article}}\usepackage[utf8]{{inputenc}}\usepackage{{booktabs,array}}\begin{{document}}"
)


def compile_pages(folder: Path, files: list[Path], layout: str) -> str:
    """Return the log of pdflatex on a page each."""
    if shutil.which("pdflatex") is None:
        pytest.fail("no pdflatex: apt-get install texlive-latex-base texlive-latex-recommended")
    inputs = "\n".join(rf"\typeout{{FILE {path.stem}}}\input{{{path}}}\clearpage" for path in files)
    (folder / "all.tex").write_text(PREAMBLE.format(layout) + f"\n{inputs}\n" + r"\end{document}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    called = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, errors="replace", check=False)
    assert called.returncode == 0, called.stdout[-2000:]
    return (folder / "all.log").read_text(errors="replace")


@pytest.mark.exhaustive
def test_every_tracked_table_compiles_within_its_columns(tmp_path: Path) -> None:
    """No box is more than 5 pt too wide or too high, and no float is taller than a page; awkward names as well."""
    rows = [(name, [share(0.9, 0.01, best=True), Number(None, n=2, planned=5), "–"]) for name in AWKWARD]
    awkward = Report("t_1 %", [Table(name, AWKWARD[:3], rows, [name]) for name in AWKWARD])
    files = [path.with_suffix(".tex") for path in TRACKED]
    for page, layout in ((2, "twocolumn"), (1, "onecolumn")):
        folder = tmp_path / layout
        folder.mkdir()
        (folder / "awkward.tex").write_text(render_latex(Report(awkward.title, awkward.blocks, page_columns=page)))
        if page == 1:
            files = [folder / path.name for path in files]
            for path, source in zip(files, TRACKED, strict=True):
                path.write_text(rewrite(source, 1))
        log = compile_pages(folder, [folder / "awkward.tex", *files], layout)
        assert log.count("FILE ") >= len(files) + 1 > 20
        over = [float(points) for points in re.findall(r"Overfull \\[hv]box \(([\d.]+)pt too", log)]
        assert max(over, default=0.0) <= 5.0
        assert "Float too large" not in log
