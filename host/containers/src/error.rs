//! Everything that can go wrong here, each with a stable code, a cause and a fix.

use std::path::PathBuf;

use windlass_model::Failure;
use windlass_model::network::AddressError;

/// Outcome of a call of this crate.
pub type Result<T, E = RuntimeError> = std::result::Result<T, E>;

/// Why a call of the container runtime failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// A program that the host needs is not installed.
    #[error("{part} is not installed")]
    MissingPart {
        /// The program.
        part: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// The process lacks the rights.
    #[error("containers need root")]
    NotRoot,
    /// containerd does not answer.
    #[error("containerd does not answer at {}: {why}", socket.display())]
    Unavailable {
        /// Its socket.
        socket: PathBuf,
        /// What was seen.
        why: String,
    },
    /// containerd refused a call.
    #[error("containerd refused to {operation} {name}: {why}")]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// Of what.
        name: String,
        /// containerd's words.
        why: String,
    },
    /// A thing that must exist does not.
    #[error("there is no {what} {name}")]
    NotFound {
        /// Kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A value breaks a rule of this crate.
    #[error("{what} {given:?} is not valid: {rule}")]
    Invalid {
        /// What was being read.
        what: &'static str,
        /// What was given.
        given: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// The user named for a container is not in its root file system.
    #[error("there is no {what} {name:?} in the image")]
    NoSuchUser {
        /// `user` or `group`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The command could not be started in the container.
    #[error("container {id} could not be started: {why}")]
    StartFailed {
        /// The container.
        id: String,
        /// runc's words.
        why: String,
    },
    /// Content differs from its digest.
    #[error("content has digest {got}, expected {expected}")]
    DigestMismatch {
        /// What was asked.
        expected: String,
        /// What came.
        got: String,
    },
    /// A blob is larger than the caller allows.
    #[error("{name} has {bytes} bytes, at most {bytes_max} are read")]
    TooLarge {
        /// What.
        name: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// The network could not be set up or torn down.
    #[error("network {network}: {operation} failed: {why}")]
    Network {
        /// The network.
        network: String,
        /// What was done.
        operation: &'static str,
        /// The tool's words.
        why: String,
    },
    /// No address could be had.
    #[error("no address for {name}")]
    Address {
        /// Network or container.
        name: String,
        /// Why.
        #[source]
        source: AddressError,
    },
    /// The operating system refused something.
    #[error("could not {operation} {}", path.display())]
    Io {
        /// What was done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something took too long.
    #[error("{operation} of {name} took longer than {limit_ms} ms")]
    Timeout {
        /// What was done.
        operation: &'static str,
        /// To what.
        name: String,
        /// The limit.
        limit_ms: u64,
    },
}

impl RuntimeError {
    /// For `map_err` on operations with a path.
    pub(crate) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }

    /// The same for the raw system calls.
    pub(crate) fn os(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(rustix::io::Errno) -> Self {
        let path = path.into();
        move |errno| Self::Io { operation, path, source: errno.into() }
    }

    /// Stable, documented code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingPart { .. } => "host.missing-part",
            Self::NotRoot => "host.not-root",
            Self::Unavailable { .. } => "containerd.unavailable",
            Self::Refused { .. } => "containerd.refused",
            Self::NotFound { .. } => "containers.not-found",
            Self::Invalid { .. } => "containers.invalid",
            Self::NoSuchUser { .. } => "containers.no-such-user",
            Self::StartFailed { .. } => "containers.start-failed",
            Self::DigestMismatch { .. } => "content.digest-mismatch",
            Self::TooLarge { .. } => "content.too-large",
            Self::Network { .. } => "network.failed",
            Self::Address { .. } => "network.no-address",
            Self::Io { .. } => "host.io",
            Self::Timeout { .. } => "containers.timeout",
        }
    }

    /// What a person can do about it.
    pub fn fix(&self) -> String {
        match self {
            Self::MissingPart { package, .. } => format!("run `apt-get install {package}`"),
            Self::NotRoot => "run `windlass serve` as root".to_owned(),
            Self::Unavailable { .. } => {
                "run `windlass doctor`; containerd's own log is containerd/containerd.log in the data \
                 directory"
                    .to_owned()
            }
            Self::Invalid { rule, .. } => (*rule).to_owned(),
            Self::NoSuchUser { what, .. } => {
                format!("name a {what} of the image's /etc/passwd and /etc/group, or give its number")
            }
            Self::StartFailed { .. } => {
                "check that the command exists in the build's output and is executable".to_owned()
            }
            Self::DigestMismatch { .. } => "fetch it again; the source altered it".to_owned(),
            Self::TooLarge { .. } => "make it smaller".to_owned(),
            Self::Address { .. } => {
                "remove environments that are not needed, or wait for old instances to retire"
                    .to_owned()
            }
            Self::Io { .. } | Self::Timeout { .. } => {
                "run `windlass doctor`; check free space and load of the machine".to_owned()
            }
            Self::Refused { .. } | Self::NotFound { .. } | Self::Network { .. } => {
                "run `windlass doctor`, then try again".to_owned()
            }
        }
    }

    /// Whether the application caused it, rather than the host.
    pub const fn is_app_fault(&self) -> bool {
        matches!(self, Self::NoSuchUser { .. } | Self::StartFailed { .. })
    }

    /// As the failure of a step, with the whole chain of causes.
    pub fn failure(&self, what: impl Into<String>) -> Failure {
        let mut why = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            why = format!("{why}: {cause}");
            source = cause.source();
        }
        if self.is_app_fault() {
            Failure::app(self.code(), what, why, self.fix())
        } else {
            Failure::host(self.code(), what, why, self.fix())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_part_names_its_package_and_every_cause_is_told() {
        let missing = RuntimeError::MissingPart { part: "nft", package: "nftables" };
        let failure = missing.failure("the host could not start");
        assert_eq!(failure.code, "host.missing-part");
        assert_eq!(failure.why, "nft is not installed");
        assert_eq!(failure.fix, "run `apt-get install nftables`");
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let failure = RuntimeError::io("write", "/data/x")(full).failure("no log");
        assert_eq!(failure.why, "could not write /data/x: no storage space");
    }
}
