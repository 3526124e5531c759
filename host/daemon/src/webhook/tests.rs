//! Deliveries from the door to their verdict, on a store in memory: everything but the deployment itself.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue};
use hmac::{Hmac, Mac as _};
use serde_json::json;
use sha2::Sha256;
use windlass_model::hooks::{CreateWebhook, SetAutoDeploy, SetPreviews};
use windlass_model::webhook::{Delivery, Provider, Verdict, Webhook};
use windlass_model::{Deployment, DeploymentStatus, EnvironmentName, Failure, Limits, ProjectName};

use super::*;
use crate::control::{Target, previews, projects, webhooks};
use crate::pipeline::TABLE;
use crate::testing::TestHost;

const NEW: &str = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";
const OLD: &str = "d5c6a5b0f9a1c2b3d4e5f60718293a4b5c6d7e8f";
const ZEROS: &str = "0000000000000000000000000000000000000000";

struct World {
    host: Arc<Host>,
    webhook: Webhook,
    secret: String,
    sent: std::cell::Cell<u32>,
    _parts: TestHost,
}

fn shop() -> ProjectName {
    "shop".parse().unwrap()
}

impl World {
    async fn new() -> Self {
        let parts = TestHost::with(Limits::default(), &TABLE).await;
        let host = parts.host.clone();
        let body = windlass_model::api::CreateProject { name: shop() };
        projects::create(&host, body).await.unwrap();
        let body = CreateWebhook {
            provider: Provider::Github,
            repository: Some("https://github.com/acme/shop".into()),
            api_base: None,
            reports_status: Some(false),
        };
        let made = webhooks::create(&host, &shop(), body).await.unwrap();
        let (webhook, secret) = (made.view.webhook, made.secret);
        Self { host, webhook, secret, sent: std::cell::Cell::new(0), _parts: parts }
    }

    async fn raw(
        &self,
        event: &str,
        id: &str,
        body: &[u8],
        secret: &str,
    ) -> Result<Delivery, Failure> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(body);
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-hub-signature-256", signature.as_str()),
            ("x-github-event", event),
            ("x-github-delivery", id),
        ] {
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        receive::receive(&self.host, self.webhook.clone(), &headers, &Bytes::copy_from_slice(body))
            .await
    }

    /// Sends an event with an id of its own and lets its work be done.
    async fn send(&self, event: &str, body: &serde_json::Value) -> Delivery {
        let id = self.sent.get() + 1;
        self.sent.set(id);
        let sent =
            self.raw(event, &format!("d-{id}"), body.to_string().as_bytes(), &self.secret).await;
        let delivery = sent.unwrap();
        self.work(&delivery).await
    }

    async fn work(&self, delivery: &Delivery) -> Delivery {
        for pending in self.host.store.pending_deliveries().unwrap() {
            work::one(&self.host, pending).await.unwrap();
        }
        self.host.store.delivery(&self.webhook.id, &delivery.id).unwrap().unwrap()
    }

    fn deployments(&self, environment: &str) -> Vec<Deployment> {
        let environment: EnvironmentName = environment.parse().unwrap();
        let history = self.host.history(&shop(), &environment).unwrap();
        history.into_iter().map(|(deployment, _)| deployment).collect()
    }

    async fn previews(&self, body: SetPreviews) {
        previews::set(&self.host, &shop(), body).await.unwrap();
    }
}

fn repository() -> serde_json::Value {
    json!({
        "full_name": "acme/shop",
        "clone_url": "https://github.com/acme/shop.git",
        "default_branch": "main",
    })
}

fn push(reference: &str, after: &str, message: &str) -> serde_json::Value {
    json!({
        "ref": reference, "before": OLD, "after": after,
        "head_commit": {"id": after, "message": message},
        "repository": repository(),
    })
}

fn change(action: &str, number: u64, from: &str) -> serde_json::Value {
    json!({
        "action": action, "number": number, "repository": repository(),
        "pull_request": {
            "title": "Add a cart",
            "head": {"ref": "feature/cart", "sha": NEW, "repo": {"full_name": from}},
            "base": {"ref": "main", "sha": OLD, "repo": {"full_name": "acme/shop"}},
        },
    })
}

#[track_caller]
fn settled(delivery: &Delivery, verdict: Verdict, code: &str) {
    assert_eq!((delivery.verdict, delivery.code.as_str()), (verdict, code), "{delivery:#?}");
    assert!(!delivery.reason.is_empty() && delivery.settled_at.is_some(), "{delivery:#?}");
}

#[tokio::test]
async fn a_push_of_the_default_branch_deploys_exactly_its_commit() {
    let world = World::new().await;
    let delivery = world.send("push", &push("refs/heads/main", NEW, "Add a cart")).await;
    settled(&delivery, Verdict::Accepted, "deployed");
    let [made] = &world.deployments("production")[..] else { panic!("one deployment") };
    assert_eq!(delivery.outcomes[0].deployment.as_ref(), Some(&made.id));
    assert_eq!(delivery.outcomes[0].number, Some(made.number));
    let source = windlass_model::Source::Git {
        url: "https://github.com/acme/shop".into(),
        reference: Some(NEW.into()),
    };
    assert_eq!(made.source, source);
    assert_eq!(made.trigger.as_ref().unwrap().branch.as_deref(), Some("main"));
    let again = windlass_model::Source::Git {
        url: "https://github.com/acme/shop".into(),
        reference: Some("main".into()),
    };
    assert_eq!(made.source_again(), again, "a redeployment looks the branch up anew");
}

#[tokio::test]
async fn work_that_is_begun_again_makes_no_second_deployment() {
    let world = World::new().await;
    let body = push("refs/heads/main", NEW, "Add a cart").to_string();
    world.raw("push", "once", body.as_bytes(), &world.secret).await.unwrap();
    let [pending] = &world.host.store.pending_deliveries().unwrap()[..] else { panic!("one") };
    work::one(&world.host, pending.clone()).await.unwrap();
    assert!(world.host.store.pending_deliveries().unwrap().is_empty());
    // As after a crash before the verdict was stored.
    work::one(&world.host, pending.clone()).await.unwrap();
    assert_eq!(world.deployments("production").len(), 1);
}

#[tokio::test]
async fn what_is_to_be_ignored_is_kept_with_its_reason() {
    let world = World::new().await;
    for (event, body, code) in [
        ("ping", json!({"zen": "x"}), "ping"),
        ("push", push("refs/heads/dev", NEW, "x"), "branch-not-mapped"),
        ("push", push("refs/heads/main", ZEROS, "x"), "branch-deleted"),
        ("push", push("refs/tags/v1", NEW, "x"), "tags-off"),
        ("push", push("refs/heads/main", NEW, "Fix a typo [skip ci]"), "skip-marker"),
        ("push", push("refs/notes/commits", NEW, "x"), "nothing-to-do"),
        ("pull_request", change("opened", 1, "acme/shop"), "previews-off"),
        ("pull_request", change("closed", 1, "acme/shop"), "no-preview"),
        ("pull_request", change("labeled", 1, "acme/shop"), "nothing-to-do"),
    ] {
        settled(&world.send(event, &body).await, Verdict::Ignored, code);
    }
    assert!(world.deployments("production").is_empty());
    let kept = world.host.store.deliveries(&world.webhook.id, None, 100).unwrap();
    assert_eq!(kept.len(), 9, "every delivery is kept");
}

#[tokio::test]
async fn branches_and_tags_go_where_they_are_mapped() {
    let world = World::new().await;
    let staging = Target { project: shop(), environment: "staging".parse().unwrap() };
    crate::control::ensure(&world.host, &staging).await.unwrap();
    let rule = |enabled, branch: &str, tags: &str| SetAutoDeploy {
        enabled: Some(enabled),
        branch: Some(branch.to_owned()),
        tags: Some(tags.to_owned()),
    };
    webhooks::set_auto_deploy(&world.host, &staging, rule(true, "dev*", "v*")).await.unwrap();
    let dev = world.send("push", &push("refs/heads/dev2", NEW, "x")).await;
    settled(&dev, Verdict::Accepted, "deployed");
    assert_eq!(dev.outcomes[0].environment, Some(staging.environment.clone()));
    let tag = world.send("push", &push("refs/tags/v1", NEW, "x")).await;
    settled(&tag, Verdict::Accepted, "deployed");
    webhooks::set_auto_deploy(&world.host, &staging, rule(false, "dev*", "")).await.unwrap();
    let off = world.send("push", &push("refs/heads/dev2", OLD, "x")).await;
    settled(&off, Verdict::Ignored, "auto-deploy-off");
    let tag = world.send("push", &push("refs/tags/v2", NEW, "x")).await;
    settled(&tag, Verdict::Ignored, "tags-off");
    assert_eq!(world.deployments("staging").len(), 2);
    assert!(world.deployments("production").is_empty());
}

#[tokio::test]
async fn what_is_not_genuine_or_not_new_is_refused_and_kept() {
    let world = World::new().await;
    let body = push("refs/heads/main", NEW, "x").to_string();
    let code = |sent: Result<Delivery, Failure>| sent.unwrap_err().code;
    let ask = |event, id, secret| world.raw(event, id, body.as_bytes(), secret);
    assert_eq!(code(ask("push", "1", "guess").await), "webhook.signature-wrong");
    let star = world.raw("star", "2", b"{}", &world.secret).await;
    assert_eq!(code(star), "webhook.event-unknown");
    // A stranger could not use the id up.
    assert!(ask("push", "1", &world.secret).await.is_ok());
    assert_eq!(code(ask("push", "1", &world.secret).await), "webhook.replayed");
    // Nor is the same signed body taken under another id.
    assert_eq!(code(ask("push", "other", &world.secret).await), "webhook.replayed");
    let cut = &body.as_bytes()[..50];
    let cut = world.raw("push", "3", cut, &world.secret).await;
    assert_eq!(code(cut), "webhook.malformed");
    let mut foreign = push("refs/heads/main", NEW, "x");
    foreign["repository"]["clone_url"] = "https://github.com/mallory/shop.git".into();
    let foreign = world.raw("push", "4", foreign.to_string().as_bytes(), &world.secret).await;
    assert_eq!(code(foreign), "webhook.other-repository");
    let kept = world.host.store.deliveries(&world.webhook.id, None, 100).unwrap();
    let refused = kept.iter().filter(|one| one.verdict == Verdict::Refused);
    assert_eq!(refused.count(), 6, "{kept:#?}");
    assert_eq!(world.host.store.pending_deliveries().unwrap().len(), 1);
}

#[tokio::test]
async fn strangers_push_no_genuine_delivery_out() {
    let world = World::new().await;
    world.send("ping", &json!({"zen": "x"})).await;
    let limit = world.host.config.limits.webhook_refusals_max;
    for n in 0..limit + 5 {
        let _ = world.raw("push", &n.to_string(), b"{}", "guess").await;
    }
    let kept = world.host.store.deliveries(&world.webhook.id, None, 1000).unwrap();
    assert_eq!(kept.len(), limit + 1);
    assert!(kept.iter().any(|one| one.code == "ping"));
}

#[tokio::test]
async fn a_project_without_a_source_says_how_to_give_it_one() {
    let world = World::new().await;
    let mut found = world.host.store.webhook(&world.webhook.id).unwrap();
    found.value.repository = None;
    let webhook = found.value.clone();
    world.host.store.update_webhook(found).await.unwrap();
    let failure = receive::expected_repository(&world.host, &webhook).unwrap_err();
    assert_eq!(failure.code, "webhook.no-repository");
    assert!(failure.fix.contains("windlass deploy"));
}

#[tokio::test]
async fn a_delivery_can_be_taken_up_again_on_purpose() {
    let world = World::new().await;
    let first = world.send("push", &push("refs/heads/main", NEW, "x")).await;
    let id = world.webhook.id.clone();
    let again = webhooks::redeliver(&world.host, &shop(), &id, &first.id).await.unwrap();
    assert_eq!(again.redelivery_of.as_ref(), Some(&first.id));
    settled(&world.work(&again).await, Verdict::Accepted, "deployed");
    assert_eq!(world.deployments("production").len(), 2);
    let refused = world.raw("push", "x", b"{}", "guess").await;
    assert!(refused.is_err());
    let newest = &world.host.store.deliveries(&id, None, 1).unwrap()[0];
    let failure = webhooks::redeliver(&world.host, &shop(), &id, &newest.id).await.unwrap_err();
    assert_eq!(failure.code, "webhook.not-repeatable");
}

#[tokio::test]
async fn a_pull_request_gets_a_preview_within_the_limit_and_forks_none() {
    let world = World::new().await;
    let body = SetPreviews {
        pull_requests: Some(true),
        domain: Some("preview.example.com".into()),
        count_max: Some(1),
        ..SetPreviews::default()
    };
    world.previews(body).await;
    let opened = world.send("pull_request", &change("opened", 12, "acme/shop")).await;
    settled(&opened, Verdict::Accepted, "deployed");
    assert_eq!(world.deployments("pr-12").len(), 1);
    let environment: EnvironmentName = "pr-12".parse().unwrap();
    let mut domains = world.host.domains(&shop(), &environment).unwrap();
    domains.sort();
    assert_eq!(domains, ["pr-12-shop.preview.example.com", "pr-12.shop.localhost"]);
    let updated = world.send("pull_request", &change("synchronize", 12, "acme/shop")).await;
    settled(&updated, Verdict::Accepted, "deployed");
    assert_eq!(world.deployments("pr-12").len(), 2);
    let full = world.send("pull_request", &change("opened", 13, "acme/shop")).await;
    settled(&full, Verdict::Ignored, "preview-limit");
    let fork = world.send("pull_request", &change("opened", 14, "mallory/shop")).await;
    settled(&fork, Verdict::Ignored, "fork");
    let push = world.send("push", &push("refs/heads/pr-12", NEW, "x")).await;
    settled(&push, Verdict::Ignored, "branch-not-mapped");
}

#[tokio::test]
async fn a_preview_takes_over_what_the_environment_preview_has_and_a_fork_no_secrets() {
    use windlass_model::Secret;
    use windlass_model::variable::{Scope, Variable};
    let world = World::new().await;
    let on = SetPreviews { pull_requests: Some(true), forks: Some(true), ..SetPreviews::default() };
    world.previews(on).await;
    let template = Target { project: shop(), environment: "preview".parse().unwrap() };
    crate::control::ensure(&world.host, &template).await.unwrap();
    let variable = |name: &str, secret| Variable {
        name: name.parse().unwrap(),
        value: Secret::new("value".to_owned()),
        scope: Scope::Both,
        secret,
    };
    let production = EnvironmentName::production();
    let store = &world.host.store;
    store.set_variables(&shop(), &production, &[variable("LIVE_KEY", true)]).await.unwrap();
    let both = [variable("PLAIN", false), variable("TOKEN", true)];
    store.set_variables(&shop(), &template.environment, &both).await.unwrap();
    world.send("pull_request", &change("opened", 1, "acme/shop")).await;
    world.send("pull_request", &change("opened", 2, "mallory/shop")).await;
    let names = |environment: &str| -> Vec<String> {
        let found = store.variables(&shop(), &environment.parse().unwrap()).unwrap();
        found.into_iter().map(|one| one.name.to_string()).collect()
    };
    assert_eq!(names("pr-1"), ["PLAIN", "TOKEN"]);
    assert_eq!(names("pr-2"), ["PLAIN"]);
    store
        .unset_variables(&shop(), &template.environment, &["PLAIN".parse().unwrap()])
        .await
        .unwrap();
    let own: EnvironmentName = "pr-1".parse().unwrap();
    store.set_variables(&shop(), &own, &[variable("OWN", false)]).await.unwrap();
    world.send("pull_request", &change("synchronize", 1, "acme/shop")).await;
    assert_eq!(
        names("pr-1"),
        ["OWN", "TOKEN"],
        "what the template lost goes, what is its own stays"
    );
}

#[tokio::test]
async fn a_closed_pull_request_takes_its_preview_along() {
    let world = World::new().await;
    let on = SetPreviews {
        pull_requests: Some(true),
        branches: Some("feature/*".into()),
        ..SetPreviews::default()
    };
    world.previews(on).await;
    world.send("pull_request", &change("opened", 12, "acme/shop")).await;
    let branch = world.send("push", &push("refs/heads/feature/cart", NEW, "x")).await;
    settled(&branch, Verdict::Accepted, "deployed");
    let closed = world.send("pull_request", &change("closed", 12, "acme/shop")).await;
    settled(&closed, Verdict::Accepted, "preview-removed");
    let gone = world.send("push", &push("refs/heads/feature/cart", ZEROS, "x")).await;
    settled(&gone, Verdict::Accepted, "preview-removed");
    // What waits is cancelled by the queue, on the removal's word; here the test is the queue.
    assert!(!removal::turn(&world.host).await.unwrap());
    assert_eq!(world.host.cancel_intents().unwrap().len(), 2);
    assert!(!removal::turn(&world.host).await.unwrap());
    assert_eq!(world.host.cancel_intents().unwrap().len(), 2, "it is asked for once");
    for (mut deployment, revision) in world.host.queued().unwrap() {
        deployment.status = DeploymentStatus::Cancelled;
        world.host.save_deployment(&deployment, revision).await.unwrap();
    }
    assert!(removal::turn(&world.host).await.unwrap());
    assert!(world.host.store.all_previews().unwrap().is_empty());
    let left = world.host.store.environments(&shop()).unwrap();
    assert_eq!(left.len(), 1, "production stays: {left:?}");
}

#[tokio::test]
async fn deleting_a_project_forgets_its_webhooks() {
    let world = World::new().await;
    world.send("ping", &json!({"zen": "x"})).await;
    projects::delete(&world.host, &shop()).await.unwrap();
    assert!(world.host.store.find_webhook(&world.webhook.id).unwrap().is_none());
    assert!(world.host.store.deliveries(&world.webhook.id, None, 10).unwrap().is_empty());
}
