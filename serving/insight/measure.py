"""Histories at a cutoff -> every measure by group and period.

What is read part by part for other purposes is added up on its way: no table is read
a second time, and only the sums stay in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.config import KpisConfig
from features.history import Events, History
from features.snapshot import to_us
from serving.insight.blocks import Block, Kpis
from serving.insight.cells import Cells, Sized
from serving.insight.kpis import (
    BYS,
    CUSTOMERS,
    FROM_FEEDBACK,
    FROM_INQUIRIES,
    KINDS,
    By,
    Kind,
)
from serving.insight.orders import PROFILE, ROWS, Codes, orders_of, profile_words
from serving.insight.periods import Periods, periods_of
from serving.insight.tiers import ABC
from serving.insight.visits import NEVER, sequence_of, visits_of

Floats = npt.NDArray[np.float64]

MOST_GROUPS = 500
"""A grouping of more words is left out."""

COLUMNS = {
    "purchases": {"order", "quantity", "amount", "channel", "campaign_id"},
    "inquiries": {"kind", "channel", "response_seconds"},
    "feedback": {"kind", "score"},
    "customers": set(PROFILE.values()),
}
"""What is read of a history, as ``Tables.parts`` takes it."""


class Measures:
    """Sums that grow part by part, as known at the cutoff.

    Args:
        cutoff: of the histories; the last period is the one that holds its eve.
        first: the first purchase known before the cutoff.
        config: periods and thresholds.
    """

    def __init__(
        self,
        cutoff: datetime,
        first: datetime,
        config: KpisConfig,
    ) -> None:
        most: dict[Kind, int] = {
            "month": config.months,
            "quarter": config.quarters,
            "week": config.weeks,
        }
        self._cutoff, self._config = cutoff, config
        self._since: Mapping[str, int] = {}
        self._periods: dict[Kind, Periods] = {
            kind: periods_of(kind, first, cutoff, most[kind], config.timezone)
            for kind in KINDS
        }
        self._cells: Sized = {
            (by, kind): Cells(by, self._periods[kind]) for by in BYS for kind in KINDS
        }
        self._words: dict[By, dict[str, int]] = {by: {} for by in BYS}
        self._words["all"] = {"all": 0}
        for name in self._periods["month"].names:
            self._words["cohort"][name] = len(self._words["cohort"])
        self._left_out: set[By] = set()

    def add(self, history: History, tier: Codes | None = None) -> None:
        """Adds customers, who come no second time.

        Args:
            history: everything of some customers, with ``COLUMNS``.
            tier: code of ``tiers.ABC`` of each of its customers, -1: not known; None:
                of none of them.
        """
        self._since = history.since
        codes: dict[By, Codes] = {
            "all": np.zeros(len(history.customers), dtype=np.int32)
        }
        for by in PROFILE:
            words = profile_words(history, by)
            codes[by] = self._words_coded(by, words, len(history.customers))
        codes["tier"] = self._tier_coded(tier, len(history.customers))
        codes["cohort"] = self._add_purchases(history.purchases, codes)
        if history.inquiries is not None:
            self._add_rows(history.inquiries, _contacts(history.inquiries), codes)
        if history.feedback is not None:
            answers = _answers(history.feedback, self._config.satisfied_score)
            self._add_rows(history.feedback, answers, codes)

    def add_value(
        self, value: pa.Table, profiles: pa.Table, tier: Codes | None = None
    ) -> None:
        """Adds what customers are worth, to the period of the cutoff's eve.

        Args:
            value: ``clv`` and ``expected_spend_365d``, a row for each customer.
            profiles: texts of the profile in force, in the same order.
            tier: as of ``add``, in the same order.
        """
        size = len(value)
        codes: dict[By, Codes] = {"all": np.zeros(size, dtype=np.int32)}
        for by, name in PROFILE.items():
            there = name in profiles.column_names
            words = profiles[name].combine_chunks() if there else None
            codes[by] = self._words_coded(by, words, size)
        codes["tier"] = self._tier_coded(tier, size)
        for (by, _), cells in self._cells.items():
            if by in codes and by not in self._left_out:
                last = np.full(size, len(cells.periods) - 1, dtype=np.int32)
                cells.add(codes[by], last, _worth(value))

    def kpis(self) -> Kpis:
        """All measures so far; NaN where nothing could have been measured."""
        silent = {
            name: self._since.get(table)
            for table, names in (
                ("inquiries", FROM_INQUIRIES),
                ("feedback", FROM_FEEDBACK),
            )
            for name in names
        }
        blocks: dict[tuple[By, Kind], Block] = {}
        for (by, kind), cells in self._cells.items():
            if by not in self._left_out:
                blocks[by, kind] = cells.block(kind, self._words[by], silent)
        return Kpis(self._cutoff, self._config, blocks)

    def _tier_coded(self, tier: Codes | None, size: int) -> Codes:
        """The code of each customer's tier; -1: not known."""
        if tier is None:
            return np.full(size, -1, dtype=np.int32)
        return _through(self._coded("tier", list(ABC)), tier)

    def _words_coded(self, by: By, words: pa.Array | None, size: int) -> Codes:
        """The code of each customer's word; -1: not known."""
        if words is None:
            return np.full(size, -1, dtype=np.int32)
        encoded = words.cast(pa.string()).dictionary_encode()
        known = self._coded(by, encoded.dictionary.to_pylist())
        found = np.asarray(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False))
        return _through(known, found)

    def _coded(self, by: By, words: list[str]) -> Codes:
        """The code of each word; new ones get the next."""
        known = self._words[by]
        for word in words:
            known.setdefault(word, len(known))
        if len(known) > MOST_GROUPS:
            self._left_out.add(by)
        return np.array([known[word] for word in words], dtype=np.int32)

    def _add_purchases(self, purchases: Events, codes: Mapping[By, Codes]) -> Codes:
        """Adds them; the cohort of each customer."""
        orders = orders_of(purchases)
        sequence = sequence_of(
            orders, self._config.conversion_days, to_us(self._cutoff)
        )
        month = self._periods["month"].find(sequence.first)
        month = np.where((month < 0) | (sequence.first == NEVER), -1, month)
        cohort = np.full(len(codes["all"]), -1, dtype=np.int32)
        cohort[orders.customer] = month
        of_customer = {**codes, "cohort": cohort}
        of_order: dict[By, Codes] = {
            by: _through(self._coded(by, list(purchases.words[name])), orders.codes[by])
            for by, name in ROWS.items()
        }
        for kind, periods in self._periods.items():
            period = periods.find(orders.ts)
            visits = visits_of(orders, sequence, period)
            for by in CUSTOMERS:
                code = of_customer[by][orders.customer[visits.row]]
                if by not in self._left_out:
                    self._cells[by, kind].add_visits(code, visits)
            for by, code in of_order.items():
                if by not in self._left_out:
                    split = visits_of(orders, sequence, period, code)
                    self._cells[by, kind].add_visits(code[split.row], split)
        return cohort

    def _add_rows(
        self, rows: Events, sums: Mapping[str, Floats], codes: Mapping[By, Codes]
    ) -> None:
        of_row: dict[By, Codes] = {
            by: code[rows.customer] for by, code in codes.items()
        }
        if "channel" in rows.words:
            known = self._coded("channel", list(rows.words["channel"]))
            of_row["channel"] = _through(known, rows.columns["channel"])
        for kind, periods in self._periods.items():
            period = periods.find(rows.ts)
            for by, code in of_row.items():
                if by not in self._left_out:
                    self._cells[by, kind].add(code, period, sums)


def _through(codes: Codes, local: npt.NDArray[np.int32]) -> Codes:
    """Codes by their place; -1 stays."""
    return np.append(codes, np.int32(-1))[local]


def _is(events: Events, kind: str) -> npt.NDArray[np.bool_]:
    words = events.words["kind"]
    code = words.index(kind) if kind in words else -2
    return np.asarray(events.columns["kind"] == code)


def _contacts(inquiries: Events) -> dict[str, Floats]:
    """Measures of each contact; seconds in thousandths."""
    seconds = inquiries.columns["response_seconds"]
    return {
        "complaints": _is(inquiries, "complaint").astype(np.float64),
        "response_seconds": _whole(seconds),
        "responses": (~np.isnan(seconds)).astype(np.float64),
    }


def _answers(feedback: Events, satisfied: float) -> dict[str, Floats]:
    """Measures of each answer with a score; the score of effort in thousandths."""
    score = feedback.columns["score"]
    scored = ~np.isnan(score)
    nps = _is(feedback, "nps") & (score >= 0) & (score <= 10)
    csat, ces = _is(feedback, "csat") & scored, _is(feedback, "ces") & scored
    return {
        "nps_balance": (nps & (score >= 9)).astype(np.float64)
        - (nps & (score <= 6)).astype(np.float64),
        "nps_answers": nps.astype(np.float64),
        "satisfied": (csat & (score >= satisfied)).astype(np.float64),
        "csat_answers": csat.astype(np.float64),
        "effort": np.where(ces, _whole(score), 0.0),
        "ces_answers": ces.astype(np.float64),
    }


def _worth(value: pa.Table) -> dict[str, Floats]:
    """Measures of each customer; money in ten-thousandths."""
    found: dict[str, Floats] = {}
    for column, total, count in (
        ("clv", "clv", "clv_customers"),
        ("expected_spend_365d", "expected_spend", "valued_customers"),
    ):
        of = np.asarray(value[column].cast(pa.float64()).fill_null(np.nan).to_numpy())
        found[total] = _whole(np.where(np.isfinite(of), of, 0.0), 10_000)
        found[count] = np.isfinite(of).astype(np.float64)
    return found


def _whole(values: Floats, parts: int = 1000) -> Floats:
    """Values in whole thousandths, or other parts; 0 for NaN."""
    return np.asarray(np.nan_to_num(np.round(values * parts)), dtype=np.float64)
