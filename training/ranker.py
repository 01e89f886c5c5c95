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
from pydantic import ValidationError

from features.config import RecommendConfig
from features.contracts import ContractError, SettingError
from features.history import Bools, Floats, History, Ints
from features.pairs import Singles
from features.snapshot import Snapshot, to_us
from training.any_of import (
    INDEPENDENT,
    MAX_CUSTOMERS,
    AnyOf,
    fit_any_of,
    join_pairs,
)
from training.buyers import BuyersOfPart
from training.candidates import Candidates, candidates, in_chunks
from training.census import Census, Censuses
from training.fresh import FreshModel
from training.fresh_window import fit_fresh, snapshot_of
from training.generators.fitted import Generators
from training.lanes import Examples, LaneModel, fit_curve, fit_trees, join
from training.metrics import bought_in
from training.moment import Sorted, sort_history
from training.offers import (
    FITTED_LANES,
    ColdStart,
    Parts,
    Scored,
    as_lists,
    best_of_lanes,
    cold_start,
    lives_of,
    probability_of,
    rests_of,
    scored_of,
    top_n,
)
from training.past_window import (
    PastWindow,
    generators_at,
    past_windows,
    windows_since,
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
        any_of: P(at least one of several products).
        fresh: what events after a snapshot change.
        fitted_at: nothing at or after it was read.
        horizon_days: of the probabilities.
    """

    lanes: dict[str, LaneModel]
    any_of: AnyOf
    fresh: FreshModel
    fitted_at: datetime
    horizon_days: int
    config: RecommendConfig
    seed: int

    def recommend(
        self, history: History, cutoff: datetime, buyers: BuyersOfPart | None = None
    ) -> Scored:
        """Offers for every customer with a purchase before the cutoff.

        Args:
            history: of all customers; rows at or after the cutoff are not read.
            cutoff: at or after ``fitted_at``.
            buyers: takes in every candidate, also those that are not kept.

        Returns:
            The best ``config.keep_per_lane`` candidates of each lane.

        Raises:
            SettingError: the cutoff is before ``fitted_at``.
        """
        generators = self.generators(sort_history(history), cutoff)
        return self.score(generators, generators.moment.customers, buyers=buyers)

    def generators(
        self, ordered: Sorted, cutoff: datetime, census: Census | None = None
    ) -> Generators:
        """The generators, fitted at a cutoff; see ``recommend``.

        Args:
            ordered: sorted lines of the customers who are learned from.
            cutoff: at or after ``fitted_at``.
            census: of all customers, where the lines are of some only.
        """
        if cutoff < self.fitted_at:
            raise SettingError(
                f"cutoff: expected {self.fitted_at} or later, where the ranker was "
                f"fitted, got {cutoff}; choose a later cutoff or train again at this one"
            )
        snapshot = Snapshot(cutoff, self.horizon_days)
        return generators_at(ordered, snapshot, self.config, self.seed, census)

    def score(
        self,
        generators: Generators,
        customers: Ints,
        pool: Bools | None = None,
        buyers: BuyersOfPart | None = None,
    ) -> Scored:
        """``recommend`` for some customers, and perhaps for some products only.

        Args:
            generators: of this recommender.
            customers: codes of customers active at their moment, ascending.
            pool: products that may be offered, ``[product]``; None: all.
            buyers: takes in every candidate, also those that are not kept.
        """
        moment, lives = generators.moment, lives_of(generators.moment)

        def offers_of(some: Ints) -> Parts:
            found = candidates(generators, some, self.config, pool)
            score = self._score_rows(feature_rows(moment, found), found)
            if buyers is not None:
                buyers.add(
                    found.customer,
                    found.product,
                    probability_of(score),
                    rests_of(lives, moment, some, found),
                )
            return best_of_lanes(found, score, self.config.keep_per_lane)

        parts = in_chunks(offers_of, customers, self.config.threads)
        return scored_of(parts, generators)

    def _score_rows(self, rows: Singles, found: Candidates) -> Floats:
        return _score_rows(self.lanes, rows, found)

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
            "any_of": self.any_of.to_json(),
            "fresh": self.fresh.to_json(),
        }
        (folder / "recommender.json").write_text(json.dumps(facts, indent=1))

    @staticmethod
    def from_files(folder: Path) -> Recommender:
        """Read what ``to_files`` wrote: equal scores, to the bit.

        Raises:
            ContractError: the model was written by another version.
        """
        file = folder / "recommender.json"
        facts = json.loads(file.read_text())
        try:
            config = RecommendConfig.model_validate(facts["config"])
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise ContractError(
                f"{file}: expected the settings of this version, got {key!r}: "
                f"{first['msg'].lower()}; train again"
            ) from None
        return Recommender(
            lanes={lane: LaneModel.from_files(folder, lane) for lane in FITTED_LANES},
            any_of=AnyOf.from_json(facts["any_of"]),
            fresh=FreshModel.from_json(facts["fresh"]),
            fitted_at=datetime.fromisoformat(facts["fitted_at"]),
            horizon_days=facts["horizon_days"],
            config=config,
            seed=facts["seed"],
        )


def _score_rows(
    lanes: dict[str, LaneModel], rows: Singles, found: Candidates
) -> Floats:
    """Calibrated log odds of candidates, each by its lane."""
    score = np.zeros(len(rows))
    for lane, mine in (("again", ~found.is_new), ("new", found.is_new)):
        # One thread: the chunks of customers are what runs side by side.
        score[mine] = lanes[lane].score(rows[mine], 1)
    return score


def fit(
    history: History,
    cutoff: datetime,
    horizon_days: int,
    config: RecommendConfig,
    seed: int,
    censuses: Censuses | None = None,
) -> Recommender:
    """Learn both lanes from past cutoffs whose label windows are over.

    Of the latest, one horizon before the cutoff, some customers are held out
    from the trees; on them the probabilities are calibrated. So the trees see
    the season that the calibration speaks of.

    Args:
        history: rows at or after the cutoff, or known later, are not read.
        cutoff: end of the last label window.
        horizon_days: length of the label windows, and the step between them.
        config: candidates, sampling and trees.
        seed: of every draw.
        censuses: of all customers at each of ``moments_of``, where the history is
            of some only; None: it is of all.

    Raises:
        ContractError: no purchase lies a whole horizon before the cutoff.
    """
    ordered = sort_history(history)
    past = past_windows(history, cutoff, horizon_days, config.past_cutoffs)
    learned: dict[str, list[Examples]] = {lane: [] for lane in FITTED_LANES}
    held_out: dict[str, Examples] = {}
    latest: tuple[PastWindow, Ints] | None = None
    for window in past:
        census = None if censuses is None else censuses[window.cutoff_us]
        known = PastWindow(ordered, window, to_us(cutoff), config, seed, census)
        share = config.calibration_share if window == past[0] else 0.0
        apart, learners = known.split(share)
        sampled = known.examples(learners, config.negatives)
        for lane in FITTED_LANES:
            learned[lane].append(sampled[lane])
        if window == past[0]:
            held_out, latest = known.examples(apart, 1.0), (known, apart)
    lanes = {
        lane: _fit_lane(lane, join(learned[lane]), held_out[lane], config, seed)
        for lane in FITTED_LANES
    }
    any_of = INDEPENDENT if latest is None else _fit_any_of(lanes, *latest, seed)
    fresh = fit_fresh(
        ordered,
        past,
        to_us(cutoff),
        lambda rows, found: _score_rows(lanes, rows, found),
        np.zeros(0, np.int32) if latest is None else latest[1],
        config,
        seed,
        censuses,
    )
    return Recommender(lanes, any_of, fresh, cutoff, horizon_days, config, seed)


def moments_of(
    first: int, cutoff: datetime, horizon_days: int, config: RecommendConfig
) -> list[Snapshot]:
    """Moments at which ``fit`` asks what all customers bought, and the cutoff.

    Args:
        first: the first purchase, microseconds.
        cutoff: as of ``fit``.
        horizon_days: the same.
        config: the same.
    """
    past = windows_since(first, cutoff, horizon_days, config.past_cutoffs)
    return [Snapshot(cutoff, horizon_days), *past, *map(snapshot_of, past)]


def _fit_any_of(
    lanes: dict[str, LaneModel],
    known: PastWindow,
    apart: Ints,
    seed: int,
) -> AnyOf:
    drawn = np.random.default_rng([seed, len(apart)]).permutation(apart)
    some = np.sort(drawn[:MAX_CUSTOMERS])

    def of(rows: Singles, found: Candidates) -> tuple[Ints, Ints, Singles]:
        chance = probability_of(_score_rows(lanes, rows, found))
        return found.customer, found.product, chance

    parts = known.candidates(some, of)
    pairs = join_pairs(some, parts)
    return fit_any_of(known.moment, known.horizon_days, pairs, known.truth, seed)


def _fit_lane(
    lane: str,
    learned: Examples,
    held_out: Examples,
    config: RecommendConfig,
    seed: int,
) -> LaneModel:
    columns = _COLUMNS[lane]
    trees = fit_trees(learned, columns, config, seed)
    instead = int(np.flatnonzero(columns == COLUMNS.index(_INSTEAD[lane]))[0])
    plain = LaneModel(trees, columns, instead, 1.0, 0.0)
    raw = plain.raw(held_out.rows, config.threads)
    return LaneModel(trees, columns, instead, *fit_curve(raw, held_out.bought))
