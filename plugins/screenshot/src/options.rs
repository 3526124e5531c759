//! What is set for the stage.

use serde::Deserialize;
use windlass_sdk::{Context, PluginError};

/// An image with Chromium's headless shell, on Debian.
const IMAGE: &str = "docker.io/chromedp/headless-shell:stable";
/// Pages of one deployment.
const PATHS_MAX: usize = 10;
/// Of the window, in pixels.
const SIDE: std::ops::RangeInclusive<u32> = 200..=4_000;
const WAIT_MS_MAX: u32 = 30_000;

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    pub(crate) image: String,
    /// Each begins with a slash.
    pub(crate) paths: Vec<String>,
    /// Of the window, in pixels.
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Between the load of a page and its picture.
    pub(crate) wait_ms: u32,
    pub(crate) full_page: bool,
    /// Name that is asked for; empty is none, absent that of the environment's first address.
    pub(crate) host: Option<String>,
    /// What is asked in place of the instances.
    pub(crate) url: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            image: IMAGE.to_owned(),
            paths: vec!["/".to_owned()],
            width: 1280,
            height: 800,
            wait_ms: 500,
            full_page: false,
            host: None,
            url: None,
        }
    }
}

impl Options {
    pub(crate) fn of(ctx: &Context) -> Result<Self, PluginError> {
        let options: Self = ctx.options()?;
        if options.image.is_empty() {
            return Err(invalid("`image` is empty".to_owned()));
        }
        if options.paths.is_empty() || options.paths.len() > PATHS_MAX {
            return Err(invalid(format!("`paths` has 1 to {PATHS_MAX} entries")));
        }
        if let Some(bad) = options.paths.iter().find(|path| !is_path(path)) {
            return Err(invalid(format!("the page {bad:?} is no path that begins with `/`")));
        }
        if !SIDE.contains(&options.width) || !SIDE.contains(&options.height) {
            let (from, to) = SIDE.into_inner();
            return Err(invalid(format!("`width` and `height` are {from} to {to} pixels")));
        }
        if options.wait_ms > WAIT_MS_MAX {
            return Err(invalid(format!("`wait_ms` is at most {WAIT_MS_MAX}")));
        }
        if let Some(bad) = options.host.as_deref().filter(|it| !it.is_empty() && !is_host(it)) {
            return Err(invalid(format!("{bad:?} is no host name")));
        }
        match options.url.as_deref().filter(|url| !is_address(url)) {
            Some(bad) => Err(invalid(format!("{bad:?} is no address with http or https"))),
            None => Ok(options),
        }
    }
}

fn is_printed(text: &str) -> bool {
    !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

fn is_path(path: &str) -> bool {
    path.starts_with('/') && !path.starts_with("//") && is_printed(path)
}

fn is_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && is_printed(rest))
}

pub(crate) fn is_host(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    !name.is_empty() && name.chars().all(letter)
}

fn invalid(what: String) -> PluginError {
    PluginError::new("screenshot.option-invalid", what)
        .hint("correct it in `options` of `[[stages]]` in windlass.toml")
}
