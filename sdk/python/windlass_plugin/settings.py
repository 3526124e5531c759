"""What a plugin is told beside the source: the application's settings and the plugin's options."""

from __future__ import annotations

import json
import typing
from dataclasses import dataclass, field
from typing import Any

from .contract.types import Context, PluginError

_HINT = "compare windlass.toml with the documentation of its tables"


@dataclass
class Build:
    """`[build]`"""

    #: Overrides detection: the id that must be chosen.
    framework: str | None = None
    #: Command line that installs dependencies.
    install: str | None = None
    #: Command line that builds.
    command: str | None = None
    #: Folder of the static tree that the build leaves, relative to the application.
    output: str | None = None
    #: Versions by toolchain: `{"node": "22"}`.
    toolchain: dict[str, str] = field(default_factory=dict)
    #: File that says how the image is built, relative to the application.
    dockerfile: str | None = None
    #: The part of the source that is built.
    target: str | None = None
    #: Values of its arguments.
    args: dict[str, str] = field(default_factory=dict)


@dataclass
class Run:
    """`[run]`"""

    #: Command line of the web process.
    command: str | None = None
    #: Port of the web process.
    port: int | None = None
    #: Other processes by name: `{"worker": {"command": "..."}}`.
    processes: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Where the environment's volumes are mounted.
    volumes: list[str] = field(default_factory=list)


@dataclass
class Migrate:
    """`[migrate]`, or `migrate = false`."""

    #: Run none.
    off: bool = False
    #: This command line.
    command: str | None = None


@dataclass
class Health:
    """`[health]`"""

    #: Path to probe.
    path: str | None = None
    #: Statuses that pass: `200-299`, `200,204,301-302`.
    status: str | None = None
    #: Budget of the whole check: `300s`, `5m`, `500ms`.
    timeout: str | None = None


@dataclass
class Settings:
    """The tables of `windlass.toml` that concern plugins."""

    build: Build = field(default_factory=Build)
    run: Run = field(default_factory=Run)
    migrate: Migrate = field(default_factory=Migrate)
    health: Health = field(default_factory=Health)


def settings(ctx: Context) -> Settings:
    """The settings in a context. Keys that are not known are ignored, for a newer host.

    Raises `PluginError` with the code `settings.invalid` if the JSON is not of the documented shape.
    """
    given = _parsed(ctx.config_json, "settings", _HINT)
    return Settings(
        build=_table("build", Build, given.get("build")),
        run=_table("run", Run, given.get("run")),
        migrate=_migrate(given.get("migrate")),
        health=_table("health", Health, given.get("health")),
    )


def options(ctx: Context) -> dict[str, Any]:
    """What was set for this plugin, or for this custom stage.

    Raises `PluginError` with the code `options.invalid` if it is no table.
    """
    hint = "compare them with what `windlass plugin show` says there is to set"
    return _parsed(ctx.options_json, "options", hint)


def _parsed(text: str, what: str, hint: str) -> dict[str, Any]:
    try:
        value = json.loads(text.strip() or "{}")
    except ValueError as error:
        message = f"the {what} do not read: {error}"
        raise PluginError(f"{what}.invalid", message, hint=hint) from error
    if not isinstance(value, dict):
        raise PluginError(f"{what}.invalid", f"the {what} do not read: they are no table", hint=hint)
    return value


def _table(name: str, cls: type, given: Any) -> Any:
    if given is None:
        return cls()
    if not isinstance(given, dict):
        raise _bad(name, "table")
    read = {}
    for key, hint in typing.get_type_hints(cls).items():
        value = given.get(key)
        if value is None:
            continue
        kind = next(one for one in (typing.get_args(hint) or (hint,)) if one is not type(None))
        kind = typing.get_origin(hint) if typing.get_origin(hint) in (dict, list) else kind
        if not isinstance(value, kind) or isinstance(value, bool):
            raise _bad(f"{name}.{key}", kind.__name__)
        read[key] = value
    return cls(**read)


def _bad(key: str, expected: str) -> PluginError:
    message = f"the settings do not read: {key} is no {expected}"
    return PluginError("settings.invalid", message, hint=_HINT)


def _migrate(given: Any) -> Migrate:
    command = given.get("command") if isinstance(given, dict) else given
    if command is False:
        return Migrate(off=True)
    return Migrate(command=command if isinstance(command, str) else None)
