//! Plugins over the API: what is refused, what is only asked, and what projects choose. What an installation does
//! with files is tested where it is done.

use axum::body::Body;
use axum::http::{Request, header};
use serde_json::{Value, json};
use windlass_model::access::TokenScope;
use windlass_model::deployment::Chosen;
use windlass_model::plan::Detection;
use windlass_model::plugin::account::Account;
use windlass_model::{DeploymentId, DeploymentStatus, Digest, Limits, ProjectName};
use windlass_store::Change;

use super::{TOKEN, World, assert_failure};
use crate::access::audit::Audit;
use crate::access::caller::Caller;
use crate::access::{Access, AdminToken};
use crate::control::plugins as chosen;
use crate::plugins::tests::component;
use crate::testing::TestHost;

const ASKS: &str = r#"[{"name": "http", "hosts": ["api.osv.dev"], "reason": "advisories"}]"#;

/// A host with the plugin `scan` in its folder.
async fn with_scan() -> World {
    let mut parts = TestHost::with(Limits::default(), &crate::pipeline::TABLE).await;
    let folder = parts.host.config.data_dir.join("plugins");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("scan.wasm"), component("1.0.0", json!([]))).unwrap();
    parts.start_anew().await;
    let host = parts.host.clone();
    let audit = Audit::open(&host.config.data_dir, &host.config.limits.access).unwrap();
    let access = Access::new(AdminToken::new(TOKEN), audit, &host.config.limits);
    let router = crate::api::router(host.clone(), access);
    World { host, router, _parts: parts }
}

async fn upload(world: &World, query: &str, file: &[u8]) -> (u16, Value) {
    let request = Request::builder()
        .method("POST")
        .uri(format!("/v1/plugins{query}"))
        .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
        .body(Body::from(file.to_vec()))
        .unwrap();
    let (status, body) = world.send(request).await;
    (status.as_u16(), body)
}

#[tokio::test]
async fn a_dry_run_says_what_is_asked_for_and_changes_nothing() {
    let world = World::new().await;
    let file = component("1.0.0", serde_json::from_str(ASKS).unwrap());
    let (status, proposal) = upload(&world, "?dry_run=true&name=a.wasm", &file).await;
    assert_eq!(status, 200, "{proposal}");
    assert_eq!(proposal["installed"], false);
    assert_eq!(proposal["asks"][0]["capability"]["hosts"], json!(["api.osv.dev"]));
    assert_eq!(proposal["asks"][0]["granted"], json!([]));
    let (_, proposal) = upload(&world, "?dry_run=true&grant=all", &file).await;
    assert_eq!(proposal["asks"][0]["granted"][0]["name"], "http");
    let list = world.expect(200, "GET", "/v1/plugins", "").await;
    assert_eq!((&list["plugins"], &list["problems"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn what_cannot_be_installed_is_refused_with_its_reason() {
    let world = World::new().await;
    let file = component("1.0.0", serde_json::from_str(ASKS).unwrap());
    let other = format!("?digest=sha256:{}", "0".repeat(64));
    let rows: [(&str, &[u8], u16, &str); 6] = [
        ("", &file, 409, "plugin.not-granted"),
        ("?grant=everything", &file, 400, "request.invalid-query"),
        ("?odd=1", &file, 400, "request.invalid-query"),
        ("", b"", 400, "request.body-empty"),
        ("?grant=all", b"text", 400, "plugin.not-loadable"),
        (&other, &file, 400, "plugin.digest-wrong"),
    ];
    for (query, file, expected, code) in rows {
        let (status, answer) = upload(&world, query, file).await;
        assert_eq!(status, expected, "{query}: {answer}");
        assert_failure(&answer, code);
    }
    let bytes_max = world.host.plugins.sandbox.limits().component_bytes_max;
    let large = vec![0; usize::try_from(bytes_max).unwrap() + 1];
    let (status, answer) = upload(&world, "", &large).await;
    assert_eq!(status, 413, "{answer}");
    assert_failure(&answer, "request.body-too-large");
    let said = answer.to_string();
    assert!(
        said.contains("a plugin has at most") && said.contains("component_bytes_max"),
        "{said}"
    );
    assert!(!said.contains("dependencies"), "that is about applications: {said}");
    let list = world.expect(200, "GET", "/v1/plugins", "").await;
    assert_eq!(list["component_bytes_max"], json!(bytes_max), "it can be asked for before");
    let plain = r#"{"url": "http://example.com/scan.wasm"}"#;
    world.refused(400, "plugin.url-invalid", "POST", "/v1/plugin-fetch", plain).await;
    for (method, path, status, code) in [
        ("GET", "/v1/plugins/none", 404, "plugin.not-found"),
        ("DELETE", "/v1/plugins/none", 404, "plugin.not-found"),
        ("POST", "/v1/plugins/none/rollback", 404, "plugin.not-found"),
    ] {
        world.refused(status, code, method, path, "").await;
    }
    let grant = r#"{"grant": "all"}"#;
    world.refused(404, "plugin.not-found", "PUT", "/v1/plugins/none/grants", grant).await;
}

#[tokio::test]
async fn a_file_in_the_folder_is_listed_and_granted_nothing() {
    let world = with_scan().await;
    let list = world.expect(200, "GET", "/v1/plugins", "").await;
    let [scan] = list["plugins"].as_array().unwrap().as_slice() else { panic!("{list}") };
    assert_eq!((&scan["standing"], &scan["grants"]), (&json!("unmanaged"), &json!([])));
    assert_eq!(scan["manifest"]["name"], "scan");
    let shown = world.expect(200, "GET", "/v1/plugins/scan", "").await;
    assert_eq!((&shown["versions"], &shown["asks"]), (&json!([]), &json!([])));
    world.refused(409, "plugin.not-installed", "DELETE", "/v1/plugins/scan", "").await;
    let grant = r#"{"grant": "all"}"#;
    world.refused(409, "plugin.not-installed", "PUT", "/v1/plugins/scan/grants", grant).await;
}

#[tokio::test]
async fn a_project_chooses_what_it_uses() {
    let world = with_scan().await;
    world.expect(201, "POST", "/v1/projects", r#"{"name": "shop"}"#).await;
    let path = "/v1/projects/shop/plugins/scan";
    let at_first = world.expect(200, "GET", path, "").await;
    assert_eq!((&at_first["enabled"], &at_first["pinned"]), (&json!(true), &json!(false)));
    let chosen = world.expect(200, "PUT", path, r#"{"options": {"level": "high"}}"#).await;
    assert_eq!((&chosen["options"]["level"], &chosen["enabled"]), (&json!("high"), &json!(true)));
    let chosen = world.expect(200, "PUT", path, r#"{"enabled": false}"#).await;
    assert_eq!((&chosen["options"]["level"], &chosen["enabled"]), (&json!("high"), &json!(false)));
    let all = world.expect(200, "GET", "/v1/projects/shop/plugins", "").await;
    assert_eq!(all, json!([chosen]));

    let bad = r#"{"options": {"level": "all"}}"#;
    world.refused(400, "plugin.options-invalid", "PUT", path, bad).await;
    let pin = r#"{"version": "1.0.0"}"#;
    world.refused(409, "plugin.not-installed", "PUT", path, pin).await;
    let nobody = "/v1/projects/nobody/plugins/scan";
    world.refused(404, "project.not-found", "PUT", nobody, "{}").await;
    let none = "/v1/projects/shop/plugins/none";
    world.refused(404, "plugin.not-found", "PUT", none, "{}").await;

    world.expect(204, "DELETE", "/v1/projects/shop", "").await;
    world.expect(201, "POST", "/v1/projects", r#"{"name": "shop"}"#).await;
    let again = world.expect(200, "GET", path, "").await;
    assert_eq!((&again["enabled"], &again["options"]), (&json!(true), &json!({})), "it is another");
}

#[tokio::test]
async fn indexes_are_added_listed_searched_and_removed() {
    let world = World::new().await;
    let path = world.host.config.data_dir.join("plugins.json");
    let release = json!({ "version": "1.0.0", "url": "https://example.com/scan.wasm",
                          "digest": format!("sha256:{}", "0".repeat(64)) });
    let file = json!({ "version": 1, "plugins": [{
        "name": "scan", "summary": "Looks up", "licence": "MIT", "stages": ["custom"], "versions": [release],
    }] });
    std::fs::write(&path, file.to_string()).unwrap();
    let one = "/v1/plugin-indexes/acme";
    let body = json!({ "url": format!("file://{}", path.display()) }).to_string();
    let added = world.expect(200, "PUT", one, &body).await;
    assert_eq!((&added["plugins"], &added["policy"]), (&json!(1), &json!("off")));
    let list = world.expect(200, "GET", "/v1/plugin-indexes", "").await;
    assert_eq!(list["indexes"][0]["name"], "acme");
    let found = world.expect(200, "GET", "/v1/plugin-search?words=scan&stage=custom", "").await;
    assert_eq!((&found["total"], &found["found"][0]["fits"]), (&json!(1), &json!("1.0.0")));
    let odd = "/v1/plugin-search?stage=kitchen";
    world.refused(400, "request.invalid-query", "GET", odd, "").await;

    let nowhere = r#"{"url": "file:///nowhere.json"}"#;
    world.refused(400, "plugin.index-unreadable", "PUT", one, nowhere).await;
    let plain = r#"{"url": "http://example.com/plugins.json"}"#;
    world.refused(400, "plugin.index-invalid", "PUT", one, plain).await;
    let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    let signed = json!({ "url": format!("file://{}", path.display()), "key": key }).to_string();
    world.refused(403, "plugin.index-signature", "PUT", one, &signed).await;
    let none = r#"{"url": "none"}"#;
    world.refused(404, "plugin.not-in-index", "POST", "/v1/plugin-fetch", none).await;
    let nobody = r#"{"url": "scan", "project": "nobody"}"#;
    world.refused(404, "project.not-found", "POST", "/v1/plugin-fetch", nobody).await;
    world.expect(200, "PUT", "/v1/plugin-indexes/other", &body).await;
    let both = r#"{"url": "scan"}"#;
    world.refused(409, "plugin.ambiguous", "POST", "/v1/plugin-fetch", both).await;
    world.expect(204, "DELETE", one, "").await;
    world.refused(404, "plugin.index-unknown", "DELETE", one, "").await;
}

#[tokio::test]
async fn whose_signatures_count_is_set_in_one_place() {
    let world = World::new().await;
    let path = "/v1/plugin-signatures";
    assert_eq!(world.expect(200, "GET", path, "").await["policy"], "off");
    let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    let body = json!({ "policy": "require", "add": { "author": key } }).to_string();
    let view = world.expect(200, "PUT", path, &body).await;
    assert_eq!((&view["policy"], &view["keys"]["author"]), (&json!("require"), &json!(key)));
    let file = component("1.0.0", json!([]));
    let (status, answer) = upload(&world, "", &file).await;
    assert_eq!(status, 403);
    assert_failure(&answer, "plugin.signature-missing");
    let view = world.expect(200, "PUT", path, r#"{"remove": ["author"]}"#).await;
    assert!(view["keys"].as_object().unwrap().is_empty());
    world.refused(404, "plugin.key-unknown", "PUT", path, r#"{"remove": ["author"]}"#).await;
}

/// What a project has on record: so many calls of `scan`.
fn account(project: &str, calls: u64) -> Account {
    let row = json!({
        "plugin": "scan", "version": "1.0.0", "digest": format!("sha256:{}", "ab".repeat(32)),
        "stage": "detector", "calls": calls, "outcomes": { "answered": calls },
    });
    serde_json::from_value(json!({ "project": project, "rows": [row] })).unwrap()
}

#[tokio::test]
async fn totals_are_of_the_projects_that_the_caller_may_see() {
    let world = with_scan().await;
    for (project, calls) in [("shop", 3), ("other", 4)] {
        let body = json!({ "name": project }).to_string();
        world.expect(201, "POST", "/v1/projects", &body).await;
        assert!(world.host.store.put_plugin_account(&account(project, calls)).await.unwrap());
    }
    world.host.plugins.restore_accounts(&world.host.store).unwrap();
    let all = world.expect(200, "GET", "/v1/plugin-stats", "").await;
    assert_eq!((&all["plugins"][0]["calls"], &all["switched_off"]), (&json!(7), &json!([])));
    let shop = world.expect(200, "GET", "/v1/plugin-stats?project=shop&plugin=scan", "").await;
    assert_eq!((&shop["plugins"][0]["calls"], &shop["project"]), (&json!(3), &json!("shop")));
    let nobody = "/v1/plugin-stats?project=nobody";
    world.refused(404, "project.not-found", "GET", nobody, "").await;
    let none = "/v1/plugin-stats?plugin=none";
    world.refused(404, "plugin.not-found", "GET", none, "").await;
    let metrics = world.expect(200, "GET", "/v1/metrics", "").await;
    let sample = "stage=\"detector\",outcome=\"answered\"} 7\n";
    assert!(metrics.as_str().unwrap().contains(sample), "{metrics}");

    let limited = Caller {
        actor: "limited".to_owned(),
        scope: TokenScope::Read,
        projects: ["other".parse().unwrap()].into(),
        token: None,
    };
    let asked = |project: Option<&str>| {
        let project: Option<ProjectName> = project.map(|name| name.parse().unwrap());
        limited.within(|| chosen::stats(&world.host, project.as_ref(), None))
    };
    assert_eq!(asked(None).unwrap().plugins[0].totals.calls, 4);
    assert_eq!(asked(Some("shop")).unwrap_err().code, "project.not-found");
}

/// A deployment of a new project is live, and was recognised by `scan`.
async fn recognised(world: &World, project: &str) {
    world.expect(201, "POST", "/v1/projects", &json!({ "name": project }).to_string()).await;
    let path = format!("/v1/projects/{project}/environments/production/deployments?create=true");
    let body = r#"{"git_url": "https://example.org/shop"}"#;
    let queued = world.expect(202, "POST", &path, body).await;
    let id: DeploymentId = queued["id"].as_str().unwrap().parse().unwrap();
    let store = &world.host.store;
    let mut found = store.deployment(&id).unwrap();
    found.value.status = DeploymentStatus::Live;
    found.value.outputs.chosen = Some(Chosen {
        plugin: "scan".to_owned(),
        version: "0.9.0".to_owned(),
        digest: Digest::of(b"scan"),
        detection: Detection::new("x", "X", "x", 90),
        others: Vec::new(),
    });
    let (project, environment) = (&found.value.project, &found.value.environment);
    let mut environment = store.environment(project, environment).unwrap();
    environment.value.live = Some(id);
    environment.value.generation += 1;
    let changes =
        [Change::deployment(found.value, found.revision), Change::Environment(environment)];
    store.commit(changes.into()).await.unwrap();
}

#[tokio::test]
async fn a_plugin_names_the_live_versions_that_it_had_a_part_in_which_the_caller_may_see() {
    let world = with_scan().await;
    let shown = world.expect(200, "GET", "/v1/plugins/scan", "").await;
    assert_eq!((&shown["live"], &shown["projects"]), (&Value::Null, &json!([])));
    for project in ["shop", "wiki"] {
        recognised(&world, project).await;
    }
    // A project without anything live.
    world.expect(201, "POST", "/v1/projects", r#"{"name": "empty"}"#).await;
    let part = |project: &str| {
        json!({ "project": project, "environment": "production", "number": 1,
                "stages": ["detector"], "version": "0.9.0" })
    };
    let shown = world.expect(200, "GET", "/v1/plugins/scan", "").await;
    assert_eq!(shown["live"], json!([part("shop"), part("wiki")]));
    assert_eq!(shown["projects"], json!([]), "none of them chose anything");

    let limited = Caller {
        actor: "limited".to_owned(),
        scope: TokenScope::Read,
        projects: ["wiki".parse().unwrap()].into(),
        token: None,
    };
    let shown = limited.within(|| chosen::show(&world.host, "scan")).unwrap();
    assert_eq!(serde_json::to_value(shown.live).unwrap(), json!([part("wiki")]));
}
