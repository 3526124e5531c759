//! Logs: both streams, in order, readable after the container is gone, without secrets.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use windlass_model::api::LogEntry;
use windlass_model::{DeploymentStatus, StepName, Stream};
use windlass_test_support::{GitRepo, TestHost, wait_for};

const SECRET: &str = "s3cret-of-the-test-92714";
/// Not secret, so it is found where the secret must not be: the searches do look.
const PLAIN: &str = "plain-of-the-test-55102";

/// The one file that may hold it, see [`secrets_are_nowhere`].
const CONTAINERD_METADATA: &str = "containerd/root/io.containerd.metadata.v1.bolt/meta.db";

const SERVER: &str = "
console.log('out 1');
console.error('err 2');
console.log('secret is ' + process.env.API_KEY + ', plain is ' + process.env.NOTE);
console.error('err 4');
const server = require('http').createServer((q, s) => { console.log('asked ' + q.url); s.end('logged'); });
server.listen(process.env.PORT, '0.0.0.0', () => console.log('listening'));
process.on('SIGTERM', () => { console.log('told to end'); server.close(() => process.exit(0)); });
";

const PACKAGE: &str = r#"{"name":"logs","version":"1.0.0","engines":{"node":"22"},
"scripts":{"start":"node server.js",
"build":"node -e \"console.log('build out');console.error('build err');console.log('build ' + process.env.API_KEY + ' ' + process.env.NOTE)\""},
"dependencies":{}}"#;

fn entries(host: &TestHost, number: u64, query: &[&str]) -> Vec<LogEntry> {
    let number = number.to_string();
    let mut args = vec!["logs", number.as_str(), "--project", "logs"];
    args.extend(query);
    let output = host.cli_json(&args).ok();
    output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The lines of the application itself, with their streams.
fn said(entries: &[LogEntry]) -> Vec<(Stream, String)> {
    let lines = entries.iter().map(|entry| (entry.line.stream, entry.line.text.clone()));
    lines.filter(|(stream, _)| *stream != Stream::Host).collect()
}

#[test]
fn logs_of_builds_and_runs_keep_both_streams_in_order_outlive_the_container_and_hide_secrets() {
    let host = TestHost::start();
    host.cli(&["project", "create", "logs"]).ok();
    let set = |args: &[&str]| host.cli(&[&["env", "set", "--project", "logs"], args].concat()).ok();
    set(&["--secret", "--scope", "both", &format!("API_KEY={SECRET}")]);
    set(&["--scope", "both", &format!("NOTE={PLAIN}")]);
    let repo = GitRepo::of_files(&[("package.json", PACKAGE), ("server.js", SERVER)]);
    let first = host.deploy_git("logs", &repo, &[]).live();
    assert_eq!(host.get("logs.localhost", "/x").text(), "logged");

    build_log_is_whole(&host, first.number());
    run_log_is_in_order(&host, first.number());

    // The next version replaces it: its container goes, its log stays, with its last words.
    repo.write("other.txt", "another version");
    repo.commit("Another version");
    host.deploy_git("logs", &repo, &[]).live();
    host.wait_deployment("logs", first.number(), "it retires", Duration::from_secs(60), |view| {
        view.deployment.status == DeploymentStatus::Retired
    });
    let id = first.view.deployment.id.to_string();
    let containers = host.ctr(&["containers", "list", "-q"]);
    assert!(!containers.iter().any(|name| name.starts_with(&id)), "{containers:?}");
    let words = said(&entries(&host, first.number(), &["--instance", "web.0"]));
    let last = words.last().map(|(_, text)| text.as_str());
    assert_eq!(last, Some("told to end"), "{words:#?}");

    secrets_are_nowhere(&host, first.number());
    host.finish();
}

fn build_log_is_whole(host: &TestHost, number: u64) {
    let build = said(&entries(host, number, &["--step", "build"]));
    let has = |stream, text: &str| build.iter().any(|(s, t)| *s == stream && t.contains(text));
    assert!(has(Stream::Stdout, "build out") && has(Stream::Stderr, "build err"), "{build:#?}");
    assert!(has(Stream::Stdout, PLAIN), "the build's own variable is shown: {build:#?}");
}

fn run_log_is_in_order(host: &TestHost, number: u64) {
    let asked = |words: &[(Stream, String)]| words.iter().any(|(_, text)| text == "asked /x");
    let words = wait_for("the request is logged", Duration::from_secs(10), || {
        let words = said(&entries(host, number, &["--instance", "web.0"]));
        if asked(&words) { Ok(words) } else { Err(format!("{words:?}")) }
    });
    let of = |stream| {
        let of_it = words.iter().filter(move |(s, _)| *s == stream);
        of_it.map(|(_, text)| text.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(of(Stream::Stderr), ["err 2", "err 4"]);
    let out = of(Stream::Stdout);
    assert_eq!(out[0], "out 1");
    assert!(out[1].starts_with("secret is ") && out[1].ends_with(PLAIN), "{out:?}");
    assert!(out.contains(&"listening"), "{out:?}");
    let lines = entries(host, number, &["--instance", "web.0"]);
    assert!(lines.is_sorted_by_key(|entry| entry.line.at), "each line has its time");
}

/// The API, the plan, the record and every file of the data directory; the value that is no secret is
/// found in the same places by the same searches.
fn secrets_are_nowhere(host: &TestHost, number: u64) {
    let number_text = number.to_string();
    let show = host.cli_json(&["show", &number_text, "--project", "logs"]).ok().stdout;
    let listed = host.cli_json(&["env", "list", "--project", "logs"]).ok().stdout;
    assert!(listed.contains(PLAIN) && listed.contains("API_KEY"));
    let all_logs: String = StepName::ALL
        .iter()
        .map(|step| {
            let path = format!("/v1/deployments/{number}/logs?project=logs&step={step}");
            host.api("GET", &path, None).text()
        })
        .collect();
    let run = format!("/v1/deployments/{number}/logs?project=logs&instance=web.0");
    let run = host.api("GET", &run, None).text();
    let plan = host.api("GET", &format!("/v1/deployments/{number}/plan?project=logs"), None);
    assert_eq!(plan.status, 200, "{}", plan.text());
    assert!(all_logs.contains(PLAIN) && run.contains(PLAIN), "the search finds what is no secret");
    for (what, text) in [
        ("show", show),
        ("env list", listed),
        ("the step logs", all_logs),
        ("the run log", run),
        ("the plan", plan.text()),
        ("serve's own log", host.serve_log()),
    ] {
        assert!(!text.contains(SECRET), "{what} holds the secret: {text}");
    }
    let mut holding = files_with(&host.data_dir(), SECRET.as_bytes());
    // containerd keeps the environment of a container that exists; root alone can read that.
    holding.retain(|file| !file.ends_with(CONTAINERD_METADATA));
    assert_eq!(holding, Vec::<String>::new(), "files of the data directory hold the secret");
    let containerd = std::fs::metadata(host.data_dir().join("containerd")).unwrap();
    assert_eq!(containerd.permissions().mode() & 0o077, 0, "only root enters containerd's folder");
    let control = files_with(&host.data_dir(), PLAIN.as_bytes());
    assert!(!control.is_empty(), "the same search finds what is no secret");
}

/// Regular files below a folder that contain these bytes. Mounted file systems are left out: they hold
/// the running containers' memory, not the host's state.
fn files_with(dir: &Path, needle: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            found.extend(files_with(&entry.path(), needle));
        } else if kind.is_file() {
            let bytes = std::fs::read(entry.path()).unwrap_or_default();
            if bytes.windows(needle.len()).any(|window| window == needle) {
                found.push(entry.path().display().to_string());
            }
        }
    }
    found
}
