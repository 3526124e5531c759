//! Plugins of strangers who mean harm: every one is stopped, named, and harms nothing.
//!
//! One [table](table) lists them, by [`Kind`]. `WINDLASS_TEST_EXTENT=full` plays all of them, otherwise one
//! of each kind is drawn; `WINDLASS_TEST_ONLY` plays those of these names. What a plugin can do with an
//! interface that must be granted is played where that interface is made, and its kinds go behind
//! [`Kind::Environment`].

mod bytes;
mod damaged;
pub(crate) mod hearts;
mod laid;
mod played;
mod table;
pub(crate) mod texts;

use windlass_model::limits::PluginLimits;
use windlass_model::plugin::{CallOutcome, Stage};

use crate::support::Folder;
use played::Seen;

/// What an adversary tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    LoopInCall,
    LoopInStart,
    LoopInPostReturn,
    LoopInHostCall,
    Sleep,
    Leave,
    MemoryBomb,
    TableBomb,
    InstanceBomb,
    HandleBomb,
    StackBomb,
    HugeAnswer,
    BrokenAnswer,
    HugeRandom,
    LogFlood,
    EscapeCodes,
    PathEscape,
    RenameRace,
    UngrantedImport,
    Socket,
    Environment,
    HostPathInPlan,
    RightsInPlan,
    CyclicPlan,
    AbsurdPlan,
    BadPolicy,
    WrongWorld,
    NoComponent,
    OddFile,
    OddManifest,
    Truncated,
    RandomBytes,
    Mutated,
    CompileBomb,
    ForgedCode,
    VersionLie,
}

/// Every kind, in the order of the table.
pub(crate) const KINDS: [Kind; 36] = [
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
    Kind::HugeAnswer,
    Kind::BrokenAnswer,
    Kind::HugeRandom,
    Kind::LogFlood,
    Kind::EscapeCodes,
    Kind::PathEscape,
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

/// Makes the bytes of a file from those of the guest.
pub(crate) type Damage = Box<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// How it is made.
pub(crate) enum Made {
    /// The guest of `sdk/rust/guests/adversary`, which does what the line in the source says.
    Guest(&'static str),
    /// A file.
    File(Damage),
    /// Something at this path that is no plain file.
    Odd(fn(&std::path::Path)),
}

/// How it must end.
pub(crate) enum Ends {
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
pub(crate) struct Adversary {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) made: Made,
    /// The stage that is asked.
    pub(crate) stage: Stage,
    /// Lays files into its source.
    pub(crate) lay: fn(&Folder),
    /// Changes the limits of its call.
    pub(crate) limit: fn(&mut PluginLimits),
    pub(crate) ends: Ends,
    /// What the reason must hold.
    pub(crate) says: &'static [&'static str],
}

impl Adversary {
    fn new(kind: Kind, name: impl Into<String>, made: Made, ends: Ends) -> Self {
        let stage = match &made {
            Made::Guest(how) if how.starts_with("plan=") => Stage::Builder,
            Made::Guest(how) if how.starts_with("policy=") => Stage::Health,
            _ => Stage::Detector,
        };
        let name = name.into();
        Self { kind, name, made, stage, lay: |_| (), limit: |_| (), ends, says: &[] }
    }

    fn says(mut self, says: &'static [&'static str]) -> Self {
        self.says = says;
        self
    }

    fn lay(mut self, lay: fn(&Folder)) -> Self {
        self.lay = lay;
        self
    }

    fn limit(mut self, limit: fn(&mut PluginLimits)) -> Self {
        self.limit = limit;
        self
    }
}
