//! HTTP requests of the host itself, with the host's own certificate authorities.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::bytes::Bytes;
use tokio_util::io::StreamReader;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use windlass_containers::Inside;
use windlass_containers::runtime::Reader;

/// Where distributions keep the bundle, most usual first.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The host's bundle: the one given, the one of `SSL_CERT_FILE`, or the distribution's.
pub fn certificate_bundle(given: Option<&Path>) -> Option<PathBuf> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    given
        .map(Path::to_owned)
        .into_iter()
        .chain(named)
        .chain(BUNDLES.iter().map(PathBuf::from))
        .find(|path| path.is_file())
}

/// Time limits of a client.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Until a connection stands.
    pub connect: Duration,
    /// Until the head of the answer is there, and between two reads of its body.
    pub silence: Duration,
}

/// A blocking client. Status codes are answers, not errors.
pub fn agent(certificates: Option<&Path>, timeouts: Timeouts) -> ureq::Agent {
    config(certificates, timeouts).new_agent()
}

/// The same for addresses that strangers chose: it never connects to what a container is kept from, which is
/// this machine, what runs behind its bridges and metadata of its cloud, whatever a name resolves to and
/// wherever a redirect leads. Such an address is refused with [`io::ErrorKind::PermissionDenied`].
pub(crate) fn outside_agent(certificates: Option<&Path>, timeouts: Timeouts) -> ureq::Agent {
    outside(certificates, timeouts, OutsideOnly::default())
}

/// The same, but for the server (host and port) of an address that somebody chose who may reach it.
pub fn outside_agent_but(
    certificates: Option<&Path>,
    timeouts: Timeouts,
    chosen: &str,
) -> ureq::Agent {
    let but = chosen.parse::<Uri>().ok().and_then(|uri| server(&uri));
    outside(certificates, timeouts, OutsideOnly { but, ..OutsideOnly::default() })
}

fn outside(certificates: Option<&Path>, timeouts: Timeouts, only: OutsideOnly) -> ureq::Agent {
    ureq::Agent::with_parts(config(certificates, timeouts), DefaultConnector::default(), only)
}

/// Host and port of an address over HTTP.
fn server(uri: &Uri) -> Option<(String, u16)> {
    let usual = match uri.scheme_str() {
        Some("https") => Some(443),
        Some("http") => Some(80),
        _ => None,
    };
    Some((uri.host()?.to_ascii_lowercase(), uri.port_u16().or(usual)?))
}

fn config(certificates: Option<&Path>, timeouts: Timeouts) -> Config {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(timeouts.connect))
        .timeout_connect(Some(timeouts.connect))
        .timeout_recv_response(Some(timeouts.silence))
        .timeout_per_read(Some(timeouts.silence))
        .tls_config(tls(certificates))
        .build()
}

/// How servers over TLS are checked: by the authorities of this bundle; without one that holds any, by those
/// that are compiled in. It is read and parsed at each call.
pub fn tls(certificates: Option<&Path>) -> TlsConfig {
    let mut tls = TlsConfig::builder();
    if let Some(pem) = certificates.and_then(|path| std::fs::read(path).ok()) {
        let certs: Vec<_> = parse_pem(&pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(cert)) => Some(cert),
                _ => None,
            })
            .collect();
        if !certs.is_empty() {
            tls = tls.root_certs(RootCerts::from(certs));
        }
    }
    tls.build()
}

/// Resolves names, and leaves out addresses that lead inside.
#[derive(Debug, Default)]
struct OutsideOnly {
    resolver: DefaultResolver,
    /// The server that is asked wherever it is.
    but: Option<(String, u16)>,
}

impl Resolver for OutsideOnly {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let all = self.resolver.resolve(uri, config, timeout)?;
        if self.but.is_some() && server(uri) == self.but {
            return Ok(all);
        }
        // The operator's own proxy may be anywhere; where it leads is its own matter.
        if config.proxy().is_some_and(|proxy| uri.host() == Some(proxy.host())) {
            return Ok(all);
        }
        let inside = Inside::now();
        let mut kept = self.empty();
        for address in all.iter().filter(|address| !inside.holds(address.ip())) {
            kept.push(*address);
        }
        if kept.is_empty() {
            let host = uri.host().unwrap_or_default();
            let why = format!(
                "{host} leads to this machine, to a network behind one of its bridges, or to metadata \
                 of its cloud"
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why).into());
        }
        Ok(kept)
    }
}

/// A blocking reader as an asynchronous one; it is read on a thread of its own.
pub(crate) fn into_async(mut reader: impl Read + Send + 'static) -> Reader {
    let (send, receive) = tokio::sync::mpsc::channel::<io::Result<Bytes>>(8);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut chunk = vec![0_u8; 128 * 1024];
            let item = match reader.read(&mut chunk) {
                Ok(0) => return,
                Ok(n) => {
                    chunk.truncate(n);
                    Ok(Bytes::from(chunk))
                }
                Err(e) => Err(e),
            };
            let failed = item.is_err();
            if send.blocking_send(item).is_err() || failed {
                return;
            }
        }
    });
    let stream = futures::stream::unfold(receive, |mut receive| async move {
        receive.recv().await.map(|item| (item, receive))
    });
    Box::new(StreamReader::new(Box::pin(stream)))
}
