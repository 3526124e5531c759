//! What a plugin may do by what it asks for and what the operator granted.
//!
//! **Invariant: nothing is allowed that was not asked for and granted.** [`effective`] is the only way from the two to
//! a permission, and it never answers with more than either.

use serde::Serialize;

use super::capability::{Capability, Grants, Kind, Request};
use super::pattern::{self, Shape};

/// What a plugin may do: of what it asks for, what was granted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Effective(Vec<Request>);

/// What of these capabilities is granted.
pub fn effective(capabilities: &[Capability], grants: &Grants) -> Effective {
    let mut allowed = Grants::default();
    for capability in capabilities {
        allowed.add(grants.0.iter().filter_map(|grant| capability.request.meet(grant)));
    }
    Effective(allowed.0)
}

/// The capabilities that are required and of which nothing is granted.
pub fn missing<'a>(capabilities: &'a [Capability], grants: &Grants) -> Vec<&'a Capability> {
    let granted = |request: &Request| grants.0.iter().any(|grant| request.meet(grant).is_some());
    capabilities.iter().filter(|one| !one.optional && !granted(&one.request)).collect()
}

impl Effective {
    /// All of it.
    pub fn requests(&self) -> &[Request] {
        &self.0
    }

    /// Whether anything of this kind is allowed.
    pub fn has(&self, kind: Kind) -> bool {
        self.of(kind).next().is_some()
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &Request> {
        self.0.iter().filter(move |request| request.kind() == kind)
    }

    /// The lists of all requests of a kind.
    fn lists(&self, kind: Kind) -> impl Iterator<Item = (Shape, &[String])> {
        self.of(kind).filter_map(|request| request.list().map(|(_, shape, list)| (shape, list)))
    }

    /// The most bytes that a request of a kind names.
    fn bytes_max(&self, kind: Kind) -> u64 {
        let bytes = self.of(kind).filter_map(|request| match request {
            Request::Artifacts { bytes_max } | Request::Cache { bytes_max } => Some(*bytes_max),
            _ => None,
        });
        bytes.max().unwrap_or(0)
    }

    /// Whether a command may be run in this output.
    pub fn allows_exec(&self, output: &str) -> bool {
        self.lists(Kind::Exec).any(|(shape, outputs)| pattern::allows(shape, outputs, output))
    }

    /// Whether a request may be sent: `host` in lower case, with its port where that is not the scheme's own.
    pub fn allows_http(&self, method: &str, host: &str) -> bool {
        self.0.iter().any(|request| match request {
            Request::Http { hosts, methods, .. } => {
                pattern::allows(Shape::Method, methods, method)
                    && pattern::allows(Shape::Host, hosts, host)
            }
            _ => false,
        })
    }

    /// Host names, addresses and networks that requests may go to although they are private.
    pub fn private_hosts(&self) -> Vec<&str> {
        let lists = self.0.iter().filter_map(|request| match request {
            Request::Http { private, .. } => Some(private),
            _ => None,
        });
        lists.flatten().map(String::as_str).collect()
    }

    /// Whether a command may be run in this image, by its name.
    pub fn allows_image(&self, image: &str) -> bool {
        self.allows_exec(&format!("image:{image}"))
    }

    /// Whether a variable that is no secret may be read.
    pub fn allows_variable(&self, name: &str) -> bool {
        self.lists(Kind::Variables).any(|(shape, names)| pattern::allows(shape, names, name))
    }

    /// Whether a secret may be handed on.
    pub fn allows_secret(&self, name: &str) -> bool {
        self.lists(Kind::Secrets).any(|(shape, names)| pattern::allows(shape, names, name))
    }

    /// Bytes of all artifacts of one deployment; 0 when none may be attached.
    pub fn artifact_bytes_max(&self) -> u64 {
        self.bytes_max(Kind::Artifacts)
    }

    /// Bytes of its cache; 0 when it has none.
    pub fn cache_bytes_max(&self) -> u64 {
        self.bytes_max(Kind::Cache)
    }

    /// Globs of the source that a custom stage may read.
    pub fn source_paths(&self) -> Vec<&str> {
        self.lists(Kind::Source).flat_map(|(_, paths)| paths).map(String::as_str).collect()
    }

    /// Wall clock in milliseconds, CPU in milliseconds and memory in bytes of one call, where they were
    /// granted.
    pub fn limits(&self) -> (Option<u64>, Option<u64>, Option<u64>) {
        let mut most = (None, None, None);
        for request in &self.0 {
            if let Request::Limits { wall_ms, cpu_ms, memory_bytes } = request {
                most = (most.0.max(*wall_ms), most.1.max(*cpu_ms), most.2.max(*memory_bytes));
            }
        }
        most
    }
}
