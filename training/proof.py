"""How a build would have done at a past cutoff, kept row by row.

A model that goes into force has learned from all there is, so nothing is left to test
it on. Its settings are tested instead: built anew at earlier cutoffs with what was known
then, and compared with what came after. The rows are kept, so that the next model is
compared on the same ones, also when the code has changed meanwhile.

Only what the gate asks for is built: propensity and the mixed list.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.config import Config
from features.contracts import ContractError
from features.engine import Tables
from features.history import Array, Floats
from features.scratch import whole
from features.snapshot import Snapshot
from training import build, labels, metrics, ranker
from training.alone import alone
from training.build import Steps
from training.generators.fitted import SOURCES, Generators
from training.leaks import Strongest, shuffled_aucs, strongest
from training.list_quality import truth_by_lane
from training.match_quality import match_quality
from training.metrics import MODEL, K
from training.moment import sort_history
from training.offers import Scored, as_lists
from training.propensity_quality import baseline_scores, figures
from training.survey import Survey, read_survey

_FACTS = b"repurchase"
_LANE = "mixed"
_IDS = pa.list_(pa.string())


@dataclass(frozen=True)
class Proof:
    """What was promised at one cutoff, and what happened.

    Attributes:
        cutoff, horizon_days: the label window.
        customers: ids with a purchase before the cutoff, ascending, ``[row]``.
        label: 1 if they bought in the window, else 0, ``[row]``.
        scores: by model, ours first: P(a purchase in the window), ``[row]``.
        recall: by method, ours first: share of what was bought that is in ten slots of
            the mixed list, ``[row]``; NaN of who bought nothing.
        offered: product ids of our ten slots, fewer where there are no more, ``[row]``.
        bought: distinct product ids that were bought in the window, ``[row]``.
        match_error: calibration error of the match, over all offers.
        shuffled, strongest: see ``leaks``.
    """

    cutoff: datetime
    horizon_days: int
    customers: Array
    label: Floats
    scores: dict[str, Floats]
    recall: dict[str, Floats]
    offered: pa.ListArray
    bought: pa.ListArray
    match_error: float
    shuffled: tuple[float, ...]
    strongest: Strongest

    def figures(self) -> dict[str, float]:
        """By ``model/figure``: AUC, Brier score, calibration error; recall by method."""
        named = {
            f"{model}/{name}": value
            for model, scores in self.scores.items()
            for name, value in figures(self.label, scores).items()
        }
        for method, values in self.recall.items():
            if not np.isnan(values).all():
                named[f"{_LANE}/{method}/recall_at_{K}"] = float(np.nanmean(values))
        named["match/calibration_error"] = self.match_error
        named["strongest_feature/auc"] = self.strongest.auc
        return {name: value for name, value in named.items() if value == value}


def prove(
    tables: Tables, snapshot: Snapshot, config: Config, steps: Steps | None = None
) -> Proof:
    """Build at the snapshot's cutoff, and compare with its label window.

    Args:
        tables: all input; only rows known before the cutoff are learned from.
        snapshot: cutoff and label window; its horizon is the build's.
        config: of the models.
        steps: measures the work.

    Raises:
        ContractError: too little history before the cutoff, or the data do not reach
            the end of the window.
    """
    steps = steps or Steps()
    config = config.model_copy(update={"horizon_days": snapshot.horizon_days})
    bought = labels.truth(tables, snapshot)
    if bought is None:
        raise ContractError(
            f"cutoff {snapshot.cutoff:%Y-%m-%d} of the gate: expected purchases until "
            f"{snapshot.label_end:%Y-%m-%d}, got none that late; set evaluation_cutoffs "
            "earlier, or the cutoff to where the data end"
        )
    with steps("read history"):
        survey = read_survey(tables, snapshot.cutoff, config)
    history = survey.history
    with steps("features"):
        features = build.build_features(history, config)
    rows = build.at_cutoff(features, snapshot.cutoff)
    with steps("train propensity"):
        model = build.fit_propensity(history, features, config)
        ours = model.probability(rows, snapshot.horizon_days)
    ids = rows.column("customer_id").cast(pa.string()).to_numpy(zero_copy_only=False)
    label = np.isin(ids, bought.column("customer_id").to_pylist()).astype(np.float64)
    with steps("score baselines of propensity"):
        scores = {MODEL: ours, **baseline_scores(history, snapshot, config)}
    with steps("learn from shuffled answers"):
        shuffled = shuffled_aucs(history, features, label, config)
        matrix = model.encoding.matrix(rows)
        alone_best = strongest(matrix, model.encoding, label, scores)
    lists = _lists(survey, bought, snapshot, config, steps)
    return Proof(
        cutoff=snapshot.cutoff,
        horizon_days=snapshot.horizon_days,
        customers=ids,
        label=label,
        scores=scores,
        recall=lists.recall,
        offered=lists.offered,
        bought=_by_customer(ids, bought),
        match_error=lists.match_error,
        shuffled=shuffled,
        strongest=alone_best,
    )


class _Listed(NamedTuple):
    """Of the mixed list; see ``Proof``."""

    recall: dict[str, Floats]
    offered: pa.ListArray
    match_error: float


def _lists(
    survey: Survey, bought: pa.Table, snapshot: Snapshot, config: Config, steps: Steps
) -> _Listed:
    """Recall by method, of the customers of the spine, and the match's error."""
    history = survey.history
    with steps("train recommender"):
        recommender = ranker.fit(
            history,
            snapshot.cutoff,
            snapshot.horizon_days,
            config.recommend,
            config.seed,
            survey.censuses,
        )
    with steps("score offers"):
        generators = recommender.generators(
            sort_history(history), snapshot.cutoff, survey.census(snapshot)
        )
        scored = recommender.score(generators, generators.moment.customers)
    with steps("compare lists"):
        truth = truth_by_lane(history, bought)[_LANE]
        who = generators.moment.customers
        lists = {MODEL: as_lists(scored, _LANE, K, who)}
        lists |= _rivals(generators, config)
        recall = {
            name: metrics.recall_at(metrics.hits(one, who, truth), truth.count[who])
            for name, one in lists.items()
        }
        offered = _named(lists[MODEL], history.products.ids)
        return _Listed(recall, offered, _match_error(scored, truth))


def _named(lists: Array, ids: Array) -> pa.ListArray:
    """Products by id; -1 is an empty slot."""
    named = [[str(ids[code]) for code in row if code >= 0] for row in lists.tolist()]
    return pa.array(named, _IDS)


def _by_customer(customers: Array, bought: pa.Table) -> pa.ListArray:
    """What each of them bought, ascending."""
    of: dict[str, set[str]] = {one: set() for one in customers.tolist()}
    for customer, product in zip(
        bought.column("customer_id").to_pylist(),
        bought.column("product_id").to_pylist(),
        strict=True,
    ):
        if customer in of:
            of[customer].add(product)
    return pa.array([sorted(of[one]) for one in customers.tolist()], _IDS)


def recall_of(offered: pa.ListArray, bought: pa.ListArray) -> Floats:
    """Share of what was bought that was offered, ``[row]``; NaN of who bought nothing."""
    shown: list[list[str]] = offered.to_pylist()
    wanted: list[list[str]] = bought.to_pylist()
    return np.array(
        [
            len(set(one).intersection(other)) / len(other) if other else np.nan
            for one, other in zip(shown, wanted, strict=True)
        ],
        np.float64,
    )


def _rivals(generators: Generators, config: Config) -> dict[str, Array]:
    """The mixed list of every generator that has an opinion of anything."""
    moment = generators.moment
    return {
        name: alone(one, moment, moment.customers, K, config.recommend).lists[_LANE]
        for name, one in zip(SOURCES, generators, strict=True)
        if len(one.items)
    }


def _match_error(scored: Scored, truth: metrics.Truth) -> float:
    hit = metrics.hits(scored.product[:, None], scored.customer, truth)[:, 0]
    return match_quality(scored.probability.astype(np.float64), hit).ece


def save(proof: Proof, file: Path, key: str) -> None:
    """Write it whole; ``key`` says what it was made of."""
    facts = {
        "key": key,
        "cutoff": proof.cutoff.isoformat(),
        "horizon_days": proof.horizon_days,
        "match_error": proof.match_error,
        "shuffled": proof.shuffled,
        "strongest": asdict(proof.strongest),
    }
    columns: dict[str, Any] = {
        "customer_id": pa.array(proof.customers, pa.string()),
        "label": proof.label,
        "offered": proof.offered,
        "bought": proof.bought,
    }
    columns |= {f"score/{name}": values for name, values in proof.scores.items()}
    columns |= {f"recall/{name}": values for name, values in proof.recall.items()}
    table = pa.table(columns).replace_schema_metadata({_FACTS: json.dumps(facts)})
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole(file) as place:
        pq.write_table(table, place)


def key_of(file: Path) -> str | None:
    """What a kept proof was made of; None: there is none, or it is damaged."""
    facts = _facts(file)
    return None if facts is None else str(facts["key"])


def load(file: Path) -> Proof | None:
    """A kept proof; None: there is none, or it is damaged or of another form."""
    facts = _facts(file)
    if facts is None:
        return None
    try:
        return _read(pq.read_table(file), facts)
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
        return None


def _read(table: pa.Table, facts: dict[str, Any]) -> Proof:

    def named(prefix: str) -> dict[str, Floats]:
        return {
            name.removeprefix(prefix): table.column(name).to_numpy()
            for name in table.column_names
            if name.startswith(prefix)
        }

    return Proof(
        cutoff=datetime.fromisoformat(facts["cutoff"]),
        horizon_days=facts["horizon_days"],
        customers=table.column("customer_id").to_numpy(),
        label=table.column("label").to_numpy(),
        scores=named("score/"),
        recall=named("recall/"),
        offered=table.column("offered").combine_chunks(),
        bought=table.column("bought").combine_chunks(),
        match_error=facts["match_error"],
        shuffled=tuple(facts["shuffled"]),
        strongest=Strongest(**facts["strongest"]),
    )


def _facts(file: Path) -> dict[str, Any] | None:
    try:
        said: dict[bytes, bytes] = pq.read_schema(file).metadata or {}
        return json.loads(said[_FACTS])
    except (OSError, pa.ArrowInvalid, KeyError, ValueError):
        return None


def common(one: Proof, other: Proof) -> tuple[Array, Array]:
    """Rows of the customers that both have, in the same order."""
    _, mine, theirs = np.intersect1d(
        one.customers.astype(str), other.customers.astype(str), return_indices=True
    )
    return mine, theirs


def names_of(proofs: Sequence[Proof], kind: str) -> list[str]:
    """Rivals that all proofs have: ``scores`` or ``recall``."""
    first, *others = (list(getattr(one, kind)) for one in proofs)
    return [n for n in first if n != MODEL and all(n in other for other in others)]
