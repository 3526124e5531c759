//! What a deployment of a source would be: fetched, looked at and planned, and forgotten again.
//!
//! No deployment is made: nothing is stored, queued or built. The credentials, the settings, the names of the
//! variables, the plugins and the rule that chooses are those that a deployment of this moment would have.
//!
//! **Invariant: nothing is left behind**, however it ends. Everything lies in one folder, a [`Scratch`], which
//! goes with it, and at the next start where the host was killed meanwhile.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use windlass_devtools::Asking;
use windlass_model::ahead::{DetectOutput, PlanOutput, PlanView};
use windlass_model::plan::Context;
use windlass_model::plugin::Stage;
use windlass_model::plugin::account::switched_off;
use windlass_model::secret::Masker;
use windlass_model::settings::Settings;
use windlass_model::{DeploymentId, Digest, Failure, StepName};

use super::images::Images;
use super::{plan, preflight, start};
use crate::control::Target;
use crate::disk;
use crate::host::Host;
use crate::plugins::InForce;
use crate::source::{self, Before, Credentials, FetchRequest, FetchedWorkspace};
use crate::steplog::StepLogs;

/// Holds everything of one look; what is in it goes with it.
pub(crate) struct Scratch {
    host: Arc<Host>,
    id: DeploymentId,
    /// Whether an archive lies here, and so everything of its fetch.
    uploads: bool,
    /// Whether it was removed.
    gone: bool,
}

impl Scratch {
    /// For a repository: its cache is the project's.
    pub(crate) fn of_git(host: Arc<Host>) -> Self {
        Self { host, id: DeploymentId::generate(), uploads: false, gone: false }
    }

    /// For an archive, which lies here too.
    pub(crate) fn of_upload(host: Arc<Host>) -> Self {
        Self { host, id: DeploymentId::generate(), uploads: true, gone: false }
    }

    /// What counts as the data directory of the fetch.
    pub(crate) fn data_dir(&self) -> PathBuf {
        let data_dir = &self.host.config.data_dir;
        match self.uploads {
            true => source::work_dir(data_dir, &self.id),
            false => data_dir.clone(),
        }
    }

    /// Removes everything, before this returns.
    pub(crate) async fn clear(mut self) {
        let removed = self.host.clear_workspace(&self.id).await;
        self.gone = removed.is_ok();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.gone {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (data_dir, id) = (self.host.config.data_dir.clone(), self.id.clone());
            runtime.spawn_blocking(move || {
                if let Err(error) = source::remove(&data_dir, &id) {
                    tracing::warn!(%error, "what was looked at is left until the next start");
                }
            });
        }
    }
}

/// Removes what a host left that was killed while it looked at something, or while it removed a workspace. For
/// its start, before it answers requests: what is to go is settled when this returns, and removed behind it.
pub(crate) fn remove_leftovers(host: &Host) -> JoinHandle<()> {
    let data_dir = &host.config.data_dir;
    let mut gone = source::gone(data_dir);
    for entry in std::fs::read_dir(data_dir.join("work")).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse::<DeploymentId>().ok()) else {
            continue;
        };
        if !matches!(host.deployment(&id), Ok(None)) {
            continue;
        }
        match source::release(data_dir, &id) {
            Ok(aside) => gone.extend(aside),
            Err(error) => tracing::warn!(%error, "a forgotten workspace is left"),
        }
    }
    tokio::task::spawn_blocking(move || {
        for path in gone {
            if let Err(error) = source::remove_tree(&path) {
                tracing::warn!(%error, "a workspace that is not needed any more is left");
            }
        }
    })
}

/// Looks at a source. As many as deployments may run are looked at at once; more wait.
///
/// # Errors
/// Those of a fetch, of `windlass.toml`, and `preflight.disk-floor`. That nothing is recognised, or that there
/// is no plan, is part of the answer.
pub(crate) async fn look(
    scratch: Scratch,
    target: &Target,
    source: &windlass_model::Source,
    cancel: &CancellationToken,
) -> Result<PlanView, Failure> {
    let host = scratch.host.clone();
    let turn = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(given_up()),
        turn = host.looks.acquire() => Ok(turn),
    };
    let looked = match turn {
        Ok(_turn) => Box::pin(looked_at(&scratch, target, source, cancel)).await,
        Err(failure) => Err(failure),
    };
    scratch.clear().await;
    looked
}

async fn looked_at(
    scratch: &Scratch,
    target: &Target,
    source: &windlass_model::Source,
    cancel: &CancellationToken,
) -> Result<PlanView, Failure> {
    let host = &scratch.host;
    let limits = &host.config.limits;
    disk::require_room(host, None).await?;
    let credentials = host.source_credentials(&target.project)?;
    let workspace = fetch(scratch, target, source, &credentials, cancel).await?;
    let Target { project, environment } = target;
    let settings = preflight::settings_in_force(host, project, environment, &workspace.dir)?;
    let deadline = Duration::from_secs(limits.detect_s.saturating_add(limits.plan_s));
    let asked = Box::pin(ask(host, target, &workspace, &settings, &credentials));
    let (detected, planned) = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(given_up()),
        asked = tokio::time::timeout(deadline, asked) => {
            asked.map_err(|_| too_slow(StepName::Plan, deadline))??
        }
    };
    let (plan, failure) = match planned {
        Ok(plan) => (Some(plan), None),
        Err(failure) => (None, Some(failure)),
    };
    let FetchedWorkspace { fetched, warnings, .. } = workspace;
    Ok(PlanView { fetched, detected, plan, failure, warnings })
}

/// Within the time of the step. It is told to end and waited for, so that nothing is written behind it.
async fn fetch(
    scratch: &Scratch,
    target: &Target,
    source: &windlass_model::Source,
    credentials: &Credentials,
    cancel: &CancellationToken,
) -> Result<FetchedWorkspace, Failure> {
    let host = &scratch.host;
    let (limits, data_dir) = (&host.config.limits, scratch.data_dir());
    let request = FetchRequest {
        source,
        credentials,
        before: Before::default(),
        data_dir: &data_dir,
        project: &target.project,
        environment: &target.environment,
        deployment: &scratch.id,
        limits,
        builder: None,
    };
    let logs = StepLogs::new(&source::work_dir(&host.config.data_dir, &scratch.id), limits);
    let log = logs.open(&scratch.id, StepName::Fetch, Masker::default()).map_err(|e| {
        Failure::host(
            "source.host-failed",
            "could not prepare the workspace",
            e.to_string(),
            "check the space and the permissions of the data directory, then ask again",
        )
    })?;
    let cancel = cancel.child_token();
    let deadline = Duration::from_secs(limits.fetch_s);
    let fetching = Box::pin(source::fetch(request, &log, &cancel));
    let mut fetched = std::pin::pin!(disk::while_room(host, &cancel, fetching));
    tokio::select! {
        biased;
        fetched = &mut fetched => fetched,
        () = tokio::time::sleep(deadline) => {
            cancel.cancel();
            let _ended = fetched.await;
            Err(too_slow(StepName::Fetch, deadline))
        }
    }
}

type Asked = (DetectOutput, Result<PlanOutput, Failure>);

async fn ask(
    host: &Arc<Host>,
    target: &Target,
    workspace: &FetchedWorkspace,
    settings: &Settings,
    credentials: &Credentials,
) -> Result<Asked, Failure> {
    let Target { project, environment } = target;
    let variables = host.variables(project, environment)?;
    let context: Context = plan::context_of(host, project, environment, settings, &variables)?;
    let tree = workspace.fetched.tree.clone();
    let source = plan::opened(&workspace.dir, tree)?;
    let images = Arc::new(Images::new(host.builder.clone(), credentials.images(project)));
    let plugins = host.plugins.of_project(Some(project));
    let sandbox = plugins.sandbox().with_images(images.clone());
    let (_, off) = plugins.to_ask(Stage::Detector);
    // As a deployment would: a detector that is switched off is passed over.
    let asked: Vec<_> = plugins
        .all()
        .iter()
        .filter(|plugin| plugins.off(plugin, Stage::Detector).is_none())
        .cloned()
        .collect();
    let asking = Asking {
        sandbox: &sandbox,
        plugins: &asked,
        source: &source,
        context: &context,
        settings,
        port: start::port_variable(&variables),
        limits: &host.config.limits.build,
    };
    let mut detected = asking.detect().await;
    detected.problems = host.plugins.problems();
    detected.problems.extend(off.into_iter().map(|off| (off.plugin.clone(), switched_off(off))));
    let planned = match &detected.outcome {
        Ok(chosen) => match builder_is_on(&plugins, &chosen.plugin.digest) {
            Err(failure) => Err(failure),
            Ok(()) => {
                let planned = asking.plan(chosen).await.map_err(|failure| images.explain(failure));
                planned.and_then(|planned| {
                    plan::check_commands(&planned.stored.plan)?;
                    plan::check_schedules(settings, &planned.stored.plan)?;
                    Ok(planned)
                })
            }
        },
        Err(failure) => Err(failure.clone()),
    };
    Ok((detected.into(), planned))
}

fn builder_is_on(plugins: &InForce, chosen: &Digest) -> Result<(), Failure> {
    let builder = plugins.of(Stage::Builder).find(|plugin| plugin.info().digest == *chosen);
    builder.map_or(Ok(()), |builder| plugins.require_on(builder, Stage::Builder))
}

fn given_up() -> Failure {
    Failure::app(
        "source.cancelled",
        "the source was not looked at to its end",
        "the one who asked hung up",
        "ask again",
    )
}

fn too_slow(step: StepName, deadline: Duration) -> Failure {
    Failure::app(
        format!("{step}.deadline"),
        format!("it took longer than {} s", deadline.as_secs()),
        "it was ended, with everything that it had started",
        format!("ask again; raise `{step}_s` in the limits file if it happens often"),
    )
}

#[cfg(test)]
mod tests {
    use windlass_model::{EnvironmentName, Limits, Source};

    use super::*;
    use crate::testing::TestHost;

    fn target() -> Target {
        Target { project: "shop".parse().unwrap(), environment: EnvironmentName::production() }
    }

    async fn world() -> TestHost {
        let parts = TestHost::with(Limits::default(), &crate::pipeline::TABLE).await;
        let Target { project, environment } = target();
        parts.host.store.ensure_project(&project).await.unwrap();
        parts.host.store.ensure_environment(&project, &environment).await.unwrap();
        parts
    }

    /// What lies in the folder of workspaces.
    fn left(host: &Host) -> usize {
        std::fs::read_dir(host.config.data_dir.join("work")).map_or(0, Iterator::count)
    }

    #[tokio::test]
    async fn who_hangs_up_leaves_nothing() {
        let parts = world().await;
        let source = Source::Git { url: "file:///nowhere".into(), reference: None };
        let turns = u32::try_from(parts.host.config.limits.deployments_running_max).unwrap();
        let _taken = parts.host.looks.acquire_many(turns).await.unwrap();
        let scratch = Scratch::of_git(parts.host.clone());
        std::fs::create_dir_all(source::work_dir(&scratch.data_dir(), &scratch.id)).unwrap();
        let cancel = CancellationToken::new();
        let hangs_up = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(left(&parts.host), 1);
            cancel.cancel();
        };
        let target = target();
        let (looked, ()) = tokio::join!(look(scratch, &target, &source, &cancel), hangs_up);
        assert_eq!(looked.unwrap_err().code, "source.cancelled");
        assert_eq!(left(&parts.host), 0);
    }

    #[tokio::test]
    async fn what_is_dropped_is_removed_and_what_a_kill_left_is_at_the_next_start() {
        let parts = world().await;
        let host = &parts.host;
        let scratch = Scratch::of_upload(host.clone());
        std::fs::create_dir_all(scratch.data_dir().join("uploads")).unwrap();
        drop(scratch);
        for _ in 0..200 {
            if left(host) == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(left(host), 0);

        let Target { project, environment } = target();
        let kind = windlass_model::deployment::Kind::Deploy;
        let source = Source::Git { url: "file:///x".into(), reference: None };
        let deployment = windlass_model::Deployment::queued(
            project,
            environment,
            0,
            kind,
            source,
            "test".into(),
        );
        let kept = host.store.create_deployment(deployment).await.unwrap().value.id;
        for id in [&kept, &DeploymentId::generate()] {
            let dir = source::workspace_dir(&host.config.data_dir, id);
            std::fs::create_dir_all(dir).unwrap();
        }
        // Of one that is known, too: killed while it was being removed.
        std::fs::create_dir_all(host.config.data_dir.join(format!("work/{kept}.gone/source")))
            .unwrap();
        remove_leftovers(host).await.unwrap();
        assert_eq!(left(host), 1);
        assert!(source::workspace_dir(&host.config.data_dir, &kept).exists());
    }
}
