# Written by sdk/javascript/scripts/contract.mjs from the WIT files. Do not edit.
"""What is this application? Every detector is asked, and one answer is chosen."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import types


@dataclass
class NearMiss:
    """what nearly matched, and why not; shown when nothing matches"""

    id: str
    reason: str


@dataclass
class Report:
    """What was recognised, and what nearly was. A source of another kind is an empty report, no error."""

    detections: list[types.Detection] = field(default_factory=list)
    near_misses: list[NearMiss] = field(default_factory=list)
