"""Drafts of sets: the lock that one process at a time holds, and the move into place of an older build."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from fer_cli.data.build import move_into_place
from fer_cli.data.pack import draft_folder


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
