//! Commands of plugins: each in a fresh container of the deployment, or of an image.
//!
//! **Invariants.** The container has the network of the deployment's environment, none of its volumes, and of its
//! variables those that the command names and the grant allows. It ends with its handle, with its call, at its
//! time limit, and at the next start of a host that was killed: it carries the labels of a one-off command that
//! somebody works with. What a secret variable holds is in no line of the log and in no answer to the plugin.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use windlass_build::disk::Mark;
use windlass_containers::runtime::{Session, SessionControl, TaskStatus};
use windlass_containers::{ContainerSpec, Runtime};
use windlass_model::deployment::{ArtifactKind, ArtifactOutput};
use windlass_model::limits::StageLimits;
use windlass_model::secret::Masker;
use windlass_model::variable::Variable;
use windlass_model::{LogLine, StepName, Stream};
use windlass_sandbox::Process;
use windlass_sandbox::contract::exec::{
    Batch, Command, ExecError, Exit, Line, Pipe, Place, Reason,
};

use super::effects::Granted;
use crate::pipeline::runtime_env::{self, Command as Wanted};
use crate::pipeline::{Run, names};
use crate::sessions::start;
use crate::steplog::StepLog;

/// End of the output that comes back where the plugin does not say how much, in bytes of each stream.
const TAIL_BYTES: u32 = 64 * 1024;
/// How long the last output may take once the command has ended.
const LAST_OUTPUT: Duration = Duration::from_secs(5);
/// A line without an end is cut here.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// Longest wait of a plugin for lines, in milliseconds.
const WAIT_MS_MAX: u32 = 60_000;
/// What a plugin gets at once where it does not say how many lines.
const LINES: u32 = 1_000;
/// Arguments of one command.
const ARGV_MAX: usize = 1_000;

fn refused(reason: Reason, message: impl Into<String>) -> ExecError {
    ExecError { reason, message: message.into() }
}

/// Begins a command.
pub(super) async fn begin(granted: &Granted, command: Command) -> Result<Running, ExecError> {
    if command.argv.is_empty() || command.argv.len() > ARGV_MAX {
        let why = format!("a command has 1 to {ARGV_MAX} words");
        return Err(refused(Reason::NotStarted, why));
    }
    let counted = granted.counts.command().map_err(|why| refused(Reason::OverLimit, why))?;
    let variables = variables(granted, &command)?;
    // An image that is resolved here is not pruned before the container stands on it.
    let mark = granted.host.builder.mark();
    let output = output(granted, &command.place).await?;
    let name = start::fresh_name(&granted.host);
    let run = Run {
        host: granted.host.clone(),
        deployment: granted.deployment.clone(),
        revision: 0,
        unsaved: None,
        held: None,
        log: granted.log.clone(),
        cancel: CancellationToken::new(),
        variables,
    };
    let wanted = Wanted {
        id: format!("{}.{name}", run.deployment.id),
        log: &name,
        step: StepName::Start,
        output: &output,
        argv: &command.argv,
        cwd: command.cwd.as_deref(),
        port: None,
        aliases: Vec::new(),
    };
    let mut spec = runtime_env::container(&run, wanted)
        .map_err(|failure| refused(Reason::NotStarted, failure.to_string()))?;
    // Data of the application is not what was granted.
    spec.mounts.clear();
    spec.env.retain(|(name, _)| !command.env.iter().any(|(other, _)| other == name));
    spec.env.extend(command.env.iter().cloned());
    spec.labels = names::run_labels(&run.deployment, &name);
    spec.labels.insert(names::run_label(names::RUN_ATTACHED), "true".to_owned());
    let limits = &granted.host.config.limits.stages;
    let program = command.argv.first().map(String::as_str).unwrap_or_default();
    if !command.quiet {
        let shown = granted.log.masker().mask(program);
        granted.log.say(format!("{}: runs {shown}", granted.plugin));
    }
    let about = About {
        container: spec.id.clone(),
        runtime: granted.host.runtime.clone(),
        log: (!command.quiet).then(|| granted.log.clone()),
        plugin: granted.plugin.clone(),
        masker: granted.log.masker().clone(),
        tail_bytes_max: match command.tail_bytes_max {
            0 => TAIL_BYTES,
            wanted => wanted.min(limits.exec_tail_bytes_max),
        } as usize,
        limit: limit(&command, limits),
        lines_max: limits.exec_lines_max,
    };
    started(spec, command, about, counted, mark).await
}

/// Starts it beside the call: where that ends meanwhile, what is being started has nobody who takes it, and so
/// ends too. Its container stands on its snapshot from then on, so the mark is given back.
async fn started(
    spec: ContainerSpec,
    command: Command,
    about: About,
    counted: OwnedSemaphorePermit,
    mark: Mark,
) -> Result<Running, ExecError> {
    let starting = tokio::spawn(async move {
        let session = about.runtime.run_session(&spec, None).await;
        drop(mark);
        match session {
            Ok(session) => Ok(Running::new(session, command.stdin, about, counted)),
            Err(error) => {
                let program = command.argv.first().map(String::as_str).unwrap_or_default();
                let why = format!("{program:?} could not be started: {error}");
                Err(refused(Reason::NotStarted, why))
            }
        }
    });
    let lost = |_| Err(refused(Reason::HostFailed, "the host could not start it"));
    starting.await.unwrap_or_else(lost)
}

fn limit(command: &Command, limits: &StageLimits) -> Duration {
    let wanted = u64::from(command.timeout_ms);
    let host = limits.exec_wall_ms;
    Duration::from_millis(if wanted == 0 { host } else { wanted.min(host) })
}

/// The variables that the command gets. One that is not set is refused like one that is not granted: what an
/// environment has is not told to those who may not have it.
fn variables(granted: &Granted, command: &Command) -> Result<Vec<Variable>, ExecError> {
    let mut given = Vec::new();
    for name in &command.variable_names {
        let found = granted.variables.iter().find(|variable| variable.name.as_str() == name);
        let may = found.filter(|variable| match variable.secret {
            true => granted.allowed.allows_secret(name),
            false => granted.allowed.allows_variable(name) || granted.allowed.allows_secret(name),
        });
        let Some(variable) = may.filter(|variable| variable.scope.in_run()) else {
            let why = format!("the variable {name} is not granted, or not set for what runs");
            return Err(refused(Reason::Denied, why));
        };
        given.push(variable.clone());
    }
    Ok(given)
}

async fn output(granted: &Granted, place: &Place) -> Result<ArtifactOutput, ExecError> {
    match place {
        Place::Output(name) => {
            if !granted.allowed.allows_exec(name) {
                let why = format!("commands in the output {name:?} are not granted");
                return Err(refused(Reason::Denied, why));
            }
            let artifact = granted.deployment.outputs.artifact.as_ref();
            let found = artifact.and_then(|artifact| artifact.output(name));
            let found = found.filter(|it| matches!(it.kind, ArtifactKind::Image { .. }));
            let why = || format!("there is no output {name:?} that is an image");
            let prepared = granted.deployment.outputs.prepared.as_ref();
            let prepared = prepared.filter(|prepared| prepared.name == *name);
            prepared.or(found).cloned().ok_or_else(|| refused(Reason::NotFound, why()))
        }
        Place::Image(name) => {
            if !granted.allowed.allows_image(name) {
                let why = format!("commands in the image {name:?} are not granted");
                return Err(refused(Reason::Denied, why));
            }
            image(granted, name).await
        }
    }
}

async fn image(granted: &Granted, name: &str) -> Result<ArtifactOutput, ExecError> {
    let (host, project) = (&granted.host, &granted.deployment.project);
    let failed = |failure: windlass_model::Failure| {
        let reason = match failure.code.as_str() {
            "registry.not-found" | "registry.invalid-reference" => Reason::NotFound,
            _ => Reason::HostFailed,
        };
        refused(reason, failure.to_string())
    };
    let access = host.source_credentials(project).map_err(failed)?.images(project);
    let base = windlass_model::plan::Base::Image(name.to_owned());
    let log = granted.log.clone();
    let progress = move |line: String| log.say(line);
    let image = host.builder.resolve_base(&base, access, &progress).await.map_err(failed)?;
    let kind = ArtifactKind::Image { config: image.config };
    Ok(ArtifactOutput { name: name.to_owned(), snapshot: image.snapshot, kind })
}

/// What belongs to a command that runs.
struct About {
    container: String,
    runtime: Arc<dyn Runtime>,
    /// Absent where its output is not to be in the log.
    log: Option<StepLog>,
    plugin: String,
    /// What the plugin never gets to see is hidden from it as it is in the log.
    masker: Masker,
    tail_bytes_max: usize,
    limit: Duration,
    lines_max: usize,
}

/// Lines that wait to be taken.
#[derive(Default)]
struct Waiting {
    lines: VecDeque<Line>,
    dropped: u64,
    ended: bool,
}

/// A command that runs; dropping it ends the command.
pub(super) struct Running {
    exit: watch::Receiver<Option<Exit>>,
    waiting: Arc<Mutex<Waiting>>,
    news: Arc<Notify>,
    end: CancellationToken,
    _ends_with_it: DropGuard,
}

impl Running {
    /// Serves it; `counted` is held until it has ended.
    fn new(session: Session, stdin: Vec<u8>, about: About, counted: OwnedSemaphorePermit) -> Self {
        let (told, exit) = watch::channel(None);
        let waiting = Arc::<Mutex<Waiting>>::default();
        let news = Arc::new(Notify::new());
        let end = CancellationToken::new();
        let pump = Pump {
            waiting: Arc::clone(&waiting),
            news: Arc::clone(&news),
            tails: [Tail::default(), Tail::default()],
            about,
        };
        tokio::spawn(pump.run(session, stdin, end.clone(), told, counted));
        Self { exit, waiting, news, _ends_with_it: end.clone().drop_guard(), end }
    }
}

#[async_trait]
impl Process for Running {
    async fn next_lines(&mut self, lines_max: u32, wait_ms: u32) -> Batch {
        let until = Instant::now() + Duration::from_millis(u64::from(wait_ms.min(WAIT_MS_MAX)));
        let lines_max = if lines_max == 0 { LINES } else { lines_max.min(LINES) } as usize;
        loop {
            // Listened to before it is looked at: what comes in between is not missed.
            let news = self.news.notified();
            {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let left = until.saturating_duration_since(Instant::now());
                if !waiting.lines.is_empty() || waiting.ended || left.is_zero() {
                    let count = waiting.lines.len().min(lines_max);
                    let lines = waiting.lines.drain(..count).collect();
                    let ended = waiting.ended && waiting.lines.is_empty();
                    return Batch { lines, ended, dropped: std::mem::take(&mut waiting.dropped) };
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            let _ = tokio::time::timeout(left, news).await;
        }
    }

    async fn wait(&mut self) -> Exit {
        match self.exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.clone().unwrap_or_else(lost),
            Err(_) => lost(),
        }
    }

    async fn kill(&mut self) {
        self.end.cancel();
        self.wait().await;
    }
}

/// The answer where nobody can tell any more.
fn lost() -> Exit {
    Exit {
        code: 137,
        timed_out: false,
        out_of_memory: false,
        took_ms: 0,
        stdout_tail: Vec::new(),
        stderr_tail: Vec::new(),
        stdout_bytes: 0,
        stderr_bytes: 0,
    }
}

/// The end of a stream, and the line that it is in.
#[derive(Default)]
struct Tail {
    kept: VecDeque<u8>,
    bytes: u64,
    line: Vec<u8>,
}

impl Tail {
    fn keep(&mut self, piece: &[u8], bytes_max: usize) {
        self.bytes += piece.len() as u64;
        self.kept.extend(piece);
        let over = self.kept.len().saturating_sub(bytes_max);
        self.kept.drain(..over);
    }

    /// The lines that a piece ends, and those that are too long to go on.
    fn lines(&mut self, piece: &[u8]) -> Vec<String> {
        let mut ended = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            for chunk in text.chunks(LINE_BYTES_MAX) {
                if self.line.len() + chunk.len() > LINE_BYTES_MAX {
                    ended.push(self.take_line());
                }
                self.line.extend_from_slice(chunk);
            }
            if text.len() < part.len() {
                ended.push(self.take_line());
            }
        }
        ended
    }

    fn take_line(&mut self) -> String {
        let line = std::mem::take(&mut self.line);
        String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line)).into_owned()
    }
}

struct Pump {
    about: About,
    waiting: Arc<Mutex<Waiting>>,
    news: Arc<Notify>,
    /// Of standard output and standard error.
    tails: [Tail; 2],
}

impl Pump {
    /// Serves the command until it has ended, and removes what belongs to it.
    async fn run(
        mut self,
        session: Session,
        stdin: Vec<u8>,
        end: CancellationToken,
        told: watch::Sender<Option<Exit>>,
        counted: OwnedSemaphorePermit,
    ) {
        let begun = Instant::now();
        let Session { stdin: mut pipe, mut output, control } = session;
        let control: Arc<dyn SessionControl> = Arc::from(control);
        let input = Arc::clone(&control);
        let writes = tokio::spawn(async move {
            // A command that has ended, or does not read, is no failure of ours.
            let _ = pipe.write_all(&stdin).await;
            drop(pipe);
            let _ = input.close_stdin().await;
        });
        let mut timed_out = false;
        let limit = self.about.limit;
        let code = tokio::select! {
            code = self.attend(&mut output, control.as_ref()) => code,
            () = tokio::time::sleep(limit) => {
                timed_out = true;
                None
            }
            () = end.cancelled() => None,
        };
        let status = self.about.runtime.status(&self.about.container).await;
        let out_of_memory =
            matches!(status, Ok(Some(TaskStatus::Exited(exit))) if exit.oom && code.is_some());
        writes.abort();
        if let Err(error) = control.end().await {
            let container = &self.about.container;
            tracing::error!(%error, container, "a command of a plugin could not be ended");
        }
        // Before anybody hears of the end: the next may begin then.
        drop(counted);
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let exit = self.finish(Exit { timed_out, out_of_memory, took_ms, ..lost() }, code);
        told.send_replace(Some(exit));
        self.news.notify_waiters();
    }

    /// Takes what the command writes until it has ended; its status.
    async fn attend(
        &mut self,
        output: &mut mpsc::Receiver<(Stream, Bytes)>,
        control: &dyn SessionControl,
    ) -> Option<u32> {
        let ended = control.wait();
        tokio::pin!(ended);
        let code = loop {
            tokio::select! {
                piece = output.recv() => match piece {
                    Some((stream, piece)) => self.take(stream, &piece),
                    None => break (&mut ended).await.ok(),
                },
                code = &mut ended => break code.ok(),
            }
        };
        let rest = async {
            while let Some((stream, piece)) = output.recv().await {
                self.take(stream, &piece);
            }
        };
        let _ = tokio::time::timeout(LAST_OUTPUT, rest).await;
        code
    }

    fn take(&mut self, stream: Stream, piece: &[u8]) {
        let is_error = stream == Stream::Stderr;
        let tail = &mut self.tails[usize::from(is_error)];
        tail.keep(piece, self.about.tail_bytes_max);
        let lines = tail.lines(piece);
        self.pass_on(is_error, lines);
    }

    fn pass_on(&self, is_error: bool, lines: Vec<String>) {
        if lines.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for line in lines {
            if let Some(log) = &self.about.log {
                let text = format!("{}: {line}", self.about.plugin);
                log.write(LogLine::now(
                    if is_error { Stream::Stderr } else { Stream::Stdout },
                    text,
                ));
            }
            if waiting.lines.len() >= self.about.lines_max {
                waiting.dropped += 1;
                continue;
            }
            let pipe = if is_error { Pipe::Stderr } else { Pipe::Stdout };
            let text = self.about.masker.mask(&line);
            waiting.lines.push_back(Line { pipe, text });
        }
        drop(waiting);
        self.news.notify_waiters();
    }

    fn finish(&mut self, exit: Exit, code: Option<u32>) -> Exit {
        for is_error in [false, true] {
            let tail = &mut self.tails[usize::from(is_error)];
            if !tail.line.is_empty() {
                let last = tail.take_line();
                self.pass_on(is_error, vec![last]);
            }
        }
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        let tail = |tail: &Tail| {
            self.about.masker.mask_bytes(&tail.kept.iter().copied().collect::<Vec<u8>>())
        };
        let [out, err] = &self.tails;
        Exit {
            code: code.unwrap_or(exit.code),
            stdout_tail: tail(out),
            stderr_tail: tail(err),
            stdout_bytes: out.bytes,
            stderr_bytes: err.bytes,
            ..exit
        }
    }
}

#[cfg(test)]
mod tests {
    use windlass_containers::fake::FakeRuntime;
    use windlass_containers::runtime::TerminalSize;

    use super::super::effects::Counts;
    use super::*;

    fn about() -> About {
        About {
            container: String::new(),
            runtime: Arc::new(FakeRuntime::new().unwrap()),
            log: None,
            plugin: "p".to_owned(),
            masker: Masker::new(["hunter2-token"]),
            tail_bytes_max: 1_000,
            limit: Duration::from_secs(60),
            lines_max: 10,
        }
    }

    /// The process of a command that goes on until it is ended.
    struct Endless;

    #[async_trait]
    impl SessionControl for Endless {
        async fn close_stdin(&self) -> windlass_containers::Result<()> {
            Ok(())
        }

        async fn resize(&self, _: TerminalSize) -> windlass_containers::Result<()> {
            Ok(())
        }

        async fn signal(&self, _: i32) -> windlass_containers::Result<()> {
            Ok(())
        }

        async fn wait(&self) -> windlass_containers::Result<u32> {
            std::future::pending().await
        }

        async fn end(&self) -> windlass_containers::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_command_has_its_place_until_it_has_ended_in_whatever_way() {
        let counts = Counts::new(&StageLimits { exec_at_once_max: 1, ..StageLimits::default() });
        let begin = |limit| {
            let (stdin, (_, output)) = (Box::new(tokio::io::sink()), mpsc::channel(1));
            let session = Session { stdin, output, control: Box::new(Endless) };
            let about = About { limit, ..about() };
            Running::new(session, Vec::new(), about, counts.command().unwrap())
        };
        let mut killed = begin(Duration::from_secs(60));
        assert!(counts.command().is_err(), "one at a time");
        killed.kill().await;
        let mut timed_out = begin(Duration::from_millis(10));
        assert!(timed_out.wait().await.timed_out);
        let dropped = begin(Duration::from_secs(60));
        drop(dropped);
        counts.all_ended().await;
        assert!(counts.command().is_ok());
    }

    #[test]
    fn what_a_plugin_gets_of_the_output_holds_no_secret_in_any_form_that_the_log_knows() {
        let waiting = Arc::<Mutex<Waiting>>::default();
        let mut pump = Pump {
            about: about(),
            waiting: Arc::clone(&waiting),
            news: Arc::default(),
            tails: [Tail::default(), Tail::default()],
        };
        pump.take(Stream::Stdout, b"\xffhunter2-token\n");
        // base64 of `hunter2-token` and of `user:hunter2-token`, and hexadecimal.
        pump.take(Stream::Stdout, b"aHVudGVyMi10b2tlbg== dXNlcjpodW50ZXIyLXRva2Vu\n");
        pump.take(Stream::Stderr, b"68756e746572322d746f6b656e, last");
        let exit = pump.finish(lost(), Some(0));
        let lines = std::mem::take(&mut waiting.lock().unwrap().lines);
        let lines: Vec<String> = lines.into_iter().map(|line| line.text).collect();
        assert_eq!(lines, ["\u{fffd}[secret]", "[secret]g== dXNlcjp[secret]", "[secret], last"]);
        assert_eq!(exit.stdout_tail, b"\xff[secret]\n[secret]g== dXNlcjp[secret]\n");
        assert_eq!(exit.stderr_tail, b"[secret], last");
    }

    #[test]
    fn the_end_of_a_stream_is_kept_and_its_lines_are_whole() {
        let mut tail = Tail::default();
        let mut lines = Vec::new();
        for piece in ["one\ntw", "o\r\n", "", "thr"] {
            tail.keep(piece.as_bytes(), 5);
            lines.extend(tail.lines(piece.as_bytes()));
        }
        assert_eq!(lines, ["one", "two"]);
        assert_eq!(tail.take_line(), "thr");
        assert_eq!(tail.kept.iter().copied().collect::<Vec<u8>>(), b"\r\nthr");
        assert_eq!(tail.bytes, 12);
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        assert_eq!(tail.lines(&long).len(), 1);
        assert_eq!(tail.take_line().len(), 1);
    }
}
