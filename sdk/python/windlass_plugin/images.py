"""What a base image brings."""

from __future__ import annotations

from .contract.images import ImageConfig, ImageError
from .host import call

__all__ = ["ImageConfig", "ImageError", "config"]


def config(reference: str, platform: str) -> ImageConfig:
    """The configuration of an image, which the host looks up and pins. Raises `HostError`."""
    found: ImageConfig = call("images", "config", reference, platform)
    return found
