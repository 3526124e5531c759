//! Asking for deployments, showing them, and asking for their end.

use std::sync::Arc;

use windlass_model::access::TokenScope;
use windlass_model::api::{CreateDeployment, DeploymentView, Page};
use windlass_model::deployment::{Kind, StoredPlan};
use windlass_model::project::Intent;
use windlass_model::{Deployment, DeploymentId, DeploymentStatus, Failure, Source, StepName};
use windlass_store::{Created, Idempotency};

use super::find::{self, Wanted};
use super::once::{self, answered_before};
use super::{Target, ensure, projects, require, stored, views};
use crate::access::caller;
use crate::host::Host;
use crate::pipeline::custom::record::Folder;
use crate::source::{address, uploads};

/// Records that are read at once while one is looked for.
const LOOKED_AT_ONCE: usize = 20;

/// Who asks, and how.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Who.
    pub actor: String,
    /// Whether a missing project or environment is made.
    pub create: bool,
    /// Only to be built, and kept under this name.
    pub build: Option<String>,
    /// So that it can be sent again: what it made once is not made again.
    pub once: Option<Idempotency>,
    /// Whether every step of the build is carried out although its result is there.
    pub no_cache: bool,
}

impl Request {
    /// From somebody, once, in what is there.
    pub fn by(actor: impl Into<String>) -> Self {
        Self { actor: actor.into(), ..Self::default() }
    }

    fn kind(&self) -> Kind {
        match &self.build {
            Some(image) => Kind::Build { image: image.clone() },
            None => Kind::Deploy,
        }
    }
}

/// Queues a deployment from a Git repository.
///
/// # Errors
/// `project.not-found`, `environment.not-found`, `deployment.no-source`, `source.url-invalid`,
/// `source.url-has-credentials`, `source.reference-invalid`, `git-token.invalid`, `store.too-many`.
pub async fn from_git(
    host: &Arc<Host>,
    target: &Target,
    body: CreateDeployment,
    request: &Request,
) -> Result<DeploymentView, Failure> {
    if let Some(url) = &body.git_url {
        address::check_url(url)?;
    }
    if let Some(reference) = &body.reference {
        address::check_reference(reference)?;
    }
    if let Some(image) = body.image {
        if body.git_url.is_some() || body.reference.is_some() || body.git_token.is_some() {
            return Err(image_and_git());
        }
        check_image(&image)?;
        prepare(host, target, request).await?;
        let source = Source::Image { reference: image };
        return queue(host, target, request.kind(), source, request).await;
    }
    let token = body.git_token.as_deref().map(projects::check_token).transpose()?;
    if token.is_some() {
        caller::must_have(TokenScope::Admin, "storing a Git token")?;
    }
    if let Some(before) = answered_before(host, &target.project, request.once.as_ref()).await? {
        return Ok(before);
    }
    prepare(host, target, request).await?;
    let source = match body.git_url {
        Some(url) => Source::Git { url, reference: body.reference },
        None => last_git_source(host, target, body.reference)?,
    };
    if let Some(token) = token {
        host.store.set_git_token(&target.project, &token).await.map_err(stored)?;
    }
    queue(host, target, request.kind(), source, request).await
}

/// Whether an image can be asked for by this name.
///
/// # Errors
/// `registry.invalid-reference`.
fn check_image(image: &str) -> Result<(), Failure> {
    image.parse::<windlass_build::registry::Reference>().map(drop).map_err(|error| {
        Failure::app(
            "registry.invalid-reference",
            format!("{image:?} is not an image's name"),
            error.why,
            "use name:tag or name@sha256:digest, for instance ghcr.io/me/shop:2.1",
        )
    })
}

fn image_and_git() -> Failure {
    Failure::app(
        "deployment.two-sources",
        "a deployment has one source",
        "the request names an image, and a repository too",
        "leave out `image`, or `git_url`, `reference` and `git_token`",
    )
}

/// Queues a deployment from an archive that was uploaded.
///
/// # Errors
/// `project.not-found`, `environment.not-found`, `archive.name-invalid`, `store.too-many`.
pub async fn from_archive(
    host: &Arc<Host>,
    target: &Target,
    source: Source,
    request: &Request,
) -> Result<DeploymentView, Failure> {
    if let Some((_, name)) = source.upload() {
        check_archive_name(name)?;
    }
    prepare(host, target, request).await?;
    queue(host, target, request.kind(), source, request).await
}

/// Makes what is missing, or refuses: asked before an upload is read, too.
///
/// # Errors
/// `project.not-found`, `environment.not-found`.
pub async fn prepare(host: &Arc<Host>, target: &Target, request: &Request) -> Result<(), Failure> {
    if request.create {
        return ensure(host, target).await;
    }
    require(host, target).map_err(|mut failure| {
        failure.fix = format!("{}; or let it be made: ?create=true", failure.fix);
        failure
    })
}

/// The name of an archive is shown, so it is text of one line.
///
/// # Errors
/// `archive.name-invalid`.
pub fn check_archive_name(name: &str) -> Result<(), Failure> {
    if (1..=255).contains(&name.len()) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Failure::app(
        "archive.name-invalid",
        "the archive's name cannot be shown",
        "it must have 1 to 255 characters, none of them a control character",
        "pass ?name= with the file's or the folder's name",
    ))
}

/// Queues the same source again: of the live deployment, or of the newest when none is live.
///
/// # Errors
/// `environment.not-found`, `deployment.no-source`, `deployment.upload-gone`, `store.too-many`.
pub async fn redeploy(
    host: &Arc<Host>,
    target: &Target,
    request: &Request,
) -> Result<DeploymentView, Failure> {
    let Target { project, environment } = target;
    if let Some(before) = answered_before(host, project, request.once.as_ref()).await? {
        return Ok(before);
    }
    let found = host.store.environment(project, environment).map_err(stored)?.value;
    let live = match &found.live {
        Some(id) => host.store.find_deployment(id).map_err(stored)?.map(|found| found.value),
        None => None,
    };
    let of = match live {
        Some(live) => live,
        None => {
            newest(host, target, |one| !one.kind.is_build())?.ok_or_else(|| no_source(target))?
        }
    };
    Box::pin(redeploy_of(host, of, request)).await
}

/// Queues the source of a deployment again. A branch is looked up anew.
///
/// # Errors
/// `deployment.upload-gone`, `store.too-many`.
pub async fn redeploy_of(
    host: &Arc<Host>,
    of: Deployment,
    request: &Request,
) -> Result<DeploymentView, Failure> {
    if let Some(before) = answered_before(host, &of.project, request.once.as_ref()).await? {
        return Ok(before);
    }
    if let Some((digest, name)) = of.source.upload()
        && !uploads::path(&host.config.data_dir, digest).exists()
    {
        return Err(Failure::app(
            "deployment.upload-gone",
            format!("the archive {name} of deployment #{} is not kept any more", of.number),
            "uploaded archives are removed with the deployments that used them",
            "deploy the folder again: windlass deploy",
        ));
    }
    let source = of.source_again();
    let target = Target { project: of.project, environment: of.environment };
    queue(host, &target, Kind::Redeploy { of: of.id }, source, request).await
}

/// Stores a queued deployment and wakes the queue.
pub(super) async fn queue(
    host: &Arc<Host>,
    target: &Target,
    kind: Kind,
    source: Source,
    request: &Request,
) -> Result<DeploymentView, Failure> {
    let (project, environment) = (target.project.clone(), target.environment.clone());
    let actor = request.actor.clone();
    // The store gives it its number.
    let mut deployment = Deployment::queued(project, environment, 0, kind, source, actor);
    deployment.no_cache = request.no_cache;
    Box::pin(queue_deployment(host, deployment, request)).await
}

/// The same, of one that was made ready.
pub(super) async fn queue_deployment(
    host: &Arc<Host>,
    deployment: Deployment,
    request: &Request,
) -> Result<DeploymentView, Failure> {
    let created =
        Box::pin(host.store.create_deployment_once(deployment, request.once.as_ref())).await;
    let created = created.map_err(stored)?;
    if let Created::New(made) = &created {
        host.wake.notify_one();
        let made = &made.value;
        tracing::info!(deployment = %made.id, project = %made.project, number = made.number, "queued");
    }
    Box::pin(once::answer(host, created)).await
}

fn last_git_source(
    host: &Host,
    target: &Target,
    reference: Option<String>,
) -> Result<Source, Failure> {
    // A promotion is of a commit of another environment's branch.
    let follows = |deployment: &Deployment| {
        matches!(deployment.source, Source::Git { .. })
            && !matches!(deployment.kind, Kind::Promote { .. } | Kind::Build { .. })
    };
    let is_git = |deployment: &Deployment| {
        matches!(deployment.source, Source::Git { .. }) && !deployment.kind.is_build()
    };
    let last = match newest(host, target, follows)? {
        Some(found) => Some(found),
        None => newest(host, target, is_git)?,
    };
    match last.map(|deployment| deployment.source_again()) {
        Some(Source::Git { url, reference: last }) => {
            Ok(Source::Git { url, reference: reference.or(last) })
        }
        _ => Err(no_source(target)),
    }
}

/// The newest deployment of an environment that fits.
pub(super) fn newest(
    host: &Host,
    target: &Target,
    fits: impl Fn(&Deployment) -> bool,
) -> Result<Option<Deployment>, Failure> {
    let mut wanted = Wanted {
        project: Some(target.project.clone()),
        environment: Some(target.environment.clone()),
        limit: LOOKED_AT_ONCE,
        ..Wanted::default()
    };
    loop {
        let (newest_first, next) = find::page(host, &wanted)?;
        if let Some(found) = newest_first.into_iter().find(&fits) {
            return Ok(Some(found));
        }
        wanted.before = next;
        if wanted.before.is_none() {
            return Ok(None);
        }
    }
}

fn no_source(target: &Target) -> Failure {
    Failure::app(
        "deployment.no-source",
        format!("there is nothing to deploy in {}/{} yet", target.project, target.environment),
        "no repository was named, and none was deployed here before",
        "name one: windlass deploy https://… , or deploy the current folder: windlass deploy",
    )
}

/// A deployment as it is shown.
///
/// # Errors
/// The store's.
pub async fn show(host: &Arc<Host>, deployment: Deployment) -> Result<DeploymentView, Failure> {
    let addresses = match deployment.status {
        DeploymentStatus::Live => views::Addresses::of(host).await,
        _ => views::Addresses::default(),
    };
    let folder = Folder::of(&host.config.data_dir, &deployment.id);
    let mut view = views::deployment(host, deployment, &views::Queue::of(host)?, &addresses)?;
    view.stages = folder.stages()?.into_iter().map(|kept| kept.run).collect();
    view.stages.sort_by_key(|stage| stage.hook);
    view.annotations = folder.annotations();
    view.attached = folder.attached();
    Ok(view)
}

/// A page of deployments, newest first.
///
/// # Errors
/// `project.not-found`.
pub async fn list(host: &Arc<Host>, wanted: &Wanted) -> Result<Page<DeploymentView>, Failure> {
    let addresses = views::Addresses::of(host).await;
    let queue = views::Queue::of(host)?;
    let (found, next) = find::page(host, wanted)?;
    let shown = found.into_iter().map(|one| views::deployment(host, one, &queue, &addresses));
    Ok(Page { items: shown.collect::<Result<_, _>>()?, next: next.map(String::from) })
}

/// Asks for the end of a deployment that is queued or running. The runner ends it; this returns at
/// once.
///
/// # Errors
/// `deployment.past-switch`, `deployment.live`, `deployment.over`.
pub async fn cancel(
    host: &Arc<Host>,
    id: &DeploymentId,
    actor: &str,
) -> Result<DeploymentView, Failure> {
    let deployment = host.store.deployment(id).map_err(stored)?.value;
    refuse_cancel(&deployment)?;
    let intent = Intent::Cancel { deployment: id.clone(), actor: actor.to_owned() };
    host.store.put_intent(intent).await.map_err(stored)?;
    host.wake.notify_one();
    show(host, deployment).await
}

/// Whether a running deployment goes back: what it has begun is being undone.
pub(super) fn is_ending(deployment: &Deployment) -> bool {
    let goes_back = deployment.failure.is_some() || deployment.cancelled.is_some();
    deployment.status == DeploymentStatus::Running && goes_back
}

fn refuse_cancel(deployment: &Deployment) -> Result<(), Failure> {
    use DeploymentStatus as S;
    let number = deployment.number;
    let step = deployment.current_step().unwrap_or(StepName::Finish);
    let back =
        "go back to the version before it with `windlass rollback`, or end it with `windlass stop`";
    let (code, why, fix) = match deployment.status {
        S::Queued | S::Paused => return Ok(()),
        S::Running if step.cancellable() => return Ok(()),
        S::Running if is_ending(deployment) => (
            "deployment.over",
            "it is being cleaned up".to_owned(),
            format!("wait for its end; `windlass show {number}` tells what became of it"),
        ),
        S::Running => (
            "deployment.past-switch",
            format!("it is in {step}: traffic already moves to it"),
            format!("wait until it is live, as `windlass show {number}` tells; then {back}"),
        ),
        S::Live => ("deployment.live", "it is live".to_owned(), back.to_owned()),
        S::Stopped => (
            "deployment.over",
            "it is stopped: nothing of it runs".to_owned(),
            "bring it back with `windlass start`, or deploy its source again with `windlass redeploy`"
                .to_owned(),
        ),
        S::Stuck => (
            "deployment.over",
            "it is stuck: its clean-up failed, and is tried again by itself".to_owned(),
            format!("mend what is in the way: `windlass show {number}` tells what it is"),
        ),
        other => (
            "deployment.over",
            format!("it is {other}"),
            "nothing is left to cancel; `windlass deployments` shows what runs".to_owned(),
        ),
    };
    Err(Failure::app(code, format!("deployment #{number} cannot be cancelled"), why, fix))
}

/// The plan that a deployment was built by.
///
/// # Errors
/// `deployment.no-plan`.
pub fn plan(host: &Host, deployment: &Deployment) -> Result<StoredPlan, Failure> {
    let found = match &deployment.outputs.plan {
        Some(digest) => host.store.plan(digest).map_err(stored)?,
        None => None,
    };
    found.ok_or_else(|| {
        Failure::app(
            "deployment.no-plan",
            format!("deployment #{} has no plan", deployment.number),
            "it has not come as far as the step `plan`, or it is a rollback",
            "`windlass show` tells how far it came",
        )
    })
}

#[cfg(test)]
mod tests {
    use windlass_model::StepStatus;

    use super::*;
    use crate::testing::queued;

    fn in_step(step: StepName) -> Deployment {
        let mut deployment = queued(7);
        deployment.status = DeploymentStatus::Running;
        for row in deployment.steps.iter_mut().take_while(|row| row.name != step) {
            row.status = StepStatus::Succeeded;
        }
        deployment
    }

    #[test]
    fn cancel_is_refused_from_the_switch_on_and_at_every_end_and_names_what_to_do_instead() {
        use DeploymentStatus as S;
        for step in StepName::ALL.into_iter().filter(|step| *step < StepName::Switch) {
            assert!(refuse_cancel(&in_step(step)).is_ok(), "{step}");
        }
        let (switch, finish) = (StepName::Switch, StepName::Finish);
        for (status, step, code, words) in [
            // `stop` is refused then, too: it is named for afterwards.
            (S::Running, switch, "deployment.past-switch", "wait until it is live"),
            (S::Running, finish, "deployment.past-switch", "then go back"),
            (S::Running, finish, "deployment.past-switch", "`windlass rollback`"),
            (S::Live, finish, "deployment.live", "`windlass rollback`"),
            (S::Live, finish, "deployment.live", "`windlass stop`"),
            (S::Stopped, finish, "deployment.over", "`windlass start`"),
            (S::Stuck, switch, "deployment.over", "`windlass show 7`"),
            (S::Draining, finish, "deployment.over", "`windlass deployments`"),
            (S::Retired, finish, "deployment.over", "`windlass deployments`"),
            (S::Built, finish, "deployment.over", "`windlass deployments`"),
            (S::Failed, switch, "deployment.over", "`windlass deployments`"),
            (S::Cancelled, switch, "deployment.over", "`windlass deployments`"),
        ] {
            let mut deployment = in_step(step);
            deployment.status = status;
            let failure = refuse_cancel(&deployment).unwrap_err();
            assert_eq!(failure.code, code, "{status} in {step}");
            assert!(failure.fix.contains(words), "{status} in {step}: {}", failure.fix);
        }
        // Its switch failed, and is being undone: it does not go live any more.
        let mut ending = in_step(StepName::Switch);
        ending.failure = Some(Failure::app("test.failed", "it failed", "so", "change it"));
        let failure = refuse_cancel(&ending).unwrap_err();
        assert_eq!(failure.code, "deployment.over");
        assert!(failure.fix.contains("wait for its end"), "{}", failure.fix);
    }
}
