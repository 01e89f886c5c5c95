from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from features.contracts import SettingError
from features.scratch import scratch


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_folder_is_removed_at_the_end_with_all_in_it(temporary: Path) -> None:
    with scratch() as folder:
        (folder / "rows").write_text("some")
        assert [f.name for f in temporary.iterdir()] == [folder.name]
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


def test_no_place_for_temporary_files_is_one_line(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "absent"))
    said = "^TMPDIR: expected a folder for temporary files that can be written, got no such"
    with pytest.raises(SettingError, match=said), scratch():
        pass
