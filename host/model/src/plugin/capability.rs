//! What a plugin asks for, and what the operator grants.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::pattern::{self, Shape};

/// What kind of thing is asked for.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Commands in containers of what was built.
    Exec,
    /// Requests to hosts.
    Http,
    /// Values of variables that are no secrets.
    Variables,
    /// Secrets, handed to a command without the plugin seeing them.
    Secrets,
    /// Files that are kept with the deployment.
    Artifacts,
    /// A store of its own.
    Cache,
    /// Notes on the deployment.
    Annotations,
    /// The source, in a custom stage.
    Source,
    /// More time or memory than a call has by default.
    Limits,
}

impl Kind {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 9] = [
        Self::Exec,
        Self::Http,
        Self::Variables,
        Self::Secrets,
        Self::Artifacts,
        Self::Cache,
        Self::Annotations,
        Self::Source,
        Self::Limits,
    ];

    /// As a manifest writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Http => "http",
            Self::Variables => "variables",
            Self::Secrets => "secrets",
            Self::Artifacts => "artifacts",
            Self::Cache => "cache",
            Self::Annotations => "annotations",
            Self::Source => "source",
            Self::Limits => "limits",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|kind| kind.as_str()).collect();
            format!("{text:?} is no capability; there are {}", known.join(", "))
        })
    }
}

/// Something that can be asked for and granted. Lists hold patterns: an exact name, or one with a `*` as the
/// module of patterns describes it; each says what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Request {
    /// Run commands in containers of the deployment.
    Exec {
        /// Outputs of the plan, `*` is any of them; and images, as `image:docker.io/library/alpine:3`.
        outputs: Vec<String>,
    },
    /// Send requests.
    Http {
        /// `api.osv.dev`, `*.example.com` (not `example.com` itself), `*`; with a port where it is not the
        /// scheme's own.
        hosts: Vec<String>,
        /// `GET`, `POST`, ...; `*` is any.
        methods: Vec<String>,
        /// Of a grant alone: host names, addresses and networks (`10.1.0.0/16`) that may be reached although
        /// they are private. No manifest can ask for them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        private: Vec<String>,
    },
    /// Read variables.
    Variables {
        /// Exact, or a beginning: `SMTP_*`.
        names: Vec<String>,
    },
    /// Give secrets to commands and requests.
    Secrets {
        /// Exact, or a beginning: `SMTP_*`.
        names: Vec<String>,
    },
    /// Attach files to the deployment.
    Artifacts {
        /// All files of one deployment, in bytes.
        bytes_max: u64,
    },
    /// Keep entries between calls.
    Cache {
        /// All entries, in bytes.
        bytes_max: u64,
    },
    /// Write notes on the deployment.
    Annotations {},
    /// Read the source in a custom stage; stages that only decide see all of it anyway.
    Source {
        /// Globs, relative to the source's root; `**` is all of it.
        paths: Vec<String>,
    },
    /// Use more than a call has by default.
    Limits {
        /// Wall clock of one call, in milliseconds.
        wall_ms: Option<u64>,
        /// CPU time of one call, in milliseconds.
        cpu_ms: Option<u64>,
        /// Memory of one call, in bytes.
        memory_bytes: Option<u64>,
    },
}

/// The same, to be read: what has a usual value may be left out.
#[derive(Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
enum Written {
    Exec {
        #[serde(default = "any")]
        outputs: Vec<String>,
    },
    Http {
        hosts: Vec<String>,
        #[serde(default = "get")]
        methods: Vec<String>,
        #[serde(default)]
        private: Vec<String>,
    },
    Variables {
        names: Vec<String>,
    },
    Secrets {
        names: Vec<String>,
    },
    Artifacts {
        #[serde(default = "artifact_bytes")]
        bytes_max: u64,
    },
    Cache {
        #[serde(default = "cache_bytes")]
        bytes_max: u64,
    },
    Annotations {},
    Source {
        paths: Vec<String>,
    },
    Limits {
        #[serde(default)]
        wall_ms: Option<u64>,
        #[serde(default)]
        cpu_ms: Option<u64>,
        #[serde(default)]
        memory_bytes: Option<u64>,
    },
}

fn any() -> Vec<String> {
    vec!["*".to_owned()]
}

fn get() -> Vec<String> {
    vec!["GET".to_owned()]
}

fn artifact_bytes() -> u64 {
    16 << 20
}

fn cache_bytes() -> u64 {
    64 << 20
}

impl From<Written> for Request {
    fn from(written: Written) -> Self {
        match written {
            Written::Exec { outputs } => Self::Exec { outputs },
            Written::Http { hosts, methods, private } => Self::Http { hosts, methods, private },
            Written::Variables { names } => Self::Variables { names },
            Written::Secrets { names } => Self::Secrets { names },
            Written::Artifacts { bytes_max } => Self::Artifacts { bytes_max },
            Written::Cache { bytes_max } => Self::Cache { bytes_max },
            Written::Annotations {} => Self::Annotations {},
            Written::Source { paths } => Self::Source { paths },
            Written::Limits { wall_ms, cpu_ms, memory_bytes } => {
                Self::Limits { wall_ms, cpu_ms, memory_bytes }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Request {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Written::deserialize(deserializer).map(Self::from)
    }
}

impl Request {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Exec { .. } => Kind::Exec,
            Self::Http { .. } => Kind::Http,
            Self::Variables { .. } => Kind::Variables,
            Self::Secrets { .. } => Kind::Secrets,
            Self::Artifacts { .. } => Kind::Artifacts,
            Self::Cache { .. } => Kind::Cache,
            Self::Annotations {} => Kind::Annotations,
            Self::Source { .. } => Kind::Source,
            Self::Limits { .. } => Kind::Limits,
        }
    }

    /// The list that is all of it, with its key and what it holds; none of one that has several or none.
    pub(super) fn list(&self) -> Option<(&'static str, Shape, &[String])> {
        match self {
            Self::Exec { outputs } => Some(("outputs", Shape::Word, outputs)),
            Self::Variables { names } | Self::Secrets { names } => {
                Some(("names", Shape::Word, names))
            }
            Self::Source { paths } => Some(("paths", Shape::Path, paths)),
            Self::Http { .. }
            | Self::Artifacts { .. }
            | Self::Cache { .. }
            | Self::Annotations {}
            | Self::Limits { .. } => None,
        }
    }

    /// The same with another [list](Self::list), where it has one.
    pub(super) fn with_list(mut self, list: Vec<String>) -> Self {
        match &mut self {
            Self::Exec { outputs: own }
            | Self::Variables { names: own }
            | Self::Secrets { names: own }
            | Self::Source { paths: own } => *own = list,
            Self::Http { .. }
            | Self::Artifacts { .. }
            | Self::Cache { .. }
            | Self::Annotations {}
            | Self::Limits { .. } => {}
        }
        self
    }

    /// Says what is wrong with it, if anything is: an empty list, a pattern that is none.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check(&self) -> Result<(), String> {
        if let Some((key, shape, entries)) = self.list() {
            return pattern::check(key, shape, entries);
        }
        match self {
            Self::Http { hosts, methods, private } => {
                pattern::check("hosts", Shape::Host, hosts)?;
                pattern::check("methods", Shape::Method, methods)?;
                private.iter().try_for_each(|entry| pattern::check_private(entry))
            }
            Self::Artifacts { bytes_max: 0 } | Self::Cache { bytes_max: 0 } => {
                Err("bytes_max must not be 0".to_owned())
            }
            Self::Limits { wall_ms: None, cpu_ms: None, memory_bytes: None } => {
                Err("give wall_ms, cpu_ms or memory_bytes".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// What is in both; `None` when that is nothing.
    pub fn meet(&self, other: &Self) -> Option<Self> {
        let lists = |shape, a: &[String], b: &[String]| {
            Some(pattern::meet(shape, a, b)).filter(|list| !list.is_empty())
        };
        let fewer = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a.min(b));
        if self.kind() != other.kind() {
            return None;
        }
        if let (Some((_, shape, a)), Some((_, _, b))) = (self.list(), other.list()) {
            return lists(shape, a, b).map(|list| self.clone().with_list(list));
        }
        Some(match (self, other) {
            (
                Self::Http { hosts: a, methods: m, private: p },
                Self::Http { hosts: b, methods: n, private: q },
            ) => {
                let mut private = p.clone();
                private.extend(q.iter().filter(|entry| !p.contains(entry)).cloned());
                Self::Http {
                    hosts: lists(Shape::Host, a, b)?,
                    methods: lists(Shape::Method, m, n)?,
                    private,
                }
            }
            (Self::Artifacts { bytes_max: a }, Self::Artifacts { bytes_max: b }) => {
                Self::Artifacts { bytes_max: *a.min(b) }
            }
            (Self::Cache { bytes_max: a }, Self::Cache { bytes_max: b }) => {
                Self::Cache { bytes_max: *a.min(b) }
            }
            (Self::Annotations {}, Self::Annotations {}) => Self::Annotations {},
            (
                Self::Limits { wall_ms: a, cpu_ms: b, memory_bytes: c },
                Self::Limits { wall_ms: x, cpu_ms: y, memory_bytes: z },
            ) => {
                let met = (fewer(*a, *x), fewer(*b, *y), fewer(*c, *z));
                let (wall_ms, cpu_ms, memory_bytes) = met;
                if met == (None, None, None) {
                    return None;
                }
                Self::Limits { wall_ms, cpu_ms, memory_bytes }
            }
            _ => return None,
        })
    }

    /// What is in it and in none of these.
    pub fn beyond(&self, had: &[&Self]) -> Vec<Self> {
        super::growth::beyond(self, had)
    }
}

impl fmt::Display for Request {
    /// For people: `http: GET at api.osv.dev`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::Exec { outputs } => write!(f, "{kind}: commands in {}", outputs.join(", ")),
            Self::Http { hosts, methods, private } => {
                write!(f, "{kind}: {} at {}", methods.join(", "), hosts.join(", "))?;
                match private.is_empty() {
                    true => Ok(()),
                    false => write!(f, ", private ones too: {}", private.join(", ")),
                }
            }
            Self::Variables { names } | Self::Secrets { names } => {
                write!(f, "{kind}: {}", names.join(", "))
            }
            Self::Artifacts { bytes_max } | Self::Cache { bytes_max } => {
                write!(f, "{kind}: up to {bytes_max} bytes")
            }
            Self::Annotations {} => write!(f, "{kind}: notes on the deployment"),
            Self::Source { paths } => write!(f, "{kind}: {}", paths.join(", ")),
            Self::Limits { wall_ms, cpu_ms, memory_bytes } => {
                let mut parts = Vec::new();
                parts.extend(wall_ms.map(|n| format!("{n} ms of wall clock")));
                parts.extend(cpu_ms.map(|n| format!("{n} ms of CPU")));
                parts.extend(memory_bytes.map(|n| format!("{n} bytes of memory")));
                write!(f, "{kind}: {}", parts.join(", "))
            }
        }
    }
}

/// Something that a plugin asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Capability {
    /// What.
    #[serde(flatten)]
    pub request: Request,
    /// Why it is needed.
    pub reason: String,
    /// Whether the plugin does its work without it too: what it is not granted answers `denied`.
    #[serde(default)]
    pub optional: bool,
}

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand: what is flattened cannot refuse unknown keys, and an unknown key may be a wish that would
        // be dropped in silence.
        let mut map = Map::<String, Value>::deserialize(deserializer)?;
        let reason = match map.remove("reason") {
            Some(Value::String(reason)) => reason,
            Some(_) => return Err(D::Error::custom("the reason of a capability is a text")),
            None => return Err(D::Error::missing_field("reason")),
        };
        let optional = match map.remove("optional") {
            None => false,
            Some(Value::Bool(optional)) => optional,
            Some(_) => return Err(D::Error::custom("optional is true or false")),
        };
        let request = Request::deserialize(Value::Object(map)).map_err(D::Error::custom)?;
        Ok(Self { request, reason, optional })
    }
}

/// Capabilities in one manifest.
const CAPABILITIES_MAX: usize = 50;
/// Characters of one reason.
const REASON_CHARS_MAX: usize = 500;

/// Refuses what a person could not judge: a capability without a reason, a list without an end.
///
/// # Errors
/// What is wrong, with the capability that it is wrong with.
pub fn check(capabilities: &[Capability]) -> Result<(), String> {
    if capabilities.len() > CAPABILITIES_MAX {
        return Err(format!("it asks for more than {CAPABILITIES_MAX} capabilities"));
    }
    for Capability { request, reason, .. } in capabilities {
        let bad = |why: String| format!("the capability {}: {why}", request.kind());
        if reason.trim().is_empty() || reason.chars().count() > REASON_CHARS_MAX {
            return Err(bad(format!("its reason has 1 to {REASON_CHARS_MAX} characters")));
        }
        request.check().map_err(bad)?;
        if matches!(request, Request::Http { private, .. } if !private.is_empty()) {
            return Err(bad("`private` can be granted by an operator alone".to_owned()));
        }
    }
    Ok(())
}

/// What the operator granted to one version of a plugin; empty at first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Grants(pub Vec<Request>);

impl Grants {
    /// All that is asked for.
    pub fn all_of(capabilities: &[Capability]) -> Self {
        let mut grants = Self::default();
        grants.add(capabilities.iter().map(|capability| capability.request.clone()));
        grants
    }

    /// What is asked for of these kinds.
    pub fn of_kinds(capabilities: &[Capability], kinds: &[Kind]) -> Self {
        let mut grants = Self::default();
        let wanted = capabilities.iter().map(|capability| &capability.request);
        grants.add(wanted.filter(|request| kinds.contains(&request.kind())).cloned());
        grants
    }

    /// Adds what is not there yet.
    pub fn add(&mut self, more: impl IntoIterator<Item = Request>) {
        for request in more {
            let had: Vec<&Request> = self.0.iter().collect();
            if !request.beyond(&had).is_empty() {
                self.0.push(request);
            }
        }
    }
}
