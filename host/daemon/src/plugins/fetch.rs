//! A plugin's file from an address or an image registry: fetched by the host, bounded in bytes and time.

use std::io::Read as _;
use std::time::Duration;

use windlass_build::http::{Timeouts, agent, certificate_bundle};
use windlass_build::registry::{Client, Reference};
use windlass_model::plugin::manage::FetchPlugin;
use windlass_model::{Digest, Failure};

const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(10), silence: Duration::from_secs(20) };
/// From the beginning of a fetch to its last byte.
const TIME_MAX: Duration = Duration::from_secs(120);

/// What stands before the name of an artifact in a registry.
pub(super) const OCI: &str = "oci://";

/// The file at an address, or of an artifact. Over `http` it is only taken with a digest: anyone on the way could exchange it.
///
/// # Errors
/// `plugin.url-invalid`, `plugin.fetch-failed`, `plugin.digest-wrong`.
pub(super) async fn fetch(wanted: &FetchPlugin, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    if let Some(name) = wanted.url.strip_prefix(OCI) {
        let bytes = pull(name, bytes_max).await?;
        check_digest(&wanted.url, &bytes, wanted.digest.as_ref())?;
        return Ok(bytes);
    }
    check_url(wanted)?;
    let url = wanted.url.clone();
    let got = tokio::task::spawn_blocking(move || get(&url, bytes_max)).await;
    let got = got.unwrap_or_else(|ended| Err(ended.to_string()));
    let bytes = got.map_err(|why| failed(&shown(&wanted.url), why))?;
    check_digest(&shown(&wanted.url), &bytes, wanted.digest.as_ref())?;
    Ok(bytes)
}

/// The component of a public artifact.
async fn pull(name: &str, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let reference = name.parse::<Reference>().map_err(|error| {
        let fix = "give one such as oci://ghcr.io/acme/scan:1.2.0";
        let what = format!("{OCI}{name} is no address of a plugin");
        Failure::app("plugin.url-invalid", what, error.to_string(), fix)
    })?;
    let shown = reference.to_string();
    let pulled = tokio::task::spawn_blocking(move || {
        let client = Client::new(reference, certificate_bundle(None).as_deref(), None, Vec::new());
        client.component(bytes_max).map_err(|error| error.to_string())
    });
    let pulled = pulled.await.unwrap_or_else(|ended| Err(ended.to_string()));
    pulled.map_err(|why| failed(&shown, why))
}

fn check_url(wanted: &FetchPlugin) -> Result<(), Failure> {
    let refused = |why: &str, fix: &str| {
        let what = format!("{} is no address of a plugin", shown(&wanted.url));
        Err(Failure::app("plugin.url-invalid", what, why, fix))
    };
    let Ok(uri) = wanted.url.parse::<http::Uri>() else {
        return refused(
            "it does not read as an address",
            "give one such as https://example.com/scan.wasm",
        );
    };
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) => Ok(()),
        (Some("http"), Some(_)) if wanted.digest.is_some() => Ok(()),
        (Some("http"), Some(_)) => refused(
            "what comes over http could be exchanged on the way",
            "use https, or say which digest the file has: --digest sha256:...",
        ),
        _ => refused(
            "only https and oci are fetched",
            "give an address that begins with https:// or oci://",
        ),
    }
}

/// Refuses a file of another digest.
///
/// # Errors
/// `plugin.digest-wrong`
pub(crate) fn check_digest(
    name: &str,
    bytes: &[u8],
    expected: Option<&Digest>,
) -> Result<(), Failure> {
    let Some(expected) = expected else { return Ok(()) };
    let got = Digest::of(bytes);
    if got == *expected {
        return Ok(());
    }
    Err(Failure::app(
        "plugin.digest-wrong",
        format!("{name} is another file than expected"),
        format!("its digest is {got}, and {expected} was asked for"),
        "check which version you want, and where its digest was published",
    ))
}

fn get(url: &str, bytes_max: u64) -> Result<Vec<u8>, String> {
    let agent = agent(certificate_bundle(None).as_deref(), TIMEOUTS);
    let mut config = agent.get(url).config().timeout_global(Some(TIME_MAX)).max_redirects(5);
    if url.starts_with("https:") {
        // A redirect must not lead out of what is encrypted.
        config = config.https_only(true);
    }
    let response = config.build().call().map_err(|error| error.to_string())?;
    if !response.status().is_success() {
        return Err(format!("the server answered {}", response.status()));
    }
    let mut bytes = Vec::new();
    let body = response.into_body().into_with_config().limit(u64::MAX).reader();
    let read = body.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > bytes_max {
        return Err(format!("it has more than the {bytes_max} bytes that a plugin may have"));
    }
    Ok(bytes)
}

fn failed(url: &str, why: String) -> Failure {
    Failure::app(
        "plugin.fetch-failed",
        format!("{url} could not be fetched"),
        why,
        "check the address; or download the file and install it: windlass plugin install FILE",
    )
}

/// The address without user and password, for people and for the lock.
pub(super) fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}://{host}/{path}")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;

    use super::*;

    fn wanted(url: &str, digest: Option<Digest>) -> FetchPlugin {
        FetchPlugin {
            url: url.to_owned(),
            grant: None,
            digest,
            signature: None,
            dry_run: false,
            disabled: false,
        }
    }

    /// A server that answers one request with these bytes.
    fn serve(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/scan.wasm?token=secret", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _head = std::io::Read::read(&mut stream, &mut [0; 4096]).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
            stream.write_all(head.as_bytes()).unwrap();
            let _all = stream.write_all(answer);
        });
        url
    }

    #[tokio::test]
    async fn what_could_be_exchanged_on_the_way_needs_a_digest() {
        for url in ["http://example.com/a.wasm", "ftp://example.com/a", "a.wasm", "", "file:///a"] {
            let failure = fetch(&wanted(url, None), 10).await.unwrap_err();
            assert_eq!(failure.code, "plugin.url-invalid", "{url}");
        }
        let url = serve(b"hello");
        let bytes = fetch(&wanted(&url, Some(Digest::of(b"hello"))), 10).await.unwrap();
        assert_eq!(bytes, b"hello");
        let url = serve(b"other");
        let failure = fetch(&wanted(&url, Some(Digest::of(b"hello"))), 10).await.unwrap_err();
        assert_eq!(failure.code, "plugin.digest-wrong");
        assert!(!format!("{failure:?}").contains("secret"), "{failure:?}");
    }

    #[tokio::test]
    async fn a_file_is_bounded_and_an_absent_server_is_said() {
        let url = serve(b"0123456789");
        let failure = fetch(&wanted(&url, Some(Digest::of(b"x"))), 9).await.unwrap_err();
        assert!(failure.why.contains("more than the 9 bytes"), "{failure:?}");
        let nobody = wanted("http://127.0.0.1:1/a.wasm", Some(Digest::of(b"x")));
        assert_eq!(fetch(&nobody, 9).await.unwrap_err().code, "plugin.fetch-failed");
    }

    #[test]
    fn what_is_shown_of_an_address_holds_no_secret() {
        let url = "https://me:pass@example.com:8443/a/b.wasm?token=x#y";
        assert_eq!(shown(url), "https://example.com:8443/a/b.wasm");
    }
}
