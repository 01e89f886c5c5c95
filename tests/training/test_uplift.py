"""Uplift: measures worked by hand, contacts as known, honest about chance."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.assemble import assemble
from features.config import UpliftConfig
from features.engine import Tables
from features.history import Floats, History
from features.simulate.shop import TRUTHS, simulate
from features.simulate.truths import truths_of
from features.snapshot import DAY_US, Snapshot, to_us
from training import uplift
from training.holdout import Contacts, contacts_of, joined
from training.uplift_evidence import Evidence, Trial, judge
from training.uplift_learners import LEARNERS, fit_learners
from training.uplift_metrics import (
    band,
    effect_scores,
    gains,
    qini,
    qini_weights,
    weighted_effects,
)
from training.uplift_spend import SpendScores, judge_spend

CONFIG = UpliftConfig(trees=20, effect_trees=15, min_rows=50, effect_min_rows=200)
STARTS = tuple(datetime(2024, month, 1) for month in (1, 2, 3, 4))


# Measures, by hand


def test_qini_of_a_drawn_table() -> None:
    # Sent and held out in turn, half each: a score is +2 or -2 for a buyer.
    treated = np.array([True, False, True, False])
    bought = np.array([1.0, 0.0, 0.0, 1.0])
    effect = effect_scores(bought, treated, np.full(4, 0.5))
    assert effect.tolist() == [2, 0, 0, -2]
    score = np.array([0.4, 0.3, 0.2, 0.1])
    depth, gain = gains(score, effect)
    assert depth.tolist() == [0, 0.25, 0.5, 0.75, 1]
    # 2 of 4 contacts' worth after the first, nothing in the end.
    assert gain.tolist() == [0, 0.5, 0.5, 0.5, 0]
    # Trapezoids .0625 + .125 + .125 + .0625; a random order has 0.
    assert qini(score, effect) == pytest.approx(0.375)
    assert qini(-score, effect) == pytest.approx(-0.375)


def test_qini_is_the_area_between_the_curve_and_the_straight_line() -> None:
    random = np.random.default_rng(0)
    score, effect = random.integers(0, 9, 200) / 9, random.normal(0.3, 1, 200)
    depth, gain = gains(score, effect)
    area = float(np.sum(np.diff(depth) * (gain[1:] + gain[:-1]) / 2))
    assert qini(score, effect) == pytest.approx(area - effect.mean() / 2)


def test_extra_spend_of_a_drawn_table() -> None:
    # Sent and held out in turn, half each: a score is +2 or -2 times the spend.
    start = np.full(4, to_us(STARTS[0]))
    contacts = Contacts(
        campaign=np.zeros(4, np.int32),
        customer=np.arange(4, dtype=np.int32),
        cutoff=start,
        moment=start,
        treated=np.array([True, False, True, False]),
        bought=np.ones(4),
        spend=np.array([10.0, 2.0, 4.0, 6.0]),
    )
    none = np.zeros(4)
    scores = SpendScores(none, none, np.array([4.0, 3.0, 2.0, 1.0]))
    found = judge_spend(contacts, np.full(4, 0.5), scores, None, 0)
    # 20 - 4 + 8 - 12 over 4; weights of the Qini coefficient are .375 to -.375.
    assert found.effect.value == pytest.approx(3.0)
    assert found.qini.value == pytest.approx(2.625)
    assert found.qini_normalised == pytest.approx(1.75)
    # The first and a fifth of the second.
    assert found.top["30%"].value == pytest.approx((20 - 0.8) / 1.2)
    doubted = judge_spend(contacts, np.full(4, 0.5), scores, "few", 0)
    assert not doubted.enough and doubted.said == "Not enough evidence: few."


def test_equal_scores_enter_together() -> None:
    effect = np.array([1.0, 0.0, 0.0, 0.0])
    depth, gain = gains(np.array([0.5, 0.5, 0.1, 0.1]), effect)
    assert depth.tolist() == [0, 0.5, 1]
    assert gain.tolist() == [0, 0.25, 0.25]
    # In whatever order the rows come, and nothing where all are equal.
    for shuffled in (effect, effect[::-1]):
        assert qini(np.full(4, 0.2), shuffled) == 0
    assert qini_weights(np.array([0.5, 0.5, 0.1, 0.1])).tolist() == [
        0.25,
        0.25,
        -0.25,
        -0.25,
    ]


def test_band_shares_what_is_left_among_equal_scores() -> None:
    score = np.array([0.9, 0.5, 0.5, 0.1])
    assert band(score, 0.0, 0.25).tolist() == [1, 0, 0, 0]
    assert band(score, 0.0, 0.5).tolist() == [1, 0.5, 0.5, 0]
    assert band(score, 0.5, 1.0).tolist() == [0, 0.5, 0.5, 1]


def test_effect_scores_are_unbiased_whatever_was_expected() -> None:
    # 3 of 4 sent to: 2 buy; the one held out does not. 2/3 - 0.
    treated = np.array([True, True, True, False])
    bought = np.array([1.0, 1.0, 0.0, 0.0])
    for without, contacted in ((0.0, 0.0), (0.3, 0.6), (0.9, 0.1)):
        scores = effect_scores(
            bought,
            treated,
            np.full(4, 0.75),
            np.full(4, without),
            np.full(4, contacted),
        )
        assert scores.mean() == pytest.approx(2 / 3)


def test_intervals_draw_a_customers_contacts_together() -> None:
    random = np.random.default_rng(0)
    once = random.normal(0, 1, 300)
    one = np.ones(1200)
    customer = np.tile(np.arange(300, dtype=np.int32), 4)
    [repeated] = weighted_effects(np.tile(once, 4), [one], [one], customer, 0)
    [alone] = weighted_effects(once, [one[:300]], [one[:300]], customer[:300], 0)
    # Four copies of a customer say no more than one.
    assert (repeated.low, repeated.high) == pytest.approx((alone.low, alone.high))


# Contacts, as known


def history_of(folder: Path, until: datetime, **tables: list[dict]) -> History:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    with Tables(folder) as read:
        return read.history(until)


def line(customer: str, ts: datetime, amount: float = 10.0, **more: object) -> dict:
    order = f"{customer}{ts:%m%d%H%M%S%f}"
    quantity = 1.0 if amount >= 0 else -1.0
    return {
        "customer_id": customer,
        "product_id": "p",
        "ts": ts,
        "order_id": order,
        "quantity": quantity,
        "amount": amount,
    } | more


def touch(customer: str, ts: datetime, action: str, campaign: str = "k") -> dict:
    return {
        "customer_id": customer,
        "campaign_id": campaign,
        "ts": ts,
        "action": action,
    }


ARMS = {"a": "sent", "b": "held_out", "c": "sent", "d": "held_out"}
START, UNTIL = datetime(2024, 3, 1), datetime(2024, 4, 1)
WEEK, TICK = timedelta(days=7), timedelta(microseconds=1)
BEFORE = [line(c, START - timedelta(days=d)) for c in "abcdef" for d in (9, 12)]


def test_outcomes_are_bought_within_the_horizon_of_the_own_contact(
    tmp_path: Path,
) -> None:
    later = START + timedelta(days=2)
    touches = [
        touch("a", START, "sent"),
        touch("b", later, "sent"),
        touch("c", START, "held_out"),
        touch("d", START, "sent"),
        touch("d", START + TICK, "opened"),
        touch("e", START, "held_out"),
        touch("e", START + TICK, "sent"),
    ]
    lines = [
        *BEFORE,
        line("a", START - TICK),
        line("a", START + WEEK - TICK, 30.0),
        line("b", later - TICK),
        line("b", later + WEEK),
        line("c", START),
        line("c", START + TICK, -4.0),
        line("f", START, 99.0),
    ]
    history = history_of(tmp_path, UNTIL, purchases=lines, touches=touches)
    found = contacts_of(history, 7, 12)
    names = [str(history.customers[code]) for code in found.customer]
    assert names == ["a", "b", "c", "d", "e"]
    assert found.treated.tolist() == [True, True, False, True, False]
    assert found.bought.tolist() == [1, 0, 1, 0, 0]
    assert found.spend.tolist() == [30, 0, 6, 0, 0]
    assert found.cutoffs == (START,)
    assert found.share_treated() == pytest.approx(0.6)


def test_campaigns_without_both_arms_or_with_an_open_window_say_nothing(
    tmp_path: Path,
) -> None:
    late = UNTIL - WEEK + TICK
    touches = [
        *(touch(c, START, "sent", "only sent") for c in "ab"),
        *(touch(c, START, "held_out", "only held out") for c in "ab"),
        touch("a", late - TICK, "sent", "ended"),
        touch("b", late - TICK, "held_out", "ended"),
        touch("a", late, "sent", "open"),
        touch("b", late - TICK, "held_out", "open"),
    ]
    history = history_of(tmp_path, UNTIL, purchases=BEFORE, touches=touches)
    found = contacts_of(history, 7, 12)
    words = history.touches.words["campaign_id"]
    assert {words[code] for code in found.campaign} == {"ended"}


@pytest.mark.parametrize("actions", [(), ("sent",), ("held_out",)])
def test_shop_without_a_holdout_is_told_so(
    tmp_path: Path, actions: tuple[str, ...]
) -> None:
    touches = [touch(c, START, action) for c in "abc" for action in actions]
    tables = {"touches": touches} if touches else {}
    history = history_of(tmp_path, UNTIL, purchases=BEFORE, **tables)
    contacts = contacts_of(history, 7, 12)
    features = assemble(history, [*contacts.cutoffs, UNTIL])
    model = uplift.fit(contacts, features, 7, CONFIG, seed=0)
    assert not model.evidence.enough
    assert model.evidence.said.startswith("No past campaign held customers out")
    predicted = model.predict(features)
    assert predicted.column_names == ["customer_id", "uplift", "expected_extra_spend"]
    for name in ("uplift", "expected_extra_spend"):
        assert predicted.column(name).null_count == predicted.num_rows == 6
    assert model.evidence.spend is None


def test_rows_at_or_after_the_end_change_nothing(tmp_path: Path) -> None:
    touches = [touch(c, START, a) for c, a in ARMS.items()]
    lines = [*BEFORE, line("a", START + TICK), line("d", START + WEEK - TICK)]
    later = {
        "purchases": [
            *({"known_at": None} | row for row in lines),
            line("b", UNTIL),
            line("b", START + TICK, known_at=UNTIL),
            line("z", UNTIL + WEEK),
        ],
        "touches": [*touches, touch("a", UNTIL, "held_out"), touch("e", UNTIL, "sent")],
    }
    found = []
    for name, tables in (
        ("before", {"purchases": lines, "touches": touches}),
        ("after", later),
    ):
        history = history_of(tmp_path / name, UNTIL, **tables)
        contacts = contacts_of(history, 7, 12)
        found.append(joined(contacts, assemble(history, contacts.cutoffs)))
    (before, seen), (after, seen_after) = found
    for name, values in vars(before).items():
        assert values.tolist() == getattr(after, name).tolist(), name
    assert seen.equals(seen_after)


def test_what_follows_a_contact_is_in_no_feature_of_it(tmp_path: Path) -> None:
    touches = [touch(c, START, a) for c, a in ARMS.items()]
    follows = [touch("a", START + TICK, action) for action in ("opened", "redeemed")]
    answered = [*BEFORE, line("a", START, 30.0, campaign_id="k")]
    found = []
    for name, lines, rows in (
        ("quiet", [b | {"campaign_id": None} for b in BEFORE], touches),
        ("bought", [{"campaign_id": None} | b for b in answered], touches + follows),
    ):
        history = history_of(tmp_path / name, UNTIL, purchases=lines, touches=rows)
        contacts = contacts_of(history, 7, 12)
        found.append(joined(contacts, assemble(history, contacts.cutoffs)))
    assert found[0][0].bought.tolist() == [0, 0, 0, 0]
    assert found[1][0].bought.tolist() == [1, 0, 0, 0]
    assert found[0][1].to_pylist() == found[1][1].to_pylist()


def test_features_are_those_of_the_contact() -> None:
    contacts, features, _ = drawn(seed=0, people=50)
    shuffled = features.take(
        pa.array(np.random.default_rng(0).permutation(features.num_rows))
    )
    kept, rows = joined(contacts, shuffled)
    assert len(kept) == len(contacts)
    cutoff = rows.column("cutoff").cast(pa.int64()).to_numpy()
    assert (cutoff == kept.cutoff).all()
    assert (rows.column("customer").to_numpy() == kept.customer).all()


def test_contact_of_somebody_who_had_not_bought_before_is_left_out() -> None:
    contacts, features, _ = drawn(seed=0, people=50)
    kept, rows = joined(contacts, features.slice(3))
    assert len(kept) == rows.num_rows == len(contacts) - 3


# Learners, on a drawn shop


def drawn(
    seed: int, people: int = 3000, lift: float = 0.3, held_out: float = 0.4
) -> tuple[Contacts, pa.Table, np.ndarray]:
    """Everyone is in every campaign; a contact moves those with a large ``x``.

    Returns the true effects of each contact, too.
    """
    random = np.random.default_rng(seed)
    x, base = random.uniform(0, 1, people), random.uniform(0.1, 0.5, people)
    effect = np.where(x > 0.6, lift, 0.0)
    n = people * len(STARTS)
    customer = np.tile(np.arange(people, dtype=np.int32), len(STARTS))
    treated = random.random(n) >= held_out
    p = base[customer] + effect[customer] * treated
    cutoff = np.repeat([to_us(start) for start in STARTS], people)
    bought = (random.random(n) < p).astype(np.float64)
    contacts = Contacts(
        campaign=np.repeat(np.arange(len(STARTS), dtype=np.int32), people),
        customer=customer,
        cutoff=cutoff,
        moment=cutoff,
        treated=treated,
        bought=bought,
        spend=20 * bought,
    )
    features = pa.table(
        {
            "customer": customer,
            "customer_id": pa.array([str(code) for code in customer]),
            "cutoff": pa.array(cutoff).cast(pa.timestamp("us")),
            "x": x[customer],
            "base": base[customer],
            "region": pa.array(random.choice(["n", "s"], n)).dictionary_encode(),
        }
    )
    return contacts, features, effect[customer]


@pytest.fixture(scope="module")
def shop() -> tuple[Contacts, pa.Table, np.ndarray]:
    return drawn(seed=1)


@pytest.fixture(scope="module")
def model(shop: tuple[Contacts, pa.Table, np.ndarray]) -> uplift.Uplift:
    contacts, features, _ = shop
    return uplift.fit(contacts, features, 14, CONFIG, seed=3)


def test_injected_effect_is_recovered(
    model: uplift.Uplift, shop: tuple[Contacts, pa.Table, np.ndarray]
) -> None:
    _, features, truth = drawn(seed=8)
    predicted = model.predict(features).column("uplift").to_numpy()
    assert qini(predicted, truth) > 0.9 * qini(truth, truth)
    evidence = model.evidence
    assert evidence.enough and evidence.learner in LEARNERS
    assert evidence.effect.low < shop[2].mean() < evidence.effect.high
    assert evidence.top["30%"].low < 0.3 < evidence.top["30%"].high
    assert evidence.deciles[-1].low < 0 < evidence.deciles[-1].high
    # 20 of money per purchase.
    extra = model.predict(features).column("expected_extra_spend").to_numpy()
    assert qini(extra, truth) > 0.9 * qini(truth, truth)
    assert extra.mean() == pytest.approx(20 * truth.mean(), rel=0.2)
    of_spend = evidence.spend
    assert of_spend.enough and of_spend.said.startswith("Contacting the tenth")
    assert of_spend.effect.low < 20 * shop[2].mean() < of_spend.effect.high
    assert of_spend.top["30%"].low < 20 * 0.3 < of_spend.top["30%"].high
    assert evidence.said.startswith("Contacting the tenth")


def test_every_learner_ranks_the_effect(
    shop: tuple[Contacts, pa.Table, np.ndarray],
) -> None:
    contacts, features, truth = shop
    encoding = uplift.encoding_of(features)
    arms = uplift.arms_of(contacts, encoding.matrix(features), encoding, CONFIG)
    oracle = qini(truth, truth)
    for learner in fit_learners(arms, LEARNERS, CONFIG, seed=0):
        assert qini(learner.uplift(arms.matrix), truth) > 0.6 * oracle


def test_reference_stays_unless_another_is_certainly_better(
    shop: tuple[Contacts, pa.Table, np.ndarray],
) -> None:
    contacts, _, truth = shop
    share = contacts.share_treated()
    none = SpendScores(0 * share, 0 * share, share)
    trial = Trial(contacts, contacts, contacts, share, 0 * share, 0 * share, none)

    def chosen(**scores: Floats) -> str | None:
        return judge(trial, scores, CONFIG, 0).learner

    # Orders by chance: one is always ahead, none is better.
    noise = np.random.default_rng(0).random((6, len(contacts)))
    for t, dr in (noise[:2], noise[2:4], noise[4:], noise[[1, 0]]):
        assert chosen(t=t, dr=dr) == "dr"
    assert chosen(t=truth + noise[0] / 9, x=noise[1], dr=noise[2]) == "t"
    assert chosen(t=noise[0], x=noise[1], dr=truth) == "dr"


def test_no_effect_is_not_enough_evidence() -> None:
    said = []
    for seed in range(5):
        contacts, features, _ = drawn(seed, people=1500, lift=0.0)
        evidence = uplift.fit(contacts, features, 14, CONFIG, seed).evidence
        # Of 5 intervals of 95 % one may miss the truth.
        said.append((evidence.enough, evidence.effect.low < 0 < evidence.effect.high))
        assert abs(evidence.qini.value) < 0.015
        assert not evidence.spend.enough
    assert sum(enough for enough, _ in said) == 0
    assert sum(covers for _, covers in said) >= 4


def test_permuted_treatment_teaches_nothing(
    shop: tuple[Contacts, pa.Table, np.ndarray],
) -> None:
    contacts, features, truth = shop
    arms = dict(vars(contacts))
    arms["treated"] = np.random.default_rng(0).permutation(contacts.treated)
    evidence = uplift.fit(Contacts(**arms), features, 14, CONFIG, 0).evidence
    assert not evidence.enough
    assert "no better than a random order" in evidence.said
    assert abs(evidence.qini.value) < 0.2 * qini(truth, truth)


def test_few_buyers_are_not_enough_evidence() -> None:
    contacts, features, _ = drawn(seed=2, people=400, held_out=0.05)
    config = CONFIG.model_copy(update={"min_customers": 20})
    fitted = uplift.fit(contacts, features, 14, config, 0)
    assert not fitted.evidence.enough
    assert "buyers, and it takes 100" in fitted.evidence.said
    assert fitted.predict(features).column("uplift").null_count == 0


def test_holdout_too_small_to_measure_has_scores_and_a_warning() -> None:
    contacts, features, _ = drawn(seed=2, people=200, held_out=0.2)
    fitted = uplift.fit(contacts, features, 14, CONFIG, 0)
    assert fitted.learner is not None and fitted.evidence.qini is None
    assert fitted.evidence.said.startswith("Not enough evidence: ")
    few = uplift.fit(contacts.take(contacts.customer < 50), features, 14, CONFIG, 0)
    assert few.learner is None
    assert few.evidence.said.startswith("Too few to learn from: ")


def test_holdout_that_was_chosen_is_no_evidence(
    shop: tuple[Contacts, pa.Table, np.ndarray],
) -> None:
    contacts, features, _ = shop
    base = features.column("base").to_numpy()
    # Half of those who buy least are taken out of the contacted.
    random = np.random.default_rng(0).random(len(base))
    chosen = contacts.take(~(contacts.treated & (base < 0.3) & (random < 0.5)))
    evidence = uplift.fit(chosen, features, 14, CONFIG, 0).evidence
    assert evidence.arms_alike < 0.001 and not evidence.enough
    assert "not drawn at random" in evidence.said


def test_one_campaign_is_measured_on_other_customers() -> None:
    contacts, features, _ = drawn(seed=1)
    one = contacts.take(contacts.campaign == 0)
    early, late = uplift.split(one, 14, CONFIG, 0)
    assert (early ^ late).all()
    assert 0.3 < late.mean() < 0.5
    assert uplift.fit(one, features, 14, CONFIG, 0).evidence.qini is not None


def test_campaigns_measured_on_start_after_the_windows_learned_from() -> None:
    contacts, _, _ = drawn(seed=1, people=300)
    for horizon in (14, 45):
        early, late = uplift.split(contacts, horizon, CONFIG, 0)
        first = contacts.cutoff[late].min()
        assert first == to_us(STARTS[2])
        assert contacts.moment[early].max() + horizon * DAY_US <= first


def test_same_seed_same_model(
    model: uplift.Uplift, shop: tuple[Contacts, pa.Table, np.ndarray]
) -> None:
    contacts, features, _ = shop
    again = uplift.fit(contacts, features, 14, CONFIG, seed=3)
    other = uplift.fit(contacts, features, 14, CONFIG, seed=4)
    assert again.predict(features).equals(model.predict(features))
    assert again.evidence == model.evidence
    assert not other.predict(features).equals(model.predict(features))


def test_save_and_load_give_equal_scores(
    model: uplift.Uplift,
    shop: tuple[Contacts, pa.Table, np.ndarray],
    tmp_path: Path,
) -> None:
    text = json.dumps(uplift.save(model, tmp_path))
    loaded = uplift.load(tmp_path, json.loads(text))
    assert loaded.predict(shop[1]).equals(model.predict(shop[1]))
    assert loaded.evidence == model.evidence
    empty = uplift.fit(shop[0].take(shop[0].treated), shop[1], 14, CONFIG, 0)
    restored = uplift.load(
        tmp_path, json.loads(json.dumps(uplift.save(empty, tmp_path)))
    )
    assert restored == empty and isinstance(restored.evidence, Evidence)


# The simulated shop, whose true uplift is known

KNOWN = (
    "uplift=1.5",
    "uplift_spread=0.2",
    "held_out=0.5",
    "campaign_reach=0.8",
    "lifetime_days=3000",
    # Only unplanned orders, so that the law of a purchase is exact.
    "replenished_items=0",
    "browses_per_order=0",
    "aimless_browses_per_month=0",
    "inquiries_per_year=0",
    "presale_contacts=0",
    "products=200",
)
NOW = Snapshot(datetime(2024, 12, 2), 14)


def by_law(folder: Path, customers: list[str], now: Snapshot) -> tuple[Floats, Floats]:
    """Expected orders in the window if left alone, and their rise by a contact."""
    table = pq.read_table(folder / TRUTHS / "customers.parquet").to_pandas()
    truth = table.set_index("customer_id").loc[customers]
    until = truth["dropout_at"].fillna(now.label_end).clip(upper=now.label_end)
    days = (until - now.cutoff).dt.total_seconds().clip(lower=0) / 86_400
    orders = truth["unplanned_orders_per_day"] * days
    return orders.to_numpy(), (orders * truth["uplift"]).to_numpy()


def true_uplift(folder: Path, customers: list[str], now: Snapshot) -> Floats:
    """P(an order in the window) if contacted less that if not."""
    orders, more = by_law(folder, customers, now)
    return np.exp(-orders) - np.exp(-orders - more)


def test_estimated_uplift_ranks_the_true_uplift_of_the_simulated_shop(
    tmp_path: Path,
) -> None:
    simulate(tmp_path / "shop", 6000, truths_of(KNOWN), seed=7)
    with Tables(tmp_path / "shop") as tables:
        history = tables.history(NOW.cutoff)
    contacts = contacts_of(history, NOW.horizon_days, max_campaigns=8)
    features = assemble(history, [*contacts.cutoffs, NOW.cutoff])
    model = uplift.fit(contacts, features, NOW.horizon_days, UpliftConfig(), seed=0)
    assert model.evidence.enough
    today = features.filter(
        pa.array(features.column("cutoff").to_numpy() == np.datetime64(NOW.cutoff))
    )
    table = model.predict(today)
    ids = table.column("customer_id").to_pylist()
    truth = true_uplift(tmp_path / "shop", ids, NOW)
    predicted = table.column("uplift").to_numpy()
    assert qini(predicted, truth) >= 0.8 * qini(truth, truth)
    effect = model.evidence.effect
    assert effect.low < truth.mean() * 1.1 and truth.mean() * 0.9 < effect.high
    # Extra orders by law, times what an order is worth on average.
    lines = history.purchases
    keys = np.stack([lines.customer, lines.columns["order"]])[:, lines.bought]
    worth = lines.columns["amount"].sum() / len(np.unique(keys, axis=1)[0])
    money = worth * by_law(tmp_path / "shop", ids, NOW)[1]
    extra = table.column("expected_extra_spend").to_numpy()
    assert model.evidence.spend.enough
    assert qini(extra, money) >= 0.8 * qini(money, money)
    assert extra.mean() == pytest.approx(money.mean(), rel=0.2)
