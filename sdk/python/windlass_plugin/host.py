"""The host, as far as a plugin may use it: the component's imports, or a mock in tests.

Invariant: nothing else in the SDK knows which of the two it is.
"""

from __future__ import annotations

from typing import Any, Protocol


class HostError(Exception):
    """A refusal of the host. `reason` is the contract's: `not-found`, `denied`, ..."""

    def __init__(self, call: str, reason: str, message: str = "") -> None:
        super().__init__(f"{call}: {message or reason}")
        self.call = call
        self.reason = reason
        self.message = message or reason


class Host(Protocol):
    """What answers calls."""

    def call(self, package: str, function: str, arguments: tuple[Any, ...]) -> Any:
        """Calls a function of the contract with values of the contract.

        Raises `HostError` where the function answers with an error.
        """


class _None:
    def call(self, package: str, function: str, arguments: tuple[Any, ...]) -> Any:
        raise RuntimeError(
            f"{package}.{function} was called outside of a stage: when a module is loaded there is no host"
        )


_host: Host = _None()


def set_host(host: Host | None) -> Host:
    """Sets what calls go to; what they went to before comes back."""
    global _host
    before, _host = _host, host or _None()
    return before


def call(package: str, function: str, *arguments: Any) -> Any:
    """Calls a function of the host: `call("source", "read_many", paths, 0)`.

    Raises `HostError` with the contract's reason.
    """
    return _host.call(package, function, arguments)
