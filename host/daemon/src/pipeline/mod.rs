//! The pipeline: the life of a deployment as one table.
//!
//! Every kind of deployment runs through [`TABLE`] in order; a rollback and a promotion skip the rows
//! whose outcome they already have, and a build ends behind the row `build`. A row is *do* with its *undo* right beneath it, in one file, and both can be
//! repeated: everything outside is named from the deployment's id.
//!
//! Behind the rows `preflight`, `build` and `check`, and behind the table, custom stages of plugins run: [`custom`].
//!
//! **Invariants**
//! - Only [`runner`] writes a deployment's state.
//! - A step's output is stored in the same write that marks the step as done: the next one, which begins another step,
//!   halts or ends the deployment. What was built is stored at once.
//! - Undo runs in reverse order over every step that was begun, and only before the switch.
//! - The only step that is not simply run again after a crash is `migrate`: see [`migrate`].

use std::net::Ipv4Addr;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use windlass_build::disk::Held;
use windlass_model::deployment::{Artifact, Kind, Warning};
use windlass_model::plugin::account::SwitchedOff;
use windlass_model::secret::Masker;
use windlass_model::settings::Settings;
use windlass_model::variable::Variable;
use windlass_model::{Deployment, DeploymentStatus, Failure, Limits, StepName, StepStatus};
use windlass_sandbox::{Call, Plugin};

use crate::failpoint;
use crate::host::Host;
use crate::plugins::Asker;
use crate::steplog::StepLog;

mod again;
pub(crate) mod ahead;
pub(crate) mod before_switch;
mod build;
pub(crate) use build::progress::Building;
pub(crate) use build::record as build_record;
mod check;
pub(crate) mod custom;
mod detect;
pub(crate) mod egress;
pub(crate) mod fairness;
mod fetch;
mod finish;
mod images;
mod inherit;
mod listening;
mod memory;
mod migrate;
pub(crate) mod names;
mod plan;
mod preflight;
mod promote;
mod provision;
pub(crate) mod prune;
pub(crate) mod queue;
mod ready;
pub(crate) mod recreate;
pub(crate) mod retire;
pub(crate) mod runner;
pub(crate) mod runtime_env;
mod start;
mod switch;
mod ticket;
mod validate;

pub(crate) use check::all as check_instances;
pub(crate) use plan::{health_policy, judge};
pub(crate) use preflight::available_memory;
pub(crate) use start::{all as start_all, start as start_instance};

/// One row: its step, and its longest time.
pub(crate) struct Row {
    pub step: StepName,
    pub work: &'static dyn Work,
    pub deadline_s: fn(&Limits) -> u64,
}

/// The table. Its order is the pipeline.
pub(crate) const TABLE: [Row; 12] = [
    Row { step: StepName::Fetch, work: &fetch::Fetch, deadline_s: |l| l.fetch_s },
    Row { step: StepName::Preflight, work: &preflight::Preflight, deadline_s: |l| l.preflight_s },
    Row { step: StepName::Detect, work: &detect::Detect, deadline_s: |l| l.detect_s },
    Row { step: StepName::Plan, work: &plan::Plan, deadline_s: |l| l.plan_s },
    Row { step: StepName::Provision, work: &provision::Provision, deadline_s: |l| l.provision_s },
    Row { step: StepName::Build, work: &build::Build, deadline_s: |l| l.build_s },
    Row { step: StepName::Validate, work: &validate::Validate, deadline_s: |l| l.validate_s },
    Row { step: StepName::Migrate, work: &migrate::Migrate, deadline_s: |l| l.migrate_s },
    Row { step: StepName::Start, work: &start::Start, deadline_s: |l| l.start_s },
    Row { step: StepName::Check, work: &check::Check, deadline_s: |l| l.check_s },
    Row { step: StepName::Switch, work: &switch::Switch, deadline_s: |l| l.switch_s },
    Row { step: StepName::Finish, work: &finish::Finish, deadline_s: |l| l.finish_s },
];

/// What a row does, and how it is undone.
///
/// `run` may be dropped at any await (cancellation, deadline): `undo` must cope with whatever was
/// reached. After a crash `run` is called again from its beginning.
#[async_trait]
pub(crate) trait Work: Send + Sync {
    /// Why this deployment does not need the step, if it does not.
    fn skip(&self, _deployment: &Deployment) -> Option<&'static str> {
        None
    }

    /// Does the step and puts its output into `run.deployment.outputs`.
    async fn run(&self, run: &mut Run) -> Result<Done, Failure>;

    /// Takes back what `run` did outside, as far as it got.
    async fn undo(&self, _run: &mut Run) -> Result<(), Failure> {
        Ok(())
    }
}

/// How a step ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    pub status: StepStatus,
    pub summary: String,
}

impl Done {
    pub(crate) fn new(summary: impl Into<String>) -> Self {
        Self { status: StepStatus::Succeeded, summary: summary.into() }
    }

    pub(crate) fn cached(summary: impl Into<String>) -> Self {
        Self { status: StepStatus::Cached, summary: summary.into() }
    }

    pub(crate) fn skipped(summary: impl Into<String>) -> Self {
        Self { status: StepStatus::Skipped, summary: summary.into() }
    }
}

/// What a step works with: the deployment, and what belongs to it.
pub(crate) struct Run {
    pub host: Arc<Host>,
    pub deployment: Deployment,
    pub revision: u64,
    /// The last step that was done since the deployment was stored.
    pub unsaved: Option<StepName>,
    /// Keeps what was built until the deployment is stored, and so says whose it is.
    pub held: Option<Held>,
    /// The log of the present step.
    pub log: StepLog,
    /// Cancelled when the deployment is; passed to what kills process trees.
    pub cancel: CancellationToken,
    /// The environment's variables as they were when the runner took the deployment.
    pub variables: Vec<Variable>,
}

impl Run {
    /// The work of a step beside the deployment's own run, on a copy of its record: it is not to be saved.
    ///
    /// # Errors
    /// `logs.not-writable`.
    pub(crate) fn beside(
        host: &Arc<Host>,
        deployment: Deployment,
        variables: Vec<Variable>,
    ) -> Result<Self, Failure> {
        let masker = Self::masker(&variables);
        let log = host.logs.open(&deployment.id, StepName::Finish, masker).map_err(|e| {
            Failure::host(
                "logs.not-writable",
                "a log could not be opened",
                e.to_string(),
                "check the data directory's disk and permissions",
            )
        })?;
        let (host, cancel) = (host.clone(), CancellationToken::new());
        let (unsaved, held) = (None, None);
        Ok(Self { host, deployment, revision: 0, unsaved, held, log, cancel, variables })
    }

    /// The settings in force: preflight has read and stored them.
    pub(crate) fn settings(&self) -> Result<&Settings, Failure> {
        self.deployment.outputs.settings.as_ref().ok_or_else(|| missing("settings"))
    }

    /// The artifact that is being deployed.
    pub(crate) fn artifact(&self) -> Result<&Artifact, Failure> {
        self.deployment.outputs.artifact.as_ref().ok_or_else(|| missing("artifact"))
    }

    /// Keeps something worth saying, once.
    pub(crate) fn warn(&mut self, code: &str, message: impl Into<String>) {
        let warning = Warning { code: code.to_owned(), message: message.into() };
        self.log.say(format!("warning: {}", warning.message));
        if !self.deployment.warnings.contains(&warning) {
            self.deployment.warnings.push(warning);
        }
    }

    /// The answer of a plugin that was asked for this deployment; its warnings become the deployment's.
    ///
    /// # Errors
    /// The failure that the plugin is named in.
    pub(crate) async fn answer<T>(&mut self, plugin: &Plugin, call: Call<T>) -> Result<T, Failure> {
        let mut warnings = self.deployment.warnings.clone();
        let asker = Asker { host: &self.host, deployment: &self.deployment, log: &self.log };
        let answer = asker.answer(plugin, None, call, &mut warnings).await;
        self.deployment.warnings = warnings;
        answer
    }

    /// Says that a plugin is not asked although it is there.
    pub(crate) fn warn_off(&mut self, off: &SwitchedOff) {
        self.warn("plugin.switched-off", format!("{off}; {}", off.fix()));
    }

    /// Makes sure of the environment's network. Its name, and its gateway.
    ///
    /// # Errors
    /// The container runtime's.
    pub(crate) async fn network(&self) -> Result<(String, Ipv4Addr), Failure> {
        let network = names::network(&self.deployment.project, &self.deployment.environment);
        let gateway = self.host.runtime.ensure_network(&network).await;
        let gateway =
            gateway.map_err(|e| e.failure("the environment's network could not be made"))?;
        Ok((network, gateway))
    }

    /// Stores the deployment as it is now.
    pub(crate) async fn save(&mut self) -> Result<(), Failure> {
        self.revision = self.host.save_deployment(&self.deployment, self.revision).await?;
        self.held = None;
        if let Some(step) = self.unsaved.take() {
            failpoint::reached(&format!("after:{step}"));
        }
        Ok(())
    }

    /// Masks the values of secret variables.
    pub(crate) fn masker(variables: &[Variable]) -> Masker {
        Masker::new(variables.iter().filter(|v| v.secret).map(|v| v.value.expose().as_str()))
    }
}

/// Why a build has no further steps.
const ONLY_BUILT: &str = "it is only built";

/// Whether it is a build, and so needs no step about what runs.
pub(crate) fn only_built(deployment: &Deployment) -> Option<&'static str> {
    deployment.kind.is_build().then_some(ONLY_BUILT)
}

/// Refuses early what cannot be started: the checks of the step preflight, on a retained artifact.
pub(crate) async fn preflight_again(run: &mut Run) -> Result<(), Failure> {
    preflight::Preflight.run(run).await.map(drop)
}

/// Whether a deployment brings an artifact along, and so needs no detection, plan and build.
pub(crate) fn has_artifact(deployment: &Deployment) -> Option<&'static str> {
    if deployment.status == DeploymentStatus::Stopped {
        return Some("it was built before it was stopped");
    }
    match &deployment.kind {
        Kind::Promote { .. } => Some("the artifact is promoted"),
        other => other.artifact_of().map(|_| "the artifact is retained"),
    }
}

/// Whether it takes everything over from the deployment that it goes back to, and so needs no source.
pub(crate) fn needs_no_source(deployment: &Deployment) -> Option<&'static str> {
    let stopped = deployment.status == DeploymentStatus::Stopped;
    has_artifact(deployment).filter(|_| stopped || deployment.kind.goes_back())
}

/// A step was reached without what an earlier one yields: a defect of Windlass.
pub(crate) fn missing(what: &str) -> Failure {
    Failure::host(
        "internal.missing-output",
        format!("the deployment's record holds no {what}"),
        "an earlier step should have stored it",
        "deploy again; if it happens again, report it with the output of `windlass show --json`",
    )
}

#[cfg(test)]
mod build_kind_tests;
#[cfg(test)]
mod prune_tests;
#[cfg(test)]
mod runner_tests;
#[cfg(test)]
mod state_machine_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_steps() {
        let order: Vec<StepName> = TABLE.iter().map(|row| row.step).collect();
        assert_eq!(order, StepName::ALL);
    }

    #[test]
    fn every_step_has_a_deadline() {
        let limits = Limits::default();
        for row in &TABLE {
            assert!((row.deadline_s)(&limits) > 0, "{}", row.step);
        }
    }
}
