"""The version in force, followed while the service runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from features.contracts import ContractError
from serving.published import Published, current_version

_RETRY_SECONDS = 30.0

logger = logging.getLogger("repurchase.serving")


class Live:
    """Holds the served version and takes up a new one without a pause.

    A version is checked and mapped in a thread while the old one answers; then
    one reference changes. A version that does not hold what it says is refused
    with one line in the log, and the service keeps the one it has.

    Attributes:
        workspace: the folder of everything that the system writes.
        current: the version that answers; None: nothing usable is published.
        problem: why the newest version is not served; None: it is.
        failures: versions refused since the start.
    """

    def __init__(
        self,
        workspace: Path,
        every_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        taken_up: Callable[[Published], None] | None = None,
    ) -> None:
        self.current: Published | None = None
        self.problem: str | None = None
        self.failures = 0
        self.workspace = workspace
        self._every = every_seconds
        self._clock = clock
        self._taken_up = taken_up
        self._due = 0.0
        self._refused: str | None = None
        self._retry = 0.0
        self._loading = threading.Lock()
        self.load()

    def poll(self) -> None:
        """Starts to load a newly published version, if one is due to be seen.

        Costs a comparison, and once every ``every_seconds`` the reading of the
        pointer.
        """
        now = self._clock()
        if now < self._due or self._loading.locked():
            return
        self._due = now + self._every
        try:
            version = current_version(self.workspace)
        except OSError as error:
            logger.error("published/current: %s", error)
            return
        served = self.current.version if self.current else None
        # Reading a large damaged version again and again is not free.
        waits = version == self._refused and now < self._retry
        if version is not None and version != served and not waits:
            threading.Thread(target=self.load, daemon=True).start()

    def load(self) -> None:
        """Takes up the version in force now, or says why not."""
        with self._loading:
            self._due = self._clock() + self._every
            version: str | None = None
            try:
                version = current_version(self.workspace)
                fresh = Published.open(self.workspace)
            except (ContractError, OSError) as error:
                self.problem = str(error.args[0] if error.args else error)
                self.failures += version is not None
                self._refused = version
                self._retry = self._clock() + _RETRY_SECONDS
                logger.error("%s", self.problem)
                return
            self.current, self.problem, self._refused = fresh, None, None
        logger.info("answering from %s", fresh.version)
        if self._taken_up is not None:
            # It answers already; this only makes its first answers quick.
            work = partial(self._taken_up, fresh)
            threading.Thread(target=work, name="warm", daemon=True).start()
