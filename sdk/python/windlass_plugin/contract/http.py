# Written by sdk/javascript/scripts/contract.mjs from the WIT files. Do not edit.
"""Requests over HTTP and HTTPS. Linked where the manifest asks for it, and denied unless granted; hosts and
methods come from the grant. The name is resolved once and the request goes to that address; addresses of
this machine, of private networks and of a cloud's metadata are refused unless the operator granted
exactly them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from . import types


@dataclass
class Request:
    """`{{NAME}}` in `url`, in values of `headers` and in `body` is replaced by the value of the variable NAME
    where `secret-names` has it; each must be granted. The value itself never reaches the plugin: it is
    also taken out of the answer. `response-bytes-max` and `timeout-ms` 0 mean the host's limit; the time
    is that of all redirects together. `redirects-max` 0 follows none: the redirect is the answer.
    """

    method: str = "GET"
    url: str = field(kw_only=True)
    headers: types.KeyValues = field(default_factory=list)
    body: bytes = b""
    secret_names: list[str] = field(default_factory=list)
    response_bytes_max: int = 0
    timeout_ms: int = 0
    redirects_max: int = 3


@dataclass
class Response:
    """`url` is where the answer came from in the end. Every status is an answer. Names of headers are in
    lower case; one that came twice is there twice.
    """

    status: int
    url: str
    headers: types.KeyValues = field(default_factory=list)
    body: bytes = b""


class Reason(Enum):
    """`denied`: not granted, or an address that is refused; also where a redirect led there. `over-limit`: one
    call may not send so many.
    """

    DENIED = "denied"
    INVALID = "invalid"
    NOT_RESOLVED = "not-resolved"
    NOT_CONNECTED = "not-connected"
    TLS = "tls"
    TIMED_OUT = "timed-out"
    TOO_LARGE = "too-large"
    TOO_MANY_REDIRECTS = "too-many-redirects"
    PROTOCOL = "protocol"
    OVER_LIMIT = "over-limit"
    HOST_FAILED = "host-failed"


@dataclass
class HttpError:
    """`http-error` of the contract."""

    reason: Reason
    message: str
