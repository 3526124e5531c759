//! A blob's content, whose download goes on where a connection was cut.

use std::io::{self, Read};
use std::sync::Arc;

use windlass_model::Digest;

use super::error::RegistryError;
use super::transport::{Pauses, Transport};

/// A download that got on by this much may be cut as often again.
const PROGRESS_BYTES: u64 = 1 << 20;

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
}

impl BlobReader {
    /// Opens it: an error here is the registry's answer.
    pub(super) fn open(
        place: &Arc<Transport>,
        digest: &Digest,
        bytes: u64,
    ) -> Result<Self, RegistryError> {
        let mut reader = Self {
            place: Arc::clone(place),
            digest: digest.clone(),
            bytes,
            at: 0,
            body: None,
            pauses: Pauses::default(),
            counted_from: 0,
        };
        reader.body = Some(reader.request()?);
        Ok(reader)
    }

    fn request(&self) -> Result<Box<dyn Read + Send>, RegistryError> {
        let (place, at) = (&self.place, self.at);
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
        let mut body = response.into_body().into_with_config().limit(u64::MAX).reader().take(limit);
        if at > 0 && !partial {
            // It does not know ranges: what is there already is read again.
            let skipped = io::copy(&mut (&mut body).take(at), &mut io::sink());
            let whole = skipped.is_ok_and(|skipped| skipped == at);
            if !whole {
                let why = "the connection was cut".to_owned();
                return Err(RegistryError::Unreachable { host: place.host.clone(), why });
            }
        }
        Ok(Box::new(body))
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
                Ok(body) => {
                    self.body = Some(body);
                    return Ok(());
                }
                Err(RegistryError::Unreachable { why: now, .. }) => why = now,
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        let host = self.place.host.clone();
        let why = format!("the download was cut after {} of {} bytes: {why}", self.at, self.bytes);
        Err(io::Error::other(RegistryError::Unreachable { host, why }))
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(body) = &mut self.body else {
                return Err(io::Error::from(io::ErrorKind::NotConnected));
            };
            match body.read(buffer) {
                Ok(0) if self.at < self.bytes && !buffer.is_empty() => {
                    self.go_on("the connection was closed")?;
                }
                Ok(n) => {
                    self.at += n as u64;
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => self.go_on(&e.to_string())?,
            }
        }
    }
}
