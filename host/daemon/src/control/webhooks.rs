//! Webhooks of a project, their secrets, their deliveries; when pushes deploy.

use std::io::Read as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use windlass_model::api::Page;
use windlass_model::hooks::{
    AutoDeployView, CreateWebhook, RotateWebhook, SetAutoDeploy, SetStatusToken, WebhookView,
    WebhookWithSecret,
};
use windlass_model::webhook::{
    AutoDeploy, Delivery, DeliveryId, Provider, Verdict, Webhook, WebhookId,
};
use windlass_model::{Failure, ProjectName, Secret, Timestamp};
use windlass_store::Versioned;

use super::{Target, projects, require, stored};
use crate::host::Host;
use crate::source::address;
use crate::webhook::{decide, signature};

/// Bytes of randomness in a secret.
const RANDOM_BYTES: usize = 32;
/// How long a replaced secret is accepted unless said otherwise, and at most, in seconds.
const KEEP_S_DEFAULT: u64 = 24 * 3600;
const KEEP_S_MAX: u64 = 30 * 24 * 3600;
/// Deliveries in one page.
pub const PAGE_MAX: usize = 200;

/// Makes a webhook with a secret, which is answered this once.
///
/// # Errors
/// `project.not-found`, `source.url-invalid`, `webhook.api-base-invalid`, `store.too-many`.
pub async fn create(
    host: &Arc<Host>,
    project: &ProjectName,
    body: CreateWebhook,
) -> Result<WebhookWithSecret, Failure> {
    if let Some(repository) = &body.repository {
        address::check_url(repository)?;
    }
    if let Some(base) = &body.api_base {
        check_api_base(base)?;
    }
    let has_statuses = body.provider.api_base().is_some();
    if body.reports_status == Some(true) && !has_statuses {
        return Err(Failure::app(
            "webhook.no-statuses",
            format!("commit statuses are not reported to {}", body.provider),
            "they are reported to github and gitlab",
            "leave --status out",
        ));
    }
    let webhook = Webhook {
        id: WebhookId::generate(),
        project: project.clone(),
        provider: body.provider,
        repository: body.repository,
        api_base: body.api_base,
        reports_status: body.reports_status.unwrap_or(has_statuses),
        created_at: Timestamp::now(),
        rotated_at: None,
        previous_until: None,
        status_problem: None,
    };
    let secret = new_secret(body.provider)?;
    host.store.create_webhook(&webhook, &secret).await.map_err(stored)?;
    Ok(WebhookWithSecret { view: view(host, webhook)?, secret: secret.into_inner() })
}

fn check_api_base(base: &str) -> Result<(), Failure> {
    let rest = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
    let fits = base.len() <= 2048
        && rest
            .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains('@'))
        && base.chars().all(|c| c.is_ascii_graphic());
    if fits {
        return Ok(());
    }
    Err(Failure::app(
        "webhook.api-base-invalid",
        format!("{base:?} is not the address of an API"),
        "it must begin with https:// or http:// and name a host, without a password",
        "give it like --api-base https://github.example.com/api/v3 or https://gitlab.example.com/api/v4",
    ))
}

/// GitLab's signing tokens have the form of the Standard Webhooks specification; the same text serves
/// as its plain secret token.
fn new_secret(provider: Provider) -> Result<Secret<String>, Failure> {
    let mut random = [0_u8; RANDOM_BYTES];
    let read =
        std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random));
    read.map_err(|e| {
        Failure::host(
            "webhook.no-randomness",
            "no secret could be made",
            e.to_string(),
            "check that /dev/urandom is there",
        )
    })?;
    Ok(Secret::new(match provider {
        Provider::Gitlab => format!("{}{}", signature::STANDARD_SECRET, STANDARD.encode(random)),
        _ => hex::encode(random),
    }))
}

fn view(host: &Host, webhook: Webhook) -> Result<WebhookView, Failure> {
    let has_status_token = host.store.status_token(&webhook.id).map_err(stored)?.is_some();
    Ok(WebhookView { path: format!("/v1/hooks/{}", webhook.id), has_status_token, webhook })
}

/// A webhook of the project.
fn find(host: &Host, project: &ProjectName, id: &WebhookId) -> Result<Versioned<Webhook>, Failure> {
    host.store.project(project).map_err(stored)?;
    let found = host.store.find_webhook(id).map_err(stored)?;
    found.filter(|found| found.value.project == *project).ok_or_else(|| {
        Failure::app(
            "webhook.not-found",
            format!("{project} has no webhook {id}"),
            "it was deleted, or belongs to another project",
            "`windlass webhook list` shows the project's webhooks",
        )
    })
}

/// A webhook.
///
/// # Errors
/// `project.not-found`, `webhook.not-found`.
pub fn show(host: &Host, project: &ProjectName, id: &WebhookId) -> Result<WebhookView, Failure> {
    view(host, find(host, project, id)?.value)
}

/// A project's webhooks, oldest first.
///
/// # Errors
/// `project.not-found`.
pub fn list(host: &Host, project: &ProjectName) -> Result<Vec<WebhookView>, Failure> {
    host.store.project(project).map_err(stored)?;
    let all = host.store.webhooks(project).map_err(stored)?;
    all.into_iter().map(|webhook| view(host, webhook)).collect()
}

/// Deletes a webhook with its deliveries.
///
/// # Errors
/// `project.not-found`, `webhook.not-found`.
pub async fn delete(
    host: &Arc<Host>,
    project: &ProjectName,
    id: &WebhookId,
) -> Result<(), Failure> {
    find(host, project, id)?;
    host.store.delete_webhook(id).await.map_err(stored)
}

/// Replaces the secret; the one before is accepted for a while.
///
/// # Errors
/// `project.not-found`, `webhook.not-found`, `webhook.keep-too-long`.
pub async fn rotate(
    host: &Arc<Host>,
    project: &ProjectName,
    id: &WebhookId,
    body: RotateWebhook,
) -> Result<WebhookWithSecret, Failure> {
    let found = find(host, project, id)?;
    let keep_s = body.keep_previous_s.unwrap_or(KEEP_S_DEFAULT);
    let until = i64::try_from(keep_s)
        .ok()
        .filter(|_| keep_s <= KEEP_S_MAX)
        .and_then(|keep| Timestamp::from_second(Timestamp::now().as_second() + keep).ok());
    let Some(until) = until else {
        return Err(Failure::app(
            "webhook.keep-too-long",
            "the old secret cannot be kept that long",
            format!("{keep_s} s are over {KEEP_S_MAX} s"),
            "give at most 30d; enter the new secret at the sender in that time",
        ));
    };
    let secret = new_secret(found.value.provider)?;
    let webhook = host.store.rotate_webhook(id, &secret, until).await.map_err(stored)?;
    Ok(WebhookWithSecret { view: view(host, webhook)?, secret: secret.into_inner() })
}

/// Stores the token for commit statuses, or removes it.
///
/// # Errors
/// `project.not-found`, `webhook.not-found`, `git-token.invalid`.
pub async fn set_status_token(
    host: &Arc<Host>,
    project: &ProjectName,
    id: &WebhookId,
    body: Option<SetStatusToken>,
) -> Result<(), Failure> {
    find(host, project, id)?;
    let token = body.map(|body| projects::check_token(&body.token)).transpose()?;
    host.store.set_status_token(id, token.as_ref()).await.map_err(stored)
}

/// A webhook's deliveries, newest first.
///
/// # Errors
/// `project.not-found`, `webhook.not-found`.
pub fn deliveries(
    host: &Host,
    project: &ProjectName,
    id: &WebhookId,
    before: Option<&DeliveryId>,
    limit: usize,
) -> Result<Page<Delivery>, Failure> {
    find(host, project, id)?;
    let limit = limit.clamp(1, PAGE_MAX);
    let mut items = host.store.deliveries(id, before, limit + 1).map_err(stored)?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| last.id.to_string());
    Ok(Page { items, next })
}

/// Takes a delivery up once more, as a new one. Only a genuine one that was read has something to say.
///
/// # Errors
/// `project.not-found`, `webhook.not-found`, `webhook.delivery-not-found`, `webhook.not-repeatable`.
pub async fn redeliver(
    host: &Arc<Host>,
    project: &ProjectName,
    id: &WebhookId,
    delivery: &DeliveryId,
) -> Result<Delivery, Failure> {
    find(host, project, id)?;
    let found = host.store.delivery(id, delivery).map_err(stored)?.ok_or_else(|| {
        Failure::app(
            "webhook.delivery-not-found",
            format!("there is no delivery {delivery}"),
            "old deliveries are forgotten",
            "`windlass webhook deliveries` shows those that are kept",
        )
    })?;
    let refused_repository = found.code == "webhook.other-repository";
    if found.events.is_empty() || refused_repository {
        return Err(Failure::app(
            "webhook.not-repeatable",
            format!("the delivery {delivery} says nothing that could be repeated"),
            format!("it is {}: {}", found.verdict, found.reason),
            "mend that, and let the sender send it anew, with a push for instance",
        ));
    }
    let again = Delivery {
        id: DeliveryId::generate(),
        received_at: Timestamp::now(),
        settled_at: None,
        verdict: Verdict::Pending,
        code: "pending".to_owned(),
        reason: "it is being worked on".to_owned(),
        outcomes: Vec::new(),
        redelivery_of: Some(found.id.clone()),
        ..found
    };
    host.store.accept_delivery(&again, &[]).await.map_err(stored)?;
    Ok(again)
}

/// When pushes deploy to an environment.
///
/// # Errors
/// `environment.not-found`.
pub fn auto_deploy(host: &Host, target: &Target) -> Result<AutoDeployView, Failure> {
    require(host, target)?;
    let Target { project, environment } = target;
    let set = host.store.auto_deploy(project, environment).map_err(stored)?;
    let rule = set.unwrap_or_else(|| AutoDeploy::of(environment));
    Ok(AutoDeployView { environment: environment.clone(), rule })
}

/// Changes when pushes deploy to an environment.
///
/// # Errors
/// `environment.not-found`, `webhook.pattern-invalid`.
pub async fn set_auto_deploy(
    host: &Arc<Host>,
    target: &Target,
    body: SetAutoDeploy,
) -> Result<AutoDeployView, Failure> {
    let mut rule = auto_deploy(host, target)?.rule;
    if let Some(branch) = body.branch {
        rule.branch = checked(branch)?;
    }
    if let Some(tags) = body.tags {
        rule.tags = checked(tags)?;
    }
    rule.enabled = body.enabled.unwrap_or(rule.enabled);
    let Target { project, environment } = target;
    host.store.set_auto_deploy(project, environment, &rule).await.map_err(stored)?;
    auto_deploy(host, target)
}

/// A pattern that can be read; an empty one is none.
pub(super) fn checked(pattern: String) -> Result<Option<String>, Failure> {
    if pattern.is_empty() {
        return Ok(None);
    }
    decide::pattern(&pattern)?;
    Ok(Some(pattern))
}
