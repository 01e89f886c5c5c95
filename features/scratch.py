"""Files that are whole or not there, and folders that do not outlive their process.

A process that is killed leaves its folder behind. Each is locked by the kernel while
its process lives, so making one removes those that nobody holds. A folder that only
has such a name, and not our mark in it, is somebody else's.
"""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from features.contracts import SettingError

PREFIX = "repurchase-"

MARK = ".made-by-repurchase-and-removed-by-it"
"""An empty file, the first in each of our folders and the last to go."""


def unfinished(file: Path) -> Path:
    """Where a file is while it is written."""
    return file.with_name(f".{file.name}")


@contextmanager
def whole(file: Path) -> Generator[Path]:
    """A place to write to; it becomes ``file`` at the end, or is removed."""
    place = unfinished(file)
    try:
        yield place
        place.replace(file)
    finally:
        with suppress(OSError):
            place.unlink()


@contextmanager
def scratch() -> Generator[Path]:
    """A new, empty folder for this process, removed at the end.

    Raises:
        SettingError: no folder can be made where temporary files go.
    """
    with ExitStack() as opened:
        try:
            root = Path(tempfile.gettempdir())
            folder = opened.enter_context(folder_in(root, PREFIX))
        except OSError as error:
            raise SettingError(
                "TMPDIR: expected a folder for temporary files that can be written, got "
                f"{(error.strerror or str(error)).lower()}; name another one"
            ) from None
        yield folder


@contextmanager
def folder_in(root: Path, prefix: str) -> Generator[Path]:
    """The same in a folder of one's choice; what is moved out of it stays.

    Args:
        root: where it is made.
        prefix: of its name; folders of killed processes are removed by it.

    Raises:
        OSError: no folder can be made there, or the file system has no locks.
    """
    _remove_left(root, prefix)
    folder, held = _held(root, prefix)
    try:
        yield _rows_of(folder)
    finally:
        _remove(folder)
        os.close(held)


def _rows_of(folder: Path) -> Path:
    """What is given away, so that the mark beside it is out of the way."""
    return folder / "rows"


def _held(root: Path, prefix: str) -> tuple[Path, int]:
    """A new folder, and the descriptor that holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
        # Before the lock: whoever takes that first removes the folder.
        (folder / MARK).touch()
        held = _locked(folder)
        if held is None:
            continue
        try:
            _rows_of(folder).mkdir()
        except OSError:
            os.close(held)
            raise
        return folder, held


def _remove_left(root: Path, prefix: str) -> None:
    for folder in root.glob(f"{glob.escape(prefix)}*"):
        if not _is_ours(folder):
            continue
        held = _locked(folder)
        if held is not None:
            _remove(folder)
            os.close(held)


def _is_ours(folder: Path) -> bool:
    try:
        return not folder.is_symlink() and (folder / MARK).is_file()
    except OSError:
        return False


def _remove(folder: Path) -> None:
    """Remove one of our folders; killed half-way, it is still known as ours."""
    shutil.rmtree(_rows_of(folder), ignore_errors=True)
    if not _rows_of(folder).exists():
        shutil.rmtree(folder, ignore_errors=True)


def _locked(folder: Path) -> int | None:
    """A descriptor that locks the folder; None if another has it or it is gone.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had it before may have removed the folder meanwhile.
        if os.fstat(held).st_nlink:
            return held
    except BlockingIOError:
        pass
    except OSError:
        os.close(held)
        raise
    os.close(held)
    return None
