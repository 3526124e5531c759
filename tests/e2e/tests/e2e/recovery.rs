//! A host that has lost its state, and one that gets it back from a backup.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use windlass_model::DeploymentStatus;
use windlass_model::recovery::{
    BackupKey, BackupView, RecoverReport, RecoveredFrom, RestoreReport,
};
use windlass_model::running::{InstanceState, RunningView, VolumeView};
use windlass_test_support::host::kill;
use windlass_test_support::{Deployed, GitRepo, HostOptions, TestHost, until, wait_for};

use crate::shop::{HOST, PROJECT, Shop, assert_unharmed};
use crate::sources::{architecture, saved_image};

const WITHIN: Duration = Duration::from_secs(30);

/// Stops the host and takes its state away, with the backups.
pub(crate) fn lose_state(host: &mut TestHost) {
    host.stop_serve();
    for dir in ["store", "backups"] {
        std::fs::remove_dir_all(host.data_dir().join(dir)).unwrap();
    }
}

impl Shop {
    /// Stops the host and takes the second half of its journal away.
    fn damage_state(&mut self) {
        self.host.stop_serve();
        let files = std::fs::read_dir(self.host.data_dir().join("store/journal")).unwrap();
        let logs = files.flatten().map(|file| file.path());
        let log = logs.filter(|path| path.extension().is_some_and(|end| end == "log")).max();
        let log = log.unwrap();
        let whole = std::fs::read(&log).unwrap();
        std::fs::write(&log, &whole[..whole.len() / 2]).unwrap();
    }

    fn recover(&self, args: &[&str]) -> RecoverReport {
        let mut words = vec!["recover"];
        words.extend(args);
        self.host.cli_json(&words).ok().json()
    }

    /// Names of the variables, and whether each is secret.
    fn variables(&self) -> Vec<(String, bool)> {
        let path = format!("/v1/projects/{PROJECT}/environments/production/variables");
        let views: serde_json::Value = self.host.api("GET", &path, None).json();
        let views = views.as_array().unwrap();
        let pair = |view: &serde_json::Value| {
            (view["name"].as_str().unwrap().to_owned(), view["secret"].as_bool().unwrap())
        };
        views.iter().map(pair).collect()
    }

    /// Removes the records of live deployments from containerd, so that only labels are left.
    fn forget_live_records(&self) {
        let blobs = self.host.ctr_lines(&["content", "list"]);
        let records = blobs.iter().filter(|line| line.contains("windlass.kind=live-deployment"));
        let digests: Vec<&str> =
            records.filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(digests.len(), 1, "{blobs:#?}");
        self.host.ctr_lines(&["content", "rm", digests[0]]);
    }
}

/// Version 2 is live, with a variable, a secret and a domain of its own.
fn open() -> Shop {
    let mut shop = Shop::open();
    let set = ["env", "set", "--project", PROJECT, "GREETING=hello"];
    shop.host.cli(&set).ok();
    let path = format!("/v1/projects/{PROJECT}/environments/production/variables");
    let secret = serde_json::json!({ "variables": [
        { "name": "API_KEY", "value": "canary-of-the-recovery", "secret": true },
    ]});
    let answer = shop.host.api("PUT", &path, Some(&secret));
    assert_eq!(answer.status, 200, "{}", answer.text());
    shop.host.cli(&["domain", "add", "more.localhost", "--project", PROJECT]).ok();
    shop.deploy_next();
    shop
}

#[test]
fn a_lost_state_is_rebuilt_from_what_runs_and_no_visitor_notices() {
    let mut shop = open();
    let instances = shop.instances();
    let load = shop.load();
    load.wait_more(100);
    lose_state(&mut shop.host);

    // A host must not begin anew beside what runs.
    let refused = shop.host.serve_command().output().unwrap();
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("store.lost"), "{text}");
    assert!(text.contains("windlass recover"), "{text}");

    let looked = shop.recover(&["--dry-run"]);
    assert!(looked.dry_run && looked.backup.is_none(), "{looked:#?}");
    let report = shop.recover(&[]);
    assert_eq!(report.environments, looked.environments);
    let found = &report.environments[0];
    assert_eq!((report.environments.len(), found.number, found.live), (1, 2, true));
    assert_eq!(found.from, RecoveredFrom::Record);
    let mut names: Vec<&str> = found.variables.iter().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["API_KEY", "GREETING"], "{report:#?}");
    assert!(found.domains.contains(&"more.localhost".to_owned()), "{report:#?}");
    assert!(report.lost.iter().any(|lost| lost.contains("history")), "{report:#?}");
    assert_eq!(shop.host.cli_json(&["recover"]).failure().code, "recover.not-lost");

    shop.host.restart();
    let live = shop.host.show(PROJECT, 2).deployment;
    assert_eq!(live.status, DeploymentStatus::Live);
    assert_eq!(shop.instances(), instances, "the same instances with the same processes");
    assert_eq!(shop.host.get("more.localhost", "/").text(), "v2");
    let known = [("API_KEY".to_owned(), true), ("GREETING".to_owned(), true)];
    assert_eq!(shop.variables(), known);
    load.wait_more(200);
    assert_unharmed(&load.stop(), &["v2"]);

    // By labels alone.
    let load = shop.load();
    shop.forget_live_records();
    lose_state(&mut shop.host);
    let report = shop.recover(&[]);
    assert_eq!(report.environments[0].from, RecoveredFrom::Labels, "{report:#?}");
    assert_eq!(report.environments[0].number, 2);
    shop.host.restart();
    assert_eq!(shop.instances(), instances, "the same instances with the same processes");
    shop.deploy_next();
    load.wait_body("slow v3");
    assert_unharmed(&load.stop(), &["v2", "v3"]);
    shop.host.finish();
}

#[test]
fn a_lost_state_comes_back_with_its_history_and_variables_when_there_is_a_backup() {
    let mut shop = open();
    shop.host.cli(&["backup", "create"]).ok();
    // Newer than the backup.
    shop.deploy_next();
    let load = shop.load();
    load.wait_more(50);
    shop.damage_state();
    let refused = shop.host.serve_command().output().unwrap();
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("store.journal-damaged"), "{text}");
    let report = shop.recover(&[]);
    assert!(report.backup.is_some() && report.set_aside.is_some(), "{report:#?}");
    assert_eq!((report.environments[0].number, report.environments[0].live), (3, true));
    shop.host.restart();
    assert_eq!(shop.host.show(PROJECT, 1).deployment.status, DeploymentStatus::Retired);
    assert_eq!(shop.host.show(PROJECT, 2).deployment.status, DeploymentStatus::Retired);
    assert_eq!(shop.host.show(PROJECT, 3).deployment.status, DeploymentStatus::Live);
    let known = [("API_KEY".to_owned(), true), ("GREETING".to_owned(), false)];
    assert_eq!(shop.variables(), known);
    load.wait_more(100);
    assert_unharmed(&load.stop(), &["v3"]);
    // The backup does not know which addresses are taken by now; the machine does.
    shop.deploy_next();
    assert_eq!(shop.host.get(HOST, "/").text(), "v4");
    shop.host.finish();
}

/// Beside the shop: `site` serves finished files that were uploaded, `boxed` an image from an archive,
/// and is stopped.
fn deploy_uploads(host: &TestHost, dir: &Path) {
    let site = dir.join("dist");
    std::fs::create_dir(&site).unwrap();
    std::fs::write(site.join("index.html"), "finished files").unwrap();
    let image = saved_image(&dir.join("saved"), "from an archive", architecture());
    for (option, path, project) in [("--static", site, "site"), ("--image-archive", image, "boxed")]
    {
        let path = path.to_str().unwrap();
        let deploy = ["--json", "deploy", option, path, "--project", project];
        Deployed::of(&host.cli(&deploy)).live();
    }
    host.cli(&["stop", "--project", "boxed"]).ok();
}

/// The project with two environments, each with a web process, a worker and a volume.
const MANY: &str = "many";
const ENVIRONMENTS: [(&str, &str); 2] =
    [("production", "many.localhost"), ("staging", "staging.many.localhost")];

/// Answers its environment, and what it remembers.
const SERVER: &str = "const fs = require('fs');
require('http').createServer((q, s) => {
  if (q.url === '/remember') fs.appendFileSync('/data/notes', 'noted;');
  const notes = fs.existsSync('/data/notes') ? fs.readFileSync('/data/notes', 'utf8') : '';
  s.end([process.env.WINDLASS_ENVIRONMENT, notes].join(' '));
}).listen(process.env.PORT, '0.0.0.0');
";

fn running(host: &TestHost, environment: &str) -> RunningView {
    let path = format!("/v1/projects/{MANY}/environments/{environment}/running");
    // A recovered host takes its environments up behind its first answers.
    wait_for("what runs is known", WITHIN, || match host.api("GET", &path, None) {
        answer if answer.status == 200 => Ok(answer.json()),
        answer => Err(answer.text()),
    })
}

/// Container, name and process of every instance of an environment.
fn processes(host: &TestHost, environment: &str) -> BTreeSet<(String, String, u32)> {
    let instances = running(host, environment).instances.into_iter();
    instances.map(|one| (one.instance.id.clone(), one.name(), one.instance.pid)).collect()
}

fn deploy_many(host: &TestHost) -> GitRepo {
    let repo = GitRepo::of_fixture("plain-node");
    repo.write("server.js", SERVER);
    repo.write("worker.js", "console.log('working'); setInterval(() => {}, 1000);\n");
    repo.write("Procfile", "web: node server.js\n");
    let settings = "[run]\nvolumes = [{ name = \"notes\", path = \"/data\" }]\n\
        [run.processes.worker]\ncommand = \"node worker.js\"\n";
    repo.write("windlass.toml", settings);
    repo.commit("one");
    host.deploy_git(MANY, &repo, &[]).live();
    host.cli(&["environment", "create", "staging", "--project", MANY]).ok();
    host.deploy_git(MANY, &repo, &["-e", "staging"]).live();
    for (environment, name) in ENVIRONMENTS {
        assert_eq!(host.get(name, "/remember").text(), format!("{environment} noted;"));
        let names: Vec<String> =
            processes(host, environment).into_iter().map(|(_, name, _)| name).collect();
        assert_eq!(names.len(), 2, "{environment}: {names:?}");
    }
    repo
}

/// The worker is watched as before: killed, it is started again.
fn assert_supervised(host: &TestHost, environment: &str) {
    let worker = || {
        let instances = running(host, environment).instances;
        instances.into_iter().find(|one| one.name() == "worker.0").unwrap()
    };
    let before = worker();
    kill(before.instance.pid, Signal::KILL);
    wait_for("the worker is started again", WITHIN, || match worker() {
        one if one.restarts > before.restarts && one.state == InstanceState::Running => Ok(()),
        one => Err(format!("{one:#?}")),
    });
}

#[test]
fn static_sites_workers_volumes_and_every_environment_are_recovered() {
    let mut host = TestHost::start_with(HostOptions::default().limit("stop_grace_s", 3));
    let dir = windlass_test_support::scratch("recover");
    deploy_uploads(&host, dir.path());
    let repo = deploy_many(&host);
    let before = ENVIRONMENTS.map(|(environment, _)| processes(&host, environment));
    lose_state(&mut host);
    assert_eq!(host.get("site.localhost", "/").text(), "finished files", "the proxy goes on");

    let report: RecoverReport = host.cli_json(&["recover"]).ok().json();
    let mut live: Vec<String> = report
        .environments
        .iter()
        .filter(|one| one.live)
        .map(|one| format!("{}/{}", one.project, one.environment))
        .collect();
    live.sort();
    assert_eq!(live, ["many/production", "many/staging", "site/production"], "{report:#?}");
    let stopped = report.environments.iter().find(|one| one.project.as_str() == "boxed");
    assert!(stopped.is_some_and(|one| !one.live), "what was stopped is history: {report:#?}");
    for one in report.environments.iter().filter(|one| one.live) {
        let instances = if one.project.as_str() == MANY { 2 } else { 0 };
        assert_eq!((one.from, one.instances.len()), (RecoveredFrom::Record, instances), "{one:#?}");
    }

    host.restart();
    for ((environment, name), before) in ENVIRONMENTS.into_iter().zip(before) {
        assert_eq!(processes(&host, environment), before, "the same processes: {environment}");
        assert_eq!(host.get(name, "/").text(), format!("{environment} noted;"));
        assert_supervised(&host, environment);
    }
    let volumes: Vec<VolumeView> =
        host.cli_json(&["volume", "list", "--project", MANY]).ok().json();
    assert!(volumes.iter().any(|one| one.path.as_deref() == Some("/data")), "{volumes:#?}");
    // Fresh instances have the same volume, and a deployment finds its place.
    host.cli(&["restart", "--project", MANY]).ok();
    assert_eq!(host.get("many.localhost", "/").text(), "production noted;");
    host.deploy_git(MANY, &repo, &["-e", "staging"]).live();
    assert_eq!(host.get("staging.many.localhost", "/").text(), "staging noted;");
    assert_eq!(host.get("site.localhost", "/").text(), "finished files");
    Deployed::of(&host.cli(&["--json", "redeploy", "--project", "site"])).live();
    assert_eq!(host.get("site.localhost", "/").text(), "finished files");
    host.finish();
}

/// What was uploaded before the backup can be deployed again from it alone.
fn assert_uploads_come_back(host: &TestHost) {
    for (project, text) in [("site", "finished files"), ("boxed", "from an archive")] {
        Deployed::of(&host.cli(&["--json", "redeploy", "--project", project])).live();
        let name = format!("{project}.localhost");
        wait_for("what was uploaded serves again", WITHIN, || match host.get(&name, "/").text() {
            got if got == text => Ok(()),
            got => Err(got),
        });
    }
}

#[test]
fn a_backup_brings_a_host_back_on_an_empty_machine() {
    let shop = open();
    let dir = windlass_test_support::scratch("backup");
    deploy_uploads(&shop.host, dir.path());
    let volume = shop.host.data_dir().join("volumes").join(PROJECT).join("production/uploads");
    std::fs::create_dir_all(&volume).unwrap();
    std::fs::write(volume.join("picture"), "of a cat").unwrap();
    let passphrase = dir.path().join("passphrase");
    std::fs::write(&passphrase, "correct horse\n").unwrap();
    let passphrase = passphrase.to_str().unwrap();
    let create = ["backup", "create", "--volumes", "--passphrase-file", passphrase];
    let made: BackupView = shop.host.cli_json(&create).ok().json();
    let manifest = made.manifest.clone().unwrap();
    assert_eq!((manifest.key, manifest.volumes), (BackupKey::Passphrase, true));
    let listed = shop.host.cli(&["backup", "list"]).ok().stdout;
    assert!(listed.contains(&made.name) && !listed.contains("canary"), "{listed}");
    shop.host.cli(&["backup", "verify", &made.name]).ok();
    let copy = dir.path().join(&made.name);
    std::fs::copy(&made.path, &copy).unwrap();
    let bytes = std::fs::read(&copy).unwrap();
    for secret in [&b"canary-of-the-recovery"[..], b"correct horse"] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    }
    let copy = copy.to_str().unwrap().to_owned();
    let status: serde_json::Value = shop.host.api("GET", "/v1/status", None).json();
    assert_eq!(status["backup"]["last"], made.name, "{status}");
    let Shop { host, repo, .. } = shop;
    host.finish();

    let mut host = TestHost::prepare(HostOptions::default().limit("stop_grace_s", 3));
    let refuses = |args: &[&str], code: &str| {
        assert_eq!(host.cli_json(args).failure().code, code, "{args:?}");
        assert!(!host.data_dir().join("store").exists(), "{args:?} changed something");
    };
    refuses(&["restore", &copy], "cli.not-confirmed");
    refuses(&["restore", &copy, "--yes"], "restore.passphrase");
    let broken = dir.path().join("windlass-broken.tar.zst");
    std::fs::write(&broken, &bytes[..bytes.len() - 9]).unwrap();
    refuses(&["restore", broken.to_str().unwrap(), "--yes"], "backup.damaged");
    let restore = ["restore", &copy, "--passphrase-file", passphrase, "--yes"];
    let report: RestoreReport = host.cli_json(&restore).ok().json();
    let mut live = report.live.clone();
    live.sort();
    assert_eq!(live, [format!("{PROJECT}/production"), "site/production".to_owned()]);
    assert!(report.next.iter().any(|next| next.starts_with("windlass redeploy")), "{report:#?}");
    host.restart();
    assert_eq!(*host.id(), manifest.host, "it is the same host");
    let picture = host.data_dir().join("volumes").join(PROJECT).join("production/uploads/picture");
    assert_eq!(std::fs::read_to_string(picture).unwrap(), "of a cat");

    host.cli(&["redeploy", "--project", PROJECT]).ok();
    wait_for("the application serves again", WITHIN, || match host.get(HOST, "/").text() {
        text if text == "v2" => Ok(()),
        text => Err(text),
    });
    assert_eq!(host.get("more.localhost", "/").text(), "v2");
    assert_uploads_come_back(&host);
    let shop = Shop { host, repo, last: 3, live: 3, text: "v2".to_owned() };
    let known = [("API_KEY".to_owned(), true), ("GREETING".to_owned(), false)];
    assert_eq!(shop.variables(), known);
    shop.host.finish();
}

#[test]
fn a_restored_backup_goes_back_to_what_it_shows_while_the_proxy_goes_on() {
    let mut shop = open();
    shop.host.cli(&["backup", "create"]).ok();
    shop.deploy_next();
    shop.host.stop_serve();
    let backups = shop.host.data_dir().join("backups");
    let mut files: Vec<String> = std::fs::read_dir(backups)
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .filter(|path| path.ends_with(".tar.zst"))
        .collect();
    files.sort();
    let newest = files.last().unwrap();
    shop.host.cli(&["restore", newest, "--yes"]).ok();
    assert_eq!(shop.host.get(HOST, "/").text(), "v3", "the proxy goes on");
    shop.host.restart();
    wait_for("the version of the backup serves", WITHIN, || {
        match shop.host.get(HOST, "/").text() {
            text if text == "v2" => Ok(()),
            text => Err(text),
        }
    });
    shop.last = 2;
    shop.live = 2;
    shop.deploy_next();
    shop.host.finish();
}

#[test]
fn backups_are_made_by_themselves_and_only_so_many_are_kept() {
    let options = HostOptions::default().limit("backup_every_s", 60).limit("backups_kept_max", 2);
    let host = TestHost::start_with(options);
    let list = || -> Vec<BackupView> { host.cli_json(&["backup", "list"]).ok().json() };
    let within = Duration::from_secs(200);
    until("one is made by itself", within, || !list().is_empty());
    let first = list().remove(0);
    for _ in 0..2 {
        host.cli(&["backup", "create"]).ok();
    }
    until("the oldest is gone", within, || {
        let kept = list();
        kept.len() <= 2 && kept.iter().all(|one| one.path != first.path)
    });
    host.finish();
}
