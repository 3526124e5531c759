//! Asks applications at `/ready`, and gives up early on those that only ever answer with errors.

use windlass_sdk::health::{
    Observation, Outcome, Policy, Process, Verdict, default_judge, policy_with_paths,
};
use windlass_sdk::{Context, Detection, Health, PluginError, Source};

/// The plugin: a type, with a trait for each stage that it fills.
pub struct Plugin;

/// So many answers of 500 or above, one after another, and it is not well.
const ERRORS_MAX: usize = 10;

impl Health for Plugin {
    fn policy_for(
        ctx: &Context,
        _: &Source,
        _: &Detection,
        processes: &[Process],
    ) -> Result<Policy, PluginError> {
        // The paths are tried in this order; what `[health]` of windlass.toml says comes first.
        policy_with_paths(ctx, processes, &["/ready", "/health", "/"])
    }

    fn judge(_: &Context, policy: &Policy, seen: &[Observation]) -> Result<Verdict, PluginError> {
        let is_error = |one: &&Observation| matches!(one.outcome, Outcome::Status(500..));
        let errors = seen.iter().rev().take_while(is_error).count();
        if errors >= ERRORS_MAX {
            return Ok(Verdict::Fail(format!("it answered with an error {errors} times in a row")));
        }
        Ok(default_judge(policy, seen))
    }
}

windlass_sdk::export! {
    Plugin: [health],
}

#[cfg(test)]
mod tests {
    use windlass_sdk::health::{Observation, Outcome, Process, Verdict};
    use windlass_sdk::testing::Harness;
    use windlass_sdk::{Detection, Health};

    use super::Plugin;

    fn seen(status: u16, times: usize) -> Vec<Observation> {
        let one = Observation { probe: 0, at_ms: 0, took_ms: 1, outcome: Outcome::Status(status) };
        vec![one; times]
    }

    #[test]
    fn errors_in_a_row_end_it_and_a_single_one_does_not() {
        let harness = Harness::new("fixtures/web/source");
        let chosen = Detection::new("app", "an application", "any");
        let web = Process { name: "web".to_owned(), web: true, port: Some(3000), check: None };
        let policy = harness.policy::<Plugin>(&chosen, &[web]).unwrap();
        let judge = |seen: &[Observation]| Plugin::judge(&harness.context, &policy, seen).unwrap();
        assert!(matches!(judge(&seen(200, 1)), Verdict::Pass));
        assert!(matches!(judge(&seen(500, 1)), Verdict::Wait));
        assert!(matches!(judge(&seen(500, 10)), Verdict::Fail(_)));
    }
}
