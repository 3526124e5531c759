"""Makes a component of a plugin: a world of the stages that it has and the capabilities that it asks for, CPython
with the plugin's modules already imported, and the manifest.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .contract import VERSIONS
from .stages import STAGES, stages_of

_SDK = Path(__file__).parent
#: What every plugin may use without asking.
_ALWAYS = ("log", "source", "images")
_MANIFEST = "windlass-manifest"
_COMPONENT = b"\0asm\x0d\0\x01\0"
_KEYS = ("entry", "capabilities", "custom", "options_schema", "failures")
_BUILDING = ("build.py", "__main__.py", "testing.py", "mock.py", "glob.py")


class BuildError(Exception):
    """What a person can repair: shown without a trace."""


@dataclass
class Built:
    """A component that was made."""

    file: Path
    size: int
    stages: list[str]
    imports: list[str]


def build_plugin(folder: Path, out: Path | None = None) -> Built:
    """Builds the plugin in a folder. Raises `BuildError`."""
    manifest, entry = read_project(folder)
    stages = _stages(entry)
    imports = [*_ALWAYS, *_granted(manifest["capabilities"])]
    file = out or folder / "dist" / f"{manifest['name']}.wasm"
    with tempfile.TemporaryDirectory(prefix="windlass-plugin-") as name:
        work = Path(name)
        _write_world(work / "wit", stages, imports)
        _write_app(work / "app", entry)
        component = _componentize(work, entry.parent)
    whole = with_section(component, _MANIFEST, json.dumps(manifest))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(whole)
    return Built(file, len(whole), stages, imports)


def read_project(folder: Path) -> tuple[dict[str, Any], Path]:
    """The manifest of a plugin, from its pyproject.toml, and the file of its module. Raises `BuildError`."""
    file = folder / "pyproject.toml"
    if not file.is_file():
        raise BuildError(f"there is no {file}: run this in the plugin's folder")
    try:
        text = tomllib.loads(file.read_text())
    except tomllib.TOMLDecodeError as error:
        raise BuildError(f"{file} does not read: {error}") from error
    project, windlass = text.get("project", {}), text.get("tool", {}).get("windlass", {})
    unknown = next((key for key in windlass if key not in _KEYS), None)
    if unknown is not None:
        raise BuildError(f"{file}: [tool.windlass] has no key {unknown}; it has {', '.join(_KEYS)}")
    name = str(project.get("name", "")).removeprefix("windlass-plugin-")
    if not re.fullmatch(r"[a-z0-9-]{1,40}", name):
        rule = "1 to 40 lower-case letters, digits and hyphens, behind an optional windlass-plugin-"
        raise BuildError(f"{file}: the name {name!r} is not valid: use {rule}")

    def text_of(key: str, what: str) -> str:
        value = project.get(key)
        if isinstance(value, str) and value:
            return value
        raise BuildError(f"{file}: set {key} in [project]: {what}")

    manifest = {
        "name": name,
        "version": text_of("version", "the plugin's version, as 0.1.0"),
        "summary": text_of("description", "one sentence that says what the plugin does"),
        "licence": text_of("license", "an SPDX expression, as Apache-2.0"),
        "capabilities": windlass.get("capabilities", []),
        "options_schema": _schema(folder, windlass.get("options_schema")),
        "failures": _failures(folder, windlass.get("failures")),
    }
    if "custom" in windlass:
        manifest["custom"] = windlass["custom"]
    entry = folder / windlass.get("entry", "src/plugin.py")
    if not entry.is_file():
        raise BuildError(f"there is no {entry}: set entry in [tool.windlass]")
    return manifest, entry


def _schema(folder: Path, given: Any) -> str:
    """A schema of the options: a table, JSON as text, or the name of a JSON file."""
    if given is None:
        return ""
    if not isinstance(given, str):
        return json.dumps(given)
    if not given.lstrip().startswith("{"):
        return json.dumps(_read(folder / given, json.loads))
    try:
        return json.dumps(json.loads(given))
    except ValueError as error:
        raise BuildError(f"options_schema in [tool.windlass] does not read: {error}") from error


def _failures(folder: Path, given: Any) -> Any:
    """The failures that the plugin knows: written out, or the name of a TOML file of `[[failure]]`."""
    if isinstance(given, str):
        return _read(folder / given, tomllib.loads).get("failure", [])
    return given or []


def _read(file: Path, parse: Any) -> Any:
    try:
        return parse(file.read_text())
    except (OSError, ValueError) as error:
        raise BuildError(f"{file} does not read: {error}") from error


def _stages(entry: Path) -> list[str]:
    """The stages that the plugin's module has; it is imported for that."""
    sys.path.insert(0, str(entry.parent))
    try:
        spec = importlib.util.spec_from_file_location(entry.stem, entry)
        if spec is None or spec.loader is None:
            raise BuildError(f"{entry} is no Python module")
        module = importlib.util.module_from_spec(spec)
        sys.modules[entry.stem] = module
        spec.loader.exec_module(module)
        stages = [*stages_of(module)]
    except (SyntaxError, ImportError, TypeError) as error:
        raise BuildError(f"{entry} cannot be imported: {error}") from error
    finally:
        sys.path.remove(str(entry.parent))
    if not stages:
        classes = ", ".join(base.__name__ for base in STAGES.values())
        raise BuildError(f"{entry} has no stage: derive a class from one of {classes}")
    return stages


def _granted(capabilities: list[dict[str, Any]]) -> list[str]:
    """Packages that capabilities bring; some, as `secrets`, bring none."""
    names = {capability.get("name") for capability in capabilities}
    taken = ("types", *_ALWAYS, *STAGES)
    return [name for name in VERSIONS if name not in taken and name in names]


def _interface(name: str) -> str:
    return f"windlass:{name}/{name}@{VERSIONS[name]}"


def _write_world(folder: Path, stages: list[str], imports: list[str]) -> None:
    """The contract, with a world of what this plugin exports and imports."""
    shutil.copytree(_SDK / "wit" / "deps", folder / "deps")
    lines = [
        "package windlass:built;",
        "world plugin {",
        *(f"  import {_interface(name)};" for name in ("types", *imports)),
        *(f"  export {_interface(name)};" for name in stages),
        "}",
    ]
    (folder / "plugin.wit").write_text("\n".join(lines) + "\n")


def _write_app(folder: Path, entry: Path) -> None:
    """The module that the component begins with, beside the SDK without what only builds and tests."""
    ignored = shutil.ignore_patterns("wit", "__pycache__", *_BUILDING)
    shutil.copytree(_SDK, folder / _SDK.name, ignore=ignored)
    app = (
        f"import {entry.stem}\n"
        f"from {_SDK.name}.component import exports_of\n"
        f"globals().update(exports_of({entry.stem}))\n"
    )
    (folder / "windlass_app.py").write_text(app)


def _componentize(work: Path, source: Path) -> bytes:
    command = [sys.executable, "-c", "from componentize_py import script; script()", "--quiet"]
    command += ["--wit-path", "wit", "--world", "plugin", "componentize", "windlass_app"]
    command += ["--python-path", "app", "--python-path", str(source), "--output", "plugin.wasm"]
    try:
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BuildError(f"{sys.executable} could not be started: {error}") from error
    if done.returncode != 0:
        raise BuildError(f"componentize-py failed:\n{(done.stderr + done.stdout).strip()}")
    return (work / "plugin.wasm").read_bytes()


def with_section(component: bytes, name: str, text: str) -> bytes:
    """The component with one custom section more, at its end."""
    if not component.startswith(_COMPONENT):
        raise BuildError("this is no WebAssembly component")
    label = name.encode()
    body = _leb128(len(label)) + label + text.encode()
    return component + b"\0" + _leb128(len(body)) + body


def _leb128(value: int) -> bytes:
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)
