//! The kinds of sources beside a repository's branch and a folder: finished files, images from a
//! registry and from an archive, archives of the source, submodules, and what can be wrong with each.

use std::path::{Path, PathBuf};
use std::process::Command;

use windlass_model::{Digest, StepName, StepStatus};
use windlass_test_support::git_server::GitServer;
use windlass_test_support::registry::{DockerRegistry, LOGIN};
use windlass_test_support::{Deployed, GitRepo, TestHost, scratch};

/// A password of the registry.
pub(crate) const PASSWORD: &str = LOGIN.1;

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}

fn deploy(host: &TestHost, args: &[&str]) -> Deployed {
    let mut all = vec!["--json", "deploy"];
    all.extend(args);
    Deployed::of(&host.cli(&all))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn finished_files_are_served_as_they_are_from_a_folder_and_from_archives() {
    let host = TestHost::start();
    let dir = scratch("bundle");
    let site = dir.path().join("dist");
    std::fs::create_dir(&site).unwrap();
    std::fs::write(site.join("index.html"), "version one").unwrap();
    std::fs::write(site.join(".gitignore"), "*\n").unwrap();
    let done = deploy(&host, &["--static", text(&site), "--project", "site", "--spa"]).live();
    assert_eq!(done.step(StepName::Detect), StepStatus::Skipped);
    let page = host.get("site.localhost", "/some/route");
    assert_eq!((page.status, page.text().as_str()), (200, "version one"));

    std::fs::write(site.join("index.html"), "version two").unwrap();
    let zst = dir.path().join("site.tar.zst");
    run(Command::new("tar").args(["--zstd", "-cf", text(&zst), "-C", text(&site), "."]));
    deploy(&host, &["--static", text(&zst), "--project", "site"]).live();
    assert_eq!(host.get("site.localhost", "/").text(), "version two");
    assert_eq!(host.get("site.localhost", "/some/route").status, 404);

    // What is no site is refused, and what served goes on.
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    std::fs::write(empty.join("notes.txt"), "nothing to serve").unwrap();
    let failure = deploy(&host, &["--static", text(&empty), "--project", "site"]);
    failure.failed("static.no-index");
    let broken = dir.path().join("broken.zip");
    std::fs::write(&broken, b"PK\x03\x04 and then nothing").unwrap();
    deploy(&host, &["--static", text(&broken), "--project", "site"])
        .failed("source.archive-invalid");
    assert_eq!(host.get("site.localhost", "/").text(), "version two");
    host.finish();
}

/// What images run that serve `/www`.
const SERVE: [&str; 7] = ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"];

/// The configuration of an image that serves `/www`.
pub(crate) fn serving() -> serde_json::Value {
    serde_json::json!({ "Cmd": SERVE, "Env": ["PATH=/bin"], "ExposedPorts": {"8080/tcp": {}} })
}

/// Puts busybox into a root file system.
pub(crate) fn put_busybox(root: &Path) {
    std::fs::create_dir_all(root.join("bin")).unwrap();
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|p| Path::new(p).exists());
    std::fs::copy(busybox.unwrap(), root.join("bin/busybox")).unwrap();
}

/// Writes these files of `/www` into a root file system, and packs it beside it, as a layer.
pub(crate) fn layer_with(root: &Path, pages: &[(&str, &str)]) -> PathBuf {
    std::fs::create_dir_all(root.join("www")).unwrap();
    for (page, content) in pages {
        std::fs::write(root.join("www").join(page), content).unwrap();
    }
    let layer = root.with_extension("tar");
    run(Command::new("tar").args(["-cf", text(&layer), "-C", text(root), "."]));
    layer
}

/// An image as `docker save` packs it: busybox that serves one page.
pub(crate) fn saved_image(dir: &Path, page: &str, architecture: &str) -> PathBuf {
    saved_image_of(dir, page, architecture, &serde_json::json!({ "Cmd": SERVE }))
}

/// The same with this command, and what else its configuration says.
pub(crate) fn saved_image_of(
    dir: &Path,
    page: &str,
    architecture: &str,
    said: &serde_json::Value,
) -> PathBuf {
    let root = dir.join("rootfs");
    put_busybox(&root);
    let parts = dir.join("parts");
    std::fs::create_dir_all(&parts).unwrap();
    let layer = parts.join("layer.tar");
    std::fs::rename(layer_with(&root, &[("index.html", page)]), &layer).unwrap();
    let mut section = serde_json::json!({
        "Env": ["PATH=/bin"], "ExposedPorts": {"8080/tcp": {}},
    });
    section.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
    let config = serde_json::json!({
        "architecture": architecture, "os": "linux",
        "config": section,
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&std::fs::read(&layer).unwrap())]},
    });
    std::fs::write(parts.join("config.json"), config.to_string()).unwrap();
    let manifest = serde_json::json!([
        {"Config": "config.json", "RepoTags": ["app:1"], "Layers": ["layer.tar"]}
    ]);
    std::fs::write(parts.join("manifest.json"), manifest.to_string()).unwrap();
    let image = dir.join("image.tar");
    run(Command::new("tar").args(["-cf", text(&image), "-C", text(&parts), "."]));
    image
}

pub(crate) fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

#[test]
fn an_image_archive_runs_as_it_is_and_can_be_gone_back_to() {
    let host = TestHost::start();
    let dir = scratch("image");
    let first = saved_image(dir.path(), "from an archive", architecture());
    let one = deploy(&host, &["--image-archive", text(&first), "--project", "boxed"]).live();
    assert_eq!(one.step(StepName::Detect), StepStatus::Skipped);
    assert_eq!(host.get("boxed.localhost", "/").text(), "from an archive");
    let second = saved_image(dir.path(), "a newer one", architecture());
    deploy(&host, &["--image-archive", text(&second), "--project", "boxed"]).live();
    assert_eq!(host.get("boxed.localhost", "/").text(), "a newer one");
    Deployed::of(&host.cli(&["--json", "rollback", "--project", "boxed"])).live();
    assert_eq!(host.get("boxed.localhost", "/").text(), "from an archive");

    let foreign = saved_image(dir.path(), "elsewhere", "s390x");
    deploy(&host, &["--image-archive", text(&foreign), "--project", "boxed"])
        .failed("registry.unsupported-platform");
    let nothing = dir.path().join("nothing.tar");
    run(Command::new("tar").args(["-cf", text(&nothing), "-C", "/etc", "hostname"]));
    deploy(&host, &["--image-archive", text(&nothing), "--project", "boxed"])
        .failed("image.archive-invalid");
    host.finish();
}

/// A registry on the loopback address that wants a login.
pub(crate) struct Registry {
    pub(crate) address: String,
    _running: DockerRegistry,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let running = DockerRegistry::start_guarded();
        Self { address: running.address.clone(), _running: running }
    }

    pub(crate) fn push(&self, image: &Path, tag: &str) {
        run(Command::new("skopeo")
            .args(["--insecure-policy", "copy", "--dest-tls-verify=false"])
            .arg(format!("--dest-creds=me:{PASSWORD}"))
            .arg(format!("docker-archive:{}", text(image)))
            .arg(format!("docker://{}/team/app:{tag}", self.address)));
    }
}

#[test]
fn an_image_of_a_registry_needs_its_login_and_what_is_wrong_is_named() {
    let host = TestHost::start();
    let registry = Registry::start();
    let dir = scratch("image");
    registry.push(&saved_image(dir.path(), "from a registry", architecture()), "1");
    let image = format!("{}/team/app:1", registry.address);
    let project = ["--project", "pulled"];
    let of = |image: &str| deploy(&host, &["--image", image, project[0], project[1]]);
    of(&image).failed("registry.unauthorized");

    let login = |password: &str| {
        let args = [
            "registry",
            "login",
            &registry.address,
            "-u",
            "me",
            "--password-stdin",
            "--project",
            "pulled",
        ];
        host.cli_with_input(&args, password).ok();
    };
    login("not-the-password");
    let failure = of(&image).failed("registry.unauthorized");
    assert!(failure.fix.contains("windlass registry login"), "{failure:#?}");
    assert!(!format!("{failure:?}").contains("not-the-password"));
    login(PASSWORD);
    of(&image).live();
    assert_eq!(host.get("pulled.localhost", "/").text(), "from a registry");
    of(&format!("{}/team/app:no-such-tag", registry.address)).failed("registry.not-found");

    // A redeploy asks what the tag means now.
    registry.push(&saved_image(dir.path(), "pushed again", architecture()), "1");
    Deployed::of(&host.cli(&["--json", "redeploy", "--project", "pulled"])).live();
    assert_eq!(host.get("pulled.localhost", "/").text(), "pushed again");
    drop(registry);
    Deployed::of(&host.cli(&["--json", "redeploy", "--project", "pulled"]))
        .failed("registry.unreachable");
    assert_eq!(host.get("pulled.localhost", "/").text(), "pushed again");
    host.finish();
}

#[test]
fn a_source_archive_is_known_by_its_contents_and_an_old_commit_and_a_submodule_are_fetched() {
    let host = TestHost::start();
    let dir = scratch("archive");
    std::fs::create_dir(dir.path().join("site")).unwrap();
    std::fs::write(dir.path().join("site/index.html"), "archived").unwrap();
    let archive = dir.path().join("site.bin");
    let from = dir.path().join("site");
    run(Command::new("tar").args(["--zstd", "-cf", text(&archive), "-C", text(&from), "."]));
    deploy(&host, &[text(&archive), "--project", "one"]).live();
    assert_eq!(host.get("one.localhost", "/").text(), "archived");

    let repo = GitRepo::of_files(&[("index.html", "old")]);
    let old = repo.git(&["rev-parse", "HEAD"]);
    repo.write("index.html", "new");
    repo.commit("newer");
    host.deploy_git("one", &repo, &["--commit", &old]).live();
    assert_eq!(host.get("one.localhost", "/").text(), "old");

    let library = GitRepo::of_files(&[("part.html", "of the submodule")]);
    let add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add"];
    repo.git(&[add.as_slice(), &[library.url().as_str(), "parts"]].concat());
    repo.commit("with a submodule");
    host.deploy_git("one", &repo, &[]).live();
    assert_eq!(host.get("one.localhost", "/parts/part.html").text(), "of the submodule");
    host.finish();
}

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\n\
    oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

#[test]
fn a_deleted_branch_a_repository_that_became_private_and_lfs_pointers_have_codes_of_their_own() {
    let host = TestHost::start();
    let repo = GitRepo::of_files(&[("index.html", "hello")]);
    repo.git(&["branch", "feature"]);
    host.deploy_git("one", &repo, &["--branch", "feature"]).live();
    repo.git(&["branch", "-D", "feature"]);
    let failure = host.deploy_git("one", &repo, &["--branch", "feature"]);
    failure.failed("source.branch-deleted");

    let server = GitServer::start(&repo, "a-token");
    let url = server.url("shop.git");
    server.make_public(true);
    host.deploy_url("two", &url, &[]).live();
    server.make_public(false);
    host.deploy_url("two", &url, &[]).failed("source.repository-private");

    repo.write("model.bin", POINTER);
    repo.commit("a pointer");
    let failure = host.deploy_git("one", &repo, &[]).failed("source.lfs-missing");
    assert!(failure.what.contains("model.bin"), "{failure:#?}");
    assert_eq!(host.get("one.localhost", "/").text(), "hello");
    host.finish();
}

#[test]
fn one_application_of_a_monorepo_is_deployed_and_a_rollback_names_any_commit() {
    let host = TestHost::start();
    let repo = GitRepo::of_files(&[
        ("apps/shop/index.html", "the shop, 1"),
        ("apps/blog/index.html", "the blog"),
        ("windlass.toml", "[build]\napp_dir = \"apps/shop\"\n"),
    ]);
    let first = repo.git(&["rev-parse", "HEAD"]);
    host.cli(&["project", "create", "shop"]).ok();
    // A domain that nobody has is worth a warning and no more.
    host.cli(&["domain", "add", "shop.invalid", "--project", "shop"]).ok();
    let live = host.deploy_git("shop", &repo, &[]).live();
    let warned = live.view.deployment.warnings.iter();
    let codes: Vec<&str> = warned.map(|warning| warning.code.as_str()).collect();
    assert!(codes.contains(&"preflight.domain-unknown"), "{codes:?}");
    assert_eq!(host.get("shop.invalid", "/").text(), "the shop, 1");
    for number in ["2", "3"] {
        repo.write("apps/shop/index.html", &format!("the shop, {number}"));
        repo.commit(number);
        host.deploy_git("shop", &repo, &[]).live();
    }
    assert_eq!(host.get("shop.localhost", "/").text(), "the shop, 3");
    let back = ["rollback", "--commit", first.trim(), "--project", "shop"];
    Deployed::of(&host.cli_json(&back)).live();
    assert_eq!(host.get("shop.localhost", "/").text(), "the shop, 1");
    let unknown = "0123456789012345678901234567890123456789";
    let back = Deployed::of(&host.cli_json(&["rollback", "--commit", unknown, "-p", "shop"]));
    back.failed("source.reference-not-found");
    assert_eq!(host.get("shop.localhost", "/").text(), "the shop, 1");
    host.finish();
}
