//! The functions of the pure stages.

use serde::Serialize;
use tokio::task::JoinSet;
use wasmtime::Store;
use wasmtime::component::Instance;
use windlass_model::deployment::ArtifactProcess;
use windlass_model::limits::BuildLimits;
use windlass_model::plan::{
    BuildPlan, Context, DetectReport, Detection, HealthCheck, HealthPolicy, Migration, Observation,
    RolloutDecision, RolloutState, Verdict,
};
use windlass_model::plugin::Stage;

use crate::bindings::{builder, detector, health, migrator, rollout};
use crate::call::{Ask, Call};
use crate::convert;
use crate::exports::{Asked, exported};
use crate::plugin::{Plugin, Ready};
use crate::sandbox::Sandbox;
use crate::source::Source;
use crate::state::CallState;

impl Sandbox {
    /// Asks a detector what the application is.
    pub async fn detect(
        &self,
        plugin: &Plugin,
        source: &Source,
        context: &Context,
    ) -> Call<DetectReport> {
        let context = &plugin.told(context);
        self.call(plugin, Some(source), Detect { context }).await
    }

    /// Asks all detectors at once; the answers are in the order of the plugins. Dropping the future ends the
    /// calls.
    pub async fn detect_all(
        &self,
        plugins: &[&Plugin],
        source: &Source,
        context: &Context,
    ) -> Vec<Call<DetectReport>> {
        let mut calls = JoinSet::new();
        for (place, &plugin) in plugins.iter().enumerate() {
            let (sandbox, plugin) = (self.clone(), plugin.clone());
            let (source, context) = (source.clone(), context.clone());
            calls.spawn(async move { (place, sandbox.detect(&plugin, &source, &context).await) });
        }
        let mut answers = calls.join_all().await;
        answers.sort_by_key(|(place, _)| *place);
        answers.into_iter().map(|(_, call)| call).collect()
    }

    /// Asks a builder for the plan of what was detected. The plan is validated.
    pub async fn plan(
        &self,
        plugin: &Plugin,
        source: &Source,
        context: &Context,
        chosen: &Detection,
    ) -> Call<BuildPlan> {
        let context = &plugin.told(context);
        self.call(plugin, Some(source), Plan { context, chosen }).await
    }

    /// Asks a migrator for migrations; `outputs` are the names of the plan's outputs.
    pub async fn migrations(
        &self,
        plugin: &Plugin,
        source: &Source,
        context: &Context,
        chosen: &Detection,
        outputs: &[String],
    ) -> Call<Vec<Migration>> {
        let context = &plugin.told(context);
        self.call(plugin, Some(source), Migrations { context, chosen, outputs }).await
    }

    /// Asks a health component what to probe. `checks` are how the images of the processes say that they
    /// are asked, in the order of the processes.
    pub async fn health_policy(
        &self,
        plugin: &Plugin,
        source: &Source,
        context: &Context,
        chosen: &Detection,
        processes: &[ArtifactProcess],
        checks: &[Option<HealthCheck>],
    ) -> Call<HealthPolicy> {
        let context = &plugin.told(context);
        self.call(plugin, Some(source), Policy { context, chosen, processes, checks }).await
    }

    /// Asks a health component what to make of what was seen, oldest first. Only the newest
    /// [`OBSERVATIONS_MAX`] are passed on. It sees no source: a rollback has none. Never cached.
    pub async fn judge(
        &self,
        plugin: &Plugin,
        context: &Context,
        policy: &HealthPolicy,
        seen: &[Observation],
    ) -> Call<Verdict> {
        let seen = &seen[seen.len().saturating_sub(OBSERVATIONS_MAX)..];
        let context = &plugin.told(context);
        self.call(plugin, None, Judge { context, policy, seen }).await
    }

    /// Asks a rollout component what to do with the traffic. It sees no source. Never cached.
    pub async fn rollout(
        &self,
        plugin: &Plugin,
        context: &Context,
        state: &RolloutState,
    ) -> Call<RolloutDecision> {
        let context = &plugin.told(context);
        self.call(plugin, None, Next { context, state }).await
    }
}

/// Observations that a judge is shown.
pub const OBSERVATIONS_MAX: usize = 1_000;

struct Detect<'a> {
    context: &'a Context,
}

impl Ask for Detect<'_> {
    type Answer = DetectReport;
    type Raw = detector::Report;
    const STAGE: Stage = Stage::Detector;
    const FUNCTION: &'static str = "detect";

    fn arguments(&self) -> Option<impl Serialize> {
        Some(self.context)
    }

    async fn ask(
        &self,
        store: &mut Store<CallState>,
        ready: &Ready,
        instance: &Instance,
    ) -> Asked<Self::Raw> {
        let guest = exported(ready.exports.detector.as_deref())?;
        guest.detect(store, instance, &convert::context(self.context)).await
    }

    fn accept(&self, raw: Self::Raw) -> Result<DetectReport, String> {
        convert::report(raw)
    }
}

struct Plan<'a> {
    context: &'a Context,
    chosen: &'a Detection,
}

impl Ask for Plan<'_> {
    type Answer = BuildPlan;
    type Raw = builder::BuildPlan;
    const STAGE: Stage = Stage::Builder;
    const FUNCTION: &'static str = "plan";

    fn arguments(&self) -> Option<impl Serialize> {
        Some((self.context, self.chosen))
    }

    async fn ask(
        &self,
        store: &mut Store<CallState>,
        ready: &Ready,
        instance: &Instance,
    ) -> Asked<Self::Raw> {
        let guest = exported(ready.exports.builder.as_deref())?;
        let context = convert::context(self.context);
        guest.plan(store, instance, &context, &convert::detection(self.chosen)).await
    }

    fn accept(&self, raw: Self::Raw) -> Result<BuildPlan, String> {
        let plan = convert::plan(raw);
        plan.validate(&BuildLimits::default()).map_err(|problem| problem.to_string())?;
        Ok(plan)
    }
}

struct Migrations<'a> {
    context: &'a Context,
    chosen: &'a Detection,
    outputs: &'a [String],
}

impl Ask for Migrations<'_> {
    type Answer = Vec<Migration>;
    type Raw = Vec<migrator::Migration>;
    const STAGE: Stage = Stage::Migrator;
    const FUNCTION: &'static str = "migrations";

    fn arguments(&self) -> Option<impl Serialize> {
        Some((self.context, self.chosen, self.outputs))
    }

    async fn ask(
        &self,
        store: &mut Store<CallState>,
        ready: &Ready,
        instance: &Instance,
    ) -> Asked<Self::Raw> {
        let guest = exported(ready.exports.migrator.as_deref())?;
        let context = convert::context(self.context);
        guest.plan(store, instance, &context, &convert::detection(self.chosen), self.outputs).await
    }

    fn accept(&self, raw: Self::Raw) -> Result<Vec<Migration>, String> {
        let migrations: Vec<Migration> = raw.into_iter().map(convert::migration).collect();
        for migration in &migrations {
            convert::check_migration(migration, self.outputs)?;
        }
        Ok(migrations)
    }
}

struct Policy<'a> {
    context: &'a Context,
    chosen: &'a Detection,
    processes: &'a [ArtifactProcess],
    checks: &'a [Option<HealthCheck>],
}

impl Ask for Policy<'_> {
    type Answer = HealthPolicy;
    type Raw = health::Policy;
    const STAGE: Stage = Stage::Health;
    const FUNCTION: &'static str = "policy-for";

    fn arguments(&self) -> Option<impl Serialize> {
        Some((self.context, self.chosen, self.processes, self.checks))
    }

    async fn ask(
        &self,
        store: &mut Store<CallState>,
        ready: &Ready,
        instance: &Instance,
    ) -> Asked<Self::Raw> {
        let guest = exported(ready.exports.health.as_deref())?;
        let context = convert::context(self.context);
        let chosen = convert::detection(self.chosen);
        let check = |n: usize| self.checks.get(n).and_then(Option::as_ref);
        let processes: Vec<_> =
            self.processes.iter().enumerate().map(|(n, p)| convert::process(p, check(n))).collect();
        guest.policy_for(store, instance, &context, &chosen, &processes).await
    }

    fn accept(&self, raw: Self::Raw) -> Result<HealthPolicy, String> {
        let policy = convert::policy(raw);
        convert::check_policy(&policy, self.processes)?;
        Ok(policy)
    }
}

struct Judge<'a> {
    context: &'a Context,
    policy: &'a HealthPolicy,
    seen: &'a [Observation],
}

impl Ask for Judge<'_> {
    type Answer = Verdict;
    type Raw = health::Verdict;
    const STAGE: Stage = Stage::Health;
    const FUNCTION: &'static str = "judge";

    fn arguments(&self) -> Option<impl Serialize> {
        None::<()>
    }

    async fn ask(
        &self,
        store: &mut Store<CallState>,
        ready: &Ready,
        instance: &Instance,
    ) -> Asked<Self::Raw> {
        let guest = exported(ready.exports.health.as_deref())?;
        let context = convert::context(self.context);
        let policy = convert::policy_to_guest(self.policy);
        let seen: Vec<_> = self.seen.iter().map(convert::observation).collect();
        guest.judge(store, instance, &context, &policy, &seen).await
    }

    fn accept(&self, raw: Self::Raw) -> Result<Verdict, String> {
        Ok(convert::verdict(raw))
    }
}

struct Next<'a> {
    context: &'a Context,
    state: &'a RolloutState,
}

impl Ask for Next<'_> {
    type Answer = RolloutDecision;
    type Raw = rollout::Decision;
    const STAGE: Stage = Stage::Rollout;
    const FUNCTION: &'static str = "next";

    fn arguments(&self) -> Option<impl Serialize> {
        None::<()>
    }

    async fn ask(
        &self,
        store: &mut Store<CallState>,
        ready: &Ready,
        instance: &Instance,
    ) -> Asked<Self::Raw> {
        let guest = exported(ready.exports.rollout.as_deref())?;
        let context = convert::context(self.context);
        guest.next(store, instance, &context, convert::rollout_state(self.state)).await
    }

    fn accept(&self, raw: Self::Raw) -> Result<RolloutDecision, String> {
        convert::rollout_decision(raw)
    }
}
