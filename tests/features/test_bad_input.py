"""Every kind of bad input: what stops a run, with which line, and what does not.

A stop is one line per problem. A row that is bad by itself is set aside with its
reason, and the run goes on.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.contracts import TABLES, ContractError, SettingError
from features.engine import Tables

US = timedelta(microseconds=1)
DAY = timedelta(days=1)
NOON = datetime(2024, 3, 1, 12)
UNTIL = datetime(2024, 6, 1)

HEADER = "customer_id,product_id,ts,order_id,quantity,amount\n"
ONE = "a,p,2024-03-02 12:00:00,1,1,2.5\n"
TWO = "a,p,2024-03-03 12:00:00,2,1,2.5\n"

# Makes the input below a folder, and returns it where it is not that folder.
Make = Callable[[Path], Path | None]


def order(n: int = 1, **more: Any) -> dict[str, Any]:
    row = {"customer_id": "a", "product_id": "p", "ts": NOON + n * DAY}
    return row | {"order_id": str(n), "quantity": 1.0, "amount": 2.5} | more


def text(content: str | bytes, name: str = "purchases.csv") -> Make:
    def make(folder: Path) -> None:
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name).write_bytes(data)

    return make


def rows(lines: list[dict[str, Any]] | pa.Table, table: str = "purchases") -> Make:
    """A table, and two good orders where it is another one."""

    def make(folder: Path) -> None:
        made = lines if isinstance(lines, pa.Table) else pa.Table.from_pylist(lines)
        pq.write_table(made, folder / f"{table}.parquet")
        if table != "purchases":
            good = pa.Table.from_pylist([order(1), order(2)])
            pq.write_table(good, folder / "purchases.parquet")

    return make


def orders(**column: Any) -> Make:
    """Two orders with one column changed in both."""
    return rows([order(1, **column), order(2, **column)])


def without(name: str) -> Make:
    lines = [order(1), order(2)]
    return rows([{k: v for k, v in line.items() if k != name} for line in lines])


def with_column(name: str, values: pa.Array) -> Make:
    table = pa.Table.from_pylist([order(1), order(2)])
    at = table.column_names.index(name)
    return rows(table.set_column(at, name, values))


def one(table: str, **row: Any) -> Make:
    return rows([row], table)


def truncated(folder: Path) -> None:
    rows([order(n) for n in range(2000)])(folder)
    file = folder / "purchases.parquet"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def both(folder: Path) -> None:
    orders()(folder)
    text(HEADER)(folder)


def renamed(folder: Path) -> None:
    orders()(folder)
    (folder / "purchases.parquet").rename(folder / "purchases.csv")


def link(target: str) -> Make:
    return lambda folder: (folder / "purchases.parquet").symlink_to(folder / target)


def database(*statements: str) -> Make:
    def make(folder: Path) -> Path:
        file = folder / "shop.duckdb"
        with duckdb.connect(str(file)) as db:
            for statement in statements:
                db.execute(statement)
        return file

    return make


def view_of_nothing(folder: Path) -> Path | None:
    orders()(folder)
    file = folder / "purchases.parquet"
    made = database(f"CREATE VIEW purchases AS FROM read_parquet('{file}')")(folder)
    file.unlink()
    return made


def newer_database(folder: Path) -> Path:
    file = database("CREATE TABLE purchases AS SELECT 1 AS a")(folder)
    assert file is not None
    content = bytearray(file.read_bytes())
    # The number of the storage's version follows checksum and "DUCK".
    content[12] = 250
    file.write_bytes(content)
    return file


def file_instead(folder: Path) -> Path:
    (folder / "notes.txt").write_text("hello")
    return folder / "notes.txt"


def called(*names: str) -> Make:
    """Orders whose columns have other names, in CSV."""
    return text(",".join(names) + "\n" + ONE + TWO)


IN_CSV, IN_PARQUET = "in purchases.csv", "in purchases.parquet"
NOT_PARQUET = (
    "purchases: expected a readable file, got an empty or damaged one in "
    "purchases.parquet (Invalid Input Error: {}); export it again"
)
NOT_UTF8 = (
    "purchases: expected text in UTF-8, got something else in line {} of "
    "purchases.csv; export it as CSV in UTF-8"
)
RAGGED = (
    "purchases: expected 6 values in every line, got {} in line {} of purchases.csv; "
    "the file is cut off, or a value with a delimiter needs quotes: export it again"
)
OPEN_QUOTE = (
    "purchases: expected every quote to be closed, got an open one in line {} of "
    "purchases.csv; the file is cut off, or a quote within a value needs another one: "
    "export it again"
)
NO_HEADER = (
    "purchases: expected the names of columns in the first line, got none of ours in "
    "purchases.csv; write a header in the export"
)
CAST = "cast it in the export"

STOPS: dict[str, tuple[Make, str | tuple[str, ...]]] = {
    # -- where nothing is to be read --------------------------------------------
    "missing folder": (
        lambda folder: folder / "nowhere",
        "data: expected a folder or a DuckDB file, found nothing at {at}; check --data",
    ),
    "empty folder": (
        lambda folder: None,
        "purchases: expected a table, found none in {at}; add purchases.parquet or "
        "purchases.csv",
    ),
    "file name in other letters": (
        text(HEADER + ONE + TWO, "Purchases.CSV"),
        "purchases: expected a table, found none in {at}; add purchases.parquet or "
        "purchases.csv",
    ),
    "two files of one table": (
        both,
        "purchases: expected one file, got purchases.parquet and purchases.csv; "
        "remove one",
    ),
    "folder instead of a file": (
        lambda folder: (folder / "purchases.parquet").mkdir(),
        "purchases: expected a file, got a folder without Parquet files in "
        "purchases.parquet; export it again",
    ),
    "folder instead of CSV": (
        lambda folder: (folder / "purchases.csv").mkdir(),
        "purchases: expected a file, got a folder without Parquet files in "
        "purchases.csv; export it again",
    ),
    "link to itself": (
        link("purchases.parquet"),
        "purchases: expected a file that can be read, got Too many levels of symbolic "
        "links in purchases.parquet; check links and permissions",
    ),
    "link to nothing": (
        link("nothing"),
        "purchases: expected a file that can be read, got No such file or directory "
        "in purchases.parquet; check links and permissions",
    ),
    # -- DuckDB files -------------------------------------------------------------
    "file that is no DuckDB file": (
        file_instead,
        "data: expected a folder, or a DuckDB file that this version can read and "
        'nobody writes to, got notes.txt (IO Error: The file "{at}" exists, but it is '
        "not a valid DuckDB database file!); check --data",
    ),
    "DuckDB file without purchases": (
        database("CREATE TABLE lines AS SELECT 1 AS a"),
        "purchases: expected a table, found none in {at}; add a table or view of that "
        "name",
    ),
    "DuckDB view over a file that is gone": (
        view_of_nothing,
        "purchases: expected a readable file, got an empty or damaged one in "
        "shop.duckdb:purchases (IO Error: No files found that match the pattern "
        '"{folder}/purchases.parquet"); export it again',
    ),
    # -- files that are damaged -----------------------------------------------------
    "empty CSV": (
        text(""),
        f"purchases: expected rows, got an empty file {IN_CSV}; export it again",
    ),
    "empty Parquet": (
        text("", "purchases.parquet"),
        f"purchases: expected rows, got an empty file {IN_PARQUET}; export it again",
    ),
    "header only": (
        text(HEADER),
        f"purchases: expected at least one good row, got none {IN_CSV}; check the export",
    ),
    "Parquet without rows": (
        rows(pa.Table.from_pylist([order()]).slice(0, 0)),
        f"purchases: expected at least one good row, got none {IN_PARQUET}; check the "
        "export",
    ),
    "Parquet without columns": (
        rows(pa.table({})),
        NOT_PARQUET.format(
            "Failed to read Parquet file '{at}/purchases.parquet': Need at least one "
            "non-root column in the file"
        ),
    ),
    "Parquet cut off half-way": (
        truncated,
        NOT_PARQUET.format(
            "No magic bytes found at end of file '{at}/purchases.parquet'"
        ),
    ),
    "Parquet with a wrong footer": (
        text(b"PAR1" + b"x" * 500 + b"PAR1", "purchases.parquet"),
        NOT_PARQUET.format("Footer length error in file '{at}/purchases.parquet'"),
    ),
    "CSV called Parquet": (
        text(HEADER + ONE + TWO, "purchases.parquet"),
        NOT_PARQUET.format(
            "No magic bytes found at end of file '{at}/purchases.parquet'"
        ),
    ),
    "Parquet called CSV": (renamed, NOT_UTF8.format(3)),
    "compressed CSV": (
        text(gzip.compress((HEADER + ONE).encode(), mtime=0)),
        NOT_UTF8.format(1),
    ),
    # -- CSV that does not fit its first line -----------------------------------------
    "CSV cut off in a quoted value": (
        text(HEADER + ONE + TWO + 'a,p,2024-03-04,"3'),
        OPEN_QUOTE.format(4),
    ),
    "CSV with an open quote": (
        text(HEADER + ONE + 'a,"p,2024-03-03,3,1,2.5\n' + TWO * 5),
        OPEN_QUOTE.format(3),
    ),
    "CSV cut off in a line": (
        text(HEADER + ONE + TWO + "a,p,2024-03-0"),
        RAGGED.format(3, 4),
    ),
    "CSV line with too few values": (
        text(HEADER + ONE + "a,p\n" + TWO),
        RAGGED.format(2, 3),
    ),
    "CSV line with too many values": (
        text(HEADER + ONE + TWO.replace("2.5", "2,5")),
        RAGGED.format(7, 3),
    ),
    "CSV in Latin-1": (
        text((HEADER + ONE + TWO.replace("p", "café")).encode("latin-1")),
        NOT_UTF8.format(3),
    ),
    "CSV in UTF-16": (text((HEADER + ONE).encode("utf-16")), NOT_UTF8.format(1)),
    "CSV with a zero byte": (text(HEADER + ONE + "a\0" + TWO), NOT_UTF8.format(3)),
    "CSV without a header": (text(ONE + TWO), NO_HEADER),
    "CSV with a comment first": (text("# export\n" + HEADER + ONE), NO_HEADER),
    "CSV of blank lines": (text("\n\n\n"), NO_HEADER),
    "CSV with an unknown delimiter": (
        text((HEADER + ONE + TWO).replace(",", "^")),
        NO_HEADER,
    ),
    "CSV with a name twice": (
        text(HEADER.replace("amount", "amount,amount") + ONE.replace("2.5", "2.5,9")),
        f"purchases.amount: expected one column of that name, got more than one "
        f"{IN_CSV}; rename or drop the others",
    ),
    "CSV with a name twice in other letters": (
        text(HEADER.replace("amount", "amount,Amount") + ONE.replace("2.5", "2.5,9")),
        f"purchases.amount: expected one column of that name, got more than one "
        f"{IN_CSV}; rename or drop the others",
    ),
    # -- columns ------------------------------------------------------------------------
    "missing ids": (
        without("customer_id"),
        "purchases.customer_id: expected a column of text or integer, got none "
        f"{IN_PARQUET}; add it to the export",
    ),
    "missing times": (
        without("ts"),
        f"purchases.ts: expected a column of timestamp, got none {IN_PARQUET}; add it "
        "to the export",
    ),
    "missing numbers": (
        without("amount"),
        f"purchases.amount: expected a column of number, got none {IN_PARQUET}; add it "
        "to the export",
    ),
    "missing kinds": (
        one("browses", customer_id="a", ts=NOON),
        "browses.kind: expected a column of text, got none in browses.parquet; add it "
        "to the export",
    ),
    "two missing columns": (
        text("customer_id,ts,order_id,quantity\na,2024-03-01,1,1\n"),
        (
            "purchases.product_id: expected a column of text or integer, got none "
            f"{IN_CSV}; add it to the export",
            f"purchases.amount: expected a column of number, got none {IN_CSV}; add it "
            "to the export",
        ),
    ),
    "names in other letters": (
        called("Customer_ID", "product_id", "ts", "order_id", "quantity", "AMOUNT"),
        (
            "purchases.customer_id: expected a column of that name and none in other "
            f"letters, got 'Customer_ID' {IN_CSV}; rename it in the export",
            "purchases.amount: expected a column of that name and none in other letters, "
            f"got 'AMOUNT' {IN_CSV}; rename it in the export",
        ),
    ),
    "optional name in other letters": (
        orders(Channel="web"),
        "purchases.channel: expected a column of that name and none in other letters, "
        f"got 'Channel' {IN_PARQUET}; rename it in the export",
    ),
    "further column with a name of ours": (
        one("customers", customer_id="a", Region="north"),
        "customers.region: expected a column of that name and none in other letters, "
        "got 'Region' in customers.parquet; rename it in the export",
    ),
    "further column with a name of the result": (
        one("customers", customer_id="a", Cutoff="x"),
        "customers.Cutoff: expected a name that no column of ours has in any case, got "
        "'Cutoff' in customers.parquet; rename the column in the export",
    ),
    "numbers as ids": (
        orders(customer_id=17.0),
        f"purchases.customer_id: expected text or integer, got double {IN_PARQUET}; "
        f"{CAST}",
    ),
    "bytes as ids": (
        orders(order_id=b"x"),
        f"purchases.order_id: expected text or integer, got blob {IN_PARQUET}; {CAST}",
    ),
    "texts as numbers": (
        orders(amount="2.50"),
        f"purchases.amount: expected number, got text {IN_PARQUET}; {CAST}",
    ),
    "flags as numbers": (
        orders(quantity=True),
        f"purchases.quantity: expected number, got boolean {IN_PARQUET}; {CAST}",
    ),
    "lists as numbers": (
        orders(amount=[1.0]),
        f"purchases.amount: expected number, got double[] {IN_PARQUET}; {CAST}",
    ),
    "lists as ids": (
        orders(product_id=["p"]),
        f"purchases.product_id: expected text or integer, got text[] {IN_PARQUET}; "
        f"{CAST}",
    ),
    "records as numbers": (
        orders(amount={"value": 1.0}),
        'purchases.amount: expected number, got struct("value" double) '
        f"{IN_PARQUET}; {CAST}",
    ),
    "texts as times": (
        orders(ts="2024-03-01"),
        f"purchases.ts: expected timestamp, got text {IN_PARQUET}; {CAST}",
    ),
    "seconds as times": (
        orders(ts=1709294400),
        f"purchases.ts: expected timestamp, got bigint {IN_PARQUET}; {CAST}",
    ),
    "hours as times": (
        with_column("ts", pa.array([1, 2], pa.time64("us"))),
        f"purchases.ts: expected timestamp, got time {IN_PARQUET}; {CAST}",
    ),
    "numbers as flags": (
        one("customers", customer_id="a", consent=1),
        f"customers.consent: expected true or false, got bigint in customers.parquet; "
        f"{CAST}",
    ),
    "numbers as kinds": (
        one("browses", customer_id="a", ts=NOON, kind=1.5),
        f"browses.kind: expected text, got double in browses.parquet; {CAST}",
    ),
    "required column of nulls": (
        with_column("amount", pa.nulls(2)),
        "purchases: expected at least one good row, got 2 bad rows of 2 (amount: "
        f"missing) {IN_PARQUET}; check the export",
    ),
    # -- values of CSV that are wrong throughout -------------------------------------------
    "CSV ids that were numbers": (
        text((HEADER + ONE + TWO).replace("a,p", "17.0,p")),
        "purchases.customer_id: expected text or integer, got numbers with a decimal "
        f"point in 2 of 2 rows {IN_CSV}; {CAST}",
    ),
    "thousands separators": (
        text(HEADER + (ONE + TWO).replace("2.5", '"1,234.50"')),
        "purchases.amount: expected number, got text (such as '1,234.50') in 2 of 2 "
        f"rows {IN_CSV}; {CAST}",
    ),
    "decimal commas": (
        text((HEADER + ONE + TWO).replace(",", ";").replace("2.5", "2,5")),
        "purchases.amount: expected number, got text (such as '2,5') in 2 of 2 rows "
        f"{IN_CSV}; {CAST}",
    ),
    "currency signs": (
        text(HEADER + (ONE + TWO).replace("2.5", "$2.5")),
        "purchases.amount: expected number, got text (such as '$2.5') in 2 of 2 rows "
        f"{IN_CSV}; {CAST}",
    ),
    "days before months": (
        text(HEADER + (ONE + TWO).replace("2024-03-0", "30/03/202")),
        "purchases.ts: expected timestamp, got text (such as '30/03/2022 12:00:00') in "
        f"2 of 2 rows {IN_CSV}; {CAST}",
    ),
    "days that are none": (
        text(HEADER + (ONE + TWO).replace("2024-03-0", "2024-02-3")),
        "purchases.ts: expected timestamp, got text (such as '2024-02-32 12:00:00') in "
        f"2 of 2 rows {IN_CSV}; {CAST}",
    ),
    "zones by name": (
        text(HEADER + (ONE + TWO).replace("12:00:00", "12:00:00 CET")),
        "purchases.ts: expected timestamp, got text (such as '2024-03-02 12:00:00 ') in "
        f"2 of 2 rows {IN_CSV}; {CAST}",
    ),
    "flags in other words": (
        text("customer_id,consent\na,agreed\nb,true\n", "customers.csv"),
        (
            "customers.consent: expected true or false, got text (such as 'agreed') in "
            f"1 of 2 rows in customers.csv; {CAST}",
        ),
    ),
    # -- shops in which nothing can be learned ------------------------------------------------
    "no order before the cutoff": (
        rows([order(100), order(101)]),
        "cutoff: expected a moment after the first purchase (2024-06-09), got "
        "2024-06-01; choose a later cutoff",
    ),
    "one order per customer": (
        rows([order(1), order(2, customer_id="b")]),
        "purchases.order_id: expected at least one customer with two orders before "
        f"2024-06-01, got none {IN_PARQUET}; check that order_id tells orders apart and "
        "customer_id is stable",
    ),
    "only returns": (
        orders(quantity=-1.0),
        "purchases.quantity: expected at least one purchase, got only returns (negative "
        f"quantities) {IN_PARQUET}; check the sign in the export",
    ),
}


@pytest.mark.parametrize(("make", "lines"), STOPS.values(), ids=STOPS)
def test_broken_input_stops_with_one_line_per_problem(
    tmp_path: Path, make: Make, lines: str | tuple[str, ...]
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    at = make(folder) or folder
    with pytest.raises(ContractError) as refused, Tables(at) as tables:
        tables.history(UNTIL)
    expected = (lines,) if isinstance(lines, str) else lines
    filled = tuple(
        line.replace("{at}", str(at)).replace("{folder}", str(folder))
        for line in expected
    )
    assert refused.value.lines == filled
    assert not any("\n" in line for line in refused.value.lines)


def browse(**more: Any) -> dict[str, Any]:
    return {"customer_id": "a", "ts": NOON, "kind": "view"} | more


def campaign(**more: Any) -> dict[str, Any]:
    return {"campaign_id": "k", "starts_at": NOON, "ends_at": NOON} | more


def many(line: str) -> str:
    """A CSV file of 200 good orders and a bad one: dirty, not mistyped."""
    good = "".join(f"a,p,2024-03-01,{n},1,2.5\n" for n in range(200))
    return HEADER + good + line


KINDS = "kind: not one of view, search, cart, favourite"
BLANKS = "empty or with blanks around it"
SET_ASIDE: dict[str, tuple[Make, dict[str, dict[str, int]]]] = {
    "null in every required column": (
        rows(
            [order(n) for n in range(3)]
            + [order(n + 3, **{name: None}) for n, name in enumerate(order())]
        ),
        {"purchases": {f"{name}: missing": 1 for name in order()}},
    ),
    "not a number, and infinite": (
        rows(
            [
                order(1),
                order(2),
                order(3, amount=float("nan")),
                order(4, quantity=float("inf")),
                order(5, amount=-float("inf")),
            ]
        ),
        {
            "purchases": {
                "amount: not a finite number": 2,
                "quantity: not a finite number": 1,
            }
        },
    ),
    "number too large for a double": (
        text(many(ONE.replace("2.5", "1e999"))),
        {"purchases": {"amount: not a finite number": 1}},
    ),
    "unknown kind, also in other letters and with blanks": (
        rows([browse(kind=k) for k in ("stare", "View", " view", "view")], "browses"),
        {"browses": {KINDS: 3}},
    ),
    "negative seconds": (
        rows([browse(dwell_seconds=s) for s in (-0.5, 0.0, None)], "browses"),
        {"browses": {"dwell_seconds: below 0": 1}},
    ),
    "share above one": (
        rows(
            [{"product_id": p, "margin_rate": m} for p, m in (("p", 1.5), ("q", 1))],
            "products",
        ),
        {"products": {"margin_rate: above 1": 1}},
    ),
    "score outside its scale": (
        rows(
            [
                {"customer_id": "a", "ts": NOON, "kind": kind, "score": score}
                for kind, score in (
                    ("nps", -0.5),
                    ("nps", 0.0),
                    ("nps", 10.0),
                    ("nps", 10.5),
                    ("csat", 100.0),
                    ("nps", None),
                )
            ],
            "feedback",
        ),
        {"feedback": {"score: not from 0 to 10, the scale of nps": 2}},
    ),
    "rank that is no whole number": (
        rows(
            [{"list": "l", "product_id": "p", "rank": r} for r in (1.0, 1.5)], "picks"
        ),
        {"picks": {"rank: not a whole number": 1}},
    ),
    "year 1, 1899, 2200, 9999 and 20170": (
        rows(
            [
                *(order(n) for n in range(2)),
                *(
                    order(n, ts=ts)
                    for n, ts in enumerate(
                        [
                            datetime(1, 1, 1),
                            datetime(1900, 1, 1) - US,
                            datetime(1900, 1, 1),
                            datetime(2200, 1, 1) - US,
                            datetime(2200, 1, 1),
                            datetime(9999, 12, 31),
                        ]
                    )
                ),
            ]
        ),
        {"purchases": {"ts: before 1900": 2, "ts: after 2199": 2}},
    ),
    "year of five digits": (
        text(many(ONE.replace("2024", "20240"))),
        {"purchases": {"ts: after 2199": 1}},
    ),
    "joined in year 1": (
        one("customers", customer_id="a", joined_at=datetime(1, 1, 1)),
        {"customers": {"joined_at: before 1900": 1}},
    ),
    "empty ids and ids with blanks around": (
        rows(
            [order(1), order(2)] + [order(3, customer_id=c) for c in ("", " a", "a ")]
        ),
        {"purchases": {f"customer_id: {BLANKS}": 3}},
    ),
    "optional id with blanks around": (
        rows([browse(product_id=p) for p in (" p", "p", "", None)], "browses"),
        {"browses": {f"product_id: {BLANKS}": 1}},
    ),
    "ends before it starts": (
        rows(
            [
                campaign(),
                campaign(campaign_id="l", ends_at=NOON - US),
                campaign(campaign_id="m", ends_at=NOON + US),
            ],
            "campaigns",
        ),
        {"campaigns": {"ends_at: before starts_at": 1}},
    ),
    "plan that ends before it starts": (
        one(
            "promotions",
            product_id="p",
            starts_at=NOON,
            ends_at=NOON - US,
            kind="price",
        ),
        {"promotions": {"ends_at: before starts_at": 1}},
    ),
    "repeated keys": (
        rows([{"product_id": p} for p in ("p", "p", "q", "p")], "products"),
        {"products": {"product_id: repeated": 2}},
    ),
    "customer twice in one period": (
        rows(
            [
                {"customer_id": "a", "valid_from": moment}
                for moment in (NOON, NOON, NOON + US)
            ],
            "customers",
        ),
        {"customers": {"customer_id, valid_from: repeated": 1}},
    ),
    "single value of CSV that cannot be read": (
        text(many(ONE.replace("2.5", "cheap"))),
        {"purchases": {"amount: expected number, got text": 1}},
    ),
    "single time of CSV with a zone by name": (
        text(many(ONE.replace("12:00:00", "12:00 Asia/Shanghai"))),
        {"purchases": {"ts: expected timestamp, got text": 1}},
    ),
    "single time of CSV without end": (
        text(many(ONE.replace("2024-03-02 12:00:00", "infinity"))),
        {"purchases": {"ts: expected timestamp, got text": 1}},
    ),
    "empty ids of CSV": (
        text(many("  " + ONE[1:])),
        {"purchases": {"customer_id: missing": 1}},
    ),
}


@pytest.mark.parametrize(("make", "reasons"), SET_ASIDE.values(), ids=SET_ASIDE)
def test_bad_row_is_set_aside_with_its_reason(
    tmp_path: Path, make: Make, reasons: dict[str, dict[str, int]]
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    make(folder)
    with Tables(folder) as tables:
        tables.write_quarantine(tmp_path / "bad")
        tables.history(UNTIL)
    found: dict[str, dict[str, int]] = {}
    for file in (tmp_path / "bad").glob("*.parquet"):
        counted = pq.read_table(file).group_by("reason").aggregate([([], "count_all")])
        found[file.stem] = {
            row["reason"]: row["count_all"] for row in counted.to_pylist()
        }
    assert found == reasons


FRAME = HEADER + ONE + TWO
READ: dict[str, Make] = {
    "byte order mark": text("\ufeff" + FRAME),
    "byte order mark and quotes": text(
        "\ufeff" + FRAME.replace("customer_id", '"customer_id"')
    ),
    "semicolons": text(FRAME.replace(",", ";")),
    "tabs": text(FRAME.replace(",", "\t")),
    "bars": text(FRAME.replace(",", "|")),
    "line ends of Windows": text(FRAME.replace("\n", "\r\n")),
    "line ends of old": text(FRAME.replace("\n", "\r")),
    "no line end at the end": text(FRAME.strip()),
    "blank lines": text("\n\n" + FRAME.replace("\n", "\n\n")),
    "blanks around names and values": text(FRAME.replace(",", " , ")),
    "index without a name": text(f",{HEADER}0,{ONE}1,{TWO}"),
    "quoted values": text(HEADER + '"a","p",2024-03-02 12:00:00,"1",1,2.5\n' + TWO),
    "values with offsets": text(FRAME.replace("12:00:00", "20:00:00+08:00")),
    "integers as ids and numbers": rows(
        [order(1, order_id=1, quantity=1), order(2, order_id=2, quantity=1)]
    ),
    "decimals": orders(amount=Decimal("2.50")),
    "categories": with_column("customer_id", pa.array(["a", "a"]).dictionary_encode()),
    "nanoseconds": with_column(
        "ts", pa.array([NOON + DAY, NOON + 2 * DAY], pa.timestamp("ns"))
    ),
    "seconds": with_column(
        "ts", pa.array([NOON + DAY, NOON + 2 * DAY], pa.timestamp("s"))
    ),
    "known before it happened": orders(known_at=NOON - 90 * DAY),
    "optional columns of nulls": rows(
        pa.Table.from_pylist([order(1), order(2)]).append_column(
            "list_amount", pa.nulls(2)
        )
    ),
}


@pytest.mark.parametrize("make", READ.values(), ids=READ)
def test_odd_but_good_input_is_read_as_it_is_meant(tmp_path: Path, make: Make) -> None:
    make(tmp_path)
    with Tables(tmp_path) as tables:
        assert sum(tables.quarantined.values()) == 0
        history = tables.history(UNTIL)
        lines = tables.purchases_between(NOON, UNTIL).to_pylist()
    assert list(history.customers) == ["a"]
    assert lines == [order(1), order(2)]


def test_every_problem_of_every_table_is_told_at_once(tmp_path: Path) -> None:
    rows([{"customer_id": "a", "ts": "x"}])(tmp_path)
    text("product_id,price\np,dear\n", "products.csv")(tmp_path)
    text("", "browses.csv")(tmp_path)
    text("customer_id\na,b\n", "customers.csv")(tmp_path)
    with pytest.raises(ContractError) as refused:
        Tables(tmp_path)
    assert [line.partition(": ")[0] for line in refused.value.lines] == [
        "purchases.product_id",
        "purchases.ts",
        "purchases.order_id",
        "purchases.quantity",
        "purchases.amount",
        "browses",
        "customers",
        "products.price",
    ]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_required_column_is_missed(tmp_path: Path, table: Any) -> None:
    rows([{"nothing": 1}], table.name)(tmp_path)
    with pytest.raises(ContractError) as refused:
        Tables(tmp_path)
    assert [line.partition(": ")[0] for line in refused.value.lines] == [
        f"{table.name}.{column.name}" for column in table.columns if column.required
    ]


def test_folder_of_parquet_files_is_a_table(tmp_path: Path) -> None:
    parts = tmp_path / "purchases.parquet"
    parts.mkdir()
    for n in (1, 2):
        pq.write_table(pa.Table.from_pylist([order(n)]), parts / f"part-{n}.parquet")
    (parts / "_SUCCESS").touch()
    with Tables(tmp_path) as tables:
        assert len(tables.history(UNTIL).purchases) == 2


@pytest.mark.parametrize("name", ["a[1]", "a*", "a?", "it's", "{x}"])
def test_path_is_no_pattern(tmp_path: Path, name: str) -> None:
    for other in (name, "a1", "ab"):
        (tmp_path / other).mkdir()
        orders(customer_id=other)(tmp_path / other)
        text("product_id\np\n", "products.csv")(tmp_path / other)
    with Tables(tmp_path / name) as tables:
        assert list(tables.history(UNTIL).customers) == [name]


def test_duckdb_file_that_somebody_writes_to(tmp_path: Path) -> None:
    file = tmp_path / "shop.duckdb"
    with duckdb.connect(str(file)), pytest.raises(ContractError) as refused:
        Tables(file)
    (told,) = refused.value.lines
    assert told.startswith(
        "data: expected a folder, or a DuckDB file that this version can read and "
        "nobody writes to, got shop.duckdb ("
    )
    assert told.endswith("); check --data")


def test_duckdb_file_of_a_newer_version(tmp_path: Path) -> None:
    with pytest.raises(ContractError) as refused:
        Tables(newer_database(tmp_path))
    (told,) = refused.value.lines
    assert told.startswith(
        "data: expected a folder, or a DuckDB file that this version"
    )
    assert "got shop.duckdb (" in told


@pytest.fixture
def open_folder() -> Generator[Path]:
    """A folder that everybody may enter, below one that everybody may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def nobody() -> Generator[None]:
    """Root may read all, so be somebody who may not."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    yield
    if is_root:
        os.seteuid(0)


@pytest.mark.parametrize("name", ["purchases.csv", "purchases.parquet"])
def test_file_that_may_not_be_read(open_folder: Path, name: str) -> None:
    text(HEADER + ONE + TWO, name)(open_folder)
    (open_folder / name).chmod(0)
    with nobody(), pytest.raises(ContractError) as refused:
        Tables(open_folder)
    assert refused.value.lines == (
        "purchases: expected a file that can be read, got Permission denied in "
        f"{name}; check links and permissions",
    )


@pytest.mark.parametrize("inner", ["", "data"])
def test_folder_that_may_not_be_read(open_folder: Path, inner: str) -> None:
    closed = open_folder / "closed"
    (closed / inner).mkdir(parents=True)
    closed.chmod(0)
    with nobody(), pytest.raises(ContractError) as refused:
        Tables(closed / inner)
    closed.chmod(0o755)
    assert refused.value.lines == (
        "data: expected a folder or a DuckDB file that can be read, got Permission "
        f"denied at {closed / inner}; check links and permissions",
    )


@pytest.mark.parametrize("limit", ["0GB", "1KB"])
def test_memory_that_is_too_little_is_no_damaged_file(
    tmp_path: Path, limit: str
) -> None:
    orders()(tmp_path)
    with pytest.raises(SettingError) as refused:
        Tables(tmp_path, memory_limit=limit)
    told = str(refused.value)
    assert told.startswith(
        "engine.memory_limit: expected enough to read purchases in purchases.parquet, "
        "got too little ("
    )
    assert told.endswith("); raise it")


def test_memory_limit_that_is_no_size(tmp_path: Path) -> None:
    orders()(tmp_path)
    with pytest.raises(SettingError) as refused:
        Tables(tmp_path, memory_limit="lots")
    assert str(refused.value) == (
        "engine.memory_limit: expected a size such as 1GB, got 'lots'; give a number "
        "and KB, MB, GB or TB"
    )


def test_working_folder_need_not_be_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Enough lines to sort on disk.
    many = pa.table(
        {
            "customer_id": pa.array([f"c{n % 50_000}" for n in range(400_000)]),
            "product_id": pa.array([f"p{n}" for n in range(400_000)]),
            "order_id": pa.array([f"o{n}" for n in range(400_000)]),
            "ts": pa.array([NOON] * 400_000, pa.timestamp("us")),
            "quantity": pa.array([1.0] * 400_000),
            "amount": pa.array([float(n) for n in range(400_000)]),
        }
    )
    rows(many)(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    with Tables(tmp_path, memory_limit="40MB", threads=1) as tables:
        lines = tables.purchases_between(NOON, UNTIL)
        assert list(empty.iterdir()) == []
    assert lines.num_rows == 400_000
