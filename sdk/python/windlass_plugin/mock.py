"""The host's side, natively, for tests of a plugin's logic.

It keeps the rules of the real host: nothing outside the root is read, `.git` is not listed, only regular files
are opened. What a custom stage may be granted is answered as the test says, and kept to be looked at; what the
test gives no answer for is denied.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .contract.annotations import Annotation
from .contract.artifacts import Artifact
from .contract.exec import Batch, Command, Exit, Line, Pipe
from .contract.http import Request, Response
from .contract.images import ImageConfig
from .contract.log import Level
from .contract.source import Entry, Kind, Listing, ListOptions, ReadError
from .glob import compiled
from .host import HostError

# The host's defaults for entries of one listing, and for bytes of one batch of reads.
_LIST_ENTRIES_MAX = 50_000
_READ_BYTES_MAX = 16 << 20


@dataclass
class Answers:
    """What the test says before a call."""

    images: dict[str, ImageConfig] = field(default_factory=dict)
    #: Beginning of the command line, and its answer; the first that fits is taken.
    commands: list[tuple[list[str], Exit | Exception]] = field(default_factory=list)
    #: Method, beginning of the URL, and the answer; the first that fits is taken.
    requests: list[tuple[str, str, Response | Exception]] = field(default_factory=list)
    cached: dict[str, bytes] = field(default_factory=dict)
    #: Capabilities that were not granted.
    denied: frozenset[str] = frozenset()


@dataclass
class Done:
    """What a call has done, each in order."""

    #: Lines, with their fields behind the message.
    log: list[tuple[Level, str]] = field(default_factory=list)
    artifacts: dict[str, tuple[Artifact, bytes]] = field(default_factory=dict)
    annotations: dict[str, Annotation] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    #: Secrets are not filled in.
    requests: list[Request] = field(default_factory=list)
    #: What the cache holds afterwards.
    cache: dict[str, bytes] = field(default_factory=dict)


@dataclass
class _Read:
    """One answer of `read-many`, in the shape that components see."""

    value: bytes | ReadError


class MockHost:
    """A host for one call on a folder."""

    def __init__(self, folder: Path, answers: Answers) -> None:
        self._root = folder
        self._answers = answers
        self.done = Done(cache=dict(answers.cached))

    def call(self, package: str, function: str, arguments: tuple[Any, ...]) -> Any:
        """See `windlass_plugin.host.Host`."""
        if package in self._answers.denied:
            raise HostError(f"{package}.{function}", "denied", f"{package} is not granted")
        return getattr(self, f"_{package}_{function}")(*arguments)

    def _log_write(self, level: Level, message: str, pairs: list[tuple[str, str]]) -> None:
        shown = "".join(f" {name}={value}" for name, value in pairs)
        self.done.log.append((level, message + shown))

    def _source_read_many(self, paths: list[str], each: int) -> list[_Read]:
        left = _READ_BYTES_MAX
        answers = []
        for path in paths:
            answer = self._read(path, min(left, each or left))
            left -= len(answer) if isinstance(answer, bytes) else 0
            answers.append(_Read(answer))
        return answers

    def _read(self, path: str, most: int) -> bytes | ReadError:
        try:
            file = self._resolve(path)
            if not file.is_file():
                return ReadError.NOT_A_FILE
            return ReadError.TOO_LARGE if file.stat().st_size > most else file.read_bytes()
        except OSError as error:
            return _reason(error)

    def _resolve(self, path: str) -> Path:
        root = self._root.resolve(strict=True)
        if path.startswith("/") or "\0" in path:
            raise PermissionError(path)
        found = Path(os.path.realpath(root / path, strict=True))
        if not found.is_relative_to(root):
            raise PermissionError(path)
        return found

    def _source_list_entries(self, options: ListOptions) -> Listing:
        call = "source.list-entries"
        try:
            patterns = [compiled(glob) for glob in options.globs]
            under = self._resolve(options.under)
            found = [*_walk(under, "", 1, options.max_depth)]
        except OSError as error:
            raise HostError(call, _reason(error).value) from error
        except ValueError as error:
            raise HostError(call, "io") from error
        base = options.under.strip("/")
        entries = [
            Entry(f"{base}/{one.path}" if base else one.path, one.kind, one.size)
            for one in found
            if not patterns or any(pattern.fullmatch(one.path) for pattern in patterns)
        ]
        entries.sort(key=lambda entry: entry.path.encode())
        most = min(options.limit or _LIST_ENTRIES_MAX, _LIST_ENTRIES_MAX)
        return Listing(entries=entries[:most], truncated=len(entries) > most)

    def _images_config(self, reference: str, _platform: str) -> ImageConfig:
        if reference not in self._answers.images:
            raise HostError("images.config", "not-found")
        return self._answers.images[reference]

    def _exec_run(self, command: Command) -> Exit:
        self.done.commands.append(command)
        for begin, answer in self._answers.commands:
            if command.argv[: len(begin)] == [*begin]:
                ended: Exit = _given(answer)
                return ended
        raise HostError("exec.run", "denied", f"no answer was given for {command.argv}")

    def _exec_spawn(self, command: Command) -> _Finished:
        return _Finished(self._exec_run(command))

    def _http_fetch(self, request: Request) -> Response:
        self.done.requests.append(request)
        for method, url, answer in self._answers.requests:
            if method == request.method and request.url.startswith(url):
                response: Response = _given(answer)
                return response
        why = f"no answer was given for {request.method} {request.url}"
        raise HostError("http.fetch", "denied", why)

    def _artifacts_attach(self, artifact: Artifact, content: bytes) -> None:
        self.done.artifacts[artifact.name] = (artifact, content)

    def _artifacts_append(self, name: str, content: bytes) -> None:
        if name not in self.done.artifacts:
            why = f"{name} was not attached by this call"
            raise HostError("artifacts.append", "not-found", why)
        artifact, before = self.done.artifacts[name]
        self.done.artifacts[name] = (artifact, before + content)

    def _cache_get(self, key: str) -> bytes | None:
        return self.done.cache.get(key)

    def _cache_put(self, key: str, value: bytes) -> None:
        self.done.cache[key] = value

    def _cache_delete(self, key: str) -> None:
        self.done.cache.pop(key, None)

    def _annotations_set(self, annotation: Annotation) -> None:
        self.done.annotations[annotation.name] = annotation


class _Finished:
    """A command that has ended, whose lines are taken one after another."""

    def __init__(self, ended: Exit) -> None:
        self._ended = ended
        tails = [(Pipe.STDOUT, ended.stdout_tail), (Pipe.STDERR, ended.stderr_tail)]
        self._left = [
            Line(pipe, text)
            for pipe, tail in tails
            for text in tail.decode("utf-8", errors="replace").splitlines()
        ]

    def next_lines(self, lines_max: int, _wait_ms: int) -> Batch:
        count = lines_max or len(self._left)
        taken, self._left = self._left[:count], self._left[count:]
        return Batch(lines=taken, ended=not self._left, dropped=0)

    def wait(self) -> Exit:
        return self._ended

    def kill(self) -> None:
        self._left = []


def _given(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


def _walk(at: Path, below: str, depth: int, most: int) -> Iterator[Entry]:
    for child in at.iterdir():
        if child.name == ".git":
            continue
        meta = child.lstat()
        kind = _kind(meta.st_mode)
        path = f"{below}/{child.name}" if below else child.name
        yield Entry(path, kind, meta.st_size if kind is Kind.FILE else 0)
        if kind is Kind.DIRECTORY and (most == 0 or depth < most):
            yield from _walk(child, path, depth + 1, most)


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.DIRECTORY
    return Kind.SYMLINK if stat.S_ISLNK(mode) else Kind.OTHER


def _reason(error: OSError) -> ReadError:
    if isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError)):
        return ReadError.NOT_FOUND
    return ReadError.DENIED if isinstance(error, PermissionError) else ReadError.IO
