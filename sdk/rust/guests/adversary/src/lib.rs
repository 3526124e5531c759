//! A guest that behaves as a file in the source tells it: the sandbox's tests and the end-to-end
//! tests show with it what the host does about a plugin that misbehaves.
//!
//! The file is `behave`, one line for each call that is not to be normal: `detect=loop`,
//! `plan=trap`; a line without `=` is about `detect`. Without the file nothing is detected.
//! What is normal: a detection of confidence 95, a plan that serves the source as a static tree, and
//! the default health judge.

use windlass_sdk::health::{Policy, Process};
use windlass_sdk::plan::{Artifact, Base, BuildPlan, Copy, Output, StaticOutput, Step};
use windlass_sdk::{
    Builder, Context, DetectReport, Detection, Detector, Health, PluginError, Source,
};

mod behaviour;
mod bombs;
mod plans;
mod policies;
mod reaching;

/// The guest.
#[derive(Debug)]
pub struct TestGuest;

impl Detector for TestGuest {
    fn detect(_ctx: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        let Some(how) = behaviour::of(source, "detect")? else {
            return Ok(DetectReport::near_miss("test-guest", "there is no file named behave"));
        };
        let found = Detection::new("test-guest", "Test guest", "test")
            .confidence(95)
            .evidence("behave", how.as_str());
        behaviour::detect(&how, found, source)
    }
}

impl Builder for TestGuest {
    fn plan(
        _ctx: &Context,
        source: &Source,
        _chosen: &Detection,
    ) -> Result<BuildPlan, PluginError> {
        let how = behaviour::of(source, "plan")?.unwrap_or_default();
        behaviour::act(&how)?;
        let copy = Copy::source(["**"], "/site/").parents();
        let step = Step::new("site", "copy the source", Base::Scratch).op(copy);
        let site = StaticOutput {
            step: "site".into(),
            root: "/site".into(),
            spa_fallback: None,
            not_found: None,
        };
        let output = Output { name: "site".into(), artifact: Artifact::StaticTree(site) };
        let good = BuildPlan { steps: vec![step], outputs: vec![output], ..BuildPlan::new() };
        Ok(plans::spoil(&how, good))
    }
}

impl Health for TestGuest {
    fn policy_for(
        ctx: &Context,
        source: &Source,
        _chosen: &Detection,
        processes: &[Process],
    ) -> Result<Policy, PluginError> {
        let how = behaviour::of(source, "policy")?.unwrap_or_default();
        behaviour::act(&how)?;
        let good = windlass_sdk::health::default_policy(ctx, processes)?;
        Ok(policies::spoil(&how, good))
    }
}

windlass_sdk::export! {
    TestGuest: [detector, builder, health],
    name: "test-guest",
}
