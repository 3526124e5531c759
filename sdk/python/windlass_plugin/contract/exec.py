# Written by sdk/javascript/scripts/contract.mjs from the WIT files. Do not edit.
"""Commands in a container, never on the host. The container is a fresh one that is removed with the
command: it has the network of the deployment's environment, none of its volumes, and of its variables
those that the command names. Linked where the manifest asks for it, and denied unless granted; the
grant says where commands may run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from . import types


@dataclass(frozen=True)
class Place:
    """What the container is made of: an output of the build, by its name, or an image that the host pulls."""

    tag: str
    value: Any = None

    @classmethod
    def output(cls, value: str) -> Place:
        """The case `output`."""
        return cls("output", value)

    @classmethod
    def image(cls, value: str) -> Place:
        """The case `image`."""
        return cls("image", value)


Place.CASES = {"output": "str", "image": "str"}  # type: ignore[attr-defined]


@dataclass
class Command:
    """`argv` is looked up in the PATH of the image; no shell is implied. `env` is laid over the image's.
    `variable-names` are variables of the environment that the command gets too; each must be granted.
    `stdin` is all that it reads. Of each stream the last `tail-bytes-max` bytes come back, 0 for the
    host's number. The output also goes to the deployment's log, unless `quiet`. `timeout-ms` 0 means
    the host's limit.
    """

    place: Place
    argv: list[str] = field(default_factory=list)
    cwd: str | None = None
    env: types.KeyValues = field(default_factory=list)
    variable_names: list[str] = field(default_factory=list)
    stdin: bytes = b""
    timeout_ms: int = 0
    tail_bytes_max: int = 0
    quiet: bool = False


@dataclass
class Exit:
    """`code` is 128 and the signal where a signal ended it. `timed-out`: the host ended it."""

    code: int
    timed_out: bool = False
    out_of_memory: bool = False
    took_ms: int = field(kw_only=True)
    stdout_tail: bytes = b""
    stderr_tail: bytes = b""
    stdout_bytes: int = field(kw_only=True)
    stderr_bytes: int = field(kw_only=True)


class Reason(Enum):
    """`not-found`: no such output or image. `not-started`: the container could not be made, or has no such program."""

    DENIED = "denied"
    NOT_FOUND = "not-found"
    NOT_STARTED = "not-started"
    OVER_LIMIT = "over-limit"
    HOST_FAILED = "host-failed"


@dataclass
class ExecError:
    """`exec-error` of the contract."""

    reason: Reason
    message: str


class Pipe(Enum):
    """`pipe` of the contract."""

    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass
class Line:
    """`line` of the contract."""

    pipe: Pipe
    text: str


@dataclass
class Batch:
    """`ended`: nothing more will come. `dropped` counts lines that were not taken in time."""

    lines: list[Line] = field(default_factory=list)
    ended: bool = False
    dropped: int = field(kw_only=True)


class Process:
    """A command that runs beside the plugin. Dropping it ends the command."""
