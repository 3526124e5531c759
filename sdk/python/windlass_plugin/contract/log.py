# Written by sdk/javascript/scripts/contract.mjs from the WIT files. Do not edit.
"""Always linked. Bounded by the host; what is dropped is counted and reported."""

from __future__ import annotations

from enum import Enum


class Level(Enum):
    """`debug` is for the plugin's author, `info` for whoever deploys."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"
