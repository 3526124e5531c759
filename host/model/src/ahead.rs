//! What a deployment of a source would be, told before there is one: by `windlass detect` and `windlass plan`
//! of a folder, and by the API of a repository or an archive.

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::deployment::{Fetched, StoredPlan, Warning};
use crate::plan::{DetectReport, Detection, HealthPolicy, Migration, NearMiss};
use crate::settings::Settings;

/// One detector's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DetectorAnswer {
    /// The plugin.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// What it said.
    pub report: DetectReport,
}

/// What was detected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DetectOutput {
    /// The plugin that won, absent when none did.
    pub plugin: Option<String>,
    /// What it recognised.
    pub chosen: Option<Detection>,
    /// Why none was chosen.
    pub failure: Option<Failure>,
    /// All answers.
    pub answers: Vec<DetectorAnswer>,
    /// Plugins that could not be loaded, or failed: name and failure.
    pub problems: Vec<(String, Failure)>,
    /// The settings in force.
    pub settings: Settings,
    /// Wall clock of all detectors together, in milliseconds.
    pub took_ms: u64,
}

/// What would be built, migrated and probed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PlanOutput {
    /// What was recognised.
    pub detection: Detection,
    /// The plan and whose it is.
    pub stored: StoredPlan,
    /// Every migration that was found; the one to run is run, and none where there are several.
    pub migrations: Vec<Migration>,
    /// How it is asked whether it is well; absent where nothing runs.
    pub health: Option<PlannedHealth>,
    /// What the plugins logged.
    pub log: Vec<String>,
    /// What nearly matched beside it, and why it did not: a misspelled file is among them.
    #[serde(default)]
    pub near_misses: Vec<NearMiss>,
}

/// Near misses with each reason once, in the order of their first: whose they are, and the reason. Several plugins
/// know the same file, and say the same of it.
pub fn by_reason<'a>(
    misses: impl IntoIterator<Item = &'a NearMiss>,
) -> Vec<(Vec<&'a str>, &'a str)> {
    let mut found: Vec<(Vec<&str>, &str)> = Vec::new();
    for NearMiss { id, reason } in misses {
        match found.iter_mut().find(|(_, other)| other == reason) {
            Some((ids, _)) if ids.contains(&id.as_str()) => {}
            Some((ids, _)) => ids.push(id.as_str()),
            None => found.push((vec![id.as_str()], reason.as_str())),
        }
    }
    found
}

/// A health policy and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PlannedHealth {
    /// The plugin that made it, and judges by it.
    pub plugin: String,
    /// The policy.
    pub policy: HealthPolicy,
}

/// `POST …/plan`: of a Git repository. An uploaded archive is the body of `POST …/plan/archive` instead.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePlan {
    /// Address of the repository.
    pub git_url: String,
    /// Branch, tag or commit; the remote's default branch when absent.
    #[serde(default)]
    pub reference: Option<String>,
}

/// What a deployment of a source would be. Nothing of it is kept.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PlanView {
    /// What was looked at.
    pub fetched: Fetched,
    /// What it is, in the form of `windlass detect --json`.
    pub detected: DetectOutput,
    /// What would be done, in the form of `windlass plan --json`; absent when `failure` says why.
    pub plan: Option<PlanOutput>,
    /// Why there is no plan: nothing is recognised, or what is cannot be built.
    pub failure: Option<Failure>,
    /// What was worth saying of the source.
    pub warnings: Vec<Warning>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_said_once_with_all_whose_it_is() {
        let miss = |id: &str, reason: &str| NearMiss { id: id.into(), reason: reason.into() };
        let misses = [miss("a", "x"), miss("b", "y"), miss("c", "x"), miss("a", "x")];
        let once = by_reason(&misses);
        assert_eq!(once, [(vec!["a", "c"], "x"), (vec!["b"], "y")]);
        assert!(by_reason(&[]).is_empty());
    }
}
