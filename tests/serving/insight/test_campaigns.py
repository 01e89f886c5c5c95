"""Who took part in a campaign, what followed, and whether it paid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from features.config import CampaignsConfig
from features.history import History
from features.snapshot import to_us
from serving.insight.campaigns import (
    Measured,
    Participation,
    measure,
    of_kinds,
    outcomes_of,
    participations,
)
from training.comparable import Effect, Overlap

START = datetime(2024, 3, 1)
US = timedelta(microseconds=1)
CONFIG = CampaignsConfig(window_days=30, satisfaction_days=60, threads=1)
Rows = list[dict[str, Any]]
Read = Callable[..., History]


def line(c: str, ts: datetime, amount: float = 10.0, **more: Any) -> dict[str, Any]:
    quantity = -1.0 if amount < 0 else 1.0
    return {
        "customer_id": c,
        "product_id": "p",
        "ts": ts,
        "order_id": f"{c}{ts:%d%H%M%S%f}",
        "quantity": quantity,
        "amount": amount,
        **more,
    }


def touch(c: str, action: str, ts: datetime = START, **more: Any) -> dict[str, Any]:
    return {"customer_id": c, "campaign_id": "k", "ts": ts, "action": action, **more}


@pytest.fixture
def shop(read_history: Read) -> Callable[..., History]:
    """Customers a to e, each with two orders before; further rows as given."""

    def made(
        touches: Rows,
        lines: Rows = (),  # type: ignore[assignment]
        until: datetime = datetime(2024, 6, 1),
        **tables: Rows,
    ) -> History:
        before = [line(c, datetime(2024, 1, day)) for c in "abcde" for day in (5, 20)]
        return read_history(
            {"purchases": [*before, *lines], "touches": touches, **tables}, until
        )

    return made


def only(history: History) -> Participation:
    (found,) = participations(history, to_us(history.until), CONFIG)
    return found


def ids(history: History, mask: np.ndarray) -> list[str]:
    return history.customers[mask].tolist()


def test_whoever_was_sent_to_took_part_answered_or_not(shop: Any) -> None:
    later = START + timedelta(days=2)
    history = shop(
        [touch("a", "sent"), touch("b", "sent"), touch("b", "opened", later)]
    )
    found = only(history)
    assert ids(history, found.participant) == ["a", "b"]
    assert ids(history, found.other) == ["c", "d", "e"]
    assert found.cutoff == found.window_from == to_us(START)
    assert not found.by_chance


def test_the_held_out_are_the_others_where_there_are_any(shop: Any) -> None:
    later = START + timedelta(days=2)
    touches = [
        touch("a", "sent"),
        touch("b", "held_out"),
        # Sent to later all the same: chance had held them out.
        touch("c", "held_out"),
        touch("c", "sent", later),
    ]
    history = shop(touches)
    found = only(history)
    assert ids(history, found.participant) == ["a"]
    assert ids(history, found.other) == ["b", "c"]
    assert found.by_chance


def test_of_an_event_without_invitations_those_who_came_count_from_its_end(
    shop: Any,
) -> None:
    end = START + timedelta(days=3)
    history = shop([touch("a", "attended"), touch("b", "attended", end)])
    found = only(history)
    assert ids(history, found.participant) == ["a", "b"]
    assert found.cutoff == to_us(START)
    assert found.window_from == to_us(end) + 1


def test_a_test_mail_does_not_start_a_campaign(shop: Any) -> None:
    touches = [touch("a", "sent", START - timedelta(days=30))]
    # Of 40 contacts one is the test's.
    touches += [touch("b", "sent", START + US * k) for k in range(39)]
    history = shop(touches)
    found = only(history)
    assert to_us(START) <= found.cutoff < to_us(START + timedelta(seconds=1))
    assert ids(history, found.participant) == ["a", "b"]
    assert found.why_not is None


@pytest.mark.parametrize(("days", "compared"), [(7, True), (8, False)])
def test_a_campaign_sent_over_weeks_is_compared_with_its_holdout_only(
    shop: Any, days: int, compared: bool
) -> None:
    late = START + timedelta(days=days)
    touches = [touch("a", "sent"), touch("b", "sent", late), touch("c", "sent", late)]
    assert (only(shop(touches)).why_not is None) == compared
    drawn = [*touches, touch("d", "held_out", late)]
    assert only(shop(drawn)).why_not is None


def test_the_newest_campaigns_are_taken(shop: Any) -> None:
    touches = [
        touch("a", "sent", START - timedelta(days=k), campaign_id=f"k{k}")
        for k in range(4)
    ]
    history = shop(touches)
    few = CONFIG.model_copy(update={"max_campaigns": 2})
    found = participations(history, to_us(history.until), few)
    assert [one.campaign for one in found] == ["k1", "k0"]


def test_a_campaign_before_the_first_purchase_compares_nobody(shop: Any) -> None:
    history = shop([touch("a", "sent", datetime(2023, 12, 1))])
    found = measure(history, only(history), 1.0, CONFIG, seed=0)
    assert (found.participants, found.others, found.effect) == (0, 0, None)


def test_without_contacts_there_is_no_campaign(read_history: Read) -> None:
    lines = [line(c, datetime(2024, 1, day)) for c in "ab" for day in (5, 20)]
    history = read_history({"purchases": lines}, datetime(2024, 6, 1))
    assert list(participations(history, to_us(history.until), CONFIG)) == []


def test_where_only_answers_are_logged_nothing_is_claimed(shop: Any) -> None:
    history = shop([touch("a", "redeemed"), touch("b", "clicked")])
    found = measure(history, only(history), 1.0, CONFIG, seed=0)
    assert found.effect is None
    assert "who answers chose to" in str(found.why_not)
    assert found.figures()["not_comparable"] == found.why_not
    assert "repurchased" not in found.figures()


def test_too_few_customers_are_not_compared(shop: Any) -> None:
    history = shop([touch("a", "sent")])
    found = measure(history, only(history), 1.0, CONFIG, seed=0)
    assert found.why_not == "1 customers on the smaller side, 100 are needed"
    assert (found.participants, found.others) == (1, 4)


def test_a_campaign_counts_once_its_windows_are_over(shop: Any) -> None:
    over = START + timedelta(days=60)
    touches = [touch("a", "sent")]
    for until, count in ((over - US, 0), (over, 1)):
        history = shop(touches, until=until)
        assert len(list(participations(history, to_us(until), CONFIG))) == count


def test_a_contact_that_became_known_later_is_none_yet(shop: Any) -> None:
    until = datetime(2024, 6, 1)
    touches = [touch("a", "sent", known_at=until), touch("b", "sent", known_at=START)]
    history = shop(touches, until=until)
    assert ids(history, only(history).participant) == ["b"]


def test_outcomes_are_of_the_window_from_its_first_to_before_its_last_moment(
    shop: Any,
) -> None:
    end = START + timedelta(days=30)
    lines = [
        line("a", START - US),
        line("a", START, 7.0),
        line("b", end - US, 20.0),
        line("b", end - US, 5.0, product_id="q", order_id="same"),
        line("b", end - US, 4.0, product_id="q", order_id="same"),
        line("c", end, 9.0),
        line("d", START, -3.0),
    ]
    products = [{"product_id": "p", "margin_rate": 0.5}, {"product_id": "q"}]
    history = shop([touch("a", "sent")], lines, products=products)
    found = outcomes_of(history, to_us(START), CONFIG)
    # Repurchased, orders, spend, margin; q has the shop's middling rate.
    assert found.tolist() == [
        [1, 1, 7, 3.5],
        [1, 2, 29, 14.5],
        [0, 0, 0, 0],
        [0, 0, -3, -1.5],
        [0, 0, 0, 0],
    ]


def test_satisfaction_is_of_answers_after_the_start(shop: Any) -> None:
    def answer(c: str, ts: datetime, score: float) -> dict[str, Any]:
        return {"customer_id": c, "ts": ts, "kind": "csat", "score": score}

    feedback = [
        answer("a", START - US, 5),
        answer("a", START, 4),
        answer("a", START + timedelta(days=60) - US, 3.9),
        answer("a", START + timedelta(days=60), 5),
        answer("b", START, 1),
    ]
    history = shop([touch("a", "sent")], feedback=feedback)
    found = measure(history, only(history), 1.0, CONFIG, seed=0).figures()
    assert found["satisfied"] == {
        "participants": 0.5,
        "answers": 2,
        "others": 0.0,
        "others_answers": 1,
    }


def effect_of(
    with_it: list[float], effect: list[float], influence: list[list[float]]
) -> Effect:
    """Influence: per row of ``effect``'s first outcome; all other errors are 0."""
    moves = np.zeros((len(influence), 4, 2))
    for row, (customer_moves) in enumerate(influence):
        moves[row, : len(customer_moves), 1] = customer_moves
    return Effect(
        treated=200,
        others=300,
        with_it=np.array(with_it),
        effect=np.array(effect),
        naive=np.zeros(4),
        customer=np.arange(len(influence), dtype=np.int32),
        influence=moves,
        overlap=Overlap(1.0, 300.0, 0.0, 0.0),
    )


def measured(effect: Effect, **more: Any) -> Measured:
    base = Measured(
        name="k",
        kind="gift",
        starts_at=START,
        participants=200,
        others=300,
        reached=1000.0,
        by_chance=True,
        why_not=None,
        effect=effect,
        satisfied=(0, 0, 0, 0),
        cost=400.0,
        knows_margin=True,
    )
    return replace(base, **more)


def test_roi_is_extra_margin_less_cost_over_cost() -> None:
    # Margin: .8 a participant, standard error sqrt(.3^2 + .4^2) = .5.
    effect = effect_of(
        [0.5, 0.6, 12.0, 4.0],
        [0.1, 0.1, 2.0, 0.8],
        [[0, 0, 0, 0.3], [0, 0, 0, -0.4]],
    )
    found = measured(effect).figures()
    assert found["margin"]["without"] == pytest.approx(3.2)
    assert found["extra_margin"]["effect"] == pytest.approx(800)
    assert found["extra_margin"]["low"] == pytest.approx(1000 * (0.8 - 0.979982))
    assert found["roi"]["effect"] == pytest.approx(1.0)
    assert found["roi"]["high"] == pytest.approx((1779.982 - 400) / 400)
    # 12 / .6 an order with the campaign, 10 / .5 without.
    assert found["order_value"]["with"] == pytest.approx(20)
    assert found["order_value"]["effect"] == pytest.approx(0)


@pytest.mark.parametrize("cost", [float("nan"), 0.0])
def test_without_a_cost_there_is_no_roi(cost: float) -> None:
    effect = effect_of([0.5, 0.6, 12.0, 4.0], [0.1, 0.1, 2.0, 0.8], [[0.1]])
    found = measured(effect, cost=cost).figures()
    assert found["roi"] == {"effect": None, "low": None, "high": None}
    assert found["extra_margin"]["effect"] == pytest.approx(800)


def test_without_margins_no_margin_is_told() -> None:
    effect = effect_of([0.5, 0.6, 12.0, 0.0], [0.1, 0.1, 2.0, 0.0], [[0.1]])
    found = measured(effect, knows_margin=False).figures()
    assert set(found["margin"].values()) == {None}
    assert found["extra_margin"]["effect"] is None
    assert found["roi"]["effect"] is None


def test_a_kind_weighs_by_participants_and_knows_who_took_part_twice() -> None:
    first = effect_of([0.5, 1, 1, 1], [0.1, 0, 0, 0], [[0.3], [0.0]])
    second = effect_of([0.7, 1, 1, 1], [0.3, 0, 0, 0], [[0.1], [0.2]])
    unlike = measured(first, name="u", why_not="unlike")
    found = of_kinds(
        [measured(first), measured(second, name="l", reached=3000.0), unlike]
    )
    (gift,) = found
    assert gift.participants == 400
    assert gift.cost == 800
    line = gift.figures()["repurchased"]
    # A quarter and three quarters.
    assert line["effect"] == pytest.approx(0.25)
    # Customer 0 moves it by .25 * .3 + .75 * .1 = .15, customer 1 by .15.
    assert line["high"] - line["effect"] == pytest.approx(1.959964 * 0.15 * 2**0.5)
    assert gift.effect is not None
    assert len(gift.effect.customer) == 2
