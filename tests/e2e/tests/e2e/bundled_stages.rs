//! The custom stages that come with Windlass, on a real host: who is told how a deployment ended, what becomes of
//! source maps, what is installed, and what of that is known to be vulnerable.

use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use windlass_model::StepName;
use windlass_model::api::DeploymentView;
use windlass_model::stage::{StageRun, StageStatus};
use windlass_test_support::{CliOutput, Deployed, GitRepo, HostOptions, Server, TestHost};

pub(crate) const PROJECT: &str = "bundled";
pub(crate) const HOST: &str = "bundled.localhost";
const SOON: Duration = Duration::from_secs(60);

pub(crate) fn host() -> TestHost {
    let options = HostOptions::default().limit("stop_grace_s", 3).limit("stages.pause_ms", 100);
    TestHost::start_with(options)
}

/// A stage that has done its work.
fn done<'a>(view: &'a DeploymentView, name: &str) -> &'a StageRun {
    let found = view.stages.iter().find(|stage| stage.stage == name);
    let found = found.unwrap_or_else(|| panic!("no stage {name} in {:#?}", view.stages));
    assert_eq!(found.status, StageStatus::Succeeded, "{:#?}", view.stages);
    found
}

const MAP: &str =
    r#"{"version":3,"sources":["a.ts"],"sourcesContent":["x()"],"names":[],"mappings":"AAAA"}"#;
const BUNDLE: &str = "x()\n//# sourceMappingURL=a.js.map\n";

#[test]
fn targets_are_told_once_how_a_deployment_ended_and_source_maps_are_kept_by_release() {
    let host = host();
    let chats = Server::answering(|_, _| (200, "ok"));
    let matrix = Server::answering(|_, number| match number {
        0 => (429, r#"{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":10}"#),
        _ => (200, r#"{"event_id":"$1"}"#),
    });
    let site = Server::answering(|asked, _| match asked.target() {
        "/" => (200, "<script src=/a.js></script>"),
        "/a.js" => (200, BUNDLE),
        "/a.js.map" => (200, MAP),
        _ => (404, ""),
    });
    set_up(&host, &chats);
    let repo = GitRepo::of_fixture("plain-node");
    let tell = format!(
        "[[stages]]\nplugin = 'notify'\nwhen = 'always'\n[stages.options]\ntargets = [\n\
         {{ kind = 'slack', url_secret = 'NOTIFY_SLACK' }},\n\
         {{ kind = 'webhook', url = 'http://localhost:{}/recovered', when = 'recovered' }},\n\
         {{ kind = 'matrix', homeserver = 'http://localhost:{}', room = '!r:localhost', \
         token_secret = 'NOTIFY_MATRIX', when = 'failure' }},\n]\n",
        chats.port(),
        matrix.port()
    );
    repo.write("windlass.toml", &format!("[build]\ncommand = 'echo no; exit 3'\n{tell}"));
    repo.commit("Break <!channel> {{NOTIFY_SLACK}}");
    host.deploy_git(PROJECT, &repo, &[]).failed("build.command-failed");
    let view = host.wait_stages(PROJECT, 1);
    assert_eq!(done(&view, "tell").attempt, 2, "Matrix asked to wait");
    told_of_the_failure(&chats, &matrix);

    repo.write("public/a.js", BUNDLE);
    repo.write("public/a.js.map", MAP);
    let maps = format!(
        "[[stages]]\nplugin = 'sourcemaps'\nstage = 'collect'\n\
         [[stages]]\nplugin = 'sourcemaps'\nstage = 'public'\n\
         options = {{ url = 'http://localhost:{}' }}\n",
        site.port()
    );
    repo.write("windlass.toml", &(tell + &maps));
    let commit = repo.commit("Mend it");
    host.deploy_git(PROJECT, &repo, &[]).live();
    let view = host.wait_stages(PROJECT, 2);
    assert_eq!(done(&view, "tell").attempt, 1);
    told_of_the_recovery(&chats, &commit);
    maps_are_kept(&host, &view, &commit);
    for number in ["1", "2"] {
        let log = host.cli(&["logs", "--step", "finish", number, "--project", PROJECT]).ok().stdout;
        assert!(log.contains("stage notify.tell at after-switch: succeeded"), "{log}");
        assert!(!log.contains("hunter2"), "{log}");
    }
    host.finish();
}

/// The secrets, and what the plugins are granted: what is on this machine only by the name `localhost`.
fn set_up(host: &TestHost, chats: &Server) {
    host.cli(&["project", "create", PROJECT]).ok();
    let slack = format!("NOTIFY_SLACK=http://localhost:{}/slack/hunter2-path", chats.port());
    for secret in [slack.as_str(), "NOTIFY_MATRIX=hunter2-token"] {
        host.cli(&["env", "set", secret, "--secret", "--project", PROJECT]).ok();
    }
    let notify = r#"[
        {"name": "http", "hosts": ["*"], "methods": ["POST", "PUT"], "private": ["localhost"]},
        {"name": "secrets", "names": ["NOTIFY_*"]},
        {"name": "cache", "bytes_max": 4194304}]"#;
    let maps = r#"[
        {"name": "exec", "outputs": ["*"]},
        {"name": "http", "hosts": ["*"], "methods": ["GET"], "private": ["localhost"]},
        {"name": "artifacts", "bytes_max": 67108864},
        {"name": "annotations"}]"#;
    host.cli(&["plugin", "grant", "notify", notify]).ok();
    host.cli(&["plugin", "grant", "sourcemaps", maps]).ok();
}

fn told_of_the_failure(chats: &Server, matrix: &Server) {
    let slack = chats.next(SOON);
    assert_eq!(slack.line, "POST /slack/hunter2-path HTTP/1.1");
    let text = slack.json()["text"].as_str().unwrap().to_owned();
    let parts = [
        "bundled production #1 failed",
        "Break &lt;!channel&gt; {{NOTIFY_SLACK}}, by Windlass test",
        "build.command-failed",
        "How to fix it:",
    ];
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(chats.asked().is_empty(), "Slack was told already, and nothing has recovered");
    let (first, second) = (matrix.next(SOON), matrix.next(SOON));
    assert_eq!(first.line, second.line, "the same transaction");
    let place = "PUT /_matrix/client/v3/rooms/%21r%3Alocalhost/send/m.room.message/";
    assert!(first.line.starts_with(place), "{first:?}");
    assert_eq!(second.header("authorization"), Some("Bearer hunter2-token"), "{second:?}");
    let said = second.json()["body"].as_str().unwrap().to_owned();
    assert!(said.contains("Break <!channel> {{NOTIFY_SLACK}}"), "{said}");
}

fn told_of_the_recovery(chats: &Server, commit: &str) {
    let slack = chats.next(SOON);
    let text = slack.json()["text"].as_str().unwrap().to_owned();
    assert!(text.contains("bundled production #2 is live again"), "{text}");
    let webhook = chats.next(SOON);
    assert_eq!(webhook.line, "POST /recovered HTTP/1.1");
    let told = webhook.json();
    assert_eq!(told["event"], "deployment.live");
    assert_eq!(told["recovered"], true);
    assert_eq!(told["number"], 2);
    let mended = json!({"id": commit, "subject": "Mend it", "author": "Windlass test"});
    assert_eq!(told["commit"], mended);
}

fn maps_are_kept(host: &TestHost, view: &DeploymentView, commit: &str) {
    done(view, "collect");
    let said = "visitors can read 1 source map, 1 with the source itself: /a.js.map";
    assert_eq!(done(view, "public").summary, said);
    let noted = view.annotations.iter().find(|note| note.name == "public-source-maps");
    assert_eq!(noted.unwrap().value, said);

    let archive = format!("source-maps-2-{}.tar", &commit[..7]);
    let mut names: Vec<&str> = view.attached.iter().map(|it| it.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["public-source-maps.csv", archive.as_str(), "source-maps.csv"]);
    let kept = unpacked(&host.attached(PROJECT, 2, &archive));
    let [(path, text)] = kept.as_slice() else { panic!("{kept:?}") };
    assert!(path.ends_with("/app/public/a.js.map"), "{path}");
    assert_eq!(text, MAP);
}

/// Paths and texts of the files in an archive.
fn unpacked(bytes: &[u8]) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(bytes).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.push((path, text));
    }
    files
}

#[test]
fn source_maps_of_a_static_site_are_not_served_and_a_rollback_keeps_to_what_was_said_of_its_version()
 {
    let host = host();
    host.cli(&["project", "create", PROJECT]).ok();
    let grant = r#"[{"name": "artifacts", "bytes_max": 67108864}, {"name": "annotations"}]"#;
    host.cli(&["plugin", "grant", "sourcemaps", grant]).ok();
    let repo = GitRepo::of_fixture("html");
    repo.write("assets/a.js", BUNDLE);
    repo.write("assets/a.js.map", MAP);
    repo.write("assets/world.map", "a map of the world");
    let set = |remove: bool| {
        repo.write(
            "windlass.toml",
            &format!(
                "[[stages]]\nplugin = 'sourcemaps'\nstage = 'collect'\noptions = {{ remove = {remove} }}\n"
            ),
        );
        repo.commit("Other options");
    };
    let served = |path: &str| host.get(HOST, path).status;
    set(true);
    let view = host.deploy_git(PROJECT, &repo, &[]).live().view;
    let summary = &done(&view, "collect").summary;
    let said = "source maps of site are not served; 1 withheld file of site is kept as \
                withheld-collect.site.tar";
    assert_eq!(summary, said);
    let kept = [("assets/a.js.map".to_owned(), MAP.to_owned())];
    assert_eq!(unpacked(&host.attached(PROJECT, 1, "withheld-collect.site.tar")), kept);
    assert_eq!(served("/assets/a.js"), 200);
    assert_eq!(served("/assets/world.map"), 200, "only what bundlers call so");
    assert_eq!(served("/assets/a.js.map"), 404);

    // The same files once more: they are in the artifact.
    set(false);
    host.deploy_git(PROJECT, &repo, &[]).live();
    assert_eq!(host.get(HOST, "/assets/a.js.map").text(), MAP);

    Deployed::of(&host.cli_json(&["rollback", "1", "--project", PROJECT])).live();
    assert_eq!(served("/assets/a.js"), 200);
    assert_eq!(served("/assets/a.js.map"), 404, "that version withholds it");
    assert_eq!(
        unpacked(&host.attached(PROJECT, 1, "withheld-collect.site.tar")),
        kept,
        "with its release"
    );
    host.finish();
}

/// Not beside a `package.json`, so that nothing of it is installed.
const LOCK: &str = r#"{"name": "tools", "lockfileVersion": 3, "packages": {
    "": {"name": "tools", "dependencies": {"lodash": "^4.17.0"}},
    "node_modules/lodash": {"version": "4.17.15", "license": "MIT"}}}"#;
/// As osv.dev has it, shortened.
const ADVISORY: &str = r#"{
    "id": "GHSA-35jh-r3h4-6jhm", "modified": "2024-04-17T18:39:19Z", "aliases": ["CVE-2021-23337"],
    "summary": "Command Injection in lodash",
    "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:H/UI:N/S:U/C:H/I:H/A:H"}],
    "affected": [{"package": {"ecosystem": "npm", "name": "lodash"},
        "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "4.17.21"}]}]}]}"#;
const SCANNED: &str = "[[stages]]\nplugin = 'sbom'\n[[stages]]\nplugin = 'vulnerabilities'\n";

#[test]
fn what_is_installed_is_attached_and_what_is_known_to_be_vulnerable_does_not_go_live() {
    let host = host();
    let repo = GitRepo::of_fixture("plain-node");
    repo.write("tools/package-lock.json", LOCK);
    repo.write("osv/a.json", ADVISORY);
    let set =
        |options: &str| repo.write("windlass.toml", &format!("{SCANNED}options = {options}\n"));
    set("{ database = 'osv', ignore = ['CVE-2021-23337'] }");
    let first = repo.commit("Ignored");
    let failure = host.deploy_git(PROJECT, &repo, &[]).failed("plugin.not-granted");
    assert_eq!(failure.step, Some(StepName::Preflight), "{failure:#?}");
    assert!(failure.fix.contains("windlass plugin grant sbom source,artifacts"), "{failure:#?}");

    let grant = r#"[{"name":"source","paths":["**"]},{"name":"artifacts"},{"name":"annotations"}]"#;
    host.cli(&["plugin", "grant", "sbom", "all"]).ok();
    host.cli(&["plugin", "grant", "vulnerabilities", grant]).ok();
    let view = host.deploy_git(PROJECT, &repo, &[]).live().view;
    assert_eq!(done(&view, "list").summary, "1 component in 2 files");
    assert_eq!(done(&view, "scan").summary, "no known vulnerability in 1 component; 1 ignored");
    let bill = host.attached(PROJECT, 2, "sbom.cdx.json");
    holds_what_is_locked(&bill, &first);

    // The next version says nothing of the vulnerability.
    repo.edit("server.js", "'v1'", "'v2'");
    set("{ database = 'osv' }");
    repo.commit("Not ignored");
    let failure = host.deploy_git(PROJECT, &repo, &[]).failed("vulnerabilities.found");
    assert_eq!(failure.step, Some(StepName::Preflight), "{failure:#?}");
    let found =
        "GHSA-35jh-r3h4-6jhm (CVE-2021-23337) in lodash 4.17.15 (npm), high, fixed in 4.17.21";
    assert!(failure.why.ends_with(found), "{failure:#?}");
    let step = "update lodash from 4.17.15 to 4.17.21 in tools/package-lock.json";
    assert!(failure.fix.starts_with(step), "{failure:#?}");
    let report = String::from_utf8(host.attached(PROJECT, 3, "vulnerabilities.md")).unwrap();
    assert!(report.contains("| lodash (npm) | 4.17.15 | 4.17.21 |"), "{report}");
    assert_eq!(host.get(HOST, "/").text(), "v1", "the version before serves");

    // The first one once more: nothing of it has changed.
    host.deploy_git(PROJECT, &repo, &["--commit", &first]).live();
    assert_eq!(host.attached(PROJECT, 4, "sbom.cdx.json"), bill, "the same bytes");
    host.finish();
}

/// A database that answers as osv.dev does, below `/mirror`, until it is away.
fn database(is_away: &Arc<AtomicBool>) -> Server {
    let is_away = Arc::clone(is_away);
    let named = json!({"id": "GHSA-35jh-r3h4-6jhm", "modified": "2024-04-17T18:39:19Z"});
    let found = json!({"results": [{"vulns": [named]}]}).to_string();
    Server::answering(move |asked, _| match asked.target() {
        _ if is_away.load(Ordering::SeqCst) => (503, "busy".to_owned()),
        "/mirror/v1/querybatch" => (200, found.clone()),
        "/mirror/v1/vulns/GHSA-35jh-r3h4-6jhm" => (200, ADVISORY.to_owned()),
        other => (404, format!("no {other}")),
    })
}

#[test]
fn a_database_at_an_address_is_asked_as_far_as_it_is_granted_and_remembered_with_its_age() {
    let host = host();
    let is_away = Arc::new(AtomicBool::new(false));
    let osv = database(&is_away);
    let place = format!("localhost:{}", osv.port());
    let repo = GitRepo::of_fixture("plain-node");
    repo.write("tools/package-lock.json", LOCK);
    repo.write(
        "windlass.toml",
        &format!(
            "[[stages]]\nplugin = 'vulnerabilities'\noptions = {{ database = 'http://{place}/mirror', \
             fail_on = 'none', cache_minutes = 0 }}\n"
        ),
    );
    repo.commit("Scan");
    let grant = |http: &[Value]| {
        let mut all = json!([{"name": "source", "paths": ["**"]}, {"name": "artifacts"},
            {"name": "cache"}, {"name": "annotations"}]);
        all.as_array_mut().unwrap().extend_from_slice(http);
        host.cli(&["plugin", "grant", "vulnerabilities", &all.to_string()]).ok();
    };
    let deploy = || host.deploy_git(PROJECT, &repo, &[]);

    // Not its host, then its host but not that this is on this machine.
    grant(&[]);
    let failure = deploy().failed("vulnerabilities.denied");
    assert!(failure.fix.contains("windlass plugin grant vulnerabilities '["), "{failure:#?}");
    assert!(failure.fix.contains(&format!(r#""hosts":["{place}"]"#)), "{failure:#?}");
    let http = json!({"name": "http", "hosts": [&place], "methods": ["GET", "POST"]});
    grant(std::slice::from_ref(&http));
    let failure = deploy().failed("vulnerabilities.denied");
    assert!(failure.why.contains("not of the public internet"), "{failure:#?}");
    assert!(failure.fix.contains(r#""private": ["localhost"]"#), "{failure:#?}");
    assert!(osv.asked().is_empty(), "{:?}", osv.asked());

    let mut inside = http;
    inside["private"] = json!(["localhost"]);
    grant(&[inside]);
    let view = deploy().live().view;
    assert_eq!(done(&view, "scan").summary, "1 vulnerability (1 high) in 1 component");
    let asked = osv.next(SOON);
    assert_eq!(asked.line, "POST /mirror/v1/querybatch HTTP/1.1");
    let lodash = json!({"package": {"ecosystem": "npm", "name": "lodash"}, "version": "4.17.15"});
    assert_eq!(asked.json(), json!({"queries": [lodash]}), "names and versions, and nothing else");
    assert_eq!(osv.next(SOON).line, "GET /mirror/v1/vulns/GHSA-35jh-r3h4-6jhm HTTP/1.1");

    // It is away: what it said before is used, and that is said.
    is_away.store(true, Ordering::SeqCst);
    let again = deploy().live();
    assert_eq!(done(&again.view, "scan").summary, "1 vulnerability (1 high) in 1 component");
    let report = host.attached(PROJECT, again.number(), "vulnerabilities.md");
    let report = String::from_utf8(report).unwrap();
    assert!(report.contains("answered 503: busy; what it said 0 hours ago is used"), "{report}");

    // Of what it was never asked for nothing is known, and that does not pass.
    repo.write("tools/package-lock.json", &LOCK.replace("4.17.15", "4.17.16"));
    repo.commit("Another version");
    let failure = deploy().failed("vulnerabilities.unreachable");
    assert!(failure.why.contains("answered 503: busy"), "{failure:#?}");
    host.finish();
}

/// The snapshot that `snapshot.py` makes of [`ADVISORY`] for npm, in a new folder `osv` of this one.
fn snapshot(folder: &Path) {
    std::fs::write(folder.join("GHSA-35jh-r3h4-6jhm.json"), ADVISORY).unwrap();
    let python = |args: &[&str]| {
        CliOutput::of(Command::new("python3").args(args).current_dir(folder)).ok();
    };
    python(&["-m", "zipfile", "-c", "npm.zip", "GHSA-35jh-r3h4-6jhm.json"]);
    let script = "../../plugins/vulnerabilities/snapshot.py";
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    python(&[script.to_str().unwrap(), "--from", ".", "osv", "npm"]);
}

#[test]
fn a_snapshot_on_a_server_of_the_operator_is_read_by_every_project() {
    let host = host();
    let folder = tempfile::tempdir().unwrap();
    snapshot(folder.path());
    let files = folder.path().to_owned();
    let osv = Server::answering(move |asked, _| {
        let file = files.join(asked.target().trim_start_matches('/'));
        std::fs::read(file).map_or_else(|_| (404, b"not here".to_vec()), |bytes| (200, bytes))
    });
    let place = format!("localhost:{}", osv.port());
    let grant = json!([{"name": "source", "paths": ["**"]}, {"name": "artifacts"}, {"name": "cache"},
        {"name": "annotations"},
        {"name": "http", "hosts": [&place], "methods": ["GET"], "private": ["localhost"]}]);
    host.cli(&["plugin", "grant", "vulnerabilities", &grant.to_string()]).ok();
    let asked = || -> Vec<String> {
        let all = std::iter::from_fn(|| (!osv.asked().is_empty()).then(|| osv.next(SOON)));
        all.map(|one| one.line).collect()
    };
    let repo = GitRepo::of_fixture("plain-node");
    repo.write("tools/package-lock.json", LOCK);
    let database = format!("options = {{ database = 'snapshot+http://{place}/osv' }}\n");
    let settings = format!("[[stages]]\nplugin = 'vulnerabilities'\n{database}");
    repo.write("windlass.toml", &settings);
    repo.commit("Scan");

    let failure = host.deploy_git(PROJECT, &repo, &[]).failed("vulnerabilities.found");
    assert!(failure.why.contains("GHSA-35jh-r3h4-6jhm (CVE-2021-23337)"), "{failure:#?}");
    // The digits are those of the SHA-256 of `lodash`.
    let index = "GET /osv/snapshot.json HTTP/1.1";
    assert_eq!(asked(), [index, "GET /osv/npm/94a.txt HTTP/1.1"]);
    host.deploy_git(PROJECT, &repo, &[]).failed("vulnerabilities.found");
    assert_eq!(asked(), [index], "the snapshot has not changed");

    repo.write("tools/package-lock.json", &LOCK.replace("4.17.15", "4.17.21"));
    repo.commit("Mended");
    let view = host.deploy_git("another", &repo, &[]).live().view;
    assert_eq!(done(&view, "scan").summary, "no known vulnerability in 1 component");
    assert_eq!(asked(), [index, "GET /osv/npm/94a.txt HTTP/1.1"], "a project of its own");

    // A file that is not there is no file without entries.
    std::fs::remove_file(folder.path().join("osv/npm/94a.txt")).unwrap();
    let failure = host.deploy_git("third", &repo, &[]).failed("vulnerabilities.snapshot-unusable");
    assert!(failure.why.contains("/osv/npm/94a.txt answered 404: not here"), "{failure:#?}");
    host.finish();
}

fn holds_what_is_locked(bill: &[u8], commit: &str) {
    let bill: Value = serde_json::from_slice(bill).unwrap();
    assert_eq!(bill["bomFormat"], "CycloneDX");
    assert_eq!(bill["specVersion"], "1.6");
    let application = &bill["metadata"]["component"];
    assert_eq!(application["name"], PROJECT);
    assert_eq!(application["version"], commit);
    let lodash = "pkg:npm/lodash@4.17.15";
    let components = bill["components"].as_array().unwrap();
    let [component] = components.as_slice() else { panic!("{bill:#}") };
    assert_eq!(component["purl"], lodash);
    assert_eq!(component["version"], "4.17.15");
    assert_eq!(component["licenses"], json!([{"license": {"id": "MIT"}}]));
    let places = json!([{"location": "tools/package-lock.json"}]);
    assert_eq!(component["evidence"]["occurrences"], places);
    let direct = json!({"ref": "application", "dependsOn": [lodash]});
    assert_eq!(bill["dependencies"][0], direct);
}
