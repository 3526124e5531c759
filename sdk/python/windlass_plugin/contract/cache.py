# Written by sdk/javascript/scripts/contract.mjs from the WIT files. Do not edit.
"""A small store that outlives deployments: one for each plugin and project. What was used longest ago goes
when it is full, and everything may go at any time. Linked where the manifest asks for it, and denied
unless granted, with a number of bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Reason(Enum):
    """`reason` of the contract."""

    DENIED = "denied"
    INVALID = "invalid"
    OVER_LIMIT = "over-limit"
    HOST_FAILED = "host-failed"


@dataclass
class CacheError:
    """`cache-error` of the contract."""

    reason: Reason
    message: str
