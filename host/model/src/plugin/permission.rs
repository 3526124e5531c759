//! What a plugin may do by what it asks for and what the operator granted.
//!
//! **Invariant: nothing is allowed that was not asked for and granted.** [`effective`] is the only way from the two to
//! a permission, and it never answers with more than either.

use serde::Serialize;

use super::capability::{Capability, Grants, Kind, Request};
use super::pattern::{self, Shape};
use crate::limits::PluginLimits;

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

/// The globs of the source that a custom stage sees, where its plugin asks for more of it than was granted: none where
/// nothing was. `None` where it sees all that it asks for, or asks for nothing of it. Where it requires some of the
/// source, what it asks for beside that as an option is not missed.
pub fn narrowed_source<'a>(
    capabilities: &[Capability],
    allowed: &'a Effective,
) -> Option<Vec<&'a str>> {
    let sees = allowed.source_paths();
    let is_seen = |path: &String| sees.iter().any(|seen| Shape::Path.covers(seen, path));
    let requires = |one: &Capability| !one.optional && one.request.kind() == Kind::Source;
    let requires_some = capabilities.iter().any(requires);
    let is_narrowed = capabilities.iter().any(|one| match &one.request {
        Request::Source { paths } if requires(one) || !requires_some => !paths.iter().all(is_seen),
        _ => false,
    });
    is_narrowed.then_some(sees)
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

    /// The limits of one call: everyone's, and more where more was granted, up to what this host grants to anyone.
    /// A grant never gives less than everyone has.
    pub fn limits(&self, everyones: &PluginLimits) -> PluginLimits {
        let [wall, cpu, memory] = self.raised(everyones);
        PluginLimits {
            wall_ms: wall.limit(),
            cpu_ms: cpu.limit(),
            memory_bytes_max: memory.limit(),
            ..everyones.clone()
        }
    }

    /// What was granted more of than this host grants to anyone, for people; empty when nothing was.
    pub fn above_ceilings(&self, everyones: &PluginLimits) -> Vec<String> {
        let above = self.raised(everyones).into_iter().filter(|one| one.granted > one.most());
        above
            .map(|one| {
                let (key, granted, most) = (one.key, one.granted, one.most());
                format!("{key} of {granted}, and `plugin.{}` is {most}", one.setting)
            })
            .collect()
    }

    /// Wall clock, CPU time and memory of one call.
    fn raised(&self, everyones: &PluginLimits) -> [Raised; 3] {
        let mut granted = [0; 3];
        for request in &self.0 {
            if let Request::Limits { wall_ms, cpu_ms, memory_bytes } = request {
                for (most, more) in granted.iter_mut().zip([wall_ms, cpu_ms, memory_bytes]) {
                    *most = more.unwrap_or(0).max(*most);
                }
            }
        }
        let [wall_ms, cpu_ms, memory_bytes] = granted;
        [
            Raised {
                key: "wall_ms",
                granted: wall_ms,
                usual: everyones.wall_ms,
                setting: "granted_wall_ms_max",
                ceiling: everyones.granted_wall_ms_max,
            },
            Raised {
                key: "cpu_ms",
                granted: cpu_ms,
                usual: everyones.cpu_ms,
                setting: "granted_cpu_ms_max",
                ceiling: everyones.granted_cpu_ms_max,
            },
            Raised {
                key: "memory_bytes",
                granted: memory_bytes,
                usual: everyones.memory_bytes_max,
                setting: "granted_memory_bytes_max",
                ceiling: everyones.granted_memory_bytes_max,
            },
        ]
    }
}

/// A limit of one call that a grant may raise.
struct Raised {
    /// Its name in a grant.
    key: &'static str,
    /// What was granted; 0 when nothing was.
    granted: u64,
    /// What everyone has.
    usual: u64,
    /// Name of its ceiling in the limits file.
    setting: &'static str,
    ceiling: u64,
}

impl Raised {
    /// The most that anyone is granted.
    fn most(&self) -> u64 {
        self.ceiling.max(self.usual)
    }

    /// What holds.
    fn limit(&self) -> u64 {
        self.granted.min(self.ceiling).max(self.usual)
    }
}
