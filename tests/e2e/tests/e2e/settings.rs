//! Settings of an environment, in force for what has no `windlass.toml`: an image archive.

use std::path::{Path, PathBuf};

use windlass_model::running::VolumeView;
use windlass_model::settings::SettingsView;
use windlass_model::stats::Stats;
use windlass_test_support::{Deployed, TestHost, scratch};

use crate::sources::{architecture, saved_image};

const PROJECT: &str = "boxed";
const HOST: &str = "boxed.localhost";

/// An image as `docker save` packs it, with a shell: busybox that serves the folder `/www`.
fn image_with_shell(dir: &Path, page: &str) -> PathBuf {
    let bin = dir.join("rootfs/bin");
    std::fs::create_dir_all(&bin).unwrap();
    if !bin.join("sh").exists() {
        std::os::unix::fs::symlink("busybox", bin.join("sh")).unwrap();
    }
    saved_image(dir, page, architecture())
}

fn set<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&["settings", "set"], words].concat()
}

struct World {
    host: TestHost,
    dir: tempfile::TempDir,
}

impl World {
    fn settings(&self, words: &[&str]) -> SettingsView {
        let all = [&["settings"], words, &["--project", PROJECT]].concat();
        self.host.cli_json(&all).ok().json()
    }

    fn refused(&self, words: &[&str], code: &str, names: &str) {
        let output = self.host.cli_json(&[words, &["--project", PROJECT]].concat());
        let failure = output.failure();
        assert_eq!((output.code, failure.code.as_str()), (7, code), "{failure:#?}");
        let said = format!("{} {} {}", failure.what, failure.why, failure.fix);
        assert!(said.contains(names), "{failure:#?}");
    }

    fn deploy(&self, page: &str) {
        let image = image_with_shell(self.dir.path(), page);
        let words = ["--json", "deploy", "--image-archive", image.to_str().unwrap()];
        Deployed::of(&self.host.cli(&[&words[..], &["--project", PROJECT]].concat())).live();
        assert_eq!(self.host.get(HOST, "/").text(), page);
    }

    fn rollback(&self, words: &[&str]) {
        let all = [&["--json", "rollback"], words, &["--project", PROJECT]].concat();
        Deployed::of(&self.host.cli(&all)).live();
        assert_eq!(self.host.get(HOST, "/").text(), "one");
    }

    /// The memory that each live instance may have, in MiB, as its control group has it.
    fn memory(&self) -> Vec<u64> {
        let stats: Stats = self.host.cli_json(&["stats", "--project", PROJECT]).ok().json();
        stats.instances.iter().map(|one| one.memory_limit_bytes >> 20).collect()
    }
}

#[test]
fn an_image_gets_memory_replicas_and_a_volume_by_the_settings_of_its_environment() {
    let world = World { host: TestHost::start(), dir: scratch("settings") };
    world.host.cli(&["project", "create", PROJECT]).ok();
    world.refused(&set(&["run.memroy=1GiB"]), "settings.unknown-key", "`run.memory`");
    world.refused(&set(&["run.replicas=none"]), "settings.wrong-value", "run.replicas");
    world.refused(&set(&["deploy.keep_deployments=some"]), "settings.wrong-value", "standard (10)");
    let secret = "run.command=serve --token ghp_0123456789abcdef0123";
    world.refused(&set(&["run.port=8080", secret]), "settings.secret-in-file", "windlass env set");
    assert_eq!(world.settings(&["show"]).revision, 0, "what is refused changes nothing");

    let volume = "run.volumes=[{ name = \"shared\", path = \"/www/shared\", shared = true }]";
    let words =
        ["set", "run.memory=48MiB", "run.replicas=2", volume, "deploy.keep_deployments=minimal"];
    world.settings(&words);
    world.deploy("one");
    assert_eq!(world.memory(), [48, 48]);
    let volumes: Vec<VolumeView> =
        world.host.cli_json(&["volume", "list", "--project", PROJECT]).ok().json();
    assert_eq!((volumes.len(), volumes[0].path.as_deref()), (1, Some("/www/shared")));
    std::fs::write(Path::new(&volumes[0].folder).join("note"), "noted").unwrap();
    let noted = || world.host.get(HOST, "/shared/note").text();
    assert_eq!(noted(), "noted");

    // From the next deployment on, and not before.
    world.settings(&["set", "run.memory=64MiB"]);
    let view = world.settings(&["unset", "run.replicas"]);
    let memory = view.values.iter().find(|one| one.key == "run.memory").unwrap();
    assert_eq!(memory.value.as_ref().unwrap(), "64MiB");
    assert_eq!(memory.live.as_ref().unwrap(), "48MiB");
    assert_eq!(world.memory(), [48, 48]);
    world.deploy("two");
    assert_eq!((world.memory(), noted().as_str()), (vec![64], "noted"));

    // The version before with the settings of now, then with those that it had.
    world.rollback(&[]);
    assert_eq!((world.memory(), noted().as_str()), (vec![64], "noted"));
    world.rollback(&["1", "--with-its-env"]);
    assert_eq!((world.memory(), noted().as_str()), (vec![48, 48], "noted"));

    // A second process of the same image.
    world.settings(&["set", "run.processes.worker.command=busybox sleep 86400"]);
    world.deploy("three");
    let stats: Stats = world.host.cli_json(&["stats", "--project", PROJECT]).ok().json();
    let mut names: Vec<&str> = stats.instances.iter().map(|one| one.instance.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["web.0", "worker.0"]);
    world.host.finish();
}
