"""``fer report --html``: what it prints, and what it refuses in one line."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_cli.choices import remember
from fer_cli.config import Compute
from tests.conftest import Called
from tests.pages import Parsed
from tests.reports import planned

Fer = Callable[..., Called]


def where(compute: Compute) -> list[object]:
    return ["--data-root", compute.data_root, "--results", compute.results]


def test_it_writes_a_page_and_says_what_to_open(fer: Fer, tmp_path: Path, compute: Compute) -> None:
    planned(tmp_path, compute)
    called = fer("report", "--html", "--study", tmp_path / "tiny.yaml", *where(compute))
    assert called.code == 0, called.err
    assert called.out == ""
    path = compute.results / "pages" / "tiny-ck48-small.html"
    assert called.err.strip().endswith(f"next: open {path} in a browser")
    assert "the card of ck48 forbids it" in called.err
    page = Parsed(path.read_text())
    assert page.wrong == []
    exact = f"fer report --study {tmp_path / 'tiny.yaml'} --profile small --seeds 3 --set none"
    assert any(word.startswith(exact) and word.endswith("--no-recipe --html") for word in page.words)
    assert (compute.results / "pages" / "index.html").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--study", "scn-c"], "did you mean scn-cs?"),
        (["--study", "scn-cs"], "train it with: fer ablate --study scn-cs"),
        ([], "--study"),
        (["--study", "scn-cs", "--claims"], "give one of the two"),
        (["--all"], "fer ablate"),
        (["--study", "scn-cs", "--thumbnails", "many"], "--thumbnails"),
    ],
)
def test_bad_input_is_one_line(fer: Fer, compute: Compute, options: list[str], message: str) -> None:
    called = fer("report", "--html", *options, *where(compute))
    assert called.code == 2
    assert message in called.err
    assert called.err.strip().count("\n") == 0


@pytest.mark.parametrize("judged", [False, True])
def test_the_command_that_trains_what_is_missing_repeats_all_options(judged: bool, fer: Fer, compute: Compute) -> None:
    options = ["--seeds", "2", "--split", "holdout", "--epochs", "0.5", "--data", "ck48"]
    claimed = ["--claims"] if judged else ["--profile", "smoke", "--set", "train.lr=0.02"]
    called = fer("report", "--study", "scn-cs", *options, *claimed, *where(compute))
    assert called.code == 2
    words = shlex.split(called.err.partition("train it with: ")[2])
    asked = [*options, *where(compute), *([] if judged else claimed)]
    given = {words[place]: words[place + 1] for place in range(2, len(words), 2)}
    assert given == {"--study": "scn-cs", **{str(asked[place]): str(asked[place + 1]) for place in range(0, len(asked), 2)}}


def test_the_next_report_names_options_only_where_the_last_run_had_others(
    fer: Fer, tmp_path: Path, compute: Compute
) -> None:
    plan = planned(tmp_path, compute)
    remember(plan, compute.results)
    for options, named in ([], False), (["--seeds", "2"], True):
        called = fer("report", "--study", tmp_path / "tiny.yaml", *options, *where(compute))
        assert called.code == 0, called.err
        assert ("--no-recipe" in called.err.partition("next: ")[2]) == named


def test_thumbnails_need_pages(fer: Fer, compute: Compute) -> None:
    called = fer("report", "--study", "scn-cs", "--thumbnails", 2, *where(compute))
    assert called.code == 2
    assert "add --html" in called.err


def test_a_folder_that_cannot_be_written_is_one_line(
    fer: Fer, tmp_path: Path, compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    planned(tmp_path, compute)

    def refuse(path: Path, text: str) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr("fer_cli.page.study.write_text", refuse)
    options = ["--html", "--study", tmp_path / "tiny.yaml", *where(compute)]
    called = fer("report", *options)
    assert called.code == 2
    assert "tiny-ck48-small.html: the file system is read-only" in called.err.splitlines()[-1]
    monkeypatch.undo()


def test_a_file_in_the_place_of_the_folder_is_one_line(fer: Fer, tmp_path: Path, compute: Compute) -> None:
    planned(tmp_path, compute)
    (compute.results / "pages").write_text("")
    called = fer("report", "--html", "--study", tmp_path / "tiny.yaml", *where(compute))
    assert called.code == 2
    assert "found a file" in called.err.splitlines()[-1] or "not a folder" in called.err.splitlines()[-1]
