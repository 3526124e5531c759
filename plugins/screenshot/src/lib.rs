//! Pictures of the new version: its pages as a browser shows them, attached to the deployment.
//!
//! It runs after the switch, in the background: a browser takes seconds and hundreds of megabytes, and neither a page
//! that is slow to load nor a registry that is away may hold a deployment up or fail it. The pictures are still those of
//! this version, because the browser goes to the addresses of its instances and not to the proxy.
//!
//! **Invariants**
//! - What is attached was seen: a page that did not answer is a failure, never the browser's own error page.
//! - Each page has a container and a profile of its own: no page sees what another one left.

mod browser;
mod options;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use windlass_sdk::artifacts::{Artifact, Kind};
use windlass_sdk::custom::{Facts, Input, Outcome, State};
use windlass_sdk::{Context, Custom, PluginError, Source, log};

use browser::Shot;
use options::Options;

/// The plugin.
#[derive(Debug)]
pub struct Screenshot;

/// Characters of a file's name that come from the path.
const NAME_CHARS_MAX: usize = 60;

/// Where the pages are, and by which name they are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// `http://shop.example.com`, without a slash at its end.
    base: String,
    /// `shop.example.com` and `10.89.1.7:3000`: where the browser is led instead.
    leads: Option<(String, String)>,
    /// Whether visitors come with TLS, so that the application must be told that they do.
    secure: bool,
}

impl Custom for Screenshot {
    fn run(
        _: &str,
        ctx: &Context,
        _: &Source,
        facts: &Facts,
        _: &[Input],
    ) -> Result<Outcome, PluginError> {
        let options = Options::of(ctx)?;
        if facts.state != State::Live {
            return Ok(Outcome::skipped("the deployment is not live"));
        }
        let Some(place) = place(&options, facts) else {
            return Ok(Outcome::skipped(
                "no web process of the deployment has an address: a static site is asked at `url` of the options",
            ));
        };
        let mut names = BTreeSet::new();
        let mut said = Vec::new();
        for path in &options.paths {
            let shot = browser::take(&options, &place, path)?;
            let name = file_name(path, shot.ending(), &mut names);
            attach(&shot, &name, path)?;
            said.push(match shot.status {
                Some(status) if status >= 400 => format!("{name} ({path} answered {status})"),
                _ => name,
            });
        }
        let count = if said.len() == 1 { "picture" } else { "pictures" };
        Ok(Outcome::done(format!("{} {count}: {}", said.len(), said.join(", "))))
    }
}

/// The address that is set, or that of the first instance of a web process.
fn place(options: &Options, facts: &Facts) -> Option<Place> {
    if let Some(url) = &options.url {
        let base = url.trim_end_matches('/').to_owned();
        return Some(Place { base, leads: None, secure: false });
    }
    let mut web = facts.processes.iter().filter(|process| process.web);
    let address = web.find_map(|process| process.addresses.first())?.clone();
    let url = facts.urls.first();
    let secure = url.is_some_and(|url| url.starts_with("https://"));
    let host = options.host.clone().or_else(|| url.and_then(|url| host(url)).map(str::to_owned));
    Some(match host.filter(|host| !host.is_empty()) {
        Some(host) => {
            Place { base: format!("http://{host}"), leads: Some((host, address)), secure }
        }
        None => Place { base: format!("http://{address}"), leads: None, secure },
    })
}

/// The host name of an address.
fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    authority.split(':').next().filter(|host| options::is_host(host))
}

/// A name that no other picture of the deployment has: `home.png`, `about-us.png`, `about-us-2.png`.
fn file_name(path: &str, ending: &str, taken: &mut BTreeSet<String>) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: String = words.collect::<Vec<_>>().join("-").chars().take(NAME_CHARS_MAX).collect();
    let stem = if words.is_empty() { "home".to_owned() } else { words.to_ascii_lowercase() };
    let numbered = (2..).map(|number| format!("{stem}-{number}"));
    let mut stems = std::iter::once(stem.clone()).chain(numbered);
    let free = stems.find(|stem| taken.insert(stem.clone())).unwrap_or(stem);
    format!("{free}.{ending}")
}

fn attach(shot: &Shot, name: &str, path: &str) -> Result<(), PluginError> {
    let status = shot.status.filter(|status| *status != 200);
    let title = match status {
        Some(status) => format!("{path} (status {status})"),
        None => path.to_owned(),
    };
    for note in &shot.notes {
        log::warn(format!("{path}: {note}"));
    }
    let artifact = Artifact::new(name, Kind::Image, shot.media_type()).title(title);
    artifact.attach(&shot.bytes).map_err(|error| match error.reason {
        windlass_sdk::artifacts::Reason::Denied => not_granted(
            format!("the picture could not be attached: {}", error.message),
            "grant `artifacts` with `windlass plugin grant screenshot`".to_owned(),
        ),
        _ => error.into(),
    })
}

fn not_granted(what: String, hint: String) -> PluginError {
    PluginError::new("screenshot.not-granted", what).hint(hint)
}

windlass_sdk::export! {
    Screenshot: [custom],
    capabilities: [
        { name: "exec", outputs: ["image:*"],
          reason: "runs a browser in a container of the image that is set, in the network of the environment" },
        { name: "artifacts", bytes_max: 33554432, reason: "attaches the pictures to the deployment" },
    ],
    custom: [
        { name: "picture", hooks: ["after-switch"], provides: ["screenshots"],
          summary: "Takes pictures of pages of the new version with a headless browser" },
    ],
    options_schema: r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "image": { "type": "string", "minLength": 1, "maxLength": 200,
                "description": "Image with Chromium or its headless shell; docker.io/chromedp/headless-shell:stable" },
            "paths": {
                "type": "array", "minItems": 1, "maxItems": 10,
                "description": "Pages that are taken; /",
                "items": { "type": "string", "pattern": "^/", "maxLength": 500 }
            },
            "width": { "type": "integer", "minimum": 200, "maximum": 4000,
                "description": "Width of the window, in pixels; 1280" },
            "height": { "type": "integer", "minimum": 200, "maximum": 4000,
                "description": "Height of the window, in pixels; 800" },
            "wait_ms": { "type": "integer", "minimum": 0, "maximum": 30000,
                "description": "Pause between the load of a page and its picture; 500" },
            "full_page": { "type": "boolean",
                "description": "Whether a page is taken to its end, up to 10000 pixels; false" },
            "host": { "type": "string", "maxLength": 253,
                "description": "Name that the application is asked for; that of the environment's first address. Empty: none" },
            "url": { "type": "string", "pattern": "^https?://", "maxLength": 500,
                "description": "Address that is asked in place of the new version's instances" }
        }
    }"#,
    failures: "failures.toml",
}
