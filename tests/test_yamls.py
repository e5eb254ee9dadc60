"""Study files: scalars of YAML 1.2, merge keys, limits that hold before memory or time is spent, odd bytes, odd names."""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fer_cli.data.cards import read_card
from fer_cli.data.listed import read_sample_table
from fer_cli.errors import DataError, FerError, StudyError
from fer_cli.expand import expand
from fer_cli.study import Choice, load_study
from fer_cli.yamls import parse_yaml, read_text
from tests.conftest import STUDY, Called

Fer = Callable[..., Called]


def parsed(text: str) -> dict[str, Any]:
    return parse_yaml(text, "x.yaml", StudyError)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("-007", -7),
        ("+5", 5),
        ("0o17", 15),
        ("0xfF", 255),
        ("1e-3", 0.001),
        ("-1.5E+2", -150.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.inf", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("", None),
        *(
            (word, word)
            for word in ("1:04", "1_000", "0b11", "017x", "yes", "no", "on", "Off", "y", "2024-01-01", "=", "nUll")
        ),
        ("'010'", "010"),
        ("!!str 010", "010"),
        ("!!int '12'", 12),
        ("!!float 3", 3.0),
    ],
)
def test_scalars_are_those_of_the_core_schema(text: str, value: Any) -> None:
    found = parsed(f"key: {text}")["key"]
    assert (found, type(found)) == (value, type(value))


def test_not_a_number_is_a_number() -> None:
    assert math.isnan(parsed("key: .NaN")["key"])
    assert parsed("no: 1\nyes: 2\nnull_: 3\n") == {"no": 1, "yes": 2, "null_": 3}


def test_merge_keys_merge_and_own_keys_win() -> None:
    text = """
a: &a {x: 1, y: 1}
b: &b {y: 2, z: 2}
one: {<<: *a, x: 9}
list: {<<: [*b, *a], w: 0}
deep: {<<: {<<: *a, q: 5}, y: 7}
"""
    tree = parsed(text)
    assert tree["one"] == {"x": 9, "y": 1}
    assert tree["list"] == {"x": 1, "y": 2, "z": 2, "w": 0}
    assert tree["deep"] == {"x": 1, "y": 7, "q": 5}
    assert tree["a"] == {"x": 1, "y": 1}


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 200))
MERGES = "a0: &a0 {x: 1, y: 2}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 12)
)
WRONG = {
    "aliases": (BOMB, "more than the limit of 10,000 values"),
    "merges": (MERGES, "more than the limit of 10,000 values"),
    "many": ("a: [" + "1," * 400_000 + "]", "more than the limit of 10,000 values"),
    "deep": ("a: " + "[" * 60_000, "nested deeper than the limit of 50 levels"),
    "deep mappings": ("".join(" " * i + "a:\n" for i in range(400)), "nested deeper than the limit of 50 levels"),
    "deep aliases": (CHAIN, "nested deeper than the limit of 50 levels"),
    "circle": ("a: &a [*a]", "an alias that contains itself"),
    "circle of mappings": ("a: &a {b: *a}", "an alias that contains itself"),
    "unknown alias": ("a: *b", "undefined alias"),
    "duplicate": ("a: 1\nb: 2\na: 3", "line 3: not valid YAML: duplicate key 'a'"),
    "duplicate merge": ("x: &x {a: 1}\ny: {<<: *x, <<: *x}", "duplicate key '<<'; merge several with <<: [*a, *b]"),
    "merge of a scalar": ("a: {<<: 3}", "expected a mapping"),
    "key 1": ("1: a", "key 1 is not a name; put it in quotes"),
    "key nan": (".nan: a", "key .nan is not a name"),
    "no key": ("?\n: b", "key (none) is not a name"),
    "list as key": ("? [a]\n: b", "key a list or mapping is not a name"),
    "tagged key": ("? !!str [a]\n: b", "is not a name"),
    "binary": ("a: !!binary aGk=", "tag !!binary is not supported"),
    "set": ("a: !!set {b}", "tag !!set is not supported"),
    "omap": ("a: !!omap [b: 1]", "tag !!omap is not supported"),
    "timestamp": ("a: !!timestamp 2024-01-01", "tag !!timestamp is not supported"),
    "python": ("a: !!python/object/apply:os.system [ls]", "is not supported"),
    "own tag": ("a: !b c", "tag !b is not supported"),
    "unknown handle": ("a: !b!c d", "undefined tag handle"),
    "wrong int": ("a: !!int b", "'b' is not of type int"),
    "wrong bool": ("a: !!bool 5", "'5' is not of type bool"),
    "wrong float": ("a: !!float 1:2", "'1:2' is not of type float"),
    "int of a list": ("a: !!int [1]", "expected a int"),
    "huge": ("a: " + "9" * 200_000, "has more than 63 bits"),
    "huge hex": ("a: 0x" + "f" * 100, "has more than 63 bits"),
    "control": ("a: b\x07", "line 1: not valid YAML: the character U+0007 is not allowed"),
    "nul": ("a: b\nc: \x00", "line 2: not valid YAML: the character U+0000 is not allowed"),
    "escaped control": ('a: "\\e[31m"', "the character U+001B is not allowed"),
    "lone surrogate": ('a: "\\ud800"', "U+D800"),
    "beyond unicode": ('a: "\\UFFFFFFFF"', "not valid YAML"),
    "tab": ("a:\n\t- b", "not valid YAML"),
    "two documents": ("a: 1\n---\nb: 2", "not valid YAML"),
    "directive": ("%YAML 3.0\n---\na: 1", "not valid YAML"),
    "list": ("- a", "expected a mapping of settings, found list"),
    "nothing": ("", "expected a mapping of settings, found NoneType"),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_odd_files_are_one_line_at_once(case: str) -> None:
    text, words = WRONG[case]
    began = time.monotonic()
    with pytest.raises(StudyError) as caught:
        parsed(text)
    line = str(caught.value)
    assert words in line and "\n" not in line and len(line) < 300
    assert time.monotonic() - began < 5


@contextmanager
def within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


@pytest.mark.parametrize("make", ["folder", "pipe", "device", "huge", "not utf-8", "utf-16", "circle of links", "long name"])
def test_what_is_no_text_file_is_one_line(fer: Fer, tmp_path: Path, make: str) -> None:
    path = tmp_path / "x.yaml"
    words = {
        "folder": "a folder, not a file",
        "pipe": "a pipe or a device, not a file",
        "device": "a pipe or a device, not a file",
        "huge": "larger than the limit of 1 MB",
        "not utf-8": "line 2: not UTF-8",
        "utf-16": "line 1: not UTF-8",
        "circle of links": "cannot be read (Too many levels of symbolic links)",
        "long name": "no such file",
    }[make]
    if make == "folder":
        path.mkdir()
    elif make == "pipe":
        os.mkfifo(path)
    elif make == "device":
        path.symlink_to("/dev/zero")
    elif make == "circle of links":
        path.symlink_to(path)
    elif make == "long name":
        path = tmp_path / f"{'x' * 100_000}.yaml"
    else:
        content = {"huge": b"# " + b"x" * 1_000_001, "not utf-8": b"a: 1\nb: \xff", "utf-16": "a: 1".encode("utf-16")}
        path.write_bytes(content[make])
    with within(5):
        called = fer("ablate", "--study", path)
    assert (called.code, called.err.count("\n")) == (2, 1), called.err
    assert words in called.err and len(called.err) < 1500


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + STUDY.encode())
    assert load_study(str(path)).name == "tiny"


def written(tmp_path: Path, old: str, new: str) -> Path:
    assert old in STUDY
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY.replace(old, new))
    return path


def refused(path: Path, choice: Choice | None = None) -> str:
    with pytest.raises(FerError) as caught, within(10):
        expand(load_study(str(path)), choice or Choice())
    line = str(caught.value)
    assert "\n" not in line and len(line) < 800, line
    return line


def test_epochs_010_are_ten_and_a_batch_of_1_04_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, "epochs: 2, batch_size: 32", "epochs: 010, batch_size: 32")
    assert {run.config.train.epochs for run in expand(load_study(str(path)), Choice())} == {10}
    assert "train.batch_size: Input should be a valid integer (given: '1:04')" in refused(
        written(tmp_path, "batch_size: 32", "batch_size: 1:04")
    )


def test_an_arm_may_merge_another(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "SCN-CS: {learning.method: scn-cs}",
        "SCN: &s {learning.method: scn, train.lr: 1e-3}\n  SCN-CS: {<<: *s, train.lr: 2e-3}",
    )
    rates = {run.arm: (run.config.learning.method, run.config.train.lr) for run in expand(load_study(str(path)), Choice())}
    assert rates["SCN"] == ("scn", 1e-3) and rates["SCN-CS"] == ("scn", 2e-3)


def test_settings_may_be_nested_or_dotted_but_not_both(tmp_path: Path) -> None:
    """Each arm keeps its own: a nested group once took up what other arms set."""
    nested = "SCN-CS: {learning: {method: scn-cs}}\n  Other: {learning: {method: scn}, train: {lr: 1e-3}}"
    runs = expand(load_study(str(written(tmp_path, "SCN-CS: {learning.method: scn-cs}", nested))), Choice())
    assert {run.arm: dict(run.differs) for run in runs} == {
        "CNN": {},
        "SCN-CS": {"learning.method": "scn-cs"},
        "Other": {"learning.method": "scn", "train.lr": 1e-3},
    }
    twice = "SCN-CS: {learning.method: scn, learning: {method: cs}}"
    assert "arms.SCN-CS: learning.method is given twice" in refused(
        written(tmp_path, "SCN-CS: {learning.method: scn-cs}", twice)
    )
    assert "is also set by grid" in refused(written(tmp_path, "{learning.method: scn-cs}", "{data: {label_noise: 0.1}}"))
    assert "is a group of settings, not a value" in refused(
        written(tmp_path, "{learning.method: scn-cs}", "{train.lr.x: 1, train.lr: 1}")
    )


GRID = "data.label_noise: [0.0, 0.3]"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (GRID, "data.label_noise: [0, 0.0]", "0 and 0.0 are equal"),
        (GRID, "data.label_noise: [0.1, 1e-1]", "no duplicates"),
        (GRID, "data.label_noise: [.nan, .NaN]", "no duplicates"),
        (GRID, "data.label_noise: [.inf]", "data.label_noise"),
        (GRID, "data.label_noise: [1, true]", "data.label_noise"),
        (GRID, "data.label_noise: [{a: 1}]", "values must be scalars or lists"),
        (GRID, 'data.label_noise: ["a\\nb"]', "a name cannot contain the control character U+000A"),
        ("SCN-CS: {", '"a\\nb": {', "a name cannot contain the control character U+000A"),
        ("SCN-CS: {", '"a\\u202eb": {', "U+202E"),
        ("SCN-CS: {", '" ": {', "at least one visible character"),
        ("SCN-CS: {", f"{'x' * 300}: {{", "at most 200 characters"),
        ("name: ck48", 'name: "a\\tb"', "name: 'a\\tb': a name cannot contain the control character"),
        ("name: ck48", "name: ../ck48", "by name, not by path"),
        ("name: ck48", 'name: ck48, classes: [a, "b\\nc"]', "classes: 'b\\nc': a name cannot contain"),
        ("epochs: 2", f"epochs: {'x' * 5000}", f"given: '{'x' * 79}…)"),
        ("against: CNN", f"against: {'x' * 5000}", f"no arm '{'x' * 80}…'"),
        ("question:", f"{'q' * 900}: 1\nquestion:", f"{'q' * 80}…: unknown key"),
    ],
)
def test_values_and_names_that_cannot_be(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert words in refused(written(tmp_path, old, new))


def test_plans_have_limits_that_are_counted_before_anything_is_made(fer: Fer, tmp_path: Path, data_root: Path) -> None:
    factors = ", ".join(f"train.{name}: [{', '.join(f'0.{i}' for i in range(11, 21))}]" for name in ("lr", "weight_decay"))
    more = ", ".join(
        f"augment.{name}: [{', '.join(f'0.{i}' for i in range(10, 20))}]" for name in ("flip", "scale", "erase", "rotate")
    )
    path = written(tmp_path, GRID, f"{GRID}, {factors}, {more}")
    assert "12,000,000 runs (arms x grid points x seeds) exceed the limit of 100,000" in refused(path)
    arms = "".join(f"  A{i}: {{}}\n" for i in range(1001))
    assert "arms: 1,003 exceed the limit of 1,000" in refused(written(tmp_path, "  CNN: {}\n", f"  CNN: {{}}\n{arms}"))
    assert "more than the limit of 10,000 values" in refused(written(tmp_path, "  CNN: {}\n", f"  CNN: {{}}\n{arms * 10}"))
    path = written(tmp_path, "", "")
    for seeds, words in (
        ("1000000000000", "--seeds 1000000000000: exceeds the limit of 100,000 runs"),
        ("9" * 5000, f"--seeds {'9' * 80}…"),
        ("100000", "400,000 runs"),
    ):
        with within(5):
            called = fer("ablate", "--study", path, "--data-root", data_root, "--seeds", seeds)
        assert (called.code, called.err.count("\n")) == (2, 1), called.err
        assert words in called.err


@pytest.mark.parametrize("setting", ["data.split_file", "data.noise_file", "model.weights"])
@pytest.mark.parametrize("target", ["pipe", "folder", "/dev/zero", "~nobody-at-all/x", "x" * 200_000])
def test_files_that_a_study_names_are_files(tmp_path: Path, setting: str, target: str) -> None:
    if target == "pipe":
        os.mkfifo(tmp_path / target)
    if target == "folder":
        (tmp_path / target).mkdir()
    place = tmp_path / target if target in {"pipe", "folder"} else target
    line = refused(written(tmp_path, "{learning.method: scn-cs}", f"{{{setting}: {place}}}"))
    assert f"{setting}: " in line and "cannot be read from" in line


def test_large_files_are_hashed_once_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "parts.csv"
    table.write_text("sample,part\n")
    opened: list[Path] = []

    def counted(path: Path) -> Any:
        opened.append(path)
        return path.open("rb")

    study = load_study(str(written(tmp_path, "folds: 3", f"split: list, split_file: {table}")))
    monkeypatch.setattr("fer_cli.expand.open_regular", counted)
    assert len(expand(study, Choice())) == 12 and opened == [table]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"---\nname: a\nname: b\n---\n", "line 3: not valid YAML: duplicate key 'name'"),
        (b"---\nname: \xff\n---\n", "line 2: not UTF-8"),
        (b"no front matter", "YAML front matter"),
        (b"---\n- a\n---\n", "expected a mapping"),
    ],
)
def test_broken_cards_are_one_line_with_its_number(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.md"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_card(path)
    assert words in str(caught.value)


def test_reading_never_waits_for_a_pipe(fer: Fer, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with within(5), pytest.raises(StudyError, match="a pipe or a device"):
        read_text(pipe, StudyError)
    with within(5), pytest.raises(DataError, match="a pipe or a device"):
        read_sample_table(str(pipe), "0" * 64, "label")
    with within(30):
        called = fer("weights", "verify", pipe, "--model", "resnet18", "--channels", "1", "--size", "32")
    assert (called.code, called.err.count("\n")) == (2, 1) and "a pipe or a device" in called.err
