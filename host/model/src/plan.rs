//! What plugins answer, as the host holds it: detections, build plans, migrations, health policies.
//!
//! These are the contract's records (`wit/`) in Rust. The sandbox crate translates between the two;
//! everything behind it sees only these types, validates them ([`BuildPlan::validate`]), shows them,
//! hashes them ([`crate::Digest::of_json`]) and caches by them.

use serde::{Deserialize, Serialize};

mod check;
mod detection;
mod health;
mod image;
mod op;
mod rollout;

pub use check::PlanProblem;
pub use detection::{Context, DetectReport, Detection, Evidence, NearMiss, Refusal, ServiceInfo};
pub use health::{HealthPolicy, Observation, Probe, ProbeOutcome, StatusRange, Verdict};
pub use image::{HealthCheck, ImageDetails, RunConfig};
pub use op::{Copy, InlineFile, Mount, Op, Origin, Place, Placed, Run, Sharing};
pub use rollout::{RolloutDecision, RolloutState, TrafficSample, WEIGHT_MAX};

/// Name and value pairs, in order. A `Vec`, because order is part of a plan's digest.
pub type KeyValues = Vec<(String, String)>;

/// A language runtime and which version of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Toolchain {
    /// `node`, `python`, ...
    pub name: String,
    /// `>=20 <23`, `22.11.0`, or empty for the default.
    pub requirement: String,
}

/// What a step starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Base {
    /// The result of an earlier step.
    Step(String),
    /// An image by reference.
    Image(String),
    /// An image that brings these toolchains; the host's resolver chooses it.
    Toolchains(Vec<Toolchain>),
    /// Nothing.
    Scratch,
}

/// A node of the build graph; its result is a committed snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BuildStep {
    /// Id within the plan.
    pub id: String,
    /// For people: `install dependencies`.
    pub name: String,
    /// What it starts from.
    pub base: Base,
    /// Environment of its commands.
    pub env: KeyValues,
    /// Working directory of its commands.
    pub cwd: String,
    /// User of its commands.
    pub user: String,
    /// What is done, in order.
    pub ops: Vec<Op>,
}

/// What one output of a plan is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OutputKind {
    /// A root file system with its run configuration.
    Image {
        /// The step whose result it is.
        step: String,
        /// How it is run.
        config: RunConfig,
    },
    /// A tree of files that the proxy serves.
    StaticTree {
        /// The step whose result holds it.
        step: String,
        /// Absolute path of the tree in that step's result.
        root: String,
        /// File served for unknown paths of a single-page application.
        spa_fallback: Option<String>,
        /// File served with status 404.
        not_found: Option<String>,
    },
}

/// A named result of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Output {
    /// Its name: `app`, `migrate`, `site`.
    pub name: String,
    /// What it is.
    pub artifact: OutputKind,
}

/// What kind of process it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProcessKind {
    /// It listens on `PORT` and gets requests.
    Web,
    /// It does not.
    Worker,
}

/// A process that a deployment runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ProcessPlan {
    /// `web`, `worker`, ...
    pub name: String,
    /// The output it runs from.
    pub output: String,
    /// Its kind.
    pub kind: ProcessKind,
    /// Its command; empty takes the output's own.
    pub argv: Vec<String>,
    /// Ports it listens on; the first of a web process becomes `PORT`.
    pub ports: Vec<u16>,
}

/// What a builder returns: data that the host validates, shows, hashes, caches and carries out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BuildPlan {
    /// The steps; a step may only build on earlier ones.
    pub steps: Vec<BuildStep>,
    /// What comes out.
    pub outputs: Vec<Output>,
    /// What is run.
    pub processes: Vec<ProcessPlan>,
    /// Toolchains used, with the versions that were chosen.
    pub toolchains: Vec<Toolchain>,
}

/// Whether a migration is to be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MigrationVerdict {
    /// Run it.
    Run,
    /// Do not, for this reason.
    Leave(String),
}

/// A migration that a migrator found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Migration {
    /// Which tool.
    pub tool: String,
    /// In which of the plan's outputs it runs.
    pub output: String,
    /// The command.
    pub argv: Vec<String>,
    /// Where.
    pub cwd: String,
    /// The signs.
    pub evidence: Vec<Evidence>,
    /// Whether to run it.
    pub verdict: MigrationVerdict,
}
