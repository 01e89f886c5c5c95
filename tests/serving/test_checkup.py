"""The quality of the input as a table, a page and a verdict."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config import Config
from features.contracts import SettingError
from features.database import Database
from serving import checkup, cli, stages

SHOP = {
    "purchases": [
        {
            "customer_id": "a",
            "product_id": product,
            "order_id": str(n),
            "ts": datetime(2024, 3, 1 + n),
            "quantity": 1.0,
            "amount": 1.0,
        }
        for n, product in enumerate("ppppq")
    ],
    "products": [
        {"product_id": "p", "brand": "<b>", "price": 1.0},
        {"product_id": "r", "brand": None, "price": -1.0},
    ],
}


def run(
    folder: Path,
    tables: dict[str, list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    *arguments: str,
) -> int:
    data = folder / "data"
    data.mkdir()
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows), data / f"{name}.parquet")
    told = ["repurchase", "check", "--data", str(data), *arguments]
    monkeypatch.setattr(sys, "argv", [*told, "--set", f"workspace={folder / 'ws'}"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_low_share_of_correct_records_ends_with_1_and_is_written_in_full(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(tmp_path, SHOP, monkeypatch, "--cutoff", "2024-04-04") == 1
    told = capsys.readouterr().out
    assert "products: 50.0% correct records, below the minimum of 95.0%" in told
    assert "purchases: 80.0% correct records" in told
    found = json.loads((tmp_path / "ws/reports/quality.json").read_text())
    assert found["correct"] == {"value": 5 / 7, "numerator": 5, "denominator": 7}
    assert found["passed"] is False
    assert [
        (p["table"], p["what"], p["count"], p["of"]) for p in found["problems"]
    ] == [
        (
            "purchases",
            "stale: newest row of 2024-03-05, 30 days before 2024-04-04",
            27,
            30,
        ),
        ("products", "bad rows, price: below 0", 1, 2),
        ("products", "brand: empty", 1, 2),
        ("purchases", "product_id -> products: id leads nowhere", 1, 5),
    ]
    page = (tmp_path / "ws/reports/quality.html").read_text()
    assert "bad rows, price: below 0" in page and "http" not in page
    # A build may be at work in the workspace: its quarantine is its own.
    assert [f.name for f in (tmp_path / "ws").iterdir()] == ["reports"]


def test_minimum_is_a_setting_and_reached_when_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minimum = ("--set", "quality.minimum_score=0.5")
    out = tmp_path / "elsewhere" / "found.json"
    assert run(tmp_path, SHOP, monkeypatch, *minimum, "--out", str(out)) == 0
    found = json.loads(out.read_text())
    assert found["passed"] is True
    assert found["moment"] is None
    purchases = found["tables"][0]
    assert purchases["parts"]["freshness"]["value"] is None
    # Integrity 4 of 5; completeness, validity and uniqueness are whole.
    assert purchases["score"] == pytest.approx(3.8 / 4)
    assert out.with_suffix(".html").exists()


def test_broken_contract_ends_with_2_and_one_line_per_problem(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [{**row, "amount": "1", "ts": "x"} for row in SHOP["purchases"]]
    assert run(tmp_path, {"purchases": rows}, monkeypatch) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == [
        "error: purchases.ts: expected timestamp",
        "error: purchases.amount: expected number",
    ]
    assert not (tmp_path / "ws").exists()


def test_page_that_cannot_be_written_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("")
    out = str(tmp_path / "file" / "q.html")
    assert run(tmp_path, SHOP, monkeypatch, "--out", out) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --out: expected a file that can be written, got ")


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "n/a"),
        (1.0, "100.0%"),
        (0.99999, ">99.9%"),
        (0.9994, "99.9%"),
        (0.00001, "<0.1%"),
        (0.0, "0.0%"),
    ],
)
def test_share_is_never_rounded_to_all_or_nothing(
    share: float | None, text: str
) -> None:
    assert checkup.percent(share) == text


def test_password_of_an_address_is_in_no_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "postgresql://me:s3cret@127.0.0.1:1/shop"
    monkeypatch.setattr(sys, "argv", ["repurchase", "check", "--data", url])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr()
    assert ended.value.code == 2
    (line,) = told.err.splitlines()
    assert line.startswith("error: data: expected a PostgreSQL database at postgresql:")
    assert "s3cret" not in told.out + told.err


def test_real_data_set_is_written_to_folders_only(tmp_path: Path) -> None:
    database = Config(data=Database.parse("postgresql://me:s3cret@h/shop"))
    with pytest.raises(
        SettingError, match=r"^data: expected a folder to write to, got "
    ):
        stages.data(database)
    assert not stages.has_no_data(database)
    assert stages.has_no_data(Config(data=tmp_path))
    assert stages.has_no_data(Config(data=tmp_path / "new"))
    (tmp_path / "purchases.parquet").touch()
    assert not stages.has_no_data(Config(data=tmp_path))
    assert not stages.has_no_data(Config(data=tmp_path / "purchases.parquet"))


@pytest.mark.parametrize("dated", [True, False])
def test_customers_without_valid_from_are_said_to_be_as_of_the_export(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    dated: bool,
) -> None:
    row: dict[str, Any] = {"customer_id": "a", "segment": "s"}
    if dated:
        row |= {"valid_from": datetime(2024, 1, 1)}
    run(tmp_path, SHOP | {"customers": [row]}, monkeypatch)
    said = "customers has no valid_from: read as of the export at every cutoff."
    assert (said in capsys.readouterr().out) is not dated
