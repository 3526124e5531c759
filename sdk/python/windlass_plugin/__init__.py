"""Write Windlass plugins in Python.

A plugin is a module with a class for each stage it fills, derived from `Detector`, `Builder`, `Migrator`,
`Health`, `Rollout` or `Custom`. `python -m windlass_plugin build` makes a component of it;
`windlass_plugin.testing` runs it without one.

Everything is imported when the component is built: inside there is no file to import from later.
"""

from . import annotations, artifacts, cache, exec, health, http, images, log, plan
from .answer import done, inputs_of, near_miss, notes, notes_of, skipped
from .contract.custom import Schedule, Withheld
from .contract.detector import NearMiss, Report
from .contract.migrator import Migration
from .contract.migrator import Verdict as MigrationVerdict
from .contract.types import (
    Context,
    Detection,
    Evidence,
    HealthCheck,
    PluginError,
    Service,
    Toolchain,
)
from .host import HostError
from .settings import Settings, options, settings
from .source import Source
from .stages import Builder, Custom, Detector, Health, Migrator, Rollout

__all__ = [
    "Builder",
    "Context",
    "Custom",
    "Detection",
    "Detector",
    "Evidence",
    "Health",
    "HealthCheck",
    "HostError",
    "Migration",
    "MigrationVerdict",
    "Migrator",
    "NearMiss",
    "PluginError",
    "Report",
    "Rollout",
    "Schedule",
    "Service",
    "Settings",
    "Source",
    "Toolchain",
    "Withheld",
    "annotations",
    "artifacts",
    "cache",
    "done",
    "exec",
    "health",
    "http",
    "images",
    "inputs_of",
    "log",
    "near_miss",
    "notes",
    "notes_of",
    "options",
    "plan",
    "settings",
    "skipped",
]
