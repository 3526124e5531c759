"""A small store that outlives deployments, of this plugin in this project.

Needs the capability `cache`; without it the cache is empty.
"""

from __future__ import annotations

from .host import HostError, call


def get(key: str) -> bytes | None:
    """What was put under a key, unless it has gone since."""
    try:
        found: bytes | None = call("cache", "get", key)
    except HostError:
        return None
    return found


def put(key: str, value: bytes | str) -> None:
    """Puts a value under a key. Raises `HostError`."""
    call("cache", "put", key, value.encode() if isinstance(value, str) else value)


def delete(key: str) -> None:
    """Forgets a key. Raises `HostError`."""
    call("cache", "delete", key)
