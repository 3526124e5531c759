//! What the calls of plugins amounted to, and when a plugin is switched off.
//!
//! **Invariants.** A total only grows. What is counted as a fault is the plugin's own doing ([`Blame`]): a refusal is
//! an answer, and what the host could not do says nothing about the plugin. Faults are counted by function and not by
//! plugin: one whose detector answers and whose builder traps every time is one that keeps failing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{CallOutcome, CallReport, PluginInfo, Stage};
use crate::EnvironmentName;
use crate::failure::Failure;
use crate::id::{DeploymentId, Digest, ProjectName};

/// Rows that are kept of one project; the one that was not called for the longest time goes first. A project that
/// uses thirty plugins of two stages has room for eight versions of each.
pub const ROWS_MAX: usize = 500;

/// What a call asked of the host.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(default)]
pub struct HostCalls {
    /// Commands that it began or wanted to begin.
    pub exec: u64,
    /// Requests that it sent or wanted to send.
    pub http: u64,
    /// Wishes that were denied, of any kind: not granted, or outside of what was.
    pub denied: u64,
}

/// What calls amounted to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Totals {
    /// Calls that were made.
    pub calls: u64,
    /// Calls that were answered from the cache. Of them nothing else is counted.
    pub cached: u64,
    /// How the calls that were made ended.
    pub outcomes: BTreeMap<CallOutcome, u64>,
    /// Wall clock of all of them, in microseconds.
    pub took_us: u64,
    /// Wall clock of the longest, in microseconds.
    pub took_us_max: u64,
    /// CPU time of all of them, in milliseconds, as the limit counts it.
    pub cpu_ms: u64,
    /// Most memory that one of them held at once, in bytes.
    pub memory_peak_bytes: u64,
    /// Log bytes that were kept.
    pub log_bytes: u64,
    /// Log bytes that were dropped.
    pub log_bytes_dropped: u64,
    /// What they asked of the host.
    pub host_calls: HostCalls,
    /// When the last one ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Timestamp>,
}

impl Totals {
    /// Counts a call.
    pub fn add(&mut self, report: &CallReport, now: Timestamp) {
        self.last_at = Some(now);
        if report.cached {
            self.cached += 1;
            return;
        }
        *self.outcomes.entry(report.outcome).or_default() += 1;
        let mut one = Self {
            calls: 1,
            took_us: report.took_us,
            took_us_max: report.took_us,
            cpu_ms: report.cpu_ms,
            memory_peak_bytes: report.memory_peak_bytes,
            log_bytes: report.log_bytes,
            log_bytes_dropped: report.log_bytes_dropped,
            host_calls: report.host_calls,
            ..Self::default()
        };
        one.last_at = Some(now);
        self.merge(&one);
    }

    /// Adds others to these.
    pub fn merge(&mut self, other: &Self) {
        for (outcome, count) in &other.outcomes {
            *self.outcomes.entry(*outcome).or_default() += count;
        }
        let Self { host_calls, .. } = self;
        host_calls.exec = host_calls.exec.saturating_add(other.host_calls.exec);
        host_calls.http = host_calls.http.saturating_add(other.host_calls.http);
        host_calls.denied = host_calls.denied.saturating_add(other.host_calls.denied);
        self.calls = self.calls.saturating_add(other.calls);
        self.cached = self.cached.saturating_add(other.cached);
        self.took_us = self.took_us.saturating_add(other.took_us);
        self.cpu_ms = self.cpu_ms.saturating_add(other.cpu_ms);
        self.log_bytes = self.log_bytes.saturating_add(other.log_bytes);
        self.log_bytes_dropped = self.log_bytes_dropped.saturating_add(other.log_bytes_dropped);
        self.took_us_max = self.took_us_max.max(other.took_us_max);
        self.memory_peak_bytes = self.memory_peak_bytes.max(other.memory_peak_bytes);
        self.last_at = self.last_at.max(other.last_at);
    }

    /// Calls that ended by a fault of the plugin.
    pub fn faults(&self) -> u64 {
        let faults = self.outcomes.iter().filter(|(outcome, _)| outcome.is_fault());
        faults.map(|(_, count)| count).sum()
    }
}

/// The totals of one version of a plugin in one stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PluginUse {
    /// The plugin.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Digest of its file: what tells a version from another one.
    pub digest: Digest,
    /// The stage.
    pub stage: Stage,
    /// The totals.
    #[serde(flatten)]
    pub totals: Totals,
}

impl PluginUse {
    fn is_of(&self, digest: &Digest, stage: Stage, plugin: &str) -> bool {
        self.digest == *digest && self.stage == stage && self.plugin == plugin
    }
}

/// Whose doing the end of a call was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// It answered, or refused as the contract allows.
    Nobody,
    /// The plugin: it trapped, went over a limit, or answered what is not valid.
    Plugin,
    /// The host could not make the call, or did not have to.
    Host,
}

/// A function that failed the last times that it was called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InARow {
    /// The plugin.
    pub plugin: String,
    /// Its file.
    pub digest: Digest,
    /// The stage.
    pub stage: Stage,
    /// The function; of a custom stage with the stage's name.
    pub function: String,
    /// Faults since it last answered.
    pub faults: u32,
}

/// A plugin that is not asked any more on behalf of a project, as one of its stages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SwitchedOff {
    /// The project.
    pub project: ProjectName,
    /// The plugin.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Its file: another one is asked again.
    pub digest: Digest,
    /// The stage that is off.
    pub stage: Stage,
    /// The function that kept failing; of a custom stage with the stage's name.
    pub function: String,
    /// How often it failed, one time after the other.
    pub faults: u32,
    /// Code of the last fault.
    pub code: String,
    /// What the last fault was.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
    /// The environment of the deployment at which it happened.
    pub environment: EnvironmentName,
    /// That deployment.
    pub deployment: DeploymentId,
    /// Its number.
    pub number: u64,
}

impl SwitchedOff {
    /// What switches it on again.
    pub fn fix(&self) -> String {
        format!(
            "`windlass plugin enable {} --project {}` tries it again, and so does another version: `windlass plugin \
             upgrade {0}`",
            self.plugin, self.project
        )
    }

    /// What it is not asked as.
    pub fn role(&self) -> &'static str {
        match self.stage {
            Stage::Health => "health component",
            Stage::Rollout => "rollout component",
            Stage::Custom => "custom stage",
            stage => stage.as_str(),
        }
    }

    /// Why it is off.
    pub fn why(&self) -> String {
        format!(
            "it failed {} times in a row in `{}`, the last time in #{} of {}: {}",
            self.faults, self.function, self.number, self.environment, self.reason
        )
    }
}

impl std::fmt::Display for SwitchedOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { project, plugin, version, .. } = self;
        let role = self.role();
        write!(f, "{plugin} {version} is switched off for {project} as a {role}: {}", self.why())
    }
}

/// Name of the file that says what is switched off, in the folder of installed plugins: it outlives the host, and
/// `windlass doctor` reads it while none runs.
pub const OFF_FILE: &str = "switched-off.json";

/// Reads that file's text.
///
/// # Errors
/// What the reader says.
pub fn parse_off(text: &[u8]) -> Result<Vec<SwitchedOff>, serde_json::Error> {
    serde_json::from_slice(text)
}

/// All that is counted of one project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The project.
    pub project: ProjectName,
    /// Totals, one row for each version and stage.
    #[serde(default)]
    pub rows: Vec<PluginUse>,
    /// Functions whose last call failed.
    #[serde(default)]
    pub in_a_row: Vec<InARow>,
}

impl Account {
    /// Nothing yet.
    pub fn new(project: ProjectName) -> Self {
        Self { project, rows: Vec::new(), in_a_row: Vec::new() }
    }

    /// Counts a call.
    pub fn count(&mut self, plugin: &PluginInfo, report: &CallReport, now: Timestamp) {
        let (name, stage) = (&plugin.manifest.name, report.stage);
        let found = self.rows.iter().position(|row| row.is_of(&plugin.digest, stage, name));
        let place = found.unwrap_or_else(|| {
            self.make_room();
            self.rows.push(PluginUse {
                plugin: name.clone(),
                version: plugin.manifest.version.clone(),
                digest: plugin.digest.clone(),
                stage,
                totals: Totals::default(),
            });
            self.rows.len() - 1
        });
        self.rows[place].totals.add(report, now);
    }

    fn make_room(&mut self) {
        if self.rows.len() < ROWS_MAX {
            return;
        }
        let oldest = self.rows.iter().enumerate().min_by_key(|(_, row)| row.totals.last_at);
        if let Some((place, _)) = oldest {
            self.rows.swap_remove(place);
        }
    }

    /// Notes how a call ended; the number of faults in a row, if it was one.
    pub fn note(
        &mut self,
        plugin: &PluginInfo,
        stage: Stage,
        function: &str,
        blame: Blame,
    ) -> Option<u32> {
        let name = &plugin.manifest.name;
        // What another version did says nothing of this one.
        self.in_a_row.retain(|one| one.plugin != *name || one.digest == plugin.digest);
        let is_it =
            |one: &InARow| one.plugin == *name && one.stage == stage && one.function == function;
        match blame {
            Blame::Host => None,
            Blame::Nobody => {
                self.in_a_row.retain(|one| !is_it(one));
                None
            }
            Blame::Plugin => {
                if let Some(one) = self.in_a_row.iter_mut().find(|one| is_it(one)) {
                    one.faults = one.faults.saturating_add(1);
                    return Some(one.faults);
                }
                self.in_a_row.push(InARow {
                    plugin: name.clone(),
                    digest: plugin.digest.clone(),
                    stage,
                    function: function.to_owned(),
                    faults: 1,
                });
                Some(1)
            }
        }
    }

    /// Forgets that a plugin failed.
    pub fn forgive(&mut self, plugin: &str) {
        self.in_a_row.retain(|one| one.plugin != plugin);
    }
}

/// That a plugin is off for a project, as the failure of what needs it.
pub fn switched_off(off: &SwitchedOff) -> Failure {
    Failure::plugin(
        &off.plugin,
        "plugin.switched-off",
        format!(
            "the plugin {} {} is switched off for {} as a {}",
            off.plugin,
            off.version,
            off.project,
            off.role()
        ),
        off.why(),
        off.fix(),
    )
}

/// `GET /v1/plugin-stats`: what the calls of plugins amounted to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PluginStats {
    /// The project that it is about; all that the caller may see when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectName>,
    /// By plugin, stage and version, the version that was called last first.
    pub plugins: Vec<PluginUse>,
    /// What is switched off.
    pub switched_off: Vec<SwitchedOff>,
}

/// The rows of several projects as one: those of the same version and stage are added.
pub fn summed<'a>(accounts: impl IntoIterator<Item = &'a Account>) -> Vec<PluginUse> {
    let mut rows: Vec<PluginUse> = Vec::new();
    for row in accounts.into_iter().flat_map(|account| &account.rows) {
        match rows.iter_mut().find(|known| known.is_of(&row.digest, row.stage, &row.plugin)) {
            Some(known) => known.totals.merge(&row.totals),
            None => rows.push(row.clone()),
        }
    }
    rows.sort_by(|a, b| {
        let newest_first = b.totals.last_at.cmp(&a.totals.last_at);
        (&a.plugin, a.stage).cmp(&(&b.plugin, b.stage)).then(newest_first)
    });
    rows
}

#[cfg(test)]
mod tests {
    use super::super::Manifest;
    use super::*;

    fn plugin(version: &str) -> PluginInfo {
        PluginInfo {
            manifest: Manifest {
                name: "scan".to_owned(),
                version: version.to_owned(),
                ..Manifest::default()
            },
            digest: Digest::of(version.as_bytes()),
            stages: vec![Stage::Detector, Stage::Builder],
            bundled: false,
            bytes: 1,
        }
    }

    fn report(stage: Stage, outcome: CallOutcome, took_us: u64) -> CallReport {
        CallReport {
            plugin: "scan".to_owned(),
            stage,
            function: "detect".to_owned(),
            outcome,
            cached: false,
            took_us,
            cpu_ms: 10,
            memory_peak_bytes: took_us * 10,
            log_bytes: 3,
            log_bytes_dropped: 1,
            host_calls: HostCalls { exec: 1, http: 2, denied: 3 },
        }
    }

    fn account() -> Account {
        Account::new("shop".parse().unwrap())
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn calls_are_summed_by_version_and_stage_and_cached_ones_only_counted() {
        let mut account = account();
        let one = plugin("1.0.0");
        account.count(&one, &report(Stage::Detector, CallOutcome::Answered, 5), at(1));
        account.count(&one, &report(Stage::Detector, CallOutcome::Trapped, 7), at(2));
        let cached =
            CallReport { cached: true, ..report(Stage::Detector, CallOutcome::Answered, 900) };
        account.count(&one, &cached, at(3));
        account.count(&one, &report(Stage::Builder, CallOutcome::Refused, 1), at(4));
        account.count(&plugin("2.0.0"), &report(Stage::Detector, CallOutcome::TimedOut, 1), at(5));
        assert_eq!(account.rows.len(), 3);
        let totals = &account.rows[0].totals;
        assert_eq!((totals.calls, totals.cached, totals.faults()), (2, 1, 1));
        assert_eq!((totals.took_us, totals.took_us_max, totals.cpu_ms), (12, 7, 20));
        assert_eq!((totals.memory_peak_bytes, totals.log_bytes_dropped), (70, 2));
        assert_eq!(totals.host_calls, HostCalls { exec: 2, http: 4, denied: 6 });
        assert_eq!(totals.outcomes[&CallOutcome::Trapped], 1);
        assert_eq!(totals.last_at, Some(at(3)));
        assert_eq!(account.rows[1].totals.faults(), 0, "a refusal is no fault");
    }

    #[test]
    fn rows_of_several_projects_are_added_and_those_called_last_come_first() {
        let (mut one, mut other) = (account(), Account::new("blog".parse().unwrap()));
        one.count(&plugin("1.0.0"), &report(Stage::Detector, CallOutcome::Answered, 5), at(1));
        other.count(&plugin("1.0.0"), &report(Stage::Detector, CallOutcome::Answered, 9), at(2));
        other.count(&plugin("2.0.0"), &report(Stage::Detector, CallOutcome::Answered, 1), at(3));
        let rows = summed([&one, &other]);
        let versions: Vec<&str> = rows.iter().map(|row| row.version.as_str()).collect();
        assert_eq!(versions, ["2.0.0", "1.0.0"]);
        assert_eq!((rows[1].totals.calls, rows[1].totals.took_us_max), (2, 9));
    }

    #[test]
    fn the_row_that_was_not_called_for_the_longest_time_makes_room() {
        let mut account = account();
        for n in 0..=ROWS_MAX {
            let now = at(i64::try_from(n).unwrap());
            let version = plugin(&n.to_string());
            account.count(&version, &report(Stage::Detector, CallOutcome::Answered, 1), now);
        }
        assert_eq!(account.rows.len(), ROWS_MAX);
        assert!(account.rows.iter().all(|row| row.version != "0"));
        assert!(account.rows.iter().any(|row| row.version == ROWS_MAX.to_string()));
    }

    #[test]
    fn faults_in_a_row_are_counted_by_function_and_an_answer_ends_the_row() {
        let mut account = account();
        let one = plugin("1.0.0");
        let mut note = |function: &str, blame| account.note(&one, Stage::Health, function, blame);
        assert_eq!(note("judge", Blame::Plugin), Some(1));
        assert_eq!(note("policy-for", Blame::Nobody), None);
        assert_eq!(note("judge", Blame::Plugin), Some(2), "the other function answered");
        assert_eq!(note("judge", Blame::Host), None);
        assert_eq!(note("judge", Blame::Plugin), Some(3), "the host's failure is not its");
        assert_eq!(note("judge", Blame::Nobody), None);
        assert_eq!(note("judge", Blame::Plugin), Some(1));
    }

    #[test]
    fn another_version_and_being_forgiven_begin_anew() {
        let mut account = account();
        let (one, other) = (plugin("1.0.0"), plugin("2.0.0"));
        let note = |account: &mut Account, plugin| {
            account.note(plugin, Stage::Builder, "plan", Blame::Plugin)
        };
        assert_eq!(note(&mut account, &one), Some(1));
        assert_eq!(note(&mut account, &one), Some(2));
        assert_eq!(note(&mut account, &other), Some(1));
        assert_eq!(note(&mut account, &one), Some(1), "and back");
        account.forgive("another");
        assert_eq!(note(&mut account, &one), Some(2));
        account.forgive("scan");
        assert_eq!(note(&mut account, &one), Some(1));
    }

    #[test]
    fn what_is_kept_of_a_project_reads_back() {
        let mut account = account();
        account.count(&plugin("1"), &report(Stage::Detector, CallOutcome::OverLimit, 5), at(1));
        account.note(&plugin("1"), Stage::Detector, "detect", Blame::Plugin);
        let text = serde_json::to_string(&account).unwrap();
        assert!(text.contains(r#""outcomes":{"over-limit":1}"#), "{text}");
        assert_eq!(serde_json::from_str::<Account>(&text).unwrap(), account);
    }
}
