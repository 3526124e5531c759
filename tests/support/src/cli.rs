//! The command line, run as a person runs it.

use std::process::{Command, Output};

use serde::de::DeserializeOwned;
use windlass_model::api::{DeploymentView, ErrorBody};
use windlass_model::{DeploymentStatus, Failure, StepName, StepStatus};

/// What a command printed and how it ended.
#[derive(Debug, Clone)]
pub struct CliOutput {
    /// Exit code; -1 when it was killed by a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl CliOutput {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        Self::from(output)
    }

    /// The same, which must have ended well.
    ///
    /// # Panics
    /// When it did not.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// When it is not of this shape.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| {
            panic!("{e} in: {}\nstderr: {}\nexit code {}", self.stdout, self.stderr, self.code)
        })
    }

    /// The failure that it reported with `--json`.
    ///
    /// # Panics
    /// When it reported none.
    pub fn failure(&self) -> Failure {
        assert_ne!(self.code, 0, "it ended well: {}", self.stdout);
        self.json::<ErrorBody>().error
    }
}

impl From<Output> for CliOutput {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A deployment that was waited for.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// The command's exit code.
    pub code: i32,
    /// The deployment as `windlass deploy --json` printed it last.
    pub view: DeploymentView,
}

impl Deployed {
    /// What a deploying verb printed.
    ///
    /// # Panics
    /// When it was refused instead of accepted.
    pub fn of(output: &CliOutput) -> Self {
        Self { code: output.code, view: output.json() }
    }

    /// The same, which must be live.
    ///
    /// # Panics
    /// With the failure, when it is not.
    pub fn live(self) -> Self {
        let deployment = &self.view.deployment;
        assert_eq!(
            (deployment.status, self.code),
            (DeploymentStatus::Live, 0),
            "{:#?}\n{:#?}",
            deployment.failure,
            deployment.steps
        );
        self
    }

    /// The failure, which must have this code and be complete: cause and fix are said, and the step is
    /// the one that failed.
    ///
    /// # Panics
    /// When it is live or failed otherwise.
    pub fn failed(&self, code: &str) -> Failure {
        let deployment = &self.view.deployment;
        assert_eq!(deployment.status, DeploymentStatus::Failed, "{deployment:#?}");
        assert_eq!(self.code, 1, "the exit code of a failed deployment");
        let failure = deployment.failure.clone().unwrap();
        assert!(failure.is(code), "expected {code}: {failure:#?}");
        assert!(!failure.what.is_empty() && !failure.why.is_empty(), "{failure:#?}");
        assert!(!failure.fix.is_empty(), "{failure:#?}");
        let step = deployment.step(failure.step.unwrap()).unwrap();
        assert_eq!(step.status, StepStatus::Failed, "{failure:#?}");
        failure
    }

    /// Its number within the project.
    pub fn number(&self) -> u64 {
        self.view.deployment.number
    }

    /// How a step stands.
    pub fn step(&self, name: StepName) -> StepStatus {
        self.view.deployment.step(name).unwrap().status
    }

    /// The line that a step left.
    pub fn summary(&self, name: StepName) -> &str {
        &self.view.deployment.step(name).unwrap().summary
    }
}
