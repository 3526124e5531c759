//! Commit statuses: what became of a commit, told to the provider that sent it.
//!
//! **Invariant: nothing here delays or fails a deployment.** What is to be told is computed from the
//! deployment's record, so a restart loses nothing; only what was told last is kept. A provider that
//! does not answer is asked again with growing pauses, and given up after many tries, with the reason in
//! the webhook's record.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use windlass_model::webhook::{Provider, StatusReport, Trigger, Webhook};
use windlass_model::{Deployment, DeploymentId, DeploymentStatus, Failure, Secret, Timestamp};

use crate::control::{stored, views};
use crate::host::Host;

/// Looked at least this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Requests under way at the same time.
const SENDING_MAX: usize = 8;
/// Tries of one status before it is given up: with the pauses, more than an hour.
const TRIES_MAX: u32 = 12;
/// Longest pause between two tries, in seconds.
const PAUSE_S_MAX: i64 = 600;
/// Until a connection stands, and until the answer is there.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest description, in characters: GitHub's limit.
const DESCRIPTION_CHARS_MAX: usize = 140;

/// How a deployment stands, as providers know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    Success,
    Failure,
    Cancelled,
}

impl State {
    const fn key(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
        }
    }

    const fn is_final(self) -> bool {
        !matches!(self, Self::Pending)
    }
}

fn state(deployment: &Deployment) -> State {
    use DeploymentStatus as S;
    match deployment.status {
        S::Queued | S::Running | S::Paused => State::Pending,
        S::Live | S::Draining | S::Retired | S::Built | S::Stopped => State::Success,
        S::Failed | S::Stuck => State::Failure,
        S::Cancelled => State::Cancelled,
    }
}

fn describe(deployment: &Deployment) -> String {
    let Deployment { number, environment, .. } = deployment;
    let text = match (state(deployment), &deployment.failure) {
        (State::Pending, _) => format!("#{number} is being deployed to {environment}"),
        (State::Success, _) => format!("#{number} is deployed to {environment}"),
        (State::Failure, Some(failure)) => format!("#{number} failed: {}", failure.what),
        (State::Failure, None) => format!("#{number} failed"),
        (State::Cancelled, _) => format!("#{number} was cancelled"),
    };
    text.chars().take(DESCRIPTION_CHARS_MAX).collect()
}

/// One request to a provider's API.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    url: String,
    headers: Vec<(&'static str, Secret<String>)>,
    body: Value,
}

/// What to send, as the provider wants it.
fn message(
    webhook: &Webhook,
    trigger: &Trigger,
    deployment: &Deployment,
    target_url: Option<&str>,
    token: &str,
) -> Option<Message> {
    let base = webhook.api_base.as_deref().or(webhook.provider.api_base())?.trim_end_matches('/');
    let context = format!("windlass/{}", deployment.environment);
    let (commit, state) = (&trigger.commit, state(deployment));
    let plain = |text: &str| Secret::new(text.to_owned());
    let mut message = match webhook.provider {
        Provider::Github => Message {
            url: format!("{base}/repos/{}/statuses/{commit}", trigger.api_name),
            headers: vec![
                ("authorization", Secret::new(format!("Bearer {token}"))),
                ("accept", plain("application/vnd.github+json")),
                ("x-github-api-version", plain("2022-11-28")),
            ],
            body: json!({
                "state": if state == State::Cancelled { "error" } else { state.key() },
                "description": describe(deployment),
                "context": context,
            }),
        },
        Provider::Gitlab => Message {
            url: format!("{base}/projects/{}/statuses/{commit}", trigger.api_name),
            headers: vec![("private-token", plain(token))],
            body: json!({
                "state": match state {
                    State::Failure => "failed",
                    State::Cancelled => "canceled",
                    other => other.key(),
                },
                "description": describe(deployment),
                "name": context,
            }),
        },
        Provider::Gitea | Provider::Bitbucket | Provider::Generic => return None,
    };
    if let Some(url) = target_url {
        message.body["target_url"] = url.into();
    }
    Some(message)
}

/// Reports what is to be reported until the host stops.
pub(super) async fn run(host: Arc<Host>) {
    let mut watch = host.store.watch_deployments();
    let mut sending: HashSet<DeploymentId> = HashSet::new();
    let mut jobs: JoinSet<DeploymentId> = JoinSet::new();
    loop {
        let reports = host.store.status_reports().unwrap_or_else(|error| {
            tracing::error!(%error, "the commit statuses could not be read");
            Vec::new()
        });
        let now = Timestamp::now();
        for report in reports {
            let is_due = report.not_before.is_none_or(|at| at <= now) && has_news(&host, &report);
            if is_due && jobs.len() < SENDING_MAX && sending.insert(report.deployment.clone()) {
                jobs.spawn(of_deployment(host.clone(), report));
            }
        }
        tokio::select! {
            event = watch.next() => if event.is_none() { return },
            () = tokio::time::sleep(LOOK_EVERY) => {}
            Some(ended) = jobs.join_next(), if !jobs.is_empty() => match ended {
                Ok(id) => { sending.remove(&id); }
                Err(error) => {
                    tracing::error!(%error, "a commit status ended by a defect");
                    while jobs.join_next().await.is_some() {}
                    sending.clear();
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            },
        }
    }
}

/// Whether there is something that the provider was not told.
fn has_news(host: &Host, report: &StatusReport) -> bool {
    match host.deployment(&report.deployment) {
        Ok(Some((deployment, _))) => report.sent.as_deref() != Some(state(&deployment).key()),
        Ok(None) => true,
        Err(_) => false,
    }
}

async fn of_deployment(host: Arc<Host>, report: StatusReport) -> DeploymentId {
    let id = report.deployment.clone();
    if let Err(failure) = tell(&host, report).await {
        tracing::warn!(%failure, deployment = %id, "a commit status could not be worked on");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    id
}

async fn tell(host: &Arc<Host>, mut report: StatusReport) -> Result<(), Failure> {
    let found = host.deployment(&report.deployment)?.map(|(deployment, _)| deployment);
    let webhook = host.store.find_webhook(&report.webhook).map_err(stored)?;
    let Some((deployment, webhook)) = found.zip(webhook.map(|webhook| webhook.value)) else {
        return host.store.delete_status_report(&report.deployment).await.map_err(stored);
    };
    let now = state(&deployment);
    if report.sent.as_deref() == Some(now.key()) {
        return Ok(());
    }
    let outcome = send(host, &webhook, &deployment).await;
    note(host, &webhook, outcome.as_ref().err()).await;
    match outcome {
        Ok(()) if now.is_final() => {
            return host.store.delete_status_report(&report.deployment).await.map_err(stored);
        }
        Ok(()) => {
            (report.sent, report.tries, report.not_before) = (Some(now.key().to_owned()), 0, None);
        }
        Err(why) => {
            report.tries += 1;
            tracing::info!(deployment = %report.deployment, why, tries = report.tries,
                "a commit status was not taken");
            if report.tries >= TRIES_MAX {
                return host.store.delete_status_report(&report.deployment).await.map_err(stored);
            }
            let pause = 1_i64 << report.tries.min(20);
            let at = Timestamp::now().as_second() + pause.min(PAUSE_S_MAX);
            report.not_before = Timestamp::from_second(at).ok();
        }
    }
    host.store.put_status_report(&report).await.map_err(stored)
}

/// Keeps with the webhook why the last status was not taken, or that it was.
async fn note(host: &Host, webhook: &Webhook, problem: Option<&String>) {
    if webhook.status_problem.as_ref() == problem {
        return;
    }
    let Ok(Some(mut found)) = host.store.find_webhook(&webhook.id) else { return };
    found.value.status_problem = problem.cloned();
    if let Err(error) = host.store.update_webhook(found).await {
        tracing::debug!(%error, "the webhook was changed meanwhile");
    }
}

/// Sends the present state; the error says why it was not taken, without the token.
async fn send(host: &Arc<Host>, webhook: &Webhook, deployment: &Deployment) -> Result<(), String> {
    let Some(trigger) = &deployment.trigger else { return Ok(()) };
    let own = host.store.status_token(&webhook.id).map_err(|e| e.to_string())?;
    let token = match own {
        Some(token) => token,
        None => host.store.git_token(&webhook.project).map_err(|e| e.to_string())?.ok_or(
            "no token is stored: windlass webhook status-token, or windlass project token",
        )?,
    };
    // A Git token may be `user:token`.
    let token = token.expose().rsplit(':').next().unwrap_or_default().to_owned();
    let target = target_url(host, deployment).await;
    let Some(message) = message(webhook, trigger, deployment, target.as_deref(), &token) else {
        return Ok(());
    };
    let posted = tokio::task::spawn_blocking(move || post(&message)).await;
    posted.unwrap_or_else(|error| Err(error.to_string()))
}

/// Where the deployment's environment answers, if it has a name of its own.
async fn target_url(host: &Arc<Host>, deployment: &Deployment) -> Option<String> {
    let Deployment { project, environment, .. } = deployment;
    let found = host.store.find_environment(project, environment).ok().flatten()?;
    let view = views::environment(host, &found.value, &views::Addresses::of(host).await).ok()?;
    view.urls.into_iter().next()
}

fn post(message: &Message) -> Result<(), String> {
    let timeouts = windlass_build::http::Timeouts { connect: PATIENCE, silence: PATIENCE };
    let bundle = windlass_build::http::certificate_bundle(None);
    let agent = windlass_build::http::agent(bundle.as_deref(), timeouts);
    let mut request = agent.post(&message.url);
    for (name, value) in &message.headers {
        request = request.header(*name, value.expose());
    }
    let answer = request.send_json(&message.body).map_err(|e| e.to_string())?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let text = answer.into_body().with_config().limit(4096).read_to_string().unwrap_or_default();
    // GitLab says so when it knows the state already.
    if status.as_u16() == 400 && text.contains("Cannot transition status") {
        return Ok(());
    }
    let said: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    Err(format!("{} answered {}: {said}", message.url, status.as_u16()))
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
