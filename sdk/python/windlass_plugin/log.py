"""Lines for the deployment's log. The host bounds them, and counts what it drops."""

from __future__ import annotations

from .contract.log import Level
from .host import call


def write(level: Level, message: object, **fields: object) -> None:
    """Writes a line with fields."""
    call("log", "write", level, str(message), [(name, str(value)) for name, value in fields.items()])


def debug(message: object, **fields: object) -> None:
    """For the author of the plugin."""
    write(Level.DEBUG, message, **fields)


def info(message: object, **fields: object) -> None:
    """For whoever deploys."""
    write(Level.INFO, message, **fields)


def warn(message: object, **fields: object) -> None:
    """Something to be looked at that stops nothing."""
    write(Level.WARN, message, **fields)


def error(message: object, **fields: object) -> None:
    """What made the call fail."""
    write(Level.ERROR, message, **fields)
