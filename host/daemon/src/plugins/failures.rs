//! What can go wrong with plugins, as people are told.

use std::path::Path;

use windlass_model::plugin::{self, Capability, Give, Grants, PluginInfo, Stage};
use windlass_model::{Failure, ProjectName};
use windlass_sandbox::{LoadError, PluginFault};

/// Why a plugin is asked as this.
fn why_asked(stage: Stage) -> String {
    match stage {
        Stage::Custom => "`[[stages]]` in windlass.toml names it".to_owned(),
        other => format!("it is needed to decide as a {}", other.as_str()),
    }
}

/// A plugin that is needed is not loaded: nobody knows it, or it is installed and its file does not load. `near` are
/// names that may be meant, nearest first.
pub(super) fn missing(name: &str, stage: Stage, is_installed: bool, near: &[&str]) -> Failure {
    let (what, how) = match is_installed {
        true => (
            format!("the plugin {name} is installed and could not be loaded"),
            format!("`windlass plugin list` says why; then `windlass plugin upgrade {name} FILE`"),
        ),
        false => (
            format!("the plugin {name} is not loaded"),
            "install it with `windlass plugin install`, or put its file back; `windlass plugin list` shows what is \
             loaded, and what could not be and why"
                .to_owned(),
        ),
    };
    let mut why = why_asked(stage);
    let fix = match (stage, near.first()) {
        (Stage::Custom, Some(near)) => {
            format!(
                "if {near} is meant, write `plugin = \"{near}\"` in `[[stages]]` of windlass.toml; else {how}"
            )
        }
        (Stage::Custom, None) => format!("{how}; or take it out of `[[stages]]` in windlass.toml"),
        _ => how,
    };
    if !is_installed {
        why += ", and no plugin of this name is here";
        if !near.is_empty() {
            why += "; near it is ";
            why += &near.join(", ");
        }
    }
    Failure::host("plugin.missing", what, why, fix)
}

/// A plugin that is needed is here, and the project does not use it: it was disabled there, or is for those that
/// enable it.
pub(super) fn not_enabled(name: &str, stage: Stage, project: Option<&ProjectName>) -> Failure {
    let enable = match project {
        Some(project) => format!("windlass plugin enable {name} --project {project}"),
        None => format!("windlass plugin enable {name}"),
    };
    let of_project = project.map(|project| format!(" for {project}")).unwrap_or_default();
    let instead = match stage {
        Stage::Custom => ", or take it out of `[[stages]]` in windlass.toml",
        _ => "",
    };
    Failure::host(
        "plugin.missing",
        format!("the plugin {name} is not enabled{of_project}"),
        format!("{}, and a plugin is only asked for projects that use it", why_asked(stage)),
        format!("`{enable}`{instead}"),
    )
}

/// A plugin that is to be asked as this is here, and is something else.
pub(super) fn not_filled(info: &PluginInfo, stage: Stage) -> Failure {
    let name = &info.manifest.name;
    let fills: Vec<&str> = info.stages.iter().map(|one| one.as_str()).collect();
    let why = format!("{}, and it fills only: {}", why_asked(stage), fills.join(", "));
    if stage == Stage::Custom {
        return Failure::app(
            "plugin.stage-not-filled",
            format!("the plugin {name} has no custom stage"),
            why,
            "take it out of `[[stages]]` in windlass.toml, which is for custom stages: what else a plugin decides, it is \
             asked without that; `windlass plugin list` shows which plugins fill custom",
        );
    }
    Failure::host(
        "plugin.missing",
        format!("the plugin {name} does not decide as a {}", stage.as_str()),
        why,
        format!(
            "see `windlass plugin show {name}`; `windlass plugin rollback {name}` if an upgrade took that away"
        ),
    )
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

/// It requires what it is not granted. What mends it names all that it is granted then: a grant takes away what it
/// does not name. `is_there`: it is loaded, and is no file that was sent.
pub(crate) fn not_granted(
    name: &str,
    asks: &[Capability],
    granted: &Grants,
    is_there: bool,
) -> Failure {
    let missing = plugin::missing(asks, granted);
    let give = typed(&Give::with(granted, &missing, asks));
    let fix = match is_there {
        true => format!("if you want it to do that: `windlass plugin grant {name} {give}`"),
        false => format!("if you want it to do that, use the same command with `--grant {give}`"),
    };
    Failure::app(
        "plugin.not-granted",
        format!("{name} requires what it is not granted"),
        format!("it asks for {}", listed(&missing)),
        fix,
    )
}

/// An upgrade asks for more than the version before; `granted` is what that one was granted.
pub(super) fn asks_more(
    name: &str,
    asks: &[Capability],
    more: &[Capability],
    granted: &Grants,
) -> Failure {
    let missing = plugin::missing(asks, granted);
    let more: Vec<&Capability> = more.iter().collect();
    let all = kinds(&[&more[..], &missing[..]].concat());
    let least = match missing.is_empty() {
        true => "with `--grant none` it keeps what it was granted".to_owned(),
        false => format!("it cannot do without {}", kinds(&missing)),
    };
    Failure::app(
        "plugin.asks-more",
        format!("this version of {name} asks for more than the one in use"),
        format!("it also asks for {}", listed(&more)),
        format!("if you want it to do that, upgrade with `--grant {all}`; {least}"),
    )
}

/// It is granted more of its limits than this host grants to anyone.
pub(super) fn above_ceilings(name: &str, above: &[String]) -> Failure {
    Failure::app(
        "plugin.grant-too-large",
        format!("{name} is granted more than this host grants to anyone"),
        above.join("; "),
        "grant less of `limits`, as JSON (OPERATIONS.md, Plugins), or raise the ceiling in the limits file",
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

/// A choice as it is typed in a shell.
fn typed(give: &Give) -> String {
    match give {
        Give::Exactly(_) => format!("'{}'", give.to_string().replace('\'', r"'\''")),
        Give::All | Give::Kinds(_) => give.to_string(),
    }
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
