//! The plugin `sbom`: a software bill of materials of what the lock files of the source say, as CycloneDX 1.6,
//! attached to the deployment.
//!
//! **Invariant: the same source gives the same file**, byte by byte: there is no time in it, and its serial
//! number comes from its content.

mod bom;
mod licence;

use serde::{Deserialize, Serialize};
use windlass_plugin_locked::{self as locked, Inventory, Scope};
use windlass_sdk::annotations::{Annotation, Tone};
use windlass_sdk::artifacts::{Artifact, Kind};
use windlass_sdk::custom::{Facts, Input, Outcome};
use windlass_sdk::{Context, Custom, PluginError, Source, log};

/// The plugin.
#[derive(Debug)]
pub struct Sbom;

/// The file that is attached.
const ARTIFACT: &str = "sbom.cdx.json";
const MEDIA_TYPE: &str = "application/vnd.cyclonedx+json; version=1.6";

/// What can be set for the stage.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// Whether what is only needed to build and to test is in it, with the scope `excluded`.
    development: bool,
    /// Globs of lock files that do not count.
    exclude: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { development: true, exclude: Vec::new() }
    }
}

/// What stages that need `sbom` get.
#[derive(Debug, Serialize)]
struct Outputs<'a> {
    artifact: &'a str,
    serial_number: &'a str,
    components: usize,
    files: Vec<&'a str>,
    unread: Vec<&'a str>,
}

impl Custom for Sbom {
    fn run(
        _: &str,
        ctx: &Context,
        _: &Source,
        facts: &Facts,
        _: &[Input],
    ) -> Result<Outcome, PluginError> {
        let options: Options = ctx.options()?;
        let inventory = locked::read(&Scope {
            app_dir: ctx.app_dir.clone(),
            exclude: options.exclude,
            without_development: !options.development,
        })?;
        if inventory.files.is_empty() && inventory.unread.is_empty() {
            return Ok(Outcome::skipped("there is no lock file of a kind that is read"));
        }
        for note in &inventory.unread {
            log::warn(format!("{} could not be read: {}", note.path, note.what));
        }
        for note in &inventory.notes {
            log::info(format!("{}: {}", note.path, note.what));
        }
        let bom = bom::of(&inventory, &facts.project, facts.commit.as_deref());
        Artifact::new(ARTIFACT, Kind::File, MEDIA_TYPE)
            .title("Software bill of materials (CycloneDX)")
            .attach(bom.text.as_bytes())?;
        note(&inventory);
        let outputs = Outputs {
            artifact: ARTIFACT,
            serial_number: &bom.serial_number,
            components: inventory.components.len(),
            files: inventory.files.iter().map(|file| file.path.as_str()).collect(),
            unread: inventory.unread.iter().map(|note| note.path.as_str()).collect(),
        };
        Ok(Outcome::done(inventory.summary()).with_outputs(&outputs))
    }
}

/// Says beside the deployment what is in it.
fn note(inventory: &Inventory) {
    let tone = if inventory.unread.is_empty() { Tone::Neutral } else { Tone::Warning };
    if let Err(error) = Annotation::new("sbom", inventory.summary()).tone(tone).set() {
        log::debug(format!("the number of components was not noted: {}", error.message));
    }
}

windlass_sdk::export! {
    Sbom: [custom],
    capabilities: [
        { name: "source", reason: "reads the lock files", paths: [
            "**/package-lock.json", "**/npm-shrinkwrap.json", "**/pnpm-lock.yaml", "**/yarn.lock",
            "**/bun.lock", "**/poetry.lock", "**/pdm.lock", "**/uv.lock", "**/Pipfile.lock",
            "**/requirements*.txt", "**/Cargo.lock", "**/go.mod", "**/go.sum", "**/Gemfile.lock",
            "**/composer.lock", "**/mix.lock", "**/gradle.lockfile", "**/pom.xml",
            "**/packages.lock.json",
        ] },
        { name: "artifacts", bytes_max: 33554432, reason: "attaches the bill of materials" },
        { name: "annotations", optional: true, reason: "says beside the deployment how much is in it" },
    ],
    custom: [
        { name: "list", hooks: ["after-fetch"], provides: ["sbom"],
          summary: "Attaches a bill of materials of the lock files, as CycloneDX 1.6" },
    ],
    options_schema: r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "development": {
                "type": "boolean",
                "description": "Whether what is only needed to build and to test is in it; true"
            },
            "exclude": {
                "type": "array", "items": { "type": "string" },
                "description": "Globs of lock files that do not count, from the source's root"
            }
        }
    }"#,
}

#[cfg(test)]
mod tests;
