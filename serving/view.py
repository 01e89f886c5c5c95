"""What lists are made from: one customer's offers, purchases and durables.

Rules and filters read a ``View`` and do not know whether it is the published one or
one into which fresh events were folded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.published import Offers, Published


@dataclass(frozen=True)
class View:
    """One customer as the lists see them.

    Attributes:
        offers: theirs are the rows from ``start`` to before ``stop``.
        bought: products bought, ascending.
        resting: durables that they need no second time yet; None: there are none.
    """

    offers: Offers
    start: int
    stop: int
    bought: npt.NDArray[np.int32]
    resting: npt.NDArray[np.int32] | None


def published_view(published: Published, customer: int) -> View:
    """The customer as of the version's cutoff; nothing is copied."""
    offers = published.offers
    return View(
        offers,
        offers.offsets[customer],
        offers.offsets[customer + 1],
        published.bought(customer),
        published.resting(customer),
    )
