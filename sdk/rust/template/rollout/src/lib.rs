//! Moves traffic to the new version in steps, and back when it shows more errors than the one that serves.

use serde::Deserialize;
use windlass_sdk::rollout::{Decision, Sample, State};
use windlass_sdk::{Context, PluginError, Rollout};

/// The plugin: a type, with a trait for each stage that it fills.
pub struct Plugin;

/// Shares of the new version, in hundredths of a percent.
const STEPS: [u16; 4] = [100, 1_000, 5_000, 10_000];
/// Requests that a share must have seen before it is judged.
const REQUESTS_MIN: u64 = 50;
/// Between two looks, in milliseconds.
const LOOK_EVERY_MS: u32 = 1_000;

/// What can be set for this plugin.
#[derive(Deserialize)]
#[serde(default)]
struct Options {
    /// How long each share is looked at, in seconds.
    step_s: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { step_s: 60 }
    }
}

impl Rollout for Plugin {
    fn next(ctx: &Context, state: &State) -> Result<Decision, PluginError> {
        let options: Options = ctx.options()?;
        if state.candidate.requests >= REQUESTS_MIN {
            let (before, now) = (per_thousand(&state.serving), per_thousand(&state.candidate));
            // Twice the errors of the version that serves, and more than one in a hundred.
            if now > 10 && now > before.saturating_mul(2) {
                let why = format!("{now} of 1000 requests fail, {before} before");
                return Ok(Decision::Abort(why));
            }
        }
        let looked_at = state.at_weight_ms >= options.step_s.saturating_mul(1_000);
        if state.weight > 0 && !looked_at {
            return Ok(Decision::Hold(LOOK_EVERY_MS));
        }
        Ok(match STEPS.iter().find(|step| **step > state.weight) {
            Some(step) => Decision::Shift(*step),
            None => Decision::Finish,
        })
    }
}

fn per_thousand(sample: &Sample) -> u64 {
    sample.errors.saturating_mul(1_000) / sample.requests.max(1)
}

windlass_sdk::export! {
    Plugin: [rollout],
    options_schema: r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": { "step_s": { "type": "integer", "minimum": 1, "default": 60 } }
    }"#,
}

#[cfg(test)]
mod tests {
    use windlass_sdk::rollout::{Decision, Sample, State};
    use windlass_sdk::{Context, Rollout};

    use super::Plugin;

    fn decide(weight: u16, at_weight_ms: u64, errors: u64) -> Decision {
        let sample = |errors| Sample { requests: 1_000, errors, p50_us: 900, p99_us: 9_000 };
        let (serving, candidate) = (sample(2), sample(errors));
        let elapsed_ms = at_weight_ms;
        let state = State { weight, elapsed_ms, at_weight_ms, serving, candidate };
        Plugin::next(&Context::empty(), &state).unwrap()
    }

    #[test]
    fn the_share_grows_while_nothing_gets_worse() {
        assert!(matches!(decide(0, 0, 0), Decision::Shift(100)));
        assert!(matches!(decide(100, 59_000, 2), Decision::Hold(_)));
        assert!(matches!(decide(100, 60_000, 2), Decision::Shift(1_000)));
        assert!(matches!(decide(10_000, 60_000, 2), Decision::Finish));
    }

    #[test]
    fn more_errors_than_before_end_it() {
        assert!(matches!(decide(1_000, 2_000, 10), Decision::Hold(_)));
        assert!(matches!(decide(1_000, 2_000, 20), Decision::Abort(_)));
    }
}
