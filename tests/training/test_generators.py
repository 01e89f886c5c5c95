from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from features.config import RecommendConfig
from features.history import History
from training.generators.als import fit_als
from training.generators.generator import Generator
from training.generators.looked_at import fit_looked_at
from training.generators.neighbours import fit_neighbours
from training.generators.novelties import fit_arrivals, fit_trending
from training.generators.popularity import fit_segment_popularity
from training.generators.successors import fit_successors
from training.moment import Moment, moment_at, sort_history

ReadHistory = Callable[..., History]
CUTOFF = datetime(2024, 3, 1)
DAY = timedelta(days=1)
CONFIG = RecommendConfig(factors=4, neighbours=1, segment_lines=0.0)


def line(
    customer: str, product: str, days: float, channel: str | None = None
) -> dict[str, Any]:
    return {
        "customer_id": customer,
        "product_id": product,
        "ts": CUTOFF - days * DAY,
        "order_id": f"{customer} {days}",
        "quantity": 1.0,
        "amount": 1.0,
        "channel": channel,
    }


@pytest.fixture
def at_cutoff(read_history: ReadHistory) -> Callable[..., Moment]:
    def make(
        rows: Sequence[dict[str, Any]], oldest: float = 200, **tables: Any
    ) -> Moment:
        # A shop has a customer with two orders; z has nothing to do with the others.
        rows = [*rows, line("z", "wax", oldest), line("z", "wax", oldest - 1)]
        history = read_history({"purchases": rows, **tables}, CUTOFF)
        return moment_at(sort_history(history), CUTOFF, 14)

    return make


def said(generator: Generator, moment: Moment, customer: str) -> dict[str, float]:
    """Finite scores of one customer by product id."""
    code = np.flatnonzero(moment.history.customers == customer).astype(np.int32)
    scores = generator.scores(code)[0]
    ids = moment.history.products.ids[generator.items]
    known = np.isfinite(scores)
    return dict(zip(ids[known].tolist(), scores[known].tolist(), strict=True))


def all_items(moment: Moment) -> np.ndarray:
    return np.arange(moment.n_products, dtype=np.int32)


def test_neighbours_are_those_with_the_most_similar_baskets(
    at_cutoff: Callable[..., Moment],
) -> None:
    # One visit each, all of one day: shares are 1. b is nearest to a (cosine
    # 2 / sqrt(2 * 3)), c only shares tea.
    rows = [line("a", p, 5) for p in ("milk", "tea")]
    rows += [line("b", p, 5) for p in ("milk", "tea", "rye")]
    rows += [line("c", p, 5) for p in ("tea", "soap")]
    moment = at_cutoff(rows)
    config = CONFIG.model_copy(update={"neighbour_own_weight": 0.75})
    found = said(fit_neighbours(moment, all_items(moment), config, 0), moment, "a")
    assert found == pytest.approx({"milk": 1.0, "tea": 1.0, "rye": 0.25}, rel=1e-5)


def test_nobody_is_their_own_neighbour(at_cutoff: Callable[..., Moment]) -> None:
    moment = at_cutoff([line("a", "milk", 5), line("b", "tea", 5)])
    config = CONFIG.model_copy(update={"neighbour_own_weight": 0.0})
    found = said(fit_neighbours(moment, all_items(moment), config, 0), moment, "a")
    assert found == {}


def test_neighbours_are_sought_among_as_many_as_are_drawn(
    at_cutoff: Callable[..., Moment],
) -> None:
    moment = at_cutoff([line(f"c{i}", "milk", 5) for i in range(9)])
    config = CONFIG.model_copy(update={"neighbour_customers": 4})
    made = fit_neighbours(moment, all_items(moment), config, 0)
    assert len(set(made.others.tolist())) == 4


GROUPS = [
    {"product_id": p, "category": "c", "subcategory": s}
    for p, s in (("printer", "printers"), ("ink", "inks"), ("pen", "pens"))
]


def test_what_is_bought_soon_after_a_group_follows_it(
    at_cutoff: Callable[..., Moment],
) -> None:
    rows = [line(c, "printer", 50) for c in "abc"]
    rows += [line(c, "ink", 25) for c in "ab"]
    rows += [line("c", "ink", 10), line("d", "pen", 5)]
    moment = at_cutoff(rows, products=GROUPS)
    made = fit_successors(moment, all_items(moment), CONFIG, 0)
    names = moment.history.products.words["subcategory"]
    printers, inks = names.index("printers"), names.index("inks")
    # Two of three buyers within 30 days; of the 7 first purchases of any group
    # as many: 2 / 3 - 2 / 7.
    assert made.follows[printers, inks] == pytest.approx(2 / 3 - 2 / 7)
    assert made.follows[inks, printers] == 0
    # d bought a pen only, once, and nothing follows it.
    assert said(made, moment, "d") == {}
    assert set(said(made, moment, "a")) == {"ink"}


def test_a_group_that_is_bought_again_follows_itself(
    at_cutoff: Callable[..., Moment],
) -> None:
    rows = [line("a", "pen", 50), line("a", "pen", 5), line("b", "pen", 5)]
    made = fit_successors(
        at_cutoff(rows, products=GROUPS), np.zeros(1, np.int32), CONFIG, 0
    )
    assert made.follows.toarray().max() == 0.5


def test_a_look_counts_for_als_and_by_itself(at_cutoff: Callable[..., Moment]) -> None:
    looks = [
        {"customer_id": "a", "product_id": p, "ts": CUTOFF - 15 * DAY, "kind": kind}
        for p, kind in (("tea", "view"), ("rye", "cart"))
    ]
    rows = [line("a", "milk", 5), line("b", "tea", 5), line("b", "rye", 5)]
    moment = at_cutoff(rows, browses=looks)
    found = said(fit_looked_at(moment, CONFIG), moment, "a")
    assert found == pytest.approx({"tea": 0.05, "rye": 0.25})
    blind = CONFIG.model_copy(update={"view_weight": 0.0, "cart_weight": 0.0})
    items = all_items(moment)
    sees, misses = (fit_als(moment, items, one, 0) for one in (CONFIG, blind))
    a, rye = 0, moment.history.products.ids.tolist().index("rye")
    assert sees.scores(np.array([a]))[0, rye] > misses.scores(np.array([a]))[0, rye]


def test_segments_have_best_sellers_of_their_own(
    at_cutoff: Callable[..., Moment],
) -> None:
    rows = [line("a", "milk", 5, "web"), line("b", "milk", 6, "web")]
    rows += [line("b", "tea", 7, "shop"), line("c", "tea", 8, "shop")]
    rows += [line("c", "rye", 29, "shop")]
    moment = at_cutoff(rows)
    made = fit_segment_popularity(moment, CONFIG)
    assert said(made, moment, "a") == {"milk": 1.0, "tea": 0.0}
    assert said(made, moment, "c") == {"milk": 0.0, "tea": 1.0}
    words = [made.words[i] for i in made.largest[moment.customers[:3]]]
    assert words == ["channel, web", "channel, web", "channel, shop"]
    # Four lines in the month; with four more at the shop's shares: (2 + 2) / 6.
    drawn = CONFIG.model_copy(update={"segment_lines": 4.0})
    found = said(fit_segment_popularity(moment, drawn), moment, "a")
    assert found == pytest.approx({"milk": 2 / 3, "tea": 1 / 3})


def test_trending_is_what_sells_more_than_in_a_usual_week(
    at_cutoff: Callable[..., Moment],
) -> None:
    # Milk once a week; tea four times in the last week and never before.
    rows = [line(f"m{i}", "milk", 7 * i + 3) for i in range(12)]
    rows += [line(f"t{i}", "tea", i + 1) for i in range(4)]
    moment = at_cutoff(rows)
    found = said(fit_trending(moment), moment, "m0")
    assert found == pytest.approx({"tea": 4 - 4 / 12})


def test_new_is_what_came_lately_in_a_shop_that_is_old_enough(
    at_cutoff: Callable[..., Moment],
) -> None:
    rows = [line("a", "milk", 57), line("b", "tea", 10), line("c", "tea", 9)]
    products = [
        {"product_id": "coming", "launched_at": CUTOFF + DAY},
        {"product_id": "fresh", "launched_at": CUTOFF - 56 * DAY + DAY},
        {"product_id": "stale", "launched_at": CUTOFF - 56 * DAY},
    ]
    moment = at_cutoff(rows, oldest=112, products=products)
    found = said(fit_arrivals(moment, CONFIG), moment, "a")
    assert found == pytest.approx({"tea": 0.2, "fresh": 0.0})
    # In the shop's own first days everything is first sold.
    young = at_cutoff(rows[1:], oldest=10, products=products)
    assert set(said(fit_arrivals(young, CONFIG), young, "b")) == {"fresh"}
