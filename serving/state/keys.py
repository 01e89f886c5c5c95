"""API keys: made, listed and revoked; only their hashes are kept.

A key is ``rp_ID_SECRET``. The secret has 256 random bits, so nobody can try them
all, and one pass of SHA-256 protects it: the slow hashes that passwords need would
add nothing but milliseconds to every request.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from sqlalchemy import Engine, Row, insert, select, update

from features.contracts import SettingError
from serving.state.database import reading, writing
from serving.state.tables import KEYS

Scope: TypeAlias = Literal["read", "write", "admin"]
"""read: ask; write: send events; admin: everything."""

_NAME_LENGTH = 100


@dataclass(frozen=True)
class Key:
    """A key without its secret.

    Attributes:
        prefix: its beginning, by which people tell keys apart.
        hash: of the whole key.
        name: who uses it.
        scopes: what it opens.
        created_at: microseconds since 1970-01-01 UTC.
        revoked_at: the same; None: in force.
    """

    prefix: str
    hash: bytes
    name: str
    scopes: frozenset[Scope]
    created_at: int
    revoked_at: int | None = None

    def opens(self, scope: Scope) -> bool:
        """Whether the key is good for what needs the scope."""
        return scope in self.scopes or "admin" in self.scopes


def hashed(key: bytes) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key).digest()


def create(engine: Engine, name: str, scopes: Sequence[Scope], now_us: int) -> str:
    """Makes a key and returns it: the only time that it can be seen.

    Raises:
        SettingError: no name, or one that is too long or has line breaks.
        StateAwayError: the database cannot be reached.
    """
    if not (name.strip() and len(name) <= _NAME_LENGTH and name.isprintable()):
        raise SettingError(
            f"--name: expected 1 to {_NAME_LENGTH} printable characters, got {name!r:.120}"
        )
    prefix = f"rp_{secrets.token_hex(4)}"
    key = f"{prefix}_{secrets.token_urlsafe(32)}"
    row = {
        "prefix": prefix,
        "hash": hashed(key.encode()),
        "name": name,
        "scopes": " ".join(sorted(set(scopes))),
        "created_at": now_us,
    }
    with writing(engine) as connection:
        connection.execute(insert(KEYS), row)
    return key


def every(engine: Engine) -> list[Key]:
    """All keys, the revoked ones too, oldest first.

    Raises:
        StateAwayError: the database cannot be reached.
    """
    with reading(engine) as connection:
        rows = connection.execute(
            select(KEYS).order_by(KEYS.c.created_at, KEYS.c.prefix)
        )
        return [_key(row) for row in rows]


def revoke(engine: Engine, prefix: str, now_us: int) -> Key:
    """Puts a key out of force for good; one that is stays as it was.

    Args:
        engine: an upgraded database.
        prefix: of the key; the whole key will do.
        now_us: microseconds since 1970-01-01 UTC.

    Raises:
        SettingError: no key has the prefix.
        StateAwayError: the database cannot be reached.
    """
    prefix = "_".join(prefix.split("_")[:2])
    with writing(engine) as connection:
        connection.execute(
            update(KEYS)
            .where(KEYS.c.prefix == prefix, KEYS.c.revoked_at.is_(None))
            .values(revoked_at=now_us)
        )
        found = connection.execute(
            select(KEYS).where(KEYS.c.prefix == prefix)
        ).one_or_none()
    if found is None:
        raise SettingError(
            f"prefix: expected that of a key, such as rp_1a2b3c4d, got {prefix!r:.20}; "
            "see `repurchase keys list`"
        )
    return _key(found)


def _key(row: Row[tuple[object, ...]]) -> Key:
    found = row._mapping  # pyright: ignore[reportPrivateUsage] - public by its documentation
    scopes = frozenset(cast(list[Scope], str(found["scopes"]).split()))
    return Key(
        found["prefix"],
        bytes(found["hash"]),
        found["name"],
        scopes,
        found["created_at"],
        found["revoked_at"],
    )
