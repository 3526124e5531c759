//! What can go wrong in the store, each with what, why and how to fix it.

use std::path::PathBuf;

use windlass_model::Failure;

/// Result of this crate.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another host holds the data directory.
    #[error("data directory in use: {} is held by process {pid}", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// Process id from the lock file, or `unknown`.
        pid: String,
    },
    /// A newer Windlass wrote the store.
    #[error("the store has schema version {found}, and this Windlass knows up to {supported}")]
    SchemaNewer {
        /// Version in the store.
        found: u32,
        /// Newest version that this program reads.
        supported: u32,
    },
    /// A commit failed, and the store takes only what frees space until it is well again.
    #[error("the store is read-only: {why}")]
    ReadOnly {
        /// What failed.
        why: String,
    },
    /// Somebody else changed it since it was read.
    #[error("{what} was changed by somebody else in the meantime")]
    Conflict {
        /// Key of the record.
        what: String,
    },
    /// There is no such thing.
    #[error("{what} does not exist")]
    NotFound {
        /// What was looked for: `project shop`.
        what: String,
    },
    /// It is there already.
    #[error("{what} already exists")]
    Exists {
        /// What was to be made: `project shop`.
        what: String,
    },
    /// It cannot be deleted while something depends on it.
    #[error("{what} cannot be deleted: {why}")]
    Busy {
        /// What was to be deleted.
        what: String,
        /// What depends on it.
        why: String,
    },
    /// One value is too large.
    #[error("{what} has {bytes} bytes, and at most {bytes_max} are allowed")]
    TooLarge {
        /// Which value.
        what: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// There are too many of something.
    #[error("there are already {count_max} {what}, which is the limit")]
    TooMany {
        /// Of what.
        what: String,
        /// The limit.
        count_max: usize,
    },
    /// A host name leads elsewhere already.
    #[error("{host} already leads to environment {environment} of project {project}")]
    DomainTaken {
        /// The host name, or `*`.
        host: String,
        /// Whose it is.
        project: String,
        /// Whose it is.
        environment: String,
    },
    /// Something was not written as it must be.
    #[error("{what} {given:?} is not valid: {rule}")]
    Invalid {
        /// What was read.
        what: &'static str,
        /// What was given.
        given: String,
        /// The rule.
        rule: &'static str,
    },
    /// The fence held: a change would have taken an environment back.
    #[error(
        "environment {environment} is at generation {stored}, generation {given} comes too late"
    )]
    Fenced {
        /// `project/environment`.
        environment: String,
        /// Generation in the store.
        stored: u64,
        /// Generation of the change.
        given: u64,
    },
    /// Others may read the key file.
    #[error("{} has mode {mode:04o}, so others on this machine can read it", path.display())]
    KeyPermissions {
        /// The key file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The key file is unusable.
    #[error("{} is not a key file: {why}", path.display())]
    KeyFile {
        /// The key file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A value cannot be decrypted with the present key.
    #[error("{what} cannot be decrypted with {}", path.display())]
    KeyLost {
        /// Which value: `variable DATABASE_URL of shop/production`.
        what: String,
        /// The key file.
        path: PathBuf,
    },
    /// Stored bytes are not what was written.
    #[error("{what} is damaged: {why}")]
    Corrupt {
        /// Which record or file.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The journal, which is the truth, has lost something that was acknowledged.
    #[error("the journal of the store is damaged: {}: {why}", path.display())]
    JournalDamaged {
        /// Its folder, or the file in it.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// There is no state, and this data directory has had some.
    #[error("the state of the host {host} in {} is lost", dir.display())]
    Lost {
        /// The data directory.
        dir: PathBuf,
        /// The host whose state it was.
        host: String,
    },
    /// A file operation failed.
    #[error("{doing} {} failed", path.display())]
    Io {
        /// What was being done: `opening`.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database failed.
    #[error("{doing} the store failed: {why}")]
    Backend {
        /// What was being done: `reading`.
        doing: &'static str,
        /// Its message.
        why: String,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    /// Stable, dot-separated code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "store.in-use",
            Self::SchemaNewer { .. } => "store.schema-newer",
            Self::ReadOnly { .. } => "store.read-only",
            Self::Conflict { .. } => "store.conflict",
            Self::NotFound { .. } => "store.not-found",
            Self::Exists { .. } => "store.exists",
            Self::Busy { .. } => "store.busy",
            Self::TooLarge { .. } => "store.too-large",
            Self::TooMany { .. } => "store.too-many",
            Self::DomainTaken { .. } => "store.domain-taken",
            Self::Invalid { .. } => "store.invalid",
            Self::Fenced { .. } => "store.fenced",
            Self::KeyPermissions { .. } => "store.key-permissions",
            Self::KeyFile { .. } => "store.key-file",
            Self::KeyLost { .. } => "store.key-lost",
            Self::Corrupt { .. } => "store.corrupt",
            Self::JournalDamaged { .. } => "store.journal-damaged",
            Self::Lost { .. } => "store.lost",
            Self::Io { .. } => "store.io",
            Self::Backend { .. } => "store.backend",
            Self::Closed => "store.closed",
        }
    }

    /// What a person can do about it.
    pub fn fix(&self) -> String {
        match self {
            Self::InUse { dir, pid } => format!(
                "stop that host (process {pid}) first, or use another --data-dir than {}",
                dir.display()
            ),
            Self::SchemaNewer { .. } => {
                "start the newer windlass again, or restore a backup that this version made".into()
            }
            Self::ReadOnly { .. } => "free space on the data directory's disk; the store takes \
                 changes again by itself within seconds, and `windlass doctor` says when"
                .into(),
            Self::Conflict { .. } => "read it again and repeat the change".into(),
            Self::NotFound { .. } => "check the name; `windlass project list` shows them".into(),
            Self::Exists { .. } => "choose another name, or use the one that is there".into(),
            Self::Busy { .. } => "end or delete what depends on it first".into(),
            Self::TooLarge { .. } => "shorten it; large contents belong in files".into(),
            Self::TooMany { .. } => "delete what is no longer needed, or raise the limit".into(),
            Self::DomainTaken { host, .. } => {
                format!("remove it there first: windlass domain remove {host}")
            }
            Self::Invalid { rule, .. } => (*rule).to_owned(),
            Self::Fenced { .. } => "nothing: a newer deployment has taken over".into(),
            Self::KeyPermissions { path, .. } => format!("chmod 600 {}", path.display()),
            Self::KeyFile { path, .. } => {
                format!("put the right key file back at {}, from its copy", path.display())
            }
            Self::KeyLost { path, .. } => format!(
                "put the key file that encrypted it back at {}, or set the value again",
                path.display()
            ),
            Self::Corrupt { .. } => {
                "restore the newest verified backup: `windlass backup list`, then `windlass \
                 restore FILE`"
                    .into()
            }
            Self::JournalDamaged { .. } => {
                "put the journal's files back from a copy of the disk, or \
                 run `windlass recover`, which takes what it can from the newest verified backup \
                 and from what runs; the damaged files are kept beside"
                    .into()
            }
            Self::Lost { dir, .. } => format!(
                "run `windlass recover`, which rebuilds it from what runs and from the newest backup; \
                 to start with nothing instead, remove {}",
                dir.join("host-id").display()
            ),
            Self::Io { path, .. } => {
                format!("check that {} exists, is writable and has space", path.display())
            }
            Self::Backend { .. } => {
                "check the disk; if it persists, restore the newest verified backup".into()
            }
            Self::Closed => "start windlass again".into(),
        }
    }

    /// The error as a failure that a person can act on.
    pub fn to_failure(&self) -> Failure {
        use std::error::Error as _;
        let why = self.source().map_or_else(|| self.reason().to_owned(), ToString::to_string);
        let build = if self.is_callers() { Failure::app } else { Failure::host };
        build(self.code(), self.to_string(), why, self.fix())
    }

    /// Whether what was asked for is at fault, rather than the host.
    pub const fn is_callers(&self) -> bool {
        matches!(
            self,
            Self::Conflict { .. }
                | Self::NotFound { .. }
                | Self::Exists { .. }
                | Self::Busy { .. }
                | Self::TooLarge { .. }
                | Self::TooMany { .. }
                | Self::DomainTaken { .. }
                | Self::Invalid { .. }
        )
    }

    fn reason(&self) -> &str {
        match self {
            Self::InUse { .. } => {
                "two hosts on one data directory would destroy each other's state"
            }
            Self::SchemaNewer { .. } => "an older program would misread what a newer one wrote",
            Self::ReadOnly { why }
            | Self::KeyFile { why, .. }
            | Self::Corrupt { why, .. }
            | Self::JournalDamaged { why, .. }
            | Self::Busy { why, .. }
            | Self::Backend { why, .. } => why,
            Self::Conflict { .. } => "the record's revision is not the one that was read",
            Self::NotFound { .. } => "nothing is stored under that name",
            Self::Exists { .. } => "names are unique",
            Self::TooLarge { .. } | Self::TooMany { .. } => "it is over its limit",
            Self::DomainTaken { .. } => "a host name leads to one environment",
            Self::Invalid { rule, .. } => rule,
            Self::Fenced { .. } => "a newer deployment has taken the environment",
            Self::KeyPermissions { .. } => "the key protects every secret of this host",
            Self::KeyLost { .. } => "it was encrypted with another key, or its bytes were changed",
            Self::Lost { .. } => {
                "the store is not there, and a new one would not know what runs on this machine"
            }
            Self::Io { .. } => "the operating system refused",
            Self::Closed => "the host is shutting down",
        }
    }
}
