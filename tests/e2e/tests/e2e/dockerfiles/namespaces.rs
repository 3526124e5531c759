//! A host on a machine that has no user namespaces for it.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use windlass_test_support::{CliOutput, GitRepo, HostOptions, TestHost, scratch};

use super::peer::registry_with_bases;

/// What `windlass doctor` says of user namespaces, where programs are looked up in `path`.
fn user_namespaces(host: &TestHost, path: &str) -> Value {
    let mut doctor = host.cli_command(&["--json", "doctor"]);
    let checks: Vec<Value> = CliOutput::of(doctor.env("PATH", path)).json();
    checks.into_iter().find(|check| check["name"] == "user namespaces").unwrap()
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn without_user_namespaces_builds_and_applications_run_and_files_keep_their_owners() {
    let (registry, dir) = (registry_with_bases(), scratch("path"));
    // The program that tries them, as it ends where the kernel allows none.
    let unshare = dir.path().join("unshare");
    std::fs::write(&unshare, "#!/bin/sh\nexit 1\n").unwrap();
    std::fs::set_permissions(&unshare, std::fs::Permissions::from_mode(0o755)).unwrap();
    let usual = std::env::var("PATH").unwrap();
    let path = format!("{}:{usual}", dir.path().display());
    let mut host = TestHost::start_with(HostOptions::default().env("PATH", &path));
    let said = user_namespaces(&host, &path);
    assert_eq!(said["state"], "warning", "{said}");
    let found = said["found"].as_str().unwrap();
    let why = "not in use (the kernel does not allow user namespaces)";
    assert!(found.contains(why) && found.contains("is the host's root"), "{found}");

    let repo = GitRepo::empty();
    let dockerfile = format!(
        "FROM {}/base:1\n\
         RUN mkdir /www && touch /www/owned && chown 1000:1001 /www/owned\n\
         RUN (stat -c %u:%g /www/owned; id -u; cat /proc/self/uid_map) > /www/index.html\n\
         EXPOSE 8080\n\
         CMD [\"/bin/httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/www\"]\n",
        registry.address
    );
    repo.write("Dockerfile", &dockerfile);
    repo.commit("It says who its build is");
    host.deploy_git("shop", &repo, &[]).live();
    let page = |host: &TestHost| words(&host.get("shop.localhost", "/").text());
    // The same numbers as those of this process: root is the host's.
    let own = words(&std::fs::read_to_string("/proc/self/uid_map").unwrap());
    assert_eq!(page(&host), format!("1000:1001 0 {own}"));

    // With what the machine itself allows, it builds on what was built before.
    host.stop_serve();
    host.set_env(&[]);
    host.restart();
    let is_mapped = user_namespaces(&host, &usual)["state"] == "ok";
    repo.edit("Dockerfile", "id -u;", "id -u; true;");
    repo.commit("Another command");
    let number = host.deploy_git("shop", &repo, &[]).live().number().to_string();
    let log = host.cli(&["logs", &number, "--step", "build", "--project", "shop"]).ok().stdout;
    let is_first = |line: &str| line.contains("RUN mkdir /www") && line.contains("cached");
    assert!(log.lines().any(is_first), "{log}");
    let map = if is_mapped { "0 1000000000 1000000000" } else { own.as_str() };
    assert_eq!(page(&host), format!("1000:1001 0 {map}"));
    drop(registry);
    host.finish();
}
