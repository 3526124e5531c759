//! The disk of a real host: who uses what, what goes and what never does, and builds that are not
//! deployed.

use std::path::Path;
use std::time::Duration;

use windlass_model::api::DeploymentView;
use windlass_model::disk::{DiskView, PruneItem, PruneKind, PruneView};
use windlass_model::{DeploymentStatus, Digest};
use windlass_test_support::registry::DockerRegistry;
use windlass_test_support::{
    Deployed, GitRepo, HostOptions, TestHost, sample, scratch, until, wait_for,
};

use crate::sources::{layer_with, put_busybox, serving};

const PROJECT: &str = "shop";
const SITE: &str = "shop.localhost";
const MIB: u64 = 1 << 20;
const WITHIN: Duration = Duration::from_secs(120);
/// What 180 versions of more than one MiB each may leave behind together: the step cache's budget, the cached
/// repository before it is made anew, and what stores and logs take before they are trimmed.
const GROWN_MAX: u64 = 40 * MIB;

/// A repository of an application that answers with its version, and carries a file of one MiB that
/// differs with it.
struct App {
    repo: GitRepo,
    seed: u64,
}

impl App {
    fn new() -> Self {
        Self { repo: GitRepo::of_fixture("plain-node"), seed: sample::seed() }
    }

    fn version(&self, n: u64) -> String {
        let server = self.repo.read("server.js");
        let (before, rest) = server.split_once("const version = '").unwrap();
        let (_, after) = rest.split_once('\'').unwrap();
        self.repo.write("server.js", &format!("{before}const version = 'v{n}'{after}"));
        let digits = (0..MIB / 16)
            .map(|i| format!("{:016x}", sample::number(self.seed, n << 32 | i, u64::MAX)));
        self.repo.write("asset.txt", &digits.collect::<String>());
        self.repo.commit(&format!("Version {n}"))
    }
}

fn disk(host: &TestHost) -> DiskView {
    host.cli_json(&["disk"]).ok().json()
}

fn budget(view: &DiskView, kind: PruneKind) -> (u64, u64) {
    let budget = view.budgets.iter().find(|budget| budget.kind == kind).unwrap();
    (budget.bytes, budget.bytes_max)
}

fn prune(host: &TestHost, args: &[&str]) -> PruneView {
    let mut all = vec!["prune"];
    all.extend(args);
    host.cli_json(&all).ok().json()
}

/// Bytes on disk below a directory.
fn bytes_below(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.path().symlink_metadata() {
            Ok(meta) if meta.is_dir() => bytes_below(&entry.path()) + meta.blocks() * 512,
            Ok(meta) => meta.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

/// 200 in the soak.
fn deployments() -> u64 {
    if sample::is_full() { 200 } else { 6 }
}

#[test]
fn many_versions_stay_under_a_small_budget_and_can_be_gone_back_to() {
    let options = HostOptions::default()
        .limit("disk.cache_bytes_max", 3 * i64::try_from(MIB).unwrap())
        .limit("keep_deployments", 5)
        .limit("keep_artifacts", 2);
    let host = TestHost::start_with(options);
    let app = App::new();
    let last = deployments();
    let (early, mut settled) = ((last / 10).max(3), 0);
    for n in 1..=last {
        app.version(n);
        host.deploy_git(PROJECT, &app.repo, &[]).live();
        wait_for("the budget is kept", WITHIN, || {
            let (bytes, bytes_max) = budget(&disk(&host), PruneKind::Cache);
            if bytes <= bytes_max { Ok(()) } else { Err(format!("{bytes} of {bytes_max}")) }
        });
        if n == early {
            settled = bytes_below(&host.data_dir());
        }
    }
    // All of the host's files: logs, records, caches and what containerd keeps as well.
    wait_for("the disk does not fill up", WITHIN, || {
        let bytes = bytes_below(&host.data_dir());
        let grown = bytes.saturating_sub(settled);
        if grown <= GROWN_MAX {
            return Ok(());
        }
        Err(format!("{grown} bytes since deployment {early} of {last}: {:#?}", disk(&host)))
    });
    // The two before the live one were kept, and start as they were.
    for back in [last - 1, last - 2] {
        let number = back.to_string();
        let code = host.cli(&["rollback", &number, "--project", PROJECT]).code;
        assert_eq!(code, 0, "back to #{back}");
        assert_eq!(host.get(SITE, "/").text(), format!("v{back}"));
    }
    host.finish();
}

#[test]
fn bases_over_their_budget_go_the_oldest_first_and_what_is_needed_stays() {
    let (registry, dir) = (DockerRegistry::start(), scratch("bases"));
    let push = |name: &str| {
        let root = dir.path().join(name);
        put_busybox(&root);
        let layer = layer_with(&root, &[("index.html", name)]);
        registry.push_rootfs(name, &layer, &serving());
        std::fs::read(layer).unwrap()
    };
    let (kept, pages) = (push("kept"), ["one", "two", "three", "four"]);
    let layers = pages.map(push);
    // Room for one base that nothing needs, and not for two.
    let budget_bytes = kept.len() as u64 * 3 / 2;
    let options = HostOptions::default()
        .limit("disk.bases_bytes_max", i64::try_from(budget_bytes).unwrap())
        .limit("disk.reclaim_below_bytes", 0)
        .limit("keep_artifacts", 1);
    let host = TestHost::start_with(options);
    let deploy = |page: &str, project: &str| {
        let image = format!("{}/{page}:1", registry.address);
        let args = ["deploy", "--image", &image, "--project", project];
        Deployed::of(&host.cli_json(&args)).live();
    };
    // It is used before all others, and stays live.
    deploy("kept", "kept");
    for page in pages {
        deploy(page, "boxed");
    }

    // An image of one layer is a snapshot of the layer's name.
    let is_there = |layer: &[u8]| {
        let snapshot = format!("image-{}", Digest::of(layer).hex());
        host.ctr(&["snapshots", "list"]).contains(&snapshot)
    };
    until("the oldest base that nothing needs goes", WITHIN, || !is_there(&layers[0]));
    wait_for("the next one fits into the budget", WITHIN, || {
        let items = prune(&host, &["--bases"]).items;
        let bases: Vec<PruneItem> =
            items.into_iter().filter(|item| item.kind == PruneKind::Bases).collect();
        match bases.as_slice() {
            [base] if base.name.contains("/two@") => Ok(()),
            _ => Err(format!("{bases:#?}")),
        }
    });

    // What is needed can be deployed again, and gone back to without its registry.
    Deployed::of(&host.cli_json(&["redeploy", "--project", "kept"])).live();
    drop(registry);
    Deployed::of(&host.cli_json(&["rollback", "3", "--project", "boxed"])).live();
    assert_eq!(host.get("boxed.localhost", "/").text(), "three");
    assert_eq!(host.get("kept.localhost", "/").text(), "kept");
    assert!(is_there(&kept) && !is_there(&layers[0]));
    assert!(layers[1..].iter().all(|layer| is_there(layer)), "{:#?}", disk(&host));
    let (bytes, bytes_max) = budget(&disk(&host), PruneKind::Bases);
    assert!(bytes_max == budget_bytes && (1..=bytes_max).contains(&bytes), "{bytes}");
    host.finish();
}

/// Waits until no step is left that no artifact needs.
fn wait_cache_gone(host: &TestHost) {
    wait_for("the cache goes", WITHIN, || match budget(&disk(host), PruneKind::Cache) {
        (0, _) => Ok(()),
        (bytes, _) => Err(format!("{bytes} bytes of it are left")),
    });
}

#[test]
fn a_cache_within_its_budget_goes_where_too_little_is_free_and_only_there() {
    const SAID: &str = "nothing is left to prune";
    let options =
        HostOptions::default().limit("keep_artifacts", 0).limit("disk.reclaim_below_bytes", 0);
    let mut host = TestHost::start_with(options);
    let app = App::new();
    for n in 1..=3 {
        app.version(n);
        host.deploy_git(PROJECT, &app.repo, &[]).live();
    }
    let cached = || {
        let (bytes, bytes_max) = budget(&disk(&host), PruneKind::Cache);
        if bytes >= 2 * MIB { Ok((bytes, bytes_max)) } else { Err(format!("{bytes}")) }
    };
    // The end of each deployment was followed by a look at the disk.
    let (bytes, bytes_max) = wait_for("the replaced versions are cache", WITHIN, cached);
    assert!(bytes < bytes_max, "{bytes} of {bytes_max}");
    assert!(!host.serve_log().contains(SAID), "there is room");

    // No disk has so much room. Nobody deploys: the host looks by itself.
    host.stop_serve();
    host.set_limit("disk.reclaim_below_bytes", 1 << 60);
    host.restart();
    wait_cache_gone(&host);
    until("it is said that it stays low", WITHIN, || host.serve_log().contains(SAID));
    assert_eq!(host.get(SITE, "/").text(), "v3");

    // What a build makes and the live version needs stays all the time, and what it replaces goes.
    app.version(4);
    host.deploy_git(PROJECT, &app.repo, &[]).live();
    host.wait_deployment(PROJECT, 3, "its artifact is let go", WITHIN, |view| {
        view.deployment.artifact_pruned
    });
    wait_cache_gone(&host);
    assert_eq!(host.get(SITE, "/").text(), "v4");
    host.finish();
}

/// Versions that each of two projects deploys beside a build without an end.
const OVERLAPPING: u64 = 4;

#[test]
fn artifacts_go_while_builds_overlap_and_what_can_be_gone_back_to_stays() {
    let mib = |n: u64| i64::try_from(n * MIB).unwrap();
    let options = HostOptions::default()
        .limit("keep_artifacts", 1)
        .limit("deployments_running_max", 6)
        .limit("build.running_max", 4)
        .limit("build.steps_running_max", 8)
        .limit("build.memory_bytes_max", mib(512))
        .limit("build.memory_bytes_all_max", mib(4 * 512))
        .limit("build.cpu_millis_max", 500)
        .limit("build.cpu_millis_all_max", 4 * 500);
    let host = TestHost::start_with(options);
    let endless = GitRepo::of_fixture("plain-node");
    let (package, start) = (endless.read("package.json"), "\"start\": \"node server.js\"");
    assert!(package.contains(start), "{package}");
    let slow = format!("{start}, \"build\": \"sleep 1000\"");
    endless.write("package.json", &package.replace(start, &slow));
    endless.commit("Build for long");
    let path = "/v1/projects/slow/environments/production/deployments?create=true";
    let body = serde_json::json!({ "git_url": endless.url() });
    let answer = host.api("POST", path, Some(&body));
    assert_eq!(answer.status, 202, "{}", answer.text());
    let builds = |what: &str| {
        host.wait_deployment("slow", 1, what, WITHIN, |view| !view.building.is_empty());
    };
    builds("the build without an end runs");

    let projects = [PROJECT, "blog"];
    std::thread::scope(|threads| {
        for (n, project) in (1..).zip(projects) {
            let host = &host;
            threads.spawn(move || {
                let mut app = App::new();
                app.seed = app.seed.wrapping_add(n);
                for version in 1..=OVERLAPPING {
                    app.version(version);
                    host.deploy_git(project, &app.repo, &[]).live();
                }
            });
        }
    });
    let before = OVERLAPPING - 1;
    for project in projects {
        for number in 1..before {
            let what = "it is let go while something is built";
            host.wait_deployment(project, number, what, WITHIN, |view| {
                view.deployment.artifact_pruned
            });
        }
        assert!(!host.show(project, before).deployment.artifact_pruned, "it can be gone back to");
    }
    let left = prune(&host, &["--artifacts", "--yes"]);
    assert_eq!(left.left, Vec::<String>::new(), "nothing of it waits for the build");
    for project in projects {
        host.cli(&["rollback", &before.to_string(), "--project", project]).ok();
        assert_eq!(host.get(&format!("{project}.localhost"), "/").text(), format!("v{before}"));
    }
    builds("it was built all the time");
    host.cli(&["cancel", "1", "--project", "slow"]).ok();
    host.wait_deployment("slow", 1, "it ends", WITHIN, |view| view.deployment.status.is_over());
    host.finish();
}

#[test]
fn every_byte_has_somebody_and_is_counted_once() {
    let host = TestHost::start();
    let app = App::new();
    app.version(1);
    host.deploy_git(PROJECT, &app.repo, &[]).live();
    // The same code in another project: the steps are the same.
    host.deploy_git("twin", &app.repo, &[]).live();
    let view = disk(&host);
    let of_project = |name: &str| {
        let found = view.projects.iter().find(|project| project.project.as_str() == name);
        found.unwrap_or_else(|| panic!("{name} is missing in {view:#?}"))
    };
    for name in [PROJECT, "twin"] {
        let project = of_project(name);
        let parts: u64 = project.parts.iter().map(|part| part.bytes).sum();
        assert_eq!(parts, project.bytes, "{project:#?}");
        assert!(project.parts.iter().any(|part| part.what == "logs"), "{project:#?}");
    }
    let part = |what: &str| view.host.iter().find(|part| part.what == what);
    assert!(part("shared-artifacts").is_some_and(|part| part.bytes >= MIB), "{view:#?}");
    assert!(part("bases").is_some_and(|part| part.bytes > 10 * MIB), "{view:#?}");
    let projects: u64 = view.projects.iter().map(|project| project.bytes).sum();
    let of_host: u64 = view.host.iter().map(|part| part.bytes).sum();
    assert_eq!(view.bytes, projects + of_host);
    let really = bytes_below(&host.data_dir());
    let off = really.abs_diff(view.bytes);
    assert!(off <= really / 20 + 8 * MIB, "{} instead of {really}: {view:#?}", view.bytes);
    assert!(view.places.iter().all(|place| place.free_bytes > 0), "{view:#?}");
    let text = host.cli(&["disk"]).ok().stdout;
    assert!(text.contains("shared-artifacts") && text.contains("counted"), "{text}");
    host.finish();
}

#[test]
fn a_prune_says_what_goes_does_it_and_may_be_killed() {
    let mut host = TestHost::start_with(HostOptions::default().limit("keep_artifacts", 0));
    let app = App::new();
    for n in 1..=3 {
        app.version(n);
        host.deploy_git(PROJECT, &app.repo, &[]).live();
    }
    for number in 1..=2 {
        host.wait_deployment(PROJECT, number, "its artifact is let go", WITHIN, |view| {
            view.deployment.artifact_pruned
        });
    }
    let plan = wait_for("the replaced versions are cache", WITHIN, || {
        let plan = prune(&host, &["--cache"]);
        if plan.bytes >= 2 * MIB { Ok(plan) } else { Err(format!("{plan:#?}")) }
    });
    assert!(plan.dry_run && plan.items.len() >= 2, "{plan:#?}");
    assert!(plan.items.iter().all(|item| !item.why.is_empty() && !item.name.is_empty()));
    assert_eq!(prune(&host, &["--cache"]).items.len(), plan.items.len(), "nothing went");
    let before = host.ctr(&["snapshots", "list"]).len();

    // Killed in the middle: what serves does not notice, and what is left goes the next time.
    host.stop_serve();
    host.set_env(&[("WINDLASS_FAILPOINT", "during:prune")]);
    host.restart();
    let cut = host.cli(&["prune", "--cache", "--yes"]);
    assert_ne!(cut.code, 0, "{}", cut.stdout);
    host.wait_serve_ended(WITHIN);
    assert_eq!(host.take_failpoint_hit().as_deref(), Some("during:prune"));
    assert_eq!(host.get(SITE, "/").text(), "v3");
    host.set_env(&[]);
    host.restart();
    let left = prune(&host, &["--cache", "--yes"]);
    assert_eq!(left.items.len(), plan.items.len() - 1, "{left:#?}");
    assert_eq!(prune(&host, &["--cache", "--yes"]).items, [], "twice is as good as once");
    assert_eq!(host.ctr(&["snapshots", "list"]).len(), before - plan.items.len());
    let (bytes, _) = budget(&disk(&host), PruneKind::Cache);
    assert_eq!(bytes, 0);

    assert_eq!(host.get(SITE, "/").text(), "v3");
    app.version(4);
    host.deploy_git(PROJECT, &app.repo, &[]).live();
    assert_eq!(host.get(SITE, "/").text(), "v4");
    host.finish();
}

#[test]
fn cache_mounts_go_with_their_project_and_when_they_are_asked_for() {
    let host = TestHost::start();
    let mount = |project: &str| {
        host.cli(&["project", "create", project]).ok();
        let dir = host.data_dir().join("cache/mounts").join(project).join("npm");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("package"), vec![1; 3 << 20]).unwrap();
        dir
    };
    let (one, other) = (mount("one"), mount("other"));
    host.cli(&["project", "delete", "one", "--yes"]).ok();
    assert!(!one.parent().unwrap().exists(), "a later project of the name begins without");
    let plan = prune(&host, &["--mounts"]);
    let names: Vec<&str> = plan.items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["other/npm"]);
    assert!(plan.bytes >= 3 * MIB && other.exists(), "{plan:#?}");
    assert_eq!(prune(&host, &["--mounts", "--older-than", "1d", "--yes"]).items, []);
    assert_eq!(prune(&host, &["--mounts", "--yes"]).items.len(), 1);
    assert!(!other.exists());
    assert_eq!(prune(&host, &["--mounts"]).items, []);
    host.finish();
}

#[test]
fn nothing_is_deployed_below_the_floor_of_free_inodes() {
    let host = TestHost::start_with(HostOptions::default().limit("disk_free_inodes_min", 1 << 60));
    let repo = GitRepo::of_fixture("html");
    let failure = host.deploy_git("site", &repo, &[]).failed("preflight.inode-floor");
    assert!(failure.what.contains("inodes are free"), "{failure:#?}");
    host.finish();
}

#[test]
fn a_build_is_made_and_never_goes_live() {
    let mut host = TestHost::start();
    let app = App::new();
    app.version(1);
    host.deploy_git(PROJECT, &app.repo, &[]).live();
    app.version(2);
    let url = app.repo.url();
    let output = ["--project", PROJECT, "--output", "image=shop:next"];
    let build = || {
        let mut all = vec!["build", url.as_str()];
        all.extend(output);
        let built: serde_json::Value = host.cli_json(&all).ok().json();
        let view: DeploymentView = serde_json::from_value(built["deployment"].clone()).unwrap();
        (view.deployment, built["steps"].as_array().unwrap().clone())
    };
    let (first, steps) = build();
    assert_eq!(first.status, DeploymentStatus::Built, "{first:#?}");
    assert!(first.live_at.is_none() && first.outputs.instances.is_empty(), "{first:#?}");
    assert!(steps.iter().any(|step| step["cached"] == false), "{steps:#?}");
    assert_eq!(host.get(SITE, "/").text(), "v1");
    let (again, steps) = build();
    assert!(steps.iter().all(|step| step["cached"] == true), "{steps:#?}");
    assert_eq!(again.outputs.artifact, first.outputs.artifact);
    // It is no version to go back to, also not by its number.
    let refused = host.cli_json(&["rollback", &first.number.to_string(), "--project", PROJECT]);
    assert_eq!(refused.failure().code, "rollback.never-live");

    // The files of what was built, in a folder of this machine.
    let dir = scratch("built");
    let folder = dir.path().join("files");
    let to = format!("folder={}", folder.display());
    host.cli(&["build", &url, "--project", PROJECT, "--output", &to]).ok();
    let found = walk(&folder).into_iter().find(|path| path.ends_with("asset.txt"));
    let asset = found.expect("the application's file is in the folder");
    assert_eq!(std::fs::read_to_string(asset).unwrap(), app.repo.read("asset.txt"));

    // No layer was written for what was deployed, kept or put into a folder; an archive needs them.
    assert_eq!(host.layer_blobs(), 0);
    let archive = format!("oci={}", dir.path().join("shop.tar").display());
    host.cli(&["build", &url, "--project", PROJECT, "--output", &archive]).ok();
    assert!(host.layer_blobs() > 0, "the layers of the archive are nowhere");

    // A host that dies in a build goes on with it, and nothing of it goes live.
    app.version(3);
    host.stop_serve();
    host.set_env(&[("WINDLASS_FAILPOINT", "after:build")]);
    host.restart();
    let cut = host.cli_command(&["build", &url, "--project", PROJECT]).spawn();
    let mut cut = cut.unwrap();
    host.wait_serve_ended(WITHIN);
    host.take_failpoint_hit().unwrap();
    host.set_env(&[]);
    host.restart();
    cut.wait().unwrap();
    let view = host.wait_deployment(PROJECT, 6, "the build ends", WITHIN, |view| {
        view.deployment.status.is_over()
    });
    assert_eq!(view.deployment.status, DeploymentStatus::Built);
    assert_eq!(host.get(SITE, "/").text(), "v1");

    images_go_also_after_a_kill(&mut host);
    host.finish();
}

/// A prune of all images is cut off after the first, and does the rest when it is asked for again.
fn images_go_also_after_a_kill(host: &mut TestHost) {
    let plan = prune(host, &["--images"]);
    assert!(plan.items.iter().any(|item| item.name.starts_with("shop:next")), "{plan:#?}");
    let said = |item: &PruneItem| item.why.contains("MiB of its steps become cache");
    assert!(plan.items.iter().any(said), "{plan:#?}");
    host.stop_serve();
    host.set_env(&[("WINDLASS_FAILPOINT", "during:prune-artifacts")]);
    host.restart();
    assert_ne!(host.cli(&["prune", "--images", "--yes"]).code, 0);
    host.wait_serve_ended(WITHIN);
    assert_eq!(host.take_failpoint_hit().as_deref(), Some("during:prune-artifacts"));
    assert_eq!(host.get(SITE, "/").text(), "v1");
    host.set_env(&[]);
    host.restart();
    let rest = prune(host, &["--images", "--yes"]);
    assert_eq!(rest.items.len(), plan.items.len() - 1, "{rest:#?}");
    assert_eq!(prune(host, &["--images"]).items, []);
    assert_eq!(host.get(SITE, "/").text(), "v1");
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut next = vec![dir.to_owned()];
    while let Some(dir) = next.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => next.push(entry.path()),
                _ => found.push(entry.path()),
            }
        }
    }
    found
}
