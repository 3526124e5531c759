//! Deliveries through the API's own door, header by header as each sender makes them, on a store on a
//! disk that is opened again: everything but the deployment itself.

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use serde_json::Value;
use tower::ServiceExt as _;
use windlass_model::hooks::{CreateWebhook, DeliveryReceipt, SetAutoDeploy, WebhookWithSecret};
use windlass_model::webhook::{Delivery, Verdict, WebhookId};
use windlass_model::{Deployment, EnvironmentName, Limits, ProjectName, Source};
use windlass_store::{Store, StoreError};

use senders::{Headers, NEW, SENDERS, Sender, Signed, fixture};

use super::*;
use crate::access::audit::Audit;
use crate::access::{Access, AdminToken};
use crate::control::{Target, projects, webhooks};
use crate::pipeline::TABLE;
use crate::testing::TestHost;

mod senders;

/// A host with its API, on a store in a folder.
struct Door {
    parts: TestHost,
    router: Router,
}

impl Door {
    async fn open(dir: &Path) -> Self {
        let mut parts = TestHost::with(Limits::default(), &TABLE).await;
        let host = Arc::get_mut(&mut parts.host).expect("nobody else has it yet");
        host.store = open_store(dir).await;
        let host = parts.host.clone();
        let limits = &host.config.limits;
        let audit = Audit::open(&host.config.data_dir, &limits.access).unwrap();
        let access = Access::new(AdminToken::new("unused"), audit, limits);
        let router = crate::api::router(host.clone(), access);
        Self { parts, router }
    }

    fn host(&self) -> &Arc<Host> {
        &self.parts.host
    }

    /// Posts a delivery: the status, and the receipt or the code of the refusal.
    async fn post(
        &self,
        webhook: &WebhookId,
        headers: Headers,
        body: &[u8],
    ) -> Result<DeliveryReceipt, (u16, String)> {
        let mut request = Request::post(format!("/v1/hooks/{webhook}"))
            .header("content-type", "application/json")
            .body(Body::from(body.to_vec()))
            .unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        if status == 202 {
            return Ok(serde_json::from_value(answer).unwrap());
        }
        let error: windlass_model::api::ErrorBody = serde_json::from_value(answer).unwrap();
        Err((status, error.error.code))
    }
}

/// The one before lets its lock go when its last part is dropped.
async fn open_store(dir: &Path) -> Store {
    for _ in 0..1000 {
        match Store::open(dir, Limits::default()) {
            Err(StoreError::InUse { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
            opened => return opened.unwrap(),
        }
    }
    panic!("the store of before is open still");
}

/// A project with the webhook of one sender.
struct Hook<'d> {
    door: &'d Door,
    of: &'static Sender,
    project: ProjectName,
    webhook: WebhookId,
    secret: String,
}

impl<'d> Hook<'d> {
    async fn make(door: &'d Door, of: &'static Sender) -> Self {
        let project: ProjectName = of.name.parse().unwrap();
        let body = windlass_model::api::CreateProject { name: project.clone() };
        projects::create(door.host(), body).await.unwrap();
        let made = webhook(door, of, &project).await;
        Self { door, of, project, webhook: made.view.webhook.id, secret: made.secret }
    }

    fn headers(&self, secret: &str, id: &str, event: &str, body: &[u8]) -> Headers {
        (self.of.headers)(&Signed { secret, id, event, body })
    }

    /// Sends what is signed as it should be.
    async fn send(
        &self,
        id: &str,
        (event, body): (&str, Value),
    ) -> Result<DeliveryReceipt, (u16, String)> {
        let body = body.to_string().into_bytes();
        let headers = self.headers(&self.secret, id, event, &body);
        self.door.post(&self.webhook, headers, &body).await
    }

    /// Sends it, and lets its work be done: the delivery with its verdict.
    async fn settled(&self, id: &str, event: (&str, Value)) -> Delivery {
        let receipt =
            self.send(id, event).await.unwrap_or_else(|e| panic!("{}: {e:?}", self.of.name));
        assert_eq!(receipt.verdict, Verdict::Pending, "{}: {receipt:?}", self.of.name);
        let host = self.door.host();
        for pending in host.store.pending_deliveries().unwrap() {
            work::one(host, pending).await.unwrap();
        }
        host.store.delivery(&self.webhook, &receipt.delivery).unwrap().unwrap()
    }

    fn deployments(&self) -> Vec<Deployment> {
        deployments(self.door, &self.project)
    }
}

async fn webhook(door: &Door, of: &Sender, project: &ProjectName) -> WebhookWithSecret {
    let body = CreateWebhook {
        provider: of.provider,
        repository: Some(of.repository.to_owned()),
        api_base: None,
        reports_status: Some(false),
    };
    webhooks::create(door.host(), project, body).await.unwrap()
}

fn deployments(door: &Door, project: &ProjectName) -> Vec<Deployment> {
    let history = door.host().history(project, &EnvironmentName::production()).unwrap();
    history.into_iter().map(|(deployment, _)| deployment).collect()
}

#[track_caller]
fn is(sender: &Sender, delivery: &Delivery, verdict: Verdict, code: &str) {
    let got = (delivery.verdict, delivery.code.as_str());
    assert_eq!(got, (verdict, code), "{}: {delivery:#?}", sender.name);
}

/// Nothing that is not signed with this webhook's secret is taken, nor uses an id up.
async fn refuses_what_is_not_genuine(hook: &Hook<'_>) {
    let name = hook.of.name;
    let refused = |code: &str| Some((401, code.to_owned()));
    let (event, body) = (hook.of.push)();
    let body = body.to_string().into_bytes();
    let others = webhook(hook.door, hook.of, &hook.project).await.secret;
    let headers = hook.headers(&others, "1", event, &body);
    let answer = hook.door.post(&hook.webhook, headers, &body).await.err();
    assert_eq!(answer, refused("webhook.signature-wrong"), "{name}: another webhook's secret");
    let good = hook.headers(&hook.secret, "1", event, &body);
    let bare: Headers =
        good.iter().filter(|(header, _)| *header != hook.of.signature).cloned().collect();
    assert_eq!(bare.len() + 1, good.len(), "{name}");
    let answer = hook.door.post(&hook.webhook, bare, &body).await.err();
    assert_eq!(answer, refused("webhook.signature-missing"), "{name}: unsigned");
    if hook.of.signs_body {
        let changed = [&body[..], b"\n"].concat();
        let answer = hook.door.post(&hook.webhook, good, &changed).await.err();
        assert_eq!(answer, refused("webhook.signature-wrong"), "{name}: another body");
    }
    assert!(hook.deployments().is_empty(), "{name}");
}

/// A push deploys its commit once, a tag where it is mapped, a deletion and a ping nothing.
async fn takes_what_is(hook: &Hook<'_>) {
    let (of, name) = (hook.of, hook.of.name);
    let pushed = hook.settled("1", (of.push)()).await;
    is(of, &pushed, Verdict::Accepted, "deployed");
    let [made] = &hook.deployments()[..] else { panic!("{name}: one deployment") };
    assert_eq!(pushed.outcomes[0].deployment.as_ref(), Some(&made.id), "{name}");
    let exactly = Source::Git { url: of.repository.to_owned(), reference: Some(NEW.to_owned()) };
    assert_eq!(made.source, exactly, "{name}");
    if let Some((event, body)) = of.ping {
        let pinged = hook.send("2", (event, fixture(body))).await.unwrap();
        assert_eq!((pinged.verdict, &*pinged.code), (Verdict::Ignored, "ping"), "{name}");
    }
    is(of, &hook.settled("3", (of.tag)("v1")).await, Verdict::Ignored, "tags-off");
    is(of, &hook.settled("4", (of.branch_deleted)()).await, Verdict::Ignored, "branch-deleted");
    assert_eq!(hook.deployments().len(), 1, "{name}");
    let target =
        Target { project: hook.project.clone(), environment: EnvironmentName::production() };
    let tags = SetAutoDeploy { enabled: None, branch: None, tags: Some("v*".into()) };
    webhooks::set_auto_deploy(hook.door.host(), &target, tags).await.unwrap();
    is(of, &hook.settled("5", (of.tag)("v2")).await, Verdict::Accepted, "deployed");
    let tagged = &hook.deployments()[0];
    assert_eq!(tagged.source, exactly, "{name}: the tag's commit");
    assert_eq!(tagged.trigger.as_ref().unwrap().tag.as_deref(), Some("v2"), "{name}");
}

async fn refuses_what_came_before(hook: &Hook<'_>, when: &str) {
    let name = hook.of.name;
    let before = hook.deployments().len();
    let again = hook.send("1", (hook.of.push)()).await.err();
    assert_eq!(again, Some((409, "webhook.replayed".to_owned())), "{name} {when}");
    assert!(hook.door.host().store.pending_deliveries().unwrap().is_empty(), "{name} {when}");
    assert_eq!(hook.deployments().len(), before, "{name} {when}");
}

#[tokio::test]
async fn every_sender_is_taken_at_the_door_once_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let door = Door::open(dir.path()).await;
    let mut made = Vec::new();
    for of in &SENDERS {
        let hook = Hook::make(&door, of).await;
        refuses_what_is_not_genuine(&hook).await;
        Box::pin(takes_what_is(&hook)).await;
        refuses_what_came_before(&hook, "while the host runs").await;
        let Hook { project, webhook, secret, .. } = hook;
        made.push((of, project, webhook, secret));
    }
    drop(door);
    let door = Door::open(dir.path()).await;
    for (of, project, webhook, secret) in made {
        let hook = Hook { door: &door, of, project, webhook, secret };
        assert_eq!(hook.deployments().len(), 2, "{}", of.name);
        refuses_what_came_before(&hook, "after a restart").await;
        is(of, &hook.settled("6", (of.tag)("v3")).await, Verdict::Accepted, "deployed");
    }
}
