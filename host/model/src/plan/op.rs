//! The operations of a build step.

use serde::{Deserialize, Serialize};

use super::KeyValues;

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
