"""The source tree, seen from the application's folder.

Reads are batched and remembered for the length of one call: asking twice costs one host call.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from .contract.source import Entry, Kind, Listing, ListOptions, ReadError
from .contract.types import Context, Detection, PluginError
from .host import HostError, call

_WHY = {
    "not-found": "it does not exist",
    "not-a-file": "it is not a regular file",
    "too-large": "it is larger than a plugin may read",
    "denied": "the path leaves the source, or was not granted",
    "io": "reading it failed, or the request was malformed",
}


class Source:
    """A read-only view of the source below one folder.

    Paths use forward slashes and are relative to that folder; what leaves the source's root, or was not granted to
    a custom stage, is `denied`.
    """

    def __init__(self, folder: str = "") -> None:
        """The view from a folder, given relative to the source's root."""
        self._base = folder.strip("/")
        self._read: dict[str, bytes | ReadError] = {}

    @classmethod
    def of(cls, ctx: Context) -> Source:
        """The view from the application's folder."""
        return cls(ctx.app_dir)

    @classmethod
    def of_chosen(cls, ctx: Context, chosen: Detection) -> Source:
        """The view from the folder that a detection names as the application's, else from the context's."""
        return cls(ctx.app_dir if chosen.app_dir is None else chosen.app_dir)

    @classmethod
    def root(cls) -> Source:
        """The view from the source's root: for what a monorepo keeps there, such as its lock file."""
        return cls()

    def exists(self, path: str) -> bool:
        """Whether it is a readable file or a folder."""
        return self._answer(path) not in (ReadError.NOT_FOUND, ReadError.DENIED, ReadError.IO)

    def is_file(self, path: str) -> bool:
        """Whether it is a regular file."""
        answer = self._answer(path)
        return isinstance(answer, bytes) or answer is ReadError.TOO_LARGE

    def read(self, path: str) -> bytes:
        """The bytes of a file. Raises `HostError` with the reason."""
        answer = self._answer(path)
        if isinstance(answer, ReadError):
            raise HostError("source.read-many", answer.value, f"{path}: {_WHY[answer.value]}")
        return answer

    def text(self, path: str) -> str | None:
        """The text of a file, or `None` when it does not exist. Bytes that are not UTF-8 are replaced.

        Raises `PluginError` with the code `source.unreadable` when it exists and cannot be read.
        """
        answer = self._answer(path)
        if answer is ReadError.NOT_FOUND:
            return None
        if isinstance(answer, ReadError):
            raise _unreadable(path, answer.value)
        return answer.decode("utf-8", errors="replace")

    def json(self, path: str) -> Any:
        """A JSON file, or `None` when it does not exist.

        Raises `PluginError` with the code `source.unreadable`, or `source.invalid-json` with line and column.
        """
        text = self.text(path)
        if text is None:
            return None
        try:
            return json.loads(text.removeprefix("\ufeff"))
        except ValueError as error:
            message = f"{path} is not valid JSON: {error}"
            raise PluginError(
                "source.invalid-json", message, hint=f"repair {path} and deploy again"
            ) from error

    def prefetch(self, paths: Iterable[str]) -> None:
        """Reads files in one host call; later reads of them ask no more."""
        missing = [path for path in dict.fromkeys(paths) if path not in self._read]
        if missing:
            answers = call("source", "read_many", [self._full(path) for path in missing], 0)
            self._read.update((path, answer.value) for path, answer in zip(missing, answers, strict=True))

    def files(self, globs: Iterable[str] = ()) -> list[str]:
        """All files below the folder that match one of the globs, sorted; paths relative to the folder.

        `*` stays within a folder, `**/` crosses them. No glob means every file.
        """
        return [entry.path for entry in self.list(globs).entries if entry.kind is Kind.FILE]

    def list(self, globs: Iterable[str] = (), max_depth: int = 0, limit: int = 0) -> Listing:
        """Entries below the folder, sorted; paths relative to the folder.

        A direct child has depth 1; 0 means no limit. `limit` 0 means the host's. A folder that does not
        exist has no entries. Raises `PluginError` with the code `source.unreadable` for a broken glob or a
        folder that cannot be read.
        """
        try:
            options = ListOptions(under=self._base, max_depth=max_depth, globs=[*globs], limit=limit)
            listing = call("source", "list_entries", options)
        except HostError as error:
            if error.reason == "not-found":
                return Listing(entries=[], truncated=False)
            raise _unreadable(self._base or "the source", error.reason) from error
        above = len(self._base) + 1 if self._base else 0
        entries: list[Entry] = [replace(entry, path=entry.path[above:]) for entry in listing.entries]
        return Listing(entries=entries, truncated=listing.truncated)

    def _answer(self, path: str) -> bytes | ReadError:
        self.prefetch([path])
        return self._read[path]

    def _full(self, path: str) -> str:
        return f"{self._base}/{path}" if self._base else path


def _unreadable(shown: str, reason: str) -> PluginError:
    why = _WHY.get(reason, reason)
    return PluginError("source.unreadable", f"{shown} cannot be read: {why}")
