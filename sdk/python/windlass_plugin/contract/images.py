# Written by sdk/javascript/scripts/contract.mjs from the WIT files. Do not edit.
"""What a base image brings (a Dockerfile's `ENV PATH=/x:$PATH`, ONBUILD, inherited USER and
SHELL need it). The host pins the digest, which then is part of the answer's cache key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from . import types


@dataclass
class ImageConfig:
    """The configuration of an image. `digest` is what the reference stood for when it was asked: a plan names
    the image by it. `exposed` are ports as images name them: "8080/tcp".
    """

    digest: str = ""
    env: types.KeyValues = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)
    user: str = ""
    cwd: str = ""
    shell: list[str] = field(default_factory=list)
    onbuild: list[str] = field(default_factory=list)
    exposed: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    labels: types.KeyValues = field(default_factory=list)
    stop_signal: str | None = None
    health: types.HealthCheck | None = None
    author: str | None = None


class ImageError(Enum):
    """Why there is none. `denied`: the registry wants a login that the project does not have."""

    NOT_FOUND = "not-found"
    DENIED = "denied"
    UNREACHABLE = "unreachable"
    UNSUPPORTED_PLATFORM = "unsupported-platform"
