//! Reading an image from a registry, or from a mirror of it. Blocking: the caller puts it on a thread of its
//! own.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracing::info;
use ureq::Agent;
use windlass_containers::{Labels, Runtime, RuntimeError};
use windlass_model::Digest;
use windlass_model::plan::RunConfig;

use super::access::Login;
use super::blob::{BlobReader, Pace};
use super::error::RegistryError;
use super::manifest;
use super::reference::Reference;
use super::transport::{DOCUMENT_BYTES_MAX, Transport};
use crate::http::{Timeouts, into_async, named_agent, outside_agent_but};

/// A registry that does not take a connection within this time counts as unreachable.
const CONNECT: Duration = Duration::from_secs(2);
/// One that sends nothing for so long counts as gone.
const SILENCE: Duration = Duration::from_secs(60);
const TIMEOUTS: Timeouts = Timeouts { connect: CONNECT, silence: SILENCE };

const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Digest of the blob.
    pub digest: Digest,
    /// Size of the blob.
    pub bytes: u64,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// `application/vnd.oci.image.layer.v1.tar+gzip`
    pub media_type: String,
}

/// An image for this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageManifest {
    /// Digest that names the image: of the index or manifest that was asked for.
    pub digest: Digest,
    /// How it is run.
    pub config: RunConfig,
    /// Its layers, lowest first.
    pub layers: Vec<Layer>,
}

/// Where an image is read from. Blocking: the caller puts it on a thread of its own.
pub(crate) trait ImageSource: Send + Sync {
    /// The image for this machine; the one that is known, if its name still means that.
    fn manifest(&self, known: Option<ImageManifest>) -> Result<ImageManifest, RegistryError>;
    /// How many places there are to read a layer from.
    fn places(&self) -> usize {
        1
    }
    /// A layer's blob from one of the places. Who reads it checks its digest.
    fn layer(&self, layer: &Layer, place: usize) -> Result<Box<dyn Read + Send>, RegistryError>;
    /// Whom the layers can be asked from again.
    fn origin(&self) -> Option<&Reference> {
        None
    }
}

impl ImageSource for Client {
    fn manifest(&self, known: Option<ImageManifest>) -> Result<ImageManifest, RegistryError> {
        let expected = self.reference.digest.clone();
        let (digest, top) = self.document("manifests", self.reference.selector(), expected)?;
        if let Some(known) = known.filter(|known| known.digest == digest) {
            return Ok(known);
        }
        let (what, host) = (self.reference.to_string(), self.reference.host());
        manifest::read(&what, host, digest, &top, |kind, wanted| {
            Ok(self.document(kind, wanted.as_str(), Some(wanted.clone()))?.1)
        })
    }

    fn places(&self) -> usize {
        self.places.len()
    }

    fn layer(&self, layer: &Layer, place: usize) -> Result<Box<dyn Read + Send>, RegistryError> {
        let place = &self.places[place];
        Ok(Box::new(BlobReader::open(place, &layer.digest, layer.bytes, Pace::OF_LAYERS)?))
    }

    fn origin(&self) -> Option<&Reference> {
        Some(&self.reference)
    }
}

/// Where a registry answers.
pub(super) fn origin(reference: &Reference) -> String {
    let scheme = if reference.is_plain_http() { "http" } else { "https" };
    format!("{scheme}://{}", reference.host())
}

/// For the registry, or the mirror, at this address: where it leads is never inside, unless it is its own host.
pub(super) fn registry_agent(certificates: Option<&Path>, base: &str) -> Agent {
    named_agent(certificates, TIMEOUTS, base)
}

/// Reads one image from its registry.
pub struct Client {
    reference: Reference,
    /// Mirrors, and the registry itself, which is the last.
    places: Vec<Arc<Transport>>,
    /// From the beginning of a request for a document to the last byte of its answer.
    time_max: Option<Duration>,
}

impl Client {
    /// A client for an image, trusting these certificate authorities. Each mirror comes with a login of
    /// its own.
    pub fn new(
        reference: Reference,
        certificates: Option<&Path>,
        login: Option<Login>,
        mirrors: Vec<(String, Option<Login>)>,
    ) -> Self {
        let agent = |base: &str| registry_agent(certificates, base);
        Self::with_agent(agent, reference, login, mirrors)
    }

    /// The same for an image that strangers chose, without a login: nothing inside is asked (this machine, networks
    /// behind its bridges, metadata of its cloud) but the server of an address that somebody chose who may reach it.
    pub fn outside_but(reference: Reference, certificates: Option<&Path>, chosen: &str) -> Self {
        let agent = outside_agent_but(certificates, TIMEOUTS, chosen);
        Self::with_agent(|_| agent.clone(), reference, None, Vec::new())
    }

    fn with_agent(
        agent: impl Fn(&str) -> Agent,
        reference: Reference,
        login: Option<Login>,
        mirrors: Vec<(String, Option<Login>)>,
    ) -> Self {
        let own = (origin(&reference), login);
        let place = |(base, login): (String, Option<Login>)| {
            let repository = &reference.repository;
            Arc::new(Transport::new(agent(&base), &base, repository, login, "pull"))
        };
        let places = mirrors.into_iter().chain([own]).map(place).collect();
        Self { reference, places, time_max: None }
    }

    /// The same with a limit for each request of a document or a component, from its beginning to the last byte of its
    /// answer: without one, a registry may send byte by byte for as long as it likes. Layers of images have a least speed instead.
    #[must_use]
    pub fn within(self, time_max: Duration) -> Self {
        Self { time_max: Some(time_max), ..self }
    }

    /// The same where the registry gave no answer a moment ago, for this reason: it is not asked, and its mirrors are.
    #[must_use]
    pub(crate) fn away(self, why: Option<String>) -> Self {
        if let (Some(why), Some(own)) = (why, self.places.last()) {
            own.leave_out(why);
        }
        self
    }

    /// What is read.
    pub(super) fn reference(&self) -> &Reference {
        &self.reference
    }

    /// The manifest or index that the reference names.
    pub(super) fn top(&self) -> Result<Vec<u8>, RegistryError> {
        let expected = self.reference.digest.clone();
        Ok(self.document("manifests", self.reference.selector(), expected)?.1)
    }

    /// The manifest that another tag of the repository names, of at most so many bytes.
    pub(super) fn tagged(&self, tag: &str, bytes_max: u64) -> Result<Vec<u8>, RegistryError> {
        Ok(self.fetch("manifests", tag, None, bytes_max)?.1)
    }

    /// A blob of at most so many bytes, checked against its digest.
    pub(super) fn blob(&self, digest: &Digest, bytes_max: u64) -> Result<Vec<u8>, RegistryError> {
        Ok(self.fetch("blobs", digest.as_str(), Some(digest.clone()), bytes_max)?.1)
    }

    /// A small document of the first place that has it, checked against the digest if there is one.
    fn document(
        &self,
        kind: &str,
        selector: &str,
        expected: Option<Digest>,
    ) -> Result<(Digest, Vec<u8>), RegistryError> {
        self.fetch(kind, selector, expected, DOCUMENT_BYTES_MAX)
    }

    fn fetch(
        &self,
        kind: &str,
        selector: &str,
        expected: Option<Digest>,
        bytes_max: u64,
    ) -> Result<(Digest, Vec<u8>), RegistryError> {
        let mut outcome = Err(RegistryError::NotFound { what: self.reference.to_string() });
        for place in &self.places {
            outcome = self.fetch_from(place, kind, selector, expected.as_ref(), bytes_max);
            match &outcome {
                Ok(_) => break,
                Err(error) => info!(host = place.host, %error, "an image is not to be had there"),
            }
        }
        outcome
    }

    fn fetch_from(
        &self,
        place: &Transport,
        kind: &str,
        selector: &str,
        expected: Option<&Digest>,
        bytes_max: u64,
    ) -> Result<(Digest, Vec<u8>), RegistryError> {
        let url = place.url(&format!("{kind}/{selector}"));
        let response = place.send(|authorization| {
            let mut request = place.agent.get(&url).header("accept", ACCEPTED);
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            request.config().timeout_global(self.time_max).build().call()
        })?;
        let what = format!("{kind}/{selector} of {}", self.reference);
        let mut response = place.expect(response, &what)?;
        // The reader refuses to look for the end when nothing is left of its limit.
        let limit = bytes_max.saturating_add(1);
        let body = response.body_mut().with_config().limit(limit).read_to_vec();
        let bytes = body.map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(_) => {
                RegistryError::TooLarge { host: place.host.clone(), what, bytes_max }
            }
            error => place.transport(&error),
        })?;
        let got = Digest::of(&bytes);
        match expected {
            Some(expected) if *expected != got => {
                let (what, expected) = (format!("{kind}/{selector}"), expected.clone());
                Err(RegistryError::DigestMismatch { what, expected, got })
            }
            _ => Ok((got, bytes)),
        }
    }
}

/// Puts a layer's blob into the content store, from the first place that gives it right.
pub(crate) async fn download(
    runtime: &dyn Runtime,
    source: &Arc<dyn ImageSource>,
    layer: &Layer,
) -> Result<Result<(), RegistryError>, RuntimeError> {
    let mut outcome = Ok(());
    for place in 0..source.places() {
        outcome = download_from(runtime, source, layer, place).await?;
        match &outcome {
            Ok(()) => break,
            Err(error) => info!(place, %error, "a layer is not to be had there"),
        }
    }
    Ok(outcome)
}

async fn download_from(
    runtime: &dyn Runtime,
    source: &Arc<dyn ImageSource>,
    layer: &Layer,
    place: usize,
) -> Result<Result<(), RegistryError>, RuntimeError> {
    let (reader, wanted) = (Arc::clone(source), layer.clone());
    let opened = tokio::task::spawn_blocking(move || reader.layer(&wanted, place)).await;
    let body = match opened.map_err(interrupted)? {
        Ok(body) => body,
        Err(error) => return Ok(Err(error)),
    };
    match runtime.put_blob(into_async(body), Some(&layer.digest), &Labels::new()).await {
        Ok(_) => Ok(Ok(())),
        Err(error) => of_registry(error).map(Err),
    }
}

/// What went wrong on the registry's side while a blob was stored, taken out of the runtime's error.
fn of_registry(error: RuntimeError) -> Result<RegistryError, RuntimeError> {
    match error {
        RuntimeError::DigestMismatch { expected, got } => match (expected.parse(), got.parse()) {
            (Ok(expected), Ok(got)) => {
                let what = "a layer".to_owned();
                Ok(RegistryError::DigestMismatch { what, expected, got })
            }
            _ => Err(RuntimeError::DigestMismatch { expected, got }),
        },
        RuntimeError::Io { operation, path, source } => match source.downcast::<RegistryError>() {
            Ok(error) => Ok(error),
            Err(source) => Err(RuntimeError::Io { operation, path, source }),
        },
        other => Err(other),
    }
}

fn interrupted(error: tokio::task::JoinError) -> RuntimeError {
    let path = "a layer".into();
    RuntimeError::Io { operation: "read", path, source: io::Error::other(error) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{SocketAddr, TcpListener};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use super::*;

    const TIME_MAX: Duration = Duration::from_millis(300);

    /// The name of an artifact in a registry that answers with this, and goes on byte by byte; how often it was asked.
    fn slow(head: &'static str) -> (Reference, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let name = format!("{}/team/scan:1", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    let _request = stream.read(&mut [0; 4096]);
                    let mut sent = stream.write_all(head.as_bytes());
                    while sent.is_ok() {
                        std::thread::sleep(TIME_MAX / 10);
                        sent = stream.write_all(b"x");
                    }
                });
            }
        });
        (name.parse().unwrap(), asked)
    }

    /// A server at this address whose every answer is this; how often it was asked.
    fn answering(address: &str, answer: String) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                let _request = stream.read(&mut [0; 4096]);
                let _hung_up = stream.write_all(answer.as_bytes());
            }
        });
        (address, asked)
    }

    #[test]
    fn a_registry_leads_nowhere_inside_but_to_its_own_host() {
        let head = |status: &str, fields: &str| {
            format!("HTTP/1.1 {status}\r\nconnection: close\r\n{fields}\r\n\r\n")
        };
        let good = head("200 OK", "content-length: 2") + "{}";
        let redirect = |to: SocketAddr| {
            head("307 Elsewhere", &format!("location: http://{to}/x\r\ncontent-length: 0"))
        };
        let token = |to: SocketAddr| {
            let realm =
                format!("www-authenticate: Bearer realm=\"http://{to}/token\",service=\"s\"");
            head("401 No", &format!("{realm}\r\ncontent-length: 0"))
        };
        let ask = |registry: SocketAddr| {
            let reference = format!("{registry}/team/scan:1").parse().unwrap();
            Client::new(reference, None, None, Vec::new()).tagged("1", 1_000)
        };
        let (inside, asked) = answering("127.0.0.2:0", good.clone());
        for answer in [redirect(inside), token(inside)] {
            let (registry, _) = answering("127.0.0.1:0", answer);
            let error = ask(registry).unwrap_err();
            assert_eq!(error.code(), "registry.redirect-refused", "{error}");
            assert!(error.to_string().contains("127.0.0.2 leads to this machine"), "{error}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 0, "it was asked");

        let (own, asked) = answering("127.0.0.1:0", good);
        let (registry, _) = answering("127.0.0.1:0", redirect(own));
        assert_eq!(ask(registry).unwrap(), b"{}");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn of_a_registry_that_is_away_the_mirrors_alone_are_asked() {
        let head = |status: &str| {
            format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}")
        };
        let (own, asked) = answering("127.0.0.1:0", head("200 OK"));
        let ask = |mirror: SocketAddr, away: Option<&str>| {
            let reference = format!("{own}/team/scan:1").parse().unwrap();
            let mirrors = vec![(format!("http://{mirror}"), None)];
            let client = Client::new(reference, None, None, mirrors);
            client.away(away.map(str::to_owned)).tagged("1", 1_000)
        };
        let (has_it, _) = answering("127.0.0.1:0", head("200 OK"));
        let (lacks_it, asked_mirror) = answering("127.0.0.1:0", head("404 No"));
        assert_eq!(ask(has_it, Some("no route")).unwrap(), b"{}");
        let error = ask(lacks_it, Some("no route")).unwrap_err();
        assert_eq!(error.code(), "registry.unreachable", "{error}");
        assert!(error.to_string().contains("no route"), "{error}");
        assert_eq!(asked_mirror.load(Ordering::SeqCst), 1);
        assert_eq!(asked.load(Ordering::SeqCst), 0, "it is away");
        assert_eq!(ask(lacks_it, None).unwrap(), b"{}");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn of_an_image_that_is_known_only_what_names_it_is_read_again() {
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
        let (registry, asked) = answering("127.0.0.1:0", head.to_owned());
        let reference = format!("{registry}/team/app:1").parse().unwrap();
        let client = Client::new(reference, None, None, Vec::new());
        let known = |text: &[u8]| ImageManifest {
            digest: Digest::of(text),
            config: RunConfig { cwd: "/known".to_owned(), ..RunConfig::default() },
            layers: Vec::new(),
        };
        assert_eq!(client.manifest(Some(known(b"{}"))).unwrap(), known(b"{}"));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let error = client.manifest(Some(known(b"another"))).unwrap_err();
        assert_eq!(error.code(), client.manifest(None).unwrap_err().code());
    }

    #[test]
    fn what_is_spoken_to_with_tls_leads_nowhere_without() {
        let agent = registry_agent(None, "https://registry.example");
        let refused = agent.get("http://registry.example/v2/x").call();
        assert!(matches!(refused, Err(ureq::Error::RequireHttpsOnly(_))), "{refused:?}");
    }

    #[test]
    fn what_comes_byte_by_byte_ends_with_the_time_of_the_client_and_is_not_asked_for_again() {
        for head in ["HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", "HTTP/1.1 200 O"] {
            let (reference, asked) = slow(head);
            let client = Client::new(reference, None, None, Vec::new()).within(TIME_MAX);
            let begun = Instant::now();
            let error = client.cosign(&Digest::of(b"an artifact")).unwrap_err();
            assert_eq!(error.code(), "registry.unreachable", "{error}");
            assert!(begun.elapsed() < SILENCE, "{:?}", begun.elapsed());
            assert_eq!(asked.load(Ordering::SeqCst), 1, "{error}");
        }
    }
}
