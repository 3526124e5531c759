//! How traffic is moved.

use windlass_model::plan::{RolloutDecision, RolloutState, TrafficSample, WEIGHT_MAX};

use crate::bindings::rollout;
use crate::text::plain;

pub(crate) fn rollout_state(from: &RolloutState) -> rollout::State {
    let sample = |from: &TrafficSample| rollout::Sample {
        requests: from.requests,
        errors: from.errors,
        p50_us: from.p50_us,
        p99_us: from.p99_us,
    };
    rollout::State {
        weight: from.weight,
        elapsed_ms: from.elapsed_ms,
        at_weight_ms: from.at_weight_ms,
        serving: sample(&from.serving),
        candidate: sample(&from.candidate),
    }
}

pub(crate) fn rollout_decision(from: rollout::Decision) -> Result<RolloutDecision, String> {
    Ok(match from {
        rollout::Decision::Shift(weight) if weight > WEIGHT_MAX => {
            return Err(format!("the weight {weight} is more than {WEIGHT_MAX}"));
        }
        rollout::Decision::Shift(weight) => RolloutDecision::Shift(weight),
        rollout::Decision::Hold(ms) => RolloutDecision::Hold(ms),
        rollout::Decision::Finish => RolloutDecision::Finish,
        rollout::Decision::Abort(why) => RolloutDecision::Abort(plain(&why)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_at_most_the_whole_and_reasons_drive_no_terminal() {
        let decided = |decision| rollout_decision(decision);
        let whole = decided(rollout::Decision::Shift(10_000)).unwrap();
        assert_eq!(whole, RolloutDecision::Shift(10_000));
        let more = decided(rollout::Decision::Shift(10_001)).unwrap_err();
        assert_eq!(more, "the weight 10001 is more than 10000");
        let why = decided(rollout::Decision::Abort("\x1b[2Jworse".to_owned())).unwrap();
        assert_eq!(why, RolloutDecision::Abort("worse".to_owned()));
    }
}
