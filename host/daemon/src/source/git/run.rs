//! One call of `git`: shut in, never prompting, and killed with everything it started.

use std::ffi::OsString;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use windlass_model::secret::Masker;
use windlass_model::{LogLine, Stream};

use super::Remote;
use crate::source::address;
use crate::steplog::StepLog;

/// Processes that write files at once: more wait for the same journal.
const WORKERS_MAX: usize = 4;
/// Of the surroundings only these reach Git: where programs are, and how the network is reached.
const ENV_KEPT: [&str; 15] = [
    "PATH",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "SSH_AUTH_SOCK",
    "TMPDIR",
];

/// Bytes kept of what Git answers.
const STDOUT_BYTES_MAX: u64 = 256 << 20;
/// Lines kept of what Git complains.
const STDERR_LINES_MAX: usize = 40;
/// How often the size of a running fetch is looked at.
const SIZE_POLL: Duration = Duration::from_millis(250);

/// Why a call of Git failed.
#[derive(Debug)]
pub(in crate::source) enum GitFailed {
    /// It could not be started.
    NotStarted(std::io::Error),
    /// Its output could not be read.
    Io(std::io::Error),
    /// It ended with another status than 0.
    Exited { stderr: String },
    /// It was killed, because the deployment was cancelled.
    Cancelled,
    /// It was killed, because it fetched more than this many bytes.
    TooLarge(u64),
}

impl GitFailed {
    /// Whether the server refused a commit only because it was asked for by its id.
    pub(super) fn refused_by_id(&self) -> bool {
        let signs = [
            "not our ref",
            "unadvertised object",
            "no such remote ref",
            "couldn't find remote ref",
        ];
        self.says_any(&signs)
    }

    /// Whether the cached repository is to blame, not the other end.
    pub(super) fn is_damage(&self) -> bool {
        let signs = [
            "not a git repository",
            "bad object",
            "is corrupt",
            "loose object",
            "missing blob",
            "File exists",
            "unable to read tree",
            "did not send all necessary objects",
            "shallow file has changed",
            "invalid index-pack",
            "index-pack failed",
        ];
        self.says_any(&signs) && !self.says_any(&["does not appear to be a git repository"])
    }

    fn says_any(&self, signs: &[&str]) -> bool {
        let Self::Exited { stderr } = self else {
            return false;
        };
        signs.iter().any(|sign| stderr.contains(sign))
    }
}

/// Git on one repository, with everything that its calls have in common.
#[derive(Clone)]
pub(in crate::source) struct Git<'a> {
    dir: PathBuf,
    env: Vec<(OsString, OsString)>,
    masker: Masker,
    sends_token: bool,
    bytes_max: u64,
    log: Option<&'a StepLog>,
    cancel: &'a CancellationToken,
}

impl<'a> Git<'a> {
    /// Prepares calls on the bare repository `dir`. The token travels in the environment: neither
    /// other users of the machine nor the repository's configuration get to see it.
    pub(super) fn new(dir: &Path, config: &Path, ssh: &str, remote: &Remote<'a>) -> Self {
        let mut settings = fixed_settings();
        let mut masked = Vec::new();
        let token = remote.credentials.git_token.as_ref();
        if let Some((origin, token)) = token.and_then(|t| Some((http_origin(remote.url)?, t))) {
            let basic = basic_credentials(token.expose());
            settings.push((
                format!("http.{origin}/.extraHeader"),
                format!("Authorization: Basic {basic}"),
            ));
            masked = vec![token.expose().clone(), basic];
        }
        let sends_token = !masked.is_empty();
        let mut env = environment(dir, config, ssh);
        env.push(("GIT_CONFIG_COUNT".into(), settings.len().to_string().into()));
        for (n, (key, value)) in settings.into_iter().enumerate() {
            env.push((format!("GIT_CONFIG_KEY_{n}").into(), key.into()));
            env.push((format!("GIT_CONFIG_VALUE_{n}").into(), value.into()));
        }
        Self {
            dir: dir.to_owned(),
            env,
            masker: Masker::new(masked.iter().map(String::as_str)),
            sends_token,
            bytes_max: remote.limits.source_bytes_max,
            log: remote.log,
            cancel: remote.cancel,
        }
    }

    /// The repository.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether a token goes along.
    pub(super) fn sends_token(&self) -> bool {
        self.sends_token
    }

    /// Runs one command and answers its output as text.
    pub(super) async fn run(&self, args: &[&str]) -> Result<String, GitFailed> {
        let out = self.run_bytes(args, &[]).await?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    /// The same for a question whose "no" is nothing for the log.
    pub(in crate::source) async fn quiet(&self, args: &[&str]) -> Result<Vec<u8>, GitFailed> {
        self.silent().run_bytes(args, &[]).await
    }

    /// The same repository; nothing of what Git complains of goes to the log.
    pub(super) fn silent(&self) -> Self {
        Git { log: None, ..self.clone() }
    }

    /// Runs one command, with more environment, and answers its output.
    pub(in crate::source) async fn run_bytes(
        &self,
        args: &[&str],
        env: &[(&str, &Path)],
    ) -> Result<Vec<u8>, GitFailed> {
        let mut command = Command::new("git");
        command.args(args).current_dir(&self.dir).env_clear().envs(self.env.iter().cloned());
        command.envs(env.iter().copied()).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Group(command.spawn().map_err(GitFailed::NotStarted)?);
        let (stdout, stderr) = (child.0.stdout.take(), child.0.stderr.take());
        let work = async {
            let (out, err) = tokio::join!(read_all(stdout), self.read_lines(stderr));
            let status = child.0.wait().await;
            (out, err, status)
        };
        let (out, stderr, status) = tokio::select! {
            done = work => done,
            () = self.cancel.cancelled() => return Err(GitFailed::Cancelled),
            () = self.grown_too_large() => return Err(GitFailed::TooLarge(self.bytes_max)),
        };
        if status.map_err(GitFailed::Io)?.success() {
            return out.map_err(GitFailed::Io);
        }
        Err(GitFailed::Exited { stderr })
    }

    /// Passes complaints on to the step's log, masked, and keeps the last of them.
    async fn read_lines(&self, from: Option<impl AsyncRead + Unpin>) -> String {
        let Some(from) = from else {
            return String::new();
        };
        let mut lines = BufReader::new(from).split(b'\n');
        let mut kept: Vec<String> = Vec::new();
        while let Ok(Some(line)) = lines.next_segment().await {
            let text = self.masker.mask(String::from_utf8_lossy(&line).trim_end());
            if text.is_empty() {
                continue;
            }
            if let Some(log) = self.log {
                log.write(LogLine::now(Stream::Stderr, text.clone()));
            }
            if kept.len() == STDERR_LINES_MAX {
                kept.remove(0);
            }
            kept.push(text);
        }
        kept.join("\n")
    }

    /// Ends when the packs that are being fetched are over the limit.
    async fn grown_too_large(&self) {
        let packs = self.dir.join("objects/pack");
        let before = bytes_below(&packs);
        loop {
            tokio::time::sleep(SIZE_POLL).await;
            let dir = packs.clone();
            let now = tokio::task::spawn_blocking(move || bytes_below(&dir)).await;
            if now.unwrap_or_default().saturating_sub(before) > self.bytes_max {
                return;
            }
        }
    }
}

/// A child in its own process group. Dropped before its end, the whole group is killed.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // `id` is none once the child was waited for: its number may be another's by then.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(group) = id {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

async fn read_all(from: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    if let Some(from) = from {
        from.take(STDOUT_BYTES_MAX).read_to_end(&mut out).await?;
    }
    if out.len() as u64 == STDOUT_BYTES_MAX {
        return Err(std::io::Error::other("Git's answer is too long"));
    }
    Ok(out)
}

fn bytes_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum()
}

fn environment(dir: &Path, config: &Path, ssh: &str) -> Vec<(OsString, OsString)> {
    let kept = ENV_KEPT.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?)));
    let mut env: Vec<(OsString, OsString)> = kept.collect();
    let fixed: [(&str, OsString); 14] = [
        ("GIT_DIR", dir.into()),
        ("GIT_CONFIG_NOSYSTEM", "1".into()),
        ("GIT_CONFIG_GLOBAL", config.into()),
        ("GIT_ATTR_NOSYSTEM", "1".into()),
        ("GIT_TERMINAL_PROMPT", "0".into()),
        ("GIT_ASKPASS", "".into()),
        ("SSH_ASKPASS", "".into()),
        ("GIT_ALLOW_PROTOCOL", address::PROTOCOLS.into()),
        ("GIT_SSH_COMMAND", ssh.into()),
        ("GIT_OPTIONAL_LOCKS", "0".into()),
        ("GIT_LFS_SKIP_SMUDGE", "1".into()),
        ("LC_ALL", "C".into()),
        // Neither `.netrc` nor a configuration of the user may speak for a project.
        ("HOME", dir.join("no-such-folder").into()),
        ("XDG_CONFIG_HOME", dir.join("no-such-folder").into()),
    ];
    env.extend(fixed.into_iter().map(|(name, value)| (name.into(), value)));
    env
}

fn fixed_settings() -> Vec<(String, String)> {
    let mut settings: Vec<(String, String)> = [
        ("core.hooksPath", "/dev/null"),
        ("core.fsmonitor", "false"),
        ("core.autocrlf", "false"),
        ("core.symlinks", "true"),
        ("credential.helper", ""),
        ("fetch.unpackLimit", "1"),
        ("fetch.fsckObjects", "false"),
        ("gc.auto", "0"),
        ("maintenance.auto", "false"),
        ("advice.detachedHead", "false"),
        ("protocol.version", "2"),
        ("http.lowSpeedLimit", "1000"),
        ("http.lowSpeedTime", "60"),
        ("submodule.recurse", "false"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    // Git writes few files by one alone.
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    settings.push(("checkout.workers".to_owned(), workers.min(WORKERS_MAX).to_string()));
    // Git's libcurl may not know the bundle that the other programs of this machine are told of.
    if let Some(bundle) = std::env::var("SSL_CERT_FILE").ok().filter(|f| Path::new(f).is_file()) {
        settings.push(("http.sslCAInfo".to_owned(), bundle));
    }
    settings
}

/// `https://host:port` of an address, without a user name.
pub(super) fn http_origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    if !matches!(scheme, "https" | "http") {
        return None;
    }
    let authority = rest.split('/').next()?;
    let host = authority.rsplit('@').next()?;
    Some(format!("{scheme}://{host}"))
}

/// Most services take any user name beside a token; GitHub documents this one.
fn basic_credentials(token: &str) -> String {
    let pair =
        if token.contains(':') { token.to_owned() } else { format!("x-access-token:{token}") };
    base64::engine::general_purpose::STANDARD.encode(pair)
}
