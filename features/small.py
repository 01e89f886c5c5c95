"""Tables that are small enough to be read whole, whatever the part of customers."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from features.coding import arrays_of
from features.columns import sql_type
from features.contracts import CAMPAIGNS, PRODUCTS, PROMOTIONS
from features.history import ALWAYS, Products, Promotions


def products_of(db: duckdb.DuckDBPyConnection, *, is_there: bool) -> Products:
    """Every product of ``product_codes``, with what ``known_products`` says of it.

    Args:
        db: connection with both.
        is_there: whether there is a ``known_products``.
    """
    if is_there:
        rows = f"SELECT * FROM known_{PRODUCTS.name}"
    else:
        nothing = ", ".join(
            f"NULL::{sql_type(c)} AS {c.name}" for c in PRODUCTS.columns
        )
        rows = f"SELECT {nothing} WHERE false"
    arrays, words = arrays_of(
        db.execute(
            "SELECT p.id, coalesce(m.name, p.id) AS name, m.category, m.subcategory, "
            "m.brand, m.price::DOUBLE AS price, m.margin_rate::DOUBLE AS margin_rate, "
            "m.service_life_days::DOUBLE AS service_life_days, "
            "coalesce(m.available, true) AS available, "
            f"coalesce(epoch_us(m.launched_at), {ALWAYS}) AS launched "
            f"FROM product_codes p LEFT JOIN ({rows}) m ON m.product_id = p.id "
            "ORDER BY p.code"
        ).to_arrow_table(),
        as_text=("id", "name"),
    )
    return Products(
        ids=arrays.pop("id"), names=arrays.pop("name"), words=words, **arrays
    )


def campaigns_of(db: duckdb.DuckDBPyConnection) -> pa.Table:
    """The rows of ``known_campaigns``, ordered by every column."""
    return db.execute(
        f"SELECT * FROM known_{CAMPAIGNS.name} ORDER BY ALL"
    ).to_arrow_table()


def promotions_of(db: duckdb.DuckDBPyConnection) -> Promotions:
    """The rows of ``known_promotions`` of the products of ``product_codes``."""
    arrays, words = arrays_of(
        db.execute(
            "SELECT p.code AS product, epoch_us(t.starts_at) AS starts, "
            "epoch_us(t.ends_at) AS ends, "
            "epoch_us(coalesce(t.known_at, t.starts_at)) AS known_at, t.kind, "
            "t.price::DOUBLE AS price, t.reach::DOUBLE AS reach "
            f"FROM known_{PROMOTIONS.name} t "
            "JOIN product_codes p ON p.id = t.product_id ORDER BY ALL"
        ).to_arrow_table(),
        {"kind": PROMOTIONS.column("kind").kinds},
    )
    return Promotions(words=words["kind"], **arrays)
