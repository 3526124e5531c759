"""Runs a plugin's logic on a folder, natively: the same code as in the component, without WebAssembly, with the
host's rules for reading the source and the contract's for answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from .contract.builder import BuildPlan
from .contract.custom import Facts, Input, Outcome
from .contract.detector import Report
from .contract.exec import Exit
from .contract.health import Observation, Policy, Process, Verdict
from .contract.http import Response
from .contract.images import ImageConfig
from .contract.log import Level
from .contract.migrator import Migration
from .contract.rollout import Decision, State
from .contract.types import Context, Detection, PluginError
from .host import HostError, set_host
from .mock import Answers, Done, MockHost
from .source import Source
from .stages import call_stage, stages_of

__all__ = ["Done", "Harness", "HostError", "Ran", "answered", "ended"]

T = TypeVar("T")


@dataclass
class Ran:
    """What a custom stage returned, and what it has done."""

    outcome: Outcome
    done: Done


class Harness:
    """A folder and what a plugin is told with it. `plugin` is always the plugin's module."""

    def __init__(
        self,
        folder: str | PathLike[str],
        *,
        app_dir: str = "",
        settings: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        variables: Iterable[str] = (),
        images: Mapping[str, ImageConfig] | None = None,
        commands: Iterable[tuple[list[str], Exit | Exception]] = (),
        requests: Iterable[tuple[str, str, Response | Exception]] = (),
        cached: Mapping[str, bytes] | None = None,
        denied: Iterable[str] = (),
    ) -> None:
        """A harness for a folder.

        `settings` and `options` have the documented shapes; `variables` are names. `commands` are answered by
        the beginning of their line, see `ended`; `requests` by method and the beginning of their URL, see
        `answered`; a `HostError` is raised. `cached` is what the plugin's cache holds; `denied` are
        capabilities that were not granted.
        """
        self._folder = Path(folder)
        self._answers = Answers(
            images=dict(images or {}),
            commands=[*commands],
            requests=[*requests],
            cached=dict(cached or {}),
            denied=frozenset(denied),
        )
        #: What the plugin is told; change it at will.
        self.context = Context(
            app_dir=app_dir,
            config_json=json.dumps(settings or {}),
            options_json=json.dumps(options or {}),
            variable_names=[*variables],
        )
        #: Lines that the last call wrote.
        self.log: list[tuple[Level, str]] = []

    def detect(self, plugin: ModuleType) -> Report:
        """What the detector reports."""
        report: Report = self._call(plugin, "detector", "detect", self.context)
        return report

    def plan(self, plugin: ModuleType, chosen: Detection) -> BuildPlan:
        """What the builder plans."""
        plan: BuildPlan = self._call(plugin, "builder", "plan", self.context, chosen)
        return plan

    def detect_and_plan(self, plugin: ModuleType) -> tuple[Detection, BuildPlan]:
        """The strongest detection and the plan for it.

        Raises `PluginError` with the code `test.nothing-detected` if nothing was.
        """
        detections = self.detect(plugin).detections
        if not detections:
            raise PluginError("test.nothing-detected", "no detection was returned")
        chosen = max(detections, key=lambda one: one.confidence)
        return chosen, self.plan(plugin, chosen)

    def migrations(self, plugin: ModuleType, chosen: Detection, outputs: list[str]) -> list[Migration]:
        """What the migrator finds; `outputs` are names of the plan's outputs."""
        found: list[Migration] = self._call(plugin, "migrator", "plan", self.context, chosen, outputs)
        return found

    def policy(self, plugin: ModuleType, chosen: Detection, processes: list[Process]) -> Policy:
        """The health policy for processes."""
        policy: Policy = self._call(plugin, "health", "policy_for", self.context, chosen, processes)
        return policy

    def judge(self, plugin: ModuleType, policy: Policy, seen: list[Observation]) -> Verdict:
        """The verdict over what was seen."""
        verdict: Verdict = self._call(plugin, "health", "judge", self.context, policy, seen)
        return verdict

    def next(self, plugin: ModuleType, state: State) -> Decision:
        """What the rollout does next."""
        decision: Decision = self._call(plugin, "rollout", "next", self.context, state)
        return decision

    def custom(
        self, plugin: ModuleType, stage: str, facts: Facts | None = None, inputs: Iterable[Input] = ()
    ) -> Ran:
        """Runs a custom stage; `Facts()` is a deployment of which nothing is known."""
        arguments = (stage, self.context, facts or Facts(), [*inputs])
        work = lambda: self._answer(plugin, "custom", "run", arguments)  # noqa: E731
        return Ran(*self._calls(work))

    def run(self, work: Callable[[Source], T]) -> T:
        """Runs anything that reads a source on the folder, or uses what a plugin may use."""
        return self._calls(lambda: work(Source.of(self.context)))[0]

    def _call(self, plugin: ModuleType, stage: str, function: str, *arguments: Any) -> Any:
        return self._calls(lambda: self._answer(plugin, stage, function, arguments))[0]

    def _answer(self, plugin: ModuleType, stage: str, function: str, arguments: tuple[Any, ...]) -> Any:
        stages = stages_of(plugin)
        if stage not in stages:
            raise TypeError(f"{plugin.__name__} has no {stage}")
        return call_stage(stages[stage], stage, function, arguments)

    def _calls(self, work: Callable[[], T]) -> tuple[T, Done]:
        host = MockHost(self._folder, self._answers)
        before = set_host(host)
        try:
            return work(), host.done
        finally:
            set_host(before)
            self.log = host.done.log


def ended(code: int, stdout: str = "") -> Exit:
    """The answer of a command that ended with this status and wrote this to standard output."""
    tail = stdout.encode()
    return Exit(
        code=code,
        timed_out=False,
        out_of_memory=False,
        took_ms=1,
        stdout_tail=tail,
        stderr_tail=b"",
        stdout_bytes=len(tail),
        stderr_bytes=0,
    )


def answered(status: int, body: bytes | str = b"", url: str = "") -> Response:
    """The answer of a server with this status and body."""
    content = body.encode() if isinstance(body, str) else body
    return Response(status=status, url=url, headers=[], body=content)
