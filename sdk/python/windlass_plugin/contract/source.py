# Written by sdk/javascript/scripts/contract.mjs from the WIT files. Do not edit.
"""Always linked. A batch view of the source beside the read-only /src preopen,
so that a detector needs one call and not five hundred.
All paths are relative to the root of the source, with forward slashes, and never leave it: a
symlink is listed as a symlink, and followed only while it stays inside.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """What an entry is; a symlink is not followed."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    OTHER = "other"


@dataclass
class Entry:
    """`path` is from the source's root; `size` in bytes, 0 for what is no file."""

    path: str
    kind: Kind
    size: int


@dataclass
class ListOptions:
    """`under` is a folder, "" for the root. A direct child has depth 1; 0 means no limit. `globs` are
    matched against the path relative to `under`, `*` does not cross a slash, none means everything.
    `limit` 0 means the host's limit. `.git` is never listed, nor is anything below it.
    """

    under: str
    max_depth: int
    globs: list[str] = field(default_factory=list)
    limit: int = field(kw_only=True)


@dataclass
class Listing:
    """sorted by path"""

    entries: list[Entry] = field(default_factory=list)
    truncated: bool = False


class ReadError(Enum):
    """`denied`: the path leaves the source. `io`: reading failed, or the request was malformed."""

    NOT_FOUND = "not-found"
    NOT_A_FILE = "not-a-file"
    TOO_LARGE = "too-large"
    DENIED = "denied"
    IO = "io"
