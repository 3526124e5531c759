use windlass_model::webhook::{DeliveryId, WebhookId};

use super::*;
use crate::testing::queued;

const COMMIT: &str = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";

fn webhook(provider: Provider, api_base: Option<&str>) -> Webhook {
    Webhook {
        id: WebhookId::generate(),
        project: "shop".parse().unwrap(),
        provider,
        repository: None,
        api_base: api_base.map(str::to_owned),
        reports_status: true,
        created_at: Timestamp::now(),
        rotated_at: None,
        previous_until: None,
        status_problem: None,
    }
}

fn deployment(status: DeploymentStatus) -> Deployment {
    let mut deployment = queued(7);
    deployment.status = status;
    deployment.trigger = Some(Trigger {
        webhook: WebhookId::generate(),
        delivery: DeliveryId::generate(),
        commit: COMMIT.to_owned(),
        api_name: "acme/shop".to_owned(),
        branch: Some("main".to_owned()),
        tag: None,
        pull_request: None,
    });
    deployment
}

fn to(webhook: &Webhook, status: DeploymentStatus) -> Option<Message> {
    let deployment = deployment(status);
    let trigger = deployment.trigger.clone().unwrap();
    message(webhook, &trigger, &deployment, Some("https://shop.example.com"), "t0ken")
}

#[test]
fn github_is_told_in_its_own_words() {
    let hook = webhook(Provider::Github, None);
    let said = to(&hook, DeploymentStatus::Running).unwrap();
    assert_eq!(said.url, format!("https://api.github.com/repos/acme/shop/statuses/{COMMIT}"));
    assert_eq!(said.headers[0].1.expose(), "Bearer t0ken");
    assert!(!format!("{said:?}").contains("t0ken"), "the token is not shown");
    assert_eq!(said.body["context"], "windlass/production");
    assert_eq!(said.body["target_url"], "https://shop.example.com");
    for (status, state) in [
        (DeploymentStatus::Queued, "pending"),
        (DeploymentStatus::Running, "pending"),
        (DeploymentStatus::Live, "success"),
        (DeploymentStatus::Retired, "success"),
        (DeploymentStatus::Failed, "failure"),
        (DeploymentStatus::Stuck, "failure"),
        (DeploymentStatus::Cancelled, "error"),
    ] {
        assert_eq!(to(&hook, status).unwrap().body["state"], state, "{status}");
    }
}

#[test]
fn gitlab_is_told_in_its_own_words() {
    let hook = webhook(Provider::Gitlab, Some("https://gitlab.example.com/api/v4/"));
    let said = to(&hook, DeploymentStatus::Live).unwrap();
    let url = format!("https://gitlab.example.com/api/v4/projects/acme/shop/statuses/{COMMIT}");
    assert_eq!(said.url, url);
    assert_eq!(
        (said.headers[0].0, said.headers[0].1.expose().as_str()),
        ("private-token", "t0ken")
    );
    assert_eq!(said.body["name"], "windlass/production");
    for (status, state) in [
        (DeploymentStatus::Queued, "pending"),
        (DeploymentStatus::Live, "success"),
        (DeploymentStatus::Failed, "failed"),
        (DeploymentStatus::Cancelled, "canceled"),
    ] {
        assert_eq!(to(&hook, status).unwrap().body["state"], state, "{status}");
    }
}

#[test]
fn others_are_told_nothing_and_descriptions_are_short() {
    for provider in [Provider::Gitea, Provider::Bitbucket, Provider::Generic] {
        assert_eq!(to(&webhook(provider, Some("https://x")), DeploymentStatus::Live), None);
    }
    let mut failed = deployment(DeploymentStatus::Failed);
    failed.failure = Some(Failure::app("x", "ä".repeat(1000), "y", "z"));
    assert_eq!(describe(&failed).chars().count(), DESCRIPTION_CHARS_MAX);
}

/// A stand-in for GitLab's API: it refuses the first request, and keeps what it is told.
async fn gitlab() -> (String, Arc<std::sync::Mutex<Vec<(String, String, Value)>>>) {
    use axum::extract::{Path, State};
    use axum::http::{HeaderMap, StatusCode};
    type Told = Arc<std::sync::Mutex<Vec<(String, String, Value)>>>;
    let told = Told::default();
    let status = |State(told): State<Told>,
                  Path((project, sha)): Path<(String, String)>,
                  headers: HeaderMap,
                  axum::Json(body): axum::Json<Value>| async move {
        let token = headers.get("private-token").and_then(|value| value.to_str().ok());
        let mut told = told.lock().unwrap();
        told.push((format!("{project}/{sha}"), token.unwrap_or_default().to_owned(), body));
        if told.len() == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::CREATED }
    };
    let app = axum::Router::new()
        .route("/api/v4/projects/{project}/statuses/{sha}", axum::routing::post(status))
        .with_state(told.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/api/v4", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (base, told)
}

#[tokio::test]
async fn a_refused_status_is_sent_again_later_and_a_final_one_ends_the_report() {
    let parts =
        crate::testing::TestHost::with(windlass_model::Limits::default(), &crate::pipeline::TABLE)
            .await;
    let host = &parts.host;
    let (base, told) = gitlab().await;
    let hook = webhook(Provider::Gitlab, Some(&base));
    host.store.ensure_project(&hook.project).await.unwrap();
    host.store.create_webhook(&hook, &Secret::new("secret".to_owned())).await.unwrap();
    let mut made = deployment(DeploymentStatus::Queued);
    if let Some(trigger) = &mut made.trigger {
        "15".clone_into(&mut trigger.api_name);
    }
    let made = host.store.create_deployment(made).await.unwrap();
    let report = StatusReport {
        deployment: made.value.id.clone(),
        webhook: hook.id.clone(),
        sent: None,
        tries: 0,
        not_before: None,
    };
    host.store.put_status_report(&report).await.unwrap();
    let kept = || host.store.status_reports().unwrap();
    let problem = || host.store.webhook(&hook.id).unwrap().value.status_problem;

    tell(host, report).await.unwrap();
    assert!(problem().unwrap().contains("windlass webhook status-token"), "no token is stored");
    host.store.set_git_token(&hook.project, &Secret::new("oauth2:t0ken".into())).await.unwrap();
    tell(host, kept().remove(0)).await.unwrap();
    assert!(problem().unwrap().contains("503"), "{:?}", problem());
    assert!(!problem().unwrap().contains("t0ken"));
    let waiting = kept().remove(0);
    assert_eq!(waiting.tries, 2);
    assert!(waiting.not_before.unwrap() > Timestamp::now(), "it is not tried at once");

    tell(host, waiting).await.unwrap();
    assert_eq!((problem(), kept()[0].sent.as_deref()), (None, Some("pending")));
    assert!(!has_news(host, &kept()[0]), "the same is not told twice");
    let (mut live, revision) = host.deployment(&made.value.id).unwrap().unwrap();
    live.status = DeploymentStatus::Live;
    host.save_deployment(&live, revision).await.unwrap();
    assert!(has_news(host, &kept()[0]));
    tell(host, kept().remove(0)).await.unwrap();
    assert!(kept().is_empty(), "a final status ends the report");

    let told = told.lock().unwrap();
    let states: Vec<&str> = told.iter().filter_map(|(_, _, body)| body["state"].as_str()).collect();
    assert_eq!(states, ["pending", "pending", "success"]);
    for (path, token, _) in told.iter() {
        assert_eq!((path.as_str(), token.as_str()), (format!("15/{COMMIT}").as_str(), "t0ken"));
    }
}
