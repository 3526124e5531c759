//! A delivery at the door: genuine, new, readable, about the right repository; then it is stored, and
//! the sender has its answer.
//!
//! **Invariant: what is answered as pending is durable**, together with what makes its repetition
//! known. No work happens here: that is [`super::work`]'s.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::HeaderMap;
use windlass_model::deployment::Source;
use windlass_model::webhook::{
    Delivery, DeliveryId, Event, EventRepository, Verdict, Webhook, WebhookId,
};
use windlass_model::{Failure, Timestamp};

use super::{decide, payload, signature};
use crate::control::stored;
use crate::host::Host;

/// The webhook of an address.
///
/// # Errors
/// `webhook.not-found`.
pub(crate) fn webhook(host: &Host, id: &WebhookId) -> Result<Webhook, Failure> {
    Ok(host.store.webhook(id).map_err(stored)?.value)
}

/// Takes a delivery, and answers what became of it at once. A refusal is kept, too.
///
/// # Errors
/// Those of [`signature::check`] and [`payload::read`]; `webhook.replayed`,
/// `webhook.other-repository`, `webhook.no-repository`.
pub(crate) async fn receive(
    host: &Arc<Host>,
    webhook: Webhook,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Delivery, Failure> {
    let now = Timestamp::now();
    let mut delivery = blank(&webhook, body.len() as u64, now);
    let secrets = host.store.webhook_secrets(&webhook.id, now).map_err(stored)?;
    let clock = signature::Clock { now, skew_s_max: host.config.limits.webhook_clock_skew_s_max };
    let genuine = match signature::check(webhook.provider, headers, body, &secrets, clock) {
        Ok(genuine) => genuine,
        Err(failure) => return Err(refuse(host, delivery, failure).await),
    };
    delivery.sender_id = Some(genuine.sender_id.clone());
    delivery.event.clone_from(&genuine.event);
    let content_type = headers.get("content-type").and_then(|value| value.to_str().ok());
    let refusal = match payload::read(webhook.provider, &genuine.event, content_type, body) {
        Ok(events) => {
            delivery.events = events;
            check_repository(host, &webhook, &delivery.events).err()
        }
        Err(failure) => Some(failure),
    };
    settle_at_once(&mut delivery, refusal.as_ref());
    let id = format!("id:{}", genuine.sender_id);
    let mut marks = vec![id.as_str()];
    // A trial may come again, byte by byte.
    if delivery.code != "ping" {
        marks.extend(genuine.marks.iter().map(String::as_str));
    }
    if !host.store.accept_delivery(&delivery, &marks).await.map_err(stored)? {
        return Err(refuse(host, delivery, replayed(&genuine.sender_id)).await);
    }
    match refusal {
        Some(failure) => Err(failure),
        None => Ok(delivery),
    }
}

/// Keeps a delivery whose body was over the limit, or did not come in time.
pub(crate) async fn refuse_unread(host: &Host, webhook: &Webhook, failure: Failure) -> Failure {
    refuse(host, blank(webhook, 0, Timestamp::now()), failure).await
}

fn blank(webhook: &Webhook, bytes: u64, now: Timestamp) -> Delivery {
    Delivery {
        id: DeliveryId::generate(),
        webhook: webhook.id.clone(),
        project: webhook.project.clone(),
        sender_id: None,
        event: String::new(),
        bytes,
        received_at: now,
        settled_at: None,
        verdict: Verdict::Pending,
        code: "pending".to_owned(),
        reason: "it is being worked on".to_owned(),
        outcomes: Vec::new(),
        events: Vec::new(),
        redelivery_of: None,
    }
}

/// A verdict that needs no work.
fn settle_at_once(delivery: &mut Delivery, refusal: Option<&Failure>) {
    let only_pings = delivery.events.iter().all(|event| *event == Event::Ping);
    let (verdict, code, reason) = match refusal {
        Some(failure) => (Verdict::Refused, failure.code.clone(), failure.to_string()),
        None if delivery.events.is_empty() => {
            (Verdict::Ignored, "nothing-to-do".to_owned(), "nothing of it matters here".to_owned())
        }
        None if only_pings => {
            (Verdict::Ignored, "ping".to_owned(), "a trial: the webhook works".to_owned())
        }
        None => return,
    };
    delivery.settled_at = Some(delivery.received_at);
    (delivery.verdict, delivery.code, delivery.reason) = (verdict, code, reason);
}

/// Keeps a refused delivery; that it could not be kept changes nothing for the sender.
async fn refuse(host: &Host, mut delivery: Delivery, failure: Failure) -> Failure {
    delivery.events.clear();
    settle_at_once(&mut delivery, Some(&failure));
    tracing::info!(webhook = %delivery.webhook, code = failure.code, "a delivery was refused");
    if let Err(error) = host.store.refuse_delivery(&delivery).await {
        tracing::warn!(%error, webhook = %delivery.webhook, "a refused delivery could not be kept");
    }
    failure
}

/// The address of the repository that a webhook may speak for.
pub(super) fn expected_repository(host: &Host, webhook: &Webhook) -> Result<String, Failure> {
    if let Some(address) = &webhook.repository {
        return Ok(address.clone());
    }
    match host.store.project(&webhook.project).map_err(stored)?.value.source {
        Some(Source::Git { url, .. }) => Ok(url),
        _ => Err(Failure::app(
            "webhook.no-repository",
            format!("it is not known which repository {} is deployed from", webhook.project),
            "neither the webhook names one, nor was one deployed",
            format!(
                "deploy it once (`windlass deploy URL --project {}`), or make the webhook anew with \
                 `windlass webhook create --repository URL`",
                webhook.project
            ),
        )),
    }
}

fn check_repository(host: &Host, webhook: &Webhook, events: &[Event]) -> Result<(), Failure> {
    let theirs: Vec<&EventRepository> = events
        .iter()
        .filter_map(|event| match event {
            Event::Push(push) => Some(&push.repository),
            Event::PullRequest(change) => Some(&change.repository),
            Event::Ping => None,
        })
        .collect();
    if theirs.is_empty() {
        return Ok(());
    }
    let ours = expected_repository(host, webhook)?;
    match theirs.iter().find(|one| !decide::is_same_repository(&ours, one)) {
        None => Ok(()),
        Some(other) => Err(Failure::app(
            "webhook.other-repository",
            "the delivery is about another repository",
            format!(
                "{} is deployed from {ours}, and this is about {}",
                webhook.project,
                other.addresses.first().map_or("one without an address", String::as_str)
            ),
            "enter the webhook at the right repository, or make one for the other with \
             `windlass webhook create --repository URL`",
        )),
    }
}

fn replayed(id: &str) -> Failure {
    Failure::app(
        "webhook.replayed",
        "the delivery came before",
        format!("a delivery with the id {id:?}, or with the same signature, was already taken"),
        "nothing needs to be done; to repeat it on purpose: `windlass webhook redeliver`",
    )
}
