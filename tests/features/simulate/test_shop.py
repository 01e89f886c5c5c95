"""What is written: bytes, types, whole folders, bounded memory."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.contracts import TABLES, SettingError
from features.engine import Tables
from features.simulate import TRUTHS, Truths, shop, simulate, truths_of

Draw = Callable[..., Any]


def test_same_seed_same_bytes_and_another_seed_others(draw: Draw) -> None:
    first, again, other = (draw(300, seed).files() for seed in (7, 7, 8))
    assert first == again
    assert set(first) == set(other)
    # Campaigns lie on the calendar; their costs are drawn.
    assert all(first[name] != other[name] for name in first)


def test_two_processes_write_the_bytes_of_one(draw: Draw) -> None:
    rare = {"orders_per_month": 0.1, "replenished_items": 0.1}
    alone, together = (
        draw(shop.CHUNK + 500, processes=processes, **rare).files()
        for processes in (1, 2)
    )
    assert alone == together


def test_all_ten_tables_keep_the_contract(few: Truths, drawn: Any) -> None:
    with Tables(drawn.folder) as tables:
        assert tables.quarantined == {table.name: 0 for table in TABLES}
        first, last = tables.first_and_last_purchase()
    assert few.start <= first < few.start + timedelta(hours=12)
    assert few.end - timedelta(hours=12) < last < few.end
    arguments = json.loads((drawn.folder / TRUTHS / "truths.json").read_text())
    assert (arguments.pop("customers"), arguments.pop("seed")) == (20_000, 1)
    assert Truths.model_validate(arguments) == few


@pytest.mark.parametrize(
    "extreme",
    [
        "products=1 categories=1 picks_per_campaign=1 replenished_products=1",
        "promoted_products=0 replenished_products=0",
        "products=50 promoted_products=1 promotion_effect=20 popularity_exponent=3",
        "uplift=-1 uplift_spread=0 held_out=0 campaign_reach=1",
        "uplift=10 uplift_spread=10 held_out=1 service_dropout=100",
        "late_share=1 return_rate=1 feedback_per_order=1 discount_share=1",
        "pick_quality=0 products=40 picks_per_campaign=40 loyalty=0 category_focus=1",
        "start=2023-01-04T13:37:11 end=2023-03-02T01:02:03 campaigns=2",
        "cycle_days=2 cycle_spread=0 replenished_items=5 order_rate_shape=0.01",
        "joined_before=0 lifetime_days=0.5 lifetime_shape=0.01 orders_per_month=30",
    ],
)
def test_extreme_truths_keep_the_contract(tmp_path: Path, extreme: str) -> None:
    truths = truths_of(extreme.split())
    with np.errstate(all="raise", under="ignore"):
        simulate(tmp_path / "shop", 200, truths)
    with Tables(tmp_path / "shop") as tables:
        assert tables.quarantined == {table.name: 0 for table in TABLES}
        first, last = tables.first_and_last_purchase()
    assert truths.start <= first <= last < truths.end


def test_ids_are_padded_to_the_size_of_the_shop(draw: Draw) -> None:
    folder = draw(11)
    ids = folder.ask("SELECT DISTINCT customer_id FROM customers ORDER BY 1")
    assert [ids[0][0], ids[-1][0], len(ids)] == ["c0000000", "c0000010", 11]
    assert folder.one("SELECT max(length(product_id)) FROM purchases") == 5


def test_columns_are_plain_text_and_naive_microseconds(drawn: Any) -> None:
    schema = pq.read_schema(drawn.folder / "purchases.parquet")
    assert schema.field("order_id").type == pa.string()
    assert schema.field("ts").type == pa.timestamp("us")


def test_a_used_folder_is_refused_and_stays(few: Truths, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(SettingError, match=r"^--out: expected a new or empty folder"):
        simulate(tmp_path, 10, few)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_empty_folder_is_filled(few: Truths, tmp_path: Path) -> None:
    assert simulate(tmp_path, 10, few)["picks"] == 12 * 10
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {TRUTHS, *(f"{table.name}.parquet" for table in TABLES)}


def test_a_run_that_breaks_off_leaves_nothing(
    few: Truths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(plan: shop.Plan, number: int) -> dict[str, pa.Table]:
        raise KeyboardInterrupt

    monkeypatch.setattr(shop, "chunk_of", broken)
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "shop", 10, few)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_run_leaves_no_workers_and_the_next_one_removes_its_folder(
    few: Truths, tmp_path: Path
) -> None:
    program = """if True:
        import sys
        from pathlib import Path
        from features.simulate import simulate
        out, said = Path(sys.argv[1]), lambda text: print(text, flush=True)
        simulate(out, 200_000, processes=2, announce=said)"""
    words = [sys.executable, "-c", program, str(tmp_path / "shop")]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"customers 1 to 20,000\n"
        process.kill()
        (left,) = tmp_path.iterdir()
        # Of someone else, of another shop, and of a run that is still at work.
        (tmp_path / ".shop.notes").mkdir()
        (tmp_path / ".shopping").mkdir()
        simulate(tmp_path / "shop", 10, few)
        assert left.exists()
        shutil.rmtree(tmp_path / "shop")
        process.kill()
        # The workers hold the pipe too: it ends when the last of them does.
        process.communicate(timeout=60)
    assert not (tmp_path / "shop").exists()
    assert left.exists()
    simulate(tmp_path / "shop", 10, few)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".shop.notes", ".shopping", "shop"]


def test_a_full_disk_is_one_line(
    few: Truths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(plan: shop.Plan, number: int) -> dict[str, pa.Table]:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shop, "chunk_of", full)
    said = (
        r"^--out: expected a folder .* \(No space left on device\); choose another one$"
    )
    with pytest.raises(SettingError, match=said):
        simulate(tmp_path / "shop", 10, few)
    assert list(tmp_path.iterdir()) == []


def test_two_chunks_are_in_memory_at_most(
    few: Truths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One is let go while the next is drawn; more of them would pile up.
    monkeypatch.setattr(shop, "CHUNK", 40)
    alive, most = [0], [0]
    draw_chunk = shop.chunk_of

    class Watched(dict[str, pa.Table]):
        def __init__(self, tables: Mapping[str, pa.Table]) -> None:
            super().__init__(tables)
            alive[0] += 1
            most[0] = max(most[0], alive[0])

        def __del__(self) -> None:
            alive[0] -= 1

    monkeypatch.setattr(shop, "chunk_of", lambda *plan: Watched(draw_chunk(*plan)))
    simulate(tmp_path / "shop", 400, few)
    assert pq.ParquetFile(tmp_path / "shop/purchases.parquet").num_row_groups == 10
    assert most[0] == 2


def test_processes_run_one_chunk_ahead_at_most(
    few: Truths, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted: list[int] = []

    class Pool:
        def __init__(self, *_: object, **__: object) -> None: ...

        def __enter__(self) -> Pool:
            return self

        def __exit__(self, *_: object) -> None: ...

        def submit(self, _: object, plan: shop.Plan, number: int) -> Future[int]:
            submitted.append(number)
            future: Future[int] = Future()
            future.set_result(number)
            return future

    monkeypatch.setattr(shop, "pool", Pool)
    plan = shop.Plan(few, customers=9 * shop.CHUNK + 1, seed=0)
    ahead = [len(submitted) - int(number) for number in shop.chunks_of(plan, 3)]
    assert submitted == list(range(10))
    assert max(ahead) == 3 + 1


def test_defaults_give_twenty_lines_and_sixty_browses(tmp_path: Path) -> None:
    rows = simulate(tmp_path / "shop", 5000)
    assert rows["purchases"] / 5000 == pytest.approx(20, rel=0.15)
    assert rows["browses"] / 5000 == pytest.approx(60, rel=0.15)


@pytest.mark.parametrize(
    ("name", "value"), [("customers", 0), ("seed", -1), ("processes", 0)]
)
def test_a_wrong_number_is_one_line(
    few: Truths, tmp_path: Path, name: str, value: int
) -> None:
    arguments = {"customers": 5, "seed": 0, "processes": 1, name: value}
    with pytest.raises(SettingError, match=f"^--{name}: expected .* got {value}"):
        simulate(tmp_path / "shop", truths=few, **arguments)
    assert list(tmp_path.iterdir()) == []
