//! What the verbs for authors of plugins are asked and answer: `windlass plugin new`, `build`, `check`, `test`,
//! `run` and `bench`. All of it happens on the author's machine.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Failure;
use crate::id::Digest;
use crate::plugin::{CallReport, PluginInfo, Stage};
use crate::secret::Secret;

/// A language that there is an SDK for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Built by Cargo.
    Rust,
    /// JavaScript or TypeScript, built through npm.
    Js,
    /// Built by componentize-py.
    Python,
}

impl Language {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Rust, Self::Js, Self::Python];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Js => "js",
            Self::Python => "python",
        }
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|language| language.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|language| language.as_str()).collect();
            format!("{text:?} is no language with an SDK; there are {}", known.join(", "))
        })
    }
}

/// What is to be begun.
#[derive(Debug, Clone)]
pub struct NewPlugin {
    /// The plugin's name.
    pub name: String,
    /// What it is written in.
    pub language: Language,
    /// What it decides.
    pub stage: Stage,
    /// Where it goes; the folder of its name when absent.
    pub folder: Option<PathBuf>,
    /// A clone of Windlass whose SDK it uses; a copy of this Windlass's when absent.
    pub sdk: Option<PathBuf>,
}

/// What was begun.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Created {
    /// The plugin's name.
    pub name: String,
    /// What it is written in.
    pub language: Language,
    /// Its folder.
    pub folder: PathBuf,
    /// Its files, relative to the folder, without those of the SDK.
    pub files: Vec<String>,
    /// Where its SDK is, relative to the folder.
    pub sdk: String,
    /// What is worth knowing: where the SDK comes from, what this Windlass does not do yet.
    pub notes: Vec<String>,
}

/// A component that was built.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Built {
    /// What it is written in.
    pub language: Language,
    /// The component.
    pub component: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// The commands that were run.
    pub commands: Vec<String>,
    /// Wall clock, in milliseconds.
    pub took_ms: u64,
}

/// How an interface that a component imports stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImportState {
    /// Every plugin has it.
    Always,
    /// It is there when the operator grants it; the manifest asks for it.
    AskedFor,
}

/// An interface of Windlass that a component imports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Its full name.
    pub interface: String,
    /// Whether the plugin gets it.
    pub state: ImportState,
}

/// A component that fits this Windlass.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Checked {
    /// The component.
    pub component: PathBuf,
    /// Manifest, stages, digest, size.
    pub info: PluginInfo,
    /// The stages' interfaces with their versions.
    pub exports: Vec<String>,
    /// The interfaces of Windlass that it imports.
    pub imports: Vec<Import>,
    /// How many interfaces of WASI it imports; there is nothing behind them.
    pub wasi_imports: usize,
    /// The largest that it may be, in bytes.
    pub bytes_max: u64,
    /// How long compiling took, in milliseconds; 0 when that was done before.
    pub compile_ms: u64,
    /// What is no error and should be looked at.
    pub warnings: Vec<String>,
}

/// What is to be pushed, and where to.
#[derive(Debug, Clone)]
pub struct PublishPlugin {
    /// The component, or the folder that it was built in.
    pub plugin: PathBuf,
    /// `ghcr.io/acme/scan:1.2.0`
    pub reference: String,
    /// Name and password or token, where the registry wants them.
    pub login: Option<(String, Secret<String>)>,
}

/// What was pushed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Published {
    /// The plugin's name.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Where it is, as `windlass plugin install` takes it.
    pub address: String,
    /// Digest that names the artifact in the registry.
    pub artifact: Digest,
    /// Digest of the component.
    pub component: Digest,
}

/// What is to be written into the file of an index.
#[derive(Debug, Clone)]
pub struct IndexPlugin {
    /// The component, or the folder that it was built in.
    pub plugin: PathBuf,
    /// Where the component will be: `https://…` or `oci://…`.
    pub url: String,
    /// The file; it is begun where there is none.
    pub index: PathBuf,
    /// What it should be found by; those that are there stay when there are none.
    pub keywords: Vec<String>,
    /// A page about it.
    pub homepage: Option<String>,
}

/// What was written.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Indexed {
    /// The plugin's name.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// The file.
    pub index: PathBuf,
    /// Where the component will be.
    pub url: String,
    /// Digest of the component.
    pub component: Digest,
}

/// Which component, and on what.
#[derive(Debug, Clone)]
pub struct AskPlugin {
    /// The component, or the folder that it was built in.
    pub plugin: PathBuf,
    /// The source that it is asked about; that of the first fixture, with its context, when absent.
    pub source: Option<PathBuf>,
    /// A file of what it is told beside the source.
    pub context: Option<PathBuf>,
    /// The stage that is asked; all that it fills when absent.
    pub stage: Option<Stage>,
}

/// One answer of a component.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answered {
    /// Its name among the answers: `detect`, `plan`, `migrations`, `policy`, `verdict`; of a custom stage
    /// `stage` and its name.
    pub name: String,
    /// The answer, or a refusal as `{"refused": …}`; absent when there was none.
    pub answer: Option<Value>,
    /// Why there was none.
    pub failure: Option<Failure>,
    /// What the call amounted to.
    pub report: CallReport,
    /// What it said.
    pub log: Vec<String>,
}

/// What a component answers about one source.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answers {
    /// The plugin.
    pub plugin: String,
    /// The source.
    pub source: PathBuf,
    /// In the order in which a deployment asks.
    pub answers: Vec<Answered>,
    /// Stages that were not asked, with the reason.
    pub not_asked: Vec<String>,
}

/// Which fixtures are played.
#[derive(Debug, Clone)]
pub struct TestPlugin {
    /// The component, or the folder that it was built in.
    pub plugin: PathBuf,
    /// The folder of the fixtures; `fixtures` beside the plugin's sources when absent.
    pub fixtures: Option<PathBuf>,
    /// Whether what is answered is written down as expected.
    pub accept: bool,
    /// The cases that are played; all when empty.
    pub only: Vec<String>,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum CaseOutcome {
    /// It answered what was expected.
    Same,
    /// What it answered was written down as expected, and differs from before.
    Written,
    /// Nothing was expected yet.
    New {
        /// What it answered.
        answers: Value,
    },
    /// It answered something else.
    Differs {
        /// The lines that differ: `-` was expected, `+` was answered.
        diff: String,
    },
    /// It failed, or the case cannot be played.
    Failed {
        /// Why.
        failure: Box<Failure>,
    },
}

/// One fixture.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TestedCase {
    /// Name of its folder.
    pub name: String,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: CaseOutcome,
    /// What the plugin said.
    pub log: Vec<String>,
    /// All its calls together, in microseconds.
    pub took_us: u64,
}

impl TestedCase {
    /// Whether it counts as passed.
    pub fn passed(&self) -> bool {
        matches!(self.outcome, CaseOutcome::Same | CaseOutcome::Written)
    }
}

/// What became of the fixtures.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tested {
    /// The plugin.
    pub plugin: String,
    /// The component.
    pub component: PathBuf,
    /// The folder of the fixtures.
    pub fixtures: PathBuf,
    /// Each of them.
    pub cases: Vec<TestedCase>,
    /// What is no failure and should be looked at.
    pub warnings: Vec<String>,
}

/// How often calls are made.
#[derive(Debug, Clone)]
pub struct BenchPlugin {
    /// Of what.
    pub ask: AskPlugin,
    /// Calls that are measured, of each function.
    pub calls: u32,
}

/// Times of one function.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Benched {
    /// The function, `detect`, `plan`, ..., or the custom stage: `stage NAME`.
    pub function: String,
    /// Calls that were measured.
    pub calls: u32,
    /// The middle one, in microseconds.
    pub median_us: u64,
    /// The hundredth part is slower, in microseconds.
    pub p99_us: u64,
    /// The slowest, in microseconds.
    pub max_us: u64,
    /// Most memory that one held, in bytes.
    pub memory_peak_bytes: u64,
}

/// Times of a component.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bench {
    /// The plugin.
    pub plugin: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Compiling it, in milliseconds.
    pub compile_ms: u64,
    /// Loading it once it is compiled, in microseconds.
    pub load_us: u64,
    /// Each function, warm.
    pub functions: Vec<Benched>,
    /// What was not measured, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_asked: Vec<String>,
}
