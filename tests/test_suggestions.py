"""Commands that commands suggest: they can be typed as they are; and nothing is announced that does not happen."""

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sets import rewrite

Fer = Callable[..., Any]


def suggested(called: Any) -> list[list[str]]:
    """Return the commands of the last line."""
    last = called.err.splitlines()[-1]
    return [shlex.split(part) for part in last.partition("next: ")[2].split(" · ")]


def test_a_data_root_with_a_blank_is_quoted_in_every_suggestion(fer: Fer, root: Path, tmp_path: Path) -> None:
    place = tmp_path / "my data; it's"
    shutil.copytree(root, place)
    shutil.copytree(place / "ck48", place / "two")
    rewrite(place / "two", name="two")
    rewrite(place / "ck48", differences=[])
    for command in (
        ["peek", "ck48", "--out", tmp_path / "p.png"],
        ["audit", "ck48"],
        ["check", "ck48"],
        ["combine", "both", "--of", "ck48,two", "--map", "basic-6"],
    ):
        called = fer("data", *command, "--data-root", place)
        commands = suggested(called)
        assert commands, called.err
        for words in commands:
            assert "fer" in words
            assert words[words.index("--data-root") + 1] == str(place), called.err
    assert commands[0][:4] == ["fer", "data", "peek", "both"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["jaffe"], "fer data build jaffe --from FOLDER"), (["synth-basic", "--images", "-1"], "images")],
)
def test_what_cannot_be_drawn_is_refused_before_anything_is_written(
    fer: Fer, tmp_path: Path, arguments: list[str], words: str
) -> None:
    called = fer("data", "build", *arguments, "--data-root", tmp_path / "data")
    assert called.code == 2 and words in called.err
    assert called.err.startswith("error: ") and called.err.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_leaving_one_subject_out_needs_subjects(fer: Fer, root: Path) -> None:
    import pandas as pd

    manifest = pd.read_parquet(root / "ck48" / "manifest.parquet")
    for subjects, words in (
        (["", *manifest["subject"][1:]], f"1 of {len(manifest)} images without a subject"),
        ("", "no subjects"),
        ("S001", "one subject"),
    ):
        rewrite(root / "ck48", manifest.assign(subject=subjects))
        called = fer("data", "audit", "ck48", "--split", "loso", "--data-root", root)
        assert called.code == 2
        assert called.err.startswith(f"error: ck48: has {words}, so loso is impossible"), called.err
        assert not (root / "ck48" / "audit.json").exists()


def test_a_larger_embedded_set_is_only_replaced_where_asked_for(fer: Fer, tmp_path: Path) -> None:
    root = tmp_path / "data"
    command = ["data", "build", "synth-basic", "--subjects", "1", "--size", "24", "--data-root", root, "--images"]
    assert fer(*command, "9").code == 0
    refused = fer(*command, "8")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "has 9 images" in refused.err and "this build only 8; pass --replace" in refused.err
    replaced = fer(*command, "8", "--replace")
    assert replaced.code == 0 and "replaced a set of 9 images, fingerprint" in replaced.err
