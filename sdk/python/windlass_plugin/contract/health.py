# Written by sdk/javascript/scripts/contract.mjs from the WIT files. Do not edit.
"""`policy-for` says what to probe and how often; `judge` decides, over all that was seen so far.
The host tries the first probe, asks the judge, and does what it says, until `pass` or `fail` or
until the budget is used up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import types


@dataclass
class StatusRange:
    """Statuses from `first` to `last`, both included."""

    first: int
    last: int


@dataclass
class HttpProbe:
    """GET of a path, at a port or at what the process was told in PORT. Passes by the policy's `pass-status`."""

    process: str
    port: int | None = None
    path: str = field(kw_only=True)
    headers: types.KeyValues = field(default_factory=list)
    redirects_max: int = 3


@dataclass
class CommandProbe:
    """A command in the process's container; 0 passes."""

    process: str
    argv: list[str] = field(default_factory=list)


@dataclass
class TcpProbe:
    """A connection, at a port or at what the process was told in PORT."""

    process: str
    port: int | None = None


@dataclass
class UpProbe:
    """The process is still up after so long."""

    process: str
    stays_up_ms: int


@dataclass(frozen=True)
class Probe:
    """One way of asking whether a process is well."""

    tag: str
    value: Any = None

    @classmethod
    def http(cls, value: HttpProbe) -> Probe:
        """The case `http`."""
        return cls("http", value)

    @classmethod
    def tcp(cls, value: TcpProbe) -> Probe:
        """The case `tcp`."""
        return cls("tcp", value)

    @classmethod
    def command(cls, value: CommandProbe) -> Probe:
        """The case `command`."""
        return cls("command", value)

    @classmethod
    def stays_up(cls, value: UpProbe) -> Probe:
        """The case `stays-up`."""
        return cls("stays-up", value)


Probe.CASES = {"http": "HttpProbe", "tcp": "TcpProbe", "command": "CommandProbe", "stays-up": "UpProbe"}  # type: ignore[attr-defined]


@dataclass
class Policy:
    """What to probe, and how often: `first-after-ms` before the first probe, pauses between the two intervals,
    `timeout-ms` for one try, `budget-ms` for all of them.
    """

    probes: list[Probe] = field(default_factory=list)
    pass_status: list[StatusRange] = field(default_factory=list)
    first_after_ms: int = field(kw_only=True)
    interval_min_ms: int = field(kw_only=True)
    interval_max_ms: int = field(kw_only=True)
    timeout_ms: int = field(kw_only=True)
    budget_ms: int = field(kw_only=True)


@dataclass(frozen=True)
class Outcome:
    """What one try saw. `exited`: the instance itself ended. `command-failed`: a command probe ended with this code.
    `wrong-address`: it listens, but only on the loopback address or on another port.
    """

    tag: str
    value: Any = None

    @classmethod
    def status(cls, value: int) -> Outcome:
        """The case `status`."""
        return cls("status", value)

    @classmethod
    def ok(cls) -> Outcome:
        """The case `ok`."""
        return cls("ok")

    @classmethod
    def refused(cls) -> Outcome:
        """The case `refused`."""
        return cls("refused")

    @classmethod
    def reset(cls) -> Outcome:
        """The case `reset`."""
        return cls("reset")

    @classmethod
    def timeout(cls) -> Outcome:
        """The case `timeout`."""
        return cls("timeout")

    @classmethod
    def exited(cls, value: int) -> Outcome:
        """The case `exited`."""
        return cls("exited", value)

    @classmethod
    def out_of_memory(cls) -> Outcome:
        """The case `out-of-memory`."""
        return cls("out-of-memory")

    @classmethod
    def wrong_address(cls) -> Outcome:
        """The case `wrong-address`."""
        return cls("wrong-address")

    @classmethod
    def command_failed(cls, value: int) -> Outcome:
        """The case `command-failed`."""
        return cls("command-failed", value)


Outcome.CASES = {"status": "int", "ok": None, "refused": None, "reset": None, "timeout": None, "exited": "int", "out-of-memory": None, "wrong-address": None, "command-failed": "int"}  # type: ignore[attr-defined]


@dataclass
class Observation:
    """One try: the probe's place in the policy, when (since the start), how long, what was seen."""

    probe: int
    at_ms: int
    took_ms: int
    outcome: Outcome


@dataclass(frozen=True)
class Verdict:
    """What to do next. `wait`: pause, then begin again at the first probe; the pause grows from `interval-min-ms` by a
    quarter each time, up to `interval-max-ms`.
    `next`: try the next probe at once; behind the last one it means `wait`.
    """

    tag: str
    value: Any = None

    @classmethod
    def wait(cls) -> Verdict:
        """The case `wait`."""
        return cls("wait")

    @classmethod
    def next(cls) -> Verdict:
        """The case `next`."""
        return cls("next")

    @classmethod
    def pass_(cls) -> Verdict:
        """The case `pass`."""
        return cls("pass")

    @classmethod
    def fail(cls, value: str) -> Verdict:
        """The case `fail`."""
        return cls("fail", value)


Verdict.CASES = {"wait": None, "next": None, "pass": None, "fail": "str"}  # type: ignore[attr-defined]


@dataclass
class Process:
    """What the deployment runs; `port` is what a web process is told in PORT
    and `check` how its image says that it is asked
    """

    name: str
    web: bool = False
    port: int | None = None
    check: types.HealthCheck | None = None
