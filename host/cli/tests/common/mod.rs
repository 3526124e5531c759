//! A console in memory, roles that are not there, and a tiny HTTP server with given answers.

#![expect(clippy::unwrap_used, reason = "test support: what fails here fails the test")]

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use windlass_cli::Roles;
use windlass_cli::console::Console;
use windlass_cli::exit::Exit;
use windlass_cli::roles::{
    Authoring, Check, CheckState, DetectOutput, DoctorOptions, LocalOptions, PlanOutput,
    PluginFolders, ProxyOptions, RecoverOptions, RestoreOptions, ServeOptions, TeardownOptions,
};
use windlass_model::Failure;
use windlass_model::author::{
    Answers, AskPlugin, Bench, BenchPlugin, Built, CaseOutcome, Checked, Created, IndexPlugin,
    Indexed, NewPlugin, PublishPlugin, Published, TestPlugin, Tested, TestedCase,
};
use windlass_model::plugin::{KnownFailure, Manifest};
use windlass_model::recovery::{BackupView, RecoverReport, RestoreReport};

/// Roles that refuse, except the doctor, and remember how `serve` was asked.
#[derive(Default)]
pub(crate) struct NoRoles {
    pub(crate) served: Mutex<Option<ServeOptions>>,
}

fn refused() -> Failure {
    Failure::app("detect.no-match", "no plugin recognises this source", "a test", "none")
}

impl Roles for NoRoles {
    fn serve(&self, options: ServeOptions) -> Result<(), Failure> {
        *self.served.lock().unwrap() = Some(options);
        Ok(())
    }
    fn proxy(&self, _: ProxyOptions) -> Result<(), Failure> {
        Err(Failure::host("proxy.bind", "the proxy cannot start", "taken", "free it"))
    }
    fn detect(&self, _: &LocalOptions) -> Result<DetectOutput, Failure> {
        Err(refused())
    }
    fn plan(&self, _: &LocalOptions) -> Result<PlanOutput, Failure> {
        Err(refused())
    }
    fn manifests(&self, _: &PluginFolders) -> Result<Vec<Manifest>, Failure> {
        let known = KnownFailure {
            code: "acme.no-rocket".into(),
            title: "There is no rocket".into(),
            cause: "{part} is missing".into(),
            fix: "order {part}".into(),
            patterns: vec!["no (?<part>rocket)".into()],
            steps: vec![],
        };
        Ok(vec![Manifest {
            name: "acme".into(),
            version: "1.0.0".into(),
            summary: "A test".into(),
            licence: "Apache-2.0".into(),
            capabilities: vec![],
            options_schema: String::new(),
            custom: Vec::new(),
            failures: vec![known],
        }])
    }
    fn teardown(&self, _: TeardownOptions) -> Result<(), Failure> {
        Ok(())
    }
    fn recover(&self, _: RecoverOptions) -> Result<RecoverReport, Failure> {
        Err(refused())
    }
    fn restore(&self, _: RestoreOptions) -> Result<RestoreReport, Failure> {
        Err(refused())
    }
    fn verify_backup(&self, _: &Path) -> Result<BackupView, Failure> {
        Err(refused())
    }
    fn authoring(&self) -> &dyn Authoring {
        self
    }
    fn doctor(&self, _: &DoctorOptions) -> Result<Vec<Check>, Failure> {
        Ok(vec![Check {
            name: "nft".into(),
            state: CheckState::Missing,
            found: "not found".into(),
            fix: "apt-get install nftables".into(),
        }])
    }
}

/// A workshop in which nothing goes well.
impl Authoring for NoRoles {
    fn new_plugin(&self, request: &NewPlugin) -> Result<Created, Failure> {
        let what = format!("{} is there already", request.name);
        Err(Failure::app("plugin.folder-exists", what, "a test", "another name"))
    }
    fn build_plugin(&self, _: &Path) -> Result<Built, Failure> {
        Err(Failure::app("plugin.tool-missing", "cargo is not installed", "a test", "install it"))
    }
    fn find_component(&self, plugin: &Path) -> Result<PathBuf, Failure> {
        let built = plugin.join("dist/notes.wasm");
        let none = || Failure::app("plugin.not-built", "it was not built", "a test", "build it");
        if built.is_file() { Ok(built) } else { Err(none()) }
    }
    fn check_plugin(&self, plugin: &Path) -> Result<Checked, Failure> {
        let what = format!("{} is no plugin that this Windlass runs", plugin.display());
        Err(Failure::plugin(
            "notes",
            "plugin.not-loadable",
            what,
            "a core module",
            "build it again",
        ))
    }
    fn test_plugin(&self, request: &TestPlugin) -> Result<Tested, Failure> {
        let outcome = if request.accept {
            CaseOutcome::Written
        } else {
            CaseOutcome::Differs { diff: "-a\n+b\n".to_owned() }
        };
        let case = TestedCase { name: "book".into(), outcome, log: vec![], took_us: 5 };
        Ok(Tested {
            plugin: "notes".into(),
            component: "dist/notes.wasm".into(),
            fixtures: "fixtures".into(),
            cases: vec![case],
            warnings: vec![],
        })
    }
    fn run_plugin(&self, request: &AskPlugin) -> Result<Answers, Failure> {
        let stage = request.stage.map_or("no", |stage| stage.as_str());
        Ok(Answers {
            plugin: "notes".into(),
            source: request.source.clone().unwrap_or_default(),
            answers: vec![],
            not_asked: vec![format!("{stage} stage alone")],
        })
    }
    fn publish_plugin(&self, request: &PublishPlugin) -> Result<Published, Failure> {
        let login =
            request.login.as_ref().map(|(user, secret)| format!("{user}:{}", secret.expose()));
        Ok(Published {
            plugin: "notes".into(),
            version: "1.0.0".into(),
            address: format!("oci://{} as {}", request.reference, login.unwrap_or_default()),
            artifact: windlass_model::Digest::of(b"artifact"),
            component: windlass_model::Digest::of(b"component"),
        })
    }
    fn index_plugin(&self, request: &IndexPlugin) -> Result<Indexed, Failure> {
        Ok(Indexed {
            plugin: "notes".into(),
            version: "1.0.0".into(),
            index: request.index.clone(),
            url: format!("{} {:?} {:?}", request.url, request.keywords, request.homepage),
            component: windlass_model::Digest::of(b"component"),
        })
    }
    fn bench_plugin(&self, _: &BenchPlugin) -> Result<Bench, Failure> {
        Err(Failure::plugin("notes", "plugin.trapped", "it failed", "a test", "mend it"))
    }
}

/// What a command printed, and how it ended.
pub(crate) struct Ran {
    pub(crate) exit: Exit,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs one command line, without a terminal.
pub(crate) fn run(args: &[&str], stdin: &str) -> Ran {
    run_with(&NoRoles::default(), args, stdin)
}

pub(crate) fn run_with(roles: &NoRoles, args: &[&str], stdin: &str) -> Ran {
    let args: Vec<OsString> = ["windlass"].iter().chain(args).map(OsString::from).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console::plain(&mut out, &mut err, stdin.as_bytes());
    let exit = windlass_cli::run(args, roles, &mut console);
    drop(console);
    Ran { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) authorization: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// Answers one connection after another, each with the next answer, and remembers the requests.
pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    thread: JoinHandle<()>,
}

impl Server {
    /// `answers`: status line (`200 OK`), content type, body.
    pub(crate) fn new(answers: Vec<(&'static str, &'static str, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let remember = Arc::clone(&seen);
        let thread = std::thread::spawn(move || {
            for (status, kind, body) in answers {
                let (stream, _) = listener.accept().unwrap();
                let request = read(&stream);
                remember.lock().unwrap().push(request);
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                (&stream).write_all((head + &body).as_bytes()).unwrap();
            }
        });
        Self { url, seen, thread }
    }

    pub(crate) fn json(answers: Vec<(&'static str, String)>) -> Self {
        Self::new(answers.into_iter().map(|(s, b)| (s, "application/json", b)).collect())
    }

    /// All requests; every answer must have been asked for.
    pub(crate) fn finish(self) -> Vec<Seen> {
        self.thread.join().unwrap();
        self.seen.lock().unwrap().clone()
    }
}

fn read(stream: &TcpStream) -> Seen {
    let mut reader = BufReader::new(stream);
    let mut next = || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    let line = next();
    let mut seen = Seen { line, authorization: None, content_type: None, body: Vec::new() };
    let mut length = 0;
    loop {
        let header = next();
        let Some((name, value)) = header.split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => seen.authorization = Some(value.trim().to_owned()),
            "content-type" => seen.content_type = Some(value.trim().to_owned()),
            "content-length" => length = value.trim().parse().unwrap(),
            _ => {}
        }
    }
    seen.body.resize(length, 0);
    reader.read_exact(&mut seen.body).unwrap();
    seen
}
