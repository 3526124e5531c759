//! Projects, environments, variables, domains and services.

use serde_json::json;

use super::{SHOP, World};

async fn with_shop() -> World {
    let world = World::new().await;
    world.expect(201, "POST", "/v1/projects", r#"{"name": "shop"}"#).await;
    let body = r#"{"name": "production"}"#;
    world.expect(201, "POST", "/v1/projects/shop/environments", body).await;
    world
}

#[tokio::test]
async fn projects_and_environments_are_made_shown_and_deleted() {
    let world = with_shop().await;
    world.refused(409, "project.exists", "POST", "/v1/projects", r#"{"name": "shop"}"#).await;
    let shop = world.expect(200, "GET", "/v1/projects/shop", "").await;
    assert_eq!(shop["environments"][0]["name"], "production");
    let url = shop["environments"][0]["urls"][0].as_str().unwrap();
    assert!(url.starts_with("http://shop.localhost:"), "{url}");
    assert_eq!(world.expect(200, "GET", "/v1/projects", "").await["items"][0]["name"], "shop");
    let all = world.expect(200, "GET", "/v1/projects/shop/environments", "").await;
    assert_eq!(all.as_array().unwrap().len(), 1);
    world.expect(204, "DELETE", SHOP, "").await;
    world.refused(404, "environment.not-found", "GET", SHOP, "").await;
    world.expect(204, "DELETE", "/v1/projects/shop", "").await;
    world.refused(404, "project.not-found", "GET", "/v1/projects/shop", "").await;
    world.refused(404, "project.not-found", "DELETE", "/v1/projects/shop", "").await;
}

#[tokio::test]
async fn an_unknown_project_is_a_typed_404_everywhere() {
    let world = World::new().await;
    for (method, path, body) in [
        ("GET", "/v1/projects/shop".to_owned(), ""),
        ("GET", "/v1/deployments?project=shop".to_owned(), ""),
        ("PUT", "/v1/projects/shop/git-token".to_owned(), r#"{"token": "abcdef"}"#),
        ("GET", format!("{SHOP}/variables"), ""),
        ("PUT", format!("{SHOP}/variables"), r#"{"variables": [{"name": "A", "value": "b"}]}"#),
        ("GET", format!("{SHOP}/domains"), ""),
        ("POST", format!("{SHOP}/domains"), r#"{"host": "example.org"}"#),
        ("POST", format!("{SHOP}/services"), r#"{"name": "db", "address": "db:5432"}"#),
        ("POST", format!("{SHOP}/deployments"), r#"{"git_url": "https://example.org/x"}"#),
        ("POST", format!("{SHOP}/deployments/archive?name=x"), "x"),
        ("POST", format!("{SHOP}/redeploy"), ""),
        ("POST", format!("{SHOP}/rollback"), ""),
    ] {
        world.refused(404, "project.not-found", method, &path, body).await;
    }
}

#[tokio::test]
async fn variables_are_set_all_or_none_and_secret_ones_never_come_back() {
    let world = with_shop().await;
    let path = format!("{SHOP}/variables");
    let body = json!({ "variables": [
        { "name": "PLAIN", "value": "visible", "scope": "build" },
        { "name": "PASSWORD", "value": "hunter2-and-more", "secret": true },
    ]});
    let set = world.expect(200, "PUT", &path, &body.to_string()).await;
    assert_eq!(set[0]["name"], "PASSWORD");
    assert_eq!(set[0]["value"], serde_json::Value::Null);
    assert_eq!((&set[1]["value"], &set[1]["scope"]), (&json!("visible"), &json!("build")));
    let twice = json!({ "variables": [
        { "name": "NEW", "value": "1" }, { "name": "NEW", "value": "2" },
    ]});
    world.refused(400, "variable.repeated", "PUT", &path, &twice.to_string()).await;
    let bad =
        json!({ "variables": [{ "name": "NEW", "value": "1" }, { "name": "1X", "value": "" }]});
    world.refused(400, "request.invalid-body", "PUT", &path, &bad.to_string()).await;
    assert_eq!(world.expect(200, "GET", &path, "").await.as_array().unwrap().len(), 2);
    world.expect(204, "DELETE", &format!("{path}/PLAIN"), "").await;
    world.refused(404, "variable.not-found", "DELETE", &format!("{path}/PLAIN"), "").await;
}

#[tokio::test]
async fn no_answer_contains_a_secret() {
    let world = with_shop().await;
    let body =
        r#"{"variables": [{"name": "PASSWORD", "value": "hunter2-and-more", "secret": true}]}"#;
    world.expect(200, "PUT", &format!("{SHOP}/variables"), body).await;
    let token = r#"{"token": "ghp-token-of-a-person"}"#;
    world.expect(204, "PUT", "/v1/projects/shop/git-token", token).await;
    let body = r#"{"git_url": "https://example.org/x", "git_token": "ghp-another-token"}"#;
    let queued = world.expect(202, "POST", &format!("{SHOP}/deployments"), body).await;
    let id = queued["id"].as_str().unwrap().to_owned();
    assert_eq!(world.expect(200, "GET", "/v1/projects/shop", "").await["has_git_token"], true);
    for path in [
        "/v1/projects".to_owned(),
        "/v1/projects/shop".to_owned(),
        SHOP.to_owned(),
        format!("{SHOP}/variables"),
        format!("{SHOP}/domains"),
        "/v1/deployments".to_owned(),
        format!("/v1/deployments/{id}"),
        format!("/v1/deployments/{id}/logs"),
        "/v1/status".to_owned(),
    ] {
        let answer = world.expect(200, "GET", &path, "").await.to_string();
        for secret in ["hunter2", "ghp-token", "ghp-another", TOKEN_OF_API] {
            assert!(!answer.contains(secret), "{path}: {answer}");
        }
    }
    world.expect(204, "DELETE", "/v1/projects/shop/git-token", "").await;
    assert_eq!(world.expect(200, "GET", "/v1/projects/shop", "").await["has_git_token"], false);
    let bad = r#"{"token": "two words"}"#;
    world.refused(400, "git-token.invalid", "PUT", "/v1/projects/shop/git-token", bad).await;
}

const TOKEN_OF_API: &str = super::TOKEN;

#[tokio::test]
async fn domains_belong_to_one_environment() {
    let world = with_shop().await;
    let path = format!("{SHOP}/domains");
    let added = world.expect(201, "POST", &path, r#"{"host": "Example.org"}"#).await;
    assert_eq!(added["host"], "example.org");
    let default = world.expect(201, "POST", &path, r#"{"host": "*"}"#).await;
    assert!(default["url"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    let shown = world.expect(200, "GET", SHOP, "").await;
    assert_eq!(shown["urls"][0], default["url"]);
    world.refused(400, "domain.invalid", "POST", &path, r#"{"host": "no host"}"#).await;
    let staging = "/v1/projects/shop/environments/staging";
    world.expect(201, "POST", "/v1/projects/shop/environments", r#"{"name": "staging"}"#).await;
    let body = r#"{"host": "example.org"}"#;
    let said =
        world.refused(409, "domain.taken", "POST", &format!("{staging}/domains"), body).await;
    assert!(said.contains("production"), "{said}");
    let theirs = format!("{staging}/domains/example.org");
    world.refused(404, "domain.not-found", "DELETE", &theirs, "").await;
    world.expect(204, "DELETE", &format!("{path}/example.org"), "").await;
    world.expect(204, "DELETE", &format!("{path}/*"), "").await;
    let left = world.expect(200, "GET", &path, "").await;
    assert_eq!(left.as_array().unwrap().len(), 1);
    assert_eq!(left[0]["host"], "shop.localhost");
}

#[tokio::test]
async fn services_are_added_and_removed() {
    let world = with_shop().await;
    let path = format!("{SHOP}/services");
    let body = r#"{"name": "db", "kind": "postgres", "address": "db:5432", "variable_names": ["DATABASE_URL"]}"#;
    assert_eq!(world.expect(201, "POST", &path, body).await["address"], "db:5432");
    assert_eq!(world.expect(200, "GET", &path, "").await[0]["name"], "db");
    world.expect(204, "DELETE", &format!("{path}/db"), "").await;
    world.refused(404, "service.not-found", "DELETE", &format!("{path}/db"), "").await;
}

#[tokio::test]
async fn a_secret_variable_stays_secret_when_it_gets_a_new_value() {
    let world = with_shop().await;
    let path = format!("{SHOP}/variables");
    let set = |value: &str, secret: bool| {
        json!({ "variables": [{ "name": "API_KEY", "value": value, "secret": secret }] })
            .to_string()
    };
    world.expect(200, "PUT", &path, &set("first-value", true)).await;
    let shown = world.expect(200, "PUT", &path, &set("second-value", false)).await;
    assert_eq!((&shown[0]["secret"], &shown[0]["value"]), (&json!(true), &json!(null)), "{shown}");
    world.expect(204, "DELETE", &format!("{path}/API_KEY"), "").await;
    let shown = world.expect(200, "PUT", &path, &set("third-value", false)).await;
    assert_eq!(shown[0]["value"], "third-value");
}
