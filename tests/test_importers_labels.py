"""Labels from file names, and what numbers mean: one's own data without a card."""

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_cli.data.build import build_own
from fer_cli.data.check import left_out_table
from fer_cli.data.importers import patterns
from fer_cli.data.importers.names import UNMATCHED
from fer_cli.data.importers.own import NUMBERED, SPELLINGS, own_card, read_codes
from fer_cli.data.importers.patterns import compile_pattern, search_names
from fer_cli.data.manifest import SetInfo, load_info, load_set
from fer_cli.data.own import Own, scan_own
from fer_cli.data.rebuild import build_command
from fer_cli.errors import DataError
from fer_cli.signals import limit_time
from tests.conftest import Called
from tests.trees import by_sample, everything_is_accounted_for, junk, one_line, pictures, write

Fer = Callable[..., Called]
PATTERN = r"(?P<subject>p\d+)_(?P<label>[a-z0-9]+)_s(?P<sequence>\d)_(?P<frame>\d+)"


def build(fer: Fer, root: Path, source: Path, *options: str) -> Called:
    return fer("data", "build", "mine", "--from", source, *options, "--data-root", root)


def refused(called: Called, *words: str) -> None:
    assert (called.code, called.err.count("\n")) == (2, 1), called.err
    assert all(word in called.err for word in words), called.err


def adds_up(info: SetInfo) -> dict[str, int]:
    total = left_out_table(info).iloc[-1].drop("class")
    assert total["in"] == total.drop("in").sum()
    return {str(name): int(n) for name, n in total.items()}


def test_names_tell_label_person_sequence_and_frame_and_folders_the_part(tmp_path: Path) -> None:
    names = ["train/p1_happy_s2_003.jpg", "x/test/a/p2_Bored_s1_1.png", "p3_sad_s1_7.jpg", "p4.jpg", "train/p5__s1_1.jpg"]
    root = pictures(tmp_path / "set", names)
    junk(root)
    card, scan, folder = scan_own("mine", root, Own(label=PATTERN.replace("a-z0-9", "A-Za-z")))
    assert folder == root
    assert card.classes == ["happy", "sad", "bored"]
    assert {s: (i.label, i.subject, i.sequence, i.frame, i.split) for s, i in by_sample(scan).items()} == {
        "train/p1_happy_s2_003.jpg": ("happy", "p1", "p1_2", 3, "train"),
        "x/test/a/p2_Bored_s1_1.png": ("bored", "p2", "p2_1", 1, "test"),
        "p3_sad_s1_7.jpg": ("sad", "p3", "p3_1", 7, "none"),
    }
    assert scan.skipped == {UNMATCHED: ["p4.jpg", "train/p5__s1_1.jpg"]}
    assert scan.layout == "labels from names in train, test"
    everything_is_accounted_for(root, scan)


def test_codes_give_numbers_names_and_the_set_is_found_again_as_it_was_read(fer: Fer, tmp_path: Path) -> None:
    root = pictures(
        tmp_path / "set", [f"p{person}_{code}_s1_{person}.png" for person in (1, 2) for code in (1, 2, 7)] + ["x.png"]
    )
    options = ("--label", PATTERN, "--codes", "1=Happy, 2=sadness,7=bored,8=surprised")
    called = build(fer, tmp_path / "data", root, *options)
    assert called.code == 0, called.err
    info = load_info(tmp_path / "data", "mine")
    assert (info.classes, info.counts) == (["happy", "sad", "bored"], {"happy": 2, "sad": 2, "bored": 2})
    assert (info.subjects, info.skipped) == (2, {UNMATCHED: ["x.png"]})
    assert adds_up(info) == {"in": 7, "kept": 6, "no face": 0, "unreadable": 0, "duplicate": 0, "left out": 1}
    assert "no images with code 8=surprise" in called.err
    assert f"left out, {UNMATCHED}: 1, e.g. x.png" in called.err
    assert set(load_set(tmp_path / "data", "mine").manifest["label"]) == set(info.classes)
    again = "fer data build mine --from FOLDER --label '(?P<subject>p\\d+)_"
    assert build_command("mine", info.model_dump()).startswith(again)
    assert build_command("mine", info.model_dump()).endswith("--codes '1=Happy, 2=sadness,7=bored,8=surprised'")
    checked = fer("data", "check", "mine", "--from", root, "--data-root", tmp_path / "data")
    assert checked.code == 0, checked.err
    (root / "p1_1_s1_1.png").write_bytes((root / "p2_7_s1_2.png").read_bytes())
    checked = fer("data", "check", "mine", "--from", root, "--data-root", tmp_path / "data")
    assert checked.code == 1
    assert "changed: 1, e.g. p1_1_s1_1.png" in checked.err
    assert f"next: fix the source, then {again}" in checked.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--label", "(?P<label>["], ["not a regular expression", "(?P<label>["]),
        (["--label", "(" * 5000], ["not a regular expression"]),
        (["--label", "a{1,99999999999}(?P<label>a)"], ["not a regular expression"]),
        (["--label", r"p\d"], ["needs a group named label", "(?P<label>[a-z]+)"]),
        (["--label", r"(?P<lable>\d)"], ["unknown group 'lable'", "did you mean label"]),
        (["--label", r"q(?P<label>\d)"], ["finds no label in any of 4 paths", "such as 'p1_1.png'"]),
        (["--label", r"(?P<label>x*)"], ["finds no label in any of 4 paths"]),
        (["--label", r"_(?P<label>\d)"], ["label 1, 2, 10:", "a number does not identify", "--codes 1=NAME,2=NAME,10=NAME"]),
        (["--label", r"_(?P<label>\d)", "--codes", "1=a,2=b"], ["label 10: a number", "--codes 10=NAME"]),
        (["--label", r"(?P<label>\w+)\.", "--codes", "p1_1=happy"], ["'p1_10': not in --codes"]),
        (["--label", r"(?P<label>p\d)(?P<frame>.*)"], ["gives '_1.png' as frame number"]),
        (["--label", r"(?P<label>p\d)(?P<subject>q?)"], ["finds no subject in 'p1_1.png'"]),
        (["--label", "(?P<label>p)"], ["found p; at least two classes are needed"]),
        (
            ["--label", "(?P<label>p)", "--layout", "folder"],
            ["--label (labels in file names) cannot be combined", "one of the two"],
        ),
        (["--label", "(?P<label>p)", "--subject", "(?P<subject>p)"], ["into the --label pattern"]),
        (["--layout", "folder", "--subject", "(?P<subject>p)(?P<label>1)"], ["that group belongs to --label"]),
        (["--codes", "1=happy"], ["--codes requires --layout or --label"]),
        (["--label", r"_(?P<label>\d)", "--codes", "1"], ["--codes '1': not a pair", "1=angry,2=disgust"]),
        (["--label", r"_(?P<label>\d)", "--codes", "1=a,,2=b"], ["--codes '': not a pair"]),
        (["--label", r"_(?P<label>\d)", "--codes", "1=a,1=b"], ["'1' is given twice, as a and b"]),
        (["--label", r"_(?P<label>\d)", "--codes", "1=2,2=b,10=c"], ["1=2", "a number does not identify", "give a name"]),
        (["--label", r"_(?P<label>\d)", "--codes", ""], ["--codes '': not a pair"]),
    ],
)
def test_wrong_labels_and_codes_give_one_line(fer: Fer, tmp_path: Path, options: list[str], words: list[str]) -> None:
    root = pictures(tmp_path / "set", ["p1_1.png", "p1_2.png", "p2_1.png", "p1_10.png"])
    options = [option.replace(r"_(?P<label>\d)", r"_(?P<label>\d+)") for option in options]
    refused(build(fer, tmp_path / "data", root, *options), *words)
    assert not (tmp_path / "data").exists()


def test_a_place_without_images_gives_one_line(fer: Fer, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").write_text("x")
    for place, words in (("empty", "contains no images"), ("none", "no such folder"), ("a.csv", "a file, not a folder")):
        refused(build(fer, tmp_path / "data", tmp_path / place, "--label", "(?P<label>a)"), place, words)
    refused(fer("data", "build", "jaffe", "--from", tmp_path, "--label", "(?P<label>a)"), "jaffe: has a card", "--label")


def test_a_pattern_that_would_search_for_ever_is_refused(fer: Fer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "SECONDS", 0.3)
    root = pictures(tmp_path / "set", ["happy/" + "a" * 40 + "b.png", "sad/a.png"])
    began = time.monotonic()
    refused(
        build(fer, tmp_path / "data", root, "--label", "^happy/(?P<label>(a+)+)$"), "takes too long", "(a+)+", "aaab.png"
    )
    refused(
        build(fer, tmp_path / "data", root, "--layout", "folder", "--subject", "(?P<subject>(a+)+)$"),
        "takes too long",
        "(a+)+",
    )
    assert time.monotonic() - began < 20


def test_a_limit_on_time_puts_back_the_timer_before_it() -> None:
    before = signal.getsignal(signal.SIGALRM)
    came: list[int] = []
    signal.signal(signal.SIGALRM, lambda number, frame: came.append(number))
    try:
        left = signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(TimeoutError), limit_time(0.05):
            time.sleep(2)
        assert not came
        with limit_time(60):
            pass
        time.sleep(0.4)
        assert came == [signal.SIGALRM]
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *left)


@settings(max_examples=50)
@given(st.lists(st.text("ab1/", max_size=4), max_size=5))
def test_all_names_are_searched_in_order(names: list[str]) -> None:
    pattern = compile_pattern("(?P<label>[a-z])", "label")
    assert [match and match["label"] for match in search_names(pattern, names)] == [
        (found := re.search("[a-z]", name)) and found.group() for name in names
    ]


WORDS = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=5)


@given(st.dictionaries(WORDS.map(str.lower), WORDS.filter(lambda word: not NUMBERED.fullmatch(word.lower())), min_size=1))
def test_codes_are_read_as_they_are_written(table: dict[str, str]) -> None:
    expected = {code: SPELLINGS.get(name.lower(), name.lower()) for code, name in table.items()}
    assert read_codes(" , ".join(f"{code} = {name}" for code, name in table.items())) == expected
    if len(set(expected.values())) > 1:
        card = own_card("x", table, "label", codes=expected)
        assert card.folders == expected
        assert set(card.classes) == set(expected.values())


NUMBERS = st.tuples(st.sampled_from(["", "class ", "c", "label_", "-"]), st.integers(0, 99)).map(
    lambda two: f"{two[0]}{two[1]}"
)


@settings(max_examples=50)
@given(st.sets(NUMBERS, min_size=1, max_size=30))
def test_a_number_without_a_code_is_never_a_class(numbers: set[str]) -> None:
    with pytest.raises(DataError) as raised:
        own_card("x", {*numbers, "happy", "sad"}, "label")
    one_line(raised, "a number does not identify", "--codes", "=NAME")


def test_codes_serve_class_folders_and_tables_too(fer: Fer, tmp_path: Path) -> None:
    root = pictures(tmp_path / "set", ["1/a.png", "2/b.png", "happy/c.png"])
    info = build_own("a", root, "folder", None, tmp_path / "data", codes="1=angry,2=sad")
    assert info.counts == {"angry": 1, "happy": 1, "sad": 1}
    refused(build(fer, tmp_path / "data", root, "--layout", "folder"), "class folder 1, 2:", "--codes 1=NAME,2=NAME")
    write(root / "list.csv", "file,label", "1/a.png,0", "2/b.png,3")
    info = build_own("b", root, "csv", None, tmp_path / "data", codes="0=neutral,3=happy")
    assert info.counts == {"happy": 1, "neutral": 1}
    assert info.own == {"layout": "csv", "codes": "0=neutral,3=happy"}


def test_options_of_ones_own_data_need_a_layout() -> None:
    with pytest.raises(DataError) as raised:
        scan_own("mine", Path(), Own(codes="1=happy"))
    one_line(raised, "--layout folder or csv", "--label")
