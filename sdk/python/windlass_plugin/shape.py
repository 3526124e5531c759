"""Values against the contract: what a value of the wrong shape is, and where, is said before the engine sees it."""

from __future__ import annotations

import importlib
import types as kinds
import typing
from dataclasses import is_dataclass
from enum import Enum
from functools import cache
from typing import Any

from . import contract


class ShapeError(TypeError):
    """A value that is not of the contract's shape: the plugin's fault."""


def module_of(package: str) -> Any:
    """The module of a package of the contract."""
    return importlib.import_module(f"{contract.__name__}.{package}")


@cache
def modules() -> dict[str, Any]:
    """All modules of the contract, by their packages' names."""
    return {name: module_of(name) for name in contract.VERSIONS}


@cache
def result_of(function: str) -> Any:
    """The type that a function gives, as in `result_of("detector.detect")`."""
    return eval(contract.RESULTS[function], dict(modules()))  # noqa: S307 - the text is the contract's own


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


@cache
def _case(cls: type, tag: str) -> Any:
    """The type of what a variant's case carries; `None` for a case that carries nothing."""
    hint = cls.CASES[tag]  # type: ignore[attr-defined]
    module = importlib.import_module(cls.__module__)
    return None if hint is None else eval(hint, vars(module))  # noqa: S307


def check(hint: Any, value: Any, path: str) -> None:
    """Raises a `ShapeError` with the path of the first value that is not as the contract has it."""
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if hint is None or hint is type(None):
        _require(value is None, path, "nothing", value)
    elif origin in (typing.Union, kinds.UnionType):
        if value is not None:
            check(next(one for one in arguments if one is not type(None)), value, path)
    elif origin is list:
        _require(isinstance(value, list), path, "a list", value)
        for index, one in enumerate(value):
            check(arguments[0], one, f"{path}[{index}]")
    elif origin is tuple:
        fits = isinstance(value, tuple) and len(value) == len(arguments)
        _require(fits, path, f"a tuple of {len(arguments)}", value)
        for index, (one, kind) in enumerate(zip(value, arguments, strict=True)):
            check(kind, one, f"{path}[{index}]")
    elif hint is int:
        _require(isinstance(value, int) and not isinstance(value, bool), path, "a whole number", value)
    else:
        _require(isinstance(value, hint), path, hint.__name__, value)
        if hasattr(hint, "CASES"):
            _require(value.tag in hint.CASES, path, f"one of {', '.join(hint.CASES)}", value.tag)
            check(_case(hint, value.tag), value.value, f"{path}.{value.tag}")
        elif isinstance(hint, type) and is_dataclass(hint):
            for name, kind in _hints(hint).items():
                check(kind, getattr(value, name), f"{path}.{name}")


def _require(fits: bool, path: str, expected: str, value: Any) -> None:
    if not fits:
        found = f"{value}" if isinstance(value, (str, int, Enum)) else f"a {type(value).__name__}"
        raise ShapeError(f"{path}: expected {expected}, found {found}")
