"""Files that are kept with the deployment. Needs the capability `artifacts`."""

from __future__ import annotations

from .contract.artifacts import Artifact, Kind
from .host import call

__all__ = ["Artifact", "Kind", "attach"]

# Bytes that are passed at once: below what a host takes in one call.
_PIECE_BYTES = 1 << 20


def attach(
    name: str, kind: Kind, media_type: str, content: bytes | str, title: str | None = None
) -> None:
    """Attaches a file of any length, in place of an earlier one of its name. Raises `HostError`."""
    whole = content.encode() if isinstance(content, str) else content
    artifact = Artifact(name=name, kind=kind, media_type=media_type, title=title or name)
    call("artifacts", "attach", artifact, whole[:_PIECE_BYTES])
    for at in range(_PIECE_BYTES, len(whole), _PIECE_BYTES):
        call("artifacts", "append", name, whole[at : at + _PIECE_BYTES])
