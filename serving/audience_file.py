"""Audiences as files of the command line, and what it may ask for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from features.config import Config
from features.contracts import PICKS, SettingError
from features.scratch import whole
from serving import stages
from serving.audience import Line
from serving.audience_text import as_csv, as_json
from serving.published import Published
from serving.reverse import Rows, category_rows, product_rows


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


def write(found: Iterable[Line], out: Path, offers: int) -> None:
    """Write the lines as CSV or as a JSON array, by the file's ending.

    Args:
        found: in order.
        out: the file.
        offers: products a line at most.
    """
    check_file(out)
    chunks = as_csv(found, offers) if out.suffix == ".csv" else as_json(found)
    with whole(out) as place, place.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
