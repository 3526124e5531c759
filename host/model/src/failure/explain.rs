//! What is said about a failure code when somebody asks: `windlass explain CODE`.
//!
//! The host's codes are [`CODES`](super::codes::CODES); those of a plugin are in its manifest, so that a
//! plugin that is installed later brings its own explanations.

use serde::{Deserialize, Serialize};

use super::Failure;
use super::codes::CODES;
use crate::plugin::Manifest;
use crate::spelling;

/// Whose doing a failure with a code usually is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// The application's, its repository's, its settings' or the person's who asked.
    App,
    /// A plugin's.
    Plugin,
    /// Windlass's, or that of the machine it runs on.
    Host,
    /// Nobody's: it is worth saying, and stopped nothing.
    Warning,
}

impl Whose {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "application",
            Self::Plugin => "plugin",
            Self::Host => "host",
            Self::Warning => "warning",
        }
    }
}

/// One code of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// Stable, dot-separated.
    pub code: &'static str,
    /// Whose doing it is.
    pub whose: Whose,
    /// What happened, in a few words.
    pub title: &'static str,
    /// Why it happens.
    pub cause: &'static str,
    /// What to do about it.
    pub fix: &'static str,
}

impl Code {
    /// As it is shown.
    pub fn explained(&self) -> Explained {
        Explained {
            code: self.code.to_owned(),
            whose: self.whose,
            plugin: None,
            title: self.title.to_owned(),
            cause: self.cause.to_owned(),
            fix: self.fix.to_owned(),
        }
    }
}

/// A failure code, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Explained {
    /// The code.
    pub code: String,
    /// Whose doing it usually is.
    pub whose: Whose,
    /// The plugin that it belongs to; absent for those of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// What happened.
    pub title: String,
    /// Why it happens.
    pub cause: String,
    /// What to do about it.
    pub fix: String,
}

/// All codes: the host's, then those of the plugins, sorted.
pub fn all<'a>(plugins: impl IntoIterator<Item = &'a Manifest>) -> Vec<Explained> {
    let of_plugins = plugins.into_iter().flat_map(of_plugin);
    let mut all: Vec<Explained> = CODES.iter().map(Code::explained).chain(of_plugins).collect();
    all.sort_by(|a, b| a.code.cmp(&b.code));
    all.dedup_by(|a, b| a.code == b.code);
    all
}

fn of_plugin(manifest: &Manifest) -> impl Iterator<Item = Explained> + '_ {
    manifest.failures.iter().map(|known| Explained {
        code: known.code.clone(),
        whose: Whose::App,
        plugin: Some(manifest.name.clone()),
        title: without_captures(&known.title),
        cause: without_captures(&known.cause),
        fix: without_captures(&known.fix),
    })
}

/// `npm install {module}` without a log to take the name from: `npm install <module>`.
fn without_captures(text: &str) -> String {
    text.replace('{', "<").replace('}', ">")
}

/// One code of those known.
///
/// # Errors
/// `code.not-found`, which names the nearest ones.
pub fn one<'a>(all: &'a [Explained], code: &str) -> Result<&'a Explained, Failure> {
    all.iter().find(|known| known.code == code).ok_or_else(|| {
        let near = spelling::nearest(code, all.iter().map(|known| known.code.as_str()));
        let near = if near.is_empty() { same_area(all, code) } else { near };
        let why = if near.is_empty() {
            "neither this Windlass nor a plugin here has one like it".to_owned()
        } else {
            format!("the nearest are {}", near.join(", "))
        };
        let fix = match near.first() {
            Some(nearest) => format!("`windlass explain {nearest}`; `windlass explain` lists all"),
            None => "`windlass explain` lists all".to_owned(),
        };
        Failure::app("code.not-found", format!("there is no failure code {code:?}"), why, fix)
    })
}

fn same_area<'a>(all: &'a [Explained], code: &str) -> Vec<&'a str> {
    let area = format!("{}.", code.split('.').next().unwrap_or_default());
    let codes = all.iter().map(|known| known.code.as_str());
    codes.filter(|known| known.starts_with(&area)).take(3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_explained_and_a_typing_error_names_the_nearest() {
        let all = all([]);
        assert_eq!(one(&all, "check.exited").unwrap().whose, Whose::App);
        let failure = one(&all, "chek.exitd").unwrap_err();
        assert!(failure.why.contains("check.exited"), "{failure:?}");
        assert!(failure.fix.contains("windlass explain check.exited"), "{failure:?}");
        assert!(one(&all, "check.zzzzzzzzzzzz").unwrap_err().why.contains("check."));
        assert!(one(&all, "zzzzzzzzzzzz").unwrap_err().why.contains("neither"));
    }

    #[test]
    fn names_of_captures_stand_for_what_a_log_would_give() {
        assert_eq!(without_captures("install {module}"), "install <module>");
    }
}
