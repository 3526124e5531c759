//! Tokens, the audit log, and what a scope shows.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, header};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use windlass_model::Limits;

use super::{SHOP, TOKEN, World, assert_failure};

async fn with_shop() -> World {
    let world = World::new().await;
    world.expect(201, "POST", "/v1/projects", r#"{"name": "shop"}"#).await;
    world
}

async fn make(world: &World, body: Value) -> String {
    let made = world.expect(201, "POST", "/v1/tokens", &body.to_string()).await;
    made["text"].as_str().unwrap().to_owned()
}

async fn as_token(
    world: &World,
    token: &str,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path);
    let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    let (status, answer) = world.send(request.body(Body::from(body.to_owned())).unwrap()).await;
    (status.as_u16(), answer)
}

#[tokio::test]
async fn a_token_is_shown_once_works_rotates_and_is_revoked() {
    let world = with_shop().await;
    let body =
        json!({ "name": "ci", "scope": "deploy", "projects": ["shop"], "expires_in_s": 3600 });
    let text = make(&world, body.clone()).await;
    world.refused(409, "token.exists", "POST", "/v1/tokens", &body.to_string()).await;
    let (_, me) = as_token(&world, &text, "GET", "/v1/token", "").await;
    assert_eq!(me, json!({ "actor": "ci", "scope": "deploy", "projects": ["shop"] }));
    let listed = world.expect(200, "GET", "/v1/tokens", "").await;
    let secret = text.split('_').nth(2).unwrap();
    assert!(!listed.to_string().contains(secret), "{listed}");
    assert_eq!(listed["items"][0]["state"], "active");
    let stored: Vec<u8> = world
        .host
        .store
        .kv()
        .list("api-token/", &windlass_store::kv::Page::all())
        .unwrap()
        .into_iter()
        .flat_map(|(_, entry)| entry.value)
        .collect();
    assert!(!String::from_utf8(stored).unwrap().contains(secret), "only its hash is stored");

    let rotated = world.expect(200, "POST", "/v1/tokens/ci/rotate", "").await;
    let new = rotated["text"].as_str().unwrap().to_owned();
    assert_eq!(rotated["token"]["id"], listed["items"][0]["id"]);
    let (status, answer) = as_token(&world, &text, "GET", "/v1/token", "").await;
    assert_eq!(status, 401, "the old text ends at once");
    assert_failure(&answer, "auth.token-wrong");
    assert_eq!(as_token(&world, &new, "GET", "/v1/token", "").await.0, 200);

    let revoked = world.expect(200, "DELETE", "/v1/tokens/ci", "").await;
    assert_eq!(revoked["state"], "revoked");
    let (status, answer) = as_token(&world, &new, "GET", "/v1/token", "").await;
    assert_eq!(status, 401);
    assert_failure(&answer, "auth.token-revoked");
    world.expect(200, "DELETE", "/v1/tokens/ci", "").await;
    world.refused(409, "token.revoked", "POST", "/v1/tokens/ci/rotate", "").await;
    make(&world, body).await;
}

#[tokio::test]
async fn bad_tokens_are_not_made() {
    let world = World::new().await;
    for (body, code) in [
        (json!({ "name": "admin", "scope": "read" }), "token.name-reserved"),
        (json!({ "name": "ci", "scope": "read", "expires_in_s": 0 }), "token.expiry-invalid"),
        (
            json!({ "name": "ci", "scope": "read", "expires_in_s": u64::MAX }),
            "token.expiry-invalid",
        ),
        (json!({ "name": "CI", "scope": "read" }), "request.invalid-body"),
        (json!({ "name": "ci", "scope": "root" }), "request.invalid-body"),
    ] {
        world.refused(400, code, "POST", "/v1/tokens", &body.to_string()).await;
    }
    world.refused(404, "token.not-found", "DELETE", "/v1/tokens/none", "").await;
    world.refused(400, "token.cannot-revoke", "DELETE", "/v1/tokens/admin", "").await;
}

#[tokio::test]
async fn the_hosts_own_token_is_replaced_in_its_file_and_at_once() {
    let world = World::new().await;
    let answer = world.expect(200, "POST", "/v1/tokens/admin/rotate", "").await;
    let new = answer["text"].as_str().unwrap();
    let file = std::fs::read_to_string(world.host.config.data_dir.join("token")).unwrap();
    assert_eq!(file.trim(), new);
    assert_eq!(as_token(&world, TOKEN, "GET", "/v1/token", "").await.0, 401);
    assert_eq!(as_token(&world, new, "GET", "/v1/token", "").await.1["actor"], "admin");
}

#[tokio::test]
async fn values_of_variables_are_shown_to_whom_may_change_them() {
    let world = with_shop().await;
    let body = r#"{"variables": [{"name": "PLAIN", "value": "visible"}]}"#;
    let path = format!("{SHOP}/variables");
    assert_eq!(world.expect(200, "PUT", &path, body).await[0]["value"], "visible");
    let reader = make(&world, json!({ "name": "reader", "scope": "read" })).await;
    let (_, shown) = as_token(&world, &reader, "GET", &path, "").await;
    assert_eq!((&shown[0]["name"], &shown[0]["value"]), (&json!("PLAIN"), &Value::Null));
}

#[tokio::test]
async fn a_limited_token_lists_its_own_and_its_name_is_the_actor() {
    let world = with_shop().await;
    world.expect(201, "POST", "/v1/projects", r#"{"name": "other"}"#).await;
    let ci = make(&world, json!({ "name": "ci", "scope": "deploy", "projects": ["shop"] })).await;
    let (_, projects) = as_token(&world, &ci, "GET", "/v1/projects", "").await;
    assert_eq!(projects["items"].as_array().unwrap().len(), 1);
    let body = r#"{"git_url": "https://example.org/shop"}"#;
    let path = format!("{SHOP}/deployments");
    let (status, queued) = as_token(&world, &ci, "POST", &path, body).await;
    assert_eq!((status, &queued["actor"]), (202, &json!("ci")), "{queued}");
    let body = r#"{"git_url": "https://example.org/other"}"#;
    let path = "/v1/projects/other/environments/production/deployments";
    assert_eq!(as_token(&world, TOKEN, "POST", path, body).await.1["actor"], "admin");
    let (_, seen) = as_token(&world, &ci, "GET", "/v1/deployments", "").await;
    assert_eq!(seen["items"].as_array().unwrap().len(), 1);
    assert_eq!(seen["items"][0]["project"], "shop");
}

#[tokio::test]
async fn the_audit_log_says_who_did_what_and_holds_no_secret() {
    let world = with_shop().await;
    let ci = make(&world, json!({ "name": "ci", "scope": "deploy" })).await;
    let secret =
        r#"{"variables": [{"name": "KEY", "value": "canary-of-the-audit", "secret": true}]}"#;
    let variables = format!("{SHOP}/variables?note=canary-in-the-query");
    world.call("PUT", &variables, secret).await;
    as_token(&world, &ci, "PUT", &format!("{SHOP}/variables"), secret).await;
    as_token(&world, "wl_nonsense", "DELETE", "/v1/projects/shop", "").await;
    world.expect(200, "GET", "/v1/projects", "").await;
    let log = world.expect(200, "GET", "/v1/audit", "").await;
    let items = log["items"].as_array().unwrap();
    let seen: Vec<_> = items
        .iter()
        .map(|e| format!("{} {} {} {}", e["actor"], e["method"], e["status"], e["code"]))
        .collect();
    assert_eq!(
        seen,
        [
            r#""unknown" "DELETE" 401 "auth.token-mistyped""#,
            r#""ci" "PUT" 403 "auth.scope-too-small""#,
            r#""admin" "PUT" 200 null"#,
            r#""admin" "POST" 201 null"#,
            r#""admin" "POST" 201 null"#,
        ]
    );
    assert_eq!(items[1]["project"], "shop");
    assert_eq!(items[1]["route"], "/v1/projects/{project}/environments/{environment}/variables");
    let of_ci = world.expect(200, "GET", "/v1/audit?actor=ci", "").await;
    assert_eq!(of_ci["items"].as_array().unwrap().len(), 1);
    let page = world.expect(200, "GET", "/v1/audit?limit=2", "").await;
    let next = page["next"].as_str().unwrap();
    let rest = world.expect(200, "GET", &format!("/v1/audit?limit=2&before={next}"), "").await;
    assert_eq!(rest["items"][0]["id"], items[2]["id"]);
    let file = world.host.config.data_dir.join("audit/audit.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    assert!(!text.contains("canary"), "{text}");
    assert!(!text.contains(ci.split('_').nth(2).unwrap()) && !text.contains(TOKEN), "{text}");
}

#[tokio::test]
async fn who_guesses_waits_and_keeps_out_nobody_else() {
    let mut limits = Limits::default();
    limits.access.failures_per_minute_max = 3;
    let world = World::with(limits).await;
    let ci = make(&world, json!({ "name": "ci", "scope": "read" })).await;
    let ask = async |token: &str, peer: &str, forwarded: Option<&str>| {
        let mut request = Request::builder().uri("/v1/token");
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        if let Some(forwarded) = forwarded {
            request = request.header("x-forwarded-for", forwarded);
        }
        let mut request = request.body(Body::empty()).unwrap();
        let peer: SocketAddr = peer.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = world.router.clone().oneshot(request).await.unwrap();
        let waits = answer.headers().contains_key(header::RETRY_AFTER);
        (answer.status().as_u16(), waits)
    };
    for _ in 0..3 {
        assert_eq!(ask("guess", "192.0.2.1:999", None).await, (401, false));
    }
    assert_eq!(ask("guess", "192.0.2.1:1000", None).await, (429, true));
    assert_eq!(ask(TOKEN, "192.0.2.1:1000", None).await, (429, true), "nothing is looked at");
    assert_eq!(ask(&ci, "192.0.2.1:1000", None).await, (200, false), "another id: its owner");
    assert_eq!(ask(TOKEN, "192.0.2.2:1000", None).await, (200, false));
    // Behind a proxy of this machine each client counts for himself, and no other proxy is believed.
    for _ in 0..3 {
        assert_eq!(ask("guess", "127.0.0.1:999", Some("1.2.3.4, 198.51.100.7")).await.0, 401);
        assert_eq!(ask("guess", "192.0.2.3:999", Some("198.51.100.8")).await.0, 401);
    }
    assert_eq!(ask(TOKEN, "127.0.0.1:999", Some("198.51.100.7")).await.0, 429);
    assert_eq!(ask(TOKEN, "127.0.0.1:999", Some("198.51.100.8")).await.0, 200);
    assert_eq!(ask(TOKEN, "127.0.0.1:999", None).await.0, 200);
}
