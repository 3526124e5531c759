//! Plugins of strangers who mean harm: what each tries, how it is made, and how it must end.
//!
//! One [table](table()) lists them, by [`Kind`]. The sandbox's tests play them as calls, with time and memory looked at
//! (`every_adversary_is_stopped_named_and_harms_nothing`); the end-to-end tests beside a deployment. [`greedy`] lists
//! custom stages, which may do something outside. What else a plugin can do with an interface that must be granted is
//! played where that interface is made: requests over HTTP to loopback, metadata, private ranges and mapped addresses,
//! by redirect and by names that change, in `host/daemon/src/pipeline/custom` and in the end-to-end tests of custom
//! stages.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use windlass_model::limits::PluginLimits;
use windlass_model::plugin::{CallOutcome, CallReport, Stage};

use crate::guest;

pub mod bytes;
mod damaged;
pub mod greedy;
pub mod hearts;
mod laid;
mod table;
pub mod texts;

pub use damaged::mutants;
pub use table::table;

/// What an adversary tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Computes for ever when it is asked.
    LoopInCall,
    /// Computes for ever before it is asked.
    LoopInStart,
    /// Computes for ever behind its answer.
    LoopInPostReturn,
    /// Has the host compute for ever, or asks it for ever.
    LoopInHostCall,
    /// Waits for ever.
    Sleep,
    /// Ends without an answer.
    Leave,
    /// Takes memory without end.
    MemoryBomb,
    /// Takes table elements without end.
    TableBomb,
    /// Is made of instances without end.
    InstanceBomb,
    /// Takes handles without end.
    HandleBomb,
    /// Calls itself without end.
    StackBomb,
    /// Answers with a text that is too long.
    HugeText,
    /// Answers with a list that is too long.
    HugeList,
    /// Answers what is no answer.
    BrokenAnswer,
    /// Asks for random bytes without end.
    HugeRandom,
    /// Logs without end.
    LogFlood,
    /// Logs one line without end.
    GiantLine,
    /// Has escape codes in its names and its log.
    EscapeCodes,
    /// Reads outside the source: by `..`, absolute paths, links, a slash behind a name.
    PathEscape,
    /// Writes to the source, and beside it.
    SourceChange,
    /// Reads more at once than there is.
    HugeRead,
    /// Reads outside a source that has a pipe and a device.
    SpecialFile,
    /// Reads through a folder that is exchanged for a link meanwhile.
    RenameRace,
    /// Imports what it was not granted, and what nobody is.
    UngrantedImport,
    /// Opens sockets.
    Socket,
    /// Looks at what a process has from its parent.
    Environment,
    /// Plans with the host's paths.
    HostPathInPlan,
    /// Plans with rights that nobody has.
    RightsInPlan,
    /// Plans in a circle.
    CyclicPlan,
    /// Plans of absurd sizes.
    AbsurdPlan,
    /// Asks for probes that must not be.
    BadPolicy,
    /// Is a component of another world.
    WrongWorld,
    /// Is no component.
    NoComponent,
    /// Is no plain file.
    OddFile,
    /// Says odd things of itself.
    OddManifest,
    /// Is a good one, cut off.
    Truncated,
    /// Is noise.
    RandomBytes,
    /// Is a good one, damaged.
    Mutated,
    /// Takes long to compile.
    CompileBomb,
    /// Is machine code.
    ForgedCode,
    /// Is of a version that it is not.
    VersionLie,
}

/// Every kind, in the order of the table.
pub const KINDS: [Kind; 41] = [
    Kind::LoopInCall,
    Kind::LoopInStart,
    Kind::LoopInPostReturn,
    Kind::LoopInHostCall,
    Kind::Sleep,
    Kind::Leave,
    Kind::MemoryBomb,
    Kind::TableBomb,
    Kind::InstanceBomb,
    Kind::HandleBomb,
    Kind::StackBomb,
    Kind::HugeText,
    Kind::HugeList,
    Kind::BrokenAnswer,
    Kind::HugeRandom,
    Kind::LogFlood,
    Kind::GiantLine,
    Kind::EscapeCodes,
    Kind::PathEscape,
    Kind::SourceChange,
    Kind::HugeRead,
    Kind::SpecialFile,
    Kind::RenameRace,
    Kind::UngrantedImport,
    Kind::Socket,
    Kind::Environment,
    Kind::HostPathInPlan,
    Kind::RightsInPlan,
    Kind::CyclicPlan,
    Kind::AbsurdPlan,
    Kind::BadPolicy,
    Kind::WrongWorld,
    Kind::NoComponent,
    Kind::OddFile,
    Kind::OddManifest,
    Kind::Truncated,
    Kind::RandomBytes,
    Kind::Mutated,
    Kind::CompileBomb,
    Kind::ForgedCode,
    Kind::VersionLie,
];

/// What was seen of a call that was answered.
#[derive(Debug)]
pub struct Seen {
    /// Name and signs of the first detection, or the names of the plan's steps.
    pub evidence: BTreeMap<String, String>,
    /// All that a person might read of the answer, and the log.
    pub texts: Vec<String>,
    /// The log's lines.
    pub log: Vec<String>,
    /// What the call amounted to.
    pub report: CallReport,
    /// The source.
    pub source: PathBuf,
}

/// Makes the bytes of a file from those of the guest.
pub type Damage = Box<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// How it is made.
pub enum Made {
    /// The guest of `sdk/rust/guests/adversary`, which does what the line in the source says.
    Guest(&'static str),
    /// A file.
    File(Damage),
    /// Something at this path that is no plain file.
    Odd(fn(&Path)),
}

/// How it must end.
pub enum Ends {
    /// It is not loaded, or not called: `plugin.not-loadable`.
    NotLoadable,
    /// The call ends so, with one of these codes.
    Stopped(&'static [(CallOutcome, &'static str)]),
    /// The call is answered, and this holds of what was seen.
    Harmless(fn(&Seen)),
    /// It may end in any way that is named.
    Named,
}

/// One adversary.
pub struct Adversary {
    /// What it tries.
    pub kind: Kind,
    /// Its name; no other has the same.
    pub name: String,
    /// How it is made.
    pub made: Made,
    /// The stage that is asked.
    pub stage: Stage,
    /// Lays files into its source, and beside it.
    pub lay: Option<fn(&Path)>,
    /// Changes the limits of its call, see [`Adversary::limits`].
    limit: Option<fn(&mut PluginLimits)>,
    /// How it must end.
    pub ends: Ends,
    /// What the reason must hold.
    pub says: &'static [&'static str],
}

/// CPU time that is far more than is needed by one that is to meet another limit, in milliseconds.
const AMPLE_CPU_MS: u64 = 20_000;
/// Wall clock of the same: what computes comes to its CPU limit before it, also where many share a processor.
const AMPLE_WALL_MS: u64 = 60_000;

impl Adversary {
    fn new(kind: Kind, name: impl Into<String>, made: Made, ends: Ends) -> Self {
        let stage = match &made {
            Made::Guest(how) if how.starts_with("plan=") => Stage::Builder,
            Made::Guest(how) if how.starts_with("policy=") => Stage::Health,
            _ => Stage::Detector,
        };
        let name = name.into();
        Self { kind, name, made, stage, lay: None, limit: None, ends, says: &[] }
    }

    fn says(mut self, says: &'static [&'static str]) -> Self {
        self.says = says;
        self
    }

    fn lay(mut self, lay: fn(&Path)) -> Self {
        self.lay = Some(lay);
        self
    }

    fn limit(mut self, limit: fn(&mut PluginLimits)) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The limits of its call, from those of the others. The one that it is to meet is met first by a wide margin,
    /// however busy the machine is; one that may end anyhow meets whichever is first.
    pub fn limits(&self, others: &PluginLimits) -> PluginLimits {
        let mut limits = others.clone();
        if !matches!(self.ends, Ends::Named) {
            (limits.cpu_ms, limits.wall_ms) = (AMPLE_CPU_MS, AMPLE_WALL_MS);
        }
        if let Some(limit) = self.limit {
            limit(&mut limits);
        }
        limits
    }

    /// Its file, in a folder.
    ///
    /// # Panics
    /// When the guest does not build.
    pub fn lay_file(&self, folder: &Path) -> PathBuf {
        let path = folder.join("odd.wasm");
        let good = || std::fs::read(guest::component()).unwrap();
        match &self.made {
            Made::Guest(_) => std::fs::write(&path, good()).unwrap(),
            Made::File(bytes) => std::fs::write(&path, bytes(&good())).unwrap(),
            Made::Odd(lay) => lay(&path),
        }
        path
    }
}
