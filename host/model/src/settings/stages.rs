//! `[[stages]]`: which custom stages of which plugins run, and where.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use toml::Value;

use super::overrides::json_of;
use super::schema::{get, string, wrong};
use crate::failure::Failure;
use crate::plugin::Hook;
use crate::plugin::lock::{NAME_RULE, is_name};

const KEY: &str = "stages";
/// Entries of the list.
const ENTRIES_MAX: usize = 50;

/// One of `[[stages]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StageSettings {
    /// Name of the plugin.
    pub plugin: String,
    /// Which of its stages; absent: all that can run at the hook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Where; may be absent where the plugin says it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Hook>,
    /// What a failure means.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// After the switch: after which end of the deployment.
    #[serde(default)]
    pub when: When,
    /// What the stage is told; laid over the plugin's own options.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Json>,
}

/// What the failure of a stage means for its deployment.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// It fails, before anything was switched.
    #[default]
    Fail,
    /// It goes on, with a warning.
    Warn,
}

/// After which end of a deployment a background stage runs.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// It is live.
    #[default]
    Success,
    /// It failed.
    Failure,
    /// Both.
    Always,
}

impl When {
    /// Whether it runs after this end.
    pub const fn applies(self, is_live: bool) -> bool {
        match self {
            Self::Success => is_live,
            Self::Failure => !is_live,
            Self::Always => true,
        }
    }
}

pub(super) fn read(root: &Value) -> Result<Vec<StageSettings>, Failure> {
    let shape = || wrong(KEY, "tables as [[stages]] with plugin = \"NAME\"");
    let list = match get(root, KEY) {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) if list.len() <= ENTRIES_MAX => list,
        Some(_) => return Err(shape()),
    };
    let mut stages: Vec<StageSettings> = Vec::new();
    for value in list {
        let stage = one(value)?;
        let same = |other: &StageSettings| {
            (&other.plugin, &other.stage, other.at) == (&stage.plugin, &stage.stage, stage.at)
        };
        if stages.iter().any(same) {
            return Err(wrong(KEY, "each stage of a plugin once at each hook"));
        }
        stages.push(stage);
    }
    Ok(stages)
}

fn one(value: &Value) -> Result<StageSettings, Failure> {
    const KEYS: [&str; 6] = ["plugin", "stage", "at", "on_failure", "when", "options"];
    let expected = |text: &str| wrong(KEY, text);
    let table = value.as_table().ok_or_else(|| expected("tables as [[stages]]"))?;
    if let Some(unknown) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(expected(&format!("only {}, not {unknown:?}", KEYS.join(", "))));
    }
    let name = |key: &str| -> Result<Option<String>, Failure> {
        match string(value, key)? {
            Some(text) if !is_name(&text) => Err(expected(&format!("for {key} {NAME_RULE}"))),
            name => Ok(name),
        }
    };
    let plugin = name("plugin")?.ok_or_else(|| expected("plugin = \"NAME\" in each of them"))?;
    let hook = |text: String| {
        let found = Hook::ALL.into_iter().find(|hook| hook.as_str() == text);
        found.ok_or_else(|| {
            let known = Hook::ALL.map(Hook::as_str).join(", ");
            expected(&format!("for at one of {known}"))
        })
    };
    let at = string(value, "at")?.map(hook).transpose()?;
    let on_failure = match string(value, "on_failure")?.as_deref() {
        None | Some("fail") => OnFailure::Fail,
        Some("warn") => OnFailure::Warn,
        Some(_) => return Err(expected("on_failure = \"fail\" or \"warn\"")),
    };
    let when = match string(value, "when")?.as_deref() {
        None | Some("success") => When::Success,
        Some("failure") => When::Failure,
        Some("always") => When::Always,
        Some(_) => return Err(expected("when = \"success\", \"failure\" or \"always\"")),
    };
    if when != When::Success && at.is_some_and(|at| at != Hook::AfterSwitch) {
        return Err(expected("when only together with at = \"after-switch\""));
    }
    let options = match table.get("options").map(json_of) {
        None => Map::new(),
        Some(Json::Object(options)) => options,
        Some(_) => return Err(expected("a table for options, as options = { level = \"high\" }")),
    };
    Ok(StageSettings { plugin, stage: name("stage")?, at, on_failure, when, options })
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;
    use crate::id::EnvironmentName;

    fn parse(text: &str) -> Result<Settings, Failure> {
        Settings::parse(text, &EnvironmentName::production())
    }

    #[test]
    fn stages_are_read_with_their_defaults_and_come_back_from_the_store() {
        let text = r#"
            [[stages]]
            plugin = "osv-scan"
            at = "after-build"
            on_failure = "warn"
            options = { level = "high", ignore = ["GHSA-1"] }
            [[stages]]
            plugin = "notify"
            stage = "chat"
            at = "after-switch"
            when = "always"
        "#;
        let settings = parse(text).unwrap();
        let [scan, notify] = &settings.stages[..] else { panic!("{settings:?}") };
        assert_eq!((scan.at, scan.on_failure), (Some(Hook::AfterBuild), OnFailure::Warn));
        assert_eq!(scan.options["ignore"][0], "GHSA-1");
        assert_eq!((notify.stage.as_deref(), notify.when), (Some("chat"), When::Always));
        assert_eq!(notify.on_failure, OnFailure::Fail);
        let stored = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&stored).unwrap(), settings);
    }

    #[test]
    fn what_does_not_fit_says_what_is_expected() {
        for (text, says) in [
            ("stages = 1", "[[stages]]"),
            ("[[stages]]\nat = 'after-build'", "plugin"),
            ("[[stages]]\nplugin = 'A b'", "lower-case"),
            ("[[stages]]\nplugin = 'a'\nat = 'later'", "before-switch"),
            ("[[stages]]\nplugin = 'a'\non_failure = 'ignore'", "warn"),
            ("[[stages]]\nplugin = 'a'\nwhen = 'never'", "always"),
            ("[[stages]]\nplugin = 'a'\nat = 'after-build'\nwhen = 'failure'", "after-switch"),
            ("[[stages]]\nplugin = 'a'\noptions = 1", "table"),
            ("[[stages]]\nplugin = 'a'\ncolour = 1", "colour"),
            ("[[stages]]\nplugin = 'a'\n[[stages]]\nplugin = 'a'", "once"),
        ] {
            let failure = parse(text).unwrap_err();
            assert_eq!(failure.code, "settings.wrong-value", "{text}");
            assert!(failure.why.contains(says), "{text}: {}", failure.why);
        }
        let secret = "[[stages]]\nplugin = 'a'\noptions = { url = 'https://u:hunter2@h' }";
        assert_eq!(parse(secret).unwrap_err().code, "settings.secret-in-file");
    }

    #[test]
    fn when_is_about_the_end() {
        assert!(When::Success.applies(true) && !When::Success.applies(false));
        assert!(!When::Failure.applies(true) && When::Failure.applies(false));
        assert!(When::Always.applies(true) && When::Always.applies(false));
    }
}
