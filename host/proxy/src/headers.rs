//! What a gateway does to headers on their way through.
//!
//! **Invariant: an application never sees a forwarding header that an untrusted visitor wrote**, in
//! any spelling that a CGI-style environment would confuse with the real one.

use std::net::{IpAddr, SocketAddr};

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Uri};

/// Who sent a request, and to which of our addresses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visitor {
    pub(crate) peer: IpAddr,
    pub(crate) local: SocketAddr,
    pub(crate) trusted: bool,
}

const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Removes what concerns one connection only.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// The protocol that a request or answer wants to change to.
pub(crate) fn upgrade_to(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    let upgrade = headers.get(header::UPGRADE)?;
    // An application must not be led into HTTP/2 on a connection whose requests are checked here.
    let http = upgrade.to_str().is_ok_and(|p| p.to_ascii_lowercase().contains("h2c"));
    (asks && !http).then(|| upgrade.clone())
}

/// Makes a visitor's headers fit for an instance. `chunked` says that the body's length is not known.
pub(crate) fn prepare_request(
    headers: &mut HeaderMap,
    visitor: &Visitor,
    authority: &str,
    chunked: bool,
) {
    let upgrade = upgrade_to(headers);
    let trailers = headers.get_all(header::TE).iter().any(|te| {
        te.to_str().is_ok_and(|te| te.split(',').any(|t| t.trim().eq_ignore_ascii_case("trailers")))
    });
    strip_hop_by_hop(headers);
    // The body is read as soon as the instance takes it: the visitor is told so by ourselves.
    headers.remove(header::EXPECT);
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    } else if trailers {
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if chunked {
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    headers.append(header::VIA, HeaderValue::from_static("1.1 windlass"));
    set(headers, header::HOST, authority);
    forward(headers, visitor, authority);
}

fn forward(headers: &mut HeaderMap, visitor: &Visitor, authority: &str) {
    let before = visitor.trusted.then(|| joined(headers, &FORWARDED_FOR)).flatten();
    let spoofed: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            let plain = !name.as_str().contains('_');
            is_forwarding(name) && !(visitor.trusted && plain)
        })
        .cloned()
        .collect();
    for name in spoofed {
        headers.remove(name);
    }
    let peer = visitor.peer.to_string();
    let chain = before.map_or_else(|| peer.clone(), |before| format!("{before}, {peer}"));
    set(headers, FORWARDED_FOR, &chain);
    for (name, value) in [
        (FORWARDED_PROTO, "http"),
        (FORWARDED_HOST, authority),
        (FORWARDED_PORT, visitor.local.port().to_string().as_str()),
        (REAL_IP, peer.as_str()),
    ] {
        if !headers.contains_key(&name) {
            set(headers, name, value);
        }
    }
}

/// Whether a header, read as a CGI variable, says where a request came from.
fn is_forwarding(name: &HeaderName) -> bool {
    let name = name.as_str().replace('_', "-");
    name == "forwarded" || name == "x-real-ip" || name.starts_with("x-forwarded-")
}

fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<&str> =
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The authority that a request names: of its target in absolute form, else of its one Host header.
/// `Ok(None)` when an HTTP/1.0 request names none.
pub(crate) fn authority<B>(request: &http::Request<B>) -> Result<Option<String>, ()> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(());
    }
    if let Some(authority) = request.uri().authority() {
        return Ok(Some(authority.as_str().to_owned()));
    }
    match host {
        Some(host) => host.to_str().map(|host| Some(host.to_owned())).map_err(|_| ()),
        None if request.version() < http::Version::HTTP_11 => Ok(None),
        None => Err(()),
    }
}

/// The request's target without scheme and authority.
pub(crate) fn origin_form(uri: &Uri) -> Uri {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    path.parse().unwrap_or_else(|_| Uri::from_static("/"))
}

/// Whether a request may be sent twice (RFC 9110, 9.2.2).
pub(crate) fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE]
        .contains(method)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitor(trusted: bool) -> Visitor {
        let local = "127.0.0.1:8080".parse().unwrap();
        Visitor { peer: "203.0.113.9".parse().unwrap(), local, trusted }
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers
                .append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn what_a_stranger_says_about_its_origin_is_replaced() {
        let mut given = headers(&[
            ("x-forwarded-for", "10.0.0.1"),
            ("x_forwarded_for", "10.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-prefix", "/admin"),
            ("forwarded", "for=10.0.0.1"),
            ("x-real-ip", "10.0.0.1"),
        ]);
        prepare_request(&mut given, &visitor(false), "shop.example", false);
        assert_eq!(given["x-forwarded-for"], "203.0.113.9");
        assert_eq!(given["x-real-ip"], "203.0.113.9");
        assert_eq!(given["x-forwarded-proto"], "http");
        assert_eq!(given["x-forwarded-host"], "shop.example");
        assert_eq!(given["x-forwarded-port"], "8080");
        for gone in ["x_forwarded_for", "forwarded", "x-forwarded-prefix"] {
            assert!(!given.contains_key(gone), "{gone}");
        }
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_its_chain_extended() {
        let mut given =
            headers(&[("x-forwarded-for", "198.51.100.7"), ("x-forwarded-proto", "https")]);
        prepare_request(&mut given, &visitor(true), "shop.example", false);
        assert_eq!(given["x-forwarded-for"], "198.51.100.7, 203.0.113.9");
        assert_eq!(given["x-forwarded-proto"], "https");
    }

    #[test]
    fn headers_of_one_connection_end_here() {
        let mut given = headers(&[
            ("connection", "keep-alive, X-Private"),
            ("keep-alive", "timeout=5"),
            ("x-private", "1"),
            ("te", "trailers, deflate"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("cookie", "a=b"),
        ]);
        prepare_request(&mut given, &visitor(false), "a", false);
        for gone in ["keep-alive", "x-private", "upgrade", "expect"] {
            assert!(!given.contains_key(gone), "{gone}");
        }
        assert_eq!(given["te"], "trailers");
        assert_eq!(given["cookie"], "a=b");
    }

    #[test]
    fn only_websocket_like_upgrades_pass() {
        let ws = headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(upgrade_to(&ws).unwrap(), "websocket");
        let h2c = headers(&[("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c")]);
        assert_eq!(upgrade_to(&h2c), None);
        assert_eq!(upgrade_to(&headers(&[("upgrade", "websocket")])), None);
    }
}
