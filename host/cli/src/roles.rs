//! What runs on this machine itself. The binary implements [`Roles`]; the command line only parses
//! and prints.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Serialize;
pub use windlass_model::ahead::{DetectOutput, DetectorAnswer, PlanOutput};
use windlass_model::author::{
    Answers, AskPlugin, Bench, BenchPlugin, Built, Checked, Created, IndexPlugin, Indexed,
    NewPlugin, PublishPlugin, Published, TestPlugin, Tested,
};
use windlass_model::plugin::Manifest;
use windlass_model::recovery::{BackupView, RecoverReport, RestoreReport};
use windlass_model::{EnvironmentName, Failure, HostId, Limits, Secret};

/// How log lines of a role are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Plain,
    /// One JSON object a line.
    Json,
}

/// What `windlass serve` is started with.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Where the API listens.
    pub api_listen: SocketAddr,
    /// Socket of an existing containerd; Windlass runs its own when absent.
    pub containerd: Option<PathBuf>,
    /// Where the proxy listens; empty means port 80, or 8080 when that is taken or not permitted.
    pub proxy_listen: Vec<SocketAddr>,
    /// Proxies in front of ours that are believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Folder of the plugins that came with Windlass; beside the binary when absent.
    pub plugins_dir: Option<PathBuf>,
    /// Folder of assembled base images that several hosts on a machine may share.
    pub base_cache_dir: Option<PathBuf>,
    /// Mirrors of registries, each `REGISTRY=ADDRESS`.
    pub registry_mirrors: Vec<String>,
    /// The limits in force.
    pub limits: Limits,
    /// How its log is written.
    pub log_format: LogFormat,
}

/// What `windlass proxy` is started with.
#[derive(Debug, Clone)]
pub struct ProxyOptions {
    /// The control socket.
    pub control_socket: PathBuf,
    /// The file that keeps the last table.
    pub table_file: PathBuf,
    /// Where visitors are accepted; empty means port 80, or 8080.
    pub listen: Vec<SocketAddr>,
    /// Proxies in front of this one that are believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// How its log is written.
    pub log_format: LogFormat,
}

/// What `windlass detect`, `plan` and `init` look at.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// The source's root.
    pub path: PathBuf,
    /// The environment whose settings apply.
    pub environment: EnvironmentName,
    /// Whether `windlass.toml` is left out of account: it is about to be replaced.
    pub without_settings: bool,
    /// Overrides `build.app_dir`.
    pub app_dir: Option<String>,
    /// Overrides `build.framework`.
    pub framework: Option<String>,
    /// Folder of the plugins that came with Windlass; beside the binary when absent.
    pub plugins_dir: Option<PathBuf>,
    /// The data directory, for installed plugins.
    pub data_dir: PathBuf,
}

/// State of one part that the host needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// There, and in force.
    Ok,
    /// Works, with less.
    Warning,
    /// Missing.
    Missing,
}

/// One line of `windlass doctor`.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// The part.
    pub name: String,
    /// How it stands.
    pub state: CheckState,
    /// Version, path, or what is in force.
    pub found: String,
    /// What to do about it; empty when nothing is.
    pub fix: String,
}

/// What `windlass doctor` looks at.
#[derive(Debug, Clone)]
pub struct DoctorOptions {
    /// The data directory.
    pub data_dir: PathBuf,
    /// Socket of an existing containerd; the installed binaries when absent.
    pub containerd: Option<PathBuf>,
    /// Folder of the plugins that came with Windlass; beside the binary when absent.
    pub plugins_dir: Option<PathBuf>,
}

/// Where the plugins of this machine are.
#[derive(Debug, Clone)]
pub struct PluginFolders {
    /// The data directory, for installed plugins.
    pub data_dir: PathBuf,
    /// Folder of the plugins that came with Windlass; beside the binary when absent.
    pub plugins_dir: Option<PathBuf>,
}

/// What `windlass teardown` stops.
#[derive(Debug, Clone)]
pub struct TeardownOptions {
    /// The data directory.
    pub data_dir: PathBuf,
    /// Socket of the containerd that was given; the own one when absent.
    pub containerd: Option<PathBuf>,
}

/// What `windlass recover` rebuilds, and how.
#[derive(Debug, Clone)]
pub struct RecoverOptions {
    /// The data directory.
    pub data_dir: PathBuf,
    /// Socket of the containerd that was given; the own one when absent.
    pub containerd: Option<PathBuf>,
    /// The host's id, where the data directory does not say it.
    pub host: Option<HostId>,
    /// This backup instead of the newest.
    pub backup: Option<PathBuf>,
    /// No backup.
    pub without_backup: bool,
    /// Change nothing.
    pub dry_run: bool,
}

/// What `windlass restore` puts back, and where.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// The data directory.
    pub data_dir: PathBuf,
    /// The backup.
    pub backup: PathBuf,
    /// Opens its key.
    pub passphrase: Option<Secret<String>>,
    /// Leaves the volumes as they are.
    pub without_volumes: bool,
}

/// What the binary can be, besides a client.
pub trait Roles {
    /// Runs the control plane until it is told to stop.
    ///
    /// # Errors
    /// When it cannot start, or ends because of an error.
    fn serve(&self, options: ServeOptions) -> Result<(), Failure>;

    /// Runs the data plane until it is told to stop.
    ///
    /// # Errors
    /// When it cannot start, or ends because of an error.
    fn proxy(&self, options: ProxyOptions) -> Result<(), Failure>;

    /// Says what a folder is. That nothing was recognised is part of the output, not an error.
    ///
    /// # Errors
    /// When the folder, its settings or the plugins cannot be read.
    fn detect(&self, options: &LocalOptions) -> Result<DetectOutput, Failure>;

    /// Says how a folder would be built.
    ///
    /// # Errors
    /// As [`Roles::detect`], and when nothing is recognised or its plugin makes no valid plan.
    fn plan(&self, options: &LocalOptions) -> Result<PlanOutput, Failure>;

    /// Looks at every part that a host needs.
    ///
    /// # Errors
    /// Only when it cannot look at all.
    fn doctor(&self, options: &DoctorOptions) -> Result<Vec<Check>, Failure>;

    /// The manifests of the plugins of this machine, for the failure codes that are theirs. A plugin
    /// that cannot be read is left out.
    ///
    /// # Errors
    /// Only when it cannot look at all.
    fn manifests(&self, options: &PluginFolders) -> Result<Vec<Manifest>, Failure>;

    /// Stops everything of a host, and removes what it has outside its data directory.
    ///
    /// # Errors
    /// While `windlass serve` runs, or when something could not be removed.
    fn teardown(&self, options: TeardownOptions) -> Result<(), Failure>;

    /// Rebuilds a host's lost state from what runs.
    ///
    /// # Errors
    /// When it is not lost, `windlass serve` runs, or something could not be read.
    fn recover(&self, options: RecoverOptions) -> Result<RecoverReport, Failure>;

    /// Puts a backup in the place of a host's state.
    ///
    /// # Errors
    /// While `windlass serve` runs, or when the backup cannot be used.
    fn restore(&self, options: RestoreOptions) -> Result<RestoreReport, Failure>;

    /// Reads a backup as a whole.
    ///
    /// # Errors
    /// When it is not exactly what was written.
    fn verify_backup(&self, backup: &Path) -> Result<BackupView, Failure>;

    /// What authors of plugins do.
    fn authoring(&self) -> &dyn Authoring;
}

/// What authors of plugins do on their machine, without a host.
pub trait Authoring {
    /// Makes a folder for a new plugin.
    ///
    /// # Errors
    /// When there is no such template, or the folder cannot be made.
    fn new_plugin(&self, request: &NewPlugin) -> Result<Created, Failure>;

    /// Builds the plugin of a folder with its language's tools.
    ///
    /// # Errors
    /// When a tool is missing or fails.
    fn build_plugin(&self, folder: &Path) -> Result<Built, Failure>;

    /// The component of a path: itself, or the one that was built in this folder.
    ///
    /// # Errors
    /// When there is none, or more than one.
    fn find_component(&self, plugin: &Path) -> Result<PathBuf, Failure>;

    /// Looks whether a component, or the one that was built in a folder, is a plugin that runs here.
    ///
    /// # Errors
    /// When it is none, with what does not fit.
    fn check_plugin(&self, plugin: &Path) -> Result<Checked, Failure>;

    /// Plays the fixtures of a plugin. That some differ is part of the output.
    ///
    /// # Errors
    /// When there are none, or no component that could be asked.
    fn test_plugin(&self, request: &TestPlugin) -> Result<Tested, Failure>;

    /// Asks a component about one source. That it refuses or fails is part of the output.
    ///
    /// # Errors
    /// When component or source cannot be read.
    fn run_plugin(&self, request: &AskPlugin) -> Result<Answers, Failure>;

    /// Measures a component.
    ///
    /// # Errors
    /// As [`Authoring::run_plugin`], and when a call fails.
    fn bench_plugin(&self, request: &BenchPlugin) -> Result<Bench, Failure>;

    /// Pushes a component to an image registry, after it was looked at as [`Authoring::check_plugin`] does.
    ///
    /// # Errors
    /// As [`Authoring::check_plugin`], and those of the registry.
    fn publish_plugin(&self, request: &PublishPlugin) -> Result<Published, Failure>;

    /// Writes a plugin into the file of an index.
    ///
    /// # Errors
    /// As [`Authoring::check_plugin`], and when the file is no index or cannot be written.
    fn index_plugin(&self, request: &IndexPlugin) -> Result<Indexed, Failure>;
}
