//! What is missing is named before any work; what an application points at is tried from inside; what it
//! may reach beyond the defaults is let through, and nothing else.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::process::Command;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use windlass_model::{StepName, StepStatus};
use windlass_test_support::{Deployed, GitRepo, TestHost, until};

const PACKAGE: &str = "{\"name\":\"app\",\"version\":\"1.0.0\",\"engines\":{\"node\":\"22\"},\
    \"scripts\":{\"start\":\"node server.js\"},\"dependencies\":{}}";

#[test]
fn everything_that_is_missing_is_named_at_once_with_the_command_that_sets_it() {
    let host = TestHost::start();
    let toml = "[run]\nrequired_variables = [\"GREETING\", \"DATABASE_URL\"]\n";
    let repo = GitRepo::of_files(&[
        ("index.html", "<p>here</p>"),
        ("windlass.toml", toml),
        (".env.example", "# what it reads\nGREETING=hello\nCOLOUR=\nPORT=3000\n"),
    ]);
    host.cli(&["project", "create", "site"]).ok();
    let service = ["service", "add", "cache", "--address", "127.0.0.1:9", "--project", "site"];
    host.cli(&service).ok();
    let failed = host.deploy_git("site", &repo, &[]);
    let failure = failed.failed("preflight.incomplete");
    assert_eq!(failure.step, Some(StepName::Preflight));
    for fix in [
        "windlass env set GREETING=… --project site -e production",
        "windlass env set --secret DATABASE_URL=… --project site -e production",
        "windlass service add cache --address",
    ] {
        assert!(failure.fix.contains(fix), "{fix}: {failure:#?}");
    }
    assert_eq!(failed.step(StepName::Detect), StepStatus::Cancelled, "no work was begun");

    host.cli(&["service", "remove", "cache", "--project", "site"]).ok();
    host.cli(&["env", "set", "GREETING=hi", "--project", "site"]).ok();
    let failure = host.deploy_git("site", &repo, &[]).failed("preflight.variable-missing");
    assert!(failure.what.contains("DATABASE_URL") && !failure.what.contains("GREETING"));
    host.cli(&["env", "set", "--secret", "DATABASE_URL=sqlite:///x", "--project", "site"]).ok();
    let live = host.deploy_git("site", &repo, &[]).live();
    let warnings = &live.view.deployment.warnings;
    let unset =
        warnings.iter().find(|warning| warning.code == "preflight.variables-unset").unwrap();
    assert!(unset.message.contains("COLOUR") && !unset.message.contains("PORT"), "{unset:?}");
    host.finish();
}

/// Serves what the commands before the switch have written.
const PREPARED: &str = "const fs = require('fs');\n\
    require('http').createServer((q, s) => s.end(fs.readFileSync('cache.txt'))).listen(process.env.PORT);\n";

#[test]
fn commands_before_the_switch_leave_their_files_and_failures_say_what_changed() {
    let host = TestHost::start();
    let toml = "[validate]\ncommand = \"test -n \\\"$GREETING\\\"\"\n\
        [deploy]\nbefore_switch = [\"echo $GREETING > cache.txt\", \"echo $WINDLASS_PROCESS >> cache.txt\"]\n";
    let repo = GitRepo::of_files(&[
        ("package.json", PACKAGE),
        ("server.js", PREPARED),
        ("windlass.toml", toml),
    ]);
    host.cli(&["project", "create", "app"]).ok();
    let failure = host.deploy_git("app", &repo, &[]).failed("validate.boot-failed");
    assert_eq!(failure.step, Some(StepName::Validate));

    let set = |value: &str| host.cli(&["env", "set", value, "--project", "app"]).ok();
    set("GREETING=one");
    let first = host.deploy_git("app", &repo, &[]).live();
    assert_eq!(host.get("app.localhost", "/").text(), "one\nbefore-switch\n");
    set("GREETING=two");
    host.deploy_git("app", &repo, &[]).live();
    assert_eq!(host.get("app.localhost", "/").text(), "two\nbefore-switch\n");
    // A rollback takes the present variables, so the caches are made of them.
    let number = first.number().to_string();
    set("GREETING=three");
    Deployed::of(&host.cli_json(&["rollback", &number, "--project", "app"])).live();
    assert_eq!(host.get("app.localhost", "/").text(), "three\nbefore-switch\n");

    let good = host.show("app", 4).deployment;
    set("GREETING=secret-value-of-four");
    host.cli(&["env", "set", "NEW=x", "--project", "app"]).ok();
    repo.edit("windlass.toml", "\"echo $GREETING > cache.txt\"", "\"no-such-command\"");
    repo.commit("Break the cache");
    let failed = host.deploy_git("app", &repo, &[]);
    let failure = failed.failed("app.command-not-found");
    assert_eq!(failure.general.as_deref(), Some("start.before-switch-failed"));
    assert!(!failure.evidence.is_empty(), "{failure:#?}");
    assert_eq!(host.get("app.localhost", "/").text(), "three\nbefore-switch\n");
    let changes = failed.view.deployment.changes.clone().unwrap();
    assert_eq!(changes.since, good.id);
    assert_eq!(changes.variables.changed, ["GREETING"]);
    assert_eq!(changes.variables.added, ["NEW"]);
    assert!(changes.commit.unwrap().to.unwrap().contains("Break the cache"));
    assert!(changes.settings.iter().any(|change| change.name == "deploy.before_switch"));
    let stored = serde_json::to_string(&failed.view.deployment.outputs.made_with).unwrap();
    assert!(!stored.contains("secret-value-of-four"), "{stored}");
    let shown = host.cli(&["show", "--project", "app"]).ok().stdout;
    assert!(shown.contains("changed since #4") && shown.contains("GREETING"), "{shown}");
    let explained = host.cli(&["explain", "app.command-not-found"]).ok().stdout;
    assert!(explained.contains("fix: "), "{explained}");
    host.finish();
}

/// A network behind a bridge of this machine, as another container engine has one, with a machine in it.
struct Behind;

const BRIDGE: &str = "wlt-behind";
const NAMESPACE: &str = "wlt-behind";
const ADDRESS: &str = "10.213.77.2";
/// Another address of the same machine, as long as the first.
const MOVED: &str = "10.213.77.3";

impl Behind {
    fn new() -> Self {
        let behind = Self;
        behind.remove();
        for command in [
            format!("link add {BRIDGE} type bridge"),
            format!("addr add 10.213.77.1/24 dev {BRIDGE}"),
            format!("link set {BRIDGE} up"),
            format!("netns add {NAMESPACE}"),
            format!("link add wlt-out type veth peer name wlt-in netns {NAMESPACE}"),
            format!("link set wlt-out master {BRIDGE} up"),
            format!("-n {NAMESPACE} addr add {ADDRESS}/24 dev wlt-in"),
            format!("-n {NAMESPACE} addr add {MOVED}/24 dev wlt-in"),
            format!("-n {NAMESPACE} link set wlt-in up"),
            format!("-n {NAMESPACE} route add default via 10.213.77.1"),
        ] {
            let status = Command::new("ip").args(command.split(' ')).status().unwrap();
            assert!(status.success(), "ip {command}");
        }
        for port in [7001, 7002] {
            listen_inside(port);
        }
        behind
    }

    fn remove(&self) {
        for command in [format!("netns delete {NAMESPACE}"), format!("link delete {BRIDGE}")] {
            let _ = Command::new("ip").args(command.split(' ')).output();
        }
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A listener inside the namespace, which accepts and closes.
fn listen_inside(port: u16) {
    let (sender, ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let namespace = File::open(format!("/run/netns/{NAMESPACE}")).unwrap();
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        drop(namespace);
        let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
        sender.send(()).unwrap();
        listener.incoming().for_each(drop);
    });
    ready.recv().unwrap();
}

/// A name in `/etc/hosts` of this machine, as its last line, until this is dropped.
struct Named {
    file: File,
    /// Where the line begins.
    at: u64,
}

const HOSTS: &str = "/etc/hosts";
const NAME: &str = "database.windlass-test.invalid";

impl Named {
    fn new() -> Self {
        let file = OpenOptions::new().read(true).write(true).open(HOSTS).unwrap();
        let text = std::fs::read_to_string(HOSTS).unwrap();
        // A test that was killed may have left it behind.
        let at =
            text.find(&format!("\n{ADDRESS} {NAME}")).or(text.find(&format!("\n{MOVED} {NAME}")));
        let at = at.unwrap_or(text.len()) as u64;
        let named = Self { file, at };
        named.file.write_all_at(format!("\n{ADDRESS} {NAME}\n").as_bytes(), at).unwrap();
        named
    }

    fn moves(&self) {
        self.file.write_all_at(MOVED.as_bytes(), self.at + 1).unwrap();
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let line = format!("\n{MOVED} {NAME}\n").len() as u64;
        if self.file.metadata().unwrap().len() == self.at + line {
            self.file.set_len(self.at).unwrap();
        } else {
            // Somebody has written behind it.
            self.file.write_all_at(b"#", self.at + 1).unwrap();
        }
    }
}

/// What a name leads to is looked up again while the application runs: what moves is reached at its new
/// address without a deployment, and a name that is gone takes nothing away.
fn a_name_that_moves_is_followed(
    host: &TestHost,
    repo: &GitRepo,
    toml: &str,
    dial: impl Fn(&str) -> String,
) {
    const WITHIN: Duration = Duration::from_secs(180);
    let named = Named::new();
    repo.write("windlass.toml", toml);
    repo.commit("Allow a name");
    host.deploy_git("app", repo, &[]).live();
    assert_eq!(dial("7001"), "open", "where the name leads");
    assert_ne!(dial("7002"), "open", "another port of it");
    assert_ne!(dial("7001/3"), "open", "where it does not lead");
    named.moves();
    until("the new address is reached", WITHIN, || dial("7001/3") == "open");
    assert_ne!(dial("7002/3"), "open", "another port of it");
    drop(named);
    until("the name is gone", WITHIN, || {
        host.serve_log().contains("a name keeps the addresses that it had")
    });
    assert_eq!(dial("7001/3"), "open", "what it led to last");
}

/// Says whether a connection to the port that the path names is accepted: `7001` of the one address, `7001/3`
/// of the other.
const DIALLER: &str = "const http = require('http'), net = require('net');\n\
    http.createServer((q, s) => {\n\
      if (q.url === '/') return s.end('ok');\n\
      const [port, last] = q.url.slice(1).split('/');\n\
      const to = net.connect(Number(port), '10.213.77.' + (last || 2));\n\
      to.setTimeout(2000, () => { to.destroy(); s.end('silence'); });\n\
      to.on('connect', () => { to.destroy(); s.end('open'); });\n\
      to.on('error', (error) => s.end(error.code));\n\
    }).listen(process.env.PORT);\n";

#[test]
fn what_network_allow_names_is_reached_and_nothing_else() {
    let host = TestHost::start();
    let behind = Behind::new();
    let toml = |allow: &str| format!("[health]\npath = \"/\"\n[network]\nallow = [{allow}]\n");
    let allowed = toml("\"10.213.77.2:7001\"");
    let repo = GitRepo::of_files(&[
        ("package.json", PACKAGE),
        ("server.js", DIALLER),
        ("windlass.toml", &allowed),
    ]);
    host.deploy_git("app", &repo, &[]).live();
    let dial = |to: &str| host.get("app.localhost", &format!("/{to}")).text();
    assert_eq!(dial("7001"), "open", "what is named is reached");
    assert_ne!(dial("7002"), "open", "another port of the same host is not");
    let by_name = toml(&format!("\"{NAME}:7001\""));
    a_name_that_moves_is_followed(&host, &repo, &by_name, dial);

    repo.write("windlass.toml", &toml(""));
    repo.commit("Allow nothing");
    host.deploy_git("app", &repo, &[]).live();
    until(
        "the deployments before are retired, and with them what they might reach",
        Duration::from_secs(60),
        || dial("7001") != "open" && dial("7001/3") != "open",
    );

    // What a variable points at is tried from inside, behind the same wall.
    let variable = "DATABASE_URL=postgres://app:hunter2-of-the-test@10.213.77.2:7002/x";
    host.cli(&["env", "set", "--secret", variable, "--project", "app"]).ok();
    let failure = host.deploy_git("app", &repo, &[]).failed("validate.service-unreachable");
    assert!(failure.what.contains("DATABASE_URL"), "{failure:#?}");
    assert!(failure.fix.contains("network.allow"), "{failure:#?}");
    assert!(!format!("{failure:?}").contains("hunter2"), "{failure:#?}");
    repo.write("windlass.toml", &toml("\"10.213.77.2:7002\""));
    repo.commit("Allow the database");
    host.deploy_git("app", &repo, &[]).live();
    assert_eq!(dial("7002"), "open");
    assert_ne!(dial("7001"), "open");

    repo.write("windlass.toml", &toml("\"db.nowhere.invalid:1\""));
    repo.commit("Allow what is not there");
    host.deploy_git("app", &repo, &[]).failed("network.allow-unresolved");
    drop(behind);
    host.finish();
}
