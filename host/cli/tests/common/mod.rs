//! A console in memory, roles that are not there, and a tiny HTTP server with given answers.

#![expect(clippy::unwrap_used, reason = "test support: what fails here fails the test")]

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use windlass_cli::Roles;
use windlass_cli::console::Console;
use windlass_cli::exit::Exit;
use windlass_cli::roles::{
    Check, CheckState, DetectOutput, DoctorOptions, LocalOptions, PlanOutput, PluginFolders,
    ProxyOptions, RecoverOptions, RestoreOptions, ServeOptions, TeardownOptions,
};
use windlass_model::Failure;
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
    fn verify_backup(&self, _: &std::path::Path) -> Result<BackupView, Failure> {
        Err(refused())
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
