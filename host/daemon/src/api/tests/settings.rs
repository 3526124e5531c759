//! Settings of an environment.

use serde_json::json;
use windlass_model::deployment::{Kind, Source};
use windlass_model::settings::{Overrides, Settings, SettingsView};
use windlass_model::{Deployment, DeploymentStatus, EnvironmentName, ProjectName, Timestamp};

use super::{SHOP, World};
use crate::pipeline::prune;

const SETTINGS: &str = "/v1/projects/shop/environments/production/settings";

async fn with_shop() -> World {
    let world = World::new().await;
    world.expect(201, "POST", "/v1/projects", r#"{"name": "shop"}"#).await;
    world
}

fn shop() -> (ProjectName, EnvironmentName) {
    ("shop".parse().unwrap(), EnvironmentName::production())
}

#[tokio::test]
async fn settings_are_set_shown_replaced_and_taken_back() {
    let world = with_shop().await;
    let empty = world.expect(200, "GET", SETTINGS, "").await;
    assert_eq!((&empty["settings"], &empty["revision"]), (&json!({}), &json!(0)));
    let body = json!({"settings": {"run": {"memory": "1GiB", "replicas": 2}}, "revision": 0});
    let set = world.expect(200, "PUT", SETTINGS, &body.to_string()).await;
    assert_eq!(set["settings"], body["settings"]);
    assert_eq!(set["updated_by"], "admin");
    assert_eq!(set["values"][0]["key"], "run.memory");
    assert_eq!(set["values"][0]["origin"], "environment");
    // From a revision that is none any more; without one it is not asked.
    world.refused(409, "store.conflict", "PUT", SETTINGS, &body.to_string()).await;
    let body = json!({"settings": {"deploy": {"keep_deployments": "archive"}}});
    let set = world.expect(200, "PUT", SETTINGS, &body.to_string()).await;
    assert_eq!(set["settings"], body["settings"]);
    assert_eq!(world.expect(200, "GET", SETTINGS, "").await, set);
    world.expect(204, "DELETE", SETTINGS, "").await;
    let gone = world.expect(200, "GET", SETTINGS, "").await;
    assert_eq!((&gone["settings"], &gone["values"]), (&json!({}), &json!([])));
    assert!(gone["revision"].as_u64() > set["revision"].as_u64());

    // They end with their environment.
    world.expect(200, "PUT", SETTINGS, &body.to_string()).await;
    world.expect(204, "DELETE", SHOP, "").await;
    for method in ["GET", "PUT", "DELETE"] {
        let body = body.to_string();
        world.refused(404, "environment.not-found", method, SETTINGS, &body).await;
    }
    let again = r#"{"name": "production"}"#;
    world.expect(201, "POST", "/v1/projects/shop/environments", again).await;
    assert_eq!(world.expect(200, "GET", SETTINGS, "").await["settings"], json!({}));
}

#[tokio::test]
async fn what_cannot_be_set_is_refused_and_changes_nothing() {
    let world = with_shop().await;
    let refused = async |status: u16, code: &str, settings: serde_json::Value| {
        let body = json!({ "settings": settings }).to_string();
        world.refused(status, code, "PUT", SETTINGS, &body).await
    };
    let text = refused(400, "settings.unknown-key", json!({"run": {"memroy": "1GiB"}})).await;
    assert!(text.contains("`run.memory`"), "{text}");
    refused(400, "settings.wrong-value", json!({"run": {"replicas": 0}})).await;
    refused(400, "settings.wrong-value", json!({"deploy": {"keep_deployments": "for ever"}})).await;
    refused(400, "settings.unknown-key", json!({"cron": {"a": "b"}})).await;
    refused(400, "settings.only-in-file", json!({"deploy": {"paths": ["a"]}})).await;
    let secret = json!({"run": {"command": "serve --token ghp_0123456789abcdef0123"}});
    let text = refused(400, "settings.secret-in-file", secret).await;
    assert!(!text.contains("ghp_") && text.contains("windlass env set"), "{text}");
    let long = json!({"run": {"command": "x".repeat(70_000)}});
    refused(413, "store.too-large", long).await;
    let body = r#"{"run": {"memory": "1GiB"}}"#;
    world.refused(400, "request.invalid-body", "PUT", SETTINGS, body).await;
    assert_eq!(world.expect(200, "GET", SETTINGS, "").await["revision"], 0);
}

/// A deployment that has come to this.
async fn put(world: &World, status: DeploymentStatus, settings: Option<Settings>) {
    let (project, environment) = shop();
    let source = Source::Image { reference: "example.com/shop:1".into() };
    let queued = Deployment::queued(project, environment, 0, Kind::Deploy, source, "test".into());
    let stored = world.host.store.create_deployment(queued).await.unwrap();
    let mut made = stored.value;
    made.status = status;
    made.outputs.settings = settings;
    if status == DeploymentStatus::Live {
        made.live_at = Some(Timestamp::now());
        world.host.go_live(&made, stored.revision).await.unwrap();
    } else {
        world.host.save_deployment(&made, stored.revision).await.unwrap();
    }
}

#[tokio::test]
async fn each_value_says_where_it_comes_from_and_what_is_in_force() {
    let world = with_shop().await;
    let file = "[run]\nmemory = '64MiB'\nport = 4000\n";
    let mut then = Overrides::default();
    then.set("run.memory", json!("128MiB"));
    then.set("run.cpu", json!(2));
    let live = Settings::parse(file, &EnvironmentName::production()).unwrap().with(&then).unwrap();
    Box::pin(put(&world, DeploymentStatus::Live, Some(live))).await;
    let body = json!({"settings": {"run": {"memory": "1GiB"}, "health": {"path": "/up"}}});
    let view = world.expect(200, "PUT", SETTINGS, &body.to_string()).await;
    let view: SettingsView = serde_json::from_value(view).unwrap();
    assert_eq!(view.live_number, Some(1));
    let values = serde_json::to_value(&view.values).unwrap();
    let expected = json!([
        {"key": "health.path", "value": "/up", "origin": "environment"},
        {"key": "run.cpu", "origin": "default", "live": 2},
        {"key": "run.memory", "value": "1GiB", "origin": "environment", "file": "64MiB",
         "live": "128MiB"},
        {"key": "run.port", "value": 4000, "origin": "file", "file": 4000, "live": 4000},
    ]);
    assert_eq!(values, expected);
}

#[tokio::test]
async fn retention_that_is_set_is_applied_at_the_next_end_of_any_deployment() {
    let world = with_shop().await;
    Box::pin(put(&world, DeploymentStatus::Live, None)).await;
    for _ in 0..6 {
        Box::pin(put(&world, DeploymentStatus::Failed, None)).await;
    }
    let list = "/v1/deployments?project=shop";
    let count = async || {
        world.expect(200, "GET", list, "").await["items"].as_array().map(Vec::len).unwrap()
    };
    let blog: ProjectName = "blog".parse().unwrap();
    world.expect(201, "POST", "/v1/projects", r#"{"name": "blog"}"#).await;
    let finish = async || {
        let (host, owed) = (world.host.clone(), prune::Owed::default());
        prune::environment(host, owed, blog.clone(), EnvironmentName::production()).await;
    };
    finish().await;
    assert_eq!(count().await, 7);
    let body = json!({"settings": {"deploy": {"keep_deployments": "minimal"}}}).to_string();
    world.expect(200, "PUT", SETTINGS, &body).await;
    assert_eq!(count().await, 7, "a request deletes nothing");
    finish().await;
    // The newest three and the live one.
    assert_eq!(count().await, 4);
    assert!(world.host.store.environments_owed_retention().unwrap().is_empty());
    // What changes no retention owes none.
    let body = json!({"settings": {"deploy": {"keep_deployments": 3}, "run": {"port": 80}}});
    world.expect(200, "PUT", SETTINGS, &body.to_string()).await;
    assert!(world.host.store.environments_owed_retention().unwrap().is_empty());
    world.expect(204, "DELETE", SETTINGS, "").await;
    assert_eq!(world.host.store.environments_owed_retention().unwrap(), [shop()]);
}
