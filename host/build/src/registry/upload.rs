//! Pushing to a registry, as the distribution specification has it. Blocking.
//!
//! A large blob goes in chunks: one that does not arrive is sent again, and not what was there before. A registry that
//! takes no chunks is sent the whole, and one that has forgotten an upload that was cut off is sent it anew.

use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ureq::SendBody;
use ureq::http::Response;
use windlass_model::Digest;

use super::access::Login;
use super::client::{origin, registry_agent};
use super::error::RegistryError;
use super::reference::Reference;
use super::transport::{Pauses, Transport, asked_pause, is_busy};

/// Opens a blob's content from a byte on.
pub(crate) type Opens<'a> = &'a dyn Fn(u64) -> io::Result<Box<dyn Read>>;

/// Opens a blob that is in memory.
pub(crate) fn in_memory(bytes: &[u8]) -> impl Fn(u64) -> io::Result<Box<dyn Read>> {
    move |from| {
        let mut content = io::Cursor::new(bytes.to_vec());
        content.set_position(from);
        Ok(Box::new(content))
    }
}

/// Of a blob that is larger, each request has at most so many bytes: few enough to be sent again, and enough for the
/// pauses between them not to count.
const CHUNK_BYTES: u64 = 64 << 20;

/// A repository that is pushed to.
pub(crate) struct Target {
    place: Transport,
    reference: Reference,
    chunk_bytes: u64,
    /// Whether it has not refused a chunk yet.
    takes_chunks: AtomicBool,
}

/// Where an upload goes on, and whether that is the registry itself.
type Location = (String, bool);

impl Target {
    pub(crate) fn new(
        reference: Reference,
        certificates: Option<&Path>,
        login: Option<Login>,
    ) -> Self {
        let base = origin(&reference);
        let agent = registry_agent(certificates, &base);
        let place = Transport::new(agent, &base, &reference.repository, login, "pull,push");
        let takes_chunks = AtomicBool::new(true);
        Self { place, reference, chunk_bytes: CHUNK_BYTES, takes_chunks }
    }

    /// Whether anything can be pushed there: opens an upload, and drops it.
    pub(crate) fn check(&self) -> Result<(), RegistryError> {
        let opened = self.open_upload("")?;
        self.drop_upload(&opened);
        Ok(())
    }

    /// Whether the blob is there, or could be taken over from another repository of the registry.
    pub(crate) fn offer_blob(
        &self,
        digest: &Digest,
        from: Option<&Reference>,
    ) -> Result<bool, RegistryError> {
        let url = self.place.url(&format!("blobs/{digest}"));
        let response = self.place.send(|authorization| {
            let mut request = self.place.agent.head(&url);
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            request.call()
        })?;
        match response.status().as_u16() {
            200..=299 => return Ok(true),
            404 => {}
            _ => return self.place.expect(response, &self.what(digest)).map(|_| true),
        }
        let same = |from: &&Reference| from.registry == self.reference.registry;
        let Some(from) = from.filter(same) else { return Ok(false) };
        self.place.also(format!("repository:{}:pull", from.repository));
        let answer = self.open_upload(&format!("?mount={digest}&from={}", from.repository))?;
        let mounted = answer.status() == 201;
        if !mounted {
            self.drop_upload(&answer);
        }
        Ok(mounted)
    }

    /// Sends a blob unless it is there; the bytes that were sent.
    pub(crate) fn put_blob(
        &self,
        digest: &Digest,
        bytes: u64,
        from: Option<&Reference>,
        open: Opens<'_>,
    ) -> Result<u64, RegistryError> {
        let mut pauses = Pauses::default();
        let mut sent = 0;
        loop {
            if self.offer_blob(digest, from)? {
                return Ok(sent);
            }
            let chunks = bytes > self.chunk_bytes && self.takes_chunks.load(Ordering::Relaxed);
            let tried = match chunks {
                true => self.send_chunks(digest, bytes, open, &mut sent)?,
                false => {
                    sent += bytes;
                    self.send_blob(digest, bytes, open)?
                }
            };
            let Sent::Cut { error, pause } = tried else { return Ok(sent) };
            if !pauses.wait(pause) {
                return Err(error);
            }
            tracing::info!(%digest, %error, "a layer is sent again");
        }
    }

    fn send_blob(
        &self,
        digest: &Digest,
        bytes: u64,
        open: Opens<'_>,
    ) -> Result<Sent, RegistryError> {
        let location = self.location(&self.open_upload("")?)?;
        let mut body = self.content(open, 0)?;
        self.finish(&location, digest, bytes, &mut body)
    }

    /// Sends the last of a blob, which may be all or nothing of it, and gives it its name.
    fn finish(
        &self,
        (url, own): &Location,
        digest: &Digest,
        bytes: u64,
        body: &mut dyn Read,
    ) -> Result<Sent, RegistryError> {
        let mut request = self
            .place
            .agent
            .put(url)
            .query("digest", digest.as_str())
            .header("content-type", "application/octet-stream")
            .header("content-length", bytes.to_string());
        if let Some(value) = self.place.authorization().filter(|_| *own) {
            request = request.header("authorization", value);
        }
        match request.send(SendBody::from_reader(body)) {
            Err(error) => Ok(Sent::Cut { error: self.place.transport(&error), pause: None }),
            Ok(answer) if answer.status() == 401 || is_busy(answer.status().as_u16()) => {
                let pause = asked_pause(&answer);
                match self.place.expect(answer, &self.what(digest)) {
                    Err(error) => Ok(Sent::Cut { error, pause }),
                    Ok(_) => Ok(Sent::Whole),
                }
            }
            Ok(answer) => self.place.expect(answer, &self.what(digest)).map(|_| Sent::Whole),
        }
    }

    /// The same in several requests. What was sent is counted.
    fn send_chunks(
        &self,
        digest: &Digest,
        bytes: u64,
        open: Opens<'_>,
        sent: &mut u64,
    ) -> Result<Sent, RegistryError> {
        let mut location = self.location(&self.open_upload("")?)?;
        let mut body = self.content(open, 0)?;
        let (mut at, mut pauses) = (0, Pauses::default());
        // How far it came at most: only what goes beyond counts as progress, whatever the registry forgets.
        let mut farthest = 0;
        while at < bytes {
            let end = bytes.min(at + self.chunk_bytes);
            *sent += end - at;
            let (error, pause) = match self.send_chunk(&location, at..end, &mut body) {
                Ok(answer) if answer.status().is_success() => {
                    (location, at) = (self.location(&answer)?, end);
                    if end > farthest {
                        (farthest, pauses) = (end, Pauses::default());
                    }
                    continue;
                }
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    let pause = asked_pause(&answer);
                    let error = match self.place.expect(answer, &self.what(digest)) {
                        Ok(_) => self.place.protocol("a chunk that is neither taken nor refused"),
                        Err(error) => error,
                    };
                    if status != 401 && !is_busy(status) {
                        self.takes_chunks.store(false, Ordering::Relaxed);
                        return Ok(Sent::Cut { error, pause });
                    }
                    (error, pause)
                }
                Err(error) => (self.place.transport(&error), None),
            };
            if !pauses.wait(pause) {
                // One that refuses chunks before it has read them is not always heard.
                self.takes_chunks.store(false, Ordering::Relaxed);
                return Ok(Sent::Cut { error, pause });
            }
            // How far it came, the registry alone knows.
            let Some((going_on, there)) = self.progress(&location)?.filter(|(_, at)| *at <= bytes)
            else {
                return Ok(Sent::Cut { error, pause: None });
            };
            tracing::info!(%digest, %error, from = there, "a part of a layer is sent again");
            (location, at, body) = (going_on, there, self.content(open, there)?);
        }
        self.finish(&location, digest, 0, &mut io::empty())
    }

    fn send_chunk(
        &self,
        (url, own): &Location,
        part: std::ops::Range<u64>,
        body: &mut dyn Read,
    ) -> Result<Response<ureq::Body>, ureq::Error> {
        let mut request = self
            .place
            .agent
            .patch(url)
            .header("content-type", "application/octet-stream")
            .header("content-range", format!("{}-{}", part.start, part.end - 1))
            .header("content-length", (part.end - part.start).to_string());
        if let Some(value) = self.place.authorization().filter(|_| *own) {
            request = request.header("authorization", value);
        }
        request.send(SendBody::from_reader(&mut body.take(part.end - part.start)))
    }

    /// Where an upload goes on, and how many bytes of it are there; none when the registry knows it no more.
    fn progress(&self, (url, own): &Location) -> Result<Option<(Location, u64)>, RegistryError> {
        let answer = self.place.send(|authorization| {
            let mut request = self.place.agent.get(url);
            if let Some(value) = authorization.filter(|_| *own) {
                request = request.header("authorization", value);
            }
            request.call()
        })?;
        if !answer.status().is_success() {
            return Ok(None);
        }
        let range = answer.headers().get("range").and_then(|value| value.to_str().ok());
        let last = range.and_then(|range| range.trim().strip_prefix("0-")?.parse::<u64>().ok());
        let Some(last) = last else { return Ok(None) };
        // Of nothing and of one byte registries say the same; no chunk is one byte long.
        let there = if last == 0 { 0 } else { last + 1 };
        let going_on = match answer.headers().contains_key("location") {
            true => self.location(&answer)?,
            false => (url.clone(), *own),
        };
        Ok(Some((going_on, there)))
    }

    fn content(&self, open: Opens<'_>, from: u64) -> Result<Box<dyn Read>, RegistryError> {
        open(from).map_err(|e| self.place.protocol(&e.to_string()))
    }

    /// Gives the image its name.
    pub(crate) fn put_manifest(&self, media_type: &str, bytes: &[u8]) -> Result<(), RegistryError> {
        let url = self.place.url(&format!("manifests/{}", self.reference.selector()));
        let response = self.place.send(|authorization| {
            let mut request = self.place.agent.put(&url).header("content-type", media_type);
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            request.send(bytes)
        })?;
        let answer = self.place.expect(response, &format!("the manifest of {}", self.reference))?;
        let expected = Digest::of(bytes);
        let told = answer.headers().get("docker-content-digest").and_then(|v| v.to_str().ok());
        match told.and_then(|told| told.parse::<Digest>().ok()) {
            Some(got) if got != expected => {
                let what = "the manifest, as the registry stored it,".to_owned();
                Err(RegistryError::DigestMismatch { what, expected, got })
            }
            _ => Ok(()),
        }
    }

    fn open_upload(&self, query: &str) -> Result<Response<ureq::Body>, RegistryError> {
        let url = self.place.url(&format!("blobs/uploads/{query}"));
        let response = self.place.send(|authorization| {
            let mut request = self.place.agent.post(&url);
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            request.send_empty()
        })?;
        let what = format!("a place for pushes to {}/{}", self.place.host, self.place.repository);
        self.place.expect(response, &what)
    }

    fn location(&self, opened: &Response<ureq::Body>) -> Result<Location, RegistryError> {
        let location = opened.headers().get("location").and_then(|v| v.to_str().ok());
        let location = location.ok_or_else(|| self.place.protocol("an upload without a place"))?;
        Ok(self.place.resolve(location))
    }

    /// Forgets an upload; a registry that cannot does so by itself after a while.
    fn drop_upload(&self, opened: &Response<ureq::Body>) {
        let Ok((url, own)) = self.location(opened) else { return };
        let mut request = self.place.agent.delete(&url);
        if let Some(value) = self.place.authorization().filter(|_| own) {
            request = request.header("authorization", value);
        }
        if let Err(error) = request.call() {
            tracing::debug!(%error, "an upload is left to its registry");
        }
    }

    fn what(&self, digest: &Digest) -> String {
        format!("layer {} of {}", digest.short(), self.reference)
    }
}

enum Sent {
    Whole,
    Cut { error: RegistryError, pause: Option<std::time::Duration> },
}

#[cfg(test)]
#[path = "upload_tests.rs"]
mod tests;
