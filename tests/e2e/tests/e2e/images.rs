//! Images taken out of deployments: pushed and saved from the command line, layers that are pulled side by
//! side, and `kill -9` of the host in the middle of a pull, a push and a save.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use windlass_model::DeploymentStatus;
use windlass_model::api::DeploymentView;
use windlass_model::running::RunningView;
use windlass_test_support::registry::DockerRegistry;
use windlass_test_support::{Deployed, HostOptions, Request, TestHost, http, scratch, until};

use crate::builds::Events;
use crate::sources::{
    PASSWORD, Registry, architecture, layer_with, put_busybox, saved_image, saved_image_of, serving,
};

const WITHIN: Duration = Duration::from_secs(60);
const PROJECT: [&str; 2] = ["--project", "boxed"];

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A host with an image from an archive live, which answers this.
fn boxed(page: &str, dir: &Path) -> TestHost {
    let host = TestHost::start();
    let image = saved_image(dir, page, architecture());
    deploy(&host, &["--image-archive", text(&image)]).live();
    host
}

fn deploy(host: &TestHost, args: &[&str]) -> Deployed {
    Deployed::of(&host.cli(&[["--json", "deploy"].as_slice(), args, &PROJECT].concat()))
}

fn login(host: &TestHost, registry: &str) {
    let args = ["registry", "login", registry, "-u", "me", "--password-stdin"];
    host.cli_with_input(&[args.as_slice(), &PROJECT].concat(), PASSWORD).ok();
}

#[test]
fn an_image_is_pushed_and_saved_and_both_run_elsewhere() {
    let dir = scratch("images");
    let host = boxed("taken out", dir.path());
    let registry = Registry::start();
    let name = format!("{}/team/out:1", registry.address);
    let cli = |args: &[&str]| host.cli(&[args, PROJECT.as_slice()].concat());

    let refused = cli(&["--json", "push", "production", &name]);
    assert_eq!(refused.failure().code, "registry.unauthorized");
    login(&host, &registry.address);
    let pushed = cli(&["--json", "push", "production", &name]).ok().json::<serde_json::Value>();
    let again = cli(&["--json", "push", "1", &name]).ok().json::<serde_json::Value>();
    assert_eq!(again["digest"], pushed["digest"]);
    assert_eq!(again["bytes_sent"], 0);

    // An older one and a newer one beside each other; the file is that of the one that was named.
    let newer = saved_image(dir.path(), "newer", architecture());
    deploy(&host, &["--image-archive", text(&newer)]).live();
    let file = dir.path().join("saved.tar");
    let save = |format: &str| {
        let args = ["--json", "save", "1", "--output", text(&file), "--format", format];
        cli(&args).ok().json::<serde_json::Value>()
    };
    for format in ["oci", "docker"] {
        let saved = save(format);
        assert_eq!(saved["digest"], pushed["digest"], "{format}");
        assert_eq!(saved["bytes"], file.metadata().unwrap().len());
        let transport = format!("{format}-archive:{}", text(&file));
        let inspect = ["--insecure-policy", "inspect", "--config", &transport];
        let seen = Command::new("skopeo").args(inspect).output().unwrap();
        let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
        assert!(seen.contains("httpd"), "{format}: {seen}");
        deploy(&host, &["--image-archive", text(&file)]).live();
        assert_eq!(host.get("boxed.localhost", "/").text(), "taken out");
        deploy(&host, &["--image-archive", text(&newer)]).live();
    }
    deploy(&host, &["--image", &name]).live();
    assert_eq!(host.get("boxed.localhost", "/").text(), "taken out");

    let nothing =
        cli(&["--json", "save", "production", "--output", text(&file), "--image", "other"]);
    assert_eq!(nothing.failure().code, "image.no-such-output");
    let nowhere = cli(&["--json", "push", "no-such-one", &name]);
    assert_eq!(nowhere.failure().code, "deployment.not-found");
    host.finish();
}

#[test]
fn an_image_that_names_its_stop_signal_is_sent_that_one() {
    let (host, dir) = (TestHost::start(), scratch("images"));
    let script = "trap 'exit 7' QUIT; trap 'exit 8' TERM; busybox httpd -f -p 8080 -h /www & wait";
    let said = serde_json::json!({
        "Cmd": ["/bin/busybox", "sh", "-c", script], "StopSignal": "SIGQUIT",
    });
    let image = saved_image_of(dir.path(), "signalled", architecture(), &said);
    deploy(&host, &["--image-archive", text(&image)]).live();
    let path = "/v1/projects/boxed/environments/production/running";
    let running: RunningView = host.api("GET", path, None).json();
    let ids: Vec<String> = running.instances.into_iter().map(|one| one.instance.id).collect();
    let events = Events::of(&host);
    host.cli(&[["stop"].as_slice(), &PROJECT].concat()).ok();
    let ends = events.ends(&ids);
    assert_eq!(ends.values().copied().collect::<Vec<_>>(), [7], "{ends:?}");
    host.finish();
}

/// Passes connections on, and holds all of them once so many bytes went one way.
struct Holding {
    address: String,
    shared: Arc<Held>,
}

struct Held {
    to: String,
    /// Bytes that may still pass to the client, and from it.
    down: AtomicU64,
    up: AtomicU64,
    holds: AtomicBool,
}

impl Holding {
    fn start(to: &str, down: u64, up: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Held {
            to: to.to_owned(),
            down: AtomicU64::new(down),
            up: AtomicU64::new(up),
            holds: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&of_thread.to) else { continue };
                let pairs = [(&server, &client, false), (&client, &server, true)];
                for (from, to, is_up) in pairs {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let shared = Arc::clone(&of_thread);
                    std::thread::spawn(move || shared.pass(from, to, is_up));
                }
            }
        });
        Self { address, shared }
    }

    fn wait_held(&self) {
        until("the connection is held", WITHIN, || self.shared.holds.load(Ordering::SeqCst));
    }

    /// Everything passes from now on.
    fn release(&self) {
        self.shared.down.store(u64::MAX, Ordering::SeqCst);
        self.shared.up.store(u64::MAX, Ordering::SeqCst);
    }
}

impl Held {
    fn pass(&self, mut from: TcpStream, mut to: TcpStream, is_up: bool) {
        let left = if is_up { &self.up } else { &self.down };
        let mut buffer = [0; 16 * 1024];
        while let Ok(n) = from.read(&mut buffer) {
            if n == 0 {
                break;
            }
            while left.load(Ordering::SeqCst) < n as u64 {
                self.holds.store(true, Ordering::SeqCst);
                std::thread::park_timeout(Duration::from_millis(20));
            }
            if left.load(Ordering::SeqCst) != u64::MAX {
                left.fetch_sub(n as u64, Ordering::SeqCst);
            }
            if to.write_all(&buffer[..n]).is_err() {
                break;
            }
        }
        let _gone = to.shutdown(std::net::Shutdown::Both);
    }
}

fn in_background(host: &TestHost, args: &[&str]) -> Child {
    let mut command = host.cli_command(&[args, PROJECT.as_slice()].concat());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Nothing of the interrupted work is left: no lease, no half-written blob, no image in a file.
fn assert_nothing_left(host: &TestHost) {
    until("no lease is left", WITHIN, || host.ctr(&["leases", "list", "-q"]).is_empty());
    until("no half-written blob is left", WITHIN, || {
        host.ctr_lines(&["content", "active"]).iter().all(|line| !line.contains("windlass-"))
    });
    let data = host.data_dir();
    let names = std::fs::read_dir(&data).unwrap().flatten().map(|entry| entry.file_name());
    let left: Vec<_> =
        names.filter(|name| name.to_string_lossy().starts_with(".windlass-image")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_host_that_is_killed_in_the_middle_of_a_pull_pulls_again_and_leaves_nothing() {
    let dir = scratch("pull");
    let mut host = boxed("before", dir.path());
    let registry = Registry::start();
    registry.push(&saved_image(dir.path(), "pulled", architecture()), "1");
    let holding = Holding::start(&registry.address, 250_000, u64::MAX);
    login(&host, &holding.address);
    let name = format!("{}/team/app:1", holding.address);
    let mut client = in_background(&host, &["deploy", "--image", &name]);
    holding.wait_held();
    assert!(!host.ctr(&["leases", "list", "-q"]).is_empty(), "the pull is under a lease");
    host.kill9_serve();
    let _ended = client.wait();
    assert_eq!(host.get("boxed.localhost", "/").text(), "before");
    holding.release();
    host.restart();
    let is_live = "the deployment goes on and goes live";
    host.wait_deployment("boxed", 2, is_live, WITHIN, |view| {
        view.deployment.status == DeploymentStatus::Live
    });
    assert_eq!(host.get("boxed.localhost", "/").text(), "pulled");
    assert_nothing_left(&host);
    host.finish();
}

#[test]
fn a_host_that_is_killed_in_the_middle_of_a_push_pushes_again_and_leaves_nothing() {
    let dir = scratch("push");
    let mut host = boxed("pushed", dir.path());
    let registry = Registry::start();
    let holding = Holding::start(&registry.address, u64::MAX, 250_000);
    login(&host, &holding.address);
    let name = format!("{}/team/app:1", holding.address);
    let mut client = in_background(&host, &["push", "production", &name]);
    holding.wait_held();
    assert!(!host.ctr(&["leases", "list", "-q"]).is_empty(), "the push is under a lease");
    host.kill9_serve();
    let _ended = client.wait();
    host.restart();
    assert_nothing_left(&host);
    assert_eq!(host.get("boxed.localhost", "/").text(), "pushed");

    holding.release();
    let no_name = deploy(&host, &["--image", &name]);
    no_name.failed("registry.not-found");
    let push = [["push", "production", name.as_str()].as_slice(), &PROJECT].concat();
    host.cli(&push).ok();
    deploy(&host, &["--image", &name]).live();
    assert_eq!(host.get("boxed.localhost", "/").text(), "pushed");
    assert_nothing_left(&host);
    host.finish();
}

#[test]
fn what_is_pushed_stays_and_other_artifacts_go_while_a_registry_reads_nothing_more() {
    let dir = scratch("stalled");
    let host = TestHost::start_with(HostOptions::default().limit("keep_artifacts", 0));
    let deploy_page = |page: &str| {
        let image = saved_image(dir.path(), page, architecture());
        deploy(&host, &["--image-archive", text(&image)]).live();
    };
    let gone = |number: u64, what: &str| {
        let is_gone = |view: &DeploymentView| view.deployment.artifact_pruned;
        host.wait_deployment("boxed", number, what, WITHIN, is_gone);
    };
    deploy_page("one");
    let registry = Registry::start();
    let holding = Holding::start(&registry.address, u64::MAX, 250_000);
    login(&host, &holding.address);
    let name = format!("{}/team/app:1", holding.address);
    let mut client = in_background(&host, &["push", "1", &name]);
    holding.wait_held();
    deploy_page("two");
    deploy_page("three");
    gone(2, "an artifact goes while another is pushed");
    assert!(!host.show("boxed", 1).deployment.artifact_pruned, "it is pushed");

    holding.release();
    assert!(client.wait().unwrap().success(), "the push goes on");
    deploy_page("four");
    gone(1, "what was pushed goes as well");
    deploy(&host, &["--image", &name]).live();
    assert_eq!(host.get("boxed.localhost", "/").text(), "one");
    assert_nothing_left(&host);
    host.finish();
}

/// Passes requests on, each on a connection of its own, and holds those for an image's layers until two of these
/// are there at once.
struct Gate {
    address: String,
    shared: Arc<Gated>,
}

struct Gated {
    to: String,
    /// `sha256:...`
    layers: BTreeSet<String>,
    wanted: Mutex<Wanted>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Wanted {
    /// Layers that were asked for.
    all: BTreeSet<String>,
    /// Those of them that are held.
    held: BTreeSet<String>,
    /// Two were held at once: everything passes from then on.
    met: bool,
    /// One was held for so long that no other can come: everything passes, too.
    gave_up: bool,
}

impl Gate {
    /// Before this image of a registry for everyone.
    fn start(registry: &str, image: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Gated {
            to: registry.to_owned(),
            layers: layers_of(registry, image),
            wanted: Mutex::default(),
            changed: Condvar::new(),
        });
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&of_thread);
                std::thread::spawn(move || {
                    let _hung_up = shared.pass(client);
                });
            }
        });
        Self { address, shared }
    }
}

impl Gated {
    fn pass(&self, mut client: TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        for line in BufReader::new(&client).lines() {
            let line = line?;
            if line.is_empty() {
                break;
            }
            if !line.to_ascii_lowercase().starts_with("connection:") {
                head.push(line);
            }
        }
        let Some(first) = head.first() else { return Ok(()) };
        if let Some(layer) = self.layers.iter().find(|layer| first.contains(layer.as_str())) {
            self.hold(layer);
        }
        let mut server = TcpStream::connect(&self.to)?;
        head.push("connection: close\r\n\r\n".to_owned());
        server.write_all(head.join("\r\n").as_bytes())?;
        std::io::copy(&mut server, &mut client).map(drop)
    }

    fn hold(&self, layer: &str) {
        let mut wanted = self.wanted.lock().unwrap();
        wanted.all.insert(layer.to_owned());
        wanted.held.insert(layer.to_owned());
        if wanted.held.len() > 1 {
            wanted.met = true;
            self.changed.notify_all();
        }
        let is_shut = |wanted: &mut Wanted| !wanted.met && !wanted.gave_up;
        let waited = self.changed.wait_timeout_while(wanted, WITHIN, is_shut);
        let (mut wanted, time) = waited.unwrap();
        wanted.held.remove(layer);
        if time.timed_out() {
            wanted.gave_up = true;
        }
    }
}

/// The digests of an image's layers, as its registry has them.
fn layers_of(registry: &str, image: &str) -> BTreeSet<String> {
    const ACCEPT: &str = "application/vnd.docker.distribution.manifest.v2+json, \
                          application/vnd.oci.image.manifest.v1+json";
    let target = format!("/v2/{image}/manifests/1");
    let headers = vec![("accept", ACCEPT.to_owned())];
    let request = Request { method: "GET", target: &target, host: registry, headers, body: None };
    let answer = http::send(registry.parse().unwrap(), &request).unwrap();
    let manifest: serde_json::Value = answer.json();
    let layers = manifest["layers"].as_array().unwrap().iter();
    layers.map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_layers_of_an_image_are_pulled_side_by_side() {
    const LAYERS: usize = 4;
    let (registry, dir) = (DockerRegistry::start(), scratch("layers"));
    let layer = |n: usize| -> PathBuf {
        let root = dir.path().join(format!("layer-{n}"));
        if n == 0 {
            put_busybox(&root);
        }
        let (own, said) = (format!("{n}.txt"), format!("of layer {n}"));
        layer_with(&root, &[("index.html", said.as_str()), (own.as_str(), said.as_str())])
    };
    let layers: Vec<PathBuf> = (0..LAYERS).map(layer).collect();
    let layers: Vec<&Path> = layers.iter().map(PathBuf::as_path).collect();
    registry.push_layers("many", &layers, &serving());
    let gate = Gate::start(&registry.address, "many");
    assert_eq!(gate.shared.layers.len(), LAYERS);

    let host = TestHost::start();
    deploy(&host, &["--image", &format!("{}/many:1", gate.address)]).live();
    {
        let wanted = gate.shared.wanted.lock().unwrap();
        assert!(wanted.met, "one layer came after the other: {wanted:?}");
        assert_eq!(wanted.all, gate.shared.layers);
    }
    // Whichever comes first, they lie on each other in their order.
    let page = |path: &str| host.get("boxed.localhost", path).text();
    assert_eq!(page("/"), format!("of layer {}", LAYERS - 1));
    for n in 0..LAYERS {
        assert_eq!(page(&format!("/{n}.txt")), format!("of layer {n}"));
    }
    assert_nothing_left(&host);
    host.finish();
}
