//! Asking for deployments, finding, listing, cancelling and following them.

use windlass_model::project::Intent;
use windlass_model::secret::Masker;
use windlass_model::stage::{Attached, AttachedKind};
use windlass_model::{
    DeploymentId, DeploymentStatus, Digest, Limits, StepName, StepStatus, Timestamp,
};

use super::{SHOP, World};
use crate::pipeline::custom::record::Folder;

async fn deploy(world: &World) -> DeploymentId {
    let body = r#"{"git_url": "https://example.org/shop", "reference": "main"}"#;
    let path = format!("{SHOP}/deployments?create=true");
    let queued = world.expect(202, "POST", &path, body).await;
    queued["id"].as_str().unwrap().parse().unwrap()
}

async fn set_status(world: &World, id: &DeploymentId, status: DeploymentStatus) {
    let mut found = world.host.store.deployment(id).unwrap();
    found.value.status = status;
    world.host.store.update_deployment(&found.value, found.revision).await.unwrap();
}

#[tokio::test]
async fn a_deployment_is_queued_and_found_by_id_prefix_and_number() {
    let world = World::new().await;
    let id = deploy(&world).await;
    let path = format!("/v1/deployments/{id}");
    let shown = world.expect(200, "GET", &path, "").await;
    assert_eq!(shown["number"], 1);
    assert_eq!(shown["status"], "queued");
    assert_eq!(shown["queue_position"], 0);
    assert_eq!(shown["source"]["reference"], "main");
    let by_number = world.expect(200, "GET", "/v1/deployments/1?project=shop", "").await;
    assert_eq!(by_number["id"], id.as_str());
    let prefix = format!("/v1/deployments/{}", &id.as_str()[..25]);
    assert_eq!(world.expect(200, "GET", &prefix, "").await["id"], id.as_str());
    world.refused(400, "deployment.number-needs-project", "GET", "/v1/deployments/1", "").await;
    world.refused(404, "deployment.not-found", "GET", "/v1/deployments/9?project=shop", "").await;
    let other = DeploymentId::generate();
    let unknown = format!("/v1/deployments/{other}");
    world.refused(404, "deployment.not-found", "GET", &unknown, "").await;
    deploy(&world).await;
    let both = format!("/v1/deployments/{}", &id.as_str()[..4]);
    world.refused(409, "deployment.ambiguous", "GET", &both, "").await;
    world.refused(404, "deployment.no-plan", "GET", &format!("{path}/plan"), "").await;
}

#[tokio::test]
async fn bad_sources_are_refused_before_anything_is_stored() {
    let world = World::new().await;
    let path = format!("{SHOP}/deployments?create=true");
    for (body, code) in [
        (r#"{"git_url": "-x"}"#, "source.url-invalid"),
        (r#"{"git_url": "https://me:pw@example.org/x"}"#, "source.url-has-credentials"),
        (
            r#"{"git_url": "https://example.org/x", "reference": "a..b"}"#,
            "source.reference-invalid",
        ),
        (r#"{"git_url": "https://example.org/x", "git_token": ""}"#, "git-token.invalid"),
    ] {
        world.refused(400, code, "POST", &path, body).await;
    }
    assert!(world.host.store.projects().unwrap().is_empty());
    world.refused(409, "deployment.no-source", "POST", &path, "{}").await;
}

#[tokio::test]
async fn without_an_address_the_last_one_is_used() {
    let world = World::new().await;
    deploy(&world).await;
    let again = world.expect(202, "POST", &format!("{SHOP}/deployments"), "{}").await;
    assert_eq!(again["source"]["url"], "https://example.org/shop");
    assert_eq!(again["source"]["reference"], "main");
    let body = r#"{"reference": "next"}"#;
    let next = world.expect(202, "POST", &format!("{SHOP}/deployments"), body).await;
    assert_eq!(next["source"]["reference"], "next");
    let redeployed = world.expect(202, "POST", &format!("{SHOP}/redeploy"), "").await;
    assert_eq!(redeployed["kind"]["type"], "redeploy");
    assert_eq!(redeployed["source"]["reference"], "next");
    world.refused(409, "rollback.nothing-before", "POST", &format!("{SHOP}/rollback"), "").await;
    let to = r#"{"to": "1"}"#;
    world.refused(409, "rollback.never-live", "POST", &format!("{SHOP}/rollback"), to).await;
}

#[tokio::test]
async fn an_archive_is_stored_and_deployed() {
    let world = World::new().await;
    let path = format!("{SHOP}/deployments/archive?name=my%20shop&create=true");
    let queued = world.expect(202, "POST", &path, "the archive").await;
    assert_eq!(queued["source"]["name"], "my shop");
    let digest = queued["source"]["digest"].as_str().unwrap().parse().unwrap();
    let upload = crate::source::uploads::path(&world.host.config.data_dir, &digest);
    assert_eq!(std::fs::read(&upload).unwrap(), b"the archive");
    world.expect(202, "POST", "/v1/deployments/1/redeploy?project=shop", "").await;
    std::fs::remove_file(upload).unwrap();
    let redeploy = "/v1/deployments/1/redeploy?project=shop";
    world.refused(409, "deployment.upload-gone", "POST", redeploy, "").await;
    world.refused(400, "request.body-empty", "POST", &path, "").await;
}

#[tokio::test]
async fn no_upload_is_taken_in_below_the_floor_of_free_disk() {
    let limits = Limits { disk_free_bytes_min: u64::MAX, ..Limits::default() };
    let world = World::with(limits).await;
    world.expect(201, "POST", "/v1/projects", r#"{"name": "shop"}"#).await;
    for kind in ["deployments", "builds", "plan"] {
        let path = format!("{SHOP}/{kind}/archive?name=shop");
        world.refused(500, "preflight.disk-floor", "POST", &path, "the archive").await;
    }
    let data_dir = &world.host.config.data_dir;
    for folder in ["uploads", "work"] {
        let left = std::fs::read_dir(data_dir.join(folder)).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{folder}");
    }
}

#[tokio::test]
async fn the_list_is_paged_and_filtered() {
    let world = World::new().await;
    let ids = [deploy(&world).await, deploy(&world).await, deploy(&world).await];
    set_status(&world, &ids[0], DeploymentStatus::Failed).await;
    let first = world.expect(200, "GET", "/v1/deployments?limit=2", "").await;
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let next = format!("/v1/deployments?limit=2&before={}", first["next"].as_str().unwrap());
    let second = world.expect(200, "GET", &next, "").await;
    assert_eq!(second["items"].as_array().unwrap().len(), 1);
    assert_eq!(second.get("next"), None);
    let failed = world.expect(200, "GET", "/v1/deployments?project=shop&status=failed", "").await;
    assert_eq!(failed["items"][0]["id"], ids[0].as_str());
    assert_eq!(failed["items"].as_array().unwrap().len(), 1);
    world.refused(400, "request.invalid-query", "GET", "/v1/deployments?status=odd", "").await;
}

#[tokio::test]
async fn cancelling_stores_an_intent_and_nothing_else() {
    let world = World::new().await;
    let id = deploy(&world).await;
    let path = format!("/v1/deployments/{id}/cancel");
    let answer = world.expect(202, "POST", &path, "").await;
    assert_eq!(answer["status"], "queued");
    let intents = world.host.store.intents().unwrap();
    let Intent::Cancel { deployment, actor } = &intents[0].intent else {
        panic!("{:?}", intents[0]);
    };
    assert_eq!((deployment, actor.as_str()), (&id, "admin"));
    set_status(&world, &id, DeploymentStatus::Failed).await;
    world.refused(409, "deployment.over", "POST", &path, "").await;
    let mut found = world.host.store.deployment(&id).unwrap();
    found.value.status = DeploymentStatus::Running;
    for step in found.value.steps.iter_mut().take_while(|step| step.name != StepName::Switch) {
        step.status = StepStatus::Succeeded;
    }
    world.host.store.update_deployment(&found.value, found.revision).await.unwrap();
    let said = world.refused(409, "deployment.past-switch", "POST", &path, "").await;
    assert!(said.contains("rollback"), "{said}");
    world.refused(409, "project.has-live", "DELETE", "/v1/projects/shop", "").await;
}

#[tokio::test]
async fn logs_are_read_and_followed_to_their_end() {
    let world = World::new().await;
    let id = deploy(&world).await;
    let log = world.host.logs.open(&id, StepName::Build, Masker::default()).unwrap();
    log.say("one");
    log.say("two");
    let path = format!("/v1/deployments/{id}/logs");
    let all = world.expect(200, "GET", &path, "").await;
    assert_eq!(all["items"][1]["text"], "two");
    assert_eq!(all["items"][1]["step"], "build");
    let tail = world.expect(200, "GET", &format!("{path}?tail=1"), "").await;
    assert_eq!(tail["items"].as_array().unwrap().len(), 1);
    let other = world.expect(200, "GET", &format!("{path}?step=fetch"), "").await;
    assert_eq!(other["items"], serde_json::json!([]));
    let escape = format!("{path}?instance=..%2f..%2fx");
    world.refused(400, "request.invalid-query", "GET", &escape, "").await;
    let following = format!("{path}?follow=true");
    let end_it = async {
        log.say("three");
        set_status(&world, &id, DeploymentStatus::Failed).await;
    };
    let (followed, ()) = tokio::join!(world.expect(200, "GET", &following, ""), end_it);
    let text = followed.as_str().unwrap();
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} in {text}"));
    assert!(at("\"one\"") < at("\"two\"") && at("\"two\"") < at("\"three\""));
    assert!(at("\"three\"") < at("event: end"));
}

#[tokio::test]
async fn a_watched_deployment_is_sent_at_each_change_until_it_is_settled() {
    let world = World::new().await;
    let id = deploy(&world).await;
    let path = format!("/v1/deployments/{id}/watch");
    let end_it = async {
        set_status(&world, &id, DeploymentStatus::Running).await;
        set_status(&world, &id, DeploymentStatus::Failed).await;
    };
    let (watched, ()) = tokio::join!(world.expect(200, "GET", &path, ""), end_it);
    let text = watched.as_str().unwrap();
    assert!(text.contains("event: deployment") && text.contains("\"status\":\"failed\""));
    assert!(text.trim_end().ends_with("data: {}"), "{text}");
}

#[tokio::test]
async fn of_an_attached_file_what_is_noted_is_answered_while_more_is_added_to_it() {
    let world = World::new().await;
    let id = deploy(&world).await;
    let folder = Folder::of(&world.host.config.data_dir, &id);
    std::fs::create_dir_all(folder.at("attached/p")).unwrap();
    std::fs::write(folder.at("attached/p/r.txt"), "noted, and more").unwrap();
    let noted = Attached {
        plugin: "p".to_owned(),
        name: "r.txt".to_owned(),
        kind: AttachedKind::Report,
        media_type: "text/plain".to_owned(),
        title: "Report".to_owned(),
        bytes: 5,
        digest: Digest::of(b"noted"),
        attached_at: Timestamp::now(),
    };
    folder.keep_attached(&[noted]).unwrap();
    let path = format!("/v1/deployments/{id}/artifacts/p/r.txt");
    assert_eq!(world.expect(200, "GET", &path, "").await, "noted");
}
