"""The stages: a class each. A plugin's module has one that derives from each stage that it fills."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from types import ModuleType
from typing import Any

from .answer import report_of
from .contract.builder import BuildPlan
from .contract.custom import Facts, Input, Outcome
from .contract.detector import Report
from .contract.health import Observation, Policy, Process, Verdict
from .contract.migrator import Migration
from .contract.rollout import Decision, State
from .contract.types import Context, Detection
from .health import default_judge, default_policy
from .shape import check, result_of
from .source import Source


class Detector(ABC):
    """What is this application?"""

    @abstractmethod
    def detect(self, ctx: Context, source: Source) -> Report | Detection | list[Detection] | None:
        """Looks at the source and says what it is, how sure that is, and what it nearly is.

        A `PluginError` fails the deployment: raise one only for a source that is broken in a way that must
        be repaired first, and give a detection a `refusal` for what is known and not supported.
        """


class Builder(ABC):
    """How is it built?"""

    @abstractmethod
    def plan(self, ctx: Context, source: Source, chosen: Detection) -> BuildPlan:
        """The plan for what this plugin detected. Raises `PluginError` that says what is missing, with a hint."""


class Migrator(ABC):
    """How is its database migrated?"""

    @abstractmethod
    def plan(
        self, ctx: Context, source: Source, chosen: Detection, outputs: list[str]
    ) -> list[Migration]:
        """The migrations that were found, each with the verdict to run it or leave it.

        `outputs` are the names of the plan's outputs. A `PluginError` fails the deployment before anything
        was migrated.
        """


class Health:
    """When is it healthy? Both functions have a default: `windlass_plugin.health`."""

    def policy_for(
        self, ctx: Context, source: Source, chosen: Detection, processes: list[Process]
    ) -> Policy:
        """What to probe and how often."""
        return default_policy(ctx, processes)

    def judge(self, ctx: Context, policy: Policy, seen: list[Observation]) -> Verdict:
        """The verdict over all that was seen so far, oldest first. There is no source to look at."""
        return default_judge(policy, seen)


class Rollout(ABC):
    """How is traffic moved?"""

    @abstractmethod
    def next(self, ctx: Context, state: State) -> Decision:
        """What to do next, from what the two versions show. A `PluginError` aborts the rollout."""


class Custom(ABC):
    """Anything else, at a hook of the pipeline. Not pure: it may hold grants."""

    @abstractmethod
    def run(
        self, stage: str, ctx: Context, source: Source, facts: Facts, inputs: list[Input]
    ) -> Outcome:
        """Runs one of the stages that the manifest declares, at the hook that the facts say.

        `inputs` are the answers of the stages that it needs. It may be run again for the same deployment. A
        `PluginError` that is `retryable` is tried again where the stage runs in the background.
        """


STAGES: dict[str, type] = {
    "detector": Detector,
    "builder": Builder,
    "migrator": Migrator,
    "health": Health,
    "rollout": Rollout,
    "custom": Custom,
}


def stages_of(plugin: ModuleType) -> dict[str, Any]:
    """The stages of a plugin's module, by name: an instance of the class that derives from each.

    Raises `TypeError` where two classes claim one stage.
    """
    found: dict[str, Any] = {}
    own = [cls for cls in vars(plugin).values() if inspect.isclass(cls) and not inspect.isabstract(cls)]
    instances = {cls: cls() for cls in own if issubclass(cls, tuple(STAGES.values()))}
    for name, base in STAGES.items():
        classes = [cls for cls in instances if issubclass(cls, base) and cls is not base]
        if len(classes) > 1:
            named = " and ".join(cls.__name__ for cls in classes)
            raise TypeError(f"{named} both derive from {base.__name__}: one of them is the plugin's {name}")
        for cls in classes:
            found[name] = instances[cls]
    return found


def call_stage(stage: Any, name: str, function: str, arguments: tuple[Any, ...]) -> Any:
    """Calls a function of a stage with values of the contract, and checks what it returns."""
    answer = _CALLS[name, function](stage, *arguments)
    check(result_of(f"{name}.{function.replace('_', '-')}"), answer, f"{name}.{function}")
    return answer


_CALLS: dict[tuple[str, str], Any] = {
    ("detector", "detect"): lambda stage, ctx: report_of(stage.detect(ctx, Source.of(ctx))),
    ("builder", "plan"): lambda stage, ctx, chosen: stage.plan(ctx, Source.of(ctx), chosen),
    ("migrator", "plan"): lambda stage, ctx, chosen, outputs: stage.plan(
        ctx, Source.of(ctx), chosen, outputs
    ),
    ("health", "policy_for"): lambda stage, ctx, chosen, processes: stage.policy_for(
        ctx, Source.of(ctx), chosen, processes
    ),
    ("health", "judge"): lambda stage, ctx, policy, seen: stage.judge(ctx, policy, seen),
    ("rollout", "next"): lambda stage, ctx, state: stage.next(ctx, state),
    ("custom", "run"): lambda stage, name, ctx, facts, inputs: stage.run(
        name, ctx, Source.of(ctx), facts, inputs
    ),
}

#: The functions of each stage.
FUNCTIONS: dict[str, list[str]] = {}
for _stage, _function in _CALLS:
    FUNCTIONS.setdefault(_stage, []).append(_function)
