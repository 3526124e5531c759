//! The plugin `vulnerabilities`: looks what the lock files of the source say up in a database in the format of
//! OSV, attaches what it found, and fails where it is bad enough.
//!
//! **Invariant: not looked up is never the same as not vulnerable.** A database that may not be asked or does
//! not answer, or is there in part only, is an error; what was left out is in the notes of the report, and then the
//! annotation is not good.

mod api;
mod folder;
mod osv;
mod report;
mod severity;
mod snapshot;
mod version;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass_plugin_locked::{self as locked, Component, Inventory, Scope};
use windlass_sdk::annotations::{Annotation, Tone};
use windlass_sdk::artifacts::{Artifact, Kind};
use windlass_sdk::custom::{Facts, Input, Outcome};
use windlass_sdk::{Context, Custom, PluginError, Source, log};

use crate::osv::Matches;
use crate::report::Report;
use crate::severity::Level;

/// The plugin.
#[derive(Debug)]
pub struct Vulnerabilities;

/// The public database.
const OSV: &str = "https://api.osv.dev";
/// Ids that other stages get.
const IDS_MAX: usize = 1_000;

/// What can be set for the stage.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// `osv-api`, the address of one that answers alike, `snapshot+` and the address of a snapshot, or a file or folder
    /// of the source.
    database: String,
    fail_on: FailOn,
    /// Ids or their aliases that do not count.
    ignore: Vec<String>,
    /// Whether what is only needed to build and to test counts.
    development: bool,
    /// Globs of lock files that do not count.
    exclude: Vec<String>,
    /// How long an answer of the database is as good as a new one.
    cache_minutes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            database: "osv-api".to_owned(),
            fail_on: FailOn::High,
            ignore: Vec::new(),
            development: false,
            exclude: Vec::new(),
            cache_minutes: 60,
        }
    }
}

/// From which severity on the stage fails.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum FailOn {
    Critical,
    High,
    Medium,
    Low,
    /// Those too whose severity nobody says.
    Any,
    None,
}

impl FailOn {
    fn level(self) -> Option<Level> {
        match self {
            Self::Critical => Some(Level::Critical),
            Self::High => Some(Level::High),
            Self::Medium => Some(Level::Medium),
            Self::Low => Some(Level::Low),
            Self::Any => Some(Level::Unknown),
            Self::None => None,
        }
    }
}

/// What stages that need `vulnerabilities` get.
#[derive(Debug, Serialize)]
struct Outputs<'a> {
    components: usize,
    found: usize,
    ignored: usize,
    worst: Option<Level>,
    /// The first thousand.
    ids: Vec<&'a str>,
}

impl Custom for Vulnerabilities {
    fn run(
        _: &str,
        ctx: &Context,
        _: &Source,
        _: &Facts,
        _: &[Input],
    ) -> Result<Outcome, PluginError> {
        let options: Options = ctx.options()?;
        let inventory = locked::read(&Scope {
            app_dir: ctx.app_dir.clone(),
            exclude: options.exclude.clone(),
            without_development: !options.development,
        })?;
        if inventory.files.is_empty() && inventory.unread.is_empty() {
            return Ok(Outcome::skipped("there is no lock file of a kind that is read"));
        }
        let matches = look_up(&inventory, &options)?;
        let is_whole = inventory.unread.is_empty() && matches.notes.is_empty();
        let report = Report::new(&inventory, matches, &options);
        for note in &report.notes {
            log::warn(note.as_str());
        }
        attach(&report)?;
        note(&report, is_whole);
        if let Some(error) = report.failure(options.fail_on.level()) {
            return Err(error);
        }
        let found = report.counted().count();
        let outputs = Outputs {
            components: report.components,
            found,
            ignored: report.findings.len() - found,
            worst: report.counted().map(|finding| finding.severity.level).max(),
            ids: report.counted().map(|finding| finding.id.as_str()).take(IDS_MAX).collect(),
        };
        Ok(Outcome::done(report.summary()).with_outputs(&outputs))
    }
}

fn look_up(inventory: &Inventory, options: &Options) -> Result<Matches, PluginError> {
    let components: Vec<&Component> =
        inventory.components.values().filter(|component| component.from_registry).collect();
    let database = options.database.as_str();
    if let Some(base) = database.strip_prefix("snapshot+") {
        return snapshot::look_up(base.trim_end_matches('/'), &components);
    }
    let is_address = database.contains("://");
    if !is_address && database != "osv-api" {
        return folder::look_up(database, &components);
    }
    let base = if is_address { database.trim_end_matches('/') } else { OSV };
    let fresh = Duration::from_secs(options.cache_minutes.saturating_mul(60));
    api::Api { base, fresh, methods: &["GET", "POST"] }.look_up(&components)
}

/// For people and for programs. Where nothing may be attached, the log says so.
fn attach(report: &Report<'_>) -> Result<(), PluginError> {
    use windlass_sdk::artifacts::Reason;
    let json = serde_json::to_vec_pretty(report).unwrap_or_default();
    let files = [
        ("vulnerabilities.md", Kind::Report, "text/markdown", report.markdown().into_bytes()),
        ("vulnerabilities.json", Kind::File, "application/json", json),
    ];
    for (name, kind, media_type, content) in files {
        match Artifact::new(name, kind, media_type).title("Vulnerabilities").attach(&content) {
            Ok(()) => {}
            Err(error) if error.reason == Reason::Denied => {
                log::warn(format!("{name} is not attached: {}", error.message));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Notes it beside the deployment: good only where everything was read and looked up in a whole database.
fn note(report: &Report<'_>, is_whole: bool) {
    let worst = report.counted().map(|finding| finding.severity.level).max();
    let tone = match worst {
        Some(Level::Critical | Level::High) => Tone::Bad,
        Some(_) => Tone::Warning,
        None if is_whole => Tone::Good,
        None => Tone::Warning,
    };
    let summary = report.summary();
    if let Err(error) = Annotation::new("vulnerabilities", summary.as_str()).tone(tone).set() {
        log::info(format!("{summary} (not noted: {})", error.message));
    }
}

windlass_sdk::export! {
    Vulnerabilities: [custom],
    capabilities: [
        { name: "source", reason: "reads the lock files", paths: [
            "**/package-lock.json", "**/npm-shrinkwrap.json", "**/pnpm-lock.yaml", "**/yarn.lock",
            "**/bun.lock", "**/poetry.lock", "**/pdm.lock", "**/uv.lock", "**/Pipfile.lock",
            "**/requirements*.txt", "**/Cargo.lock", "**/go.mod", "**/go.sum", "**/Gemfile.lock",
            "**/composer.lock", "**/mix.lock", "**/gradle.lockfile", "**/pom.xml",
            "**/packages.lock.json",
        ] },
        { name: "source", paths: ["**"], optional: true,
          reason: "reads the entries in the file or folder that the option `database` names: grant that one" },
        { name: "http", hosts: ["api.osv.dev"], methods: ["GET", "POST"], optional: true,
          reason: "asks the public database of OSV: it learns names and versions of the packages" },
        { name: "http", hosts: ["*"], methods: ["GET", "POST"], optional: true,
          reason: "asks the database at the address in the option `database`: grant that host, and not all" },
        { name: "artifacts", bytes_max: 16777216, optional: true, reason: "attaches its report" },
        { name: "cache", bytes_max: 67108864, optional: true,
          reason: "remembers answers of the database" },
        { name: "annotations", optional: true, reason: "says beside the deployment what it found" },
    ],
    custom: [
        { name: "scan", hooks: ["after-fetch"], provides: ["vulnerabilities"],
          summary: "Looks the locked dependencies up in an OSV database" },
    ],
    options_schema: r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "database": {
                "type": "string", "minLength": 1,
                "description": "osv-api; the address of a database that answers as https://api.osv.dev; snapshot+ and the address of a snapshot; or a file or folder of the source with entries in the format of OSV"
            },
            "fail_on": {
                "enum": ["critical", "high", "medium", "low", "any", "none"],
                "description": "From which severity on the stage fails; high. any: also those whose severity nobody says"
            },
            "ignore": {
                "type": "array", "items": { "type": "string" },
                "description": "Ids or aliases that do not count"
            },
            "development": {
                "type": "boolean",
                "description": "Whether what is only needed to build and to test counts; false"
            },
            "exclude": {
                "type": "array", "items": { "type": "string" },
                "description": "Globs of lock files that do not count, from the source's root"
            },
            "cache_minutes": {
                "type": "integer", "minimum": 0,
                "description": "How long an answer of the database is as good as a new one; 60"
            }
        }
    }"#,
    failures: "failures.toml",
}

#[cfg(test)]
mod tests;
