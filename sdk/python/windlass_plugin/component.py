"""The inside of a component. What `windlass_plugin build` writes imports this; plugins do not.

Values cross between the contract's classes of this SDK and those that componentize-py makes for one
component: they have the same names, in modules of the same names.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from dataclasses import fields, is_dataclass
from enum import Enum
from types import ModuleType
from typing import Any

from . import log, shape
from .contract.types import PluginError
from .host import HostError, set_host
from .stages import FUNCTIONS, STAGES, call_stage, stages_of

_ours = shape.modules()
_theirs: dict[str, Any] = {}


def _pascal(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("-"))


def lower(value: Any) -> Any:
    """A value of this SDK as the component's."""
    if isinstance(value, (list, tuple)):
        return type(value)(lower(one) for one in value)
    if isinstance(value, Enum):
        return getattr(_their(value), type(value).__name__)[value.name]
    if hasattr(type(value), "CASES"):
        case = getattr(_their(value), f"{type(value).__name__}_{_pascal(value.tag)}")
        return case() if type(value).CASES[value.tag] is None else case(lower(value.value))
    if is_dataclass(value):
        cls = next(one for one in inspect.getmro(type(value)) if one.__module__ in _modules)
        given = {field.name: lower(getattr(value, field.name)) for field in fields(value)}
        return getattr(_theirs[_modules[cls.__module__]], cls.__name__)(**given)
    return value


_modules = {module.__name__: package for package, module in _ours.items()}


def _their(value: Any) -> Any:
    return _theirs[_modules[type(value).__module__]]


def lift(value: Any) -> Any:
    """A value of the component as this SDK's."""
    if isinstance(value, (list, tuple)):
        return type(value)(lift(one) for one in value)
    module = type(value).__module__.split(".")
    if module[0] == "componentize_py_types":
        value.__dict__["value"] = lift(value.value)
        return value
    if module[0] != "wit_world":
        return value
    ours = _ours[module[-1]]
    name, _, case = type(value).__name__.partition("_")
    cls: Any = getattr(ours, name, None)
    if isinstance(value, Enum):
        return cls[value.name]
    if case:
        tag = next(tag for tag in cls.CASES if _pascal(tag) == case)
        return cls(tag, lift(value.value) if cls.CASES[tag] is not None else None)
    if not is_dataclass(value):
        return _Resource(value)
    return cls(**{field.name: lift(getattr(value, field.name)) for field in fields(value)})


class _Resource:
    """Something of the host whose methods are called."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        return lambda *arguments: lift(method(*map(lower, arguments)))


class _Imports:
    """The host, over the component's imports."""

    def call(self, package: str, function: str, arguments: tuple[Any, ...]) -> Any:
        name = f"{package}.{function.replace('_', '-')}"
        if package not in _theirs:
            why = f'it is not imported: add the capability "{package}" to the plugin\'s manifest'
            raise HostError(name, "denied", why)
        try:
            return lift(getattr(_theirs[package], function)(*map(lower, arguments)))
        except Exception as error:
            refused = lift(getattr(error, "value", None))
            if isinstance(refused, Enum):
                raise HostError(name, refused.value) from None
            if hasattr(refused, "reason"):
                raise HostError(name, refused.reason.value, refused.message) from None
            raise


def exports_of(plugin: ModuleType) -> dict[str, type]:
    """The classes that a component exports, by their names."""
    from componentize_py_types import Err  # type: ignore[import-not-found]

    world = importlib.import_module("wit_world")
    for side in ("imports", "exports"):
        for package in _ours:
            try:
                _theirs[package] = importlib.import_module(f"{world.__name__}.{side}.{package}")
            except ModuleNotFoundError:
                continue
    set_host(_Imports())
    stages = stages_of(plugin)
    return {STAGES[name].__name__: _exported(stage, name, Err) for name, stage in stages.items()}


def _exported(stage: Any, name: str, err: Any) -> type:
    def guarded(function: str) -> Any:
        def method(_self: Any, *arguments: Any) -> Any:
            try:
                return lower(call_stage(stage, name, function, tuple(map(lift, arguments))))
            except PluginError as error:
                raise err(lower(error)) from None
            except BaseException:
                log.error(f"{name}.{function} failed:\n{traceback.format_exc()}")
                sys.stderr.flush()
                raise

        return method

    base = getattr(importlib.import_module("wit_world.exports"), STAGES[name].__name__)
    methods = {function: guarded(function) for function in FUNCTIONS[name]}
    return type(STAGES[name].__name__, (base,), methods)
