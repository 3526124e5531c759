//! What is around the handlers: token, JSON, limits, unknown paths, the description.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::middleware::from_fn;
use axum::routing::get;
use serde_json::Value;
use tower::ServiceExt as _;
use windlass_model::Limits;

use super::super::{guard, openapi, table};
use super::{SHOP, TOKEN, World, assert_failure};

fn bare(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path)
}

#[tokio::test]
async fn only_a_bearer_token_counts() {
    let world = World::new().await;
    for wrong in [format!("Basic {TOKEN}"), TOKEN.to_owned(), format!("Bearer{TOKEN}")] {
        let request = bare("GET", "/v1/projects").header(header::AUTHORIZATION, wrong);
        let (status, answer) = world.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert_failure(&answer, "auth.token-missing");
    }
    let request =
        bare("GET", "/v1/projects").header(header::AUTHORIZATION, format!("bearer  {TOKEN}"));
    assert_eq!(world.send(request.body(Body::empty()).unwrap()).await.0, StatusCode::OK);
}

#[tokio::test]
async fn bad_json_names_the_place_and_unknown_fields_by_name() {
    let world = World::new().await;
    let path = "/v1/projects";
    let said = world.refused(400, "request.malformed-json", "POST", path, "{\n  \"name\": }").await;
    assert!(said.contains("line 2, column 11"), "{said}");
    world.refused(400, "request.malformed-json", "POST", path, "{\"name\"").await;
    let body = "{\"name\": \"shop\", \"colour\": 1}";
    let said = world.refused(400, "request.invalid-body", "POST", path, body).await;
    assert!(said.contains("colour"), "{said}");
    let said = world.refused(400, "request.invalid-body", "POST", path, "").await;
    assert!(said.contains("name"), "{said}");
    let said =
        world.refused(400, "request.invalid-body", "POST", path, "{\"name\": \"My Shop\"}").await;
    assert!(said.contains("lower-case"), "{said}");
    let said = world.refused(400, "request.invalid-name", "GET", "/v1/projects/My_Shop", "").await;
    assert!(said.contains("lower-case"), "{said}");
    let said =
        world.refused(400, "request.invalid-query", "GET", "/v1/deployments?colour=1", "").await;
    assert!(said.contains("colour"), "{said}");
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_told_apart() {
    let world = World::new().await;
    let said = world.refused(404, "request.path-unknown", "GET", "/v1/nothing", "").await;
    assert!(said.contains("/v1/nothing"));
    world.refused(405, "request.method-not-allowed", "PUT", "/v1/projects", "").await;
    world.refused(405, "request.method-not-allowed", "POST", "/healthz", "").await;
}

#[tokio::test]
async fn bodies_over_their_limit_are_refused() {
    let limits = Limits { request_body_bytes_max: 100, upload_bytes_max: 200, ..Limits::default() };
    let world = World::with(limits).await;
    let long = format!("{{\"name\": \"{}\"}}", "a".repeat(200));
    let said = world.refused(413, "request.body-too-large", "POST", "/v1/projects", &long).await;
    assert!(said.contains("100"), "{said}");
    let archive = format!("{SHOP}/deployments/archive?name=shop&create=true");
    let said =
        world.refused(413, "request.body-too-large", "POST", &archive, &"a".repeat(201)).await;
    assert!(said.contains("200"), "{said}");
    // Without a length that was announced, it shows while it comes in.
    let parts = futures::stream::iter((0..3).map(|_| Ok::<_, std::io::Error>("a".repeat(100))));
    let request = bare("POST", &archive).header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
    let (status, answer) = world.send(request.body(Body::from_stream(parts)).unwrap()).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_failure(&answer, "request.body-too-large");
    assert!(
        world
            .host
            .store
            .deployments_with_status(windlass_model::DeploymentStatus::Queued)
            .unwrap()
            .is_empty()
    );
    let uploads = world.host.config.data_dir.join("uploads");
    assert_eq!(std::fs::read_dir(uploads).unwrap().count(), 0);
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    async fn boom() -> StatusCode {
        panic!("on purpose")
    }
    let router = axum::Router::new().route("/", get(boom)).layer(from_fn(guard::catch_panic));
    let response = router.oneshot(bare("GET", "/").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    assert_failure(&serde_json::from_slice(&bytes).unwrap(), "internal.panic");
}

#[tokio::test]
async fn the_host_says_how_it_is() {
    let world = World::new().await;
    assert_eq!(world.expect(200, "GET", "/healthz", "").await["ready"], true);
    assert_eq!(world.expect(200, "GET", "/readyz", "").await["problems"], serde_json::json!([]));
    let status = world.expect(200, "GET", "/v1/status", "").await;
    assert_eq!(status["ready"], true);
    assert!(status["proxy"][0].as_str().unwrap().starts_with("http://127.0.0.1:"));
    assert_eq!(world.expect(200, "GET", "/v1/plugins", "").await["plugins"], serde_json::json!([]));
}

/// Every `$ref` in a value.
fn references<'v>(value: &'v Value, into: &mut Vec<&'v str>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(target) if key == "$ref" => into.push(target),
                    other => references(other, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        _ => {}
    }
}

#[test]
fn the_description_covers_every_route_and_all_its_references_resolve() {
    let document = openapi();
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = std::collections::BTreeSet::new();
    for row in table::rows() {
        let operation = &document["paths"][row.path][row.verb.key()];
        assert_eq!(operation["summary"], row.summary, "{}", row.path);
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{}", row.path);
        let answer = &operation["responses"][row.status.to_string()];
        assert!(answer["description"].is_string(), "{} {answer}", row.path);
        let is_archive = answer["content"]["application/x-tar"].is_object();
        let is_text = answer["content"]["text/plain"].is_object();
        if !matches!(row.status, 101 | 204) && !is_archive && !is_text {
            let schema = &answer["content"]["application/json"]["schema"];
            let is_archive = answer["content"]["application/x-tar"].is_object();
            assert!(is_archive || schema.is_object() || schema.is_boolean(), "{}", row.path);
        }
        assert!(operation["responses"]["500"]["content"]["application/json"]["schema"].is_object());
        let asks_who = operation["responses"].get("401").is_some();
        assert_eq!(asks_who, !row.is_open || row.errors.contains(&401), "{}", row.path);
        let braces = row.path.matches('{').count();
        let parameters = operation["parameters"].as_array().unwrap();
        let in_address = parameters.iter().filter(|one| one["in"] != "header").count();
        assert_eq!(in_address, braces + row.query.len(), "{}", row.path);
    }
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 50);
    for target in found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target}");
    }
}

#[tokio::test]
async fn failure_codes_are_listed_and_explained() {
    let world = World::new().await;
    let all = world.expect(200, "GET", "/v1/failures", "").await;
    assert!(all.as_array().unwrap().len() > 150);
    let one = world.expect(200, "GET", "/v1/failures/check.exited", "").await;
    assert_eq!(one["whose"], "app");
    let text = world.refused(404, "code.not-found", "GET", "/v1/failures/check.exitd", "").await;
    assert!(text.contains("check.exited"), "{text}");
}
