//! Routes as data: what a client publishes, what the table file keeps, what the table serves.
//!
//! **Invariant: a [`Route`] that passed [`Route::check`] can be served as it is**: its hosts are
//! lower-case, without port and unique, and its name is not empty.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One published set of targets for some host names.
///
/// A route is replaced as a whole by publishing the same `name` with a higher `generation`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// What the route is called, e.g. `shop/production`. Never shown to visitors.
    pub name: String,
    /// The host names it answers, matched exactly and without regard to case or port.
    pub hosts: Vec<String>,
    /// Whether it also answers every host that no route names. One route at most.
    pub is_default: bool,
    /// Grows with every publication of this name; never goes back.
    pub generation: u64,
    /// Who answers.
    pub targets: Targets,
    /// How long what is in flight may go on once these targets are replaced.
    #[serde(default)]
    pub drain: DrainDeadlines,
}

/// Who answers the requests of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Targets {
    /// Running instances, dialled over plain HTTP/1.1.
    Instances {
        /// At least one.
        instances: Vec<Instance>,
    },
    /// Files that the proxy serves itself.
    Static {
        /// The directory, absolute. Nothing outside it is ever served.
        root: PathBuf,
        /// File that answers, with 200, page requests for which no file exists: `index.html`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spa_fallback: Option<String>,
        /// File that answers, with 404, requests for which no file exists: `404.html`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_found: Option<String>,
        /// Files beneath the root that are never served, nor their precompressed forms: globs from the
        /// root, in which `*` does not cross a slash and `**` does.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        withheld: Vec<String>,
    },
    /// Nobody, for now: maintenance, or a stopped environment. Requests are held, then refused.
    None {
        /// Why, in a few words fit for a visitor: `maintenance until noon`.
        reason: String,
        /// How long a request is held before it is refused; 0 refuses at once. Without it, the
        /// proxy's own limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hold_ms: Option<u64>,
    },
}

/// One running instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// What the instance is called, for logs: the container's name.
    pub id: String,
    /// Where it listens.
    pub address: SocketAddr,
}

/// How long what is in flight may go on after its generation was closed, by what it is doing. At
/// the deadline it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DrainDeadlines {
    /// Requests that wait for their answer's first byte, in milliseconds. Default 30 s.
    pub plain_ms: u64,
    /// Requests and answers whose body is flowing, in milliseconds. Default 5 min.
    pub streaming_ms: u64,
    /// Upgraded connections (WebSocket), in milliseconds. Default 1 h.
    pub upgraded_ms: u64,
}

impl Default for DrainDeadlines {
    fn default() -> Self {
        Self { plain_ms: 30_000, streaming_ms: 300_000, upgraded_ms: 3_600_000 }
    }
}

impl DrainDeadlines {
    /// The longest of the three.
    pub fn longest(self) -> Duration {
        Duration::from_millis(self.plain_ms.max(self.streaming_ms).max(self.upgraded_ms))
    }
}

/// Why a route was refused. The message is fit for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("route {name:?} is not valid: {rule}")]
pub struct InvalidRoute {
    /// The route's name.
    pub name: String,
    /// The rule that it breaks.
    pub rule: String,
}

impl Route {
    /// Whether it withholds files: what an older proxy would not know.
    pub(crate) fn withholds(&self) -> bool {
        matches!(&self.targets, Targets::Static { withheld, .. } if !withheld.is_empty())
    }

    /// Checks the route by itself and returns it with its hosts in their canonical form.
    ///
    /// # Errors
    /// When the name is empty, a host is no host name or listed twice, there is no instance, or a
    /// static root is not absolute.
    pub fn check(mut self) -> Result<Self, InvalidRoute> {
        if self.name.is_empty() || self.name.len() > 200 {
            return Err(self.invalid("a route's name has 1 to 200 bytes"));
        }
        let mut hosts = Vec::with_capacity(self.hosts.len());
        for host in &self.hosts {
            let Some(host) = canonical_host(host) else {
                return Err(self.invalid(&format!("{host:?} is not a host name")));
            };
            if hosts.contains(&host) {
                return Err(self.invalid(&format!("the host {host} is listed twice")));
            }
            hosts.push(host);
        }
        self.hosts = hosts;
        match &self.targets {
            Targets::Instances { instances } if instances.is_empty() => {
                Err(self.invalid("it lists no instance; publish `none` with a reason instead"))
            }
            Targets::Static { root, .. } if !root.is_absolute() => {
                Err(self.invalid("the root of a static tree is an absolute path"))
            }
            _ => Ok(self),
        }
    }

    fn invalid(&self, rule: &str) -> InvalidRoute {
        InvalidRoute { name: self.name.clone(), rule: rule.to_owned() }
    }
}

/// The host of a `Host` header or a route: lower-case, without port and trailing dot. `None` when
/// it is no host at all.
pub(crate) fn canonical_host(text: &str) -> Option<String> {
    let authority: http::uri::Authority = text.parse().ok()?;
    let host = authority.host();
    if host.is_empty() || text.contains('@') || host.len() > 255 {
        return None;
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(hosts: &[&str], targets: Targets) -> Route {
        Route {
            name: "shop/production".to_owned(),
            hosts: hosts.iter().map(|&h| h.to_owned()).collect(),
            is_default: false,
            generation: 1,
            targets,
            drain: DrainDeadlines::default(),
        }
    }

    fn nobody() -> Targets {
        Targets::None { reason: "stopped".to_owned(), hold_ms: None }
    }

    #[test]
    fn a_host_is_compared_without_case_port_and_trailing_dot() {
        for (given, canonical) in [
            ("Shop.Example", "shop.example"),
            ("shop.example:8080", "shop.example"),
            ("shop.example.", "shop.example"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:80", "[::1]"),
        ] {
            assert_eq!(canonical_host(given).as_deref(), Some(canonical), "{given}");
        }
        for bad in ["", ".", "a b", "user@host", "a/b", ":80", "h?x"] {
            assert_eq!(canonical_host(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_route_that_cannot_be_served_is_refused() {
        assert!(route(&["a.b", "A.B:80"], nobody()).check().is_err());
        assert!(route(&["a b"], nobody()).check().is_err());
        assert!(route(&["a"], Targets::Instances { instances: Vec::new() }).check().is_err());
        let relative = Targets::Static {
            root: "site".into(),
            spa_fallback: None,
            not_found: None,
            withheld: Vec::new(),
        };
        assert!(route(&["a"], relative).check().is_err());
        assert_eq!(route(&["A.b:1"], nobody()).check().unwrap().hosts, ["a.b"]);
    }
}
