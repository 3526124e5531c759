//! The functions of a component's stages as the newest contract has them, whichever version serves them.
//!
//! **Invariant: a call names records of the newest contract alone.** A stage that a component exports in the newest
//! version is asked as it is. One in an older version stands behind the same trait: its adapter turns what is asked
//! into the older records, and the answer into the newest.

use async_trait::async_trait;
use wasmtime::Store;
use wasmtime::component::Instance;

use crate::bindings::types::PluginError;
use crate::bindings::{builder, custom, detector, health, migrator, rollout, types};
use crate::state::CallState;

/// What a function of a stage comes to.
pub(crate) type Asked<T> = wasmtime::Result<Result<T, PluginError>>;

/// Where a component has the functions of its stages.
#[derive(Default)]
pub(crate) struct Exports {
    pub(crate) detector: Option<Box<dyn Detector>>,
    pub(crate) builder: Option<Box<dyn Builder>>,
    pub(crate) migrator: Option<Box<dyn Migrator>>,
    pub(crate) health: Option<Box<dyn Health>>,
    pub(crate) rollout: Option<Box<dyn Rollout>>,
    pub(crate) custom: Option<Box<dyn Custom>>,
}

/// A stage that the plugin was checked to export when it was linked.
pub(crate) fn exported<T: ?Sized>(stage: Option<&T>) -> wasmtime::Result<&T> {
    stage.ok_or_else(|| wasmtime::Error::msg("the stage is not exported"))
}

/// The functions of an interface are of other types than the contract's.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WrongType(pub(crate) String);

/// The functions of an interface, which are compared with the contract when they are taken.
pub(crate) fn typed<T>(taken: wasmtime::Result<T>) -> wasmtime::Result<T> {
    taken.map_err(|error| WrongType(format!("{error:#}")).into())
}

/// `windlass:detector`
#[async_trait]
pub(crate) trait Detector: Send + Sync {
    async fn detect(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        context: &types::Context,
    ) -> Asked<detector::Report>;
}

#[async_trait]
impl Detector for detector::GuestIndices {
    async fn detect(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        context: &types::Context,
    ) -> Asked<detector::Report> {
        let guest = typed(self.load(&mut *store, instance))?;
        guest.call_detect(store, context).await
    }
}

/// `windlass:builder`
#[async_trait]
pub(crate) trait Builder: Send + Sync {
    async fn plan(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        context: &types::Context,
        chosen: &types::Detection,
    ) -> Asked<builder::BuildPlan>;
}

#[async_trait]
impl Builder for builder::GuestIndices {
    async fn plan(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        context: &types::Context,
        chosen: &types::Detection,
    ) -> Asked<builder::BuildPlan> {
        let guest = typed(self.load(&mut *store, instance))?;
        guest.call_plan(store, context, chosen).await
    }
}

/// `windlass:migrator`
#[async_trait]
pub(crate) trait Migrator: Send + Sync {
    async fn plan(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        context: &types::Context,
        chosen: &types::Detection,
        outputs: &[String],
    ) -> Asked<Vec<migrator::Migration>>;
}

#[async_trait]
impl Migrator for migrator::GuestIndices {
    async fn plan(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        context: &types::Context,
        chosen: &types::Detection,
        outputs: &[String],
    ) -> Asked<Vec<migrator::Migration>> {
        let guest = typed(self.load(&mut *store, instance))?;
        guest.call_plan(store, context, chosen, outputs).await
    }
}

/// `windlass:health`
#[async_trait]
pub(crate) trait Health: Send + Sync {
    async fn policy_for(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        context: &types::Context,
        chosen: &types::Detection,
        processes: &[health::Process],
    ) -> Asked<health::Policy>;

    async fn judge(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        context: &types::Context,
        policy: &health::Policy,
        seen: &[health::Observation],
    ) -> Asked<health::Verdict>;
}

#[async_trait]
impl Health for health::GuestIndices {
    async fn policy_for(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        context: &types::Context,
        chosen: &types::Detection,
        processes: &[health::Process],
    ) -> Asked<health::Policy> {
        let guest = typed(self.load(&mut *store, instance))?;
        guest.call_policy_for(store, context, chosen, processes).await
    }

    async fn judge(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        context: &types::Context,
        policy: &health::Policy,
        seen: &[health::Observation],
    ) -> Asked<health::Verdict> {
        let guest = typed(self.load(&mut *store, instance))?;
        guest.call_judge(store, context, policy, seen).await
    }
}

/// `windlass:rollout`
#[async_trait]
pub(crate) trait Rollout: Send + Sync {
    async fn next(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        context: &types::Context,
        state: rollout::State,
    ) -> Asked<rollout::Decision>;
}

#[async_trait]
impl Rollout for rollout::GuestIndices {
    async fn next(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        context: &types::Context,
        state: rollout::State,
    ) -> Asked<rollout::Decision> {
        let guest = typed(self.load(&mut *store, instance))?;
        guest.call_next(store, context, state).await
    }
}

/// `windlass:custom`
#[async_trait]
pub(crate) trait Custom: Send + Sync {
    async fn run(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        stage: &str,
        context: &types::Context,
        facts: &custom::Facts,
        inputs: &[custom::Input],
    ) -> Asked<custom::Outcome>;
}

#[async_trait]
impl Custom for custom::GuestIndices {
    async fn run(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        stage: &str,
        context: &types::Context,
        facts: &custom::Facts,
        inputs: &[custom::Input],
    ) -> Asked<custom::Outcome> {
        let guest = typed(self.load(&mut *store, instance))?;
        guest.call_run(store, stage, context, facts, inputs).await
    }
}
