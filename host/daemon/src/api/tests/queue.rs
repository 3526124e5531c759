//! Sending a request twice, going back, promoting, halting and pinning.

use axum::body::Body;
use axum::http::{Request, header};
use serde_json::Value;
use tower::ServiceExt as _;
use windlass_model::deployment::{Artifact, Fetched, MigrationRecord};
use windlass_model::plan::{Migration, MigrationVerdict};
use windlass_model::{Deployment, DeploymentStatus, Digest, Timestamp};
use windlass_store::Change;

use super::{SHOP, TOKEN, World, assert_failure};

/// A POST with an idempotency key: its status, whether it was said to be a replay, and the body.
async fn keyed(world: &World, path: &str, key: &str, body: &str) -> (u16, bool, Value) {
    let request = Request::builder()
        .method("POST")
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
        .header("idempotency-key", key)
        .body(Body::from(body.to_owned()))
        .unwrap();
    let response = world.router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let replayed = response.headers().contains_key("idempotency-replayed");
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 24).await.unwrap();
    (status, replayed, serde_json::from_slice(&bytes).unwrap())
}

const DEPLOY: &str = r#"{"git_url": "https://example.org/shop"}"#;

#[tokio::test]
async fn every_request_that_makes_a_deployment_can_be_sent_again_with_its_key() {
    let world = World::new().await;
    was_live(&world, "production", DeploymentStatus::Retired).await;
    was_live(&world, "production", DeploymentStatus::Live).await;
    was_live(&world, "staging", DeploymentStatus::Live).await;
    let create = format!("{SHOP}/deployments?create=true");
    let archive = format!("{SHOP}/deployments/archive?create=true");
    let redeploy = format!("{SHOP}/redeploy");
    let one = "/v1/deployments/1/redeploy?project=shop";
    let (rollback, promote) = (format!("{SHOP}/rollback"), format!("{SHOP}/promote"));
    let rows = [
        (&*create, DEPLOY),
        (&*archive, "bytes"),
        (&*redeploy, ""),
        (one, ""),
        (&*rollback, ""),
        (&*promote, r#"{"from": "staging"}"#),
    ];
    for (n, (path, body)) in rows.into_iter().enumerate() {
        let key = format!("key-{n}");
        let (status, replayed, first) = keyed(&world, path, &key, body).await;
        assert_eq!((status, replayed), (202, false), "{path}: {first}");
        let (status, replayed, again) = keyed(&world, path, &key, body).await;
        assert_eq!((status, replayed), (200, true), "{path}: {again}");
        assert_eq!((&again["id"], &again["replayed"]), (&first["id"], &Value::Bool(true)));
    }
    let (status, _, answer) = keyed(&world, &create, "key-1", DEPLOY).await;
    assert_eq!(status, 409);
    assert_failure(&answer, "idempotency.key-reused");
    let (status, _, answer) = keyed(&world, &create, "two words", DEPLOY).await;
    assert_eq!(status, 400);
    assert_failure(&answer, "idempotency.key-invalid");
    let (status, _, answer) = keyed(&world, &rollback, "key-5", "").await;
    assert_eq!(status, 409, "a promotion's key is no rollback's");
    assert_failure(&answer, "idempotency.key-reused");
    // Three that were there, and one of each row.
    assert_eq!(world.host.store.project(&"shop".parse().unwrap()).unwrap().value.next_number, 10);
}

/// A deployment that is live, or was, with an artifact and the variables that it had.
async fn was_live(world: &World, environment: &str, status: DeploymentStatus) -> Deployment {
    let path = format!("/v1/projects/shop/environments/{environment}/deployments?create=true");
    let queued = world.expect(202, "POST", &path, DEPLOY).await;
    let id = queued["id"].as_str().unwrap().parse().unwrap();
    let mut found = world.host.store.deployment(&id).unwrap();
    found.value.status = status;
    found.value.live_at = Some(Timestamp::now());
    found.value.outputs.fetched = Some(Fetched {
        commit: Some(format!("{:040x}", found.value.number)),
        subject: None,
        author: None,
        anonymous: false,
        image: None,
        tree: Digest::of(b"tree"),
        files: 1,
        bytes: 1,
    });
    found.value.outputs.artifact = Some(Artifact {
        digest: Digest::of(id.as_str().as_bytes()),
        outputs: Vec::new(),
        processes: Vec::new(),
        bases: Vec::new(),
        toolchains: Vec::new(),
        plan: Digest::of(b"plan"),
    });
    let deployment = found.value.clone();
    let store = &world.host.store;
    let mut changes = vec![
        Change::EnvSnapshot(id.clone(), Vec::new()),
        Change::deployment(found.value, found.revision),
    ];
    if status == DeploymentStatus::Live {
        let (project, environment) = (&deployment.project, &deployment.environment);
        let mut environment = store.environment(project, environment).unwrap();
        environment.value.live = Some(id);
        environment.value.generation += 1;
        changes.push(Change::Environment(environment));
    }
    store.commit(changes).await.unwrap();
    deployment
}

async fn change(world: &World, of: &Deployment, change: impl FnOnce(&mut Deployment)) {
    let mut found = world.host.store.deployment(&of.id).unwrap();
    change(&mut found.value);
    world.host.store.update_deployment(&found.value, found.revision).await.unwrap();
}

/// It has run a migration, which ended so; without a status that is not known.
fn migrated(deployment: &mut Deployment, exit_code: Option<i32>) {
    deployment.outputs.migration = Some(MigrationRecord {
        migration: Migration {
            tool: "acme".into(),
            output: "app".into(),
            argv: vec!["acme".into(), "migrate".into()],
            cwd: String::new(),
            verdict: MigrationVerdict::Run,
            evidence: Vec::new(),
        },
        container: "c".into(),
        exit_code,
    });
}

#[tokio::test]
async fn a_rollback_to_a_commit_names_the_migrations_that_were_run_since() {
    use DeploymentStatus::{Failed, Live, Retired};
    let world = World::new().await;
    let has = |commit: &str| {
        let commit = commit.to_owned();
        move |one: &mut Deployment| one.outputs.fetched.as_mut().unwrap().commit = Some(commit)
    };
    let (first, second) = ("a1".repeat(20), "b2".repeat(20));
    let one = was_live(&world, "production", Retired).await;
    change(&world, &one, has(&first)).await;
    let two = was_live(&world, "production", Retired).await;
    change(&world, &two, has(&second)).await;
    change(&world, &two, |two| migrated(two, Some(0))).await;
    let elsewhere = was_live(&world, "staging", Live).await;
    change(&world, &elsewhere, |other| migrated(other, Some(0))).await;
    let failed = was_live(&world, "production", Failed).await;
    change(&world, &failed, |failed| migrated(failed, Some(1))).await;
    let live = was_live(&world, "production", Live).await;
    change(&world, &live, |live| migrated(live, None)).await;

    let path = format!("{SHOP}/rollback");
    let back = async |commit: &str| {
        let body = serde_json::json!({ "commit": commit }).to_string();
        world.expect(202, "POST", &path, &body).await
    };
    let between = |answer: &Value| -> Vec<(u64, Option<i64>)> {
        let all = answer["migrations_between"].as_array().cloned().unwrap_or_default();
        assert!(all.iter().all(|one| one["tool"] == "acme" && one["command"][1] == "migrate"));
        all.iter().map(|one| (one["number"].as_u64().unwrap(), one["exit_code"].as_i64())).collect()
    };
    let (ran, broke, unknown) = ((2, Some(0)), (4, Some(1)), (5, None));
    let to_first = back(&first[..7]).await;
    assert_eq!(to_first["kind"]["to"], one.id.as_str());
    assert_eq!(between(&to_first), [ran, broke, unknown], "oldest first");
    let said = to_first["warnings"][0]["message"].as_str().unwrap();
    assert!(said.contains("acme by #2; acme by #4, which ended with status 1"), "{said}");
    let to_second = back(&second).await;
    assert_eq!(between(&to_second), [broke, unknown], "its own is not between");
    let to_unknown = back(&"c3".repeat(20)).await;
    assert_eq!(to_unknown["kind"]["type"], "rollback-to-commit");
    assert_eq!(between(&to_unknown), [ran, broke, unknown], "any may be newer");

    change(&world, &one, |one| one.artifact_pruned = true).await;
    let rebuilt = back(&first).await;
    assert_eq!(rebuilt["kind"]["rebuild"], true, "a commit is built again without being asked to");
    assert_eq!(between(&rebuilt), [ran, broke, unknown]);
    let shown = world
        .expect(200, "GET", &format!("/v1/deployments/{}", rebuilt["id"].as_str().unwrap()), "")
        .await;
    assert_eq!(
        shown["migrations_between"], rebuilt["migrations_between"],
        "it stays in the record"
    );
}

#[tokio::test]
async fn a_rollback_says_whether_it_builds_and_which_migrations_lie_between() {
    let world = World::new().await;
    let first = was_live(&world, "production", DeploymentStatus::Retired).await;
    let second = was_live(&world, "production", DeploymentStatus::Live).await;
    change(&world, &second, |deployment| migrated(deployment, Some(0))).await;
    let path = format!("{SHOP}/rollback");
    let back = world.expect(202, "POST", &path, "").await;
    assert_eq!(back["kind"]["to"], first.id.as_str());
    assert_eq!(back["kind"].get("rebuild"), None, "{back}");
    assert_eq!(back["migrations_between"][0]["number"], 2);
    let said = back["warnings"][0]["message"].as_str().unwrap();
    assert!(said.contains("acme by #2") && said.contains("since #1"), "{said}");

    change(&world, &first, |deployment| deployment.artifact_pruned = true).await;
    let to_first = r#"{"to": "1"}"#;
    let said = world.refused(409, "rollback.artifact-pruned", "POST", &path, to_first).await;
    assert!(said.contains("windlass rollback 1 --rebuild"), "{said}");
    let rebuilt = r#"{"to": "1", "rebuild": true, "with_its_env": true}"#;
    let back = world.expect(202, "POST", &path, rebuilt).await;
    assert_eq!(
        (&back["kind"]["rebuild"], &back["kind"]["with_its_env"]),
        (&true.into(), &true.into())
    );
    assert_eq!(back["source"]["reference"], format!("{:040x}", 1), "at exactly its commit");
    let by_commit = format!(r#"{{"commit": "{:040x}"}}"#, 1);
    let back = world.expect(202, "POST", &path, &by_commit).await;
    assert_eq!(back["kind"]["to"], first.id.as_str(), "its deployment is found by its commit");

    let unknown = format!(r#"{{"commit": "{}"}}"#, "ab".repeat(20));
    let back = world.expect(202, "POST", &path, &unknown).await;
    assert_eq!(back["kind"]["type"], "rollback-to-commit");
    let said = back["warnings"][0]["message"].as_str().unwrap();
    assert!(said.contains("not known"), "{said}");
    world.refused(409, "rollback.commit-unknown", "POST", &path, r#"{"commit": "abcdef1"}"#).await;
    let both = r#"{"to": "1", "commit": "abcdef1"}"#;
    world.refused(400, "rollback.asked-twice", "POST", &path, both).await;
    world.refused(409, "rollback.already-live", "POST", &path, r#"{"to": "2"}"#).await;
}

#[tokio::test]
async fn a_promotion_takes_over_what_is_live_elsewhere() {
    let world = World::new().await;
    let path = format!("{SHOP}/promote?create=true");
    let from = r#"{"from": "staging"}"#;
    was_live(&world, "production", DeploymentStatus::Live).await;
    world.refused(404, "environment.not-found", "POST", &path, from).await;
    let same = r#"{"from": "production"}"#;
    world.refused(400, "promote.same-environment", "POST", &path, same).await;
    let retired = was_live(&world, "staging", DeploymentStatus::Retired).await;
    world.refused(409, "promote.nothing-live", "POST", &path, from).await;
    let live = was_live(&world, "staging", DeploymentStatus::Live).await;
    assert_ne!(live.id, retired.id);
    let promoted = world.expect(202, "POST", &path, from).await;
    assert_eq!(promoted["environment"], "production");
    assert_eq!(promoted["kind"]["from"], live.id.as_str());
    assert_eq!(promoted["source"]["reference"], format!("{:040x}", live.number));
}

#[tokio::test]
async fn what_is_pinned_says_so_until_it_is_not() {
    let world = World::new().await;
    let made = was_live(&world, "production", DeploymentStatus::Retired).await;
    let pin = format!("/v1/deployments/{}/pin", made.id);
    assert_eq!(world.expect(200, "PUT", &pin, "").await["pinned"], true);
    assert_eq!(world.expect(200, "GET", "/v1/deployments", "").await["items"][0]["pinned"], true);
    assert_eq!(world.expect(200, "DELETE", &pin, "").await.get("pinned"), None);
    change(&world, &made, |deployment| deployment.artifact_pruned = true).await;
    world.refused(409, "pin.artifact-pruned", "PUT", &pin, "").await;
}

#[tokio::test]
async fn halting_stores_an_intent_and_is_refused_where_it_cannot_be() {
    let world = World::new().await;
    let path = format!("{SHOP}/deployments?create=true");
    let id = world.expect(202, "POST", &path, DEPLOY).await["id"].as_str().unwrap().to_owned();
    let (pause, resume) =
        (format!("/v1/deployments/{id}/pause"), format!("/v1/deployments/{id}/resume"));
    world.refused(409, "deployment.not-begun", "POST", &pause, "").await;
    world.refused(409, "deployment.not-paused", "POST", &resume, "").await;
    let made = world.host.store.deployment(&id.parse().unwrap()).unwrap().value;
    change(&world, &made, |deployment| deployment.status = DeploymentStatus::Running).await;
    world.expect(202, "POST", &pause, "").await;
    world.expect(202, "POST", &resume, "").await;
    assert_eq!(world.host.store.intents().unwrap().len(), 2);
}
