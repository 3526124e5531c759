# Written by sdk/javascript/scripts/contract.mjs from the WIT files. Do not edit.
"""Short facts that are shown with the deployment: "vulnerabilities: 3 (1 high)". Linked where the
manifest asks for it, and denied unless granted.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Tone(Enum):
    """`tone` of the contract."""

    NEUTRAL = "neutral"
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass
class Annotation:
    """`name` has 1 to 60 characters of `a-z`, `0-9`, `.` and hyphen, `value` up to 500 in one line. `url`
    is where a person reads more; only http and https.
    """

    name: str
    value: str
    tone: Tone = Tone.NEUTRAL
    url: str | None = None


class Reason(Enum):
    """`reason` of the contract."""

    DENIED = "denied"
    INVALID = "invalid"
    OVER_LIMIT = "over-limit"
    HOST_FAILED = "host-failed"


@dataclass
class AnnotationError:
    """`annotation-error` of the contract."""

    reason: Reason
    message: str
