//! A place that an application may reach beyond the defaults: `[network] allow`.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::InvalidId;

const RULE: &str = "a host name or IPv4 address with a port, as \"db.internal:5432\"; no network, no \
                    wildcard, no link-local and no loopback address";

/// One host and one port. A name is resolved when a deployment is provisioned, and again while it runs.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct Destination {
    host: String,
    port: u16,
}

impl Destination {
    /// Host name in lower case, or an IPv4 address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, when it is not a name.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.host.parse().ok()
    }
}

/// Whether nobody may be let through to this address: the metadata of clouds, the machine's loopback,
/// and what is no single host.
pub fn is_forbidden(address: Ipv4Addr) -> bool {
    address.is_link_local()
        || address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_broadcast()
}

impl FromStr for Destination {
    type Err = InvalidId;
    fn from_str(s: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId { what: "destination", given: s.to_owned(), rule: RULE };
        let (host, port) = s.rsplit_once(':').ok_or_else(invalid)?;
        let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(invalid)?;
        let host = host.to_ascii_lowercase();
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let is_name = host.len() <= 253
            && host.split('.').all(label)
            && host.bytes().any(|b| b.is_ascii_alphabetic())
            && host != "localhost";
        let is_address = host.parse::<Ipv4Addr>().is_ok_and(|address| !is_forbidden(address));
        if is_name || is_address { Ok(Self { host, port }) } else { Err(invalid()) }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl TryFrom<String> for Destination {
    type Error = InvalidId;
    fn try_from(s: String) -> Result<Self, InvalidId> {
        s.parse()
    }
}

impl From<Destination> for String {
    fn from(destination: Destination) -> Self {
        destination.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_and_one_port_are_read() {
        let read: Destination = "DB.internal:5432".parse().unwrap();
        assert_eq!((read.host(), read.port(), read.address()), ("db.internal", 5432, None));
        let read: Destination = "10.0.0.5:6379".parse().unwrap();
        assert_eq!(read.address(), Some(Ipv4Addr::new(10, 0, 0, 5)));
    }

    #[test]
    fn networks_wildcards_and_the_metadata_address_are_refused() {
        for bad in [
            "db",
            "db:",
            "db:0",
            "db:70000",
            "10.0.0.0/8:80",
            "*:80",
            "*.internal:80",
            "169.254.169.254:80",
            "127.0.0.1:80",
            "localhost:80",
            "0.0.0.0:80",
            "224.0.0.1:80",
            "1.2.3:80",
            "[::1]:80",
            ":80",
            "-a:80",
        ] {
            assert!(bad.parse::<Destination>().is_err(), "{bad}");
        }
    }
}
