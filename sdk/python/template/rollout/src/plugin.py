"""Moves traffic to the new version in steps, and back when it shows more errors than the one that serves."""

from windlass_plugin import Context, Rollout, options
from windlass_plugin.contract.rollout import Decision, Sample, State

#: Shares of the new version, in hundredths of a percent.
STEPS = (100, 1_000, 5_000, 10_000)
#: Requests that a share must have seen before it is judged.
REQUESTS_MIN = 50
#: Between two looks, in milliseconds.
LOOK_EVERY_MS = 1_000


class Plugin(Rollout):
    """The plugin: a class that derives from each stage that it fills."""

    def next(self, ctx: Context, state: State) -> Decision:
        # How long each share is looked at, in seconds.
        step_s = options(ctx).get("step_s", 60)
        if state.candidate.requests >= REQUESTS_MIN:
            before, now = per_thousand(state.serving), per_thousand(state.candidate)
            # Twice the errors of the version that serves, and more than one in a hundred.
            if now > 10 and now > before * 2:
                return Decision.abort(f"{now} of 1000 requests fail, {before} before")
        if state.weight > 0 and state.at_weight_ms < step_s * 1_000:
            return Decision.hold(LOOK_EVERY_MS)
        step = next((step for step in STEPS if step > state.weight), None)
        return Decision.finish() if step is None else Decision.shift(step)


def per_thousand(sample: Sample) -> int:
    return sample.errors * 1_000 // max(sample.requests, 1)
