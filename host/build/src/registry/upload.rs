//! Pushing to a registry, as the distribution specification has it. Blocking.

use std::io::{self, Read};
use std::path::Path;

use ureq::SendBody;
use ureq::http::Response;
use windlass_model::Digest;

use super::access::Login;
use super::client::{origin, registry_agent};
use super::error::RegistryError;
use super::reference::Reference;
use super::transport::{Pauses, Transport, asked_pause, is_busy};

/// Opens a blob's content from its beginning.
pub(crate) type Opens<'a> = &'a dyn Fn() -> io::Result<Box<dyn Read>>;

/// A repository that is pushed to.
pub(crate) struct Target {
    place: Transport,
    reference: Reference,
}

impl Target {
    pub(crate) fn new(
        reference: Reference,
        certificates: Option<&Path>,
        login: Option<Login>,
    ) -> Self {
        let (agent, base) = (registry_agent(certificates), origin(&reference));
        let place = Transport::new(agent, &base, &reference.repository, login, "pull,push");
        Self { place, reference }
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
            let (error, pause) = match self.send_blob(digest, bytes, open)? {
                Sent::Whole => return Ok(sent + bytes),
                Sent::Cut { error, pause } => (error, pause),
            };
            sent += bytes;
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
        let opened = self.open_upload("")?;
        let (url, own) = self.location(&opened)?;
        let mut body = open().map_err(|e| self.place.protocol(&e.to_string()))?;
        let mut request = self
            .place
            .agent
            .put(&url)
            .query("digest", digest.as_str())
            .header("content-type", "application/octet-stream")
            .header("content-length", bytes.to_string());
        if let Some(value) = self.place.authorization().filter(|_| own) {
            request = request.header("authorization", value);
        }
        match request.send(SendBody::from_reader(&mut body)) {
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

    fn location(&self, opened: &Response<ureq::Body>) -> Result<(String, bool), RegistryError> {
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
