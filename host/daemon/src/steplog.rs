//! Logs of steps: files of JSON lines, `<data>/logs/<deployment>/<NN>-<step>.jsonl`.
//!
//! **Invariant: what is written was masked first.** A log is append-only and outlives its containers;
//! whatever exceeds the byte limit is counted and said, never silently lost.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use windlass_containers::logs::{LogCursor, tail_of_file};
use windlass_model::secret::Masker;
use windlass_model::{
    DeploymentId, Dropped, Limits, LogLine, StepName, StoredLine, Stream, Timestamp,
};

use crate::source::remove_tree;

/// Where the logs of this host lie.
#[derive(Debug, Clone)]
pub struct StepLogs {
    root: PathBuf,
    step_bytes_max: u64,
    line_bytes_max: usize,
}

impl StepLogs {
    /// Logs below a data directory.
    pub fn new(data_dir: &Path, limits: &Limits) -> Self {
        Self {
            root: data_dir.join("logs"),
            step_bytes_max: limits.step_log_bytes_max,
            line_bytes_max: limits.log_line_bytes_max,
        }
    }

    /// Folder of everything that one deployment logged.
    pub fn deployment_dir(&self, deployment: &DeploymentId) -> PathBuf {
        self.root.join(deployment.as_str())
    }

    /// Folder of the logs of one instance, or of the migration.
    pub fn instance_dir(&self, deployment: &DeploymentId, instance: &str) -> PathBuf {
        self.deployment_dir(deployment).join("instances").join(instance)
    }

    /// File of one step's log. It exists once the step has written something.
    pub fn step_file(&self, deployment: &DeploymentId, step: StepName) -> PathBuf {
        let number = StepName::ALL.iter().position(|s| *s == step).unwrap_or_default() + 1;
        self.deployment_dir(deployment).join(format!("{number:02}-{step}.jsonl"))
    }

    /// Opens the log of a step, to append to it.
    ///
    /// # Errors
    /// When the folder cannot be made or the file not be opened.
    pub fn open(
        &self,
        deployment: &DeploymentId,
        step: StepName,
        masker: Masker,
    ) -> std::io::Result<StepLog> {
        let path = self.step_file(deployment, step);
        std::fs::create_dir_all(self.deployment_dir(deployment))?;
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let written = file.metadata()?.len();
        Ok(StepLog {
            inner: Arc::new(Inner {
                file: Mutex::new(Sink { file, written, dropped: Dropped::default() }),
                masker,
                bytes_max: self.step_bytes_max,
                line_bytes_max: self.line_bytes_max,
            }),
        })
    }

    /// Reads the log of a step from its beginning.
    pub fn cursor(&self, deployment: &DeploymentId, step: StepName) -> LogCursor {
        LogCursor::of_file(&self.step_file(deployment, step))
    }

    /// The last lines of a step.
    pub fn tail(
        &self,
        deployment: &DeploymentId,
        step: StepName,
        lines_max: usize,
    ) -> Vec<LogLine> {
        tail_of_file(&self.step_file(deployment, step), lines_max)
    }

    /// The deployments that have logged something, also those whose record is gone.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn deployments(&self) -> std::io::Result<Vec<DeploymentId>> {
        ids_in(&self.root)
    }

    /// The logs of runs of schedules that a deployment has, by their names, with their folders. Blocks.
    pub(crate) fn cron_dirs(&self, deployment: &DeploymentId) -> Vec<(String, PathBuf)> {
        let dir = self.deployment_dir(deployment).join("instances");
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let named =
            entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry)));
        // `cron.NAME.NUMBER`; instances of a process that is called cron have no name there.
        let of_run = |name: &str| {
            let rest = name.strip_prefix("cron.").and_then(|rest| rest.rsplit_once('.'));
            rest.is_some_and(|(_, number)| number.parse::<u64>().is_ok())
        };
        let of_runs = named.filter(|(name, _)| of_run(name));
        of_runs.map(|(name, entry)| (name, entry.path())).collect()
    }

    /// Removes everything that a deployment logged.
    ///
    /// # Errors
    /// When something of it cannot be removed.
    pub fn remove(&self, deployment: &DeploymentId) -> std::io::Result<()> {
        remove_tree(&self.deployment_dir(deployment))
    }
}

/// The deployments that a folder has something of, by their ids; a folder that does not exist has none.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn ids_in(dir: &Path) -> std::io::Result<Vec<DeploymentId>> {
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        found.extend(entry?.file_name().to_str().and_then(|name| name.parse().ok()));
    }
    Ok(found)
}

/// The open log of one step. Clones write to the same file.
#[derive(Clone)]
pub struct StepLog {
    inner: Arc<Inner>,
}

struct Inner {
    file: Mutex<Sink>,
    masker: Masker,
    bytes_max: u64,
    line_bytes_max: usize,
}

struct Sink {
    file: File,
    written: u64,
    dropped: Dropped,
}

impl StepLog {
    /// Writes a line of Windlass itself.
    pub fn say(&self, text: impl Into<String>) {
        self.write(LogLine::now(Stream::Host, text));
    }

    /// Writes a line, masked; a long one is split.
    pub fn write(&self, line: LogLine) {
        let masked = self.inner.masker.mask(&line.text);
        let mut sink = self.inner.file.lock().unwrap_or_else(PoisonError::into_inner);
        for part in split(&masked, self.inner.line_bytes_max) {
            let record = LogLine { at: line.at, stream: line.stream, text: part.to_owned() };
            sink.append(&record, self.inner.bytes_max);
        }
    }

    /// The masker of this log, for text that goes elsewhere.
    pub fn masker(&self) -> &Masker {
        &self.inner.masker
    }
}

impl Sink {
    fn append(&mut self, line: &LogLine, bytes_max: u64) {
        let Ok(mut bytes) = serde_json::to_vec(line) else {
            return;
        };
        bytes.push(b'\n');
        if self.written + bytes.len() as u64 > bytes_max {
            if self.dropped.is_none() {
                self.say_full();
            }
            self.dropped.add(1, line.text.len() as u64);
            return;
        }
        // One write per line: readers never see half a line but after a crash.
        match self.file.write_all(&bytes) {
            Ok(()) => self.written += bytes.len() as u64,
            Err(_) => self.dropped.add(1, line.text.len() as u64),
        }
    }

    /// Said at once and not only with the count at the end: a crash would take the count with it.
    fn say_full(&mut self) {
        let text = "the limit of this log is reached: what follows is counted and dropped";
        self.put(&LogLine::now(Stream::Host, text).into());
    }

    fn put(&mut self, line: &StoredLine) {
        if let Ok(mut bytes) = serde_json::to_vec(line) {
            bytes.push(b'\n');
            // Nothing can be done about a log that cannot be written.
            let _ = self.file.write_all(&bytes);
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if !self.dropped.is_none() {
            let why = "the limit of this log is reached";
            self.put(&StoredLine::gap(Timestamp::now(), self.dropped, why));
        }
    }
}

/// Cuts text into pieces of at most `bytes_max` bytes, at character boundaries.
fn split(text: &str, bytes_max: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while rest.len() > bytes_max {
        let cut = rest.floor_char_boundary(bytes_max.max(4));
        let (head, tail) = rest.split_at(cut);
        parts.push(head);
        rest = tail;
    }
    parts.push(rest);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(limits: &Limits) -> (tempfile::TempDir, StepLogs) {
        let dir = tempfile::tempdir().unwrap();
        let logs = StepLogs::new(dir.path(), limits);
        (dir, logs)
    }

    #[test]
    fn lines_come_back_in_order_and_masked() {
        let (_dir, logs) = logs(&Limits::default());
        let id = DeploymentId::generate();
        let log = logs.open(&id, StepName::Build, Masker::new(["hunter2"])).unwrap();
        log.say("one");
        log.write(LogLine::now(Stream::Stderr, "the password is hunter2"));
        let mut cursor = logs.cursor(&id, StepName::Build);
        let texts: Vec<String> = cursor.by_ref().map(|stored| stored.line.text).collect();
        assert_eq!(texts, ["one", "the password is [secret]"]);
        log.say("three");
        assert_eq!(cursor.next().unwrap().line.text, "three");
        assert_eq!(logs.tail(&id, StepName::Build, 1)[0].text, "three");
    }

    #[test]
    fn what_is_over_the_limit_is_counted_and_said() {
        let (_dir, logs) = logs(&Limits { step_log_bytes_max: 200, ..Limits::default() });
        let id = DeploymentId::generate();
        let log = logs.open(&id, StepName::Build, Masker::default()).unwrap();
        for _ in 0..50 {
            log.say("a line of some length");
        }
        drop(log);
        let lines: Vec<_> = logs.cursor(&id, StepName::Build).collect();
        let kept = lines.iter().filter(|stored| stored.line.text.starts_with("a line")).count();
        assert!((1..5).contains(&kept), "{lines:#?}");
        let gap = lines.last().unwrap();
        assert_eq!(gap.dropped.unwrap().lines, 50 - kept as u64);
        assert!(gap.line.text.contains("dropped here"), "{}", gap.line.text);
    }

    #[test]
    fn long_lines_are_split_at_characters() {
        assert_eq!(split("äöü", 4), ["äö", "ü"]);
        assert_eq!(split("", 4), [""]);
    }
}
