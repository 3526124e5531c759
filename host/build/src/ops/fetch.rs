//! Downloading one file by the host, checked against its digest.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use windlass_containers::runtime::Access;
use windlass_model::Failure;

use super::copy::mount;
use super::files::{NewFile, open};
use super::{OpContext, owner, unreadable};
use crate::builder::{Session, blocking, cancelled, io_failure};
use crate::http::{Timeouts, outside_agent};

/// A larger download is refused.
const FETCH_BYTES_MAX: u64 = 2 << 30;
const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(10), silence: Duration::from_secs(60) };

/// What is downloaded.
pub(super) struct Wanted<'a> {
    /// Address.
    pub(super) url: &'a str,
    /// Digest.
    pub(super) sha256: Option<&'a str>,
}

/// Downloads a file. The address is public: the host's own network is not reached for a plan.
pub(super) async fn fetch(
    session: &mut Session,
    context: &OpContext<'_>,
    wanted: &Wanted<'_>,
    file: &NewFile<'_>,
) -> Result<(), Failure> {
    let mut body = body(session, wanted).await?;
    let target = mount(session, context.active, Access::ReadWrite).await?;
    let root = open(target.path())?.within(&context.allowance);
    let owner = owner::resolve(file.chown, &root)?;
    root.write_file(Path::new(file.path), &mut body, file.mode, owner)
        .map_err(|e| unreadable(&format!("{} cannot be written", file.path), &e))?;
    Ok(())
}

/// Downloads a file and checks its digest.
pub(super) async fn body(
    session: &mut Session,
    wanted: &Wanted<'_>,
) -> Result<std::fs::File, Failure> {
    if wanted.sha256.is_none() {
        let message = format!("{} is downloaded without a digest: it may change", wanted.url);
        session.warn("build.fetch-unpinned", message);
    }
    session.log.host(format!("downloading {}", wanted.url));
    let stop = session.request.cancel.child_token();
    // Whoever waits no longer, for whatever reason, ends the download, too.
    let _waiting = stop.clone().drop_guard();
    let download = Download {
        url: wanted.url.to_owned(),
        dir: session.scratch(),
        bytes_max: FETCH_BYTES_MAX,
        time_max: Duration::from_millis(session.config.limits.build.command_wall_ms),
        stop: stop.clone(),
    };
    let certificates = session.certificates.clone();
    let download =
        blocking(move || download.run(&outside_agent(certificates.as_deref(), TIMEOUTS)));
    let (body, got) = tokio::select! {
        done = download => done??,
        () = stop.cancelled() => return Err(cancelled()),
    };
    if let Some(expected) = wanted.sha256
        && !expected.eq_ignore_ascii_case(&got)
    {
        let why = format!("its digest is {got}, the plan says {expected}");
        return Err(failed("build.fetch-digest", wanted.url, why));
    }
    Ok(body)
}

/// One download.
struct Download {
    url: String,
    /// Where its file lies, without a name: it goes when it is closed.
    dir: PathBuf,
    /// A longer file is refused.
    bytes_max: u64,
    /// From its beginning to its last byte.
    time_max: Duration,
    /// Ends it with the next bytes that come, or with the silence after which none are waited for.
    stop: CancellationToken,
}

impl Download {
    /// The file, to be read from its beginning, and its digest.
    fn run(&self, agent: &ureq::Agent) -> Result<(std::fs::File, String), Failure> {
        let began = Instant::now();
        let done = self.receive(agent);
        match done {
            Err(_) if began.elapsed() >= self.time_max => Err(self.too_slow()),
            done => done,
        }
    }

    fn receive(&self, agent: &ureq::Agent) -> Result<(std::fs::File, String), Failure> {
        let request =
            agent.get(&self.url).config().timeout_global(Some(self.time_max)).build().call();
        let response = request.map_err(|e| match e {
            ureq::Error::Io(e) if e.kind() == io::ErrorKind::PermissionDenied => self.inside(&e),
            e => self.failed(e.to_string()),
        })?;
        if !response.status().is_success() {
            return Err(self.failed(format!("the server answered {}", response.status())));
        }
        if response.body().content_length().is_some_and(|bytes| bytes > self.bytes_max) {
            return Err(self.too_large());
        }
        let unwritable = |e: io::Error| io_failure("A download cannot be kept", &self.dir, &e);
        std::fs::create_dir_all(&self.dir).map_err(unwritable)?;
        let mut file = tempfile::tempfile_in(&self.dir).map_err(unwritable)?;
        let mut body = response.into_body().into_reader();
        let (mut sha, mut bytes) = (Sha256::new(), 0);
        let mut buffer = vec![0_u8; 128 * 1024];
        loop {
            let n = body.read(&mut buffer).map_err(|e| self.failed(e.to_string()))?;
            if self.stop.is_cancelled() {
                return Err(cancelled());
            }
            if n == 0 {
                break;
            }
            bytes += n as u64;
            if bytes > self.bytes_max {
                return Err(self.too_large());
            }
            sha.update(&buffer[..n]);
            file.write_all(&buffer[..n]).map_err(unwritable)?;
        }
        file.seek(SeekFrom::Start(0)).map_err(unwritable)?;
        Ok((file, hex::encode(sha.finalize())))
    }

    fn failed(&self, why: String) -> Failure {
        failed("build.fetch-failed", &self.url, why)
    }

    fn inside(&self, error: &io::Error) -> Failure {
        let mut failure = self.failed(error.to_string());
        failure.fix =
            "commit the file to the repository, or serve it from another machine: what a \
                       build downloads is kept from the same places as its commands"
                .to_owned();
        failure
    }

    fn too_large(&self) -> Failure {
        let mib = self.bytes_max >> 20;
        let why = format!("it has more than {mib} MiB, and the host downloads no more");
        let mut failure = self.failed(why);
        failure.fix = "download it with a command of the build, as `RUN wget` does: for that only what \
                       the build as a whole may write counts (`build.disk_bytes_max` in the limits file)"
            .to_owned();
        failure
    }

    fn too_slow(&self) -> Failure {
        Failure::app(
            "build.timed-out",
            format!("The download of {} was stopped", self.url),
            format!("it took longer than {} s", self.time_max.as_secs()),
            "commit the file to the repository, serve it from a faster server, or raise \
             `build.command_wall_ms` in the limits file",
        )
    }
}

fn failed(code: &str, url: &str, why: String) -> Failure {
    Failure::app(
        code,
        format!("{url} could not be downloaded"),
        why,
        "check the address and its digest; the build fetches what the project's plan names",
    )
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::http::agent;

    fn download(url: String, dir: &Path, time_max: Duration) -> Download {
        let (dir, stop) = (dir.to_owned(), CancellationToken::new());
        Download { url, dir, bytes_max: FETCH_BYTES_MAX, time_max, stop }
    }

    /// A server of one answer.
    fn answering(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _head = stream.read(&mut [0; 4096]).unwrap();
            // Whoever has read enough hangs up.
            let _closed = stream.write_all(&answer);
        });
        url
    }

    /// A server of one file that has no end, a byte at a time; how many bytes it has sent.
    fn endless() -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _head = stream.read(&mut [0; 4096]).unwrap();
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";
            stream.write_all(head).unwrap();
            while stream.write_all(b"x").is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        (url, sent)
    }

    #[test]
    fn the_machines_own_services_are_not_asked() {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/secret", listener.local_addr().unwrap());
        let download = download(url, dir.path(), Duration::from_secs(60));
        let failure = download.run(&outside_agent(None, TIMEOUTS)).unwrap_err();
        assert_eq!(failure.code, "build.fetch-failed");
        assert!(failure.why.contains("this machine"), "{failure:?}");
        assert!(failure.fix.contains("another machine"), "{failure:?}");
    }

    #[test]
    fn a_download_that_is_too_large_is_refused_with_a_way_out() {
        let body = vec![b'x'; 3 << 20];
        let said = format!("content-length: {}\r\n", body.len());
        for (length, bytes_max, is_taken) in [
            (said.as_str(), 3 << 20, true),
            ("", 3 << 20, true),
            (said.as_str(), (3 << 20) - 1, false),
            ("", (3 << 20) - 1, false),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let head = format!("HTTP/1.1 200 OK\r\n{length}connection: close\r\n\r\n");
            let url = answering([head.as_bytes(), &body].concat());
            let download =
                Download { bytes_max, ..download(url, dir.path(), Duration::from_secs(60)) };
            let done = download.run(&agent(None, TIMEOUTS));
            assert_eq!(done.is_ok(), is_taken, "{length} {bytes_max}: {done:?}");
            if let Err(failure) = done {
                assert_eq!(failure.code, "build.fetch-failed");
                assert!(failure.why.contains("more than 2 MiB"), "{failure:?}");
                assert!(failure.fix.contains("RUN wget"), "{failure:?}");
            }
        }
    }

    #[test]
    fn a_download_that_goes_on_for_ever_is_ended_at_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let (url, sent) = endless();
        let download = download(url, dir.path(), Duration::from_secs(1));
        let failure = download.run(&agent(None, TIMEOUTS)).unwrap_err();
        assert_eq!(failure.code, "build.timed-out", "{failure:?}");
        assert!(sent.load(Ordering::SeqCst) > 0, "it had begun");
    }

    #[test]
    fn a_download_that_nobody_waits_for_ends_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (url, sent) = endless();
        let download = download(url, dir.path(), Duration::from_secs(600));
        let stop = download.stop.clone();
        let ends = std::thread::spawn(move || download.run(&agent(None, TIMEOUTS)));
        let began = Instant::now();
        while sent.load(Ordering::SeqCst) < 3 {
            assert!(began.elapsed() < Duration::from_secs(20), "the download does not begin");
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.cancel();
        let failure = ends.join().unwrap().unwrap_err();
        assert_eq!(failure.code, "build.cancelled", "{failure:?}");
        assert!(began.elapsed() < Duration::from_secs(50), "with the next byte, not with silence");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
