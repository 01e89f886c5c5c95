"""Parameters of an address."""

from __future__ import annotations

from urllib.parse import parse_qsl

from serving.asgi import ApiError


def parameters_of(query: bytes) -> dict[str, str]:
    """Parameters of an address.

    Raises:
        ApiError: 422, one is there twice.
    """
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        field = f"{twice:.80}"
        said = f"{field}: expected once, got it twice"
        raise ApiError(422, "invalid", said, field)
    return found
