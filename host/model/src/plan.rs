//! What plugins answer, as the host holds it: detections, build plans, migrations, health policies.
//!
//! These are the contract's records (`wit/`) in Rust. The sandbox crate translates between the two;
//! everything behind it sees only these types, validates them ([`BuildPlan::validate`]), shows them,
//! hashes them ([`crate::Digest::of_json`]) and caches by them.

use serde::{Deserialize, Serialize};

mod check;
pub use check::PlanProblem;

/// Name and value pairs, in order. A `Vec`, because order is part of a plan's digest.
pub type KeyValues = Vec<(String, String)>;

/// All that a pure call may know. Nothing in it names a deployment, so answers can be cached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Context {
    /// `linux/amd64`
    pub platform: String,
    /// Path of the application inside the source, empty for the root.
    pub app_dir: String,
    /// The tables of `windlass.toml` that concern plugins, as JSON.
    pub config_json: String,
    /// What was set for the plugin, as a JSON object; empty when nothing was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub options_json: String,
    /// Names of the environment's variables, never their values.
    pub variable_names: Vec<String>,
    /// Services of the environment.
    pub services: Vec<ServiceInfo>,
    /// Toolchains of the last live deployment, so that a moved default changes no application.
    pub previous_toolchains: Vec<Toolchain>,
}

/// A service, as a plugin sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ServiceInfo {
    /// Name it resolves under.
    pub name: String,
    /// `postgres`, `redis`, ... or empty.
    pub kind: String,
    /// Variables that point at it.
    pub variable_names: Vec<String>,
}

/// A language runtime and which version of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Toolchain {
    /// `node`, `python`, ...
    pub name: String,
    /// `>=20 <23`, `22.11.0`, or empty for the default.
    pub requirement: String,
}

/// A sign that was found in the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Evidence {
    /// File, relative to the source's root.
    pub path: String,
    /// The key or line that was the sign; may be empty.
    pub detail: String,
}

/// What a detector recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Detection {
    /// Stable id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Language family.
    pub ecosystem: String,
    /// Toolchains it needs.
    pub toolchains: Vec<Toolchain>,
    /// 0 to 100; `wit/README.md` says what the bands mean.
    pub confidence: u8,
    /// The signs.
    pub evidence: Vec<Evidence>,
    /// Ids that this one is a special case of.
    pub supersedes: Vec<String>,
    /// The application's folder from the source's root, where it is not that of the settings: the member of a
    /// workspace that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_dir: Option<String>,
    /// The plugin's notes for its builder; opaque to the host.
    pub notes_json: String,
    /// Recognised, but it cannot be built: if this detection is chosen, the deployment fails with
    /// this, so that nothing else builds the application as something it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
}

/// The contract's error: a plugin's failure on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Refusal {
    /// Stable, dot-separated: `node.lockfile-missing`.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What the person can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether another try may help; such an answer is never cached.
    #[serde(default)]
    pub retryable: bool,
}

/// What nearly matched, and why it did not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NearMiss {
    /// Id of what was nearly detected.
    pub id: String,
    /// Why not.
    pub reason: String,
}

/// A detector's whole answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DetectReport {
    /// What matched.
    pub detections: Vec<Detection>,
    /// What nearly did.
    pub near_misses: Vec<NearMiss>,
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

/// How concurrent builds share a cache mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    /// At the same time.
    Shared,
    /// One after another.
    Locked,
    /// Each has its own.
    Private,
}

/// Something mounted while one command runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Mount {
    /// A directory that outlives the build, per project.
    Cache {
        /// Its name within the project.
        id: String,
        /// Where it appears.
        target: String,
        /// How it is shared.
        sharing: Sharing,
    },
    /// The source (`from_step` empty) or another step's result.
    Bind {
        /// Step, or empty for the source.
        from_step: String,
        /// Path inside it.
        path: String,
        /// Where it appears.
        target: String,
        /// Whether writes are allowed; they are thrown away.
        writable: bool,
    },
    /// A secret by name, on tmpfs or in the command's environment.
    Secret {
        /// Name of the variable that holds it.
        name: String,
        /// File it appears as.
        target: Option<String>,
        /// Environment variable it appears as.
        env: Option<String>,
        /// Mode of the file.
        mode: u32,
        /// User and group of the file; root's when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<(u32, u32)>,
        /// Whether the build fails when it is not set.
        required: bool,
    },
    /// An empty directory in memory.
    Tmpfs {
        /// Where it appears.
        target: String,
        /// Its size in bytes.
        bytes_max: Option<u64>,
    },
}

/// Where copied files come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The source tree.
    Source,
    /// Another step's result.
    Step(String),
    /// An image.
    Image(String),
}

/// One operation of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "op")]
pub enum Op {
    /// Run a command.
    Run(Run),
    /// Copy files.
    Copy(Copy),
    /// Write one file.
    WriteFile {
        /// Absolute path in the image.
        path: String,
        /// Its bytes.
        content: Vec<u8>,
        /// Its mode.
        mode: u32,
        /// `user:group`, root when absent.
        chown: Option<String>,
    },
    /// Download one file.
    Fetch {
        /// HTTP or HTTPS address.
        url: String,
        /// Expected digest, 64 hexadecimal digits.
        sha256: Option<String>,
        /// Absolute path in the image.
        dest: String,
        /// Owner.
        chown: Option<String>,
        /// Octal mode.
        chmod: Option<String>,
    },
    /// Unpack an archive.
    Extract {
        /// Where the archive is.
        origin: Origin,
        /// Its path there.
        archive: String,
        /// Absolute directory in the image.
        dest: String,
    },
    /// Copy files by the rules of container build files.
    Place(Place),
    /// Make a directory with its parents; what is there stays as it is.
    MakeDir {
        /// Absolute path in the image.
        path: String,
        /// Owner of what is made, root when absent.
        chown: Option<String>,
    },
}

/// A file that a plan itself brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct InlineFile {
    /// Its name where the destination is a directory.
    pub name: String,
    /// Its bytes.
    pub content: Vec<u8>,
    /// Its mode.
    pub mode: u32,
}

/// Where placed files come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Placed {
    /// The source tree.
    Source,
    /// Another step's result.
    Step(String),
    /// An image.
    Image(String),
    /// The plan.
    Inline(Vec<InlineFile>),
    /// A download by the host.
    Download {
        /// HTTP or HTTPS address.
        url: String,
        /// Expected digest, 64 hexadecimal digits.
        sha256: Option<String>,
        /// Its name where the destination is a directory.
        name: String,
    },
}

/// A copy by the rules of container build files, which `wit/README.md` gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Place {
    /// Where from.
    pub origin: Placed,
    /// What, in this order: names with `*`, `?`, `[a-z]` and `\\`, relative to the origin's root (for the
    /// source: to the application directory). Empty for files of the plan and downloads.
    pub paths: Vec<String>,
    /// The lines of an ignore file, against paths of the source.
    pub ignore: Vec<String>,
    /// Patterns of what is left out, against paths below each of `paths`.
    pub exclude: Vec<String>,
    /// Where to: a directory if it ends in `/` or is one.
    pub dest: String,
    /// Owner; files keep their own when absent, those of the source are root's.
    pub chown: Option<String>,
    /// Octal or symbolic mode.
    pub chmod: Option<String>,
    /// Whether the path of each match is kept below `dest`, from the last `/./` on.
    pub parents: bool,
    /// Whether it is laid over what is there without looking: no link of `dest` is followed.
    pub link: bool,
    /// Whether archives are unpacked.
    pub unpack: bool,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Run {
    /// Program and arguments; no shell is implied.
    pub argv: Vec<String>,
    /// Environment on top of the step's.
    pub env: KeyValues,
    /// Working directory, the step's when absent.
    pub cwd: Option<String>,
    /// User, the step's when absent.
    pub user: Option<String>,
    /// Whether it may reach the network.
    pub network: bool,
    /// What is mounted meanwhile.
    pub mounts: Vec<Mount>,
    /// Wall clock; the host's limit when absent or larger.
    pub timeout_ms: Option<u32>,
}

/// A copy. The matched sources are what the step's key is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Copy {
    /// Where from.
    pub origin: Origin,
    /// Globs, relative to the origin's root (for the source: to the application directory).
    pub sources: Vec<String>,
    /// Globs that are left out.
    pub exclude: Vec<String>,
    /// Where to: a directory if it ends in `/` or several files match.
    pub dest: String,
    /// Owner.
    pub chown: Option<String>,
    /// Octal mode.
    pub chmod: Option<String>,
    /// Whether the path of each match is kept below `dest`.
    pub parents: bool,
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

/// How an image's process is run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RunConfig {
    /// Fixed part of the command.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    pub cmd: Vec<String>,
    /// Environment.
    pub env: KeyValues,
    /// User, `name[:group]` or ids.
    pub user: String,
    /// Working directory.
    pub cwd: String,
    /// Ports it says it listens on.
    pub exposed: Vec<u16>,
    /// Paths it wants as volumes.
    pub volumes: Vec<String>,
    /// Labels.
    pub labels: KeyValues,
    /// Signal that asks it to end, SIGTERM when absent.
    pub stop_signal: Option<String>,
    /// What an image says beside it; in a box, because most say nothing of it.
    #[serde(flatten)]
    pub details: Box<ImageDetails>,
}

/// The less usual parts of an image's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ImageDetails {
    /// Every port as images name it: `53/udp`; `exposed` are those of TCP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// Shell of commands that are given as a line; empty for `/bin/sh -c`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
    /// Instructions for images that are based on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub onbuild: Vec<String>,
    /// How its process is asked whether it is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Whether it is whole: nothing is completed from the image at the bottom.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
}

impl ImageDetails {
    /// How its own process is asked whether it is well, with the shell of the image in a line's front.
    pub fn health_check(&self) -> Option<HealthCheck> {
        let mut check = self.health.clone()?;
        if let [kind, line] = check.test.as_slice()
            && kind == "CMD-SHELL"
            && !self.shell.is_empty()
        {
            let line = line.clone();
            check.test = std::iter::once("CMD".to_owned()).chain(self.shell.clone()).collect();
            check.test.push(line);
        }
        Some(check)
    }
}

/// How an image says that its process is asked whether it is well, in the form of images.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HealthCheck {
    /// `["NONE"]`, `["CMD", program, argument, ...]` or `["CMD-SHELL", line]`.
    pub test: Vec<String>,
    /// Between two tries, in milliseconds; 0 for the usual.
    #[serde(default)]
    pub interval_ms: u32,
    /// One try, in milliseconds; 0 for the usual.
    #[serde(default)]
    pub timeout_ms: u32,
    /// For its start, in milliseconds; 0 for the usual.
    #[serde(default)]
    pub start_period_ms: u32,
    /// Between two tries during its start, in milliseconds; 0 for the usual.
    #[serde(default)]
    pub start_interval_ms: u32,
    /// Tries that fail before it counts; 0 for the usual.
    #[serde(default)]
    pub retries: u32,
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

/// Statuses `first..=last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StatusRange {
    /// First.
    pub first: u16,
    /// Last, included.
    pub last: u16,
}

/// One way of asking an application whether it is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "probe")]
pub enum Probe {
    /// GET a path.
    Http {
        /// Which process.
        process: String,
        /// Which port, `PORT` when absent.
        port: Option<u16>,
        /// Path with a leading slash.
        path: String,
        /// Extra headers.
        headers: KeyValues,
        /// Redirects followed on the same host.
        redirects_max: u8,
    },
    /// Open a connection.
    Tcp {
        /// Which process.
        process: String,
        /// Which port, `PORT` when absent.
        port: Option<u16>,
    },
    /// Run a command inside the instance.
    Command {
        /// Which process.
        process: String,
        /// The command.
        argv: Vec<String>,
    },
    /// It is well when it is still up after a while.
    StaysUp {
        /// Which process.
        process: String,
        /// How long, in milliseconds.
        stays_up_ms: u32,
    },
}

impl Probe {
    /// The process it asks.
    pub fn process(&self) -> &str {
        match self {
            Self::Http { process, .. }
            | Self::Tcp { process, .. }
            | Self::Command { process, .. }
            | Self::StaysUp { process, .. } => process,
        }
    }
}

/// What to probe, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HealthPolicy {
    /// The probes, in order.
    pub probes: Vec<Probe>,
    /// Statuses that pass.
    pub pass_status: Vec<StatusRange>,
    /// Before the first probe, in milliseconds.
    pub first_after_ms: u32,
    /// First pause between tries, in milliseconds; it grows by a quarter each time.
    pub interval_min_ms: u32,
    /// Longest pause between tries, in milliseconds.
    pub interval_max_ms: u32,
    /// One try, in milliseconds.
    pub timeout_ms: u32,
    /// All tries together, in milliseconds.
    pub budget_ms: u32,
}

/// What one try saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeOutcome {
    /// An HTTP status.
    Status(u16),
    /// It worked (for probes without a status).
    Ok,
    /// Nothing listens there.
    Refused,
    /// The connection was cut.
    Reset,
    /// No answer in time.
    Timeout,
    /// The instance ended with this code.
    Exited(i32),
    /// A probe's command ended with this code, which is not 0.
    CommandFailed(i32),
    /// The instance was killed for its memory.
    OutOfMemory,
    /// It listens, but only on the loopback address or on another port.
    WrongAddress,
}

/// One try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Observation {
    /// Index of the probe in the policy.
    pub probe: u32,
    /// Since the instances were started, in milliseconds.
    pub at_ms: u64,
    /// How long the try took, in milliseconds.
    pub took_ms: u32,
    /// What it saw.
    pub outcome: ProbeOutcome,
}

/// A judge's verdict over all that was seen so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Not yet: pause, then begin again at the first probe. The pause grows from `interval_min_ms` by
    /// a quarter each time, up to `interval_max_ms`.
    Wait,
    /// Not this one: try the next probe at once; behind the last one it means `Wait`.
    Next,
    /// Healthy.
    Pass,
    /// Not healthy, for this reason.
    Fail(String),
}
