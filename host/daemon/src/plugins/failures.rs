//! What can go wrong with plugins, as people are told.

use std::path::Path;

use windlass_model::Failure;
use windlass_model::plugin::{Capability, Stage};
use windlass_sandbox::{LoadError, PluginFault};

/// A plugin that is needed is not there; `is_known` when it is, and this project does not use it or it fills
/// another stage.
pub(super) fn missing(name: &str, stage: Stage, is_known: bool) -> Failure {
    let (what, fix) = match is_known {
        true => (
            format!("the plugin {name} is not used here as a {}", stage.as_str()),
            format!(
                "see `windlass plugin show {name}`; `windlass plugin enable {name} --project NAME` if it \
                 was disabled"
            ),
        ),
        false => (
            format!("the plugin {name} is not loaded"),
            "see `windlass plugin list` for what could not be loaded and why; install the plugin, or put its \
             file back"
                .to_owned(),
        ),
    };
    let why = format!("it is needed to decide as a {}", stage.as_str());
    Failure::host("plugin.missing", what, why, fix)
}

/// A file of a folder was not loaded.
pub(super) fn not_loaded(path: &Path, error: &LoadError) -> Failure {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let what = format!("the plugin {name} was not loaded");
    Failure::plugin(name.clone(), error.code(), what, error.to_string(), error.fix())
}

/// A file is not to be installed: the fault is the file's, and who sent it is told.
pub(super) fn refused(name: &str, error: &LoadError) -> Failure {
    let what = format!("{name} cannot be installed");
    Failure::app(error.code(), what, error.to_string(), error.fix())
}

/// It compiles and does not start.
pub(super) fn does_not_start(name: &str, fault: &PluginFault) -> Failure {
    match fault {
        PluginFault::Load(error) => refused(name, error),
        PluginFault::HostFailed(why) => Failure::host(
            "host.plugin-call-failed",
            format!("the plugin {name} could not be tried"),
            why.clone(),
            "try again; look at `windlass doctor` if it happens again",
        ),
        fault => Failure::app(
            fault.code(),
            format!("{name} cannot be installed"),
            format!("it was compiled and does not start: {fault}"),
            "report it to its author",
        ),
    }
}

/// It requires what it is not granted.
pub(crate) fn not_granted(name: &str, capabilities: &[&Capability]) -> Failure {
    let kinds = kinds(capabilities);
    Failure::app(
        "plugin.not-granted",
        format!("{name} requires what it is not granted"),
        format!("it asks for {}", listed(capabilities)),
        format!(
            "if you want it to do that, grant it: `--grant {kinds}` when it is installed or upgraded, \
             `windlass plugin grant {name} {kinds}` when it is installed"
        ),
    )
}

/// An upgrade asks for more than the version before.
pub(super) fn asks_more(name: &str, more: &[Capability]) -> Failure {
    let more: Vec<&Capability> = more.iter().collect();
    let kinds = kinds(&more);
    Failure::app(
        "plugin.asks-more",
        format!("this version of {name} asks for more than the one in use"),
        format!("it also asks for {}", listed(&more)),
        format!(
            "if you want it to do that, upgrade with `--grant {kinds}`; with `--grant none` it keeps what it \
             was granted"
        ),
    )
}

fn kinds(capabilities: &[&Capability]) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    for capability in capabilities {
        let kind = capability.request.kind().as_str();
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.join(",")
}

fn listed(capabilities: &[&Capability]) -> String {
    let one = |one: &&Capability| format!("{} ({})", one.request, one.reason);
    capabilities.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// No plugin has this name.
pub(super) fn unknown(name: &str) -> Failure {
    Failure::app(
        "plugin.not-found",
        format!("there is no plugin {name}"),
        "none of this name is loaded or installed",
        "`windlass plugin list` shows them",
    )
}

/// It is there, and nobody installed it.
pub(super) fn not_installed(name: &str, is_bundled: bool) -> Failure {
    let (why, fix) = match is_bundled {
        true => (
            "it came with Windlass",
            "it is upgraded and removed with Windlass; `windlass plugin disable` switches it off for a \
             project",
        ),
        false => (
            "its file was put into the folder of plugins by hand",
            "remove the file, then install it with `windlass plugin install FILE`",
        ),
    };
    Failure::app("plugin.not-installed", format!("the plugin {name} was not installed"), why, fix)
}

/// The name is taken.
pub(super) fn exists(name: &str, is_bundled: bool) -> Failure {
    let (why, fix) = match is_bundled {
        true => (
            "a plugin of this name comes with Windlass",
            "build it under another name; bundled plugins are upgraded with Windlass".to_owned(),
        ),
        false => ("one of this name is installed", format!("windlass plugin upgrade {name} FILE")),
    };
    Failure::app("plugin.exists", format!("the name {name} is taken"), why, fix)
}

/// The folder or the lock file cannot be written.
pub(super) fn unwritable(doing: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::host(
        "plugin.folder",
        format!("could not {doing}"),
        error.to_string(),
        "check the space and the permissions of `plugins` in the data directory, then try again",
    )
}
