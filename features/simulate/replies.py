"""How customers reply to lists in a test, with a true lift as an argument.

The laws that a comparison of two lists has to find again: the better list is clicked
and bought from more often by exactly so much, the same for everyone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.history import Floats

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Lift:
    """What is true of the better list beside the other one.

    Attributes:
        click_rate: clicks per slot of the other list.
        clicks: relative rise by the better list; 0: they are alike.
        repurchase: relative rise of the share of customers who buy.
    """

    click_rate: float = 0.06
    clicks: float = 0.47
    repurchase: float = 0.20


@dataclass(frozen=True)
class Replies:
    """What customers did.

    Attributes:
        clicked: ``[customer, slot]``.
        buys: at least once in the window, ``[customer]``.
        day: of the purchase, 0 to the window's length, ``[customer]``; meaningless for
            those who do not buy.
    """

    clicked: Flags
    buys: Flags
    day: Floats


def replies(
    seed: int, better: Flags, habit: Floats, slots: int, window_days: int, lift: Lift
) -> Replies:
    """Draws the replies; the same arguments give the same replies.

    Args:
        seed: of the draw.
        better: who was shown the better list, ``[customer]``.
        habit: chance that a customer buys in the window with the other list,
            ``[customer]``.
        slots: that each was shown.
        window_days: length of the window.
        lift: what is true.

    Raises:
        ValueError: a lift takes a chance beyond 1.
    """
    click = lift.click_rate * np.where(better, 1 + lift.clicks, 1.0)
    buy = habit * np.where(better, 1 + lift.repurchase, 1.0)
    if max(click.max(initial=0), buy.max(initial=0)) > 1:
        raise ValueError("lift: expected chances of at most 1, got more; lower it")
    rng = np.random.default_rng(seed)
    size = len(better)
    return Replies(
        rng.random((size, slots)) < click[:, None],
        rng.random(size) < buy,
        rng.uniform(0, window_days, size),
    )
