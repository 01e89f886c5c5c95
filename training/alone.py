"""Every generator alone: its own lists, and what it hands to the ranker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.config import RecommendConfig
from features.history import Ints
from training.candidates import CHUNK, own_candidates
from training.generators.fitted import OWN, SOURCES
from training.generators.generator import Generator, codes_of, one_blas_thread
from training.moment import Moment
from training.tops import top_items, top_seen, top_unseen


@dataclass(frozen=True)
class Alone:
    """What one generator offers to some customers.

    Attributes:
        lists: by lane its best available products: *mixed* whether bought before or
            not, *again* of what the customer bought, *new* of what they never did.
            Own history knows nothing new, so it has no such list. Product codes,
            best first, ``[customer, slot]``, -1: none.
        candidates: what it hands to the ranker, available or not: bought products if
            it is own history, else products never bought. Codes, ``[customer, n]``,
            -1: none.
    """

    lists: dict[str, Ints]
    candidates: Ints


def alone(
    generator: Generator,
    moment: Moment,
    customers: Ints,
    slots: int,
    config: RecommendConfig,
) -> Alone:
    """Lists of all lanes and candidates, from one look at the scores.

    Args:
        generator: fitted at the same moment.
        moment: tells what was bought.
        customers: codes of active customers.
        slots: length of the lists.
        config: numbers of candidates.
    """
    pairs, available = moment.pairs["product"], moment.history.products.available
    missing, every = ~available[generator.items], np.ones_like(available)
    is_own = generator.name == SOURCES[OWN]
    width = 0 if is_own else config.new_candidates
    lists = {
        lane: np.full((len(customers), slots), -1, dtype=np.int32)
        for lane in (("mixed", "again") if is_own else ("mixed", "again", "new"))
    }
    found = np.full((len(customers), width), -1, dtype=np.int32)
    for start in range(0, len(customers), CHUNK):
        some = customers[start : start + CHUNK]
        with one_blas_thread():
            scores = generator.scores(some)
        known = (scores, generator.items, pairs.offsets, pairs.item, some)
        columns = {"again": top_seen(*known, available, slots)}
        if not is_own:
            handed = top_unseen(*known, every, max(width, slots))
            found[start : start + CHUNK] = codes_of(generator.items, handed[:, :width])
            columns["new"] = handed[:, :slots]
            if missing.any():
                columns["new"] = top_unseen(*known, available, slots)
        scores[:, missing] = -np.inf
        columns["mixed"] = top_items(scores, slots)
        for lane, best in columns.items():
            lists[lane][start : start + CHUNK] = codes_of(generator.items, best)
    if is_own:
        found = own_candidates(moment, customers, config.again_candidates)
    return Alone(lists, found)
