"""Work that a worker repeats in the background for as long as it serves."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

LEAST_SECONDS = 0.05

logger = logging.getLogger("repurchase.serving")


def in_rounds(
    work: Callable[[], None], every_seconds: float, what: str
) -> Callable[[], None]:
    """Does the work now, and from now on in a thread; returns what ends that.

    Only the first time an error reaches the caller. Later ones are logged, whatever
    they are: without the thread no key would be revoked, nobody hidden, no event of
    another worker heard of.

    Args:
        work: what to do.
        every_seconds: between rounds; ``LEAST_SECONDS`` at least.
        what: is read, for the log and the name of the thread.
    """
    work()
    pause, ends = max(every_seconds, LEAST_SECONDS), threading.Event()

    def again() -> None:
        while not ends.wait(pause):
            try:
                work()
            except Exception:
                logger.exception("%s: not read", what)

    threading.Thread(target=again, name=what, daemon=True).start()
    return ends.set
