//! Runs a plugin's logic on a folder, natively: the same code as in the component, without
//! WebAssembly, with the host's rules for reading the source.
//!
//! [`Harness`] is the folder and what the plugin is told; [`App`] asks one plugin about it, and panics
//! where something is not as a test expects it.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::annotations::Annotation;
use crate::artifacts::Artifact;
use crate::custom::{Facts, Input, Outcome};
use crate::exec::{Command, ExecError, Exit};
use crate::health::{Observation, Policy, Process, Verdict};
use crate::http::{HttpError, Request, Response};
use crate::images::ImageConfig;
use crate::log::Level;
use crate::mock::Answers;
use crate::plan::BuildPlan;
use crate::{
    Builder, Context, Custom, DetectReport, Detection, Detector, Health, Migration, Migrator,
    PluginError, Source,
};

/// A folder and the context that a plugin gets with it.
///
/// ```
/// # use windlass_sdk::testing::Harness;
/// let harness = Harness::with_files(&[("apps/web/app.json", "{}")])
///     .app_dir("apps/web")
///     .settings(r#"{"run":{"port":8080}}"#)
///     .variables(["DATABASE_URL"]);
/// assert_eq!(harness.context.app_dir, "apps/web");
/// ```
#[derive(Debug, Clone)]
pub struct Harness {
    folder: PathBuf,
    /// The folder, if it goes with the harness.
    _temporary: Option<Arc<tempfile::TempDir>>,
    images: BTreeMap<String, ImageConfig>,
    granted: Answers,
    /// What the plugin is told; change it at will.
    pub context: Context,
}

/// Lines that a call wrote, in order.
pub type Log = Vec<(Level, String)>;

impl Harness {
    /// A harness for a folder with an empty context.
    pub fn new(folder: impl AsRef<Path>) -> Self {
        let folder = folder.as_ref().to_owned();
        Self {
            folder,
            _temporary: None,
            images: BTreeMap::new(),
            granted: Answers::default(),
            context: Context::empty(),
        }
    }

    /// A harness for a new folder with these files, path and text of each. The folder goes with the last
    /// clone of the harness.
    ///
    /// # Panics
    /// When the files cannot be written.
    pub fn with_files(files: &[(&str, &str)]) -> Self {
        match write(files) {
            Ok(folder) => {
                let harness = Self::new(folder.path());
                Self { _temporary: Some(Arc::new(folder)), ..harness }
            }
            Err(error) => panic!("the files of a test cannot be written: {error}"),
        }
    }

    /// The folder: the source's root.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The application lies in this folder of the source.
    #[must_use]
    pub fn app_dir(mut self, app_dir: &str) -> Self {
        app_dir.clone_into(&mut self.context.app_dir);
        self
    }

    /// The settings, as JSON in the documented shape.
    #[must_use]
    pub fn settings(mut self, json: &str) -> Self {
        json.clone_into(&mut self.context.config_json);
        self
    }

    /// Names of variables that the environment has.
    #[must_use]
    pub fn variables<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.context.variable_names.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// An image that [`crate::images::config`] finds under this name.
    #[must_use]
    pub fn image(mut self, reference: &str, config: ImageConfig) -> Self {
        self.images.insert(reference.to_owned(), config);
        self
    }

    /// What was set for the plugin, as JSON.
    #[must_use]
    pub fn options(mut self, json: &str) -> Self {
        json.clone_into(&mut self.context.options_json);
        self
    }

    /// A command whose line begins so is answered so; see [`ended`]. Other commands are denied.
    #[must_use]
    pub fn command<const N: usize>(
        mut self,
        begin: [&str; N],
        answer: Result<Exit, ExecError>,
    ) -> Self {
        let begin = begin.iter().map(|word| (*word).to_owned()).collect();
        self.granted.commands.push((begin, answer));
        self
    }

    /// A request of this method whose URL begins so is answered so; see [`answered`]. Others are denied.
    #[must_use]
    pub fn request(mut self, method: &str, url: &str, answer: Result<Response, HttpError>) -> Self {
        self.granted.requests.push((method.to_owned(), url.to_owned(), answer));
        self
    }

    /// The plugin's cache holds this.
    #[must_use]
    pub fn cached(mut self, key: &str, value: impl Into<Vec<u8>>) -> Self {
        self.granted.cache.insert(key.to_owned(), value.into());
        self
    }

    /// The capability of this name (`exec`, `http`, `artifacts`, `cache`, `annotations`) was not granted.
    #[must_use]
    pub fn deny(mut self, capability: &str) -> Self {
        self.granted.denied.insert(capability.to_owned());
        self
    }

    /// [`Custom::run`], with what it has done besides.
    pub fn custom<P: Custom>(&self, stage: &str, facts: &Facts, inputs: &[Input]) -> Ran {
        let work = || self.run(|source| P::run(stage, &self.context, source, facts, inputs));
        let ((result, log), done) = crate::mock::with(self.granted.clone(), work);
        Ran {
            result,
            log,
            artifacts: done.artifacts,
            annotations: done.annotations,
            commands: done.commands,
            requests: done.requests,
            cache: done.cache,
        }
    }

    /// [`Detector::detect`]
    ///
    /// # Errors
    /// What the plugin returns.
    pub fn detect<P: Detector>(&self) -> Result<DetectReport, PluginError> {
        self.run(|source| P::detect(&self.context, source)).0
    }

    /// [`Builder::plan`]
    ///
    /// # Errors
    /// What the plugin returns.
    pub fn plan<P: Builder>(&self, chosen: &Detection) -> Result<BuildPlan, PluginError> {
        self.run(|source| P::plan(&self.context, source, chosen)).0
    }

    /// [`Detector::detect`], then [`Builder::plan`] for the strongest detection.
    ///
    /// # Errors
    /// What the plugin returns; code `test.nothing-detected` if nothing was.
    pub fn detect_and_plan<P: Detector + Builder>(
        &self,
    ) -> Result<(Detection, BuildPlan), PluginError> {
        let report = self.detect::<P>()?;
        let chosen = report.detections.into_iter().max_by_key(|one| one.confidence);
        let chosen = chosen.ok_or_else(|| {
            PluginError::new("test.nothing-detected", "no detection was returned")
        })?;
        let plan = self.plan::<P>(&chosen)?;
        Ok((chosen, plan))
    }

    /// [`Migrator::plan`]
    ///
    /// # Errors
    /// What the plugin returns.
    pub fn migrations<P: Migrator>(
        &self,
        chosen: &Detection,
        outputs: &[&str],
    ) -> Result<Vec<Migration>, PluginError> {
        let outputs: Vec<String> = outputs.iter().map(|&name| name.to_owned()).collect();
        self.run(|source| P::plan(&self.context, source, chosen, &outputs)).0
    }

    /// [`Health::policy_for`]
    ///
    /// # Errors
    /// What the plugin returns.
    pub fn policy<P: Health>(
        &self,
        chosen: &Detection,
        processes: &[Process],
    ) -> Result<Policy, PluginError> {
        self.run(|source| P::policy_for(&self.context, source, chosen, processes)).0
    }

    /// [`Health::judge`]
    ///
    /// # Errors
    /// What the plugin returns.
    pub fn judge<P: Health>(
        &self,
        policy: &Policy,
        seen: &[Observation],
    ) -> Result<Verdict, PluginError> {
        self.run(|_| P::judge(&self.context, policy, seen)).0
    }

    /// Runs anything that reads a [`Source`] on the folder; gives its log lines too.
    pub fn run<T>(&self, f: impl FnOnce(&Source) -> T) -> (T, Log) {
        let source = Source::of(&self.context);
        crate::native::set_images(self.images.clone());
        crate::native::with_root(&self.folder, || f(&source))
    }
}

fn write(files: &[(&str, &str)]) -> std::io::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
        std::fs::write(path, text)?;
    }
    Ok(folder)
}

/// An application and the plugin that is asked about it.
///
/// ```
/// # use windlass_sdk::{Context, DetectReport, Detection, Detector, PluginError, Source};
/// # use windlass_sdk::testing::App;
/// struct Hugo;
///
/// impl Detector for Hugo {
///     fn detect(_: &Context, source: &Source) -> Result<DetectReport, PluginError> {
///         if !source.exists("hugo.toml") {
///             return Ok(DetectReport::near_miss("hugo", "there is no hugo.toml"));
///         }
///         Ok(Detection::new("hugo", "Hugo", "static").confidence(90).into())
///     }
/// }
///
/// assert_eq!(App::<Hugo>::new(&[("hugo.toml", "")]).found().id, "hugo");
/// assert_eq!(App::<Hugo>::new(&[]).nothing(), "there is no hugo.toml");
/// ```
#[derive(Debug)]
pub struct App<P> {
    /// The application, and what the plugin is told.
    pub harness: Harness,
    plugin: PhantomData<P>,
}

impl<P> App<P> {
    /// An application of these files, path and text of each: see [`Harness::with_files`].
    ///
    /// # Panics
    /// When the files cannot be written.
    pub fn new(files: &[(&str, &str)]) -> Self {
        Self { harness: Harness::with_files(files), plugin: PhantomData }
    }

    /// The same application with these settings: see [`Harness::settings`].
    #[must_use]
    pub fn settings(mut self, json: &str) -> Self {
        self.harness = self.harness.settings(json);
        self
    }
}

impl<P: Detector> App<P> {
    /// [`Detector::detect`]
    ///
    /// # Panics
    /// When the plugin fails.
    #[track_caller]
    pub fn detect(&self) -> DetectReport {
        succeeded(self.harness.detect::<P>())
    }

    /// The first detection.
    ///
    /// # Panics
    /// When there is none, with the near misses.
    #[track_caller]
    pub fn found(&self) -> Detection {
        let report = self.detect();
        let none = || panic!("nothing was detected: {:?}", report.near_misses);
        report.detections.into_iter().next().unwrap_or_else(none)
    }

    /// The first detection, which can be built.
    ///
    /// # Panics
    /// When there is none, it is refused, or it names no sign or no toolchain.
    #[track_caller]
    pub fn buildable(&self) -> Detection {
        let found = self.found();
        assert_eq!(found.refusal, None, "{} is refused", found.id);
        assert!(!found.evidence.is_empty() && !found.toolchains.is_empty(), "{found:?}");
        found
    }

    /// Why the first detection is refused.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn refusal(&self) -> PluginError {
        let found = self.found();
        found.refusal.unwrap_or_else(|| panic!("{} is not refused", found.id))
    }

    /// Why nothing was detected: the reasons of the near misses, with `; ` between them.
    ///
    /// # Panics
    /// When something was.
    #[track_caller]
    pub fn nothing(&self) -> String {
        let report = self.detect();
        assert!(report.detections.is_empty(), "{:?}", report.detections);
        report.near_misses.into_iter().map(|miss| miss.reason).collect::<Vec<_>>().join("; ")
    }
}

impl<P: Detector + Builder> App<P> {
    /// The plan for the first detection.
    ///
    /// # Panics
    /// When there is none, or the plugin fails.
    #[track_caller]
    pub fn plan(&self) -> BuildPlan {
        succeeded(self.harness.plan::<P>(&self.found()))
    }

    /// Program and arguments of the plan's first process, which is the web process if there is one.
    ///
    /// # Panics
    /// When there is no plan, or nothing is run.
    #[track_caller]
    pub fn web(&self) -> Vec<String> {
        let first = self.plan().processes.into_iter().next();
        first.unwrap_or_else(|| panic!("the plan runs nothing")).argv
    }

    /// The same as one line, with spaces between the words.
    ///
    /// # Panics
    /// As [`App::web`].
    #[track_caller]
    pub fn line(&self) -> String {
        self.web().join(" ")
    }

    /// The lines that go with the plan for the first detection.
    ///
    /// # Panics
    /// When nothing was detected.
    #[track_caller]
    pub fn log(&self) -> Log {
        let chosen = self.found();
        self.harness.run(|source| P::plan(&self.harness.context, source, &chosen)).1
    }

    /// The warnings among them.
    ///
    /// # Panics
    /// When nothing was detected.
    #[track_caller]
    pub fn warnings(&self) -> Vec<String> {
        let log = self.log();
        log.into_iter().filter(|(level, _)| *level == Level::Warn).map(|(_, line)| line).collect()
    }
}

#[track_caller]
fn succeeded<T>(answer: Result<T, PluginError>) -> T {
    answer.unwrap_or_else(|error| panic!("the plugin failed: {error:?}"))
}

/// What a custom stage returned, and what it has done.
#[derive(Debug, Clone)]
pub struct Ran {
    /// What it returned.
    pub result: Result<Outcome, PluginError>,
    /// What it said.
    pub log: Log,
    /// What it has attached, in order, with the content.
    pub artifacts: Vec<(Artifact, Vec<u8>)>,
    /// What it has noted, in order.
    pub annotations: Vec<Annotation>,
    /// The commands that it ran, in order.
    pub commands: Vec<Command>,
    /// The requests that it sent, in order; secrets are not filled in.
    pub requests: Vec<Request>,
    /// What its cache holds afterwards.
    pub cache: BTreeMap<String, Vec<u8>>,
}

/// The answer of a command that ended with this status and wrote this to standard output.
pub fn ended(code: u32, stdout: &str) -> Result<Exit, ExecError> {
    Ok(Exit {
        code,
        timed_out: false,
        out_of_memory: false,
        took_ms: 1,
        stdout_tail: stdout.as_bytes().to_vec(),
        stderr_tail: Vec::new(),
        stdout_bytes: stdout.len() as u64,
        stderr_bytes: 0,
    })
}

/// The answer of a server with this status and body.
pub fn answered(status: u16, body: impl Into<Vec<u8>>) -> Result<Response, HttpError> {
    Ok(Response { status, url: String::new(), headers: Vec::new(), body: body.into() })
}
