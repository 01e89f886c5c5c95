"""The catalogue as text, CSV and JSON, without any data."""

from __future__ import annotations

import csv
import io
import json
import sys

import pytest

from features.assemble import FEATURES
from serving import cli

COLUMNS = ["name", "dimension", "window", "unit", "null", "meaning"]


def describe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *options: str
) -> str:
    monkeypatch.setattr(sys, "argv", ["repurchase", "features", "--describe", *options])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_csv_has_one_row_a_feature(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = describe(monkeypatch, capsys, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(said)))
    assert [row["name"] for row in rows] == [f.name for f in FEATURES]
    assert list(rows[0]) == COLUMNS
    spend = next(row for row in rows if row["name"] == "spend_sum_90d")
    assert spend == {
        "name": "spend_sum_90d",
        "dimension": "purchase",
        "window": "90",
        "unit": "shop currency",
        "null": "the dimension has no data",
        "meaning": "amount paid net of returns in the last 90 days",
    }
    # Only the window may be empty: all history.
    assert all(row[name] for row in rows for name in COLUMNS if name != "window")


def test_json_of_one_dimension(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = describe(monkeypatch, capsys, "--dimension", "browse", "--format", "json")
    rows = json.loads(said)
    mine = [f for f in FEATURES if f.dimension == "browse"]
    assert [row["name"] for row in rows] == [f.name for f in mine]
    assert [row["window"] for row in rows] == [f.window_days for f in mine]


def test_the_table_names_every_feature_of_the_dimension(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = describe(monkeypatch, capsys, "--dimension", "inquiry")
    names = [f.name for f in FEATURES if f.dimension == "inquiry"]
    assert f"inquiry: {len(names)} features" in said
    assert all(name in said for name in names)
    assert "spend_sum" not in said
    assert "under their own names" not in said


def test_the_table_says_once_what_each_null_means(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = describe(monkeypatch, capsys, "--dimension", "inquiry")
    legend = [line for line in said.splitlines() if line.startswith("null (")]
    nulls = dict.fromkeys(f.null for f in FEATURES if f.dimension == "inquiry")
    assert legend == [f"null ({n}): {null}" for n, null in enumerate(nulls, start=1)]
    assert said.count("no such event in the window") == 1


def test_the_table_ends_with_the_columns_of_the_shop_s_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    last = describe(monkeypatch, capsys).splitlines()[-1]
    assert last.startswith("Further columns of customers")
    assert last.endswith("follow under their own names.")


def test_an_unknown_dimension_is_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["repurchase", "features", "--describe", "--dimension", "weather"]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: --dimension: expected one of purchase, browse, inquiry, feedback, "
        "campaign, profile, got 'weather'\n"
    )


@pytest.mark.parametrize("words", [("--dimension", "browse"), ("--format", "table")])
def test_options_of_the_catalogue_without_it_end_with_2_and_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["repurchase", "features", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {words[0]}: expected with --describe only, got it")
