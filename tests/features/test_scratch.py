from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from features.contracts import SettingError
from features.scratch import MARK, folder_in, scratch


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_folder_is_removed_at_the_end_with_all_in_it(temporary: Path) -> None:
    with scratch() as folder:
        (folder / "rows").write_text("some")
        assert list(temporary.iterdir()) == [folder.parent]
        assert [f.name for f in folder.iterdir()] == ["rows"]
    assert not list(temporary.iterdir())


def test_folder_of_a_killed_process_is_removed_by_the_next_and_no_other(
    temporary: Path,
) -> None:
    program = """if True:
        import tempfile
        from features.scratch import scratch
        with scratch() as folder:
            (folder / "rows").write_text("some")
            print(folder, flush=True)
            input()"""
    # Of another program, and a file that only looks like ours.
    (temporary / "others").mkdir()
    (temporary / "repurchase-notes").write_text("kept")
    words = [sys.executable, "-c", program]
    with subprocess.Popen(
        words,
        env={"TMPDIR": str(temporary), "PATH": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        left = Path(process.stdout.readline().strip())
        with scratch() as mine, scratch() as another:
            assert left.exists() and mine.exists() and another.exists()
        process.kill()
        process.wait()
    assert (left / "rows").read_text() == "some"
    with scratch():
        assert not left.exists()
    kept = sorted(f.name for f in temporary.iterdir())
    assert kept == ["others", "repurchase-notes"]


def test_a_folder_of_such_a_name_that_is_not_ours_stays(temporary: Path) -> None:
    clone = temporary / "repurchase-main" / "rows"
    clone.mkdir(parents=True)
    (clone / "README.md").write_text("kept")
    # Empty, as ours are for a moment; and a link to one of ours.
    (temporary / "repurchase-empty").mkdir()
    with scratch() as mine:
        (temporary / "repurchase-link").symlink_to(mine.parent)
        with scratch():
            pass
        assert mine.exists()
    assert (clone / "README.md").read_text() == "kept"
    kept = sorted(f.name for f in temporary.iterdir())
    assert kept == ["repurchase-empty", "repurchase-link", "repurchase-main"]


@pytest.mark.parametrize("left", [(), ("rows/part-0",)])
def test_folder_left_at_any_moment_of_its_life_is_removed(
    temporary: Path, left: tuple[str, ...]
) -> None:
    folder = temporary / "repurchase-left"
    folder.mkdir()
    (folder / MARK).touch()
    for name in left:
        (folder / name).parent.mkdir()
        (folder / name).touch()
    with scratch():
        assert not folder.exists()


def test_a_prefix_is_no_pattern_and_what_is_moved_out_stays(temporary: Path) -> None:
    for name in (".[a]*.left", ".a.left"):
        (temporary / name).mkdir()
        (temporary / name / MARK).touch()
    with folder_in(temporary, ".[a]*.") as folder:
        (folder / "rows").write_text("some")
        folder.replace(temporary / "moved")
    kept = sorted(f.name for f in temporary.iterdir())
    assert kept == [".a.left", "moved"]
    assert (temporary / "moved" / "rows").read_text() == "some"


def test_no_place_for_temporary_files_is_one_line(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "absent"))
    said = "^TMPDIR: expected a folder for temporary files that can be written, got no such"
    with pytest.raises(SettingError, match=said), scratch():
        pass
