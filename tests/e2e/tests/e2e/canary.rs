//! Secrets appear nowhere. Distinctive values are planted wherever Windlass takes a secret; then the host
//! does all that it does, fails included, and everything that it ever says or writes is searched: also the
//! command lines of the processes that it starts, while they run. What is no secret is known to be in each
//! of these places and must be found there by the same search: the search does look.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use windlass_model::DeploymentStatus;
use windlass_test_support::git_server::GitServer;
use windlass_test_support::registry::DockerRegistry;
use windlass_test_support::{
    CliOutput, Deployed, GitRepo, Request, TestHost, http, scratch, until, wait_for,
};

use crate::sources::{architecture, saved_image};

const VARIABLE: &str = "canary-variable-8f31c6";
const GIT_TOKEN: &str = "canary-git-token-51d0aa";
const STATUS_TOKEN: &str = "canary-status-token-93bb07";
const REGISTRY_PASSWORD: &str = "canary-registry-word-2c6f1e";
/// The registry's password file: the user `me` with that password.
const HTPASSWD: &str = "me:$2b$05$9S5RK7cWT2jna/8Ls.bAmePd8OjmWAcCwmk.vdJO3qsOmWuf5Hqsm\n";
const PASSPHRASE: &str = "canary-passphrase-b7704d";
/// Not secret: the value of a variable, an argument of the build, and the project's name.
const CONTROL: &str = "control-plain-77e2b4";
const PROJECT: &str = CONTROL;
/// On the command line of the build.
const BUILD: &str = "say.js control-plain-77e2b4";
/// How long anything may take that is waited for.
const SOON: Duration = Duration::from_secs(60);
/// Between two looks at the command lines.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// containerd keeps the environment of a container while it exists; only root enters its folder. See
/// host/OPERATIONS.md, "Security".
const CONTAINERD: &str = "containerd/root/io.containerd.metadata.v1.bolt/meta.db";

/// Says the secret in every way: plain, encoded, in two writes, within a long line, in an error.
const SAY: &str = r#"
const s = process.env.KEY, n = process.env.NOTE;
const line = (text) => process.stdout.write(text + '\n');
line('plain ' + s + ' ' + n);
line('base64 ' + Buffer.from(s).toString('base64'));
line('within base64 ' + Buffer.from('{"key":"' + s + '"}').toString('base64'));
line('hex ' + Buffer.from(s).toString('hex'));
line('url ' + encodeURIComponent(s));
process.stderr.write('error: ' + s + '\n');
process.stdout.write('split ' + s.slice(0, 9));
setTimeout(() => process.stdout.write(s.slice(9) + '\n'), 300);
"#;

const PACKAGE: &str = r#"{"name":"canary","version":"1.0.0","engines":{"node":"22"},
"scripts":{"start":"node server.js","build":"node say.js control-plain-77e2b4 && sleep 3"},
"dependencies":{}}"#;

/// Appended to what is said in the build: it fails, and its last line holds both values.
const FAIL: &str = r#"
setTimeout(() => { console.error('over ' + s + ' ' + n); process.exit(3); }, 600);
"#;

const SERVER: &str = r#"
require('./say.js');
const server = require('http').createServer((q, s) => {
  console.log('asked ' + q.url + ' ' + process.env.KEY);
  s.end('ok');
});
server.listen(process.env.PORT, '0.0.0.0');
process.on('SIGTERM', () => { console.log('bye ' + process.env.KEY); process.exit(0); });
"#;

/// A planted value in the forms that are searched for.
fn forms(value: &str) -> Vec<Vec<u8>> {
    let quoted = STANDARD.encode(format!("{{\"key\":\"{value}\"}}"));
    // What stands in the middle of it depends on nothing but the value.
    let within = quoted[12..quoted.len() - 6].to_owned();
    let alone = STANDARD.encode(value).trim_end_matches('=').to_owned();
    let hexed: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    [value.to_owned(), alone, within, hexed].into_iter().map(String::into_bytes).collect()
}

/// What is searched for, by name.
struct Planted(Vec<(String, Vec<u8>)>);

impl Planted {
    fn new(values: &[(&str, &str)]) -> Self {
        let of = |(name, value): &(&str, &str)| {
            let name = (*name).to_owned();
            forms(value).into_iter().map(move |form| (name.clone(), form)).collect::<Vec<_>>()
        };
        Self(values.iter().flat_map(of).collect())
    }

    /// Which of them are in these bytes.
    fn found_in(&self, bytes: &[u8]) -> Vec<String> {
        let held = self.0.iter().filter(|(_, form)| holds(bytes, form));
        let mut found: Vec<String> = held.map(|(name, _)| name.clone()).collect();
        found.dedup();
        found
    }
}

fn holds(bytes: &[u8], form: &[u8]) -> bool {
    // SAFETY: both pointers are valid for the lengths that stand beside them.
    let at = unsafe {
        libc::memmem(bytes.as_ptr().cast(), bytes.len(), form.as_ptr().cast(), form.len())
    };
    !at.is_null()
}

/// Where something is said or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Files,
    Output,
    Answers,
    Events,
    Errors,
    Backups,
    /// Command lines and environments when nothing is being done.
    AtRest,
    /// Command lines while deployments run. Git is given its token in the environment, which only root and
    /// the process itself can read.
    InFlight,
}

/// What was said there.
struct Said {
    place: Place,
    name: String,
    bytes: Vec<u8>,
}

impl Said {
    fn new(place: Place, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { place, name: name.into(), bytes: bytes.into() }
    }

    fn by_cli(place: Place, name: &str, output: &CliOutput) -> Self {
        Self::new(place, name, format!("{}\n{}", output.stdout, output.stderr))
    }
}

/// Everything that the host has said or written so far, about so many deployments.
fn everything(host: &TestHost, deployments: u64) -> Vec<Said> {
    let mut files = files(&host.data_dir());
    files.retain(|(name, _)| !name.ends_with(CONTAINERD));
    let mut all: Vec<Said> =
        files.into_iter().map(|(name, bytes)| Said::new(Place::Files, name, bytes)).collect();
    all.push(Said::new(Place::Output, "serve's output", host.serve_log()));
    all.extend(api_answers(host, deployments));
    all.extend(processes(host));
    let listed = host.cli(&["backup", "list"]).ok();
    all.push(Said::by_cli(Place::Backups, "backup list", &listed));
    for number in 1..=deployments {
        let failure = host.show(PROJECT, number).deployment.failure;
        let failure = serde_json::to_vec(&failure).unwrap();
        all.push(Said::new(Place::Errors, format!("the failure of #{number}"), failure));
        let shown = host.cli(&["show", &number.to_string(), "--project", PROJECT]);
        all.push(Said::by_cli(Place::Answers, "show", &shown));
    }
    all
}

/// Regular files. `token` and `secret.key` are left out by name: they are where those two belong.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let (Ok(kind), path) = (entry.file_type(), entry.path()) else { continue };
        if kind.is_dir() {
            all.extend(files(&path));
        } else if kind.is_file() && entry.file_name() != "token" {
            all.push((path.display().to_string(), std::fs::read(&path).unwrap_or_default()));
        }
    }
    all
}

/// The answer of every GET that the description names, for the deployments that there are.
fn api_answers(host: &TestHost, deployments: u64) -> Vec<Said> {
    let description: serde_json::Value = host.api("GET", "/v1/openapi.json", None).json();
    let mut all = Vec::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        // An image is the application's own, and compressed: nothing is found in it by looking.
        if operations.get("get").is_none() || path.ends_with("/image") {
            continue;
        }
        let numbers = if path.contains("{deployment}") { deployments } else { 1 };
        for number in 1..=numbers {
            let path = path
                .replace("{project}", PROJECT)
                .replace("{environment}", "production")
                .replace("{deployment}", &number.to_string())
                .replace(['{', '}'], "");
            let name = format!("GET {path}");
            // The answers that go on: what is past comes at once.
            if path == "/v1/events" || path.ends_with("/watch") {
                all.push(Said::new(Place::Events, name, stream(host, &path)));
                continue;
            }
            let answer = host.api("GET", &format!("{path}?project={PROJECT}"), None);
            let answer = if answer.status == 400 { host.api("GET", &path, None) } else { answer };
            let place = match answer.status {
                400.. => Place::Errors,
                _ if path.starts_with("/v1/backups") => Place::Backups,
                _ => Place::Answers,
            };
            all.push(Said::new(place, name, answer.body));
        }
    }
    all
}

fn stream(host: &TestHost, path: &str) -> Vec<u8> {
    let follow = if path == "/v1/events" { "&follow=true" } else { "" };
    let target = format!("{path}?project={PROJECT}{follow}");
    let headers = vec![
        ("authorization", format!("Bearer {}", host.token())),
        ("accept", "text/event-stream".to_owned()),
    ];
    let request =
        Request { method: "GET", target: &target, host: "localhost", headers, body: None };
    let connection = http::Connection::open(host.api_address()).unwrap();
    let said = connection.listen(&request, Duration::from_secs(3)).unwrap();
    assert!(said.starts_with(b"HTTP/1.1 200"), "{path}: {}", String::from_utf8_lossy(&said));
    said
}

/// Command lines and environments of all processes but those of the application itself, which are in
/// another process namespace.
fn processes(host: &TestHost) -> Vec<Said> {
    let own = std::fs::read_link("/proc/self/ns/pid").unwrap();
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let dir: PathBuf = entry.path();
        if std::fs::read_link(dir.join("ns/pid")).is_ok_and(|namespace| namespace == own) {
            for part in ["cmdline", "environ"] {
                let bytes = std::fs::read(dir.join(part)).unwrap_or_default();
                all.push(Said::new(Place::AtRest, dir.join(part).display().to_string(), bytes));
            }
        }
    }
    assert!(all.len() > 10, "processes are seen");
    assert!(host.serve_pid() > 0);
    all
}

/// Looks at the command lines of all processes over and over, those in containers included.
struct Sampler {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<BTreeSet<Vec<u8>>>>,
    looking: JoinHandle<()>,
}

impl Sampler {
    fn start() -> Self {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<BTreeSet<_>>>::default());
        let (ends, sees) = (stop.clone(), seen.clone());
        let looking = std::thread::spawn(move || {
            while !ends.load(Ordering::SeqCst) {
                for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                    let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                    sees.lock().unwrap().insert(line);
                }
                std::thread::park_timeout(LOOK_EVERY);
            }
        });
        Self { stop, seen, looking }
    }

    /// Whether one command line held all of this.
    fn has_seen(&self, parts: &[&str]) -> bool {
        let seen = self.seen.lock().unwrap();
        seen.iter().any(|line| parts.iter().all(|part| holds(line, part.as_bytes())))
    }

    fn stop(self) -> Vec<Said> {
        self.stop.store(true, Ordering::SeqCst);
        self.looking.join().unwrap();
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        let said = |line| Said::new(Place::InFlight, "a command line", line);
        seen.into_iter().map(said).collect()
    }
}

/// `windlass deploy`, which goes on meanwhile. The token stands in its environment: what a person writes on a
/// command line is that person's.
fn deploying(host: &TestHost, url: &str, token: &str) -> Child {
    let mut command = host.cli_command(&["--json", "deploy", url, "--project", PROJECT]);
    command.env("WINDLASS_TOKEN", token).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn deployed(child: Child) -> Deployed {
    Deployed::of(&CliOutput::from(child.wait_with_output().unwrap()))
}

/// Fetches over SSH from a server that never says a word; what of the deploy key is secret.
fn fetch_over_ssh(host: &TestHost, token: &str, sampler: &Sampler) -> String {
    host.cli(&["project", "deploy-key", "create", "--project", PROJECT]).ok();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ssh://git@{}/shop.git", server.local_addr().unwrap());
    let fetching = deploying(host, &url, token);
    let key = wait_for("ssh is given the deploy key", SOON, || {
        let files = files(&host.data_dir().join("ssh").join(PROJECT));
        let key = files.iter().find(|(name, _)| name.contains("/key-"));
        let key = key.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned());
        let key = key.filter(|key| key.trim_end().ends_with("-----END OPENSSH PRIVATE KEY-----"));
        match key.filter(|_| sampler.has_seen(&["ssh", "-oIdentityFile="])) {
            Some(key) => Ok(key),
            None => Err("there is no key, or no ssh was seen".to_owned()),
        }
    });
    drop(server);
    let failed = deployed(fetching).view.deployment;
    assert_eq!(failed.status, DeploymentStatus::Failed, "{failed:#?}");
    let code = failed.failure.map(|failure| failure.code).unwrap_or_default();
    assert!(code.starts_with("source."), "{code}");
    // The fourth line holds the secret number as a whole; the second and third the public part, too.
    let lines: Vec<&str> = key.lines().filter(|line| !line.starts_with("-----")).collect();
    assert!(lines.len() >= 5, "{} lines", lines.len());
    lines[3].to_owned()
}

/// Fetches with the token, from a server that holds its answer until Git was looked at.
fn fetch_with_the_token(
    host: &TestHost,
    server: &GitServer,
    token: &str,
    sampler: &Sampler,
) -> Deployed {
    let url = server.url("shop.git");
    server.hold(true);
    let fetching = deploying(host, &url, token);
    until("Git is seen while it fetches", SOON, || sampler.has_seen(&["remote-http", &url]));
    server.hold(false);
    deployed(fetching)
}

/// A registry for those who know the password, with one image.
fn guarded_registry() -> (DockerRegistry, String) {
    let registry = DockerRegistry::start_guarded_by(HTPASSWD);
    let dir = scratch("canary");
    let image = saved_image(dir.path(), "from a registry", architecture());
    let name = format!("{}/team/app:1", registry.address);
    let pushed = CliOutput::of(
        Command::new("skopeo")
            .args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"])
            .arg(format!("--dest-creds=me:{REGISTRY_PASSWORD}"))
            .arg(format!("docker-archive:{}", image.display()))
            .arg(format!("docker://{name}")),
    );
    pushed.ok();
    (registry, name)
}

/// Deployments that go live and that fail, for every reason for which a secret is used; what of the deploy
/// key is secret.
fn deploy_with_secrets(host: &TestHost, token: &str, image: &str, sampler: &Sampler) -> String {
    let repo =
        GitRepo::of_files(&[("package.json", PACKAGE), ("server.js", SERVER), ("say.js", SAY)]);
    let server = GitServer::start(&repo, GIT_TOKEN);
    fetch_with_the_token(host, &server, token, sampler).live();
    let site = format!("{PROJECT}.localhost");
    assert_eq!(host.get(&site, "/").text(), "ok");
    // One that fails while it builds, and one that fails when it starts: failures carry log lines.
    let url = server.url("shop.git");
    repo.write("say.js", &format!("{SAY}{FAIL}"));
    repo.commit("It fails to build");
    host.deploy_url(PROJECT, &url, &[]).failed("build.command-failed");
    repo.write("say.js", SAY);
    repo.write("server.js", "require('./say.js'); setTimeout(() => process.exit(4), 600);");
    repo.commit("It fails to start");
    let deployed = host.deploy_url(PROJECT, &url, &[]);
    assert_eq!(deployed.code, 1, "{deployed:#?}");
    let key = fetch_over_ssh(host, token, sampler);
    let pull = ["deploy", "--image", image, "--project", PROJECT];
    Deployed::of(&host.cli_json(&pull)).live();
    assert_eq!(host.get(&site, "/").text(), "from a registry");
    key
}

/// Of [`deploy_with_secrets`].
const DEPLOYMENTS: u64 = 5;

#[test]
fn planted_secrets_appear_in_nothing_that_the_host_says_or_writes() {
    let host = TestHost::start();
    host.cli(&["project", "create", PROJECT]).ok();
    let set =
        |args: &[&str]| host.cli(&[&["env", "set", "--project", PROJECT], args].concat()).ok();
    set(&["--secret", "--scope", "both", &format!("KEY={VARIABLE}")]);
    set(&["--scope", "both", &format!("NOTE={CONTROL}")]);
    host.cli_with_input(&["project", "token", PROJECT, "--stdin"], GIT_TOKEN).ok();
    let made = host.cli_json(&["token", "create", "ci", "--scope", "deploy"]).ok();
    let token = made.json::<serde_json::Value>()["text"].as_str().unwrap().to_owned();
    let (registry, image) = guarded_registry();
    let hook_secret = plant_the_others(&host, &registry.address);

    let sampler = Sampler::start();
    let key = deploy_with_secrets(&host, &token, &image, &sampler);
    let mut said = sampler.stop();
    said.extend(use_the_token(&host, &token));
    host.cli(&["key", "rotate"]).ok();
    back_up(&host);
    said.extend(everything(&host, DEPLOYMENTS));

    let (secret_part, admin) = (token.split('_').nth(2).unwrap(), host.token());
    let secrets = Planted::new(&[
        ("the secret variable", VARIABLE),
        ("the Git token", GIT_TOKEN),
        ("the deploy key", &key),
        ("the webhook's secret", &hook_secret),
        ("the status token", STATUS_TOKEN),
        ("the registry's password", REGISTRY_PASSWORD),
        ("the backup's passphrase", PASSPHRASE),
        ("the API token", secret_part),
        ("the host's own token", admin.split('_').nth(2).unwrap()),
    ]);
    for Said { place, name, bytes } in &said {
        let found = secrets.found_in(bytes);
        let shown = String::from_utf8_lossy(bytes);
        assert!(found.is_empty(), "{found:?} in {place:?}, {name}: {shown}");
    }
    assert_controls_are_found(&host, &said);
    for answer in ["logs", "env list"] {
        let args: Vec<&str> = answer.split(' ').chain(["--project", PROJECT]).collect();
        let args = if answer == "logs" { [&args[..], &["1"]].concat() } else { args };
        let said = host.cli(&args).ok();
        assert!(said.stdout.contains(CONTROL), "{answer}: {}", said.stdout);
        assert!(secrets.found_in(said.stdout.as_bytes()).is_empty(), "{answer}: {}", said.stdout);
    }
    host.finish();
}

/// The same search finds what is known to be in each place: nothing was found because nothing is there.
fn assert_controls_are_found(host: &TestHost, said: &[Said]) {
    // The host's own folder: in the address of a backup, and on the command line of the proxy.
    let folder = host.data_dir().parent().unwrap().file_name().unwrap().to_owned();
    let folder = folder.to_str().unwrap();
    let controls = [
        (Place::Files, CONTROL),
        (Place::Output, CONTROL),
        (Place::Answers, CONTROL),
        (Place::Events, CONTROL),
        (Place::Errors, CONTROL),
        (Place::Backups, folder),
        (Place::AtRest, folder),
        (Place::InFlight, BUILD),
    ];
    for (place, text) in controls {
        let control = Planted::new(&[("control", text)]);
        let there = said.iter().filter(|one| one.place == place);
        let found = there.filter(|one| !control.found_in(&one.bytes).is_empty()).count();
        assert!(found > 0, "the search found no {text} in {place:?}");
    }
}

/// Plants a secret wherever else one is taken or made; the webhook's own.
fn plant_the_others(host: &TestHost, registry: &str) -> String {
    fn with<'a>(args: &[&'a str]) -> Vec<&'a str> {
        [args, &["--project", PROJECT]].concat()
    }
    let create = ["webhook", "create", "--provider", "gitlab"];
    let hook: serde_json::Value = host.cli_json(&with(&create)).ok().json();
    host.cli_with_input(&with(&["webhook", "status-token"]), STATUS_TOKEN).ok();
    let login = ["registry", "login", registry, "--username", "me", "--password-stdin"];
    host.cli_with_input(&with(&login), REGISTRY_PASSWORD).ok();
    hook["secret"].as_str().unwrap().to_owned()
}

/// A backup holds all of it, sealed; what is said of it is searched, too.
fn back_up(host: &TestHost) {
    let dir = scratch("canary");
    let file = dir.path().join("passphrase");
    std::fs::write(&file, PASSPHRASE).unwrap();
    host.cli(&["backup", "create", "--passphrase-file", file.to_str().unwrap()]).ok();
}

/// Requests that carry the token where it belongs and where it does not, good and bad; what was said of them.
fn use_the_token(host: &TestHost, token: &str) -> Vec<Said> {
    let ask = |method: &str, target: &str, body: Option<&[u8]>, status: u16| {
        let headers = vec![("authorization", format!("Bearer {token}"))];
        let request = Request { method, target, host: "localhost", headers, body };
        let answer = http::send(host.api_address(), &request).unwrap();
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.text());
        let place = if status < 400 { Place::Answers } else { Place::Errors };
        Said::new(place, format!("{method} {target}"), answer.body)
    };
    let project = format!("/v1/projects/{PROJECT}");
    let body = json!({ "git_url": format!("https://u:{GIT_TOKEN}@127.0.0.1:1/x") }).to_string();
    let deployments = format!("{project}/environments/production/deployments");
    let mut said = vec![
        ask("GET", "/v1/projects", None, 200),
        ask("DELETE", &project, None, 403),
        ask("POST", "/v1/projects", Some(b"{\"name\": "), 403),
        ask("POST", &deployments, Some(body.as_bytes()), 400),
    ];
    let wrong = CliOutput::of(&mut host.cli_command(&["project", "list", "--token", &token[1..]]));
    assert_eq!(wrong.code, 4);
    assert!(!wrong.stderr.contains(&token[20..]), "{}", wrong.stderr);
    said.push(Said::by_cli(Place::Errors, "project list", &wrong));
    said
}
