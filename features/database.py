"""The address of a database as input; its password is shown to nobody."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from features.contracts import SettingError

_SCHEMES = ("postgresql", "postgres")
_HIDDEN = "***"

# Greedy up to the last @, and to the next blank: too much rather than too little.
_IN_ADDRESS = re.compile(r"(\w+://[^:@/\s]*):\S+@")
_IN_OPTION = re.compile(r"((?:password|passwd|pwd)\s*[=:]\s*)[^&\s'\"]+", re.IGNORECASE)


def redacted(text: str) -> str:
    """The text without passwords of addresses and options in it."""
    return _IN_OPTION.sub(rf"\1{_HIDDEN}", _IN_ADDRESS.sub(rf"\1:{_HIDDEN}@", text))


@dataclass(frozen=True, repr=False)
class Database:
    """A PostgreSQL database.

    ``str`` and ``repr`` leave the password out, so that no log, run, report or
    message can hold it.

    Attributes:
        url: for libpq; may hold a password.
        schema: where the tables are; None: the first of the search path.
    """

    url: str
    schema: str | None = None

    @classmethod
    def parse(cls, text: str) -> Database:
        """The database of ``postgresql://user@host:port/name?schema=…&option=…``.

        Every option but ``schema`` is libpq's own. A server that does not answer
        is given up after ten seconds, or after ``connect_timeout``.

        Raises:
            SettingError: the text is no such address.
        """
        try:
            parts = urlsplit(text)
            options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
            _ = parts.port
        except ValueError:
            raise _wrong(text) from None
        if parts.scheme not in _SCHEMES or parts.fragment:
            raise _wrong(text)
        schema = options.pop("schema", None)
        options.setdefault("connect_timeout", "10")
        return cls(_with_options(text, options), schema)

    @property
    def name(self) -> str:
        """Name of the database and schema, for messages."""
        name = unquote(urlsplit(self.url).path.strip("/")) or "postgres"
        return f"{name}.{self.schema}" if self.schema else name

    @property
    def has_password(self) -> bool:
        """Whether the address itself holds a password."""
        parts = urlsplit(self.url)
        return bool(parts.password or dict(parse_qsl(parts.query)).get("password"))

    def hide(self, text: str) -> str:
        """A text of the driver without the password, however it is spelt."""
        parts = urlsplit(self.url)
        options = dict(parse_qsl(parts.query))
        for secret in (parts.password, options.get("password")):
            for spelling in {secret, unquote(secret)} if secret else ():
                text = text.replace(spelling, _HIDDEN)
        return redacted(text)

    def __str__(self) -> str:
        options = dict(parse_qsl(urlsplit(self.url).query))
        del options["connect_timeout"]
        options |= {"schema": self.schema} if self.schema else {}
        return redacted(_with_options(self.url, options))

    def __repr__(self) -> str:
        return f"Database({str(self)!r})"


def _with_options(url: str, options: Mapping[str, str]) -> str:
    # By hand: urlunsplit would drop the slashes of an address without a host.
    query = urlencode(options, safe="/", quote_via=quote)
    return url.partition("?")[0] + (f"?{query}" if query else "")


def parse_data(value: object) -> object:
    """Input as people write it: an address with ``://``, else a path.

    Raises:
        SettingError: an address of something else than PostgreSQL.
    """
    if not isinstance(value, str):
        return value
    return Database.parse(value) if "://" in value else Path(value)


def _wrong(text: str) -> SettingError:
    scheme = text.partition("://")[0]
    # Nothing behind the scheme: where an address is wrong, so may be its parts.
    return SettingError(
        "data: expected a folder, a DuckDB file or "
        f"postgresql://user@host:port/database, got an address {scheme}://{_HIDDEN}; "
        "encode special characters, and keep the password in PGPASSWORD or a passfile"
    )
