//! Runs a plugin's logic on a folder, natively: the same code as in the component, without
//! WebAssembly, with the host's rules for reading the source.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::health::{Observation, Policy, Process, Verdict};
use crate::images::ImageConfig;
use crate::log::Level;
use crate::plan::BuildPlan;
use crate::{
    Builder, Context, DetectReport, Detection, Detector, Health, Migration, Migrator, PluginError,
    Source,
};

/// A folder and the context that a plugin gets with it.
///
/// ```
/// # use windlass_sdk::testing::Harness;
/// let folder = tempfile::tempdir().unwrap();
/// let harness = Harness::new(folder.path())
///     .app_dir("apps/web")
///     .settings(r#"{"run":{"port":8080}}"#)
///     .variables(["DATABASE_URL"]);
/// assert_eq!(harness.context.app_dir, "apps/web");
/// ```
#[derive(Debug, Clone)]
pub struct Harness {
    folder: PathBuf,
    images: BTreeMap<String, ImageConfig>,
    /// What the plugin is told; change it at will.
    pub context: Context,
}

/// Lines that a call wrote, in order.
pub type Log = Vec<(Level, String)>;

impl Harness {
    /// A harness for a folder with an empty context.
    pub fn new(folder: impl AsRef<Path>) -> Self {
        let folder = folder.as_ref().to_owned();
        Self { folder, images: BTreeMap::new(), context: Context::empty() }
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
