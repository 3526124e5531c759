//! Compiled code: made in a limited child, kept in a folder that only we can write, mapped from
//! there.
//!
//! **Invariant: only a file that this crate wrote is ever mapped.** Mapping foreign machine code is
//! running it. So the folder and each file are ours alone (0700, 0600), and each file has a keyed digest of
//! its name and its bytes beside it, whose key never leaves the folder. All of this is looked at before a
//! file is mapped.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::io::AsyncReadExt as _;
use wasmtime::Engine;
use wasmtime::component::Component;
use windlass_model::Digest;
use windlass_model::limits::PluginLimits;

use crate::engine;
use crate::fault::LoadError;
use crate::text::plain_line;

/// Why a component could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// It took too long.
    #[error("compiling took longer than {limit_ms} ms")]
    TimedOut {
        /// The limit.
        limit_ms: u64,
    },
    /// It used too much CPU time or memory, and its process was ended.
    #[error(
        "compiling was ended by signal {signal}: it may use {limit_bytes} bytes of memory and {limit_s} s \
         of CPU, or the compiler broke on it"
    )]
    Killed {
        /// The signal.
        signal: i32,
        /// Memory limit.
        limit_bytes: u64,
        /// CPU limit.
        limit_s: u64,
    },
    /// The compiler does not accept it.
    #[error("{reason}")]
    Invalid {
        /// What the compiler says.
        reason: String,
    },
    /// The file was exchanged after it had been looked at.
    #[error("the file changed while it was being loaded")]
    Changed,
    /// The child could not be run or its result not be kept: the host's fault.
    #[error("the compiler could not be run: {reason}")]
    Host {
        /// Why.
        reason: String,
    },
}

impl CompileError {
    /// Whether another try with the same file can only end the same way.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Invalid { .. } | Self::Killed { .. } | Self::TimedOut { .. })
    }

    fn host(what: &str, error: &dyn std::fmt::Display) -> Self {
        Self::Host { reason: format!("{what}: {error}") }
    }
}

/// Compiled components kept, and bytes of them: the disk is not to fill with code of plugins that are gone. Beyond,
/// those go that were not mapped for longest. A host with more plugins than this would compile again after each start.
const COMPONENTS_MAX: usize = 1024;
/// See [`COMPONENTS_MAX`].
const CODE_BYTES_MAX: u64 = 4 << 30;
/// How exactly it is known when code was mapped last: writing it down each time takes as long as mapping it.
const USED_GRAIN: Duration = Duration::from_secs(60 * 60);
/// No compilation takes as long: an older scratch folder is of a process that was killed.
const SCRATCH_AGE_MAX: Duration = Duration::from_secs(60 * 60);

/// The folder of compiled code.
pub(crate) struct Compiled {
    folder: PathBuf,
    key: [u8; 32],
    compatibility: String,
}

impl Compiled {
    /// Opens the folder, or makes it.
    pub(crate) fn open(folder: PathBuf, engine: &Engine) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let meta = fs::metadata(&folder)?;
        if meta.uid() != rustix::process::geteuid().as_raw() {
            let why = format!("{} belongs to another user", folder.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        if !is_ours_alone(&meta) {
            // Others could write here: nothing in it can be trusted.
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
            fs::remove_file(folder.join("key")).or_else(ignore_absent)?;
        }
        let key = key(&folder)?;
        let compiled = Self { folder, key, compatibility: engine::compatibility(engine) };
        compiled.prune()?;
        Ok(compiled)
    }

    /// Maps the code of a component, if it was compiled before by this version of the runtime. What is not
    /// ours is removed.
    ///
    /// # Errors
    /// [`LoadError::TooDemanding`]: the code is ours, and the runtime does not take it, because it needs more than
    /// there is for one call. [`LoadError::Unusable`]: the machine had no memory or no file to spare for it, or its
    /// disk failed; the code stays.
    pub(crate) fn get(
        &self,
        engine: &Engine,
        component: &Digest,
    ) -> Result<Option<Component>, LoadError> {
        let path = self.path(component);
        let file = match self.verified(&path, component) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if is_of_machine(&error) => {
                return Err(LoadError::Unusable { reason: error.to_string() });
            }
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "compiled code is not ours; compiling again");
                self.forget(component);
                return Ok(None);
            }
        };
        // What is mapped is in use: it is kept for longer than what is not. That this fails is no reason not to.
        let modified = file.metadata().and_then(|meta| meta.modified()).ok();
        if modified.is_none_or(|it| it.elapsed().is_ok_and(|age| age > USED_GRAIN)) {
            let _ = file.set_modified(SystemTime::now());
        }
        // SAFETY: the keyed digest shows that this crate wrote these bytes for this component, the folder
        // keeps others from changing them, and the path is the verified descriptor's own.
        let mapped = unsafe { Component::deserialize_file(engine, same_file(&file)) };
        mapped.map(Some).map_err(|error| {
            let reason = format!("{error:#}");
            if is_of_system(&error) {
                return LoadError::Unusable { reason };
            }
            self.forget(component);
            LoadError::TooDemanding { reason }
        })
    }

    /// The file, opened, after everything was looked at that shows it to be ours.
    fn verified(&self, path: &Path, component: &Digest) -> io::Result<File> {
        let denied = |why: &str| io::Error::new(io::ErrorKind::PermissionDenied, why.to_owned());
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() || !is_ours_alone(&meta) || !is_ours_alone(&fs::metadata(&self.folder)?)
        {
            return Err(denied("others can write it"));
        }
        let recorded = fs::read(path.with_extension("mac")).map_err(|error| match error {
            error if is_of_machine(&error) => error,
            // No digest beside it: it is not said who wrote it.
            _ => denied("it has no digest"),
        })?;
        let mac = self.mac(&file, component)?;
        // Compared in constant time.
        let is_same = recorded.try_into().is_ok_and(|recorded: [u8; 32]| mac == recorded);
        if is_same { Ok(file) } else { Err(denied("its digest is another")) }
    }

    /// Compiles a component in a child with limits, and keeps the code.
    pub(crate) async fn compile(
        &self,
        compiler: &Path,
        compiler_args: &[String],
        file: &Path,
        component: &Digest,
        limits: &PluginLimits,
    ) -> Result<(), CompileError> {
        let scratch = tempfile::tempdir_in(&self.folder)
            .map_err(|error| CompileError::host("no room for its output", &error))?;
        let output = scratch.path().join("out");
        let mut command = tokio::process::Command::new(compiler);
        command
            .args(compiler_args)
            .arg(file)
            .arg(&output)
            .arg(component.as_str())
            .arg(limits.compile_cpu_s.to_string())
            .arg(limits.compile_memory_bytes_max.to_string())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        run(command, limits).await?;
        let keep = || -> io::Result<()> {
            let code = File::open(&output)?;
            code.set_permissions(fs::Permissions::from_mode(0o600))?;
            let mac = self.mac(&code, component)?;
            let path = self.path(component);
            write_atomically(&self.folder, &path.with_extension("mac"), mac.as_bytes())?;
            fs::rename(&output, &path)
        };
        keep().map_err(|error| CompileError::host("its output cannot be kept", &error))
    }

    /// Removes code of other versions of the runtime, what a killed process left, and, beyond a
    /// number, what was not mapped for longest.
    fn prune(&self) -> io::Result<()> {
        let mut usable = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let (path, meta) = (entry.path(), entry.metadata()?);
            let Ok(modified) = meta.modified() else { continue };
            let name = entry.file_name().to_string_lossy().into_owned();
            if meta.is_dir() {
                if modified.elapsed().is_ok_and(|age| age > SCRATCH_AGE_MAX) {
                    fs::remove_dir_all(&path).or_else(ignore_absent)?;
                }
            } else if name.ends_with(".cwasm") && name.contains(&self.compatibility) {
                usable.push((modified, meta.len(), path));
            } else if name != "key" && !name.contains(&self.compatibility) {
                fs::remove_file(&path).or_else(ignore_absent)?;
            }
        }
        usable.sort();
        for path in beyond(usable, COMPONENTS_MAX, CODE_BYTES_MAX) {
            fs::remove_file(path.with_extension("mac")).or_else(ignore_absent)?;
            fs::remove_file(path).or_else(ignore_absent)?;
        }
        Ok(())
    }

    fn forget(&self, component: &Digest) {
        let path = self.path(component);
        let _ = fs::remove_file(path.with_extension("mac"));
        let _ = fs::remove_file(path);
    }

    fn path(&self, component: &Digest) -> PathBuf {
        self.folder.join(format!("{}-{}.cwasm", component.hex(), self.compatibility))
    }

    /// The keyed digest of the code of a component: of what it is the code of, for which runtime, and of its
    /// bytes.
    fn mac(&self, file: &File, component: &Digest) -> io::Result<blake3::Hash> {
        let mut mac = blake3::Hasher::new_keyed(&self.key);
        mac.update(format!("{} {}\n", component.as_str(), self.compatibility).as_bytes());
        mac.update_mmap(same_file(file))?;
        Ok(mac.finalize())
    }
}

/// The files that go, of those in the order of their last use: the rest is no more than so many, and so large.
fn beyond(
    usable: Vec<(SystemTime, u64, PathBuf)>,
    files_max: usize,
    bytes_max: u64,
) -> Vec<PathBuf> {
    let (mut files, mut bytes) = (0, 0_u64);
    let newest_first = usable.into_iter().rev();
    newest_first
        .filter_map(|(_, size, path)| {
            (files, bytes) = (files + 1, bytes.saturating_add(size));
            (files > files_max || bytes > bytes_max).then_some(path)
        })
        .collect()
}

/// Whether the machine is short of something, or its disk fails: that says nothing about the file.
fn is_of_machine(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let passing = [Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::INTR, Errno::IO];
    Errno::from_io_error(error).is_some_and(|errno| passing.contains(&errno))
}

/// Whether the system refused something while code was mapped, and not the runtime.
fn is_of_system(error: &wasmtime::Error) -> bool {
    let is = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<io::Error>() || cause.is::<rustix::io::Errno>()
    };
    error.is::<wasmtime::OutOfMemory>() || error.chain().any(is)
}

/// Whether it belongs to this user, and nobody else may do anything with it.
fn is_ours_alone(meta: &fs::Metadata) -> bool {
    meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o077 == 0
}

/// Runs the child and reads how it ended.
async fn run(
    mut command: tokio::process::Command,
    limits: &PluginLimits,
) -> Result<(), CompileError> {
    let spawned = command.spawn();
    let mut child = spawned.map_err(|error| CompileError::host("it does not start", &error))?;
    let stderr = child.stderr.take();
    let waited = tokio::time::timeout(Duration::from_millis(limits.compile_wall_ms), async {
        let mut said = Vec::new();
        if let Some(stderr) = stderr {
            stderr.take(16 * 1024).read_to_end(&mut said).await?;
        }
        Ok::<_, io::Error>((child.wait().await?, said))
    });
    let Ok(ended) = waited.await else {
        let _ = child.kill().await;
        return Err(CompileError::TimedOut { limit_ms: limits.compile_wall_ms });
    };
    let (status, said) =
        ended.map_err(|error| CompileError::host("waiting for it failed", &error))?;
    outcome(status, &String::from_utf8_lossy(&said), limits)
}

fn outcome(status: ExitStatus, said: &str, limits: &PluginLimits) -> Result<(), CompileError> {
    let reason = || {
        let line = said.lines().rfind(|line| !line.trim().is_empty());
        // It quotes names of the component.
        plain_line(line.unwrap_or("it said nothing"))
    };
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(EXIT_INVALID), _) => Err(CompileError::Invalid { reason: reason() }),
        (Some(EXIT_CHANGED), _) => Err(CompileError::Changed),
        (_, Some(signal)) => Err(CompileError::Killed {
            signal,
            limit_bytes: limits.compile_memory_bytes_max,
            limit_s: limits.compile_cpu_s,
        }),
        (code, _) => Err(CompileError::Host { reason: format!("exit {code:?}: {}", reason()) }),
    }
}

/// A path to the very file that is open, whatever became of its name.
fn same_file(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn key(folder: &Path) -> io::Result<[u8; 32]> {
    let path = folder.join("key");
    if let Some(key) = fs::read(&path).ok().and_then(|bytes| bytes.try_into().ok()) {
        return Ok(key);
    }
    let mut key = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    fs::remove_file(&path).or_else(ignore_absent)?;
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    match made {
        Ok(mut file) => file.write_all(&key)?,
        // Another process was first: its key counts.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let theirs = fs::read(&path)?;
            key = theirs.try_into().map_err(|_| io::Error::other("the cache key is not whole"))?;
        }
        Err(error) => return Err(error),
    }
    Ok(key)
}

/// Writes a file that is either whole or absent.
fn write_atomically(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn ignore_absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

const EXIT_USAGE: i32 = 64;
const EXIT_INVALID: i32 = 65;
const EXIT_CHANGED: i32 = 66;
const EXIT_OUTPUT: i32 = 73;

/// The hidden role that compiles one component: `<component> <output> <digest> <cpu s> <bytes>`.
///
/// It limits itself before it reads a byte of the component, so whatever the component does to the
/// compiler ends with this process. The result is the process's exit code; what went wrong is said on
/// standard error.
pub fn compile_main(args: &[String]) -> i32 {
    let [component, output, digest, cpu_s, memory_bytes] = args else {
        return complain(EXIT_USAGE, "this command is used by Windlass itself");
    };
    let (Ok(cpu_s), Ok(memory_bytes)) = (cpu_s.parse(), memory_bytes.parse()) else {
        return complain(EXIT_USAGE, "the limits are not numbers");
    };
    let limit = |resource, value| {
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
    };
    let limited = limit(Resource::Cpu, cpu_s)
        .and_then(|()| limit(Resource::As, memory_bytes))
        .and_then(|()| limit(Resource::Core, 0));
    if let Err(errno) = limited {
        return complain(EXIT_USAGE, &format!("the limits cannot be set: {errno}"));
    }
    let bytes = match fs::read(component) {
        Ok(bytes) => bytes,
        Err(error) => return complain(EXIT_CHANGED, &error.to_string()),
    };
    if Digest::of(&bytes).as_str() != digest {
        return complain(EXIT_CHANGED, "the file changed");
    }
    let code = engine::for_compiling().and_then(|engine| engine.precompile_component(&bytes));
    match code {
        Ok(code) => match fs::write(output, code) {
            Ok(()) => 0,
            Err(error) => complain(EXIT_OUTPUT, &error.to_string()),
        },
        Err(error) => complain(EXIT_INVALID, &format!("{error:#}").replace('\n', " ")),
    }
}

fn complain(code: i32, why: &str) -> i32 {
    let _ = writeln!(io::stderr(), "{why}");
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_is_short_of_says_nothing_about_a_file() {
        use rustix::io::Errno;
        for errno in [Errno::NOMEM, Errno::MFILE, Errno::IO] {
            assert!(is_of_machine(&io::Error::from(errno)), "{errno}");
            assert!(is_of_system(&wasmtime::Error::new(errno)), "{errno}");
            assert!(is_of_system(&wasmtime::Error::new(io::Error::from(errno))), "{errno}");
        }
        for errno in [Errno::NOENT, Errno::LOOP, Errno::ACCESS] {
            assert!(!is_of_machine(&io::Error::from(errno)), "{errno}");
        }
        assert!(!is_of_machine(&io::Error::other("its digest is another")));
        assert!(!is_of_system(&wasmtime::Error::msg("too many memories")));
        let reason = String::new;
        assert!(!LoadError::Unusable { reason: reason() }.is_final());
        assert!(!LoadError::Compile(CompileError::Host { reason: reason() }).is_final());
        assert!(LoadError::Compile(CompileError::Invalid { reason: reason() }).is_final());
        assert!(LoadError::TooDemanding { reason: reason() }.is_final());
    }

    #[test]
    fn what_was_used_longest_ago_goes_when_there_is_too_much() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let files = || -> Vec<(SystemTime, u64, PathBuf)> {
            (0..5).map(|n| (at(n), 10, PathBuf::from(n.to_string()))).collect()
        };
        let gone = |files_max, bytes_max| {
            let mut gone = beyond(files(), files_max, bytes_max);
            gone.sort();
            gone
        };
        assert!(gone(5, 50).is_empty());
        assert_eq!(gone(3, 50), [PathBuf::from("0"), PathBuf::from("1")]);
        assert_eq!(gone(5, 49), [PathBuf::from("0")]);
    }
}
