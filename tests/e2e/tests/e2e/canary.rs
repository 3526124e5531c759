//! Secrets appear nowhere. Distinctive values are planted wherever Windlass takes a secret; then the host
//! does all that it does, fails included, and everything that it ever says or writes is searched. A value
//! that is no secret is planted beside them and must be found by the same search: the search does look.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use windlass_test_support::{CliOutput, GitRepo, Request, TestHost, http};

const VARIABLE: &str = "canary-variable-8f31c6";
const GIT_TOKEN: &str = "canary-git-token-51d0aa";
const STATUS_TOKEN: &str = "canary-status-token-93bb07";
const REGISTRY_PASSWORD: &str = "canary-registry-word-2c6f1e";
const PASSPHRASE: &str = "canary-passphrase-b7704d";
/// Not secret.
const CONTROL: &str = "control-plain-77e2b4";

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
"scripts":{"start":"node server.js","build":"node say.js"},"dependencies":{}}"#;

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

/// Everything that the host has said or written: a name and the bytes.
fn everything(host: &TestHost) -> Vec<(String, Vec<u8>)> {
    let mut all = files(&host.data_dir());
    all.retain(|(name, _)| !name.ends_with(CONTAINERD));
    all.push(("serve's output".to_owned(), host.serve_log().into_bytes()));
    all.extend(api_answers(host));
    all.extend(processes(host));
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
fn api_answers(host: &TestHost) -> Vec<(String, Vec<u8>)> {
    let description: serde_json::Value = host.api("GET", "/v1/openapi.json", None).json();
    let mut all = Vec::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        // An image is the application's own, and compressed: nothing is found in it by looking.
        if operations.get("get").is_none() || path.ends_with("/image") {
            continue;
        }
        for number in ["1", "2", "3"] {
            let path = path
                .replace("{project}", "canary")
                .replace("{environment}", "production")
                .replace("{deployment}", number)
                .replace(['{', '}'], "");
            // The answers that go on: what is past comes at once.
            if path == "/v1/events" || path.ends_with("/watch") {
                all.push((format!("GET {path}"), stream(host, &path)));
                continue;
            }
            let answer = host.api("GET", &format!("{path}?project=canary"), None);
            let answer = if answer.status == 400 { host.api("GET", &path, None) } else { answer };
            all.push((format!("GET {path}"), answer.body));
        }
    }
    all
}

fn stream(host: &TestHost, path: &str) -> Vec<u8> {
    let follow = if path == "/v1/events" { "&follow=true" } else { "" };
    let target = format!("{path}?project=canary{follow}");
    let headers = vec![
        ("authorization", format!("Bearer {}", host.token())),
        ("accept", "text/event-stream".to_owned()),
    ];
    let request =
        Request { method: "GET", target: &target, host: "localhost", headers, body: None };
    let connection = http::Connection::open(host.api_address()).unwrap();
    let said = connection.listen(&request, Duration::from_secs(1)).unwrap();
    assert!(said.starts_with(b"HTTP/1.1 200"), "{path}: {}", String::from_utf8_lossy(&said));
    said
}

/// Command lines and environments of all processes but those of the application itself, which are in
/// another process namespace.
fn processes(host: &TestHost) -> Vec<(String, Vec<u8>)> {
    let own = std::fs::read_link("/proc/self/ns/pid").unwrap();
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let dir: PathBuf = entry.path();
        if std::fs::read_link(dir.join("ns/pid")).is_ok_and(|namespace| namespace == own) {
            for part in ["cmdline", "environ"] {
                let bytes = std::fs::read(dir.join(part)).unwrap_or_default();
                all.push((format!("{} of a process", dir.join(part).display()), bytes));
            }
        }
    }
    assert!(all.len() > 10, "processes are seen");
    assert!(host.serve_pid() > 0);
    all
}

#[test]
fn planted_secrets_appear_in_nothing_that_the_host_says_or_writes() {
    let host = TestHost::start();
    host.cli(&["project", "create", "canary"]).ok();
    let set =
        |args: &[&str]| host.cli(&[&["env", "set", "--project", "canary"], args].concat()).ok();
    set(&["--secret", "--scope", "both", &format!("KEY={VARIABLE}")]);
    set(&["--scope", "both", &format!("NOTE={CONTROL}")]);
    host.cli_with_input(&["project", "token", "canary", "--stdin"], GIT_TOKEN).ok();
    let made = host.cli_json(&["token", "create", "ci", "--scope", "deploy"]).ok();
    let token = made.json::<serde_json::Value>()["text"].as_str().unwrap().to_owned();

    let hook_secret = plant_the_others(&host);

    let repo =
        GitRepo::of_files(&[("package.json", PACKAGE), ("server.js", SERVER), ("say.js", SAY)]);
    host.deploy_git("canary", &repo, &["--token", &token]).live();
    assert_eq!(host.get("canary.localhost", "/").text(), "ok");
    use_the_token(&host, &token);
    // One that fails while it builds, and one that fails when it starts: failures carry log lines.
    repo.write("say.js", &format!("{SAY}\nsetTimeout(() => process.exit(3), 600);"));
    repo.commit("It fails to build");
    host.deploy_git("canary", &repo, &[]).failed("build.command-failed");
    repo.write("say.js", SAY);
    repo.write("server.js", "require('./say.js'); setTimeout(() => process.exit(4), 600);");
    repo.commit("It fails to start");
    let deployed = host.deploy_git("canary", &repo, &[]);
    assert_eq!(deployed.code, 1, "{deployed:#?}");
    host.cli(&["key", "rotate"]).ok();
    back_up(&host);

    let (secret_part, admin) = (token.split('_').nth(2).unwrap(), host.token());
    let secrets = Planted::new(&[
        ("the secret variable", VARIABLE),
        ("the Git token", GIT_TOKEN),
        ("the webhook's secret", &hook_secret),
        ("the status token", STATUS_TOKEN),
        ("the registry's password", REGISTRY_PASSWORD),
        ("the backup's passphrase", PASSPHRASE),
        ("the API token", secret_part),
        ("the host's own token", admin.split('_').nth(2).unwrap()),
    ]);
    let control = Planted::new(&[("control", CONTROL)]);
    let mut controls = 0;
    for (name, bytes) in everything(&host) {
        let found = secrets.found_in(&bytes);
        assert!(found.is_empty(), "{found:?} in {name}: {}", String::from_utf8_lossy(&bytes));
        controls += usize::from(!control.found_in(&bytes).is_empty());
    }
    assert!(controls >= 4, "the same search finds what is no secret: {controls}");
    for answer in ["logs", "env list"] {
        let args: Vec<&str> = answer.split(' ').chain(["--project", "canary"]).collect();
        let args = if answer == "logs" { [&args[..], &["1"]].concat() } else { args };
        let said = host.cli(&args).ok();
        assert!(said.stdout.contains(CONTROL), "{answer}: {}", said.stdout);
        assert!(secrets.found_in(said.stdout.as_bytes()).is_empty(), "{answer}: {}", said.stdout);
    }
    host.finish();
}

/// Plants a secret wherever else one is taken or made; the webhook's own.
fn plant_the_others(host: &TestHost) -> String {
    fn with<'a>(args: &[&'a str]) -> Vec<&'a str> {
        [args, &["--project", "canary"]].concat()
    }
    let create = ["webhook", "create", "--provider", "gitlab"];
    let hook: serde_json::Value = host.cli_json(&with(&create)).ok().json();
    host.cli_with_input(&with(&["webhook", "status-token"]), STATUS_TOKEN).ok();
    let login = ["registry", "login", "registry.invalid", "--username", "me", "--password-stdin"];
    host.cli_with_input(&with(&login), REGISTRY_PASSWORD).ok();
    hook["secret"].as_str().unwrap().to_owned()
}

/// A backup holds all of it, sealed; what is said of it is searched, too.
fn back_up(host: &TestHost) {
    let dir = windlass_test_support::scratch("canary");
    let file = dir.path().join("passphrase");
    std::fs::write(&file, PASSPHRASE).unwrap();
    host.cli(&["backup", "create", "--passphrase-file", file.to_str().unwrap()]).ok();
}

/// Requests that carry the token where it belongs and where it does not, good and bad.
fn use_the_token(host: &TestHost, token: &str) {
    let ask = |method: &str, target: &str, body: Option<&[u8]>| {
        let headers = vec![("authorization", format!("Bearer {token}"))];
        let request = Request { method, target, host: "localhost", headers, body };
        http::send(host.api_address(), &request).unwrap()
    };
    assert_eq!(ask("GET", "/v1/projects", None).status, 200);
    assert_eq!(ask("DELETE", "/v1/projects/canary", None).status, 403);
    assert_eq!(ask("POST", "/v1/projects", Some(b"{\"name\": ")).status, 403);
    let body = json!({ "git_url": format!("https://u:{GIT_TOKEN}@127.0.0.1:1/x") }).to_string();
    let path = "/v1/projects/canary/environments/production/deployments";
    assert_eq!(ask("POST", path, Some(body.as_bytes())).status, 400);
    let wrong = CliOutput::of(&mut host.cli_command(&["project", "list", "--token", &token[1..]]));
    assert_eq!(wrong.code, 4);
    assert!(!wrong.stderr.contains(&token[20..]), "{}", wrong.stderr);
}
