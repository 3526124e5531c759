"""Asks applications at `/ready`, and gives up early on those that only ever answer with errors."""

from itertools import takewhile

from windlass_plugin import Context, Detection, Health, Source
from windlass_plugin.health import (
    Observation,
    Policy,
    Process,
    Verdict,
    default_judge,
    default_policy,
)

#: So many answers of 500 or above, one after another, and it is not well.
ERRORS_MAX = 10


class Plugin(Health):
    """The plugin: a class that derives from each stage that it fills."""

    def policy_for(
        self, ctx: Context, source: Source, chosen: Detection, processes: list[Process]
    ) -> Policy:
        # The paths are tried in this order; what `[health]` of windlass.toml says comes first.
        return default_policy(ctx, processes, ["/ready", "/health", "/"])

    def judge(self, ctx: Context, policy: Policy, seen: list[Observation]) -> Verdict:
        errors = sum(1 for _ in takewhile(is_error, reversed(seen)))
        if errors >= ERRORS_MAX:
            return Verdict.fail(f"it answered with an error {errors} times in a row")
        return default_judge(policy, seen)


def is_error(one: Observation) -> bool:
    return one.outcome.tag == "status" and one.outcome.value >= 500
