//! Files from elsewhere: a plugin from an address or an image registry with its signature, an index. Fetched by the
//! host, bounded in bytes and time.

use std::io::Read as _;
use std::time::Duration;

use http::{StatusCode, header};
use windlass_build::Login;
use windlass_build::http::{Timeouts, agent, certificate_bundle, outside_agent_but};
use windlass_model::plugin::manage::FetchPlugin;
use windlass_model::{Digest, Failure};

use super::artifact::Artifact;
use super::signature::{Proof, SIGNATURE_BYTES_MAX, has_the_form};

const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(10), silence: Duration::from_secs(20) };
/// From the beginning of a request to its last byte.
pub(super) const TIME_MAX: Duration = Duration::from_secs(120);
/// The same for what is small.
pub(super) const SMALL_TIME_MAX: Duration = Duration::from_secs(30);

/// A longer mark of a file is not kept.
const ETAG_BYTES_MAX: usize = 1024;

/// What stands before the name of an artifact in a registry.
pub(super) const OCI: &str = "oci://";
/// Endings of signatures that lie beside a file: of minisign, of cosign.
const BESIDE: [&str; 2] = [".minisig", ".sig"];

/// Where a fetch may lead, redirects included.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reach<'a> {
    /// Anywhere: whoever rules the host wrote the address on its disk, or typed that of an artifact.
    Anywhere,
    /// Outside, and to the server of this address, which somebody typed who may change plugins. Never otherwise to
    /// this machine, to networks behind its bridges and to metadata of its cloud.
    Outside { but: &'a str },
}

impl<'a> Reach<'a> {
    /// Of an address that was typed itself. A registry is asked wherever it is.
    pub(super) fn typed(url: &'a str) -> Self {
        match url.starts_with(OCI) {
            true => Self::Anywhere,
            false => Self::Outside { but: url },
        }
    }

    /// The server of which address alone may be inside; none: all may.
    pub(super) fn but(self) -> Option<&'a str> {
        match self {
            Self::Anywhere => None,
            Self::Outside { but } => Some(but),
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) url: String,
    pub(super) bytes_max: u64,
    pub(super) time_max: Duration,
    /// The mark of the file that is here already.
    pub(super) etag: Option<String>,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Got {
    File {
        bytes: Vec<u8>,
        etag: Option<String>,
    },
    /// It is the file that is here already.
    Unchanged,
    /// There is nothing, or nothing that anybody may have.
    Absent(StatusCode),
    /// It has more bytes than it may have.
    TooLarge,
}

/// A plugin that was fetched.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) bytes: Vec<u8>,
    /// The signature that was given with its address, or what lies beside it.
    pub(super) proof: Proof,
}

/// The file at an address, or of an artifact. Over `http` it is only taken with a digest: anyone on the way could
/// exchange it. What `looks` says is whether a signature is looked for where none was given.
///
/// # Errors
/// `plugin.url-invalid`, `plugin.fetch-failed`, `plugin.digest-wrong`.
pub(super) async fn fetch(
    wanted: &FetchPlugin,
    reach: Reach<'_>,
    logins: &[Login],
    bytes_max: u64,
    looks: bool,
) -> Result<Fetched, Failure> {
    let looks = looks && wanted.signature.is_none();
    let given = Proof::given(wanted.signature.clone());
    if let Some(name) = wanted.url.strip_prefix(OCI) {
        let artifact = Artifact::pull(name, reach, logins, bytes_max).await?;
        check_digest(&wanted.url, &artifact.component.bytes, wanted.digest.as_ref())?;
        let proof = if looks { artifact.proof().await? } else { given };
        return Ok(Fetched { bytes: artifact.component.bytes, proof });
    }
    let bytes = download(wanted, reach, bytes_max).await?;
    let proof = if looks { signature(&wanted.url, reach).await? } else { given };
    Ok(Fetched { bytes, proof })
}

/// The file at an address of the web.
async fn download(
    wanted: &FetchPlugin,
    reach: Reach<'_>,
    bytes_max: u64,
) -> Result<Vec<u8>, Failure> {
    check_url(wanted)?;
    let url = wanted.url.clone();
    let wish = Wish { url, bytes_max, time_max: TIME_MAX, etag: None };
    let bytes = match get(wish, reach).await {
        Ok(Got::File { bytes, .. }) => bytes,
        Ok(Got::Absent(status)) => {
            return Err(failed(&shown(&wanted.url), format!("the server answered {status}")));
        }
        Ok(Got::Unchanged) => {
            let why = "the server answered 304 Not Modified, and nothing was here before";
            return Err(failed(&shown(&wanted.url), why.to_owned()));
        }
        Ok(Got::TooLarge) => return Err(failed(&shown(&wanted.url), too_large(bytes_max))),
        Err(why) => return Err(failed(&shown(&wanted.url), why)),
    };
    check_digest(&shown(&wanted.url), &bytes, wanted.digest.as_ref())?;
    Ok(bytes)
}

/// The signature that lies beside an address, as `ADDRESS.minisig` or `ADDRESS.sig`; none when nothing is there, or
/// nothing that can be one: some servers have a page for every path.
///
/// # Errors
/// Why it is not known whether there is one.
pub(super) async fn beside(url: &str, reach: Reach<'_>) -> Result<Option<String>, String> {
    for ending in BESIDE {
        let url = with_ending(url, ending);
        let bytes_max = SIGNATURE_BYTES_MAX as u64;
        let place = shown(&url);
        let wish = Wish { url, bytes_max, time_max: SMALL_TIME_MAX, etag: None };
        match get(wish, reach).await.map_err(|why| format!("{place}: {why}"))? {
            Got::File { bytes, .. } => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if has_the_form(&text) {
                    return Ok(Some(text));
                }
                tracing::debug!(%place, "what lies there is no signature");
            }
            Got::TooLarge => {
                tracing::debug!(%place, "what lies there is too large for a signature");
            }
            Got::Unchanged | Got::Absent(_) => {}
        }
    }
    Ok(None)
}

/// The signature beside a plugin's address.
///
/// # Errors
/// `plugin.fetch-failed`
async fn signature(url: &str, reach: Reach<'_>) -> Result<Proof, Failure> {
    let found = beside(url, reach).await.map_err(|why| no_signature(&shown(url), why))?;
    let places = BESIDE.map(|ending| shown(&with_ending(url, ending))).join(" or ");
    Ok(found.map_or(Proof::Nothing { looked: Some(places) }, Proof::OfFile))
}

/// It is not known whether there is a signature of what is called so.
pub(super) fn no_signature(place: &str, why: String) -> Failure {
    Failure::app(
        "plugin.fetch-failed",
        format!("the signature of {place} could not be fetched"),
        why,
        "try again, or give it with --signature FILE",
    )
}

/// An address whose path ends otherwise.
fn with_ending(url: &str, ending: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (path, rest) = url.split_at(end);
    format!("{path}{ending}{rest}")
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

/// Asks for a file, on a thread of its own.
///
/// # Errors
/// Why there is neither the file nor the knowledge that there is none.
pub(super) async fn get(wish: Wish, reach: Reach<'_>) -> Result<Got, String> {
    let but = reach.but().map(ToOwned::to_owned);
    let got = tokio::task::spawn_blocking(move || get_blocking(&wish, but.as_deref())).await;
    got.unwrap_or_else(|ended| Err(ended.to_string()))
}

fn get_blocking(wish: &Wish, outside_but: Option<&str>) -> Result<Got, String> {
    let certificates = certificate_bundle(None);
    let agent = match outside_but {
        None => agent(certificates.as_deref(), TIMEOUTS),
        Some(chosen) => outside_agent_but(certificates.as_deref(), TIMEOUTS, chosen),
    };
    let mut request = agent.get(&wish.url);
    if let Some(etag) = &wish.etag {
        request = request.header(header::IF_NONE_MATCH, etag);
    }
    let mut config = request.config().timeout_global(Some(wish.time_max)).max_redirects(5);
    if wish.url.starts_with("https:") {
        // A redirect must not lead out of what is encrypted.
        config = config.https_only(true);
    }
    let response = config.build().call().map_err(|error| error.to_string())?;
    let status = response.status();
    match status {
        StatusCode::NOT_MODIFIED => return Ok(Got::Unchanged),
        // Stores that let nobody list them answer 403 for what is not there.
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN => {
            return Ok(Got::Absent(status));
        }
        status if status.is_success() => {}
        status => return Err(format!("the server answered {status}")),
    }
    let etag = response.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok());
    let etag = etag.filter(|etag| etag.len() <= ETAG_BYTES_MAX).map(ToOwned::to_owned);
    let mut bytes = Vec::new();
    let body = response.into_body().into_with_config().limit(u64::MAX).reader();
    let read = body.take(wish.bytes_max.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > wish.bytes_max {
        return Ok(Got::TooLarge);
    }
    Ok(Got::File { bytes, etag })
}

/// Why a file is not taken.
pub(super) fn too_large(bytes_max: u64) -> String {
    format!("it has more than the {bytes_max} bytes that it may have")
}

/// It was not to be had.
pub(super) fn failed(url: &str, why: String) -> Failure {
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
    // Before the path is looked for: an address may have none.
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
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
            project: None,
            grant: None,
            digest,
            signature: None,
            dry_run: false,
            disabled: false,
        }
    }

    /// What comes of an address that was typed.
    async fn typed(wanted: &FetchPlugin, bytes_max: u64) -> Result<Vec<u8>, Failure> {
        let fetched = fetch(wanted, Reach::typed(&wanted.url), &[], bytes_max, false).await;
        fetched.map(|fetched| fetched.bytes)
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
            let failure = typed(&wanted(url, None), 10).await.unwrap_err();
            assert_eq!(failure.code, "plugin.url-invalid", "{url}");
        }
        let url = serve(b"hello");
        let bytes = typed(&wanted(&url, Some(Digest::of(b"hello"))), 10).await.unwrap();
        assert_eq!(bytes, b"hello");
        let url = serve(b"other");
        let failure = typed(&wanted(&url, Some(Digest::of(b"hello"))), 10).await.unwrap_err();
        assert_eq!(failure.code, "plugin.digest-wrong");
        assert!(!format!("{failure:?}").contains("secret"), "{failure:?}");
    }

    #[tokio::test]
    async fn a_file_is_bounded_and_an_absent_server_is_said() {
        let url = serve(b"0123456789");
        let failure = typed(&wanted(&url, Some(Digest::of(b"x"))), 9).await.unwrap_err();
        assert!(failure.why.contains("more than the 9 bytes"), "{failure:?}");
        let nobody = wanted("http://127.0.0.1:1/a.wasm", Some(Digest::of(b"x")));
        assert_eq!(typed(&nobody, 9).await.unwrap_err().code, "plugin.fetch-failed");
    }

    #[tokio::test]
    async fn what_an_index_names_or_a_redirect_leads_to_is_not_asked_of_this_machine() {
        let url = serve(b"hello");
        let named = wanted(&url, Some(Digest::of(b"hello")));
        let of_index = Reach::Outside { but: "https://acme.example/plugins.json" };
        let failure = fetch(&named, of_index, &[], 10, false).await.unwrap_err();
        assert_eq!(failure.code, "plugin.fetch-failed");
        assert!(failure.why.contains("leads to this machine"), "{failure:?}");
        let artifact = FetchPlugin { url: "oci://127.0.0.1:1/a:1".to_owned(), ..named.clone() };
        let failure = fetch(&artifact, of_index, &[], 10, true).await.unwrap_err();
        assert!(failure.why.contains("leads to this machine"), "{failure:?}");
        let beside = signature(&url, of_index).await.unwrap_err();
        assert!(beside.why.contains("leads to this machine"), "{beside:?}");
        // Nobody was there: the server still answers its one request.
        let redirects = redirect_to(url.clone());
        let asked = FetchPlugin { url: redirects, ..named.clone() };
        let failure = typed(&asked, 10).await.unwrap_err();
        assert!(failure.why.contains("leads to this machine"), "{failure:?}");
        let of_it = Reach::Outside { but: &url };
        assert_eq!(fetch(&named, of_it, &[], 10, false).await.unwrap().bytes, b"hello");
    }

    /// A server that sends one request elsewhere.
    fn redirect_to(url: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = format!("http://{}/scan.wasm", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _head = std::io::Read::read(&mut stream, &mut [0; 4096]).unwrap();
            let head = format!(
                "HTTP/1.1 302 Found\r\nlocation: {url}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).unwrap();
        });
        own
    }

    /// A server that has what stands beside its paths, and answers 404 for the rest.
    fn serve_paths(paths: &'static [(&'static str, &'static str)]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = [0; 4096];
                let n = std::io::Read::read(&mut stream, &mut head).unwrap();
                let head = String::from_utf8_lossy(&head[..n]).into_owned();
                let asked = head.split(' ').nth(1).unwrap_or_default();
                let found = paths.iter().find(|(path, _)| *path == asked);
                let (status, body) =
                    found.map_or(("404 Not Found", ""), |(_, body)| ("200 OK", body));
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                let _all = stream.write_all(answer.as_bytes());
            }
        });
        url
    }

    const MINISIG: &str = "untrusted comment: signature from minisign secret key\nRUQf6LRC\n";
    const COSIGN: &str = "MEUCIQDsYXZlZA==";
    const LARGE: &str = match std::str::from_utf8(&[b'x'; SIGNATURE_BYTES_MAX + 1]) {
        Ok(text) => text,
        Err(_) => "",
    };

    #[tokio::test]
    async fn a_signature_beside_an_address_is_found_and_none_is_no_error() {
        let at = serve_paths(&[
            ("/a.wasm.minisig?v=1", MINISIG),
            ("/b.wasm.sig", COSIGN),
            // A server that has a page for every path, and one that is too large.
            ("/d.wasm.minisig", "<html><body>Welcome</body></html>"),
            ("/d.wasm.sig", COSIGN),
            ("/e.wasm.minisig", LARGE),
            ("/e.wasm.sig", "<html></html>"),
        ]);
        let of = async |path: &str| {
            let url = format!("{at}{path}");
            signature(&url, Reach::typed(&url)).await
        };
        let of_file = |text: &str| Proof::OfFile(text.to_owned());
        assert_eq!(of("/a.wasm?v=1").await.unwrap(), of_file(MINISIG));
        assert_eq!(of("/b.wasm").await.unwrap(), of_file(COSIGN));
        assert_eq!(of("/d.wasm").await.unwrap(), of_file(COSIGN));
        for path in ["/e.wasm", "/c.wasm"] {
            let looked = Some(format!("{at}{path}.minisig or {at}{path}.sig"));
            assert_eq!(of(path).await.unwrap(), Proof::Nothing { looked });
        }
        let failure = signature("http://127.0.0.1:1/a.wasm", Reach::Anywhere).await.unwrap_err();
        assert_eq!(failure.code, "plugin.fetch-failed");
    }

    #[test]
    fn what_is_shown_of_an_address_holds_no_secret() {
        let url = "https://me:pass@example.com:8443/a/b.wasm?token=x#y";
        assert_eq!(shown(url), "https://example.com:8443/a/b.wasm");
        for url in ["https://example.com?token=a/b", "https://me:pass@example.com#x@y/z"] {
            assert_eq!(shown(url), "https://example.com/");
        }
    }
}
