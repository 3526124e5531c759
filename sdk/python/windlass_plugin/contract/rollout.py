# Written by sdk/javascript/scripts/contract.mjs from the WIT files. Do not edit.
"""How traffic is moved from the version that serves to the new one. Pure: it is asked again and again, and
decides from what both show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Sample:
    """What one version answered since the last change of the weight. An error is a status of 500 or
    above, or no answer at all.
    """

    requests: int
    errors: int
    p50_us: int
    p99_us: int


@dataclass
class State:
    """Weights are the new version's share of the requests in hundredths of a percent: 0 to 10000."""

    weight: int
    elapsed_ms: int
    at_weight_ms: int
    serving: Sample
    candidate: Sample


@dataclass(frozen=True)
class Decision:
    """`shift`: go to this weight. `hold`: ask again in so many milliseconds. `finish`: the new version takes over.
    `abort`: back to the version that serves, for this reason.
    """

    tag: str
    value: Any = None

    @classmethod
    def shift(cls, value: int) -> Decision:
        """The case `shift`."""
        return cls("shift", value)

    @classmethod
    def hold(cls, value: int) -> Decision:
        """The case `hold`."""
        return cls("hold", value)

    @classmethod
    def finish(cls) -> Decision:
        """The case `finish`."""
        return cls("finish")

    @classmethod
    def abort(cls, value: str) -> Decision:
        """The case `abort`."""
        return cls("abort", value)


Decision.CASES = {"shift": "int", "hold": "int", "finish": None, "abort": "str"}  # type: ignore[attr-defined]
