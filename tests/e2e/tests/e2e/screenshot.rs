//! The bundled stage that takes pictures, on a real host: with a real browser, in an image that Windlass itself has built
//! and pushed; and where it cannot take any.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::time::Duration;

use serde_json::{Value, json};
use windlass_model::StepName;
use windlass_model::api::DeploymentView;
use windlass_model::stage::{AttachedKind, StageRun, StageStatus};
use windlass_test_support::registry::DockerRegistry;
use windlass_test_support::{GitRepo, TestHost, fixture, scratch};

use crate::bundled_stages::{HOST, PROJECT, host};
use crate::services::debian_with;

/// The project that the browser's image is built in.
const IMAGES: &str = "images";
/// For the image with the browser to be pulled, and for the picture.
const WITHIN: Duration = Duration::from_secs(240);

/// An application whose page goes from red to blue, and is longer than the window.
fn page() -> GitRepo {
    let repo = GitRepo::of_fixture("plain-node");
    let body = "<body style=\"margin:0;height:1500px;background:linear-gradient(#f00,#00f)\">";
    let answer = format!(
        "response.setHeader('content-type', 'text/html');\n    \
         response.end(request.headers.host === '{HOST}' ? '<!doctype html>{body}' : 'who?');"
    );
    repo.edit("server.js", "response.end(version);", &answer);
    repo
}

fn set(repo: &GitRepo, image: &str, more: &str) {
    let options = format!("{{ image = '{image}', width = 400, height = 300{more} }}");
    repo.write(
        "windlass.toml",
        &format!("[[stages]]\nplugin = 'screenshot'\noptions = {options}\n"),
    );
    repo.commit(&format!("Pictures{more}"));
}

fn grant(host: &TestHost, registry: &DockerRegistry) {
    let wanted = json!([
        { "name": "exec", "outputs": [format!("image:{}/*", registry.address)] },
        { "name": "artifacts", "bytes_max": 33_554_432 },
    ]);
    host.cli(&["plugin", "grant", "screenshot", &wanted.to_string()]).ok();
}

fn settled(host: &TestHost, number: u64) -> DeploymentView {
    host.wait_deployment(PROJECT, number, "the stage is over", WITHIN, |view| {
        view.stages.iter().all(|stage| stage.status.is_over())
    })
}

fn stage(stages: &[StageRun]) -> &StageRun {
    let [stage] = stages else { panic!("{stages:#?}") };
    assert_eq!((stage.plugin.as_str(), stage.stage.as_str()), ("screenshot", "picture"));
    stage
}

#[test]
fn a_picture_that_cannot_be_taken_says_why_and_the_deployment_is_live_all_the_same() {
    let (host, registry) = (host(), DockerRegistry::start());
    let repo = page();
    let image = format!("{}/no/browser:1", registry.address);
    set(&repo, &image, "");
    let failure = host.deploy_git(PROJECT, &repo, &[]).failed("plugin.not-granted");
    assert_eq!(failure.step, Some(StepName::Preflight), "{failure:#?}");
    grant(&host, &registry);
    host.deploy_git(PROJECT, &repo, &[]).live();
    let view = settled(&host, 2);
    let ended = stage(&view.stages);
    assert_eq!(ended.status, StageStatus::Failed, "{ended:#?}");
    let failure = ended.failure.as_ref().unwrap();
    assert_eq!(failure.code, "screenshot.no-image", "{failure:#?}");
    assert!(format!("{failure:?}").contains(&image), "{failure:#?}");
    assert!(view.attached.is_empty(), "{:#?}", view.attached);
    assert_eq!(host.get(HOST, "/").status, 200);
    host.finish();
}

/// Size and number of colours of a PNG.
fn looked_at(bytes: &[u8]) -> ((u32, u32), usize) {
    let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(info.bit_depth, png::BitDepth::Eight);
    let colours: BTreeSet<&[u8]> = pixels.chunks_exact(info.color_type.samples()).collect();
    ((info.width, info.height), colours.len())
}

/// An image with a browser, from a Dockerfile on Debian; its name in the registry.
fn browser(host: &TestHost, registry: &DockerRegistry) -> String {
    let debian = debian_with("debian-plain", "ca-certificates");
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    registry.push_rootfs("debian", &debian, &json!({ "Env": [path], "Cmd": ["/bin/sh"] }));
    let dir = scratch("browser");
    let text = std::fs::read_to_string(fixture("browser").join("Dockerfile")).unwrap();
    std::fs::write(dir.path().join("Dockerfile"), text.replace("REGISTRY", &registry.address))
        .unwrap();
    let folder = dir.path().to_str().unwrap();
    let built: Value = host.cli_json(&["build", folder, "--project", IMAGES]).ok().json();
    let number = built["deployment"]["number"].to_string();
    let name = format!("{}/browser:1", registry.address);
    host.cli(&["push", &number, &name, "--project", IMAGES]).ok();
    name
}

#[test]
fn the_new_version_is_seen_by_a_browser_in_an_image_that_was_built_and_pushed_here() {
    let (host, registry) = (host(), DockerRegistry::start());
    let image = browser(&host, &registry);
    grant(&host, &registry);
    let repo = page();
    set(&repo, &image, "");
    host.deploy_git(PROJECT, &repo, &[]).live();
    let view = settled(&host, 1);
    let ended = stage(&view.stages);
    assert_eq!(ended.status, StageStatus::Succeeded, "{ended:#?}");
    assert_eq!(ended.summary, "1 picture: home.png");
    let [kept] = view.attached.as_slice() else { panic!("{:#?}", view.attached) };
    assert_eq!((kept.kind, kept.media_type.as_str()), (AttachedKind::Image, "image/png"));
    let (size, colours) = looked_at(&host.attached(PROJECT, 1, "home.png"));
    assert_eq!(size, (400, 300));
    assert!(colours > 10, "{colours} colours");
    let shown = host.cli(&["show", "1", "--project", PROJECT]).ok().stdout;
    assert!(shown.contains("home.png"), "{shown}");

    // The page to its end.
    set(&repo, &image, ", full_page = true, wait_ms = 0");
    host.deploy_git(PROJECT, &repo, &[]).live();
    assert_eq!(stage(&settled(&host, 2).stages).status, StageStatus::Succeeded);
    let (size, all) = looked_at(&host.attached(PROJECT, 2, "home.png"));
    assert_eq!(size, (400, 1500));
    assert!(all > colours, "{all} colours of the page, {colours} of its beginning");
    host.finish();
}
