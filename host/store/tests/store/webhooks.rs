//! Webhooks and their deliveries: what is seen stays seen, and nothing grows for ever.

use windlass_model::webhook::{Delivery, DeliveryId, Provider, Verdict, Webhook, WebhookId};
use windlass_model::{Limits, Secret, Timestamp};
use windlass_store::Store;

use crate::support::{make_shop, shop, with_shop};

fn webhook() -> Webhook {
    Webhook {
        id: WebhookId::generate(),
        project: shop(),
        provider: Provider::Github,
        repository: None,
        api_base: None,
        reports_status: true,
        created_at: Timestamp::now(),
        rotated_at: None,
        previous_until: None,
        status_problem: None,
    }
}

fn delivery(webhook: &Webhook, verdict: Verdict) -> Delivery {
    Delivery {
        id: DeliveryId::generate(),
        webhook: webhook.id.clone(),
        project: shop(),
        sender_id: None,
        event: "push".into(),
        bytes: 1,
        received_at: Timestamp::now(),
        settled_at: None,
        verdict,
        code: "x".into(),
        reason: "x".into(),
        outcomes: Vec::new(),
        events: Vec::new(),
        redelivery_of: None,
    }
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

fn accepted(store: &Store, webhook: &Webhook, now: Timestamp) -> Vec<String> {
    let secrets = store.webhook_secrets(&webhook.id, now).unwrap();
    secrets.into_iter().map(Secret::into_inner).collect()
}

#[tokio::test]
async fn a_delivery_that_was_seen_stays_seen_when_the_store_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let hook = webhook();
    {
        let store = Store::open(dir.path(), Limits::default()).unwrap();
        make_shop(&store).await;
        store.create_webhook(&hook, &secret("planted-secret")).await.unwrap();
        let first = delivery(&hook, Verdict::Pending);
        assert!(store.accept_delivery(&first, &["id:1", "signature"]).await.unwrap());
    }
    let store = Store::open(dir.path(), Limits::default()).unwrap();
    assert_eq!(store.pending_deliveries().unwrap().len(), 1, "its work is still to be done");
    let again = delivery(&hook, Verdict::Pending);
    assert!(!store.accept_delivery(&again, &["id:1"]).await.unwrap());
    assert!(!store.accept_delivery(&again, &["id:2", "signature"]).await.unwrap());
    assert_eq!(
        store.deliveries(&hook.id, None, 10).unwrap().len(),
        1,
        "a refused one left nothing"
    );
    assert!(store.accept_delivery(&again, &["id:2"]).await.unwrap());
    assert_eq!(accepted(&store, &hook, Timestamp::now()), ["planted-secret"]);
    drop(store);
    for file in walk(dir.path()) {
        let bytes = std::fs::read(&file).unwrap();
        let found = bytes.windows(14).any(|window| window == b"planted-secret");
        assert!(!found, "{} holds the secret in plain", file.display());
    }
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            files.extend(walk(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

#[tokio::test]
async fn a_replaced_secret_is_accepted_until_its_time_and_the_one_before_it_no_more() {
    let store = with_shop().await;
    let hook = webhook();
    store.create_webhook(&hook, &secret("one")).await.unwrap();
    let at = |second| Timestamp::from_second(second).unwrap();
    store.rotate_webhook(&hook.id, &secret("two"), at(100)).await.unwrap();
    assert_eq!(accepted(&store, &hook, at(99)), ["two", "one"]);
    assert_eq!(accepted(&store, &hook, at(100)), ["two"]);
    store.rotate_webhook(&hook.id, &secret("three"), at(100)).await.unwrap();
    assert_eq!(accepted(&store, &hook, at(0)), ["three", "two"]);
}

#[tokio::test]
async fn old_deliveries_are_forgotten_with_their_marks_and_pending_ones_stay() {
    let limits = Limits { webhook_deliveries_max: 3, ..Limits::default() };
    let store = Store::in_memory(limits).unwrap();
    make_shop(&store).await;
    let hook = webhook();
    store.create_webhook(&hook, &secret("one")).await.unwrap();
    let pending = delivery(&hook, Verdict::Pending);
    store.accept_delivery(&pending, &["id:pending"]).await.unwrap();
    for n in 0..5 {
        let mark = format!("id:{n}");
        store.accept_delivery(&delivery(&hook, Verdict::Ignored), &[&mark]).await.unwrap();
    }
    let now = Timestamp::now();
    assert_eq!(store.prune_deliveries(&hook.id, now).await.unwrap(), 2);
    let kept = store.deliveries(&hook.id, None, 10).unwrap();
    assert_eq!(kept.len(), 4, "three, and the pending one");
    assert!(kept.iter().any(|one| one.id == pending.id));
    let again = delivery(&hook, Verdict::Ignored);
    assert!(store.accept_delivery(&again, &["id:0"]).await.unwrap(), "its mark went along");
    let known = delivery(&hook, Verdict::Ignored);
    assert!(!store.accept_delivery(&known, &["id:4"]).await.unwrap(), "what is kept is known");
    let later = Timestamp::from_second(now.as_second() + 31 * 24 * 3600).unwrap();
    store.prune_deliveries(&hook.id, later).await.unwrap();
    let kept = store.deliveries(&hook.id, None, 10).unwrap();
    assert_eq!(kept.len(), 1, "after its days everything but the pending one is forgotten");
    store.delete_webhook(&hook.id).await.unwrap();
    assert!(store.deliveries(&hook.id, None, 10).unwrap().is_empty());
    assert!(store.pending_deliveries().unwrap().is_empty());
    assert!(accepted(&store, &hook, now).is_empty());
}

#[tokio::test]
async fn a_page_of_deliveries_goes_on_where_the_last_one_ended() {
    let store = with_shop().await;
    let hook = webhook();
    store.create_webhook(&hook, &secret("one")).await.unwrap();
    for n in 0..6 {
        if n % 2 == 0 {
            store.accept_delivery(&delivery(&hook, Verdict::Ignored), &[]).await.unwrap();
        } else {
            store.refuse_delivery(&delivery(&hook, Verdict::Refused)).await.unwrap();
        }
    }
    let all = store.deliveries(&hook.id, None, 10).unwrap();
    assert!(all.is_sorted_by(|a, b| a.id > b.id) && all.len() == 6);
    let first = store.deliveries(&hook.id, None, 4).unwrap();
    let rest = store.deliveries(&hook.id, Some(&first[3].id), 4).unwrap();
    assert_eq!([&first[..], &rest[..]].concat(), all);
}
