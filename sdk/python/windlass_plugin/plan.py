"""Short ways to write a plan: operations, mounts, and a builder that puts them together.

Further fields of a record are given by name: `run(["make"], network=True)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .contract.builder import (
    Artifact,
    Base,
    BindMount,
    BuildPlan,
    CacheMount,
    CopyFiles,
    Download,
    Extract,
    Fetch,
    ImageOutput,
    InlineFile,
    MakeDir,
    Mount,
    Op,
    Origin,
    Output,
    Place,
    Placed,
    Process,
    ProcessKind,
    Run,
    RunConfig,
    SecretMount,
    Sharing,
    StaticOutput,
    Step,
    TmpfsMount,
    WriteFile,
)
from .contract.types import HealthCheck, Toolchain

__all__ = [
    "Base", "BuildPlan", "Download", "HealthCheck", "InlineFile", "Mount", "Op", "Origin", "Placed", "Plan",
    "Process", "ProcessKind", "RunConfig", "Sharing", "Step", "bind", "cache", "copy", "copy_from",
    "extract", "fetch", "key_values", "make_dir", "place", "run", "secret", "shell", "tmpfs", "toolchains",
    "write_file",
]  # fmt: skip


def toolchains(versions: Mapping[str, str]) -> list[Toolchain]:
    """Toolchains as a list: `{"node": ">=20"}`; `""` is the default version."""
    return [Toolchain(name, requirement) for name, requirement in versions.items()]


def key_values(table: Mapping[str, str] | Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Names and values as the contract has them."""
    return [*(table.items() if isinstance(table, Mapping) else table)]


def _with_env(options: dict[str, Any]) -> dict[str, Any]:
    return {**options, "env": key_values(options["env"])} if "env" in options else options


def run(argv: Iterable[str], **options: Any) -> Op:
    """A command; no shell is implied, no network, no mounts."""
    return Op.run(Run([*argv], **_with_env(options)))


def shell(line: str, **options: Any) -> Op:
    """A line for `/bin/sh -c`, for commands that people wrote."""
    return run(["/bin/sh", "-c", line], **options)


def copy(sources: Iterable[str], dest: str, **options: Any) -> Op:
    """A copy from the source: globs relative to the application's folder."""
    return Op.copy(CopyFiles(sources=[*sources], dest=dest, **options))


def copy_from(step: str, sources: Iterable[str], dest: str, **options: Any) -> Op:
    """A copy from the result of another step."""
    return copy(sources, dest, origin=Origin.step(step), **options)


def write_file(path: str, content: bytes | str, **options: Any) -> Op:
    """A file with this content."""
    content = content.encode() if isinstance(content, str) else content
    return Op.write_file(WriteFile(path=path, content=content, **options))


def fetch(url: str, dest: str, **options: Any) -> Op:
    """A download to `dest`."""
    return Op.fetch(Fetch(url=url, dest=dest, **options))


def extract(archive: str, dest: str, **options: Any) -> Op:
    """Unpacks an archive of the source, or of `origin`."""
    return Op.extract(Extract(archive=archive, dest=dest, **options))


def place(paths: Iterable[str], dest: str, **options: Any) -> Op:
    """A copy by the rules of container build files."""
    return Op.place(Place(paths=[*paths], dest=dest, **options))


def make_dir(path: str, **options: Any) -> Op:
    """A directory with its parents."""
    return Op.make_dir(MakeDir(path=path, **options))


def cache(id: str, target: str, **options: Any) -> Mount:
    """A cache of the project at this absolute path; used by one build at a time."""
    return Mount.cache(CacheMount(id=id, target=target, **options))


def bind(target: str, **options: Any) -> Mount:
    """The source, or with `from_step` another step's result, read only."""
    return Mount.bind(BindMount(target=target, **options))


def secret(name: str, **options: Any) -> Mount:
    """A secret variable, as a file (`target`) or in the environment (`env`)."""
    return Mount.secret(SecretMount(name=name, **options))


def tmpfs(target: str, **options: Any) -> Mount:
    """Memory that is gone with the command."""
    return Mount.tmpfs(TmpfsMount(target=target, **options))


class Plan(BuildPlan):
    """A plan, put together piece by piece. A stage may return it as it is."""

    def step(self, id: str, name: str, base: Base, ops: Iterable[Op], **options: Any) -> Plan:
        """One step more: its operations are done in order, in `/app`, as root, unless options say otherwise."""
        self.steps.append(Step(id=id, name=name, base=base, ops=[*ops], **_with_env(options)))
        return self

    def image(self, name: str, step: str, **config: Any) -> Plan:
        """An output that is an image: the result of a step, with its configuration."""
        artifact = Artifact.image(ImageOutput(step, RunConfig(**_with_env(config))))
        self.outputs.append(Output(name, artifact))
        return self

    def static_tree(self, name: str, step: str, root: str, **options: Any) -> Plan:
        """An output that is files: the folder `root` in the result of a step."""
        self.outputs.append(Output(name, Artifact.static_tree(StaticOutput(step, root, **options))))
        return self

    def web(self, name: str, output: str, argv: Iterable[str], ports: Iterable[int] = ()) -> Plan:
        """A process that answers requests, on these ports; none is the one that the host tells it in PORT."""
        self.processes.append(Process(name, output, ProcessKind.WEB, [*argv], [*ports]))
        return self

    def worker(self, name: str, output: str, argv: Iterable[str]) -> Plan:
        """A process that does not."""
        self.processes.append(Process(name, output, ProcessKind.WORKER, [*argv]))
        return self

    def uses(self, versions: Mapping[str, str]) -> Plan:
        """The versions that were chosen, so that the next deployment keeps to them."""
        self.toolchains.extend(toolchains(versions))
        return self
