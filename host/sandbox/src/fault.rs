//! What can go wrong, and whose fault it is.

use std::path::PathBuf;
use std::sync::Arc;

use windlass_model::Failure;
use windlass_model::plan::Refusal;
use windlass_model::plugin::account::Blame;
use windlass_model::plugin::{CallOutcome, Capability, Kind, Stage};

use crate::compiled::CompileError;
use crate::limits::PER_CALL;
use crate::text::cut;
use crate::versions::CONTRACT;

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
    /// Random bytes that a guest asks for at once.
    #[error("random bytes asked for at once")]
    RandomBytes,
}

/// Why a call gave no answer. All but [`PluginFault::HostFailed`] and [`PluginFault::Unusable`] are the plugin's doing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PluginFault {
    /// It said no, with a reason, as the contract allows.
    #[error("{}: {}", .0.code, .0.message)]
    Refused(Refusal),
    /// It trapped: a panic, an abort, an access out of bounds, an endless recursion.
    #[error("it trapped: {reason}")]
    Trapped {
        /// What the runtime says, first line only; and what the plugin had said last of why.
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
    /// It passed on what somebody wrote for the application, and the host cannot use that.
    #[error("{}: {}", .0.code, .0.message)]
    Unusable(Refusal),
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
            Self::Refused(_) | Self::Unusable(_) => CallOutcome::Refused,
            Self::Trapped { .. } => CallOutcome::Trapped,
            Self::CpuTimedOut { .. } | Self::WallTimedOut { .. } => CallOutcome::TimedOut,
            Self::OutOfMemory { .. } => CallOutcome::OutOfMemory,
            Self::OverLimit { .. } => CallOutcome::OverLimit,
            Self::InvalidAnswer(_) => CallOutcome::InvalidAnswer,
            Self::Load(_) | Self::HostFailed(_) => CallOutcome::HostFailed,
        }
    }

    /// Whose doing it was. That a component cannot be loaded is its own, unless the host had no way to find out:
    /// its compiler was ended, or a file was not to be read.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Refused(_) | Self::Unusable(_) => Blame::Nobody,
            Self::HostFailed(_) => Blame::Host,
            Self::Load(error) => match error.as_ref() {
                LoadError::Compile(error) if !error.is_final() => Blame::Host,
                LoadError::Unreadable { .. }
                | LoadError::Unusable { .. }
                | LoadError::NotGranted { .. } => Blame::Host,
                _ => Blame::Plugin,
            },
            _ => Blame::Plugin,
        }
    }

    /// The stable code of the failure.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused(refusal) | Self::Unusable(refusal) => &refusal.code,
            Self::Trapped { .. } => "plugin.trapped",
            Self::CpuTimedOut { .. } | Self::WallTimedOut { .. } => "plugin.timed-out",
            Self::OutOfMemory { .. } => "plugin.out-of-memory",
            Self::OverLimit { .. } => "plugin.over-limit",
            Self::InvalidAnswer(_) => "plugin.invalid-answer",
            Self::Load(error) => error.code(),
            Self::HostFailed(_) => "host.plugin-call-failed",
        }
    }

    /// The failure that a person sees. A refusal is about the application and keeps the plugin's own
    /// code; every other fault names the plugin, and only a failed host names the host.
    pub fn to_failure(&self, plugin: &str, stage: Stage) -> Failure {
        let code = self.code();
        let asked = asked_of(stage);
        match self {
            Self::Refused(refusal) => {
                refusal_failure(refusal, plugin, format!("The plugin {plugin} refused"))
            }
            Self::Unusable(refusal) => {
                let what =
                    format!("What the plugin {plugin} takes from the application cannot be used");
                refusal_failure(refusal, plugin, what)
            }
            Self::HostFailed(why) => Failure::host(
                code,
                format!("The plugin {plugin} could not be asked {asked}"),
                why.clone(),
                "look at `windlass doctor`; if it finds nothing, report this with the log",
            ),
            Self::Load(error) => Failure::plugin(
                plugin,
                code,
                format!("The plugin {plugin} cannot be loaded, and was to be asked {asked}"),
                error.to_string(),
                error.fix(),
            ),
            other => Failure::plugin(
                plugin,
                code,
                format!("The plugin {plugin} failed when it was asked {asked}"),
                other.to_string(),
                other.fix(plugin, stage),
            ),
        }
    }

    /// What a person can do about a fault of the plugin: raise the limit that it went over, where there is one;
    /// and what helps until the plugin is repaired. A custom stage decides nothing that could be set instead.
    fn fix(&self, plugin: &str, stage: Stage) -> String {
        let first = match self.setting() {
            Some(setting @ ("cpu_ms" | "wall_ms" | "memory_bytes_max"))
                if stage == Stage::Custom =>
            {
                format!(
                    "raise `plugin.{setting}` in the limits file if {plugin} may use more, or grant it more by `limits` in \
                 `windlass plugin grant`; if it should not, report it to its author"
                )
            }
            Some(setting) => format!(
                "raise `plugin.{setting}` in the limits file if {plugin} may use more; if it should not, \
                 report it to its author"
            ),
            None => format!("report it to the author of {plugin}"),
        };
        let meanwhile = match stage {
            Stage::Custom => {
                "let the stage pass with `on_failure = 'warn'` in its [[stages]], or leave it out"
            }
            _ => "set what it should have decided in windlass.toml, or remove the plugin",
        };
        format!("{first}; until it is repaired, {meanwhile}")
    }

    /// The limit that it went over, as the table `plugin` of the limits file calls it; `None` where it went over
    /// none, or over one that cannot be set.
    fn setting(&self) -> Option<&'static str> {
        match self {
            Self::CpuTimedOut { .. } => Some("cpu_ms"),
            Self::WallTimedOut { .. } => Some("wall_ms"),
            Self::OutOfMemory { .. } => Some("memory_bytes_max"),
            Self::OverLimit { which } => match which {
                Limit::HostCallBytes => Some("hostcall_bytes_max"),
                Limit::Resources => Some("resources_max"),
                Limit::TableElements => Some("table_elements_max"),
                Limit::Instances | Limit::RandomBytes => None,
            },
            _ => None,
        }
    }

    /// The same, where it trapped, with what the plugin had said last of why.
    pub(crate) fn with_last_words(self, words: Option<String>) -> Self {
        match (self, words) {
            (Self::Trapped { reason }, Some(words)) => {
                Self::Trapped { reason: format!("{reason}; it ended with: {words}") }
            }
            (fault, _) => fault,
        }
    }
}

/// A refusal as the failure of the application that it is about.
fn refusal_failure(refusal: &Refusal, plugin: &str, what: String) -> Failure {
    let fix = refusal.hint.clone().unwrap_or_else(|| {
        format!("the plugin {plugin} gives no hint; see its documentation for {}", refusal.code)
    });
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
    #[error("it has {bytes} bytes, and a plugin has at most {limit_bytes} ({})", mib(*limit_bytes))]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// It is not WebAssembly, or it is broken.
    #[error("it is not a WebAssembly component: {reason}")]
    NotWasm {
        /// Why not, in a few words; of a broken one what the parser says.
        reason: String,
    },
    /// It is compiled code, and not WebAssembly.
    #[error("it is compiled code (a .cwasm or another ELF file), which is never taken from others")]
    MachineCode,
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
    /// It names a version of an interface that this host does not serve.
    #[error("it uses {}, and this host offers {}", versioned(interface, version), list(offered))]
    UnknownInterface {
        /// The interface: `windlass:detector/detector`.
        interface: String,
        /// The version that it names; empty for none.
        version: String,
        /// What there is: the versions of this interface, or all others where it is unknown.
        offered: Vec<String>,
    },
    /// It cannot do without something that was not granted.
    #[error("it requires what it is not granted: {}", asked(capabilities))]
    NotGranted {
        /// Its name.
        plugin: String,
        /// What it needs, with its reasons.
        capabilities: Vec<Capability>,
    },
    /// It imports what its manifest does not ask for.
    #[error(
        "it imports {interface}, and its manifest does not ask for the capability {capability}"
    )]
    NotAskedFor {
        /// What it imports.
        interface: String,
        /// What its manifest should ask for.
        capability: Kind,
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
    /// It does not fit an interface that it names: it was built from other files than the released ones.
    #[error("it does not fit {interface} as contract {CONTRACT} has it: {reason}")]
    Mismatch {
        /// The interface, as far as it is known; else all that it names.
        interface: String,
        /// What the linker says.
        reason: String,
    },
    /// It needs more than one call may have, so it is not even started.
    #[error("it needs more than one call may have: {reason}")]
    TooDemanding {
        /// What the runtime says.
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
    /// That the linker does not accept a component, with the interface that it is about.
    pub(crate) fn mismatch(stages: &[Stage], error: &dyn std::fmt::Display) -> Self {
        let reason = format!("{error:#}");
        // The runtime quotes the names of interfaces.
        let named = reason.split(['`', '"']).find(|part| part.starts_with("windlass:"));
        let interfaces = || {
            let stages = stages.iter().map(|stage| stage.as_str());
            stages.map(|stage| format!("windlass:{stage}/{stage}")).collect::<Vec<_>>().join(", ")
        };
        let interface = named.map_or_else(interfaces, ToOwned::to_owned);
        Self::Mismatch { interface, reason }
    }

    /// Whether another try with the same file can only end the same way.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Compile(error) => error.is_final(),
            Self::Unusable { .. } | Self::Unreadable { .. } => false,
            _ => true,
        }
    }

    /// The stable code of the failure.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotGranted { .. } => "plugin.not-granted",
            _ => "plugin.not-loadable",
        }
    }

    /// What a person can do about it.
    pub fn fix(&self) -> String {
        match self {
            Self::Unreadable { path, .. } => {
                format!("check that {} exists and that Windlass may read it", path.display())
            }
            Self::TooLarge { .. } => {
                "build it optimised and without debug information, as `windlass plugin build` does; or \
                 raise `plugin.component_bytes_max` in the limits file"
                    .to_owned()
            }
            Self::MachineCode => {
                "offer the .wasm file that it was compiled from: Windlass compiles it itself, once"
                    .to_owned()
            }
            Self::TooDemanding { .. } => format!(
                "build it with at most {} core instances, {} memories and {} tables, which begin within \
                 the limits of `plugin` in the host's settings",
                PER_CALL.instances, PER_CALL.memories, PER_CALL.tables
            ),
            Self::NotWasm { .. } | Self::CoreModule => {
                "name the component that `windlass plugin build` made; without it, build for wasm32-wasip2, \
                 which makes one"
                    .to_owned()
            }
            Self::NoManifest | Self::BadManifest { .. } | Self::NoStage { .. } => {
                "export it with `windlass_sdk::export!`, which writes manifest and exports"
                    .to_owned()
            }
            Self::UnknownInterface { version, .. } if is_newer(version) => {
                format!("update Windlass: the plugin was made for a newer one; or {}", rebuild())
            }
            Self::UnknownInterface { .. } | Self::Mismatch { .. } => {
                format!("{}; or install a version of the plugin that was made for it", rebuild())
            }
            Self::NotGranted { plugin, capabilities } => {
                let mut kinds: Vec<&str> =
                    capabilities.iter().map(|one| one.request.kind().as_str()).collect();
                kinds.dedup();
                format!(
                    "if you want it to do that, install it with `windlass plugin install FILE --grant {}`, or \
                     grant it with `windlass plugin grant {plugin} all` when it is installed",
                    kinds.join(",")
                )
            }
            Self::NotAskedFor { capability, .. } => format!(
                "its author adds {{ \"name\": \"{capability}\", \"reason\": \"...\" }} to `capabilities`, or \
                 builds it without that import"
            ),
            Self::ForbiddenImport { .. } => {
                "leave it out: plugins reach the outside through granted interfaces only".to_owned()
            }
            Self::Unusable { .. } => {
                "look whether the machine is short of memory or of open files: `windlass doctor`; \
                 then try again"
                    .to_owned()
            }
            Self::Compile(_) => {
                "build it again; if that changes nothing, report it to its author".to_owned()
            }
        }
    }
}

/// How a component is made that this host serves.
fn rebuild() -> String {
    format!(
        "build it again for contract {CONTRACT}: in Rust, JavaScript or Python with the windlass-sdk of this \
         Windlass, then `windlass plugin build`; in other languages with the files of its folder `wit/{CONTRACT}`"
    )
}

/// Whether a version is behind the newest release that this host knows.
fn is_newer(version: &str) -> bool {
    let number = |text: &str| semver::Version::parse(text).ok();
    number(version) > number(CONTRACT)
}

/// An interface as a component names it.
fn versioned(interface: &str, version: &str) -> String {
    if version.is_empty() { interface.to_owned() } else { format!("{interface}@{version}") }
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

/// A size for people, to a tenth.
fn mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

fn asked(capabilities: &[Capability]) -> String {
    let one = |one: &Capability| format!("{} ({})", one.request, one.reason);
    capabilities.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { cut(names.join(", ")) }
}
