# Written by sdk/javascript/scripts/contract.mjs from the WIT files. Do not edit.
"""Files that are kept with the deployment, shown with it and downloaded: a report, a table, an image.
Linked where the manifest asks for it, and denied unless granted; the grant says how many bytes all of
the plugin's have together.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """How it is shown: `report` is text or HTML to be read, `table` is CSV or JSON lines, `image` a picture;
    `file` is only downloaded.
    """

    REPORT = "report"
    TABLE = "table"
    IMAGE = "image"
    FILE = "file"


@dataclass
class Artifact:
    """`name` is a file name: 1 to 100 of letters, digits, `.`, `-` and `_`, not beginning with a dot. It is the
    plugin's own: another plugin may have the same. `title` is for people.
    """

    name: str
    kind: Kind
    media_type: str
    title: str


class Reason(Enum):
    """`reason` of the contract."""

    DENIED = "denied"
    INVALID = "invalid"
    NOT_FOUND = "not-found"
    OVER_LIMIT = "over-limit"
    HOST_FAILED = "host-failed"


@dataclass
class ArtifactError:
    """`artifact-error` of the contract."""

    reason: Reason
    message: str
