# Written by sdk/javascript/scripts/contract.mjs from the WIT files. Do not edit.
"""Anything else, at a hook of the pipeline. It is not pure: its answers are never kept, its clock is the
real one, and it may hold grants. It may be run again for the same deployment, after a crash of the host or after
a failure: what it does outside must bear that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from . import types


class Hook(Enum):
    """`after-fetch`: the source and the settings are known, nothing is decided. `after-build`: there is an
    artifact. `before-switch`: the new version runs, is healthy, and serves nobody; an error fails the
    deployment if its setting says so. `after-switch`: it is over, well or not; in the background.
    """

    AFTER_FETCH = "after-fetch"
    AFTER_BUILD = "after-build"
    BEFORE_SWITCH = "before-switch"
    AFTER_SWITCH = "after-switch"


class State(Enum):
    """`state` of the contract."""

    RUNNING = "running"
    LIVE = "live"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass
class Failure:
    """Why the deployment failed, as people are told."""

    code: str
    step: str | None = None
    what: str = field(kw_only=True)
    why: str = field(kw_only=True)
    fix: str = field(kw_only=True)


class OutputKind(Enum):
    """`output-kind` of the contract."""

    IMAGE = "image"
    STATIC_TREE = "static-tree"


@dataclass
class Output:
    """`output` of the contract."""

    name: str
    kind: OutputKind


@dataclass
class Process:
    """`addresses` are where its instances listen in the environment's network: "10.89.1.7:3000"
    """

    name: str
    output: str
    web: bool = False
    addresses: list[str] = field(default_factory=list)


@dataclass
class Facts:
    """What is known of the deployment at the hook."""

    hook: Hook = Hook.AFTER_FETCH
    #: 1 for the first try
    attempt: int = 1
    project: str = "app"
    environment: str = "production"
    #: its id, and its number within the project: what people say
    deployment: str = "01j00000000000000000000000"
    number: int = 1
    #: who asked for it
    actor: str = "test"
    state: State = State.RUNNING
    failure: Failure | None = None
    commit: str | None = None
    commit_subject: str | None = None
    commit_author: str | None = None
    detected: types.Detection | None = None
    outputs: list[Output] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    #: where visitors reach the environment
    urls: list[str] = field(default_factory=list)
    #: number and commit of the version that was live before
    previous_number: int | None = None
    previous_commit: str | None = None
    #: the environment's variables that were granted by name and are not secret
    variables: types.KeyValues = field(default_factory=list)


@dataclass
class Input:
    """What another stage that this one needs has answered."""

    name: str
    plugin: str
    stage: str
    outputs_json: str = ""


class Overlap(Enum):
    """What becomes of a run whose time has come while the one before goes on: it is left out, it waits for the end
    of that one (at most one waits), or it takes its place and that one is ended.
    """

    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"


@dataclass
class Schedule:
    """A command that the host runs at its times for as long as this version is live, each time in a container of its
    own: of the image, the folder, the variables and the volumes of `process`, without it of the web process.
    `name` has 1 to 40 of `a-z`, `0-9` and hyphen and is the plugin's own. `cron` has five fields, or is `@hourly`,
    `@daily`, `@weekly`, `@monthly` or `@yearly`; `timezone` is a name such as "Europe/Vienna", UTC without one.
    `argv` is not empty; no shell is implied. `timeout-ms` 0 means the host's limit.
    """

    name: str
    cron: str
    timezone: str | None = None
    argv: list[str] = field(default_factory=list)
    process: str | None = None
    overlap: Overlap = Overlap.SKIP
    timeout_ms: int = 0


@dataclass
class Withheld:
    """Files of a static tree that the proxy answers with 404, though they stay in the artifact. `paths` are globs
    from the tree's root: `*` does not cross a slash, `**` does.
    """

    output: str
    paths: list[str] = field(default_factory=list)


@dataclass
class Outcome:
    """`summary` is one line for people. `outputs-json` is an object for stages that need what this one
    provides, at most 256 KiB; "" is an empty one. `skipped`: there was nothing to do, and the summary says why.
    `schedules` and `withheld` are of this version alone, and only a stage at `after-build` has any.
    """

    skipped: bool = False
    summary: str = field(kw_only=True)
    outputs_json: str = ""
    schedules: list[Schedule] = field(default_factory=list)
    withheld: list[Withheld] = field(default_factory=list)
