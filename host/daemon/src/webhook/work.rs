//! The work behind a delivery: which environments it is for, and the deployments it leads to.
//!
//! **Invariant: a delivery leads to one deployment in an environment, however often its work is begun.**
//! The deployment carries the delivery's id, in the write that makes it; the work begins by looking for
//! it. Deliveries of one project are worked on in order of arrival, projects beside each other.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use windlass_model::deployment::Kind;
use windlass_model::webhook::{
    AutoDeploy, Delivery, Event, Outcome, PreviewOf, PullRequestAction, PullRequestEvent,
    PushEvent, Pushed, StatusReport, Trigger, Verdict, Webhook,
};
use windlass_model::{Deployment, EnvironmentName, Failure, ProjectName, Source, Timestamp};
use windlass_store::HistoryFilter;

use super::{decide, preview, receive};
use crate::control::stored;
use crate::host::Host;

/// Looked at least this often: what could not be done is tried again.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// Projects that are worked on at the same time: the path filter may have to ask a slow remote.
const PROJECTS_MAX: usize = 4;
/// Deployments of an environment among which one of a delivery is looked for.
const LOOK_BACK: usize = 50;

/// Works on pending deliveries, those of before a crash first, until the host stops.
pub(super) async fn run(host: Arc<Host>) {
    let mut watch = host.store.watch_pending_deliveries();
    let mut busy: HashSet<ProjectName> = HashSet::new();
    let mut jobs: JoinSet<ProjectName> = JoinSet::new();
    loop {
        for project in waiting(&host) {
            if jobs.len() < PROJECTS_MAX && busy.insert(project.clone()) {
                jobs.spawn(of_project(host.clone(), project));
            }
        }
        tokio::select! {
            changed = watch.changed() => if changed.is_none() { return },
            () = tokio::time::sleep(LOOK_EVERY) => {}
            Some(ended) = jobs.join_next(), if !jobs.is_empty() => match ended {
                Ok(project) => { busy.remove(&project); }
                Err(error) => {
                    tracing::error!(%error, "the work behind a delivery ended by a defect");
                    // Which project it was is not known: none is worked on while the others end.
                    while jobs.join_next().await.is_some() {}
                    busy.clear();
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            },
        }
    }
}

/// Projects with pending deliveries, the longest waiting first.
fn waiting(host: &Host) -> Vec<ProjectName> {
    let pending = host.store.pending_deliveries().unwrap_or_else(|error| {
        tracing::error!(%error, "the pending deliveries could not be read");
        Vec::new()
    });
    let mut projects = Vec::new();
    for delivery in pending {
        if !projects.contains(&delivery.project) {
            projects.push(delivery.project);
        }
    }
    projects
}

async fn of_project(host: Arc<Host>, project: ProjectName) -> ProjectName {
    let pending = host.store.pending_deliveries().unwrap_or_default();
    for delivery in pending.into_iter().filter(|one| one.project == project) {
        if let Err(failure) = one(&host, delivery).await {
            tracing::warn!(%failure, %project, "a delivery waits; it is tried again");
            tokio::time::sleep(Duration::from_secs(2)).await;
            break;
        }
    }
    project
}

/// One delivery, to its verdict. Fails when that cannot be reached now: it stays pending.
pub(super) async fn one(host: &Arc<Host>, mut delivery: Delivery) -> Result<(), Failure> {
    crate::failpoint::reached("webhook:work");
    let webhook = host.store.find_webhook(&delivery.webhook).map_err(stored)?;
    let outcomes = match webhook {
        Some(webhook) => Box::pin(outcomes(host, &webhook.value, &delivery)).await?,
        None => Vec::new(),
    };
    settle(&mut delivery, outcomes);
    tracing::info!(
        delivery = %delivery.id, project = %delivery.project, verdict = %delivery.verdict,
        code = delivery.code, "a delivery is settled"
    );
    crate::failpoint::reached("webhook:deployed");
    host.store.settle_delivery(&delivery).await.map_err(stored)?;
    let pruned = host.store.prune_deliveries(&delivery.webhook, Timestamp::now()).await;
    if let Err(error) = pruned {
        tracing::warn!(%error, "old deliveries could not be forgotten; the next one tries again");
    }
    Ok(())
}

/// The verdict of the whole: accepted when anything was.
fn settle(delivery: &mut Delivery, outcomes: Vec<Outcome>) {
    let weight = |outcome: &&Outcome| match outcome.verdict {
        Verdict::Accepted => 3,
        Verdict::Refused => 2,
        Verdict::Ignored => 1,
        Verdict::Pending => 0,
    };
    // Of equals the first tells.
    let telling = outcomes.iter().rev().max_by_key(weight);
    (delivery.verdict, delivery.code, delivery.reason) = match telling {
        Some(one) => (one.verdict, one.code.clone(), one.reason.clone()),
        None => (Verdict::Ignored, "nothing-to-do".into(), "nothing of it matters here".into()),
    };
    delivery.outcomes = outcomes;
    delivery.settled_at = Some(Timestamp::now());
}

async fn outcomes(
    host: &Arc<Host>,
    webhook: &Webhook,
    delivery: &Delivery,
) -> Result<Vec<Outcome>, Failure> {
    let mut outcomes = Vec::new();
    for event in &delivery.events {
        match event {
            Event::Ping => {}
            Event::Push(push) => outcomes.extend(pushed(host, webhook, delivery, push).await?),
            Event::PullRequest(change) => {
                outcomes.push(pull_request(host, webhook, delivery, change).await?);
            }
        }
    }
    Ok(outcomes)
}

/// An outcome without a deployment.
pub(super) fn nothing(
    subject: &str,
    verdict: Verdict,
    code: &str,
    reason: impl Into<String>,
) -> Outcome {
    Outcome {
        subject: subject.to_owned(),
        verdict,
        code: code.to_owned(),
        reason: reason.into(),
        environment: None,
        deployment: None,
        number: None,
    }
}

async fn pushed(
    host: &Arc<Host>,
    webhook: &Webhook,
    delivery: &Delivery,
    push: &PushEvent,
) -> Result<Vec<Outcome>, Failure> {
    let subject = push.pushed.to_string();
    let ignored =
        |code: &str, reason: String| Ok(vec![nothing(&subject, Verdict::Ignored, code, reason)]);
    let Some(commit) = &push.after else {
        return Ok(vec![deleted(host, &webhook.project, &push.pushed).await?]);
    };
    if let Some(marker) = decide::skip_marker(push.message.as_deref()) {
        return ignored("skip-marker", format!("the commit's message says {marker}"));
    }
    let rules = rules(host, &webhook.project)?;
    let targets = decide::targets(&rules, push);
    if targets.is_empty() {
        let settings = host.store.preview_settings(&webhook.project).map_err(stored)?;
        if let Pushed::Branch(branch) = &push.pushed
            && settings.branches.as_deref().is_some_and(|pattern| decide::fits(pattern, branch))
        {
            let trigger = trigger_of_push(delivery, push, commit);
            let wanted = preview::Wanted {
                origin: PreviewOf::Branch(branch.clone()),
                from_fork: false,
                trigger,
            };
            return Ok(vec![preview::update(host, webhook, &settings, wanted).await?]);
        }
        let (code, reason) = not_mapped(&push.pushed);
        return ignored(code, reason);
    }
    let mut outcomes = Vec::new();
    for (environment, rule) in targets {
        outcomes.push(to_environment(host, webhook, delivery, push, environment, rule).await?);
    }
    Ok(outcomes)
}

fn not_mapped(pushed: &Pushed) -> (&'static str, String) {
    match pushed {
        Pushed::Branch(name) => (
            "branch-not-mapped",
            format!(
                "no environment deploys the branch {name}: windlass environment set NAME --branch \
                 {name} --auto-deploy on"
            ),
        ),
        Pushed::Tag(name) => (
            "tags-off",
            format!(
                "no environment deploys the tag {name}: windlass environment set NAME --tags 'v*'"
            ),
        ),
    }
}

async fn to_environment(
    host: &Arc<Host>,
    webhook: &Webhook,
    delivery: &Delivery,
    push: &PushEvent,
    environment: &EnvironmentName,
    rule: &AutoDeploy,
) -> Result<Outcome, Failure> {
    let subject = push.pushed.to_string();
    let outcome = |code: &str, reason: String| Outcome {
        environment: Some(environment.clone()),
        ..nothing(&subject, Verdict::Ignored, code, reason)
    };
    if !rule.enabled {
        let fix = format!("windlass environment set {environment} --auto-deploy on");
        return Ok(outcome(
            "auto-deploy-off",
            format!("pushes do not deploy to {environment}: {fix}"),
        ));
    }
    let Some(commit) = &push.after else {
        return Ok(outcome("branch-deleted", format!("{subject} was deleted")));
    };
    // What a person sends again on purpose is deployed whatever it changes.
    if delivery.redelivery_of.is_none()
        && let Some(reason) = untouched(host, webhook, environment, commit).await?
    {
        return Ok(outcome("paths-not-touched", reason));
    }
    let trigger = trigger_of_push(delivery, push, commit);
    deploy(host, webhook, environment, &subject, trigger).await
}

/// Why a commit does not concern the environment by its path filter, if it does not. When that cannot
/// be told, it does.
async fn untouched(
    host: &Arc<Host>,
    webhook: &Webhook,
    environment: &EnvironmentName,
    commit: &str,
) -> Result<Option<String>, Failure> {
    let live = host.live(&webhook.project, environment)?;
    let old = live.and_then(|(live, _)| live.outputs.fetched).and_then(|fetched| fetched.commit);
    let Some(old) = old.filter(|old| old != commit) else {
        return Ok(None);
    };
    let url = receive::expected_repository(host, webhook)?;
    let project = &webhook.project;
    Ok(super::paths::untouched(host, project, environment, &url, &old, commit).await)
}

fn trigger_of_push(delivery: &Delivery, push: &PushEvent, commit: &str) -> Trigger {
    let (branch, tag) = match &push.pushed {
        Pushed::Branch(name) => (Some(name.clone()), None),
        Pushed::Tag(name) => (None, Some(name.clone())),
    };
    Trigger {
        webhook: delivery.webhook.clone(),
        delivery: delivery.id.clone(),
        commit: commit.to_owned(),
        api_name: push.repository.api_name.clone(),
        branch,
        tag,
        pull_request: None,
    }
}

/// The rules of all environments that are not previews.
fn rules(
    host: &Host,
    project: &ProjectName,
) -> Result<Vec<(EnvironmentName, AutoDeploy)>, Failure> {
    let mut rules = Vec::new();
    for environment in host.store.environments(project).map_err(stored)? {
        let name = environment.name;
        if host.store.preview(project, &name).map_err(stored)?.is_none() {
            let set = host.store.auto_deploy(project, &name).map_err(stored)?;
            let rule = set.unwrap_or_else(|| AutoDeploy::of(&name));
            rules.push((name, rule));
        }
    }
    Ok(rules)
}

/// A deleted branch takes its preview along, and nothing else.
async fn deleted(
    host: &Arc<Host>,
    project: &ProjectName,
    pushed: &Pushed,
) -> Result<Outcome, Failure> {
    let subject = pushed.to_string();
    if let Pushed::Branch(name) = pushed {
        let origin = PreviewOf::Branch(name.clone());
        if let Some(found) = preview::find(host, project, &origin)? {
            return preview::end(host, found, "its branch was deleted").await;
        }
    }
    let code = match pushed {
        Pushed::Branch(_) => "branch-deleted",
        Pushed::Tag(_) => "tag-deleted",
    };
    let reason = format!("{subject} was deleted; what is deployed stays");
    Ok(nothing(&subject, Verdict::Ignored, code, reason))
}

async fn pull_request(
    host: &Arc<Host>,
    webhook: &Webhook,
    delivery: &Delivery,
    change: &PullRequestEvent,
) -> Result<Outcome, Failure> {
    let origin = PreviewOf::PullRequest(change.number);
    let subject = origin.to_string();
    let ignored =
        |code: &str, reason: String| Ok(nothing(&subject, Verdict::Ignored, code, reason));
    if change.action == PullRequestAction::Closed {
        return match preview::find(host, &webhook.project, &origin)? {
            Some(found) => preview::end(host, found, "the pull request was closed").await,
            None => ignored("no-preview", "it was closed, and has no preview".to_owned()),
        };
    }
    let settings = host.store.preview_settings(&webhook.project).map_err(stored)?;
    if !settings.pull_requests {
        let reason = "pull requests get no preview: windlass preview set --pull-requests on";
        return ignored("previews-off", reason.to_owned());
    }
    if change.from_fork && !settings.forks {
        let reason =
            "it comes from a fork: windlass preview set --forks on lets strangers' code run here";
        return ignored("fork", reason.to_owned());
    }
    if let Some(marker) = decide::skip_marker(change.message.as_deref()) {
        return ignored("skip-marker", format!("its title or newest commit says {marker}"));
    }
    let trigger = Trigger {
        webhook: delivery.webhook.clone(),
        delivery: delivery.id.clone(),
        commit: change.commit.clone(),
        api_name: change.repository.api_name.clone(),
        branch: Some(change.branch.clone()),
        tag: None,
        pull_request: Some(change.number),
    };
    let wanted = preview::Wanted { origin, from_fork: change.from_fork, trigger };
    preview::update(host, webhook, &settings, wanted).await
}

/// Queues the exact commit, unless this delivery has done so before.
pub(super) async fn deploy(
    host: &Arc<Host>,
    webhook: &Webhook,
    environment: &EnvironmentName,
    subject: &str,
    trigger: Trigger,
) -> Result<Outcome, Failure> {
    let made = match of_delivery(host, &webhook.project, environment, &trigger)? {
        Some(made) => made,
        None => match queue(host, webhook, environment, &trigger).await {
            Ok(made) => made,
            // A full queue or a missing project stays so: the sender's delivery is not held for it.
            Err(failure)
                if failure.code == "store.too-many" || failure.code.ends_with("not-found") =>
            {
                return Ok(nothing(subject, Verdict::Refused, &failure.code, failure.to_string()));
            }
            Err(failure) => return Err(failure),
        },
    };
    if webhook.reports_status {
        let report = StatusReport {
            deployment: made.id.clone(),
            webhook: webhook.id.clone(),
            sent: None,
            tries: 0,
            not_before: None,
        };
        host.store.ensure_status_report(&report).await.map_err(stored)?;
    }
    let short: String = trigger.commit.chars().take(12).collect();
    Ok(Outcome {
        environment: Some(environment.clone()),
        number: Some(made.number),
        deployment: Some(made.id),
        ..nothing(
            subject,
            Verdict::Accepted,
            "deployed",
            format!("deployment #{} of {short} to {environment}", made.number),
        )
    })
}

/// The deployment that an earlier try of the same work has made.
fn of_delivery(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
    trigger: &Trigger,
) -> Result<Option<Deployment>, Failure> {
    let filter = HistoryFilter {
        project: project.clone(),
        environment: Some(environment.clone()),
        before: None,
        limit: LOOK_BACK,
    };
    let recent = host.store.deployments(&filter).map_err(stored)?.items;
    Ok(recent.into_iter().find(|one| one.trigger.as_ref() == Some(trigger)))
}

async fn queue(
    host: &Arc<Host>,
    webhook: &Webhook,
    environment: &EnvironmentName,
    trigger: &Trigger,
) -> Result<Deployment, Failure> {
    let url = receive::expected_repository(host, webhook)?;
    let source = Source::Git { url, reference: Some(trigger.commit.clone()) };
    let (project, actor) = (webhook.project.clone(), format!("webhook:{}", webhook.provider));
    let mut deployment =
        Deployment::queued(project, environment.clone(), 0, Kind::Deploy, source, actor);
    deployment.trigger = Some(trigger.clone());
    let made = Box::pin(host.store.create_deployment(deployment)).await.map_err(stored)?.value;
    host.wake.notify_one();
    Ok(made)
}
