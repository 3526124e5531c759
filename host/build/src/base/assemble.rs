//! A base assembled from Debian packages, where no registry can be reached.
//!
//! **Invariant: what has the final name is whole.** The archive is written under another name and renamed
//! when it is finished and synced; the lock's file is the assembling process's standard input, so a lock
//! that can be taken means that nobody works there, whatever was killed before.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::FlockOperation;
use windlass_model::Failure;

use super::Report;
use super::recipe::Recipe;

const PROGRAM: &str = "mmdebstrap";
const SUITES: [&str; 3] = ["bookworm", "bookworm-updates", "bookworm-security"];
const DETAIL_LINES_MAX: usize = 12;

/// The assembled base's archive, made if it is not there yet.
pub(super) async fn archive(
    recipe: &Recipe,
    dir: &Path,
    certificates: Option<&Path>,
    report: &Report,
) -> Result<PathBuf, Failure> {
    let done = dir.join(format!("{}.tar.zst", recipe.digest().hex()));
    if done.is_file() {
        return Ok(done);
    }
    std::fs::create_dir_all(dir).map_err(|e| io_failure("make", dir, &e))?;
    let lock = lock(&done.with_extension("lock"), report).await?;
    if done.is_file() {
        return Ok(done);
    }
    let job = Job {
        recipe: recipe.clone(),
        target: done.clone(),
        certificates: certificates.map(Path::to_owned),
        lock,
        report: report.clone(),
    };
    let made = tokio::task::spawn_blocking(move || job.run()).await;
    made.map_err(|e| {
        Failure::host("base.interrupted", "Assembling stopped", e.to_string(), "deploy again")
    })??;
    Ok(done)
}

/// Waits for the lock across processes.
async fn lock(path: &Path, report: &Report) -> Result<File, Failure> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .read(true)
        .open(path)
        .map_err(|e| io_failure("open", path, &e))?;
    let mut told = false;
    while rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        if !told {
            report.say("waiting: another process assembles the same base".to_owned());
            told = true;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(file)
}

struct Job {
    recipe: Recipe,
    target: PathBuf,
    certificates: Option<PathBuf>,
    lock: File,
    report: Report,
}

impl Job {
    fn run(self) -> Result<(), Failure> {
        let work = self.target.with_extension("work");
        clear(&work).map_err(|e| io_failure("clear", &work, &e))?;
        std::fs::create_dir_all(&work).map_err(|e| io_failure("make", &work, &e))?;
        let partial = work.join("base.tar.zst");
        let outcome = self.assemble(&work, &partial);
        if outcome.is_ok() {
            std::fs::rename(&partial, &self.target)
                .map_err(|e| io_failure("rename", &partial, &e))?;
        }
        clear(&work).map_err(|e| io_failure("clear", &work, &e))?;
        outcome
    }

    fn assemble(&self, work: &Path, partial: &Path) -> Result<(), Failure> {
        let name = self.recipe.reference();
        self.report.say(format!("assembling {name} from Debian packages (some minutes, once)"));
        let lock = self.lock.try_clone().map_err(|e| io_failure("share", partial, &e))?;
        let spawned = self
            .command(work)
            .stdin(Stdio::from(lock))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(missing_program()),
            Err(e) => return Err(io_failure("start", Path::new(PROGRAM), &e)),
        };
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let report = self.report.clone();
        let listener = std::thread::spawn(move || listen(stderr, &name, &report));
        let written = stdout.map_or(Ok(()), |tar| compress(tar, partial));
        let status = child.wait().map_err(|e| io_failure("wait for", Path::new(PROGRAM), &e))?;
        let last_lines = listener.join().unwrap_or_default();
        if !status.success() {
            return Err(failed(&self.recipe.reference(), &last_lines));
        }
        written.map_err(|e| io_failure("write", partial, &e))
    }

    fn command(&self, work: &Path) -> Command {
        let mut command = Command::new(PROGRAM);
        command.env_clear().env("TMPDIR", work).env("LANG", "C.UTF-8").env("HOME", "/root");
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        for name in ["http_proxy", "https_proxy", "no_proxy"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.args(["--mode=root", "--variant=minbase", "--format=tar"]);
        command.arg(format!("--include={}", self.recipe.packages().join(",")));
        command.arg("--aptopt=APT::Install-Recommends \"false\"");
        for path in ["doc", "man", "locale", "info"] {
            command.arg(format!("--dpkgopt=path-exclude=/usr/share/{path}/*"));
        }
        // Manual pages are left out, and Java's installation links some: their folder has to be there.
        command.arg("--setup-hook=mkdir -p \"$1/usr/share/man/man1\"");
        let certificates = self.certificates.as_deref().and_then(Path::to_str);
        for hook in self.recipe.hooks(certificates) {
            command.arg(format!("--customize-hook={hook}"));
        }
        command.args(["bookworm", "-"]).args(host_sources(Path::new("/etc/apt")));
        command
    }
}

/// The host's own source lists, as far as they are Debian 12's: no mirror is chosen here.
fn host_sources(apt: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(apt.join("sources.list.d")).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = listed.map(|entry| entry.path()).collect();
    files.push(apt.join("sources.list"));
    files.sort();
    files.retain(|path| std::fs::read_to_string(path).is_ok_and(|text| is_debian(path, &text)));
    files
}

/// Whether every source of the file is a suite of Debian 12 with its main component.
fn is_debian(path: &Path, text: &str) -> bool {
    let deb822 = path.extension().is_some_and(|e| e == "sources");
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let is_suite = |word: &str| SUITES.contains(&word);
    if deb822 {
        let field = |line: &str, name: &str| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        };
        let suites: Vec<_> = lines.clone().filter_map(|l| field(l, "Suites")).collect();
        let parts: Vec<_> = lines.filter_map(|l| field(l, "Components")).collect();
        return !suites.is_empty()
            && suites.iter().all(|s| s.split_whitespace().all(is_suite))
            && parts.iter().all(|p| p.split_whitespace().any(|word| word == "main"));
    }
    let one_line = |line: &str| {
        line.split_whitespace().any(is_suite) && line.split_whitespace().any(|w| w == "main")
    };
    let mut lines = lines.peekable();
    lines.peek().is_some() && lines.all(one_line)
}

fn compress(mut tar: impl io::Read, to: &Path) -> io::Result<()> {
    let mut encoder = zstd::Encoder::new(File::create(to)?, 1)?;
    io::copy(&mut tar, &mut encoder)?;
    let mut file = encoder.finish()?;
    file.flush()?;
    file.sync_all()
}

/// Passes progress on and keeps the last lines.
fn listen(stderr: Option<impl io::Read>, name: &str, report: &Report) -> Vec<String> {
    let mut last = std::collections::VecDeque::new();
    let Some(stderr) = stderr else { return Vec::new() };
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if let Some(stage) = stage(&line) {
            report.say(format!("assembling {name}: {stage}"));
        }
        if last.len() >= DETAIL_LINES_MAX {
            last.pop_front();
        }
        last.push_back(line);
    }
    last.into()
}

/// The stage that a line of output begins, for people.
fn stage(line: &str) -> Option<&'static str> {
    let rest = line.strip_prefix("I: ")?;
    [
        ("running apt-get update", "step 1/5, reading package lists"),
        ("downloading packages", "step 2/5, downloading packages"),
        ("installing essential", "step 3/5, installing packages"),
        ("running --customize-hook in shell: sh -c 'env HOME", "step 4/5, fetching the toolchain"),
        ("creating tarball", "step 5/5, packing"),
    ]
    .into_iter()
    .find_map(|(start, stage)| rest.starts_with(start).then_some(stage))
}

/// Removes what a killed assembly left, mounts first.
fn clear(work: &Path) -> io::Result<()> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut below: Vec<&str> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|at| Path::new(at).starts_with(work))
        .collect();
    below.reverse();
    for at in below {
        rustix::mount::unmount(at, rustix::mount::UnmountFlags::DETACH)?;
    }
    match std::fs::remove_dir_all(work) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn missing_program() -> Failure {
    Failure::host(
        "base.missing-part",
        "No base can be assembled",
        format!("{PROGRAM} is not installed, and no image registry can be used"),
        format!("run `apt-get install {PROGRAM}`, or give this machine access to a registry"),
    )
}

fn failed(name: &str, last_lines: &[String]) -> Failure {
    let errors: Vec<&String> = last_lines.iter().filter(|l| !l.starts_with("I: ")).collect();
    let shown: Vec<&str> = errors.iter().rev().take(6).rev().map(|l| l.as_str()).collect();
    Failure::host(
        "base.assembly-failed",
        format!("{name} could not be assembled"),
        if shown.is_empty() { "it ended without a word".to_owned() } else { shown.join("; ") },
        "check that this machine reaches its Debian mirror and the toolchain's package source, then \
         deploy again",
    )
}

fn io_failure(operation: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::host(
        "base.io",
        "The base could not be assembled",
        format!("could not {operation} {}: {error}", path.display()),
        "check free space and permissions of the data directory",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_debians_own_sources_are_taken() {
        let sources = Path::new("x.sources");
        let good =
            "Types: deb\nURIs: http://a\nSuites: bookworm bookworm-updates\nComponents: main\n";
        assert!(is_debian(sources, good));
        assert!(!is_debian(sources, &good.replace("bookworm bookworm-updates", "nodistro")));
        assert!(!is_debian(sources, &good.replace("main", "stable")));
        let list = Path::new("x.list");
        assert!(is_debian(list, "# c\ndeb http://a bookworm main contrib\n"));
        assert!(!is_debian(list, "deb https://a cloud-sdk-bookworm main\n"));
        assert!(!is_debian(list, "# nothing\n"));
    }

    #[test]
    fn stages_are_told_from_the_output() {
        assert_eq!(
            stage("I: downloading packages with apt..."),
            Some("step 2/5, downloading packages")
        );
        assert_eq!(stage("npm warn x"), None);
    }
}
