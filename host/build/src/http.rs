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
    /// Until the head of the answer is there, and between two reads of its body. A server that takes nothing of
    /// what is sent for so long is given up as well; as long as some tens of KiB a second move, what is sent may
    /// take any time.
    pub silence: Duration,
}

/// A blocking client. Status codes are answers, not errors.
pub fn agent(certificates: Option<&Path>, timeouts: Timeouts) -> ureq::Agent {
    config(certificates, timeouts, false).new_agent()
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

/// A blocking client for a server that somebody named who may reach it, wherever it is. Where its redirects and its
/// answers lead is its own choice, so that is never inside, but for other ports of its own host name; and what began
/// over TLS goes nowhere without it.
pub(crate) fn named_agent(
    certificates: Option<&Path>,
    timeouts: Timeouts,
    base: &str,
) -> ureq::Agent {
    let named = base.parse::<Uri>().ok();
    let host = named.as_ref().and_then(Uri::host).map(str::to_ascii_lowercase);
    let https_only = named.as_ref().and_then(Uri::scheme_str) == Some("https");
    let only = OutsideOnly { host, ..OutsideOnly::default() };
    let config = config(certificates, timeouts, https_only);
    ureq::Agent::with_parts(config, DefaultConnector::default(), only)
}

fn outside(certificates: Option<&Path>, timeouts: Timeouts, only: OutsideOnly) -> ureq::Agent {
    let config = config(certificates, timeouts, false);
    ureq::Agent::with_parts(config, DefaultConnector::default(), only)
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

fn config(certificates: Option<&Path>, timeouts: Timeouts, https_only: bool) -> Config {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .https_only(https_only)
        .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(timeouts.connect))
        .timeout_connect(Some(timeouts.connect))
        .timeout_recv_response(Some(timeouts.silence))
        .timeout_per_read(Some(timeouts.silence))
        .timeout_per_write(Some(timeouts.silence))
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
    /// The same for a host with all of its ports, in small letters.
    host: Option<String>,
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
        let host = uri.host().map(str::to_ascii_lowercase);
        if self.host.is_some() && host == self.host {
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// More than the buffers of two sockets hold.
    const BODY_BYTES: usize = 32 << 20;
    const SILENCE: Duration = Duration::from_secs(2);

    /// Sends a large body to a server that does this with the connection. The receiver says when the client is done.
    fn send_to(
        server: impl FnOnce(TcpStream, Receiver<()>) + Send + 'static,
    ) -> Result<ureq::http::StatusCode, ureq::Error> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (done, is_done) = channel();
        let serving = std::thread::spawn(move || server(listener.accept().unwrap().0, is_done));
        let agent = agent(None, Timeouts { connect: Duration::from_secs(10), silence: SILENCE });
        let body = vec![7_u8; BODY_BYTES];
        let sent = agent.put(&url).send(&body[..]).map(|answer| answer.status());
        drop(done);
        serving.join().unwrap();
        sent
    }

    #[test]
    fn a_server_that_stops_reading_is_given_up() {
        let sent = send_to(|mut connection, is_done| {
            // The head is read, and nothing of the body after it.
            assert!(connection.read(&mut [0; 64]).unwrap() > 0);
            assert!(is_done.recv().is_err(), "the client ends before the server");
        });
        assert!(matches!(sent, Err(ureq::Error::Timeout(ureq::Timeout::PerWrite))), "{sent:?}");
    }

    #[test]
    fn a_server_that_reads_slowly_may_take_longer_than_the_silence() {
        let sent = send_to(|mut connection, _| {
            let (mut head, mut byte) = (Vec::<u8>::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") {
                connection.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            let mut part = vec![0; 1 << 20];
            for n in 0..BODY_BYTES >> 20 {
                connection.read_exact(&mut part).unwrap();
                if n < 16 {
                    std::thread::sleep(SILENCE / 8);
                }
            }
            connection.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").unwrap();
        });
        assert_eq!(sent.unwrap(), 201);
    }
}
