"""Whatever text goes into another language comes out of it unchanged and changes nothing around it."""

import csv
import io
import re
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from fer_cli import escape

AWKWARD = st.text(st.sampled_from("\\`*_[]()<>!|#&;~$^%{}+-=@.:1 xa\"'é\n\r\t\x85\u2028\x1b\x00\u202e"), max_size=30)
TEXT = st.one_of(AWKWARD, st.text(max_size=30))
READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def read(tokens: list[Token]) -> str:
    """Return the text that a reader sees; what is set as code is put between backticks again."""
    parts = []
    for token in tokens:
        if token.type == "code_inline":
            parts.append(f"`{token.content}`")
        elif token.children is not None:
            parts.append(read(token.children))
        else:
            assert token.type in {"text", "text_special"}, token
            parts.append(token.content)
    return "".join(parts)


def seen(markdown: str, kind: str) -> list[str]:
    """Return the text of every inline block; the document holds blocks of one kind and nothing else."""
    allowed = {
        "heading": ("heading",),
        "item": ("bullet_list", "list_item", "paragraph"),
        "cell": ("table", "thead", "tbody", "tr", "th", "td"),
    }[kind]
    tokens = READER.parse(markdown)
    assert all(token.type == "inline" or token.type.startswith(allowed) for token in tokens), tokens
    return [read([token]) for token in tokens if token.type == "inline"]


@given(TEXT)
def test_markdown_reads_as_the_text_it_was(text: str) -> None:
    plain = escape.one_line(text)
    if not plain:
        return
    written = escape.markdown(text)
    assert seen(f"## {written}\n", "heading") == [plain]
    assert seen(f"- {written}\n- next\n", "item") == [plain, "next"]
    table = f"|  | {written} | x |\n|---|---|---|\n| {written} | **1** | {written} |\n"
    cells = [cell for cell in seen(table.replace("**1**", "1"), "cell") if cell]
    assert cells == [plain, "x", plain, "1", plain]


def test_ordinary_text_stays_as_it_is_in_markdown() -> None:
    for text in (
        "data.label_noise 0.2, split `subject` LEAKS: 5 folds",
        "fer data build ck48 --from ~/CK+48",
        "+1.20 [−0.35, +2.75]",
        "accuracy, difference to CNN in points [95 % interval], paired",
        "n < 5 & 2 * 3 = 6 (p > 0.05)",
    ):
        assert escape.markdown(text) == text


@given(TEXT)
def test_latex_has_no_bare_special_and_no_second_line(text: str) -> None:
    written = escape.latex(text)
    assert "\n" not in written and "\r" not in written
    bare = re.sub(r"\\text[a-z]+\{\}|\\`\{\}|\\[&%$#_{}]|\$(\\[a-zA-Z]+|-|\^2|\^\\circ)\$|-\{\}(?=-)", "", written)
    assert not re.search(r"[\\&%$#_{}~^]", bare), written
    comment = escape.latex_comment(text)
    assert comment.startswith("%") and len(comment.splitlines()) == 1
    row = escape.latex_row([written, "1"])
    assert not row.lstrip().startswith(("[", "*"))
    assert len(re.findall(r"(?<!\\)&", row)) == 1


def test_latex_of_what_ends_comments_rows_and_dashes() -> None:
    assert escape.latex_comment("a\nb\u2028\\input{x}") == r"% a b \input{x}"
    assert escape.latex_row(["[2] a", "1"]) == r"{}[2] a & 1 \\"
    assert escape.latex_row(["*", "1"]) == r"{}* & 1 \\"
    assert escape.latex("50 % of A_B & {C} --x") == r"50 \% of A\_B \& \{C\} -{}-x"


@given(st.lists(st.one_of(TEXT, st.integers(), st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=4))
def test_csv_gives_back_text_and_numbers_and_no_formula(row: list[object]) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([escape.csv_cell(value) for value in row])
    (back,) = csv.reader(io.StringIO(out.getvalue(), newline=""))
    for value, cell in zip(row, back, strict=True):
        if isinstance(value, str):
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
            plain = escape.one_line(value)
            assert cell in {plain, f"'{plain}"}
        else:
            assert type(value)(cell) == value


@given(TEXT)
def test_mlflow_patterns_match_their_text_and_cannot_end_early(text: str) -> None:
    pattern = escape.mlflow_pattern(text)
    assert re.fullmatch(r"'[^'\"`\\%;]*'", pattern)
    found = sqlite3.connect(":memory:").execute("SELECT ? LIKE ?", (text.replace("\0", "x"), pattern[1:-1])).fetchone()
    assert found == (1,)


@given(TEXT)
def test_terminals_are_not_steered(text: str) -> None:
    shown = escape.terminal(text)
    assert not any(escape.is_control(character) for character in shown if character not in "\n\t")
    assert shown.encode().decode() == shown
    assert escape.terminal("a\x1b[2Jb\udc80\n") == "a\\x1b[2Jb\\udc80\n"
    assert escape.terminal("a\nerror: b", kept="") == "a\\nerror: b"


@pytest.mark.parametrize("name", ["what?", "50%25 done", "a#b", "50%", "it's", 'quote"', "é ü", "a;b&c=d", "x@y:z", "[1]"])
def test_the_address_of_a_store_is_that_file_and_no_other(tmp_path: Path, name: str) -> None:
    import sqlalchemy

    folder = tmp_path / name
    folder.mkdir()
    engine = sqlalchemy.create_engine(escape.sqlite_uri(folder / "mlflow.db"))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE t (x)"))
    engine.dispose()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [folder / "mlflow.db"]
    with sqlite3.connect(folder / "mlflow.db") as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("t",)]
    connection.close()


def test_the_address_of_an_ordinary_store_is_plain(tmp_path: Path) -> None:
    assert escape.sqlite_uri(tmp_path / "a b" / "mlflow.db") == f"sqlite:///{tmp_path}/a b/mlflow.db"
    with pytest.raises(OSError, match="not UTF-8"):
        escape.sqlite_uri(tmp_path / "\udc80" / "mlflow.db")


def test_secrets_in_addresses_are_hidden() -> None:
    for text in (
        "http://me:pass-word@host:5000/x",
        "postgresql://me:pass-word@x/a@host/db",
        "cannot reach 'mysql+pymysql://me:p@ss-word@host/db'",
        "sqlite:///x.db?token=pass-word&a=1",
    ):
        assert "ss-word" not in escape.hide_secrets(text)
    for text in ("http://127.0.0.1:1/api refused", "sqlite:////home/x@y/mlflow.db"):
        assert escape.hide_secrets(text) == text


def test_errors_of_libraries_are_quoted_without_secrets_that_a_cut_would_halve() -> None:
    assert escape.quote_error(ValueError("cannot reach\n  http://me:pass-word@host/x")) == "cannot reach http://***@host/x"
    assert escape.quote_error(OSError()) == "OSError"
    assert escape.quote_error(ValueError(f"{'x' * 190} http://me:pass-word@host"), 200) == f"{'x' * 190} http://**…"


def test_names_and_values_in_messages() -> None:
    assert escape.bad_name("SCN-CS, é ü 表") is None and escape.bad_name(0.5) is None
    for name, words in (
        ("a\nb", "U+000A"),
        ("\x1b[31m", "U+001B"),
        ("\udc80", "U+DC80"),
        ("a\u202eb", "U+202E"),
        (" ", "visible"),
    ):
        assert words in str(escape.bad_name(name))
    assert "at most 200" in str(escape.bad_name("x" * 201))
    assert escape.cut("x" * 80) == "x" * 80
    assert escape.cut("x" * 1000) == "x" * 80 + "…"
    assert len(escape.cut(10**5000)) < 81
    assert escape.cut("a\nb\t\x1b") == "a\\nb\\t\\x1b"


def test_tables_and_talk_print_names_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fer_cli.cli.screen import print_table, say

    rows = [["[bold]a[/bold]", "\x1b[31mred\nerror: x"]]
    print_table(["[i]h[/i]", "b"], rows)
    assert capsys.readouterr().out == "[i]h[/i]\tb\n[bold]a[/bold]\t\ufffd[31mred error: x\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    print_table(["[i]h[/i]", "b"], rows)
    out = capsys.readouterr().out
    assert "[i]h[/i]" in out and "[bold]a[/bold]" in out and "\x1b[31m" not in out
    say("failed: a\x1b[2J\nerror: forged")
    assert capsys.readouterr().err == "failed: a\\x1b[2J\\nerror: forged\n"


def test_names_in_pictures_are_no_formula_and_need_no_glyph(tmp_path: Path) -> None:
    from fer_cli.drawing import save
    from fer_cli.learning.figures import confusion_figure
    from tests.fakes import fake_result

    result = fake_result(counts={"test": [[1, 0], [0, 1]]}, data={"classes": ["$\\foo$", "表情"]})
    assert save(confusion_figure(result), tmp_path / "x.png").stat().st_size > 1000
