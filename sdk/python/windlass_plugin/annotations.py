"""Short facts that are shown with the deployment. Needs the capability `annotations`."""

from __future__ import annotations

from . import log
from .contract.annotations import Annotation, Tone
from .host import HostError, call

__all__ = ["Annotation", "Tone", "note", "set"]


def set(name: str, value: object, tone: Tone = Tone.NEUTRAL, url: str | None = None) -> None:
    """Sets a fact, in place of an earlier one of its name. Raises `HostError`."""
    call("annotations", "set", Annotation(name=name, value=str(value), tone=tone, url=url))


def note(name: str, value: object, tone: Tone = Tone.NEUTRAL, url: str | None = None) -> None:
    """The same; where it cannot be set, the log says why, and nothing else happens."""
    try:
        set(name, value, tone, url)
    except HostError as error:
        log.debug(f"{name} was not noted: {error.message}")
