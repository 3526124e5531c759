# Written by sdk/javascript/scripts/contract.mjs from the WIT files. Do not edit.
"""The package `windlass:types`."""

from __future__ import annotations

from dataclasses import dataclass, field


#: Names and values, in order.
KeyValues = list[tuple[str, str]]


@dataclass(unsafe_hash=True)
class PluginError(Exception):
    """A failure on purpose (not a trap)."""

    #: stable, documented, dot-separated: "node.lockfile-missing"
    code: str
    #: what is wrong
    message: str
    #: what the person can do about it
    hint: str | None = None
    #: whether another try may help; such an answer is never kept
    retryable: bool = False


@dataclass
class Context:
    """All that a pure call may know. Nothing in it names a deployment, so answers are cached by
    (component digest, interface version, source tree digest, this record).
    """

    #: "linux/amd64"
    platform: str = "linux/amd64"
    #: path of the application inside the source, "" for the root
    app_dir: str = ""
    #: the application's settings, as JSON; the README gives the shape
    config_json: str = "{}"
    #: what was set for this plugin, or for this custom stage, as a JSON object; the plugin's manifest says
    #: what there is to set. "{}" where nothing is
    options_json: str = "{}"
    #: names only, never values
    variable_names: list[str] = field(default_factory=list)
    #: services of the environment
    services: list[Service] = field(default_factory=list)
    #: toolchain versions of the last live deployment, so that a moved default changes no app
    previous_toolchains: list[Toolchain] = field(default_factory=list)


@dataclass
class Service:
    """A service, by the name that it resolves under; `kind` is "postgres", "redis", ... or ""."""

    name: str
    kind: str
    variable_names: list[str] = field(default_factory=list)


@dataclass
class Toolchain:
    """A runtime of a language: name "node", requirement ">=20 <23", "22.11.0" or "" for the default."""

    name: str
    requirement: str = ""


@dataclass
class HealthCheck:
    """How an image says that its process is asked whether it is well, in the form of images: `test` is
    ["NONE"], ["CMD", program, argument, ...] or ["CMD-SHELL", line]; 0 stands for the usual value.
    """

    test: list[str] = field(default_factory=list)
    interval_ms: int = 0
    timeout_ms: int = 0
    start_period_ms: int = 0
    start_interval_ms: int = 0
    retries: int = 0


@dataclass
class Evidence:
    """A sign that was found: its file, and, where it helps, the key or line."""

    path: str
    detail: str = ""


@dataclass
class Detection:
    """What a detector recognised. It lives here and not in the detector's package because the later
    stages get it back: a migrator must not import the detector to name its argument.
    """

    #: stable id: "nextjs"
    id: str
    #: for people: "Next.js"
    name: str
    #: "node", "python", ...
    ecosystem: str
    #: what it needs
    toolchains: list[Toolchain] = field(default_factory=list)
    #: 0 to 100; the README of the contract says what the bands mean
    confidence: int = 0
    #: the signs
    evidence: list[Evidence] = field(default_factory=list)
    #: ids that this one is a special case of: "node"
    supersedes: list[str] = field(default_factory=list)
    #: the application's folder from the source's root, where it is not that of the context: the member of a
    #: workspace that was chosen. Migrators and health components look there
    app_dir: str | None = None
    #: the plugin's own notes for its builder; opaque to the host
    notes_json: str = ""
    #: recognised, but it cannot be built: if this detection is chosen, the deployment fails with
    #: this error, so that nothing else builds the application as something it is not
    refusal: PluginError | None = None
