//! Which backups stay, and what goes into one.

use windlass_model::deployment::{DeploymentStatus, Kind, Source};
use windlass_model::project::Project;
use windlass_model::{Deployment, EnvironmentName, Limits};

use super::*;
use crate::testing::TestHost;

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn the_newest_backups_stay_and_nothing_else_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let (old, newer, newest) = (
        "windlass-20260101T000000.000000Z-9.backup",
        "windlass-20260102T000000.000000Z-10.tar.zst",
        "windlass-20260103T000000.000000Z-2.tar.zst",
    );
    let others = [FAILED, "notes.tar.zst"];
    for name in [old, newer, newest].iter().chain(&others) {
        std::fs::write(dir.path().join(name), "x").unwrap();
    }
    prune(dir.path(), 3);
    assert_eq!(names(dir.path()), [FAILED, "notes.tar.zst", old, newer, newest]);
    prune(dir.path(), 2);
    assert_eq!(names(dir.path()), [FAILED, "notes.tar.zst", newer, newest]);
    prune(dir.path(), 0);
    assert_eq!(names(dir.path()), [FAILED, "notes.tar.zst", newest], "one always stays");
}

#[tokio::test]
async fn what_was_uploaded_for_live_and_stopped_deployments_is_in_a_backup() {
    use DeploymentStatus::{Failed, Live, Retired, Stopped};
    let world = TestHost::with(Limits::default(), &crate::pipeline::TABLE).await;
    let host = world.host.clone();
    let key = Secret::new("0".repeat(64));
    windlass_store::write_key(&host.config.data_dir, &key).unwrap();
    let project = Project::new("shop".parse().unwrap());
    host.store.create_project(&project).await.unwrap();
    let digest = |text: &str| Digest::of(text.as_bytes());
    let name = String::from("it");
    let of = |text: &str| (digest(text), name.clone());
    let archive = |(digest, name)| Source::Archive { digest, name };
    let image = |(digest, name)| Source::ImageArchive { digest, name };
    let finished = |(digest, name)| Source::Static { digest, name, spa: false };
    let git = Source::Git { url: "file:///x".into(), reference: None };
    let sources = [
        (archive(of("source")), Live),
        (finished(of("site")), Live),
        (image(of("image")), Stopped),
        (finished(of("failed")), Failed),
        (archive(of("old")), Retired),
        (git, Live),
    ];
    let uploads_dir = host.config.data_dir.join("uploads");
    std::fs::create_dir_all(&uploads_dir).unwrap();
    for (number, (source, status)) in sources.into_iter().enumerate() {
        let (project, environment) = (project.name.clone(), EnvironmentName::production());
        let by = "test".to_owned();
        let one = Deployment::queued(project, environment, 0, Kind::Deploy, source, by);
        let stored = host.store.create_deployment(one).await.unwrap();
        let mut one = stored.value;
        one.status = status;
        host.save_deployment(&one, stored.revision).await.unwrap();
        if let Some((digest, _)) = one.source.upload() {
            let text = ["source", "site", "image", "failed", "old"][number];
            std::fs::write(uploads::path(&host.config.data_dir, digest), text).unwrap();
        }
    }
    let made = create_in_background(&host, CreateBackup::default()).await.unwrap();
    let out = tempfile::tempdir().unwrap();
    let keep = |name: &str| match name.starts_with("uploads/") {
        true => Keep::At(out.path().join(name)),
        false => Keep::Nothing,
    };
    bundle::read(&made.path, &keep).unwrap();
    let mut expected = ["source", "site", "image"].map(|text| digest(text).hex().to_owned());
    expected.sort();
    assert_eq!(names(&out.path().join("uploads")), expected);
}
