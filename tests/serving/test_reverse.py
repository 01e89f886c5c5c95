from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config import Config
from features.contracts import SettingError
from features.snapshot import DAY_US
from serving.audience import Ask, lines, rank
from serving.audience_file import picked, products_of, write
from serving.publish import publish
from serving.published import Published
from serving.reverse import category_rows, product_rows, reasons, top_customers
from training.any_of import AnyOf

ANNA, BERT, CARL = range(3)
P1, P2, P3, P6 = 0, 1, 2, 5


def of(published, ids, n=10):
    return top_customers(published, product_rows(published, ids), n)


def test_one_product_has_its_likeliest_customers_first(published):
    found = of(published, ["p1"])
    assert found.customer.tolist() == [ANNA, BERT]
    assert found.probability.tolist() == np.float32([0.45, 0.05]).tolist()
    assert found.product.tolist() == [P1, P1]
    assert of(published, ["p1"], 1).customer.tolist() == [ANNA]
    assert of(published, ["p8"]).customer.tolist() == []


def test_any_of_independent_products_by_hand(published):
    found = of(published, ["p3", "p1"])
    # anna .45; bert 1 - (1 - .05) (1 - .15); carl refused, and is not there.
    assert found.customer.tolist() == [ANNA, BERT]
    assert found.probability == pytest.approx([0.45, 1 - 0.95 * 0.85])
    assert found.product.tolist() == [P1, P3]


def test_any_of_by_the_fitted_curve_by_hand(published):
    curve = AnyOf((0.5, 0.25, -0.5, 1.0), 0.1)
    found = of(replace(published, any_of=curve), ["p1", "p2"])
    # Two of three customers bought p1 or p2 in the last 14 days.
    share = np.log(2.5 / 4 / (1 - 2.5 / 4))
    hazard = -np.log([(1 - 0.45) * (1 - 0.40), 1 - 0.05])
    own, total = np.array([2.5 + 1.5, 0.0]), np.array([4.5, 0.75])
    z = 0.1 + 0.5 * np.log(hazard + 0.005) + 0.25 * np.log(own + 0.05)
    z += -0.5 * np.log(total + 1) + share
    assert found.customer.tolist() == [ANNA, BERT]
    assert found.probability == pytest.approx(1 / (1 + np.exp(-z)), rel=1e-5)


def test_a_category_is_its_available_products(published):
    assert category_rows(published, "dairy").tolist() == [0, 1, 2]
    # p7 of tea is not available now.
    assert category_rows(published, "tea").tolist() == [P6]


def test_what_is_unknown_is_one_clear_line(published):
    with pytest.raises(SettingError, match=r"1 unknown of 2, 'p9' the first"):
        product_rows(published, ["p1", "p9"])
    with pytest.raises(SettingError, match=r"category: expected one of the 3 .* 'ham'"):
        category_rows(published, "ham")
    gone = replace(published.catalogue, available=np.zeros(8, np.bool_))
    with pytest.raises(SettingError, match="expected one with available products"):
        category_rows(replace(published, catalogue=gone), "tea")
    with pytest.raises(ValueError, match="n: expected at least 1"):
        of(published, ["p1"], 0)
    with pytest.raises(ValueError, match="products: expected at least one"):
        of(published, [])


@pytest.mark.parametrize("ids", [["p1"], ["p1", "p2", "p3"]])
def test_who_refuses_is_in_no_audience_even_if_they_were_published(published, ids):
    refused = replace(published, consent=np.array([False, True, False]))
    assert of(refused, ids).customer.tolist() == [BERT]


def test_a_durable_that_was_just_bought_speaks_for_nobody(published):
    class Lives:
        us = np.array([0, 365 * DAY_US, 0, 0, 0, 0, 0, 0])

    curve = AnyOf((0.0, 1.0, 0.0, 0.0), 0.0)
    plain = of(replace(published, any_of=curve), ["p2", "p6"])
    lasting = of(replace(published, any_of=curve, lives=Lives()), ["p2", "p6"])
    # Own orders with p2: 1.5 of anna; with it at home none count.
    assert plain.probability[0] == pytest.approx(1.55 / 2.55)
    assert lasting.probability[0] == pytest.approx(0.05 / 1.05)


def test_ties_go_to_the_lower_customer_id(published):
    flat = replace(published, any_of=AnyOf((0.0, 0.0, 0.0, 0.0), 0.0))
    found = of(flat, ["p6", "p8"])
    assert found.customer.tolist() == [ANNA, BERT]
    assert found.probability.tolist() == [0.5, 0.5]
    assert found.product.tolist() == [-1, -1]


def test_the_probability_is_that_of_the_customers_own_list(published):
    offers, compared = published.offers, 0
    for product in range(8):
        found = top_customers(published, np.array([product]), 10)
        for row, chance in zip(found.customer, found.probability, strict=True):
            low, high = offers.offsets[row : row + 2]
            mine = low + np.flatnonzero(offers.product[low:high] == product)
            assert (offers.probability[mine] == chance).all()
            compared += mine.size
    assert compared == 2


def test_reasons_are_those_of_the_own_list_where_it_has_the_product(published):
    assert reasons(published, of(published, ["p1"])) == [
        "bought 3 times",
        "not bought before, likelier than others to buy it",
    ]
    nothing = of(replace(published, any_of=AnyOf((0.0,) * 4, 0.0)), ["p6", "p8"])
    assert set(reasons(published, nothing)) == {
        "buys as others do who never bought any of these"
    }


def test_an_audience_is_written_as_csv_and_json(published, tmp_path):
    def audience(*rows):
        return rank(published, Ask("product", products=np.array(rows)), 10)

    found = audience(P3, P6, 7)
    for name, read in (("a.csv", pd.read_csv), ("a.json", pd.read_json)):
        write(lines(published, found), tmp_path / name, 3)
        again = read(tmp_path / name)
        assert again["customer_id"].tolist() == ["bert", "anna"]
        assert again["rank"].tolist() == [1, 2]
        assert np.allclose(again["score"], found.score)
    csv = pd.read_csv(tmp_path / "a.csv")
    assert csv["product_id_1"].fillna("none").tolist() == ["p3", "none"]
    assert csv["product_id_2"].isna().all()
    json = pd.read_json(tmp_path / "a.json")
    assert [[one["product_id"] for one in line] for line in json["products"]] == [
        ["p3"],
        [],
    ]
    with pytest.raises(SettingError, match=r"ends in .csv or .json, got 'a.txt'"):
        write(lines(published, found), tmp_path / "a.txt", 3)
    write(lines(published, audience(7, 6)), tmp_path / "none.csv", 1)
    write(lines(published, audience(7)), tmp_path / "none.json", 1)
    assert (tmp_path / "none.csv").read_text().startswith("customer_id,rank,score,")
    assert pd.read_json(tmp_path / "none.json").empty


def test_products_are_asked_for_in_exactly_one_way(published):
    with pytest.raises(SettingError, match="got 0; give exactly one"):
        products_of(published, Config(), (), None, None)
    with pytest.raises(SettingError, match="got 2; give exactly one"):
        products_of(published, Config(), ("p1",), "tea", None)
    assert products_of(published, Config(), ("p2", "p1"), None, None).tolist() == [0, 1]


def test_a_list_is_what_was_picked_for_everyone(tmp_path):
    lines = [("june", "p3", None), ("june", "p1", "anna"), ("july", "p2", None)]
    picks = [
        {"list": name, "product_id": product, "rank": 1, "customer_id": customer}
        for name, product, customer in lines
    ]
    pq.write_table(pa.Table.from_pylist(picks), tmp_path / "picks.parquet")
    bought = {
        "customer_id": "anna",
        "product_id": "p1",
        "ts": pd.Timestamp("2024-01-01"),
        "order_id": "o1",
        "quantity": 1.0,
        "amount": 1.0,
    }
    pq.write_table(pa.Table.from_pylist([bought]), tmp_path / "purchases.parquet")
    config = Config(data=str(tmp_path))
    assert picked(config, "june") == ["p3"]
    with pytest.raises(SettingError, match="list: expected one of the table picks"):
        picked(config, "august")


def test_the_curve_is_published_to_the_bit(tmp_path, predictions):
    curve = AnyOf((0.1, 0.2, 1 / 3, -0.7), -2.123456789012345)
    publish(tmp_path, replace(predictions, any_of=curve), "m1")
    assert Published.open(tmp_path).any_of == curve
