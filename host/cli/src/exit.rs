//! Exit codes, and the error that carries one.

use windlass_model::Failure;
use windlass_model::failure::Fault;

/// How a command ended. The numbers are a promise; `windlass --help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// The deployment failed, or what was asked for was tried and did not work.
    Failed = 1,
    /// The command line is not understood.
    Usage = 2,
    /// The host could not be reached, or could not answer.
    Unreachable = 3,
    /// The token is missing, wrong or unreadable, or may not do this.
    Unauthorized = 4,
    /// There is no such project, environment, deployment, ...
    NotFound = 5,
    /// Refused because of the present state: it exists already, it can no longer be cancelled, ...
    Refused = 6,
    /// What was given is not valid: a name, a file, the source, `windlass.toml`.
    BadInput = 7,
    /// Interrupted with Ctrl-C. A deployment that was waited for goes on.
    Interrupted = 130,
    /// What `exec` and `run` ran ended with this status.
    Command(u8) = 255,
}

impl Exit {
    /// The number that the process ends with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Unauthorized => 4,
            Self::NotFound => 5,
            Self::Refused => 6,
            Self::BadInput => 7,
            Self::Interrupted => 130,
            Self::Command(status) => status,
        }
    }

    /// The code for the exit status of a command on the host.
    pub fn of_command(status: u32) -> Self {
        match status {
            0 => Self::Ok,
            status => Self::Command(u8::try_from(status).unwrap_or(u8::MAX)),
        }
    }

    /// The code for an answer of the host that is not a success.
    pub const fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Unauthorized,
            404 | 410 => Self::NotFound,
            409 | 412 | 423 | 429 => Self::Refused,
            400..=499 => Self::BadInput,
            _ => Self::Unreachable,
        }
    }
}

/// Text for the end of `windlass --help`.
pub const HELP: &str = "\
Exit codes:
    0  done
    1  the deployment failed, or what was asked for was tried and did not work
    2  the command line is not understood
    3  the host could not be reached, or could not answer
    4  the token is missing, wrong or unreadable, or may not do this
    5  no such project, environment, deployment, ...
    6  refused because of the present state
    7  bad input: a name, a file, the source, windlass.toml
  130  interrupted; a deployment that was waited for goes on
exec and run pass on the exit code of their command.";

/// Why a command ended badly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{failure}")]
pub struct CliError {
    /// What, why, how to fix it.
    pub failure: Failure,
    /// The exit code.
    pub exit: Exit,
}

impl CliError {
    /// An error with its exit code.
    pub fn new(
        exit: Exit,
        code: &str,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Box<Self> {
        Box::new(Self { failure: Failure::app(code, what, why, fix), exit })
    }

    /// What was given is not valid.
    pub fn bad_input(
        code: &str,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Box<Self> {
        Self::new(Exit::BadInput, code, what, why, fix)
    }

    /// A role of this machine failed: the application's fault is bad input, anything else a failure.
    pub fn of_role(failure: Failure) -> Box<Self> {
        let exit = match failure.fault {
            Fault::App => Exit::BadInput,
            Fault::Plugin(_) | Fault::Host => Exit::Failed,
        };
        Box::new(Self { failure, exit })
    }
}

/// What a verb returns. The error is boxed: it is large and rare.
pub type CliResult<T> = Result<T, Box<CliError>>;
