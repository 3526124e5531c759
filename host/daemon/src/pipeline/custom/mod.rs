//! Custom stages: what plugins do at the four hooks of the pipeline, in the order of what they need and provide.
//!
//! Hooks are the borders of rows: `after-fetch` lies behind `preflight` (the settings are known then), `after-build`
//! behind `build`, `before-switch` behind `check`. There a stage that fails, fails the row, unless its setting lets
//! that pass; what the row has done is undone as ever. `after-switch` is behind the whole pipeline: its stages run
//! in the background, are tried again, and never change what became of the deployment.
//!
//! **Invariants**
//! - What cannot be carried out is refused in `preflight`: an unknown stage, a need that nobody provides, a circle,
//!   a grant that is missing.
//! - A stage runs at least once: what a crash cuts off is run again. What ended is not.
//! - What is kept of stages lies in files of the deployment and goes with it ([`record`]).
//!
//! Reading order: [`graph`] (which, in which order), [`work`] (running those of one hook), [`background`],
//! [`effects`] and what is behind them ([`exec`], [`http`], [`attached`], [`cache`]), [`withheld`], [`facts`].

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use windlass_build::http::certificate_bundle;
use windlass_model::plugin::{Hook, Stage};
use windlass_model::settings::{OnFailure, Settings, StageSettings};
use windlass_model::stage::StageStatus;
use windlass_model::{Deployment, DeploymentId, Failure, Limits, StepName};

use self::graph::Node;
use self::record::{Folder, Kept};
use super::{ONLY_BUILT, Run, has_artifact, needs_no_source, only_built};
use crate::host::Host;
use crate::plugins::{self, InForce};

mod address;
mod attached;
pub(crate) mod background;
mod cache;
mod effects;
mod exec;
mod facts;
mod graph;
mod http;
pub(crate) mod record;
mod withheld;
mod work;

pub(crate) use attached::is_file_name;

/// What custom stages share on a host.
pub(crate) struct Stages {
    client: Arc<http::Client>,
    /// Of stages that deployments wait for.
    places: Semaphore,
    /// Of stages in the background, which so never hold up a deployment.
    background_places: Semaphore,
    /// Deployments whose stages run in the background now.
    in_background: Mutex<HashSet<DeploymentId>>,
}

impl Stages {
    pub(crate) fn new(limits: &Limits) -> Self {
        let limits = &limits.stages;
        let certificates = certificate_bundle(None);
        let client = http::Client::new(Arc::new(http::System), certificates, limits.clone());
        Self {
            client: Arc::new(client),
            places: Semaphore::new(limits.running_max.max(1)),
            background_places: Semaphore::new(limits.background_running_max.max(1)),
            in_background: Mutex::default(),
        }
    }

    /// The places of the stages at a hook.
    const fn places_at(&self, hook: Hook) -> &Semaphore {
        match hook {
            Hook::AfterSwitch => &self.background_places,
            Hook::AfterFetch | Hook::AfterBuild | Hook::BeforeSwitch => &self.places,
        }
    }
}

/// The hook behind a row.
const fn behind(step: StepName) -> Option<Hook> {
    match step {
        StepName::Preflight => Some(Hook::AfterFetch),
        StepName::Build => Some(Hook::AfterBuild),
        StepName::Check => Some(Hook::BeforeSwitch),
        _ => None,
    }
}

/// Whether stages follow a row; then it is run although there is nothing else to do in it.
pub(super) fn follow(run: &Run, step: StepName) -> bool {
    let Some(hook) = behind(step) else { return false };
    let stages = folder(run).stages().unwrap_or_default();
    stages.iter().any(|kept| kept.node.hook == hook && !kept.run.status.is_over())
}

/// Runs the stages behind a row.
///
/// # Errors
/// What is wrong with the settings, in `preflight`; why a stage failed whose failure counts.
pub(super) async fn after(run: &mut Run, step: StepName) -> Result<(), Failure> {
    let Some(hook) = behind(step) else { return Ok(()) };
    if hook == Hook::AfterFetch {
        prepare(run)?;
    }
    if follow(run, step) {
        foreground(run, hook).await?;
    }
    if hook == Hook::AfterBuild { declare(run) } else { Ok(()) }
}

async fn foreground(run: &mut Run, hook: Hook) -> Result<(), Failure> {
    let job = Arc::new(work::Job::of(run, hook)?);
    let limit = Duration::from_secs(run.host.config.limits.stages.hook_s);
    let ran = tokio::time::timeout(limit, work::foreground(&job, hook)).await;
    let warnings = ran.map_err(|_| too_long(hook, limit)).flatten()?;
    for warning in warnings {
        if !run.deployment.warnings.contains(&warning) {
            run.deployment.warnings.push(warning);
        }
    }
    Ok(())
}

/// Takes what the stages behind the build have said of the version into its record. One whose artifact was taken
/// over has that of the deployment which built it.
fn declare(run: &mut Run) -> Result<(), Failure> {
    if has_artifact(&run.deployment).is_some() {
        return Ok(());
    }
    let stages = folder(run).stages()?;
    each_name_once(&stages)?;
    let outputs = &mut run.deployment.outputs;
    outputs.schedules.clear();
    outputs.withheld.clear();
    for kept in stages {
        outputs.schedules.extend(kept.schedules);
        outputs.withheld.extend(kept.withheld);
    }
    Ok(())
}

/// Two stages of one plugin may not register a schedule of one name. Those of others, and of the settings, cannot have
/// it: the plugin's name is a part of it.
fn each_name_once(stages: &[Kept]) -> Result<(), Failure> {
    let mut by_name: HashMap<&str, String> = HashMap::new();
    for kept in stages {
        for schedule in &kept.schedules {
            let Some(other) = by_name.insert(&schedule.name, kept.node.name()) else { continue };
            return Err(Failure::app(
                "cron.name-taken",
                format!("the schedule {} is registered twice", schedule.name),
                format!("the stages {other} and {} both do", kept.node.name()),
                "leave one of the two [[stages]] out of windlass.toml, or report it to the plugin's author",
            ));
        }
    }
    Ok(())
}

fn too_long(hook: Hook, limit: Duration) -> Failure {
    Failure::app(
        "stages.deadline",
        format!("the stages at {} took longer than {} s", hook.as_str(), limit.as_secs()),
        "they were ended, with everything that they had started",
        "`windlass show` says which of them ran; find out what it waits for, or raise `stages.hook_s` in the \
         limits file",
    )
}

fn folder(run: &Run) -> Folder {
    Folder::of(&run.host.config.data_dir, &run.deployment.id)
}

/// Writes down which stages are to run, once, before any of them does.
fn prepare(run: &Run) -> Result<(), Failure> {
    let folder = folder(run);
    if folder.has_stages() {
        return Ok(());
    }
    let plugins = run.host.plugins.of_project(Some(&run.deployment.project));
    let Some(settings) = &run.deployment.outputs.settings else { return Ok(()) };
    let nodes = nodes(settings, &plugins)?;
    if nodes.is_empty() {
        return Ok(());
    }
    let kept: Vec<Kept> = nodes.into_iter().map(|node| planned(node, &run.deployment)).collect();
    folder.keep(&kept)
}

/// A stage as it is to run; skipped where its hook does not come.
fn planned(node: Node, deployment: &Deployment) -> Kept {
    let why = match node.hook {
        Hook::AfterFetch => needs_no_source(deployment),
        Hook::AfterBuild => has_artifact(deployment),
        Hook::BeforeSwitch | Hook::AfterSwitch => only_built(deployment).map(|_| ONLY_BUILT),
    };
    let mut kept = Kept::new(node);
    if let Some(why) = why {
        kept.run.status = StageStatus::Skipped;
        why.clone_into(&mut kept.run.summary);
    }
    kept
}

/// All stages that the settings switch on, checked.
fn nodes(settings: &Settings, plugins: &InForce) -> Result<Vec<Node>, Failure> {
    let mut nodes = Vec::new();
    for entry in &settings.stages {
        let meant = nodes_of(entry, plugins);
        nodes.extend(meant.map_err(|failure| beyond_warn(failure, entry.on_failure))?);
    }
    graph::check(&nodes)?;
    Ok(nodes)
}

/// The stages that an entry of the settings switches on.
fn nodes_of(entry: &StageSettings, plugins: &InForce) -> Result<Vec<Node>, Failure> {
    let plugin = plugins.named(&entry.plugin, Stage::Custom)?;
    let manifest = &plugin.info().manifest;
    if !plugin.missing().is_empty() {
        let (name, asks) = (plugin.name(), &manifest.capabilities);
        return Err(plugins::not_granted(name, asks, plugin.grants(), true));
    }
    let mut options = plugin.options().into_owned();
    options.extend(entry.options.clone());
    plugins::check_of_stage(manifest, &options)?;
    graph::nodes(entry, &manifest.custom)
}

/// Says of a stage that cannot be run why its setting does not let that pass.
fn beyond_warn(mut failure: Failure, on_failure: OnFailure) -> Failure {
    if on_failure == OnFailure::Warn {
        failure.why += "; `on_failure = \"warn\"` lets a stage pass that ran and failed, not one that cannot be run";
    }
    failure
}

/// How a deployment ended, for its stages in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Live,
    Failed,
    /// By a person or a newer one.
    Cancelled,
}

impl End {
    /// `None` while it goes on.
    fn of(deployment: &Deployment) -> Option<Self> {
        use windlass_model::DeploymentStatus as S;
        match deployment.status {
            S::Queued | S::Running | S::Paused => None,
            S::Live | S::Draining | S::Retired | S::Built | S::Stopped => Some(Self::Live),
            S::Stuck if deployment.live_at.is_some() => Some(Self::Live),
            S::Failed | S::Stuck => Some(Self::Failed),
            S::Cancelled => Some(Self::Cancelled),
        }
    }

    fn wants(self, node: &Node) -> bool {
        use windlass_model::settings::When;
        match self {
            Self::Live => node.when.applies(true),
            Self::Failed => node.when.applies(false),
            Self::Cancelled => node.when == When::Always,
        }
    }
}

/// A deployment came to its end: what is left of its stages is settled, and those in the background begin. Can be
/// repeated.
pub(crate) fn ended(host: &Arc<Host>, deployment: &Deployment) {
    if let Err(failure) = try_ended(host, deployment) {
        tracing::error!(%failure, deployment = %deployment.id, "its stages could not be settled");
    }
}

fn try_ended(host: &Arc<Host>, deployment: &Deployment) -> Result<(), Failure> {
    let Some(end) = End::of(deployment) else { return Ok(()) };
    let folder = Folder::of(&host.config.data_dir, &deployment.id);
    if !folder.has_stages() && end == End::Failed {
        plan_for_failure(host, deployment, &folder)?;
    }
    let mut kept = folder.stages()?;
    if record::are_over(&kept) {
        return Ok(());
    }
    kept.retain(|one| {
        one.node.hook != Hook::AfterSwitch || one.run.status.is_over() || end.wants(&one.node)
    });
    for one in &mut kept {
        if one.node.hook != Hook::AfterSwitch && !one.run.status.is_over() {
            one.run.status = StageStatus::Cancelled;
        }
    }
    folder.keep(&kept)?;
    background::begin(host, deployment);
    Ok(())
}

/// One that failed before its settings were known is told of as those of the live version say.
fn plan_for_failure(host: &Host, deployment: &Deployment, folder: &Folder) -> Result<(), Failure> {
    let live = host.live(&deployment.project, &deployment.environment)?;
    let Some(settings) = live.and_then(|(live, _)| live.outputs.settings) else { return Ok(()) };
    let plugins = host.plugins.of_project(Some(&deployment.project));
    let mut nodes = nodes(&settings, &plugins)?;
    nodes.retain(|node| node.hook == Hook::AfterSwitch && End::Failed.wants(node));
    if nodes.is_empty() {
        return Ok(());
    }
    folder.keep(&nodes.into_iter().map(Kept::new).collect::<Vec<_>>())
}

/// After a start: stages that were cut off in the background run again.
pub(crate) async fn resume(host: &Arc<Host>) {
    let data_dir = host.config.data_dir.clone();
    let found = tokio::task::spawn_blocking(move || -> std::io::Result<_> {
        let mut found = record::deployments(&data_dir)?;
        found.retain(|id| !Folder::of(&data_dir, id).is_settled());
        Ok(found)
    });
    let found = match found.await.map_err(std::io::Error::other).flatten() {
        Ok(found) => found,
        Err(error) => {
            tracing::error!(%error, "the stages of before could not be read");
            return;
        }
    };
    for id in found {
        if let Ok(Some((deployment, _))) = host.deployment(&id) {
            ended(host, &deployment);
        }
    }
}

/// Removes what is kept of stages of deployments and projects that are gone. What lies there is looked at before
/// the store is asked: what is begun in between is left alone.
///
/// # Errors
/// The store's; `prune.stages`.
pub(crate) async fn sweep(host: &Host) -> Result<(), Failure> {
    let data_dir = host.config.data_dir.clone();
    let (mut gone, caches) =
        swept(move || Ok((record::deployments(&data_dir)?, cache::of_projects(&data_dir)?)))
            .await?;
    let known = host.store.deployment_ids().map_err(|e| e.to_failure())?;
    let projects = host.store.projects().map_err(|e| e.to_failure())?;
    gone.retain(|id| !known.contains(id));
    let data_dir = host.config.data_dir.clone();
    swept(move || {
        gone.iter().try_for_each(|id| Folder::of(&data_dir, id).remove())?;
        let names: HashSet<&str> = projects.iter().map(|project| project.name.as_str()).collect();
        cache::forget_others(&caches, &names)
    })
    .await
}

/// Does a part of the sweep, off the threads that serve.
async fn swept<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(std::io::Error::other).flatten().map_err(|error| {
        Failure::host(
            "prune.stages",
            "what is kept of stages of earlier deployments could not be removed",
            error.to_string(),
            "check the permissions of `stages` and `cache/stages` in the data directory",
        )
    })
}

/// What becomes of a stage that failed.
const fn failed_as(on_failure: OnFailure) -> StageStatus {
    match on_failure {
        OnFailure::Fail => StageStatus::Failed,
        OnFailure::Warn => StageStatus::Warned,
    }
}

#[cfg(test)]
mod tests {
    use windlass_model::cron::{Overlap, Schedule};
    use windlass_model::settings::When;

    use super::*;

    #[test]
    fn a_stage_that_cannot_be_run_says_that_warn_does_not_cover_that() {
        let failure =
            || Failure::app("plugin.not-granted", "it is not granted", "it asks", "grant");
        let said = beyond_warn(failure(), OnFailure::Warn);
        assert!(said.why.starts_with("it asks; `on_failure = \"warn\"`"), "{said}");
        assert_eq!(beyond_warn(failure(), OnFailure::Fail).why, "it asks");
    }

    #[test]
    fn two_stages_of_a_plugin_cannot_register_a_schedule_of_one_name() {
        let stage = |stage: &str, schedule: &str| {
            let mut kept = Kept::new(Node {
                plugin: "p".to_owned(),
                stage: stage.to_owned(),
                hook: Hook::AfterBuild,
                needs: Vec::new(),
                provides: Vec::new(),
                on_failure: OnFailure::Fail,
                when: When::Success,
                options: serde_json::Map::new(),
            });
            kept.schedules.push(Schedule {
                name: schedule.to_owned(),
                cron: "@daily".to_owned(),
                timezone: None,
                argv: vec!["true".to_owned()],
                process: None,
                overlap: Overlap::Skip,
                timeout_ms: 0,
            });
            kept
        };
        each_name_once(&[stage("a", "p.one"), stage("b", "p.two")]).unwrap();
        let refused = each_name_once(&[stage("a", "p.one"), stage("b", "p.one")]).unwrap_err();
        assert_eq!(refused.code, "cron.name-taken");
        assert!(refused.why.contains("p.a") && refused.why.contains("p.b"), "{}", refused.why);
    }
}
