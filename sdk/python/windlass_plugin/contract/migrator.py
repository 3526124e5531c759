# Written by sdk/javascript/scripts/contract.mjs from the WIT files. Do not edit.
"""How is the database migrated? Every migrator is asked, whatever plugin detected the application."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import types


@dataclass(frozen=True)
class Verdict:
    """Run it, or leave it for this reason: the application migrates itself at boot, there are no migrations, ..."""

    tag: str
    value: Any = None

    @classmethod
    def run(cls) -> Verdict:
        """The case `run`."""
        return cls("run")

    @classmethod
    def leave(cls, value: str) -> Verdict:
        """The case `leave`."""
        return cls("leave", value)


Verdict.CASES = {"run": None, "leave": "str"}  # type: ignore[attr-defined]


@dataclass
class Migration:
    """A migration that was found."""

    #: which tool, for people
    tool: str
    #: in which of the plan's outputs it runs
    output: str
    #: the command; no shell is implied
    argv: list[str] = field(default_factory=list)
    #: where, absolute in the image
    cwd: str = field(kw_only=True)
    #: the signs
    evidence: list[types.Evidence] = field(default_factory=list)
    #: whether to run it
    verdict: Verdict = field(kw_only=True)
