//! The stages: one trait each. A type implements those that the plugin fills.

use crate::custom::{Facts, Input, Outcome};
use crate::health::{Observation, Policy, Process, Verdict};
use crate::plan::BuildPlan;
use crate::rollout::{Decision, State};
use crate::{Context, DetectReport, Detection, Migration, PluginError, Source};

/// What is this application?
pub trait Detector {
    /// Looks at the source and says what it is, how sure that is, and what it nearly is.
    ///
    /// # Errors
    /// A [`PluginError`] fails the deployment: return one only for a source that is broken in a way
    /// that must be repaired first, and [`Detection::refuse`] for what is known and not supported.
    fn detect(ctx: &Context, source: &Source) -> Result<DetectReport, PluginError>;
}

/// How is it built?
pub trait Builder {
    /// The plan for what this plugin detected.
    ///
    /// # Errors
    /// A [`PluginError`] that says what is missing, with a hint.
    fn plan(ctx: &Context, source: &Source, chosen: &Detection) -> Result<BuildPlan, PluginError>;
}

/// How is its database migrated?
pub trait Migrator {
    /// The migrations that were found, each with the verdict to run it or leave it. `outputs` are
    /// the names of the plan's outputs.
    ///
    /// # Errors
    /// A [`PluginError`] fails the deployment before anything was migrated.
    fn plan(
        ctx: &Context,
        source: &Source,
        chosen: &Detection,
        outputs: &[String],
    ) -> Result<Vec<Migration>, PluginError>;
}

/// When is it healthy? Both functions have a default: [`crate::health`].
pub trait Health {
    /// What to probe and how often.
    ///
    /// # Errors
    /// A [`PluginError`] fails the deployment.
    fn policy_for(
        ctx: &Context,
        source: &Source,
        chosen: &Detection,
        processes: &[Process],
    ) -> Result<Policy, PluginError> {
        let _ = (source, chosen);
        crate::health::default_policy(ctx, processes)
    }

    /// The verdict over all that was seen so far, oldest first. There is no source to look at.
    ///
    /// # Errors
    /// A [`PluginError`] fails the deployment.
    fn judge(ctx: &Context, policy: &Policy, seen: &[Observation]) -> Result<Verdict, PluginError> {
        let _ = ctx;
        Ok(crate::health::default_judge(policy, seen))
    }
}

/// How is traffic moved?
pub trait Rollout {
    /// What to do next, from what the two versions show.
    ///
    /// # Errors
    /// A [`PluginError`] aborts the rollout.
    fn next(ctx: &Context, state: &State) -> Result<Decision, PluginError>;
}

/// Anything else, at a hook of the pipeline. Not pure: it may hold grants, see [`crate::custom`].
pub trait Custom {
    /// Runs one of the stages that [`crate::export!`] declares, at the hook that the facts say. `inputs`
    /// are the answers of the stages that it needs. It may be run again for the same deployment.
    ///
    /// # Errors
    /// A [`PluginError`]; what it means for the deployment is the stage's setting. A retryable one is
    /// tried again where the stage runs in the background.
    fn run(
        stage: &str,
        ctx: &Context,
        source: &Source,
        facts: &Facts,
        inputs: &[Input],
    ) -> Result<Outcome, PluginError>;
}

/// Exports one stage of `$plugin`; [`crate::export!`] calls it. Outside a component there is nothing
/// to export to.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_stage {
    (detector, $plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::detector as world;
            struct Shim;
            impl world::exports::windlass::detector::detector::Guest for Shim {
                fn detect(
                    ctx: $crate::Context,
                ) -> Result<$crate::DetectReport, $crate::PluginError> {
                    let source = $crate::Source::of(&ctx);
                    <$plugin as $crate::Detector>::detect(&ctx, &source)
                }
            }
    world::export_detector!(Shim with_types_in world);
        };
    };
    (builder, $plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::builder as world;
            struct Shim;
            impl world::exports::windlass::builder::builder::Guest for Shim {
                fn plan(
                    ctx: $crate::Context,
                    chosen: $crate::Detection,
                ) -> Result<$crate::plan::BuildPlan, $crate::PluginError> {
                    let source = $crate::Source::of(&ctx);
                    <$plugin as $crate::Builder>::plan(&ctx, &source, &chosen)
                }
            }
    world::export_builder!(Shim with_types_in world);
        };
    };
    (migrator, $plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::migrator as world;
            struct Shim;
            impl world::exports::windlass::migrator::migrator::Guest for Shim {
                fn plan(
                    ctx: $crate::Context,
                    chosen: $crate::Detection,
                    outputs: Vec<String>,
                ) -> Result<Vec<$crate::Migration>, $crate::PluginError> {
                    let source = $crate::Source::of(&ctx);
                    <$plugin as $crate::Migrator>::plan(&ctx, &source, &chosen, &outputs)
                }
            }
    world::export_migrator!(Shim with_types_in world);
        };
    };
    (health, $plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::health as world;
            struct Shim;
            impl world::exports::windlass::health::health::Guest for Shim {
                fn policy_for(
                    ctx: $crate::Context,
                    chosen: $crate::Detection,
                    processes: Vec<$crate::health::Process>,
                ) -> Result<$crate::health::Policy, $crate::PluginError> {
                    let source = $crate::Source::of(&ctx);
                    <$plugin as $crate::Health>::policy_for(&ctx, &source, &chosen, &processes)
                }
                fn judge(
                    ctx: $crate::Context,
                    policy: $crate::health::Policy,
                    seen: Vec<$crate::health::Observation>,
                ) -> Result<$crate::health::Verdict, $crate::PluginError> {
                    <$plugin as $crate::Health>::judge(&ctx, &policy, &seen)
                }
            }
    world::export_health!(Shim with_types_in world);
        };
    };
    (rollout, $plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::rollout as world;
            struct Shim;
            impl world::exports::windlass::rollout::rollout::Guest for Shim {
                fn next(
                    ctx: $crate::Context,
                    state: $crate::rollout::State,
                ) -> Result<$crate::rollout::Decision, $crate::PluginError> {
                    <$plugin as $crate::Rollout>::next(&ctx, &state)
                }
            }
    world::export_rollout!(Shim with_types_in world);
        };
    };
    (custom, $plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::custom as world;
            struct Shim;
            impl world::exports::windlass::custom::custom::Guest for Shim {
                fn run(
                    stage: String,
                    ctx: $crate::Context,
                    facts: $crate::custom::Facts,
                    inputs: Vec<$crate::custom::Input>,
                ) -> Result<$crate::custom::Outcome, $crate::PluginError> {
                    let source = $crate::Source::of(&ctx);
                    <$plugin as $crate::Custom>::run(&stage, &ctx, &source, &facts, &inputs)
                }
            }
    world::export_custom!(Shim with_types_in world);
        };
    };
}
