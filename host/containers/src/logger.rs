//! The logger role: the small process that containerd's shim starts for every container.
//!
//! **Invariant: the application never waits for its log.** The logger reads until both streams end,
//! whatever happens to the disk: what cannot be written, or comes faster than allowed, is counted and the
//! count is written as a line of its own. It needs no daemon and ends only at the end of both streams.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags};
use serde::{Deserialize, Serialize};
use windlass_model::secret::Masker;
use windlass_model::{Dropped, LogLine, StoredLine, Stream, Timestamp};

use crate::error::{Result, RuntimeError};
use crate::logs::{CLOSED, ROTATED, file_name, files, rotated};
use crate::runtime::LogSpec;

/// The command word under which the binary plays this role.
pub const ROLE: &str = "__logger";

const SETTINGS: &str = "logger.json";
const MASK: &str = "mask.json";
/// So often a place to cut is looked for in as many bytes as a line may have.
const LOOKS_OF_A_LINE: usize = 16;
/// Bytes read at once of one stream.
const READ_BYTES: usize = 64 * 1024;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Settings {
    /// Where the values are that must not be kept; the logger takes the file away.
    mask: Option<PathBuf>,
    file_bytes_max: u64,
    files_max: u32,
    lines_per_s_max: u32,
    line_bytes_max: usize,
}

/// Prepares the directory of a log; the answer is its path. What is to be masked the logger finds in `run`, a
/// directory in memory that is removed with the container, see [`hand_over`].
pub(crate) fn prepare(spec: &LogSpec, run: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(&spec.dir).map_err(RuntimeError::io("create directory", &spec.dir))?;
    let settings = Settings {
        mask: (!spec.mask.is_empty()).then(|| run.join(MASK)),
        file_bytes_max: spec.file_bytes_max.max(1024),
        files_max: spec.files_max.max(1),
        lines_per_s_max: spec.lines_per_s_max,
        line_bytes_max: spec.line_bytes_max.max(64),
    };
    write_private(&spec.dir.join(SETTINGS), &settings)?;
    let _ = std::fs::remove_file(spec.dir.join(CLOSED));
    Ok(spec.dir.clone())
}

/// Gives the logger that is started next the values that it masks, in a directory in memory.
pub(crate) fn hand_over(spec: &LogSpec, run: &Path) -> Result<()> {
    if spec.mask.is_empty() {
        return Ok(());
    }
    write_private(&run.join(MASK), &spec.mask)
}

fn write_private<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(RuntimeError::io("write", path))?;
    file.write_all(&bytes).map_err(RuntimeError::io("write", path))
}

/// The address under which containerd's shim finds the logger: exactly one pair, because several come
/// in no fixed order.
pub(crate) fn uri(exe: &Path, dir: &Path) -> String {
    format!("binary://{}?{ROLE}={}", escape(exe), escape(dir))
}

/// Percent-encodes what has a meaning in a URI.
fn escape(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    let encode = |byte: &u8| match plain(*byte) {
        true => char::from(*byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    path.as_os_str().as_bytes().iter().map(encode).collect()
}

/// Plays the role and ends the process. To be called first of all, with the arguments
/// `__logger <directory>`; file descriptors 3 and 4 are the streams, closing 5 says "ready".
pub fn main() -> ! {
    ignore_termination();
    // Started by hand there are no such descriptors, and nothing to do.
    if !(3..=5).all(|fd| Path::new(&format!("/proc/self/fd/{fd}")).exists()) {
        std::process::exit(2);
    }
    let dir = std::env::args_os().nth(2).map(PathBuf::from).unwrap_or_default();
    // SAFETY: the shim opened these three for us and nothing else in this process owns them.
    let (stdout, stderr, ready) =
        unsafe { (OwnedFd::from_raw_fd(3), OwnedFd::from_raw_fd(4), OwnedFd::from_raw_fd(5)) };
    let log = Log::open(&dir);
    drop(ready);
    run(log, stdout.into(), stderr.into());
    std::process::exit(0)
}

/// containerd sends SIGTERM together with the end of the streams; the last lines come first.
fn ignore_termination() {
    let mask = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP];
    for signal in mask {
        // SAFETY: SIG_IGN runs no code of ours.
        unsafe {
            libc::signal(signal, libc::SIG_IGN);
        }
    }
}

fn run(mut log: Log, stdout: File, stderr: File) {
    let mut streams =
        [Some(Source::new(Stream::Stdout, stdout)), Some(Source::new(Stream::Stderr, stderr))];
    let mut buffer = vec![0; READ_BYTES];
    while streams.iter().any(Option::is_some) {
        for index in ready(&streams) {
            let Some(source) = &mut streams[index] else {
                continue;
            };
            if !source.read(&mut buffer, &mut log) {
                streams[index] = None;
            }
        }
        log.flush();
    }
    log.close();
}

/// Which of the open streams have something to read or have ended; waits for at least one.
fn ready(streams: &[Option<Source>; 2]) -> Vec<usize> {
    let open: Vec<(usize, &Source)> = streams
        .iter()
        .enumerate()
        .filter_map(|(index, source)| Some((index, source.as_ref()?)))
        .collect();
    let mut polled: Vec<PollFd<'_>> =
        open.iter().map(|(_, source)| PollFd::new(&source.file, PollFlags::IN)).collect();
    if rustix::event::poll(&mut polled, None).is_err() {
        return Vec::new();
    }
    let is_ready = |poll: &PollFd<'_>| !poll.revents().is_empty();
    open.iter().zip(&polled).filter(|(_, poll)| is_ready(poll)).map(|(it, _)| it.0).collect()
}

/// One stream, cut into lines.
struct Source {
    stream: Stream,
    file: File,
    rest: Vec<u8>,
    /// So long there was no place to cut it at.
    uncut: usize,
}

impl Source {
    fn new(stream: Stream, file: File) -> Self {
        Self { stream, file, rest: Vec::new(), uncut: 0 }
    }

    /// Reads once; `false` at the end of the stream.
    fn read(&mut self, buffer: &mut [u8], log: &mut Log) -> bool {
        let count = match self.file.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return true,
            Err(_) => 0,
        };
        let at = Timestamp::now();
        for byte in &buffer[..count] {
            if *byte == b'\n' {
                self.emit(at, log);
            } else {
                self.rest.push(*byte);
                if self.rest.len() >= log.settings.line_bytes_max.max(self.uncut) {
                    self.cut(at, log);
                }
            }
        }
        if count == 0 && !self.rest.is_empty() {
            self.emit(at, log);
        }
        count > 0
    }

    /// Ends a line that is too long, before a value that is to be masked and has only begun. One that began with the
    /// line is waited for.
    fn cut(&mut self, at: Timestamp, log: &mut Log) {
        let bytes_max = log.settings.line_bytes_max + log.masker.longest();
        let cut = match log.masker.cut_at(&self.rest) {
            None if self.rest.len() < bytes_max => {
                // To look takes its time: not again for every byte.
                let more = (log.settings.line_bytes_max / LOOKS_OF_A_LINE).max(1);
                self.uncut = (self.rest.len() + more).min(bytes_max);
                return;
            }
            cut => cut.unwrap_or(self.rest.len()),
        };
        self.uncut = 0;
        let rest = self.rest.split_off(cut);
        self.emit(at, log);
        self.rest = rest;
    }

    fn emit(&mut self, at: Timestamp, log: &mut Log) {
        if self.rest.last() == Some(&b'\r') {
            self.rest.pop();
        }
        let text = String::from_utf8_lossy(&self.rest).into_owned();
        self.rest.clear();
        self.uncut = 0;
        log.write(LogLine { at, stream: self.stream, text });
    }
}

/// The files of a log.
struct Log {
    dir: PathBuf,
    settings: Settings,
    masker: Masker,
    number: u64,
    kept: VecDeque<u64>,
    file: Option<File>,
    bytes: u64,
    pending: Vec<u8>,
    second: i64,
    lines: u32,
    dropped: Dropped,
    /// Why lines are being dropped.
    reason: &'static str,
    /// Nobody knows what is to be masked, so nothing is kept.
    withheld: bool,
}

const TOO_FAST: &str = "more lines came in a second than are kept";
const NOT_WRITTEN: &str = "the disk did not take them";
const NOT_MASKED: &str = "the secrets in them could not be masked: the values were not to be read";

impl Log {
    fn open(dir: &Path) -> Self {
        let settings = read_json(&dir.join(SETTINGS)).unwrap_or(Settings {
            mask: None,
            file_bytes_max: 16 << 20,
            files_max: 4,
            lines_per_s_max: 10_000,
            line_bytes_max: 16 * 1024,
        });
        // An older host, which this program is about to replace, puts them beside the log.
        let beside = Some(dir.join(MASK)).filter(|path| path.exists());
        let path = settings.mask.clone().or(beside);
        let mask: Option<Vec<String>> = path.as_ref().map_or(Some(Vec::new()), |path| {
            let mask = read_json(path);
            let _ = std::fs::remove_file(path);
            mask
        });
        let withheld = mask.is_none();
        let mask = mask.unwrap_or_default();
        let kept: VecDeque<u64> = files(dir).into();
        let mut log = Self {
            dir: dir.to_owned(),
            settings,
            masker: Masker::new(mask.iter().map(String::as_str)),
            number: kept.back().copied().unwrap_or_default(),
            kept,
            file: None,
            bytes: 0,
            pending: Vec::new(),
            second: 0,
            lines: 0,
            dropped: Dropped::default(),
            reason: TOO_FAST,
            withheld,
        };
        if !log.reopen() {
            log.rotate();
        }
        log
    }

    /// Goes on in the newest file while it has room: an instance that is restarted again and again must
    /// not push out what the ones before it said. Whether there was room.
    fn reopen(&mut self) -> bool {
        let path = self.dir.join(file_name(self.number));
        let Ok(mut file) = std::fs::OpenOptions::new().read(true).append(true).open(path) else {
            return false;
        };
        let Ok(bytes) = file.metadata().map(|meta| meta.len()) else { return false };
        if bytes >= self.settings.file_bytes_max {
            return false;
        }
        let mut last = [b'\n'];
        let is_cut = bytes > 0
            && std::os::unix::fs::FileExt::read_exact_at(&file, &mut last, bytes - 1).is_ok()
            && last[0] != b'\n';
        // What a crash cut in two must not spoil the next line.
        if is_cut && file.write_all(b"\n").is_err() {
            return false;
        }
        self.bytes = bytes + u64::from(is_cut);
        self.file = Some(file);
        true
    }

    /// Starts the next file and removes the oldest above the limit.
    fn rotate(&mut self) {
        let number = self.number + 1;
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o640)
            .open(self.dir.join(file_name(number)));
        if let Ok(file) = file {
            self.file = Some(file);
            self.number = number;
            self.bytes = 0;
            self.kept.push_back(number);
        }
        while self.kept.len() > self.settings.files_max as usize {
            if let Some(oldest) = self.kept.pop_front() {
                self.remove(oldest);
            }
        }
    }

    /// Removes a file, and keeps count of what went with it.
    fn remove(&self, number: u64) {
        let path = self.dir.join(file_name(number));
        let Ok(bytes) = std::fs::metadata(&path).map(|meta| meta.len()) else { return };
        let mut gone = rotated(&self.dir);
        gone.add(0, bytes);
        let (draft, count) = (self.dir.join("rotated.new"), self.dir.join(ROTATED));
        let written = serde_json::to_vec(&gone).map(|bytes| std::fs::write(&draft, bytes));
        if matches!(written, Ok(Ok(()))) {
            let _ = std::fs::rename(draft, count);
        }
        let _ = std::fs::remove_file(path);
    }

    fn write(&mut self, mut line: LogLine) {
        if self.withheld {
            self.dropped.add(1, line.text.len() as u64);
            self.reason = NOT_MASKED;
            return;
        }
        let second = line.at.as_second();
        if second != self.second {
            self.second = second;
            self.lines = 0;
        }
        let limit = self.settings.lines_per_s_max;
        if limit > 0 && self.lines >= limit {
            self.dropped.add(1, line.text.len() as u64);
            self.reason = TOO_FAST;
            return;
        }
        self.lines += 1;
        self.report_dropped();
        line.text = self.masker.mask(&line.text);
        self.push(&line.into());
    }

    fn report_dropped(&mut self) {
        if !self.dropped.is_none() {
            let dropped = std::mem::take(&mut self.dropped);
            self.push(&StoredLine::gap(Timestamp::now(), dropped, self.reason));
        }
    }

    fn push(&mut self, line: &StoredLine) {
        let _ = serde_json::to_writer(&mut self.pending, line);
        self.pending.push(b'\n');
        let full = self.bytes + self.pending.len() as u64 >= self.settings.file_bytes_max;
        if full {
            self.flush();
            self.rotate();
        } else if self.pending.len() >= READ_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let lines = self.pending.iter().filter(|byte| **byte == b'\n').count() as u64;
        let written = self.file.as_mut().is_some_and(|file| {
            let start = file.metadata().map(|meta| meta.len()).unwrap_or_default();
            let whole = file.write_all(&self.pending).is_ok();
            if !whole {
                // Half a line would spoil the file.
                let _ = file.set_len(start);
            }
            whole
        });
        if written {
            self.bytes += self.pending.len() as u64;
        } else {
            self.dropped.add(lines, self.pending.len() as u64);
            self.reason = NOT_WRITTEN;
        }
        self.pending.clear();
    }

    fn close(&mut self) {
        self.report_dropped();
        self.flush();
        let _ = File::create(self.dir.join(CLOSED));
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::logs;

    fn spec(dir: &Path) -> LogSpec {
        LogSpec {
            dir: dir.join("log"),
            file_bytes_max: 2048,
            files_max: 3,
            lines_per_s_max: 0,
            line_bytes_max: 100,
            mask: Vec::new(),
        }
    }

    /// Plays the role on two pipes; the answer are the ends to write to and the running role.
    fn play(spec: &LogSpec) -> (File, File, std::thread::JoinHandle<()>) {
        let dir = prepare(spec, &spec.dir).unwrap();
        hand_over(spec, &spec.dir).unwrap();
        let (out_read, out_write) = rustix::pipe::pipe().unwrap();
        let (err_read, err_write) = rustix::pipe::pipe().unwrap();
        let log = Log::open(&dir);
        let role = std::thread::spawn(move || run(log, out_read.into(), err_read.into()));
        (out_write.into(), err_write.into(), role)
    }

    fn texts(dir: &Path) -> Vec<(Stream, String)> {
        logs::read(dir).into_iter().map(|line| (line.stream, line.text)).collect()
    }

    #[test]
    fn streams_stay_apart_and_lines_are_whole() {
        let dir = tempfile::tempdir().unwrap();
        let spec = spec(dir.path());
        let (mut out, mut err, role) = play(&spec);
        out.write_all(b"first\r\nsec").unwrap();
        out.write_all(b"ond\n\xff\n").unwrap();
        drop(out);
        err.write_all(&[b'x'; 250]).unwrap();
        drop(err);
        role.join().unwrap();
        let (mut stdout, stderr): (Vec<_>, Vec<_>) =
            texts(&spec.dir).into_iter().partition(|line| line.0 == Stream::Stdout);
        assert_eq!(stdout.pop().unwrap().1, "\u{fffd}");
        assert_eq!(stdout.iter().map(|it| it.1.as_str()).collect::<Vec<_>>(), ["first", "second"]);
        assert_eq!(stderr.iter().map(|it| it.1.len()).collect::<Vec<_>>(), [100, 100, 50]);
        assert!(logs::is_closed(&spec.dir));
    }

    #[test]
    fn files_rotate_by_size_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let spec = spec(dir.path());
        let (mut out, err, role) = play(&spec);
        drop(err);
        for n in 0..500 {
            writeln!(out, "line {n}").unwrap();
        }
        drop(out);
        role.join().unwrap();
        assert_eq!(files(&spec.dir).len(), 3);
        for number in files(&spec.dir) {
            let bytes = std::fs::metadata(spec.dir.join(file_name(number))).unwrap().len();
            assert!(bytes < 2048 + 100, "{bytes}");
        }
        let kept = texts(&spec.dir);
        assert_eq!(kept.last().unwrap().1, "line 499");
        assert_eq!(kept[0].0, Stream::Host);
        assert!(kept[0].1.contains("dropped here: the oldest files"), "{}", kept[0].1);
        let kept = &kept[1..];
        let first: usize = kept[0].1.strip_prefix("line ").unwrap().parse().unwrap();
        assert_eq!(kept.len(), 500 - first, "no gap in what is kept");
        assert_eq!(logs::tail(&spec.dir, 40).len(), 40);
    }

    #[test]
    fn what_comes_too_fast_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let spec = LogSpec { lines_per_s_max: 10, file_bytes_max: 1 << 20, ..spec(dir.path()) };
        let (mut out, err, role) = play(&spec);
        drop(err);
        out.write_all("line\n".repeat(1000).as_bytes()).unwrap();
        drop(out);
        role.join().unwrap();
        let lines: Vec<_> = logs::LogCursor::of_dir(&spec.dir).collect();
        let gaps: Vec<_> = lines.iter().filter_map(|line| line.dropped).collect();
        let (dropped, bytes) =
            gaps.iter().fold((0, 0), |sum, gap| (sum.0 + gap.lines, sum.1 + gap.bytes));
        let kept = (lines.len() - gaps.len()) as u64;
        assert!(kept < 50 && kept + dropped == 1000, "{kept} and {dropped}");
        assert_eq!(bytes, dropped * 4, "the bytes of the text are counted");
        assert!(lines.iter().any(|line| line.line.text.contains("dropped here: more lines came")));
    }

    #[test]
    fn restarts_go_on_in_the_same_file_and_push_nothing_out() {
        let dir = tempfile::tempdir().unwrap();
        let spec = spec(dir.path());
        for n in 0..10 {
            let (mut out, err, role) = play(&spec);
            drop(err);
            writeln!(out, "start {n}").unwrap();
            drop(out);
            role.join().unwrap();
            let file = spec.dir.join(file_name(1));
            // As a logger that was killed in the middle of a line would leave it.
            let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
            file.write_all(b"{\"at\"").unwrap();
        }
        let words: Vec<String> = texts(&spec.dir).into_iter().map(|line| line.1).collect();
        assert_eq!(words, (0..10).map(|n| format!("start {n}")).collect::<Vec<_>>());
        assert_eq!(files(&spec.dir), [1]);
    }

    #[test]
    fn a_secret_is_masked_wherever_a_line_that_is_too_long_is_cut() {
        for before in 80..=100 {
            let dir = tempfile::tempdir().unwrap();
            let spec = LogSpec { mask: vec!["hunter22".to_owned()], ..spec(dir.path()) };
            let (mut out, err, role) = play(&spec);
            drop(err);
            let text = format!("{}hunter22{}", "x".repeat(before), "y".repeat(30));
            out.write_all(text.as_bytes()).unwrap();
            drop(out);
            role.join().unwrap();
            let kept: String = texts(&spec.dir).into_iter().map(|(_, text)| text).collect();
            let expected = format!("{}[secret]{}", "x".repeat(before), "y".repeat(30));
            assert_eq!(kept, expected, "{before}");
        }
    }

    #[test]
    fn a_secret_that_begins_as_another_ends_is_masked_at_the_cut_too() {
        let mask = vec!["hunter2h".to_owned(), "2hours-late".to_owned(), "s".repeat(150)];
        for before in 80..=100 {
            for secret in &mask {
                let dir = tempfile::tempdir().unwrap();
                let spec = LogSpec { mask: mask.clone(), ..spec(dir.path()) };
                let (mut out, err, role) = play(&spec);
                drop(err);
                let text = format!("{}{secret}\n{secret}", "x".repeat(before));
                out.write_all(text.as_bytes()).unwrap();
                drop(out);
                role.join().unwrap();
                let kept: String = texts(&spec.dir).into_iter().map(|(_, text)| text).collect();
                assert_eq!(kept, format!("{}[secret][secret]", "x".repeat(before)), "{secret}");
            }
        }
    }

    #[test]
    fn a_secret_that_is_much_longer_than_a_line_is_masked_without_a_long_look() {
        let secret: String =
            (0..30_000_u32).map(|n| char::from(b'a' + (n * n % 23) as u8)).collect();
        let dir = tempfile::tempdir().unwrap();
        let mask = vec![secret.clone()];
        let spec =
            LogSpec { mask, line_bytes_max: 16 << 10, file_bytes_max: 1 << 20, ..spec(dir.path()) };
        let (mut out, err, role) = play(&spec);
        drop(err);
        writeln!(out, "it is {secret}, and goes on").unwrap();
        drop(out);
        role.join().unwrap();
        let kept: String = texts(&spec.dir).into_iter().map(|(_, text)| text).collect();
        assert_eq!(kept, "it is [secret], and goes on");
    }

    #[test]
    fn without_the_values_to_mask_nothing_is_kept_and_those_of_an_older_host_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let spec = LogSpec { mask: vec!["hunter22".to_owned()], ..spec(dir.path()) };
        let kept = |make: &dyn Fn(&Path)| {
            let _ = std::fs::remove_dir_all(&spec.dir);
            prepare(&spec, dir.path()).unwrap();
            make(&spec.dir);
            let (read, write) = rustix::pipe::pipe().unwrap();
            let (end, other) = rustix::pipe::pipe().unwrap();
            drop(other);
            File::from(write).write_all(b"password=hunter22\n").unwrap();
            run(Log::open(&spec.dir), read.into(), end.into());
            let text = std::fs::read_to_string(spec.dir.join(file_name(1))).unwrap();
            assert!(!text.contains("hunter22"), "{text}");
            text
        };
        assert!(kept(&|_| ()).contains(NOT_MASKED));
        let older = |log: &Path| {
            let settings =
                r#"{"file_bytes_max":2048,"files_max":3,"lines_per_s_max":0,"line_bytes_max":100}"#;
            std::fs::write(log.join(SETTINGS), settings).unwrap();
            std::fs::write(log.join(MASK), r#"["hunter22"]"#).unwrap();
        };
        assert!(kept(&older).contains("password=[secret]"));
        assert!(!spec.dir.join(MASK).exists());
    }

    #[test]
    fn secrets_are_masked_and_their_file_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let spec = LogSpec { mask: vec!["hunter22".to_owned()], ..spec(dir.path()) };
        let (mut out, err, role) = play(&spec);
        drop(err);
        assert!(!spec.dir.join(MASK).exists());
        out.write_all(b"password=hunter22\n").unwrap();
        drop(out);
        role.join().unwrap();
        assert_eq!(texts(&spec.dir)[0].1, "password=[secret]");
    }

    #[test]
    fn a_path_with_spaces_survives_the_uri() {
        let uri = uri(Path::new("/opt/wind lass"), Path::new("/data/a&b"));
        assert_eq!(uri, "binary:///opt/wind%20lass?__logger=/data/a%26b");
    }

    #[tokio::test]
    async fn a_follower_sees_every_line_through_rotations() {
        let dir = tempfile::tempdir().unwrap();
        let spec = LogSpec { files_max: 100, ..spec(dir.path()) };
        let (mut out, err, role) = play(&spec);
        drop(err);
        let follow = logs::follow(&spec.dir, Arc::default());
        let writer = std::thread::spawn(move || {
            for n in 0..300 {
                writeln!(out, "{n}").unwrap();
                std::thread::yield_now();
            }
        });
        let lines: Vec<LogLine> = futures::StreamExt::collect(follow).await;
        writer.join().unwrap();
        role.join().unwrap();
        let seen: Vec<String> = lines.into_iter().map(|line| line.text).collect();
        assert_eq!(seen, (0..300).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}
