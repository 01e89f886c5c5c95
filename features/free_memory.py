"""Memory that is free goes back to the system."""

from __future__ import annotations

import ctypes

import pyarrow as pa


def give_back() -> None:
    """Give back what allocators hold for later, which is as good as used for others.

    The C library keeps what is freed between blocks that are in use; work part by
    part, on several threads, then takes more with every part though it needs the same.
    Does nothing where the C library is none of GNU's.
    """
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
