//! A blob's content, whose download goes on where a connection was cut.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use windlass_model::Digest;

use super::error::RegistryError;
use super::transport::{Pauses, Transport};

/// A download that got on by this much may be cut as often again.
const PROGRESS_BYTES: u64 = 1 << 20;

/// How slowly a registry may send a layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// What is waited for its bytes before they are counted; the time that the reader takes is not its own.
    pub(super) window: Duration,
    /// What has to come in that time, in bytes.
    pub(super) bytes_min: u64,
}

impl Pace {
    /// 4 KiB a second: three layers of each of four images come at once, and a line of half a megabit a second carries
    /// that.
    pub(super) const OF_LAYERS: Self =
        Self { window: Duration::from_secs(60), bytes_min: 60 * 4 * 1024 };
}

/// Reads a blob from one place. Who reads it checks its digest.
pub(super) struct BlobReader {
    place: Arc<Transport>,
    digest: Digest,
    bytes: u64,
    at: u64,
    body: Option<Box<dyn Read + Send>>,
    pauses: Pauses,
    /// Where the pauses were counted from.
    counted_from: u64,
    /// What a place sends again that does not know ranges.
    skip: u64,
    pace: Pace,
    /// Since the pace was looked at: how long bytes were waited for, and how many came.
    waited: Duration,
    came: u64,
}

impl BlobReader {
    /// Opens it: an error here is the registry's answer.
    pub(super) fn open(
        place: &Arc<Transport>,
        digest: &Digest,
        bytes: u64,
        pace: Pace,
    ) -> Result<Self, RegistryError> {
        let mut reader = Self {
            place: Arc::clone(place),
            digest: digest.clone(),
            bytes,
            at: 0,
            body: None,
            pauses: Pauses::default(),
            counted_from: 0,
            skip: 0,
            pace,
            waited: Duration::ZERO,
            came: 0,
        };
        reader.request()?;
        Ok(reader)
    }

    /// Asks for what is missing.
    fn request(&mut self) -> Result<(), RegistryError> {
        let (place, at) = (Arc::clone(&self.place), self.at);
        let url = place.url(&format!("blobs/{}", self.digest));
        let response = place.send(|authorization| {
            let mut request = place.agent.get(&url).header("accept", "*/*");
            if at > 0 {
                request = request.header("range", format!("bytes={at}-"));
            }
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            request.call()
        })?;
        let what = format!("blobs/{} of {}", self.digest, place.repository);
        let response = place.expect(response, &what)?;
        let partial = response.status() == 206;
        if at > 0 && partial {
            let range = response.headers().get("content-range").and_then(|v| v.to_str().ok());
            if !range.is_some_and(|range| range.starts_with(&format!("bytes {at}-"))) {
                return Err(place.protocol("another part of the layer than was asked for"));
            }
        }
        // One byte more than there should be, so that too much is seen.
        let limit = (self.bytes + 1).saturating_sub(if partial { at } else { 0 });
        let body = response.into_body().into_with_config().limit(u64::MAX).reader().take(limit);
        self.body = Some(Box::new(body));
        // It does not know ranges: what is there already is read again.
        self.skip = if partial { 0 } else { at };
        Ok(())
    }

    /// The connection is gone: opens another one where it was cut.
    fn go_on(&mut self, why: &str) -> io::Result<()> {
        self.body = None;
        if self.at >= self.counted_from + PROGRESS_BYTES {
            (self.pauses, self.counted_from) = (Pauses::default(), self.at);
        }
        let mut why = why.to_owned();
        while self.pauses.wait(None) {
            tracing::info!(digest = %self.digest, at = self.at, why, "a download goes on");
            match self.request() {
                Ok(()) => return Ok(()),
                // One that answered was asked again already.
                Err(RegistryError::Unreachable { why: now, answered: false, .. }) => why = now,
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        let host = self.place.host.clone();
        let why = format!("the download was cut after {} of {} bytes: {why}", self.at, self.bytes);
        Err(io::Error::other(RegistryError::Unreachable { host, why, answered: false }))
    }

    /// Counts what was waited for bytes; a place that is slower than its pace is not waited for any more.
    fn keep_pace(&mut self, waited: Duration, came: usize) -> io::Result<()> {
        self.waited += waited;
        self.came += came as u64;
        if self.waited < self.pace.window {
            return Ok(());
        }
        let waited = std::mem::take(&mut self.waited);
        let came = std::mem::take(&mut self.came);
        let Pace { window, bytes_min } = self.pace;
        if came >= bytes_min {
            return Ok(());
        }
        let why = format!(
            "{came} bytes of a layer came in {} s, and at least {bytes_min} in {} s are waited for; {} of its \
             {} bytes are there",
            waited.as_secs(),
            window.as_secs(),
            self.at,
            self.bytes
        );
        Err(io::Error::other(RegistryError::TooSlow { host: self.place.host.clone(), why }))
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let Some(body) = &mut self.body else {
                return Err(io::Error::from(io::ErrorKind::NotConnected));
            };
            let skips = self.skip > 0;
            let most = match skips {
                true => usize::try_from(self.skip).unwrap_or(usize::MAX).min(buffer.len()),
                false => buffer.len(),
            };
            let begun = Instant::now();
            match body.read(&mut buffer[..most]) {
                Ok(0) if skips || self.at < self.bytes => {
                    self.go_on("the connection was closed")?;
                }
                Ok(n) => {
                    self.keep_pace(begun.elapsed(), n)?;
                    if skips {
                        self.skip -= n as u64;
                        continue;
                    }
                    self.at += n as u64;
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => self.go_on(&e.to_string())?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};

    use super::super::client::registry_agent;
    use super::*;

    const BYTES: usize = 100_000;
    const PACE: Pace = Pace { window: Duration::from_millis(200), bytes_min: 1_000 };

    /// A blob in a registry whose answers are written by this.
    fn served(answer: fn(&mut TcpStream) -> io::Result<()>) -> BlobReader {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let _request = stream.read(&mut [0; 4096]);
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {BYTES}\r\n\r\n");
                    let _hung_up =
                        stream.write_all(head.as_bytes()).and_then(|()| answer(&mut stream));
                });
            }
        });
        let place = Transport::new(registry_agent(None, &base), &base, "team/base", None, "pull");
        BlobReader::open(&Arc::new(place), &Digest::of(b"a layer"), BYTES as u64, PACE).unwrap()
    }

    #[test]
    fn a_registry_that_sends_byte_by_byte_is_left_and_named_with_what_it_sent() {
        let mut slow = served(|stream| {
            loop {
                stream.write_all(b"x")?;
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let begun = Instant::now();
        let error = slow.read_to_end(&mut Vec::new()).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        let error = error.into_inner().unwrap().downcast::<RegistryError>().unwrap();
        assert_eq!(error.code(), "registry.too-slow");
        let said = error.to_string();
        assert!(said.contains("127.0.0.1:") && said.contains("of its 100000 bytes"), "{said}");
    }

    #[test]
    fn one_that_keeps_its_pace_may_take_many_times_of_it() {
        let mut steady = served(|stream| {
            for _ in 0..20 {
                stream.write_all(&[b'x'; 5_000])?;
                std::thread::sleep(Duration::from_millis(40));
            }
            Ok(())
        });
        let mut all = Vec::new();
        steady.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), BYTES);
    }

    #[test]
    fn a_reader_that_takes_its_time_is_not_held_against_the_registry() {
        let mut quick = served(|stream| stream.write_all(&[b'x'; BYTES]));
        let mut piece = [0; 100];
        for _ in 0..5 {
            quick.read_exact(&mut piece).unwrap();
            std::thread::sleep(PACE.window);
        }
        quick.read_to_end(&mut Vec::new()).unwrap();
    }
}
