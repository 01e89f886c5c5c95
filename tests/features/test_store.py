from __future__ import annotations

from collections.abc import Generator
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features import store
from features.assemble import assemble, assemble_parts
from features.contracts import SettingError
from features.engine import Tables

UNTIL = datetime(2024, 9, 1)
CUTOFFS = [UNTIL - timedelta(days=60), UNTIL - timedelta(days=1), UNTIL]
STAMP = store.Stamp.of("data", CUTOFFS, 14)


@pytest.fixture(scope="module")
def tables(shop_dir: Path) -> Generator[Tables]:
    with Tables(shop_dir) as opened:
        yield opened


def test_table_read_back_equals_the_one_of_the_whole_history(
    tables: Tables, tmp_path: Path
) -> None:
    history = tables.history(UNTIL)
    parts = assemble_parts(tables.parts(UNTIL, customers_per_part=9), CUTOFFS)
    store.write(tmp_path / "f.parquet", parts, STAMP)
    assert pq.ParquetFile(tmp_path / "f.parquet").num_row_groups > 5
    found = store.read(tmp_path / "f.parquet", list(history.customers))
    whole = assemble(history, CUTOFFS).combine_chunks()
    for name in whole.column_names:
        got, expected = found.column(name), whole.column(name)
        if name == "customer":
            assert got.to_pylist() == expected.to_pylist()
        else:
            assert got.equals(expected), name


def test_parts_of_any_size_on_any_number_of_threads_are_the_same_bytes(
    tables: Tables, tmp_path: Path
) -> None:
    for threads in (1, 3):
        parts = tables.parts(UNTIL, customers_per_part=20)
        wide = assemble_parts(parts, CUTOFFS, threads=threads)
        store.write(tmp_path / f"{threads}.parquet", wide, STAMP)
    one, three = ((tmp_path / f"{n}.parquet").read_bytes() for n in (1, 3))
    assert one == three


def test_stamp_is_read_back_and_differs_with_everything_it_names(
    tmp_path: Path,
) -> None:
    file = tmp_path / "f.parquet"
    assert store.stamp_of(file) is None
    table = pa.table({"customer": [0], "customer_id": ["a"], "n": [1.0]})
    store.write(file, [table], STAMP)
    assert store.stamp_of(file) == STAMP
    others = (
        store.Stamp.of("other data", CUTOFFS, 14),
        store.Stamp.of("data", CUTOFFS[1:], 14),
        store.Stamp.of("data", CUTOFFS, 7),
    )
    assert len({STAMP.fingerprint, *(o.fingerprint for o in others)}) == 4


def test_an_unreadable_table_has_no_stamp(tmp_path: Path) -> None:
    (tmp_path / "f.parquet").write_bytes(b"PAR1 and then nothing")
    assert store.stamp_of(tmp_path / "f.parquet") is None


def test_a_build_that_fails_leaves_the_last_table(tmp_path: Path) -> None:
    file = tmp_path / "f.parquet"
    table = pa.table({"customer": [0], "customer_id": ["a"], "n": [1.0]})
    store.write(file, [table], STAMP)
    before = file.read_bytes()

    def fails() -> Generator[pa.Table]:
        yield table
        raise OSError(28, "No space left on device")

    # Of where the parts come from: to blame the workspace would mislead.
    with pytest.raises(OSError, match="No space left on device"):
        store.write(file, fails(), STAMP)
    assert file.read_bytes() == before
    assert [f.name for f in tmp_path.iterdir()] == ["f.parquet"]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    table = pa.table({"customer": [0], "customer_id": ["a"], "n": [1.0]})
    (tmp_path / "file").touch()
    said = "^workspace: expected room for the feature table in .*file, got "
    with pytest.raises(SettingError, match=said):
        store.write(tmp_path / "file" / "f.parquet", [table], STAMP)
    assert [f.name for f in tmp_path.iterdir()] == ["file"]


def copied(shop_dir: Path, folder: Path) -> Path:
    for file in shop_dir.glob("*.parquet"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_digest_is_of_bytes_of_input_tables_only(
    shop_dir: Path, tmp_path: Path
) -> None:
    with Tables(shop_dir) as one, Tables(copied(shop_dir, tmp_path)) as copy:
        assert one.digest() == copy.digest()
        (tmp_path / "notes.txt").write_text("not input")
        assert one.digest() == copy.digest()
        digest = one.digest()
    file = tmp_path / "customers.parquet"
    pq.write_table(pq.read_table(file).slice(1), file)
    with Tables(tmp_path) as altered:
        assert altered.digest() != digest


def test_digest_of_a_folder_of_files_is_of_all_of_them(
    shop_dir: Path, tmp_path: Path
) -> None:
    rows = pq.read_table(shop_dir / "purchases.parquet")
    folder = tmp_path / "purchases.parquet"
    folder.mkdir()
    digests: set[str] = set()
    for cut in (100, 200):
        pq.write_table(rows.slice(0, cut), folder / "part-0.parquet")
        pq.write_table(rows.slice(cut), folder / "part-1.parquet")
        with Tables(tmp_path) as opened:
            digests.add(opened.digest())
    assert len(digests) == 2
