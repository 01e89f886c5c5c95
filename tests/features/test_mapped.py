"""Arrays and tables that grow on disk and are read mapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features import mapped
from features.mapped import Growing, Mapped, save


def test_rows_that_were_added_are_read_in_order(tmp_path: Path) -> None:
    files = Mapped(tmp_path)
    growing = Growing(files, "x")
    for start, texts in ((0, ["é", None]), (2, []), (2, ["c"])):
        n = len(texts)
        arrays = {
            "code": np.arange(start, start + n, dtype=np.int16),
            "pair": np.full((n, 2), start, np.float16),
        }
        growing.add(arrays, pa.table({"text": pa.array(texts, pa.string())}))
    arrays, table = growing.read()
    for _ in range(2):
        assert arrays["code"].tolist() == [0, 1, 2]
        assert arrays["code"].dtype == np.int16
        assert arrays["pair"].tolist() == [[0, 0], [0, 0], [2, 2]]
        assert table is not None
        assert table["text"].to_pylist() == ["é", None, "c"]
        # Read from the files again, which may be gone from the folder.
        files.let_go()
        for file in tmp_path.iterdir():
            file.unlink()


def test_what_is_mapped_cannot_be_written(tmp_path: Path) -> None:
    growing = Growing(Mapped(tmp_path), "x")
    growing.add({"a": np.ones(3)})
    with pytest.raises(ValueError, match="read-only"):
        growing.read()[0]["a"][0] = 2


@pytest.mark.parametrize(
    "other", [np.zeros(2, np.int64), np.zeros((2, 3), np.int32)], ids=["type", "width"]
)
def test_rows_of_another_type_or_width_are_refused(
    tmp_path: Path, other: np.ndarray
) -> None:
    growing = Growing(Mapped(tmp_path), "x")
    growing.add({"a": np.zeros((2, 2), np.int32)})
    with pytest.raises(ValueError, match=r"x\.a: expected int32 \(2,\)"):
        growing.add({"a": other})


@pytest.mark.parametrize("shape", [(0,), (3, 4), (10,)])
def test_an_array_is_written_as_numpy_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]
) -> None:
    monkeypatch.setattr(mapped, "PIECE", 7)
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    save(array, tmp_path / "ours.npy")
    np.save(tmp_path / "theirs.npy", array)
    ours, theirs = (tmp_path / f"{name}.npy" for name in ("ours", "theirs"))
    assert ours.read_bytes() == theirs.read_bytes()
