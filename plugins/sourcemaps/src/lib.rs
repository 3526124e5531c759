//! Source maps: collected, kept with the deployment under the name of its release, and looked for where visitors
//! are.
//!
//! `collect` reads the maps out of the images that were built ([`collect`]); `public` asks the live application for
//! maps, as a visitor's browser would ([`public`]). Both write a table and an archive ([`archive`]) of what they
//! found ([`map`] says what a map is).
//!
//! **Invariants**
//! - What is deployed stays as it was built; with `remove`, the host does not serve the maps of static trees.
//! - What is called a source map has been read and is one; a page that answers every address with 200 has none.

mod archive;
mod collect;
mod map;
mod page;
mod public;
mod table;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use windlass_sdk::custom::{Facts, Input, Outcome};
use windlass_sdk::{Context, Custom, PluginError, Source};

/// The plugin.
#[derive(Debug)]
pub struct SourceMaps;

/// What is set for the stages; each takes what concerns it.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// `collect`: absolute paths of folders in the images.
    folders: Vec<String>,
    /// `collect`: whether maps in static trees are kept from visitors.
    remove: bool,
    /// `public`: the application's address, where it is not the environment's first one.
    url: Option<String>,
    /// `public`: paths of the pages that are looked at.
    pages: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        let list = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        Self {
            folders: list(&["/app", "/srv", "/var/www", "/usr/share/nginx/html"]),
            remove: false,
            url: None,
            pages: list(&["/"]),
        }
    }
}

impl Options {
    fn of(ctx: &Context) -> Result<Self, PluginError> {
        let options: Self = ctx.options()?;
        let is_below = |path: &str| {
            path.starts_with('/') && path.len() > 1 && !path.split('/').any(|part| part == "..")
        };
        if let Some(bad) = options.folders.iter().find(|path| !is_below(path)) {
            return Err(invalid(format!("the folder {bad:?} is no absolute path below `/`")));
        }
        let is_page = |page: &str| page.starts_with('/') && !page.starts_with("//");
        if let Some(bad) = options.pages.iter().find(|page| !is_page(page)) {
            return Err(invalid(format!("the page {bad:?} is no path that begins with `/`")));
        }
        let is_address = |url: &str| url.starts_with("https://") || url.starts_with("http://");
        match options.url.as_deref().filter(|url| !is_address(url)) {
            Some(bad) => Err(invalid(format!("{bad:?} is no address with http or https"))),
            None => Ok(options),
        }
    }
}

fn invalid(what: String) -> PluginError {
    PluginError::new("sourcemaps.option-invalid", what)
        .hint("correct it in `options` of `[[stages]]` in windlass.toml")
}

fn not_granted(what: String, hint: String) -> PluginError {
    PluginError::new("sourcemaps.not-granted", what).hint(hint)
}

/// What `collect` passes on, under the name `source-maps`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Collected {
    release: String,
    /// Number of maps that are in the archive.
    maps: usize,
    /// Where on the application's address they would lie if they are served.
    places: Vec<String>,
}

/// The name of a release: number and short commit, in letters that a file's name may have.
fn release(facts: &Facts) -> String {
    let commit = facts.commit.iter().flat_map(|id| id.chars()).filter(char::is_ascii_alphanumeric);
    let commit: String = commit.take(7).collect();
    if commit.is_empty() { facts.number.to_string() } else { format!("{}-{commit}", facts.number) }
}

/// A number of things: `1 source map`, `2 source maps`.
fn count(number: usize) -> String {
    if number == 1 { "1 source map".to_owned() } else { format!("{number} source maps") }
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{} kB", bytes.div_ceil(1_000)),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

impl Custom for SourceMaps {
    fn run(
        stage: &str,
        ctx: &Context,
        _: &Source,
        facts: &Facts,
        inputs: &[Input],
    ) -> Result<Outcome, PluginError> {
        let options = Options::of(ctx)?;
        match stage {
            "collect" => collect::run(&options, facts),
            "public" => {
                let input = inputs.iter().find(|input| input.name == "source-maps");
                let collected = input.map(Input::outputs).transpose()?.unwrap_or_default();
                public::run(&options, facts, &collected)
            }
            other => {
                let what = format!("there is no stage {other:?}");
                Err(PluginError::new("sourcemaps.unknown-stage", what))
            }
        }
    }
}

windlass_sdk::export! {
    SourceMaps: [custom],
    name: "sourcemaps",
    capabilities: [
        { name: "exec", outputs: ["*"], optional: true,
          reason: "reads the maps out of the images that were built, with find and cat" },
        { name: "http", hosts: ["*"], methods: ["GET"], optional: true,
          reason: "asks the application's own address for maps, as a visitor could" },
        { name: "artifacts", bytes_max: 67108864, reason: "keeps the maps and a table of them" },
        { name: "annotations", optional: true, reason: "says how many there are, and warns of public ones" },
    ],
    custom: [
        { name: "collect", hooks: ["after-build"], provides: ["source-maps"],
          summary: "Collects the source maps of the images that were built" },
        { name: "public", hooks: ["after-switch"], needs: ["source-maps"],
          summary: "Says which source maps visitors can read, and collects those of static sites" },
    ],
    options_schema: r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "folders": {
                "type": "array", "minItems": 1, "maxItems": 50,
                "description": "collect: folders in the images that are looked through; node_modules is left out",
                "items": { "type": "string", "pattern": "^/." }
            },
            "remove": { "type": "boolean", "default": false,
                "description": "collect: whether source maps in static sites are answered with 404, and kept with the deployment" },
            "url": { "type": "string", "pattern": "^https?://",
                "description": "public: the application's address, where it is not the environment's first one" },
            "pages": {
                "type": "array", "minItems": 1, "maxItems": 20,
                "description": "public: pages whose scripts and styles are looked at",
                "items": { "type": "string", "pattern": "^/" }
            }
        }
    }"#,
    failures: "failures.toml",
}
