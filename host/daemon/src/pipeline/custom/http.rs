//! Requests of plugins over HTTP and HTTPS.
//!
//! **Invariants.** A name is resolved once, every address that it has is looked at, and the connection goes to
//! one of these: what the name leads to a moment later does not matter. Each redirect is a new
//! request in all of this, grant included. The value of a secret goes where it was asked to go, to nobody that
//! a redirect leads to, and never back to the plugin. No proxy of the host's environment is used.

use std::fmt;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::{
    HeaderMap, HeaderName, HeaderValue, Request as HttpRequest, Response as HttpResponse, header,
};
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use url::{Host, Url};
use windlass_build::http::tls;
use windlass_containers::Inside;
use windlass_model::limits::StageLimits;
use windlass_model::plugin::Effective;
use windlass_model::secret::Masker;
use windlass_sandbox::contract::http::{HttpError, Reason, Request, Response};

use super::address;

/// Headers that are the host's to set, and those that say who asks.
const FORBIDDEN: [&str; 9] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "proxy-authorization",
    "proxy-connection",
];
/// Headers that belong to the place they were meant for.
const PERSONAL: [&str; 2] = ["authorization", "cookie"];
/// Most redirects that are followed.
const REDIRECTS_MAX: u8 = 10;
/// Headers of one answer, in bytes.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Finds the addresses of a name.
pub(crate) trait Resolve: Send + Sync {
    /// All of them, with the port.
    fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// As the machine does it.
#[derive(Debug)]
pub(crate) struct System;

impl Resolve for System {
    fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        (host, port).to_socket_addrs().map(Iterator::collect)
    }
}

/// Sends requests.
pub(crate) struct Client {
    resolve: Arc<dyn Resolve>,
    /// The host's bundle of certificate authorities.
    certificates: Option<PathBuf>,
    limits: StageLimits,
}

/// What is sent, and on whose behalf.
pub(crate) struct Asked {
    pub allowed: Effective,
    /// The secrets that the request names, with their values.
    pub secrets: Vec<(String, String)>,
    pub request: Request,
}

fn refused(reason: Reason, message: impl Into<String>) -> HttpError {
    HttpError { reason, message: message.into() }
}

impl Client {
    pub(crate) fn new(
        resolve: Arc<dyn Resolve>,
        certificates: Option<PathBuf>,
        limits: StageLimits,
    ) -> Self {
        Self { resolve, certificates, limits }
    }

    /// Sends a request, and follows as many redirects as it says.
    pub(crate) fn fetch(&self, asked: &Asked) -> Result<Response, HttpError> {
        let answer = self.follow(asked);
        let masker = Masker::new(asked.secrets.iter().map(|(_, value)| value.as_str()));
        match answer {
            Ok(response) => Ok(Response {
                url: masker.mask(&response.url),
                headers: response
                    .headers
                    .iter()
                    .map(|(name, value)| (name.clone(), masker.mask(value)))
                    .collect(),
                body: masker.mask_bytes(&response.body),
                ..response
            }),
            Err(error) => Err(refused(error.reason, masker.mask(&error.message))),
        }
    }

    /// The longest time of a request.
    pub(crate) fn timeout(&self, request: &Request) -> Duration {
        let host = u64::from(self.limits.http_timeout_ms);
        let wanted = u64::from(request.timeout_ms);
        Duration::from_millis(if wanted == 0 { host } else { wanted.min(host) })
    }

    fn follow(&self, asked: &Asked) -> Result<Response, HttpError> {
        let until = Instant::now() + self.timeout(&asked.request);
        let mut sent = Sent::new(asked)?;
        let tls = tls(self.certificates.as_deref());
        let redirects_max = asked.request.redirects_max.min(REDIRECTS_MAX);
        for hop in 0..=redirects_max {
            let answer = self.send(&sent, &asked.allowed, &tls, until)?;
            let location = answer.headers().get(header::LOCATION);
            let location = location.and_then(|value| value.to_str().ok());
            let is_redirect = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            match location.filter(|_| is_redirect && redirects_max > 0) {
                Some(_) if hop == redirects_max => break,
                Some(location) => sent = sent.redirected(answer.status().as_u16(), location)?,
                None => return self.read(answer, &sent.url, asked.request.response_bytes_max),
            }
        }
        let why = format!("more than {redirects_max} redirects, the last one from {}", sent.url);
        Err(refused(Reason::TooManyRedirects, why))
    }

    /// One request, to an address that was looked at.
    fn send(
        &self,
        sent: &Sent,
        allowed: &Effective,
        tls: &TlsConfig,
        until: Instant,
    ) -> Result<HttpResponse<ureq::Body>, HttpError> {
        let Sent { method, url, headers, body } = sent;
        let (host, port, shown) = place(url)?;
        if !allowed.allows_http(method, &shown) {
            let why = format!("{method} {shown} is not granted");
            return Err(refused(Reason::Denied, why));
        }
        let addresses = self.pin(&host, port, &allowed.private_hosts())?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(refused(
                Reason::TimedOut,
                format!("the time was over before {shown} was asked"),
            ));
        }
        let agent = ureq::Agent::with_parts(
            Self::config(left, tls.clone()),
            DefaultConnector::default(),
            Pinned(addresses),
        );
        let mut request = HttpRequest::builder().method(method.as_str()).uri(url.as_str());
        if let Some(into) = request.headers_mut() {
            *into = headers.clone();
        }
        let invalid = |error: http::Error| refused(Reason::Invalid, error.to_string());
        let answer = if takes_body(method) {
            agent.run(request.body(body.as_slice()).map_err(invalid)?)
        } else {
            agent.run(request.body(()).map_err(invalid)?)
        };
        answer.map_err(|error| failed(&error, &shown))
    }

    /// The addresses that the request may go to. One that may not be reached is refused, also where the name
    /// has others beside it: a name that leads to both is one that plays.
    fn pin(&self, host: &str, port: u16, private: &[&str]) -> Result<Vec<SocketAddr>, HttpError> {
        let found = self.resolve.addresses(host, port).map_err(|error| {
            refused(Reason::NotResolved, format!("{host} was not resolved: {error}"))
        })?;
        let inside = Inside::now();
        for address in &found {
            let ip = address.ip();
            let is_open = address::is_public(ip) && !inside.holds(ip);
            if !is_open && !address::is_granted(private, host, ip) {
                let why = format!(
                    "{host} leads to {ip}, which is not of the public internet; an operator can grant it \
                     in `private` of the grant for http"
                );
                return Err(refused(Reason::Denied, why));
            }
        }
        match found.is_empty() {
            true => Err(refused(Reason::NotResolved, format!("{host} has no address"))),
            false => Ok(found),
        }
    }

    fn config(left: Duration, tls: TlsConfig) -> Config {
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .allow_non_standard_methods(true)
            .max_response_header_size(HEADER_BYTES_MAX)
            .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(left))
            .tls_config(tls)
            .build()
    }

    fn read(
        &self,
        answer: HttpResponse<ureq::Body>,
        url: &Url,
        wanted_bytes_max: u32,
    ) -> Result<Response, HttpError> {
        let host = self.limits.http_response_bytes_max;
        let wanted = u64::from(wanted_bytes_max);
        let bytes_max = if wanted == 0 { host } else { wanted.min(host) };
        let status = answer.status().as_u16();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers =
            answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let mut body = Vec::new();
        let reader = answer.into_body().into_with_config().limit(u64::MAX).reader();
        let read = reader.take(bytes_max + 1).read_to_end(&mut body);
        read.map_err(|error| {
            let late = error.kind() == io::ErrorKind::TimedOut;
            let reason = if late { Reason::TimedOut } else { Reason::Protocol };
            refused(reason, format!("the answer of {url} ended early: {error}"))
        })?;
        if body.len() as u64 > bytes_max {
            let why = format!("the answer of {url} has more than {bytes_max} bytes");
            return Err(refused(Reason::TooLarge, why));
        }
        Ok(Response { status, url: url.to_string(), headers, body })
    }
}

/// Resolves to addresses that were looked at, whatever the name is.
#[derive(Debug)]
struct Pinned(Vec<SocketAddr>);

/// Addresses that are tried.
const ADDRESSES_MAX: usize = 8;

impl Resolver for Pinned {
    fn resolve(
        &self,
        _: &http::Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut pinned = self.empty();
        self.0.iter().take(ADDRESSES_MAX).for_each(|address| pinned.push(*address));
        Ok(pinned)
    }
}

/// A request on its way, with its secrets filled in.
struct Sent {
    method: String,
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sent({} with {} bytes)", self.method, self.body.len())
    }
}

impl Sent {
    fn new(asked: &Asked) -> Result<Self, HttpError> {
        let Asked { secrets, request, .. } = asked;
        let invalid = |why: String| refused(Reason::Invalid, why);
        let method = request.method.clone();
        if method.is_empty() || method.len() > 20 || !method.bytes().all(|b| b.is_ascii_uppercase())
        {
            return Err(invalid(format!("{method:?} is no method in capitals")));
        }
        if !takes_body(&method) && !request.body.is_empty() {
            return Err(invalid(format!(
                "a body is sent with POST, PUT and PATCH, not with {method}"
            )));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let lower = name.to_ascii_lowercase();
            if FORBIDDEN.contains(&lower.as_str()) {
                return Err(invalid(format!("the header {lower} is the host's to set")));
            }
            let name = HeaderName::try_from(lower.as_str())
                .map_err(|_| invalid(format!("{name:?} is no name of a header")))?;
            let filled = fill(value.as_bytes(), secrets);
            let mut filled = HeaderValue::from_bytes(&filled)
                .map_err(|_| invalid(format!("the value of {name} cannot be sent")))?;
            filled.set_sensitive(has_secret(value.as_bytes(), secrets));
            headers.append(name, filled);
        }
        let url = String::from_utf8_lossy(&fill(request.url.as_bytes(), secrets)).into_owned();
        // What is filled in may be the whole of it, so it is not shown.
        let url =
            Url::parse(url.trim()).map_err(|e| invalid(format!("the URL does not read: {e}")))?;
        let body = fill(&request.body, secrets);
        Ok(Self { method, url, headers, body })
    }

    /// What a redirect asks for. Nothing that was meant for one place is taken to another.
    fn redirected(mut self, status: u16, location: &str) -> Result<Self, HttpError> {
        let to = self.url.join(location).map_err(|error| {
            refused(
                Reason::Protocol,
                format!("it redirects to an address that does not read: {error}"),
            )
        })?;
        let keeps_method = matches!(status, 307 | 308) || !takes_body(&self.method);
        let same = to.origin() == self.url.origin();
        if keeps_method && takes_body(&self.method) && !same {
            let why = format!(
                "{} sends the body on to another place, {}",
                self.url,
                to.origin().ascii_serialization()
            );
            return Err(refused(Reason::Denied, why));
        }
        if !keeps_method {
            self.method = "GET".to_owned();
            self.body.clear();
            self.headers.remove(header::CONTENT_TYPE);
        }
        if !same {
            let personal: Vec<HeaderName> = self
                .headers
                .iter()
                .filter(|(name, value)| value.is_sensitive() || PERSONAL.contains(&name.as_str()))
                .map(|(name, _)| name.clone())
                .collect();
            for name in personal {
                self.headers.remove(name);
            }
        }
        self.url = to;
        Ok(self)
    }
}

fn takes_body(method: &str) -> bool {
    matches!(method, "POST" | "PUT" | "PATCH")
}

/// Where a request goes: the name or address to be resolved, the port, and both as grants write them.
fn place(url: &Url) -> Result<(String, u16, String), HttpError> {
    let invalid = |why: &str| Err(refused(Reason::Invalid, why.to_owned()));
    let usual = match url.scheme() {
        "http" => 80,
        "https" => 443,
        _ => return invalid("only http and https are spoken"),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return invalid("a name and password do not belong into a URL: use a header");
    }
    let port = url.port().unwrap_or(usual);
    let (host, shown) = match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            (name.clone(), name)
        }
        Some(Host::Ipv4(ip)) => (ip.to_string(), ip.to_string()),
        Some(Host::Ipv6(ip)) => match IpAddr::V6(ip).to_canonical() {
            IpAddr::V4(ip) => (ip.to_string(), ip.to_string()),
            IpAddr::V6(ip) => (ip.to_string(), format!("[{ip}]")),
        },
        None => return invalid("the URL names no host"),
    };
    let shown = if port == usual { shown } else { format!("{shown}:{port}") };
    Ok((host, port, shown))
}

fn marker(name: &str) -> String {
    format!("{{{{{name}}}}}")
}

fn has_secret(text: &[u8], secrets: &[(String, String)]) -> bool {
    let has = |(name, _): &(String, String)| {
        let marker = marker(name);
        text.windows(marker.len()).any(|part| part == marker.as_bytes())
    };
    secrets.iter().any(has)
}

/// Puts secrets where `{{NAME}}` stands. What is put in is not looked at again.
fn fill(text: &[u8], secrets: &[(String, String)]) -> Vec<u8> {
    let markers: Vec<(Vec<u8>, &[u8])> =
        secrets.iter().map(|(name, value)| (marker(name).into_bytes(), value.as_bytes())).collect();
    let mut filled = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.first() {
        match markers.iter().find(|(marker, _)| rest.starts_with(marker)) {
            Some((marker, value)) => {
                filled.extend_from_slice(value);
                rest = &rest[marker.len()..];
            }
            None => {
                filled.push(*first);
                rest = &rest[1..];
            }
        }
    }
    filled
}

fn failed(error: &ureq::Error, shown: &str) -> HttpError {
    use io::ErrorKind;
    let reason = match error {
        ureq::Error::Timeout(_) => Reason::TimedOut,
        ureq::Error::Io(error) if error.kind() == ErrorKind::TimedOut => Reason::TimedOut,
        ureq::Error::Io(error) if error.kind() == ErrorKind::InvalidData => Reason::Tls,
        ureq::Error::Io(_) | ureq::Error::ConnectionFailed => Reason::NotConnected,
        ureq::Error::HostNotFound => Reason::NotResolved,
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_) => Reason::Tls,
        _ => Reason::Protocol,
    };
    refused(reason, format!("{shown}: {error}"))
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
