"""Two lanes of offers: candidates of all generators, ranked and calibrated.

What a customer buys again and what is new to them have their own trees; the
calibrated probability makes the lanes comparable, and *mixed* is their merge.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from features.config import RecommendConfig
from features.contracts import ContractError
from features.history import Bools, Floats, History, Ints
from features.pairs import Singles
from features.snapshot import DAY_US, Snapshot, to_us
from training.candidates import CHUNK, Candidates, candidates
from training.generators import Generators, fit_generators, one_blas_thread
from training.lanes import Examples, LaneModel, fit_curve, fit_trees, join
from training.metrics import Truth, hits, truth_of
from training.moment import Moment, Sorted, moment_at, sort_history
from training.offers import (
    LANES,
    ColdStart,
    Parts,
    Scored,
    as_lists,
    best_of_lanes,
    cold_start,
    scored_of,
    top_n,
)
from training.rows import AGAIN, COLUMNS, NEW, feature_rows

__all__ = [
    "ColdStart",
    "Recommender",
    "Scored",
    "as_lists",
    "bought_in",
    "cold_start",
    "fit",
    "top_n",
]

_COLUMNS = {"again": AGAIN, "new": NEW}
_INSTEAD = {"again": "product_orders_decayed_slow", "new": "shelf_lines_28d"}


@dataclass(frozen=True)
class Recommender:
    """Fitted trees and curves of both lanes; generators are fitted per moment.

    Attributes:
        lanes: model by lane.
        fitted_at: nothing at or after it was read.
        horizon_days: of the probabilities.
    """

    lanes: dict[str, LaneModel]
    fitted_at: datetime
    horizon_days: int
    config: RecommendConfig
    seed: int

    def recommend(self, history: History, cutoff: datetime) -> Scored:
        """Offers for every customer with a purchase before the cutoff.

        Args:
            history: rows at or after the cutoff are not read.
            cutoff: at or after ``fitted_at``.

        Returns:
            The best ``config.keep_per_lane`` candidates of each lane.

        Raises:
            ValueError: the cutoff is before ``fitted_at``.
        """
        if cutoff < self.fitted_at:
            raise ValueError(
                f"cutoff: expected {self.fitted_at} or later, where the ranker was "
                f"fitted, got {cutoff}"
            )
        moment = moment_at(sort_history(history), cutoff, self.horizon_days)
        return self.score(self.generators(moment), moment.customers)

    def generators(self, moment: Moment) -> Generators:
        """The generators, fitted at a moment at or after ``fitted_at``."""
        return fit_generators(moment, self.config, self.seed)

    def score(
        self, generators: Generators, customers: Ints, pool: Bools | None = None
    ) -> Scored:
        """``recommend`` for some customers, and perhaps for some products only.

        Args:
            generators: of this recommender.
            customers: codes of customers active at their moment, ascending.
            pool: products that may be offered, ``[product]``; None: all.
        """
        moment = generators.moment
        parts: list[Parts] = []
        with one_blas_thread():
            for start in range(0, len(customers), CHUNK):
                some = customers[start : start + CHUNK]
                found = candidates(generators, some, self.config, pool)
                score = self._score_rows(feature_rows(moment, found), found)
                parts.append(best_of_lanes(found, score, self.config.keep_per_lane))
        return scored_of(parts, generators)

    def _score_rows(self, rows: Singles, found: Candidates) -> Floats:
        score = np.zeros(len(rows))
        for lane, mine in (("again", ~found.is_new), ("new", found.is_new)):
            score[mine] = self.lanes[lane].score(rows[mine], self.config.threads)
        return score

    def to_files(self, folder: Path) -> None:
        """Write LightGBM text and JSON; the folder is made if missing."""
        folder.mkdir(parents=True, exist_ok=True)
        for lane, model in self.lanes.items():
            model.to_files(folder, lane)
        facts = {
            "fitted_at": self.fitted_at.isoformat(),
            "horizon_days": self.horizon_days,
            "config": self.config.model_dump(),
            "seed": self.seed,
        }
        (folder / "recommender.json").write_text(json.dumps(facts, indent=1))

    @staticmethod
    def from_files(folder: Path) -> Recommender:
        """Read what ``to_files`` wrote: equal scores, to the bit."""
        facts = json.loads((folder / "recommender.json").read_text())
        return Recommender(
            lanes={lane: LaneModel.from_files(folder, lane) for lane in LANES},
            fitted_at=datetime.fromisoformat(facts["fitted_at"]),
            horizon_days=facts["horizon_days"],
            config=RecommendConfig.model_validate(facts["config"]),
            seed=facts["seed"],
        )


def fit(
    history: History,
    cutoff: datetime,
    horizon_days: int,
    config: RecommendConfig,
    seed: int,
) -> Recommender:
    """Learn both lanes from past cutoffs whose label windows are over.

    The latest of them, one horizon before the cutoff, is held out from the
    trees and calibrates the probabilities.

    Args:
        history: rows at or after the cutoff, or known later, are not read.
        cutoff: end of the last label window.
        horizon_days: length of the label windows, and the step between them.
        config: candidates, sampling and trees.
        seed: of every draw.

    Raises:
        ContractError: no purchase lies a whole horizon before the cutoff.
    """
    ordered = sort_history(history)
    past = _past_windows(history, cutoff, horizon_days, config.past_cutoffs + 1)
    examples: dict[str, list[Examples]] = {lane: [] for lane in LANES}
    for window in past[1:]:
        sampled = _examples(ordered, window, to_us(cutoff), config, seed, sample=True)
        for lane in LANES:
            examples[lane].append(sampled[lane])
    trees = {
        lane: fit_trees(join(examples[lane]), _COLUMNS[lane], config, seed)
        for lane in LANES
    }
    examples.clear()
    held_out = _examples(ordered, past[0], to_us(cutoff), config, seed, sample=False)
    lanes: dict[str, LaneModel] = {}
    for lane in LANES:
        columns = _COLUMNS[lane]
        instead = int(np.flatnonzero(columns == COLUMNS.index(_INSTEAD[lane]))[0])
        plain = LaneModel(trees[lane], columns, instead, 1.0, 0.0)
        raw = plain.raw(held_out[lane].rows, config.threads)
        curve = fit_curve(raw, held_out[lane].bought)
        lanes[lane] = LaneModel(trees[lane], columns, instead, *curve)
    return Recommender(lanes, cutoff, horizon_days, config, seed)


def _past_windows(
    history: History, cutoff: datetime, horizon_days: int, most: int
) -> list[Snapshot]:
    """Latest first, each with purchases before it and its window over."""
    events = history.purchases
    known = events.ts[events.before(to_us(cutoff))]
    first = int(known.min()) if len(known) else to_us(cutoff)
    now = Snapshot(cutoff, horizon_days)
    past = [now.earlier(horizon_days * i) for i in range(1, most + 1)]
    # A horizon of history at least, or there is nothing to learn from.
    usable = [p for p in past if p.cutoff_us - horizon_days * DAY_US >= first]
    if usable:
        return usable
    if past[0].cutoff_us <= first:
        days = (to_us(cutoff) - first) / DAY_US
        raise ContractError(
            f"purchases.ts: expected more than {horizon_days} days before the cutoff "
            f"{cutoff:%Y-%m-%d} to learn offers from, got {days:.1f}; choose a later "
            "cutoff or a shorter horizon"
        )
    return past[:1]


def _examples(
    ordered: Sorted,
    window: Snapshot,
    known_before_us: int,
    config: RecommendConfig,
    seed: int,
    *,
    sample: bool,
) -> dict[str, Examples]:
    """Candidates of a past cutoff by lane, labelled with what was bought.

    Args:
        ordered: sorted lines.
        window: past cutoff and its label window.
        known_before_us: labels known later do not count.
        config: candidates, sampling.
        seed: of the draws.
        sample: keep only ``config.negatives`` of the candidates not bought.
    """
    moment = moment_at(ordered, window.cutoff, window.horizon_days)
    generators = fit_generators(moment, config, seed)
    truth = bought_in(ordered.history, window, known_before_us)
    rng = np.random.default_rng([seed, window.cutoff_us // DAY_US])
    customers = moment.customers
    most = config.max_customers if sample else config.calibration_customers
    if len(customers) > most:
        drawn = rng.choice(len(customers), most, replace=False)
        customers = customers[np.sort(drawn)]
    parts: dict[str, list[Examples]] = {lane: [] for lane in LANES}
    with one_blas_thread():
        for start in range(0, len(customers), CHUNK):
            some = customers[start : start + CHUNK]
            found = candidates(generators, some, config)
            label = hits(found.product[:, None], found.customer, truth)[:, 0]
            if sample:
                keep = label | (rng.random(len(label)) < config.negatives)
                found, label = found.take(keep), label[keep]
            features = feature_rows(moment, found)
            for lane, mine in (("again", ~found.is_new), ("new", found.is_new)):
                parts[lane].append(Examples(features[mine], label[mine]))
    return {lane: join(parts[lane]) for lane in LANES}


def bought_in(history: History, window: Snapshot, known_before_us: int) -> Truth:
    """Products bought in a label window, as known before a later moment."""
    events = history.purchases
    inside = (
        (events.ts >= window.cutoff_us)
        & (events.ts < window.label_end_us)
        & (events.known_at < known_before_us)
        & (events.columns["quantity"] >= 0)
    )
    return truth_of(
        events.customer[inside],
        events.columns["product"][inside],
        (len(history.customers), len(history.products)),
    )
