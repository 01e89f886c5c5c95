"""Who may ask: keys, their scopes and their limits, in the memory of a process.

A request costs a hash and a look-up. A thread reads the keys anew about every
second, so a key that is revoked stops working as soon.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from starlette.types import Scope as Request

from serving.asgi import ApiError
from serving.rounds import in_rounds
from serving.state.audits import LOCAL
from serving.state.database import StateAwayError
from serving.state.keys import Key, Scope, hashed

_STALE_SECONDS = 300.0
"""Keys that could not be read anew for so long are relied on no more."""

_BEARER = b"bearer "

logger = logging.getLogger("repurchase.serving")


def away() -> ApiError:
    """The database of the state cannot be reached."""
    return ApiError(
        503,
        "state_away",
        "the service's database does not answer; nothing is lost, try again",
        headers=((b"retry-after", b"1"),),
    )


@dataclass
class _Bucket:
    """Requests that a key may make at once, and when that was counted."""

    left: float
    at: float


class Keyring:
    """The keys in force.

    As long as no key was ever made, requests need none, but only those from this
    machine are let in. Once one was made all need one, also when every key is
    revoked.

    Args:
        load: reads all keys, the revoked ones too; raises ``StateAwayError``.
        requests_per_second: of each key; as many may come at once. None: no limit.
        clock: seconds.
    """

    def __init__(
        self,
        load: Callable[[], Sequence[Key]],
        requests_per_second: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._rate = requests_per_second
        self._clock = clock
        self._keys: dict[bytes, Key] = {}
        self._is_open = False
        self._read_at = -math.inf
        self._buckets: dict[str, _Bucket] = {}
        self._was_away = False

    @property
    def is_current(self) -> bool:
        """Whether the keys were read lately."""
        return self._clock() - self._read_at <= _STALE_SECONDS

    def refresh(self) -> None:
        """Reads the keys; those known stay in force while that is not possible."""
        try:
            found = self._load()
        except StateAwayError as error:
            if not self._was_away:
                logger.error("keys: %s", error)
            self._was_away = True
            return
        self._was_away = False
        self._keys = {key.hash: key for key in found if key.revoked_at is None}
        self._is_open = not found
        self._read_at = self._clock()

    def follow(self, every_seconds: float) -> Callable[[], None]:
        """Refreshes now, and from now on in a thread; returns what ends that."""
        return in_rounds(self.refresh, every_seconds, "keys")

    def __call__(self, request: Request, needed: Scope) -> str:
        """Lets a request in that has a key with the scope; whose it is.

        Returns:
            Prefix of the key; ``audits.LOCAL``: none is needed.

        Raises:
            ApiError: 401 without a key in force, 403 without the scope, 429 where
                the key has too many requests, 503 where keys cannot be checked.
        """
        if not self.is_current:
            raise away()
        given = _authorization(request)
        if self._is_open and given is None:
            if not _is_local(request):
                raise _unknown(
                    "expected a request from this machine to 127.0.0.1 or localhost "
                    "while there are no API keys, got another"
                )
            self._spend(LOCAL)
            return LOCAL
        key = self._keys.get(hashed(_bearer(given)))
        if key is None:
            raise _unknown("the key is unknown or revoked")
        if not key.opens(needed):
            had = " and ".join(sorted(key.scopes))
            raise ApiError(
                403, "forbidden", f"key: expected the scope {needed}, got {had}"
            )
        self._spend(key.prefix)
        return key.prefix

    def _spend(self, who: str) -> None:
        """Takes one request out of a bucket that refills with time."""
        if self._rate is None:
            return
        now, most = self._clock(), max(self._rate, 1.0)
        bucket = self._buckets.setdefault(who, _Bucket(most, now))
        bucket.left = min(most, bucket.left + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.left < 1.0:
            wait = math.ceil((1.0 - bucket.left) / self._rate)
            raise ApiError(
                429,
                "too_many_requests",
                f"key: expected at most {self._rate:g} requests a second, got more; "
                f"try again in {wait} s",
                headers=((b"retry-after", str(wait).encode()),),
            )
        bucket.left -= 1.0


def _authorization(request: Request) -> bytes | None:
    for name, value in request["headers"]:
        if name == b"authorization":
            return value
    return None


def _bearer(given: bytes | None) -> bytes:
    if given is None:
        raise _unknown("expected a header Authorization: Bearer KEY, got none")
    if given[: len(_BEARER)].lower() != _BEARER:
        raise _unknown("expected a header Authorization: Bearer KEY, got another form")
    return given[len(_BEARER) :].strip()


def _unknown(said: str) -> ApiError:
    challenge = ((b"www-authenticate", b'Bearer realm="repurchase"'),)
    return ApiError(401, "unauthorized", f"authorization: {said}", headers=challenge)


_OF_PROXIES = (
    b"forwarded",
    b"via",
    b"x-real-ip",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
)
"""Headers that say that somebody else asks by way of this machine."""


def _is_local(request: Request) -> bool:
    """Whether the request is from this machine, by every sign of it.

    The address it reached is one that others cannot reach. The names that it gives
    are this machine's too: a page of the web that a browser here shows can reach
    the address, but under its own name.
    """
    server = request.get("server")
    if server is None or not _is_own(server[0].encode()):
        return False
    return all(
        name not in _OF_PROXIES and (name not in (b"host", b"origin") or _is_own(value))
        for name, value in request["headers"]
    )


@lru_cache(64)
def _is_own(place: bytes) -> bool:
    """Whether an address, a host with a port or an origin is of this machine."""
    text = place.decode("latin-1")
    host = text.rpartition("://")[2]
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
