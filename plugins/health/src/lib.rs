//! The health plugin: the SDK's default policy and its default judge, with better guesses of where to
//! ask. Settings come first, then the check that an image brings, then what [`paths`] finds, then the
//! usual paths.
//!
//! **Invariant: a guess never fails a deployment by itself.** After a 404 the next path is tried, and `/`
//! is always among them; a refusal or a redirect elsewhere is an answer, too.

mod paths;

use windlass_plugin_common::paths::join;
use windlass_plugin_common::settings;
use windlass_sdk::config::Settings;
use windlass_sdk::health::{Policy, Process, policy_with_paths};
use windlass_sdk::{Context, Detection, Health, PluginError, Source, log};

/// The plugin.
#[derive(Debug)]
pub struct Default;

impl Health for Default {
    fn policy_for(
        ctx: &Context,
        source: &Source,
        chosen: &Detection,
        processes: &[Process],
    ) -> Result<Policy, PluginError> {
        let set = settings::with_health(ctx, source)?;
        let asked = processes.iter().any(|process| process.web);
        let places = match Settings::of(&set)?.health.path {
            None if asked => paths::found(&Source::of_chosen(ctx, chosen), chosen),
            _ => Vec::new(),
        };
        for place in &places {
            let sign = &place.evidence;
            // The file is named as those of the detection are: from the source's root, if a member was chosen.
            let file = join(chosen.app_dir.as_deref().unwrap_or_default(), &sign.path);
            log::info(format!("asked first at {}: {file} {}", place.path, sign.detail));
        }
        policy_with_paths(&set, processes, &paths::tried(&places))
    }
}

windlass_sdk::export! {
    Default: [health],
    name: "health",
}

#[cfg(test)]
mod tests;
