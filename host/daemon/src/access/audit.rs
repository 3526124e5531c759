//! The audit log: JSON lines in files that are only ever appended to.
//!
//! **What is durable when.** The line of a request is in the file before the request is carried out: it
//! survives any way in which this process ends. It is synced to the disk while the request is carried
//! out, and the answer waits for that: what was answered survives a loss of power too. Waiting beside the
//! work costs a request next to nothing, since the work's own commit waits for the same disk. The line
//! that says how it ended follows without a sync of its own.
//!
//! A log that cannot be written (a full disk) stops nothing: what frees space must remain possible. It is
//! said loudly, and the next line that can be written says how many were lost.
//!
//! Files: `<data>/audit/audit.jsonl`, older ones `audit-<UTC time>.jsonl` beside it, bounded by size,
//! count and age (`access.audit_*` of the limits).

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tokio::sync::{mpsc, oneshot};
use windlass_model::audit::{AuditEntry, AuditLine, AuditOutcome};
use windlass_model::limits::AccessLimits;
use windlass_model::{Failure, ProjectName, Timestamp};

/// Folder in the data directory.
pub const AUDIT_DIR: &str = "audit";
const PRESENT: &str = "audit.jsonl";
/// Lines that wait for the writer.
const WAITING_MAX: usize = 1024;
const DAY_S: i64 = 24 * 3600;

/// The log, as requests use it.
#[derive(Debug, Clone)]
pub struct Audit {
    dir: PathBuf,
    to: mpsc::Sender<Job>,
}

#[derive(Debug)]
struct Job {
    line: Vec<u8>,
    /// Told when the line is in the file.
    written: oneshot::Sender<()>,
    /// Told when it is on the disk.
    synced: Option<oneshot::Sender<()>>,
}

/// A line that is on its way to the disk.
#[derive(Debug)]
pub(crate) struct Pending(oneshot::Receiver<()>);

impl Pending {
    /// Waits until the line is on the disk, or could not be brought there.
    pub(crate) async fn synced(self) {
        let _ = self.0.await;
    }
}

impl Audit {
    /// Opens the log and starts its writer. Blocks.
    ///
    /// # Errors
    /// `serve.audit-log`.
    pub fn open(data_dir: &Path, limits: &AccessLimits) -> Result<Self, Failure> {
        let dir = data_dir.join(AUDIT_DIR);
        let failed = |e: std::io::Error| {
            Failure::host(
                "serve.audit-log",
                format!("the audit log in {} cannot be written", dir.display()),
                e.to_string(),
                "check the folder's owner and the disk",
            )
        };
        let files = Files::open(dir.clone(), limits.clone()).map_err(failed)?;
        let (to, jobs) = mpsc::channel(WAITING_MAX);
        let writer = std::thread::Builder::new().name("audit".to_owned());
        writer.spawn(move || write_all(files, jobs)).map_err(failed)?;
        Ok(Self { dir, to })
    }

    /// Writes a request down. When this returns the line is in the file; it is on the disk when the
    /// returned value says so.
    pub(crate) async fn asked(&self, entry: AuditEntry) -> Pending {
        let (tell, synced) = oneshot::channel();
        self.send(&AuditLine::Asked(entry), Some(tell)).await;
        Pending(synced)
    }

    /// Writes down how it ended.
    pub(crate) async fn answered(&self, outcome: AuditOutcome) {
        self.send(&AuditLine::Answered(outcome), None).await;
    }

    async fn send(&self, line: &AuditLine, synced: Option<oneshot::Sender<()>>) {
        let Ok(mut line) = serde_json::to_vec(line) else { return };
        line.push(b'\n');
        let (written, in_file) = oneshot::channel();
        if self.to.send(Job { line, written, synced }).await.is_ok() {
            let _ = in_file.await;
        }
    }

    /// Entries that fit, newest first. Blocks.
    ///
    /// # Errors
    /// `audit.unreadable`.
    pub fn read(&self, wanted: &Wanted) -> Result<Vec<AuditEntry>, Failure> {
        read(&self.dir, wanted).map_err(|e| {
            Failure::host(
                "audit.unreadable",
                "the audit log could not be read",
                e.to_string(),
                format!("check the files in {}", self.dir.display()),
            )
        })
    }
}

/// The writer's work: lines that came meanwhile are synced together.
fn write_all(mut files: Files, mut jobs: mpsc::Receiver<Job>) {
    while let Some(first) = jobs.blocking_recv() {
        let mut waiting = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next {
            files.append(&job.line);
            let _ = job.written.send(());
            waiting.extend(job.synced);
            next = jobs.try_recv().ok();
        }
        if !waiting.is_empty() {
            files.sync();
        }
        for waits in waiting {
            let _ = waits.send(());
        }
    }
}

/// The files, and the one that is written to.
struct Files {
    dir: PathBuf,
    limits: AccessLimits,
    present: File,
    bytes: u64,
    begun: Timestamp,
    lost: u64,
}

impl Files {
    fn open(dir: PathBuf, limits: AccessLimits) -> std::io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        let mut present = open_present(&dir)?;
        let bytes = end_last_line(&mut present)?;
        let begun = begun(&dir.join(PRESENT)).unwrap_or_else(Timestamp::now);
        let files = Self { dir, limits, present, bytes, begun, lost: 0 };
        files.prune();
        Ok(files)
    }

    fn append(&mut self, line: &[u8]) {
        if let Err(error) = self.try_append(line) {
            self.lost += 1;
            tracing::error!(%error, lost = self.lost, "a line of the audit log could not be written");
        }
    }

    fn try_append(&mut self, line: &[u8]) -> std::io::Result<()> {
        if self.lost > 0 {
            let note = format!("{{\"lost\":{}}}\n", self.lost);
            self.write(note.as_bytes())?;
            self.lost = 0;
        }
        if self.is_full() {
            self.rotate()?;
        }
        self.write(line)
    }

    /// All of the bytes or none: what was written of them is taken back.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if let Err(error) = self.present.write_all(bytes) {
            let _ = self.present.set_len(self.bytes);
            return Err(error);
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn sync(&self) {
        if let Err(error) = self.present.sync_data() {
            tracing::error!(%error, "the audit log could not be synced");
        }
    }

    /// Old enough that pruning by age takes away no more than a part of what is kept.
    fn is_full(&self) -> bool {
        let age_s = Timestamp::now().as_second() - self.begun.as_second();
        let part_s = i64::from(self.limits.audit_keep_days) * DAY_S / 8;
        self.bytes >= self.limits.audit_file_bytes_max || (self.bytes > 0 && age_s > part_s)
    }

    fn rotate(&mut self) -> std::io::Result<()> {
        self.present.sync_data()?;
        let time = Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ");
        std::fs::rename(self.dir.join(PRESENT), self.dir.join(format!("audit-{time}.jsonl")))?;
        self.present = open_present(&self.dir)?;
        (self.bytes, self.begun) = (0, Timestamp::now());
        self.prune();
        Ok(())
    }

    /// Deletes files over the number that is kept, and those that ended too long ago.
    fn prune(&self) {
        let Ok(mut old) = old_files(&self.dir) else { return };
        old.reverse();
        let oldest = Timestamp::now().as_second() - i64::from(self.limits.audit_keep_days) * DAY_S;
        for (place, file) in old.iter().enumerate() {
            let ended = file.metadata().and_then(|meta| meta.modified()).ok();
            let ended = ended.and_then(|time| Timestamp::try_from(time).ok());
            let too_old = ended.is_some_and(|at| at.as_second() < oldest);
            if place + 1 >= self.limits.audit_files_max.max(1) || too_old {
                let _ = std::fs::remove_file(file);
            }
        }
    }
}

fn open_present(dir: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    let file = options.open(dir.join(PRESENT))?;
    File::open(dir)?.sync_all()?;
    Ok(file)
}

/// A line that a crash cut off is ended, so that the next one is read. Returns the file's length.
fn end_last_line(file: &mut File) -> std::io::Result<u64> {
    let bytes = file.seek(SeekFrom::End(0))?;
    if bytes == 0 {
        return Ok(0);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" {
        return Ok(bytes);
    }
    file.write_all(b"\n")?;
    Ok(bytes + 1)
}

/// When the first entry of a file came.
fn begun(file: &Path) -> Option<Timestamp> {
    use std::io::BufRead as _;
    let mut first = String::new();
    std::io::BufReader::new(File::open(file).ok()?).read_line(&mut first).ok()?;
    match serde_json::from_str(&first).ok()? {
        AuditLine::Asked(entry) => Some(entry.at),
        AuditLine::Answered(_) => None,
    }
}

/// The files before the present one, oldest first.
fn old_files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut old = Vec::new();
    for file in std::fs::read_dir(dir)? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("audit-") && name.ends_with(".jsonl") {
            old.push(path);
        }
    }
    old.sort_unstable();
    Ok(old)
}

/// Which entries.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Not older than this.
    pub since: Option<Timestamp>,
    /// Of this actor.
    pub actor: Option<String>,
    /// About this project.
    pub project: Option<ProjectName>,
    /// Older than the request of this id.
    pub before: Option<String>,
    /// At most so many.
    pub limit: usize,
}

impl Wanted {
    fn fits(&self, entry: &AuditEntry) -> bool {
        self.since.is_none_or(|since| entry.at >= since)
            && self.actor.as_ref().is_none_or(|actor| entry.actor == *actor)
            && self.project.as_ref().is_none_or(|project| entry.project.as_ref() == Some(project))
            && self.before.as_ref().is_none_or(|before| entry.id < *before)
    }
}

/// From the newest file to the oldest, each from its end: how a request ended comes before it.
fn read(dir: &Path, wanted: &Wanted) -> std::io::Result<Vec<AuditEntry>> {
    let mut files = old_files(dir)?;
    files.push(dir.join(PRESENT));
    let mut outcomes: HashMap<String, AuditOutcome> = HashMap::new();
    let mut found = Vec::new();
    for file in files.iter().rev() {
        let text = match std::fs::read(file) {
            Ok(bytes) => bytes,
            // Pruned or renamed meanwhile.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        for line in text.split(|byte| *byte == b'\n').rev() {
            match serde_json::from_slice(line) {
                Ok(AuditLine::Answered(outcome)) => {
                    outcomes.insert(outcome.id.clone(), outcome);
                }
                Ok(AuditLine::Asked(mut entry)) => {
                    if let Some(outcome) = outcomes.remove(&entry.id) {
                        (entry.status, entry.code) = (Some(outcome.status), outcome.code);
                    }
                    if wanted.since.is_some_and(|since| entry.at < since) {
                        return Ok(found);
                    }
                    if wanted.fits(&entry) {
                        found.push(entry);
                    }
                    if found.len() >= wanted.limit {
                        return Ok(found);
                    }
                }
                Err(_) => {}
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: usize, actor: &str) -> AuditEntry {
        AuditEntry {
            id: format!("{id:05}"),
            at: Timestamp::now(),
            actor: actor.to_owned(),
            token: None,
            address: None,
            method: "POST".to_owned(),
            route: "/v1/projects".to_owned(),
            path: "/v1/projects".to_owned(),
            project: None,
            status: None,
            code: None,
        }
    }

    fn outcome(id: usize) -> AuditOutcome {
        AuditOutcome { id: format!("{id:05}"), status: 201, code: None }
    }

    fn wanted() -> Wanted {
        Wanted { limit: 1000, ..Wanted::default() }
    }

    #[tokio::test]
    async fn entries_come_back_newest_first_with_their_outcome() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::open(dir.path(), &AccessLimits::default()).unwrap();
        for id in 0..3 {
            audit.asked(entry(id, if id == 1 { "ci" } else { "admin" })).await.synced().await;
        }
        audit.answered(outcome(1)).await;
        let all = audit.read(&wanted()).unwrap();
        let seen: Vec<_> = all.iter().map(|e| (e.id.as_str(), e.status)).collect();
        assert_eq!(seen, [("00002", None), ("00001", Some(201)), ("00000", None)]);
        let of_ci = Wanted { actor: Some("ci".to_owned()), ..wanted() };
        assert_eq!(audit.read(&of_ci).unwrap().len(), 1);
        let next = Wanted { before: Some("00001".to_owned()), limit: 1, ..wanted() };
        assert_eq!(audit.read(&next).unwrap()[0].id, "00000");
        let later = Wanted { since: Some(Timestamp::MAX), ..wanted() };
        assert!(audit.read(&later).unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_line_is_in_the_file_before_the_request_goes_on_and_a_cut_one_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(AUDIT_DIR).join(PRESENT);
        let audit = Audit::open(dir.path(), &AccessLimits::default()).unwrap();
        let pending = audit.asked(entry(0, "admin")).await;
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.lines().count(), 1, "without waiting for the disk");
        pending.synced().await;
        OpenOptions::new()
            .append(true)
            .open(&file)
            .unwrap()
            .write_all(b"{\"asked\":{\"id")
            .unwrap();
        let audit = Audit::open(dir.path(), &AccessLimits::default()).unwrap();
        audit.asked(entry(1, "admin")).await.synced().await;
        let ids: Vec<_> = audit.read(&wanted()).unwrap().into_iter().map(|e| e.id).collect();
        assert_eq!(ids, ["00001", "00000"]);
    }

    #[tokio::test]
    async fn files_are_bounded_and_an_outcome_finds_its_request_in_the_file_before() {
        let dir = tempfile::tempdir().unwrap();
        let limits = AccessLimits {
            audit_file_bytes_max: 600,
            audit_files_max: 3,
            ..AccessLimits::default()
        };
        let audit = Audit::open(dir.path(), &limits).unwrap();
        for id in 0..60 {
            audit.asked(entry(id, "admin")).await.synced().await;
            if id > 0 {
                audit.answered(outcome(id - 1)).await;
            }
        }
        let files = std::fs::read_dir(dir.path().join(AUDIT_DIR)).unwrap().count();
        assert_eq!(files, 3);
        let all = audit.read(&wanted()).unwrap();
        assert!((3..12).contains(&all.len()), "{}", all.len());
        assert!(all.iter().skip(1).all(|entry| entry.status == Some(201)), "{all:#?}");
    }
}
