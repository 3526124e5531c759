# Written by sdk/javascript/scripts/contract.mjs from the WIT files. Do not edit.
"""A plan is data: the host validates it, shows it, hashes it, caches by it, then carries it out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from . import types


@dataclass(frozen=True)
class Base:
    """What a step starts from: an earlier step's result, an image, an image that the host chooses because it
    brings these toolchains, or nothing.
    """

    tag: str
    value: Any = None

    @classmethod
    def step(cls, value: str) -> Base:
        """The case `step`."""
        return cls("step", value)

    @classmethod
    def image(cls, value: str) -> Base:
        """The case `image`."""
        return cls("image", value)

    @classmethod
    def toolchains(cls, value: list[types.Toolchain]) -> Base:
        """The case `toolchains`."""
        return cls("toolchains", value)

    @classmethod
    def scratch(cls) -> Base:
        """The case `scratch`."""
        return cls("scratch")


Base.CASES = {"step": "str", "image": "str", "toolchains": "list[types.Toolchain]", "scratch": None}  # type: ignore[attr-defined]


class Sharing(Enum):
    """How builds that run at the same time share a cache: together, one after another, or each its own."""

    SHARED = "shared"
    LOCKED = "locked"
    PRIVATE = "private"


@dataclass
class CacheMount:
    """A folder of the project that outlives the build, at the absolute path `target`."""

    id: str
    target: str
    sharing: Sharing = Sharing.LOCKED


@dataclass
class BindMount:
    """The source (`from-step` "") or another step's result at an absolute path. What is written to it is thrown
    away, where it may be written at all.
    """

    from_step: str = ""
    path: str = ""
    target: str = field(kw_only=True)
    writable: bool = False


@dataclass
class SecretMount:
    """A variable's value as a file, or in the command's environment; `mode` is the file's. `owner` is the file's user and group, root's without it."""

    name: str
    target: str | None = None
    env: str | None = None
    mode: int = 256
    owner: tuple[int, int] | None = None
    required: bool = False


@dataclass
class TmpfsMount:
    """An empty folder in memory."""

    target: str
    bytes_max: int | None = None


@dataclass(frozen=True)
class Mount:
    """What a command sees beside the step's files."""

    tag: str
    value: Any = None

    @classmethod
    def cache(cls, value: CacheMount) -> Mount:
        """The case `cache`."""
        return cls("cache", value)

    @classmethod
    def bind(cls, value: BindMount) -> Mount:
        """The case `bind`."""
        return cls("bind", value)

    @classmethod
    def secret(cls, value: SecretMount) -> Mount:
        """The case `secret`."""
        return cls("secret", value)

    @classmethod
    def tmpfs(cls, value: TmpfsMount) -> Mount:
        """The case `tmpfs`."""
        return cls("tmpfs", value)


Mount.CASES = {"cache": "CacheMount", "bind": "BindMount", "secret": "SecretMount", "tmpfs": "TmpfsMount"}  # type: ignore[attr-defined]


@dataclass
class Run:
    """A command; no shell is implied. It has the network only where it says so. Folder and user are the step's
    where it names none; `timeout-ms` is at most the host's limit.
    """

    argv: list[str] = field(default_factory=list)
    env: types.KeyValues = field(default_factory=list)
    cwd: str | None = None
    user: str | None = None
    network: bool = False
    mounts: list[Mount] = field(default_factory=list)
    timeout_ms: int | None = None


@dataclass(frozen=True)
class Origin:
    """Where files come from."""

    tag: str
    value: Any = None

    @classmethod
    def source(cls) -> Origin:
        """The case `source`."""
        return cls("source")

    @classmethod
    def step(cls, value: str) -> Origin:
        """The case `step`."""
        return cls("step", value)

    @classmethod
    def image(cls, value: str) -> Origin:
        """The case `image`."""
        return cls("image", value)


Origin.CASES = {"source": None, "step": "str", "image": "str"}  # type: ignore[attr-defined]


@dataclass
class CopyFiles:
    """A copy by globs. Declared paths are what the step's key is made of. `dest` is a folder if it ends in `/`
    or several files match; with `parents` each match keeps its path below it.
    """

    origin: Origin = field(default_factory=lambda: Origin("source"))
    sources: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)
    dest: str = field(kw_only=True)
    chown: str | None = None
    chmod: str | None = None
    parents: bool = False


@dataclass
class WriteFile:
    """A file that the plan itself brings, at an absolute path."""

    path: str
    content: bytes = b""
    mode: int = 420
    chown: str | None = None


@dataclass
class Fetch:
    """A file that the host downloads, over HTTP or HTTPS; refused where the digest is another."""

    url: str
    sha256: str | None = None
    dest: str = field(kw_only=True)
    chown: str | None = None
    chmod: str | None = None


@dataclass
class Extract:
    """An archive that is unpacked into a folder."""

    origin: Origin = field(default_factory=lambda: Origin("source"))
    archive: str = field(kw_only=True)
    dest: str = field(kw_only=True)


@dataclass
class InlineFile:
    """A file of the plan, by the name that it has where the destination is a folder."""

    name: str
    content: bytes = b""
    mode: int = 420


@dataclass
class Download:
    """A file that the host downloads, by the name that it has where the destination is a folder."""

    url: str
    sha256: str | None = None
    name: str = field(kw_only=True)


@dataclass(frozen=True)
class Placed:
    """Where placed files come from."""

    tag: str
    value: Any = None

    @classmethod
    def source(cls) -> Placed:
        """The case `source`."""
        return cls("source")

    @classmethod
    def step(cls, value: str) -> Placed:
        """The case `step`."""
        return cls("step", value)

    @classmethod
    def image(cls, value: str) -> Placed:
        """The case `image`."""
        return cls("image", value)

    @classmethod
    def inline(cls, value: list[InlineFile]) -> Placed:
        """The case `inline`."""
        return cls("inline", value)

    @classmethod
    def download(cls, value: Download) -> Placed:
        """The case `download`."""
        return cls("download", value)


Placed.CASES = {"source": None, "step": "str", "image": "str", "inline": "list[InlineFile]", "download": "Download"}  # type: ignore[attr-defined]


@dataclass
class Place:
    """A copy by the rules of container build files, see the README. `ignore` is an ignore file's content,
    against paths of the source; `exclude` is against paths below each of `paths`.
    """

    origin: Placed = field(default_factory=lambda: Placed("source"))
    paths: list[str] = field(default_factory=list)
    ignore: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)
    dest: str = field(kw_only=True)
    chown: str | None = None
    chmod: str | None = None
    parents: bool = False
    link: bool = False
    unpack: bool = False


@dataclass
class MakeDir:
    """A directory with its parents; what is there stays as it is."""

    path: str
    chown: str | None = None


@dataclass(frozen=True)
class Op:
    """One operation of a step."""

    tag: str
    value: Any = None

    @classmethod
    def run(cls, value: Run) -> Op:
        """The case `run`."""
        return cls("run", value)

    @classmethod
    def copy(cls, value: CopyFiles) -> Op:
        """The case `copy`."""
        return cls("copy", value)

    @classmethod
    def write_file(cls, value: WriteFile) -> Op:
        """The case `write-file`."""
        return cls("write-file", value)

    @classmethod
    def fetch(cls, value: Fetch) -> Op:
        """The case `fetch`."""
        return cls("fetch", value)

    @classmethod
    def extract(cls, value: Extract) -> Op:
        """The case `extract`."""
        return cls("extract", value)

    @classmethod
    def place(cls, value: Place) -> Op:
        """The case `place`."""
        return cls("place", value)

    @classmethod
    def make_dir(cls, value: MakeDir) -> Op:
        """The case `make-dir`."""
        return cls("make-dir", value)


Op.CASES = {"run": "Run", "copy": "CopyFiles", "write-file": "WriteFile", "fetch": "Fetch", "extract": "Extract", "place": "Place", "make-dir": "MakeDir"}  # type: ignore[attr-defined]


@dataclass
class Step:
    """A node of the build graph: its operations in order, on top of its base. Its result is kept, and looked up
    while nothing of what it declares changes. `id` is the plan's own, `name` is for people; `cwd` and `user`
    are those of its commands, "" is root.
    """

    id: str
    name: str
    base: Base
    env: types.KeyValues = field(default_factory=list)
    cwd: str = "/app"
    user: str = ""
    ops: list[Op] = field(default_factory=list)


@dataclass
class RunConfig:
    """How a process of an image is run, in the form of images."""

    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)
    env: types.KeyValues = field(default_factory=list)
    user: str = ""
    cwd: str = "/app"
    exposed: list[int] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    labels: types.KeyValues = field(default_factory=list)
    stop_signal: str | None = None
    #: every port as images name it: "53/udp"; `exposed` are those that the host may use
    ports: list[str] = field(default_factory=list)
    shell: list[str] = field(default_factory=list)
    onbuild: list[str] = field(default_factory=list)
    health: types.HealthCheck | None = None
    author: str | None = None
    #: it is whole: nothing is completed from the image at the bottom
    whole: bool = False


@dataclass
class ImageOutput:
    """A step's result as an image."""

    step: str
    config: RunConfig


@dataclass
class StaticOutput:
    """A folder of a step's result that the proxy serves. `spa-fallback` answers paths that are not there,
    `not-found` is what they get with status 404.
    """

    step: str
    root: str
    spa_fallback: str | None = None
    not_found: str | None = None


@dataclass(frozen=True)
class Artifact:
    """What an output is."""

    tag: str
    value: Any = None

    @classmethod
    def image(cls, value: ImageOutput) -> Artifact:
        """The case `image`."""
        return cls("image", value)

    @classmethod
    def static_tree(cls, value: StaticOutput) -> Artifact:
        """The case `static-tree`."""
        return cls("static-tree", value)


Artifact.CASES = {"image": "ImageOutput", "static-tree": "StaticOutput"}  # type: ignore[attr-defined]


@dataclass
class Output:
    """A named result of a plan: "app", "site", "migrate"."""

    name: str
    artifact: Artifact


class ProcessKind(Enum):
    """A web process listens on `PORT` and gets requests."""

    WEB = "web"
    WORKER = "worker"


@dataclass
class Process:
    """What a deployment runs. Without `argv` it is the output's own command; the first of `ports` becomes `PORT`."""

    name: str
    output: str
    kind: ProcessKind = ProcessKind.WEB
    argv: list[str] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)


@dataclass
class BuildPlan:
    """Steps refer to earlier ones only. A plan without processes serves its static tree. `toolchains` are those
    that were used, for the next deployment's `previous-toolchains`.
    """

    steps: list[Step] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    toolchains: list[types.Toolchain] = field(default_factory=list)
