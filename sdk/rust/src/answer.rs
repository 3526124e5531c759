//! Short ways to write answers: constructors for the contract's records.

use crate::plan::{
    BuildPlan, CacheMount, Copy, Mount, Op, Origin, Place, Run, RunConfig, Sharing, Step,
};
use crate::{Context, DetectReport, Detection, Evidence, NearMiss, PluginError, Toolchain};

impl PluginError {
    /// A failure on purpose. `code` is stable and dot-separated: `node.lockfile-missing`.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), hint: None, retryable: false }
    }

    /// The same, with what the person can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, said to be worth another try: the host does not cache it.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }
}

impl Toolchain {
    /// A toolchain and its requirement; `""` is the default version.
    pub fn new(name: impl Into<String>, requirement: impl Into<String>) -> Self {
        Self { name: name.into(), requirement: requirement.into() }
    }
}

impl Evidence {
    /// A sign in a file; `detail` may be empty.
    pub fn new(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { path: path.into(), detail: detail.into() }
    }
}

impl Context {
    /// A context that says nothing: `linux/amd64`, the source's root, no settings.
    pub fn empty() -> Self {
        Self {
            platform: "linux/amd64".to_owned(),
            app_dir: String::new(),
            config_json: "{}".to_owned(),
            options_json: "{}".to_owned(),
            variable_names: Vec::new(),
            services: Vec::new(),
            previous_toolchains: Vec::new(),
        }
    }

    /// The settings in it, see [`crate::config::Settings`].
    ///
    /// # Errors
    /// Code `settings.invalid` if the JSON is not of the documented shape.
    pub fn settings(&self) -> Result<crate::config::Settings, PluginError> {
        crate::config::Settings::of(self)
    }

    /// What was set for this plugin, or for this custom stage.
    ///
    /// # Errors
    /// Code `options.invalid` if it is not of the shape that the plugin takes.
    pub fn options<T: serde::de::DeserializeOwned>(&self) -> Result<T, PluginError> {
        let text = self.options_json.trim();
        let text = if text.is_empty() { "{}" } else { text };
        serde_json::from_str(text).map_err(|error| {
            PluginError::new("options.invalid", format!("the options do not read: {error}"))
                .hint("compare them with what `windlass plugin show` says there is to set")
        })
    }
}

impl Detection {
    /// A detection with confidence 0; see the bands in `wit/README.md`.
    pub fn new(
        id: impl Into<String>,
        name: impl Into<String>,
        ecosystem: impl Into<String>,
    ) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            ecosystem: ecosystem.into(),
            toolchains: Vec::new(),
            confidence: 0,
            evidence: Vec::new(),
            supersedes: Vec::new(),
            app_dir: None,
            notes_json: String::new(),
            refusal: None,
        }
    }

    /// How sure: 0 to 100.
    #[must_use]
    pub fn confidence(mut self, confidence: u8) -> Self {
        self.confidence = confidence.min(100);
        self
    }

    /// One toolchain more.
    #[must_use]
    pub fn toolchain(mut self, name: impl Into<String>, requirement: impl Into<String>) -> Self {
        self.toolchains.push(Toolchain::new(name, requirement));
        self
    }

    /// One sign more; `detail` may be empty.
    #[must_use]
    pub fn evidence(mut self, path: impl Into<String>, detail: impl Into<String>) -> Self {
        self.evidence.push(Evidence::new(path, detail));
        self
    }

    /// One id more that this one is a special case of.
    #[must_use]
    pub fn supersedes(mut self, id: impl Into<String>) -> Self {
        self.supersedes.push(id.into());
        self
    }

    /// The application's folder from the source's root, where it is not that of the context: the member of a
    /// workspace that was chosen.
    #[must_use]
    pub fn app_dir(mut self, app_dir: impl Into<String>) -> Self {
        self.app_dir = Some(app_dir.into());
        self
    }

    /// Notes for the builder of the same plugin, read back with [`Detection::notes`].
    #[must_use]
    pub fn with_notes<T: serde::Serialize>(mut self, notes: &T) -> Self {
        self.notes_json = serde_json::to_string(notes).unwrap_or_default();
        self
    }

    /// Recognised, but it cannot be built, for this reason.
    #[must_use]
    pub fn refuse(mut self, why: PluginError) -> Self {
        self.refusal = Some(why);
        self
    }

    /// The notes of [`Detection::with_notes`].
    ///
    /// # Errors
    /// Code `notes.invalid` if they were written by something else.
    pub fn notes<T: serde::de::DeserializeOwned>(&self) -> Result<T, PluginError> {
        serde_json::from_str(&self.notes_json).map_err(|error| {
            PluginError::new(
                "notes.invalid",
                format!("the notes of {} do not read: {error}", self.id),
            )
        })
    }
}

impl From<Detection> for DetectReport {
    fn from(one: Detection) -> Self {
        Self { detections: vec![one], near_misses: Vec::new() }
    }
}

impl DetectReport {
    /// Nothing matched, and nothing nearly did.
    pub fn nothing() -> Self {
        Self { detections: Vec::new(), near_misses: Vec::new() }
    }

    /// Nothing matched; this nearly did.
    pub fn near_miss(id: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            detections: Vec::new(),
            near_misses: vec![NearMiss { id: id.into(), reason: reason.into() }],
        }
    }
}

impl Step {
    /// A step without operations, in `/app`, as root.
    pub fn new(id: impl Into<String>, name: impl Into<String>, base: crate::plan::Base) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            base,
            env: Vec::new(),
            cwd: "/app".to_owned(),
            user: String::new(),
            ops: Vec::new(),
        }
    }

    /// One operation more.
    #[must_use]
    pub fn op(mut self, op: impl Into<Op>) -> Self {
        self.ops.push(op.into());
        self
    }

    /// One variable more for its commands.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
}

impl Run {
    /// A command; no shell is implied, no network, no mounts.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            cwd: None,
            user: None,
            network: false,
            mounts: Vec::new(),
            timeout_ms: None,
        }
    }

    /// A line for `/bin/sh -c`, for commands that people wrote.
    pub fn shell(line: impl Into<String>) -> Self {
        Self::new(["/bin/sh".to_owned(), "-c".to_owned(), line.into()])
    }

    /// With the network.
    #[must_use]
    pub fn network(mut self) -> Self {
        self.network = true;
        self
    }

    /// One mount more.
    #[must_use]
    pub fn mount(mut self, mount: Mount) -> Self {
        self.mounts.push(mount);
        self
    }

    /// With a cache of the project at this absolute path; used by one build at a time.
    #[must_use]
    pub fn cache(self, id: impl Into<String>, target: impl Into<String>) -> Self {
        let (id, target) = (id.into(), target.into());
        self.mount(Mount::Cache(CacheMount { id, target, sharing: Sharing::Locked }))
    }

    /// One variable more.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
}

impl Copy {
    /// From the source: globs relative to the application's folder.
    pub fn source<S: Into<String>>(
        sources: impl IntoIterator<Item = S>,
        dest: impl Into<String>,
    ) -> Self {
        Self {
            origin: Origin::Source,
            sources: sources.into_iter().map(Into::into).collect(),
            exclude: Vec::new(),
            dest: dest.into(),
            chown: None,
            chmod: None,
            parents: false,
        }
    }

    /// From the result of another step.
    pub fn step<S: Into<String>>(
        step: impl Into<String>,
        sources: impl IntoIterator<Item = S>,
        dest: impl Into<String>,
    ) -> Self {
        Self { origin: Origin::Step(step.into()), ..Self::source(sources, dest) }
    }

    /// Without what matches these globs.
    #[must_use]
    pub fn exclude<S: Into<String>>(mut self, globs: impl IntoIterator<Item = S>) -> Self {
        self.exclude.extend(globs.into_iter().map(Into::into));
        self
    }

    /// Keeping the path of each match below the destination.
    #[must_use]
    pub fn parents(mut self) -> Self {
        self.parents = true;
        self
    }
}

impl From<Run> for Op {
    fn from(run: Run) -> Self {
        Self::Run(run)
    }
}

impl From<Place> for Op {
    fn from(place: Place) -> Self {
        Self::Place(place)
    }
}

impl From<Copy> for Op {
    fn from(copy: Copy) -> Self {
        Self::Copy(copy)
    }
}

impl RunConfig {
    /// Runs in `/app`, as root, with nothing set.
    pub fn new() -> Self {
        Self {
            entrypoint: Vec::new(),
            cmd: Vec::new(),
            env: Vec::new(),
            user: String::new(),
            cwd: "/app".to_owned(),
            exposed: Vec::new(),
            volumes: Vec::new(),
            labels: Vec::new(),
            stop_signal: None,
            ports: Vec::new(),
            shell: Vec::new(),
            onbuild: Vec::new(),
            health: None,
            author: None,
            whole: false,
        }
    }
}

impl Default for RunConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl BuildPlan {
    /// A plan without steps.
    pub fn new() -> Self {
        Self {
            steps: Vec::new(),
            outputs: Vec::new(),
            processes: Vec::new(),
            toolchains: Vec::new(),
        }
    }
}

impl Default for BuildPlan {
    fn default() -> Self {
        Self::new()
    }
}
