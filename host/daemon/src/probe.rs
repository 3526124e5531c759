//! One probe of one instance, from the host, at the container's own address.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Empty};
use hyper::header::{HOST, LOCATION, USER_AGENT};
use windlass_containers::Runtime;
use windlass_containers::runtime::ExecSpec;
use windlass_model::deployment::Instance;
use windlass_model::plan::{HealthPolicy, KeyValues, Probe, ProbeOutcome};

/// Tries once, for at most `policy.timeout_ms`.
pub(crate) async fn once(
    runtime: &dyn Runtime,
    instance: &Instance,
    probe: &Probe,
    policy: &HealthPolicy,
    began: Instant,
) -> ProbeOutcome {
    let limit = Duration::from_millis(u64::from(policy.timeout_ms.max(1)));
    let attempt = async {
        match probe {
            Probe::Http { port, path, headers, redirects_max, .. } => {
                let address = address(instance, *port);
                http(address, path, headers, *redirects_max).await
            }
            Probe::Tcp { port, .. } => {
                match tokio::net::TcpStream::connect(address(instance, *port)).await {
                    Ok(_) => ProbeOutcome::Ok,
                    Err(e) => from_io(&e),
                }
            }
            Probe::Command { argv, .. } => command(runtime, instance, argv, limit).await,
            Probe::StaysUp { stays_up_ms, .. } => {
                let up = began.elapsed() >= Duration::from_millis(u64::from(*stays_up_ms));
                if up { ProbeOutcome::Ok } else { ProbeOutcome::Timeout }
            }
        }
    };
    tokio::time::timeout(limit, attempt).await.unwrap_or(ProbeOutcome::Timeout)
}

/// What was seen, for a log line.
pub(crate) fn describe(probe: &Probe, outcome: ProbeOutcome) -> String {
    let what = match probe {
        Probe::Http { path, .. } => format!("GET {path}"),
        Probe::Tcp { .. } => "connect".to_owned(),
        Probe::Command { argv, .. } => argv.join(" "),
        Probe::StaysUp { .. } => "stays up".to_owned(),
    };
    let seen = match outcome {
        ProbeOutcome::Status(status) => format!("status {status}"),
        ProbeOutcome::Ok => "well".to_owned(),
        ProbeOutcome::Refused => "nothing listens there yet".to_owned(),
        ProbeOutcome::Reset => "the connection was cut".to_owned(),
        ProbeOutcome::Timeout => "not yet".to_owned(),
        ProbeOutcome::Exited(code) => format!("ended with status {code}"),
        ProbeOutcome::CommandFailed(code) => format!("status {code}"),
        ProbeOutcome::OutOfMemory => "killed for its memory".to_owned(),
        ProbeOutcome::WrongAddress => "it listens on another address or port".to_owned(),
    };
    format!("{what}: {seen}")
}

fn address(instance: &Instance, port: Option<u16>) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(instance.address), port.or(instance.port).unwrap_or_default())
}

/// GET, following redirects that stay on the same host. An https address of this application is asked for
/// without TLS, as the proxy does; one of the very path that was asked for is the answer.
async fn http(
    address: SocketAddr,
    path: &str,
    headers: &KeyValues,
    redirects_max: u8,
) -> ProbeOutcome {
    let mut path = path.to_owned();
    for _ in 0..=redirects_max {
        match get(address, &path, headers).await {
            Ok((status, Some(location))) if (300..400).contains(&status) => {
                match same_host(&location) {
                    Some(next) if next != path || !location.starts_with("https:") => path = next,
                    _ => return ProbeOutcome::Status(status),
                }
            }
            Ok((status, _)) => return ProbeOutcome::Status(status),
            Err(outcome) => return outcome,
        }
    }
    ProbeOutcome::Status(310)
}

/// Path and query of a redirect to this application; `None` when it leads elsewhere.
fn same_host(location: &str) -> Option<String> {
    if location.starts_with('/') && !location.starts_with("//") {
        return Some(location.to_owned());
    }
    let uri: hyper::Uri = location.parse().ok()?;
    let here = uri.host().is_some_and(|host| host == HOST_NAME);
    (here && matches!(uri.scheme_str(), Some("http" | "https")))
        .then(|| uri.path_and_query().map_or("/", |p| p.as_str()).to_owned())
}

/// The host name that probes ask for; many frameworks refuse unknown ones, but not this.
const HOST_NAME: &str = "localhost";

async fn get(
    address: SocketAddr,
    path: &str,
    headers: &KeyValues,
) -> Result<(u16, Option<String>), ProbeOutcome> {
    let stream = tokio::net::TcpStream::connect(address).await.map_err(|e| from_io(&e))?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(io).await.map_err(|_| ProbeOutcome::Reset)?;
    let driver = tokio::spawn(connection);
    let mut request = hyper::Request::get(path)
        .header(HOST, HOST_NAME)
        .header(USER_AGENT, concat!("windlass-health/", env!("CARGO_PKG_VERSION")));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    // A path or header that cannot be sent is the policy's fault; it shows as a cut connection.
    let request = request.body(Empty::<bytes::Bytes>::new()).map_err(|_| ProbeOutcome::Reset)?;
    let answer = sender.send_request(request).await;
    let answered = match answer {
        Ok(response) => {
            let location =
                response.headers().get(LOCATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
            let status = response.status().as_u16();
            // The first part of the body is read, so that the application is not cut off mid-write.
            let _ = response.into_body().frame().await;
            Ok((status, location))
        }
        Err(_) => Err(ProbeOutcome::Reset),
    };
    driver.abort();
    answered
}

async fn command(
    runtime: &dyn Runtime,
    instance: &Instance,
    argv: &[String],
    timeout: Duration,
) -> ProbeOutcome {
    let spec =
        ExecSpec { argv: argv.to_vec(), env: Vec::new(), cwd: None, timeout, tail_bytes_max: 4096 };
    match runtime.exec(&instance.id, &spec).await {
        Ok(result) if result.timed_out => ProbeOutcome::Timeout,
        Ok(result) if result.code == 0 => ProbeOutcome::Ok,
        Ok(result) => ProbeOutcome::CommandFailed(i32::try_from(result.code).unwrap_or(i32::MAX)),
        Err(_) => ProbeOutcome::Reset,
    }
}

fn from_io(error: &std::io::Error) -> ProbeOutcome {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => ProbeOutcome::Refused,
        std::io::ErrorKind::TimedOut => ProbeOutcome::Timeout,
        _ => ProbeOutcome::Reset,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn redirects_are_followed_on_the_same_host_only() {
        assert_eq!(same_host("/login?x=1").as_deref(), Some("/login?x=1"));
        assert_eq!(same_host("http://localhost/up").as_deref(), Some("/up"));
        assert_eq!(same_host("https://localhost/up?x").as_deref(), Some("/up?x"));
        assert_eq!(same_host("https://localhost").as_deref(), Some("/"));
        assert_eq!(same_host("https://elsewhere/up"), None);
        assert_eq!(same_host("ftp://localhost/up"), None);
        assert_eq!(same_host("//elsewhere/up"), None);
        assert_eq!(same_host("http://elsewhere/"), None);
    }

    /// Answers each request for `/` with a redirect to this, and all others with status 204; where
    /// `trusts` is set, only those that did not come through TLS are redirected, to their own path.
    async fn serve(location: &'static str, trusts: bool) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let read = stream.read(&mut head).await.unwrap();
                let head = String::from_utf8_lossy(&head[..read]).to_ascii_lowercase();
                let secure = head.contains("x-forwarded-proto: https\r\n");
                let redirects = if trusts { !secure } else { head.starts_with("get / ") };
                let answer = if redirects {
                    format!("HTTP/1.1 301 X\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
                } else {
                    "HTTP/1.1 204 X\r\n\r\n".to_owned()
                };
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn an_application_that_wants_tls_answers() {
        let plain = KeyValues::new();
        let secure = vec![("x-forwarded-proto".to_owned(), "https".to_owned())];
        let status = ProbeOutcome::Status;
        // As applications do that lead everyone to TLS and trust the proxy.
        let guarded = serve("https://localhost/up", true).await;
        assert_eq!(http(guarded, "/up", &secure, 3).await, status(204));
        assert_eq!(http(guarded, "/up", &plain, 3).await, status(301));
        // An address that the application wrote with the scheme that it was told.
        let absolute = serve("https://localhost/login", false).await;
        assert_eq!(http(absolute, "/", &secure, 3).await, status(204));
        // One that does not trust the proxy is not asked again and again.
        let deaf = serve("https://localhost/", false).await;
        assert_eq!(http(deaf, "/", &secure, 3).await, status(301));
        let elsewhere = serve("https://example.com/", false).await;
        assert_eq!(http(elsewhere, "/", &secure, 3).await, status(301));
        let circle = serve("http://localhost/", false).await;
        assert_eq!(http(circle, "/", &secure, 3).await, status(310));
    }
}
