//! What can go wrong, and whose fault it is.

use std::path::PathBuf;
use std::sync::Arc;

use windlass_model::Failure;
use windlass_model::plan::Refusal;
use windlass_model::plugin::{CallOutcome, Stage};

use crate::compiled::CompileError;

/// Something countable that a call used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// Bytes that a guest passes to the host in one host call or answer.
    #[error("bytes passed to the host in one call")]
    HostCallBytes,
    /// Handles held at once.
    #[error("handles held at once")]
    Resources,
    /// Elements of all tables.
    #[error("table elements")]
    TableElements,
    /// Core instances, memories or tables.
    #[error("core instances, memories or tables")]
    Instances,
}

/// Why a call gave no answer. All but [`PluginFault::HostFailed`] are the plugin's doing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PluginFault {
    /// It said no, with a reason, as the contract allows.
    #[error("{}: {}", .0.code, .0.message)]
    Refused(Refusal),
    /// It trapped: a panic, an abort, an access out of bounds, an endless recursion.
    #[error("it trapped: {reason}")]
    Trapped {
        /// What the runtime says, first line only.
        reason: String,
    },
    /// It used more CPU time than it may.
    #[error("it computed for more than {limit_ms} ms")]
    CpuTimedOut {
        /// The limit.
        limit_ms: u64,
    },
    /// It took more wall clock than it may, most of it waiting.
    #[error("it had no answer within {limit_ms} ms")]
    WallTimedOut {
        /// The limit.
        limit_ms: u64,
    },
    /// It asked for more memory than it may have.
    #[error("it asked for more than {limit_bytes} bytes of memory")]
    OutOfMemory {
        /// The limit.
        limit_bytes: u64,
    },
    /// It used more of something else than it may.
    #[error("it used more than it may of: {which}")]
    OverLimit {
        /// Of what.
        which: Limit,
    },
    /// It answered something that the contract does not allow.
    #[error("its answer is not valid: {0}")]
    InvalidAnswer(String),
    /// It cannot be loaded.
    #[error("it cannot be loaded: {0}")]
    Load(Arc<LoadError>),
    /// The host could not make the call.
    #[error("the host could not call it: {0}")]
    HostFailed(String),
}

impl PluginFault {
    /// How the report names it.
    pub(crate) fn outcome(&self) -> CallOutcome {
        match self {
            Self::Refused(_) => CallOutcome::Refused,
            Self::Trapped { .. } => CallOutcome::Trapped,
            Self::CpuTimedOut { .. } | Self::WallTimedOut { .. } => CallOutcome::TimedOut,
            Self::OutOfMemory { .. } => CallOutcome::OutOfMemory,
            Self::OverLimit { .. } => CallOutcome::OverLimit,
            Self::InvalidAnswer(_) => CallOutcome::InvalidAnswer,
            Self::Load(_) | Self::HostFailed(_) => CallOutcome::HostFailed,
        }
    }

    /// The stable code of the failure.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.code,
            Self::Trapped { .. } => "plugin.trapped",
            Self::CpuTimedOut { .. } | Self::WallTimedOut { .. } => "plugin.timed-out",
            Self::OutOfMemory { .. } => "plugin.out-of-memory",
            Self::OverLimit { .. } => "plugin.over-limit",
            Self::InvalidAnswer(_) => "plugin.invalid-answer",
            Self::Load(_) => "plugin.not-loadable",
            Self::HostFailed(_) => "host.plugin-call-failed",
        }
    }

    /// The failure that a person sees. A refusal is about the application and keeps the plugin's own
    /// code; every other fault names the plugin, and only a failed host names the host.
    pub fn to_failure(&self, plugin: &str, stage: Stage) -> Failure {
        let code = self.code();
        let asked = asked_of(stage);
        match self {
            Self::Refused(refusal) => refusal_failure(refusal, plugin),
            Self::HostFailed(why) => Failure::host(
                code,
                format!("The plugin {plugin} could not be called {asked}"),
                why.clone(),
                "look at `windlass doctor`; if it finds nothing, report this with the log",
            ),
            Self::Load(error) => Failure::plugin(
                plugin,
                code,
                format!("The plugin {plugin} cannot be loaded"),
                error.to_string(),
                error.fix(),
            ),
            other => Failure::plugin(
                plugin,
                code,
                format!("The plugin {plugin} failed when it was asked {asked}"),
                other.to_string(),
                format!(
                    "report it to the author of {plugin}; until it is repaired, set what it should \
                     have decided in windlass.toml, or remove the plugin"
                ),
            ),
        }
    }
}

/// A refusal as the failure of the application that it is about.
fn refusal_failure(refusal: &Refusal, plugin: &str) -> Failure {
    let fix = refusal.hint.clone().unwrap_or_else(|| {
        format!("the plugin {plugin} gives no hint; see its documentation for {}", refusal.code)
    });
    let what = format!("The plugin {plugin} refused");
    Failure::app(refusal.code.clone(), what, refusal.message.clone(), fix)
}

fn asked_of(stage: Stage) -> &'static str {
    match stage {
        Stage::Detector => "what the application is",
        Stage::Builder => "how to build the application",
        Stage::Migrator => "how to migrate the database",
        Stage::Health => "whether the application is healthy",
        Stage::Rollout => "how to move the traffic",
        Stage::Custom => "to run its stage",
    }
}

/// Why a file is no plugin that can be run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is larger than a plugin may be.
    #[error("it has {bytes} bytes, more than the {limit_bytes} that a plugin may have")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// It is not WebAssembly, or it is broken.
    #[error("it is not a valid WebAssembly file: {reason}")]
    NotWasm {
        /// What the parser says.
        reason: String,
    },
    /// It is a core module.
    #[error("it is a core WebAssembly module and not a component")]
    CoreModule,
    /// It says nothing of itself.
    #[error("it has no manifest: there is no custom section named windlass-manifest in it")]
    NoManifest,
    /// What it says of itself does not read.
    #[error("its manifest does not read: {reason}")]
    BadManifest {
        /// What is wrong.
        reason: String,
    },
    /// It fills no stage.
    #[error("it exports no stage; it exports: {}", list(exports))]
    NoStage {
        /// What it exports.
        exports: Vec<String>,
    },
    /// It speaks a version of the contract that this host does not.
    #[error("it uses {interface}, and this host offers {}", list(offered))]
    UnknownInterface {
        /// What it uses.
        interface: String,
        /// What there is.
        offered: Vec<String>,
    },
    /// It needs something that was not granted.
    #[error("it requires {interface}, which is not granted")]
    NotGranted {
        /// What it needs.
        interface: String,
    },
    /// It imports something that no plugin gets.
    #[error("it imports {interface}, which no plugin gets")]
    ForbiddenImport {
        /// What it imports.
        interface: String,
    },
    /// It cannot be compiled.
    #[error("it cannot be compiled: {0}")]
    Compile(#[from] CompileError),
    /// It does not fit the interfaces that it names.
    #[error("it does not fit the contract: {reason}")]
    Mismatch {
        /// What the linker says.
        reason: String,
    },
    /// The compiled code could not be mapped.
    #[error("its compiled code cannot be used: {reason}")]
    Unusable {
        /// What the runtime says.
        reason: String,
    },
}

impl LoadError {
    /// What a person can do about it.
    pub fn fix(&self) -> String {
        match self {
            Self::Unreadable { path, .. } => {
                format!("check that {} exists and that Windlass may read it", path.display())
            }
            Self::TooLarge { .. } => {
                "build it with `cargo build --profile plugin --target wasm32-wasip2`".to_owned()
            }
            Self::NotWasm { .. } | Self::CoreModule => {
                "build it for wasm32-wasip2, which makes a component".to_owned()
            }
            Self::NoManifest | Self::BadManifest { .. } | Self::NoStage { .. } => {
                "export it with `windlass_sdk::export!`, which writes manifest and exports"
                    .to_owned()
            }
            Self::UnknownInterface { .. } | Self::Mismatch { .. } => {
                "build it with the windlass-sdk of this Windlass, or upgrade Windlass".to_owned()
            }
            Self::NotGranted { .. } => {
                "use a plugin that does not need it: this version grants no capabilities yet"
                    .to_owned()
            }
            Self::ForbiddenImport { .. } => {
                "leave it out: plugins reach the outside through granted interfaces only".to_owned()
            }
            Self::Compile(_) | Self::Unusable { .. } => {
                "build it again; if that changes nothing, report it to its author".to_owned()
            }
        }
    }
}

/// A file in a plugin folder that was not loaded, and why. The others were.
#[derive(Debug, thiserror::Error)]
#[error("{} is not loaded: {error}", path.display())]
pub struct LoadProblem {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub error: LoadError,
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
