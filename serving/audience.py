"""Audiences as files: who to contact, with the product to offer and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from features.config import Config
from features.contracts import PICKS, SettingError
from features.scratch import whole
from serving import stages
from serving.published import Published
from serving.reverse import Rows, category_rows, product_rows, reasons, top_customers

COLUMNS = ("customer_id", "rank", "probability", "product_id", "reason")


def audience(published: Published, products: Rows, n: int) -> pd.DataFrame:
    """The customers likeliest to buy at least one of the products.

    Args:
        published: the version to answer from.
        products: distinct rows of products.
        n: how many.

    Returns:
        ``customer_id``, ``rank`` (1-based), ``probability`` (within the horizon),
        ``product_id`` that speaks most for the customer (null: none does) and
        ``reason``; likeliest first, nobody who refused consent.
    """
    found = top_customers(published, products, n)
    names = published.catalogue.names
    rows = zip(
        [published.customers[int(row)] for row in found.customer],
        range(1, len(found.customer) + 1),
        found.probability.tolist(),
        [names[row] if row >= 0 else None for row in found.product.tolist()],
        reasons(published, found),
        strict=True,
    )
    return pd.DataFrame(list(rows), columns=list(COLUMNS))


def products_of(
    published: Published,
    config: Config,
    products: Sequence[str],
    category: str | None,
    name: str | None,
) -> Rows:
    """Rows of the products that are asked for, in exactly one way.

    Args:
        published: the version to answer from.
        config: where the table ``picks`` is.
        products: ids.
        category: all available products of it.
        name: a list of ``picks``.

    Raises:
        SettingError: none or several ways, or something unknown.
    """
    ways = [bool(products), category is not None, name is not None]
    if sum(ways) != 1:
        raise SettingError(
            f"audience: expected one of --product, --category and --list, got "
            f"{sum(ways)}; give exactly one"
        )
    if category is not None:
        return category_rows(published, category)
    ids = products if name is None else picked(config, name)
    return product_rows(published, ids)


def picked(config: Config, name: str) -> list[str]:
    """Products of a manual list that are meant for everyone, by id.

    Raises:
        SettingError: there is no such list.
    """
    with stages.tables_of(config) as tables:
        table = tables.table(PICKS)
    rows = [] if table is None else table.to_pylist()
    ids = {
        str(row["product_id"])
        for row in rows
        if str(row["list"]) == name and row.get("customer_id") is None
    }
    if not ids:
        raise SettingError(
            f"list: expected one of the table picks in {config.data} with products for "
            f"everyone, got {name!r}; check its name"
        )
    return sorted(ids)


def check_file(out: Path) -> None:
    """That the ending names a format; before any work is done.

    Raises:
        SettingError: it does not.
    """
    if out.suffix not in (".csv", ".json"):
        raise SettingError(
            f"out: expected a file that ends in .csv or .json, got {out.name!r}; "
            "choose another name"
        )


def write(found: pd.DataFrame, out: Path) -> None:
    """Write the lines as CSV or as a JSON array, by the file's ending."""
    check_file(out)
    with whole(out) as place:
        if out.suffix == ".csv":
            found.to_csv(place, index=False)
        else:
            filled = found.astype(object).where(found.notna(), None)
            filled.to_json(place, orient="records", indent=1, force_ascii=False)
