//! What a [`Custom`](crate::Custom) stage sees and answers.
//!
//! ```
//! use windlass_sdk::custom::{Facts, Input, Outcome};
//! use windlass_sdk::{Context, Custom, PluginError, Source, annotations};
//!
//! struct Licences;
//!
//! impl Custom for Licences {
//!     fn run(
//!         _stage: &str,
//!         _ctx: &Context,
//!         source: &Source,
//!         facts: &Facts,
//!         _inputs: &[Input],
//!     ) -> Result<Outcome, PluginError> {
//!         if source.exists("LICENSE") {
//!             return Ok(Outcome::done("the source has a licence"));
//!         }
//!         annotations::set("licence", &format!("#{} has none", facts.number));
//!         Ok(Outcome::skipped("there is no LICENSE to look at"))
//!     }
//! }
//!
//! windlass_sdk::export! {
//!     Licences: [custom],
//!     name: "licences",
//!     summary: "Says whether the source has a licence",
//!     capabilities: [
//!         { name: "source", paths: ["LICENSE"], reason: "looks for the file" },
//!         { name: "annotations", reason: "says what it found" },
//!     ],
//!     custom: [
//!         { name: "check", hooks: ["after-fetch"], summary: "Looks for a licence" },
//!     ],
//! }
//!
//! // Natively, with a mock of everything that a host would grant:
//! let folder = tempfile::tempdir().unwrap();
//! let harness = windlass_sdk::testing::Harness::new(folder.path());
//! let ran = harness.custom::<Licences>("check", &Facts::empty(), &[]);
//! assert!(ran.result.unwrap().skipped);
//! assert_eq!(ran.annotations[0].value, "#1 has none");
//! ```

use crate::PluginError;

pub use crate::bindings::custom::exports::windlass::custom::custom::{
    Facts, Failure, Hook, Input, Outcome, Output, OutputKind, Overlap, Process, Schedule, State,
    Withheld,
};

impl Outcome {
    /// It was done; one line says what came of it.
    pub fn done(summary: impl Into<String>) -> Self {
        Self {
            skipped: false,
            summary: summary.into(),
            outputs_json: String::new(),
            schedules: Vec::new(),
            withheld: Vec::new(),
        }
    }

    /// There was nothing to do, for this reason.
    pub fn skipped(why: impl Into<String>) -> Self {
        Self { skipped: true, ..Self::done(why) }
    }

    /// The same, with what stages that need this one get: an object.
    #[must_use]
    pub fn with_outputs<T: serde::Serialize>(mut self, outputs: &T) -> Self {
        self.outputs_json = serde_json::to_string(outputs).unwrap_or_default();
        self
    }

    /// The same, with a command that the host runs at its times while this version is live; at `after-build`.
    #[must_use]
    pub fn with_schedule(mut self, schedule: Schedule) -> Self {
        self.schedules.push(schedule);
        self
    }

    /// The same, with files of a static tree that are not served, by globs from its root; at `after-build`.
    #[must_use]
    pub fn withholding<P: Into<String>>(
        mut self,
        output: impl Into<String>,
        paths: impl IntoIterator<Item = P>,
    ) -> Self {
        let paths = paths.into_iter().map(Into::into).collect();
        self.withheld.push(Withheld { output: output.into(), paths });
        self
    }
}

impl Schedule {
    /// A command at the times of a cron expression in UTC, in what the web process runs in. A run is left out
    /// while the one before goes on, and takes as long as the host allows.
    pub fn new<A: Into<String>>(
        name: impl Into<String>,
        cron: impl Into<String>,
        argv: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            name: name.into(),
            cron: cron.into(),
            timezone: None,
            argv: argv.into_iter().map(Into::into).collect(),
            process: None,
            overlap: Overlap::Skip,
            timeout_ms: 0,
        }
    }

    /// The same, in a time zone: `Europe/Vienna`.
    #[must_use]
    pub fn timezone(mut self, name: impl Into<String>) -> Self {
        self.timezone = Some(name.into());
        self
    }

    /// The same, in what another process runs in.
    #[must_use]
    pub fn process(mut self, name: impl Into<String>) -> Self {
        self.process = Some(name.into());
        self
    }

    /// The same, where a run's time comes while the one before goes on.
    #[must_use]
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// The same, with an end for a run that takes longer.
    #[must_use]
    pub fn timeout_ms(mut self, timeout_ms: u32) -> Self {
        self.timeout_ms = timeout_ms;
        self
    }
}

impl Input {
    /// What the other stage has answered.
    ///
    /// # Errors
    /// Code `inputs.invalid` if it is of another shape.
    pub fn outputs<T: serde::de::DeserializeOwned>(&self) -> Result<T, PluginError> {
        let text = if self.outputs_json.is_empty() { "{}" } else { &self.outputs_json };
        serde_json::from_str(text).map_err(|error| {
            let (name, plugin, stage) = (&self.name, &self.plugin, &self.stage);
            let what = format!("{name} of {plugin}.{stage} does not read: {error}");
            PluginError::new("inputs.invalid", what)
        })
    }
}

impl Facts {
    /// Deployment #1 of the project `app`, at its first hook, of which nothing else is known: for tests.
    pub fn empty() -> Self {
        Self {
            hook: Hook::AfterFetch,
            attempt: 1,
            project: "app".to_owned(),
            environment: "production".to_owned(),
            deployment: "01j00000000000000000000000".to_owned(),
            number: 1,
            actor: "test".to_owned(),
            state: State::Running,
            failure: None,
            commit: None,
            commit_subject: None,
            commit_author: None,
            detected: None,
            outputs: Vec::new(),
            processes: Vec::new(),
            urls: Vec::new(),
            previous_number: None,
            previous_commit: None,
            variables: Vec::new(),
        }
    }

    /// The value of a variable that was granted and is not secret.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}
