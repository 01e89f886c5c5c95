"""The commands of insight on hand-drawn shops."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serving import cli
from serving.publish import publish

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["repurchase", *(str(word) for word in words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


@pytest.fixture
def shop(tmp_path: Path, small: Any, insight: Any) -> Path:
    publish(tmp_path, small, "m1", insight=insight)
    return tmp_path


def test_a_budget_is_given_out_to_those_who_consented(shop: Path, run: Run) -> None:
    """anna is loyal (20 %), bert occasional (25 %); carl, a star, refused."""
    out = shop / "plan.csv"
    code, said, _ = run(
        *("strategy", "--budget", "900", "--out", out, "--set", f"workspace={shop}")
    )
    assert code == 0 and "written" in said
    with out.open() as file:
        rows = {row["segment"]: row for row in csv.DictReader(file)}
    assert rows["stars"]["customers"] == "0" and rows["stars"]["amount"] == "0.0"
    # 20 and 25 of 45 parts.
    assert (rows["loyal"]["amount"], rows["occasional"]["amount"]) == ("400.0", "500.0")


def test_a_customer_is_printed_and_drawn(shop: Path, run: Run) -> None:
    file = shop / "anna.svg"
    code, said, _ = run(
        "customer", "anna", "--radar", file, "--set", f"workspace={shop}"
    )
    assert code == 0
    assert json.loads(said)["health"]["index"] == 50
    assert "consumption frequency 60" in file.read_text()
    code, _, error = run("customer", "nobody", "--set", f"workspace={shop}")
    assert code == 2 and error.startswith("error: customer: expected one with")
    code, _, error = run("customer", "anna", "--radar", "x.gif")
    assert code == 2 and ".svg or .png" in error


def test_movers_by_hand(tmp_path: Path, run: Run) -> None:
    """In July a spent 90 of 100; by October b spent 210 of 305, and c came.

    A make up 70 % of the spend: a alone in July, b and a in October.
    """
    lines = [
        ("a", datetime(2024, 6, 1), 90.0),
        ("b", datetime(2024, 6, 2), 10.0),
        ("b", datetime(2024, 8, 1), 200.0),
        ("c", datetime(2024, 9, 30), 5.0),
        # On the second day itself: not known before it.
        ("d", datetime(2024, 10, 1), 500.0),
    ]
    ids, ts, amount = zip(*lines, strict=True)
    table = {
        "customer_id": ids,
        "product_id": ["p"] * len(ids),
        "ts": pa.array(ts, pa.timestamp("us")),
        "order_id": [str(at) for at in range(len(ids))],
        "quantity": [1] * len(ids),
        "amount": amount,
    }
    pq.write_table(pa.table(table), tmp_path / "purchases.parquet")
    out = tmp_path / "moved.json"
    days = ("--from", "2024-07-01", "--to", "2024-10-01")
    words = ("--data", tmp_path, "--set", f"workspace={tmp_path}/w")
    code, said, _ = run("insight", "movers", *days, "--out", out, *words)
    assert code == 0 and "moved: 2 customers" in said
    assert json.loads(out.read_text()) == [
        {"customer_id": "b", "before": "C", "after": "A"},
        {"customer_id": "c", "before": "absent", "after": "C"},
    ]
    # On record before it was given, and nothing half written beside it.
    listed = "--set", f"workspace={tmp_path}/w"
    assert "movers" in run("audits", "list", *listed)[1]
    assert not (tmp_path / ".moved.json").exists()
    back = ("--from", "2024-10-01", "--to", "2024-07-01")
    code, _, error = run("insight", "movers", *back, *words)
    assert code == 2 and "expected a day after 2024-10-01" in error
