"""Requests over HTTP and HTTPS. Needs the capability `http`, with hosts and methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .answer import written
from .contract.http import Request, Response
from .contract.types import PluginError
from .host import HostError, call
from .plan import key_values

__all__ = ["Request", "Response", "failure", "fetch", "header", "succeeded", "text"]


def fetch(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    body: bytes | str = b"",
    json: Any = None,
    **options: Any,
) -> Response:
    """Sends a request; `json` is sent in place of a body. Every status is an answer.

    Raises `HostError`; `failure` makes a failure of the plugin of it.
    """
    sent = key_values(headers)
    if json is not None:
        sent.append(("content-type", "application/json"))
        body = written(json)
    content = body.encode() if isinstance(body, str) else body
    answer: Response = call(
        "http", "fetch", Request(method=method, url=url, headers=sent, body=content, **options)
    )
    return answer


def succeeded(response: Response) -> bool:
    """Whether its status is 200 to 299."""
    return 200 <= response.status < 300


def header(response: Response, name: str) -> str | None:
    """The first value of a header, by its name in lower case."""
    return next((value for known, value in response.headers if known == name), None)


def text(response: Response) -> str:
    """Its body as text."""
    return response.body.decode("utf-8", errors="replace")


def failure(error: HostError) -> PluginError:
    """A failure with the code `http.failed`; worth another try unless it was denied."""
    retryable = error.reason not in ("denied", "invalid", "too-large", "over-limit")
    return PluginError("http.failed", error.message, retryable=retryable)
