"""Drafts of sets: the lock that one process at a time holds, and the move into place of an older build."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from fer_cli.data.build import move_into_place
from fer_cli.data.pack import draft_folder
from fer_cli.errors import DataError
from tests.conftest import Called


def test_the_lock_that_another_process_takes_at_once_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, release = FileLock(tmp_path / ".mine.lock"), FileLock.release

    def release_and_take(lock: FileLock, force: bool = False) -> None:
        release(lock, force)
        monkeypatch.undo()
        other.acquire(timeout=0)

    with draft_folder(tmp_path, "mine"):
        monkeypatch.setattr(FileLock, "release", release_and_take)
    assert other.is_locked
    assert (tmp_path / ".mine.lock").exists()
    other.release()


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """A draft, and the older build that it replaces."""
    for name in ("draft", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "set.json").write_text(name)
    return tmp_path / "draft", tmp_path / "mine"


def interrupted(rename: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
    def rename_and_raise(path: Path, target: Path) -> Path:
        moved = rename(path, target)
        signal.raise_signal(signal.SIGINT)
        return moved

    return rename_and_raise


@pytest.mark.usefixtures("usual_handlers")
def test_ctrl_c_between_two_renames_leaves_a_set(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    draft, final = places
    monkeypatch.setattr(Path, "rename", interrupted(Path.rename))
    with pytest.raises(KeyboardInterrupt):
        move_into_place(draft, final)
    assert [path.name for path in final.parent.iterdir()] == ["mine"]
    assert (final / "set.json").read_text() == "draft"


@pytest.mark.parametrize("error", [OSError("no space"), KeyboardInterrupt()])
def test_a_draft_that_cannot_be_moved_leaves_the_older_build(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    draft, final = places
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path == draft:
            raise error
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(type(error)):
        move_into_place(draft, final)
    assert [path.name for path in sorted(final.parent.iterdir())] == ["draft", "mine"]
    assert (final / "set.json").read_text() == "mine"


def write_faces(folder: Path) -> dict[str, bytes]:
    """Write the user's own pictures; return all files below the folder with their content."""
    import cv2
    import numpy as np

    for place in range(8):
        file = folder / ("happy", "sad")[place % 2] / f"{place}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), np.random.default_rng(place).integers(0, 255, (24, 24), dtype=np.uint8))
    return read_all(folder)


def read_all(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_build_deletes_no_folder_of_the_user(tmp_path: Path, fer: Callable[..., Called]) -> None:
    """The source itself, a folder of notes, a file, a link: one line, and all is there as before, with ``--replace`` too."""
    source = tmp_path / "mine"
    faces = write_faces(source)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "plan.txt").write_text("mine")
    (tmp_path / "plain").write_text("mine")
    (tmp_path / "linked").symlink_to(source)
    build = ["--from", source, "--layout", "folder", "--data-root", tmp_path]
    for name, reason in (
        ("mine", "holds happy, which is no file of a built set"),
        ("notes", "holds plan.txt, which is no file of a built set"),
        ("plain", "is a file, not a built set"),
        ("linked", "is a link, not a built set"),
    ):
        for more in ([], ["--replace"]):
            called = fer("data", "build", name, *build, *more)
            assert called.code == 2 and called.err.count("\n") == 1 and reason in called.err, called.err
    assert read_all(source) == faces
    assert (tmp_path / "plain").read_text() == (tmp_path / "notes" / "plan.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["linked", "mine", "notes", "plain"]


def test_a_set_is_built_again_but_not_over_files_put_into_it(tmp_path: Path, fer: Callable[..., Called]) -> None:
    write_faces(tmp_path / "faces")
    root = tmp_path / "data"
    build = ["data", "build", "mine", "--from", tmp_path / "faces", "--layout", "folder", "--data-root", root]
    assert fer(*build).code == 0
    assert fer(*build).code == 0, "a built set, with its notes, is replaced"
    (root / "mine" / ".audit.json.123-0badcafe.tmp").write_text("of a killed process")
    assert fer(*build).code == 0
    for name in ("thesis.tex", ".notes"):
        (root / "mine" / name).write_text("mine")
        called = fer(*build, "--replace")
        assert called.code == 2 and f"holds {name}, which is no file of a built set" in called.err
        assert (root / "mine" / name).read_text() == "mine"
        (root / "mine" / name).unlink()


def test_a_folder_that_appears_during_a_build_is_kept(places: tuple[Path, Path]) -> None:
    draft, final = places
    (final / "photo.png").write_text("mine")
    with pytest.raises(DataError, match=r"holds photo\.png"):
        move_into_place(draft, final)
    assert (final / "photo.png").read_text() == "mine" and draft.exists()
