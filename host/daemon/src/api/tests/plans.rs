//! What a deployment would be, asked before there is one. The host of these tests has no plugins.

use std::path::Path;
use std::process::Command;

use axum::body::Body;
use axum::http::{Request, header};
use serde_json::{Value, json};

use super::{SHOP, TOKEN, World, assert_failure};

/// A repository with one commit of these files.
fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let git = |args: &[&str]| {
        let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
        let out = Command::new("git").args(who).args(args).current_dir(dir.path()).output();
        let out = out.unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    for (path, text) in files {
        let file = dir.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "-m", "first"]);
    dir
}

fn of(repository: &Path, reference: Option<&str>) -> String {
    let git_url = format!("file://{}", repository.display());
    json!({"git_url": git_url, "reference": reference}).to_string()
}

async fn world() -> World {
    let world = World::new().await;
    world.expect(201, "POST", "/v1/projects", r#"{"name": "shop"}"#).await;
    world
}

/// Nothing of a look may be left, and no deployment is made.
async fn assert_nothing_left(world: &World) {
    for folder in ["work", "uploads", "logs"] {
        let dir = world.host.config.data_dir.join(folder);
        let left = std::fs::read_dir(dir).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{folder}");
    }
    let listed = world.expect(200, "GET", "/v1/deployments", "").await;
    assert_eq!(listed["items"], json!([]));
}

#[tokio::test]
async fn a_repository_is_looked_at_and_nothing_is_left() {
    let world = world().await;
    let repository = repository(&[("windlass.toml", "[run]\nport = 4000\n"), ("a.txt", "a")]);
    let plan = format!("{SHOP}/plan");
    let view = world.expect(200, "POST", &plan, &of(repository.path(), None)).await;
    assert_eq!(view["fetched"]["subject"], "first");
    assert_eq!(view["fetched"]["files"], 2);
    assert_eq!(view["detected"]["settings"]["run"]["port"], 4000);
    assert_eq!(view["detected"]["answers"], json!([]));
    assert_eq!(view["detected"]["failure"]["code"], "detect.no-match");
    assert_eq!(view["failure"], view["detected"]["failure"]);
    assert_eq!(view["plan"], Value::Null);
    assert_nothing_left(&world).await;

    let nowhere = of(repository.path(), Some("nowhere"));
    world.refused(400, "source.reference-not-found", "POST", &plan, &nowhere).await;
    let gone = of(&repository.path().join("gone"), None);
    world.refused(400, "source.repository-not-found", "POST", &plan, &gone).await;
    assert_nothing_left(&world).await;
}

#[tokio::test]
async fn what_a_deployment_refuses_of_settings_is_refused_here() {
    let world = world().await;
    let plan = format!("{SHOP}/plan");
    let file = "[build]\napp_dir = \"nowhere\"\n";
    let repository = repository(&[("windlass.toml", file), ("web/a.txt", "a")]);
    let body = of(repository.path(), None);
    world.refused(400, "preflight.app-dir-missing", "POST", &plan, &body).await;
    assert_nothing_left(&world).await;
    let set = json!({"settings": {"build": {"app_dir": "web"}}}).to_string();
    world.expect(200, "PUT", &format!("{SHOP}/settings"), &set).await;
    let view = world.expect(200, "POST", &plan, &body).await;
    assert_eq!(view["detected"]["settings"]["build"]["app_dir"], "web");
    let bad = r#"{"git_url": "-x"}"#;
    world.refused(400, "source.url-invalid", "POST", &plan, bad).await;
    let image = r#"{"git_url": "https://example.org/x", "image": "nginx"}"#;
    world.refused(400, "request.invalid-body", "POST", &plan, image).await;
    let missing = "/v1/projects/shop/environments/missing/plan";
    world.refused(404, "environment.not-found", "POST", missing, &body).await;
}

#[tokio::test]
async fn an_archive_is_looked_at_and_nothing_is_left() {
    let world = world().await;
    let mut tar = tar::Builder::new(Vec::new());
    let mut entry = tar::Header::new_gnu();
    entry.set_size(2);
    entry.set_mode(0o644);
    tar.append_data(&mut entry, "a.txt", &b"a\n"[..]).unwrap();
    let send = async |body: Vec<u8>| {
        let request = Request::post(format!("{SHOP}/plan/archive?name=shop"))
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .body(Body::from(body));
        world.send(request.unwrap()).await
    };
    let (status, view) = send(tar.into_inner().unwrap()).await;
    assert_eq!((status.as_u16(), &view["fetched"]["files"]), (200, &json!(1)), "{view}");
    assert_eq!(view["failure"]["code"], "detect.no-match");
    assert_nothing_left(&world).await;
    for (body, code) in
        [(b"no archive".to_vec(), "source.archive-invalid"), (vec![], "request.body-empty")]
    {
        let (status, answer) = send(body).await;
        assert_eq!(status, 400, "{answer}");
        assert_failure(&answer, code);
        assert_nothing_left(&world).await;
    }
}
