//! Settings that a person set for one environment: a part of what `windlass.toml` can say, laid over the
//! file and read by the same code.
//!
//! **Invariant: what is stored was read by [`Overrides::read`]**, so that a deployment can fail on it only
//! together with a file that contradicts it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toml::Table;

use super::{Settings, schema, secrets};
use crate::failure::Failure;

/// Keys that are read of a commit before there is a deployment, so that only the file can have them.
const ONLY_IN_FILE: [&str; 2] = ["build.lfs", "deploy.paths"];

/// A part of `windlass.toml` as JSON: its tables as objects, its keys by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Overrides(Map<String, Value>);

/// The settings of an environment, as they are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentSettings {
    /// What was set.
    pub overrides: Overrides,
    /// When.
    pub updated_at: Timestamp,
    /// By whom.
    pub updated_by: String,
    /// Whether its retention has changed and was not applied since.
    #[serde(default)]
    pub retention_owed: bool,
}

/// Where the values of a deployment's settings come from: all of the file's, and all of the environment's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Layers {
    /// What `windlass.toml` says for the environment.
    #[serde(skip_serializing_if = "Overrides::is_empty")]
    pub file: Overrides,
    /// What was set for the environment; it goes before the file.
    #[serde(skip_serializing_if = "Overrides::is_empty")]
    pub environment: Overrides,
}

impl Layers {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.file.is_empty() && self.environment.is_empty()
    }

    /// What is in force of a key, if anything says it.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.environment.get(key).or_else(|| self.file.get(key))
    }
}

impl Overrides {
    /// Reads what is to be set.
    ///
    /// # Errors
    /// Those of [`Settings::parse`] in the words of an environment, `settings.only-in-file`.
    pub fn read(document: Map<String, Value>) -> Result<Self, Failure> {
        let overrides = Self(document);
        let table = overrides.table()?;
        for key in ["name", "environments"] {
            if table.contains_key(key) {
                return Err(not_here(key));
            }
        }
        if let Some(key) = ONLY_IN_FILE.into_iter().find(|key| overrides.get(key).is_some()) {
            return Err(only_in_file(key));
        }
        secrets::refuse(&table)
            .and_then(|()| schema::check(&table))
            .and_then(|()| schema::read(table).map(drop))
            .map_err(in_environment)?;
        Ok(overrides)
    }

    /// A layer that was read before.
    pub(super) fn of_table(table: &Table) -> Self {
        Self(table.iter().map(|(key, value)| (key.clone(), json_of(value))).collect())
    }

    /// As a table of the file.
    pub(super) fn table(&self) -> Result<Table, Failure> {
        self.0.iter().map(|(key, value)| Ok((key.clone(), toml_of(key, value)?))).collect()
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a key by its dotted name.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let (first, rest) = key.split_once('.').map_or((key, None), |(a, b)| (a, Some(b)));
        let mut value = self.0.get(first);
        for part in rest.into_iter().flat_map(|rest| rest.split('.')) {
            value = value?.get(part);
        }
        value
    }

    /// Sets a key by its dotted name.
    pub fn set(&mut self, key: &str, value: Value) {
        let mut parts: Vec<&str> = key.split('.').collect();
        let Some(last) = parts.pop() else { return };
        let mut map = &mut self.0;
        for part in parts {
            let inner = map.entry(part).or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            let Value::Object(inner) = inner else { return };
            map = inner;
        }
        map.insert(last.to_owned(), value);
    }

    /// Takes a key, or a whole table, back; whether it was set.
    pub fn unset(&mut self, key: &str) -> bool {
        fn within(map: &mut Map<String, Value>, key: &str) -> bool {
            let Some((first, rest)) = key.split_once('.') else {
                return map.remove(key).is_some();
            };
            let Some(Value::Object(inner)) = map.get_mut(first) else { return false };
            let found = within(inner, rest);
            if inner.is_empty() {
                map.remove(first);
            }
            found
        }
        within(&mut self.0, key)
    }

    /// Every value by its dotted name.
    pub fn flat(&self) -> BTreeMap<String, Value> {
        fn walk(path: &str, map: &Map<String, Value>, into: &mut BTreeMap<String, Value>) {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match value {
                    Value::Object(inner) => walk(&path, inner, into),
                    value => {
                        into.insert(path, value.clone());
                    }
                }
            }
        }
        let mut into = BTreeMap::new();
        walk("", &self.0, &mut into);
        into
    }

    /// The same as a document.
    pub fn document(&self) -> &Map<String, Value> {
        &self.0
    }

    /// How many deployments are to be kept, and how many artifacts, where that was set.
    pub fn retention(&self) -> (Option<usize>, Option<usize>) {
        let read = self.table().and_then(schema::read).map(|settings| settings.deploy);
        read.map_or((None, None), |deploy| (deploy.keep_deployments, deploy.keep_artifacts))
    }
}

/// The value of a key as a person types it: as in `windlass.toml`, or, where that is none, the words as
/// they stand. A key that takes text takes a bare number or `true` as text, too.
pub fn typed(key: &str, text: &str) -> Value {
    let read = toml::from_str::<Table>(&format!("value = {text}"));
    // One line and one value: a second key is no part of it.
    let value = read.ok().filter(|table| table.len() == 1).and_then(|mut t| t.remove("value"));
    match value {
        Some(toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_))
            if schema::takes_text(key) =>
        {
            Value::String(text.trim().to_owned())
        }
        Some(value) => json_of(&value),
        None => Value::String(text.to_owned()),
    }
}

impl Settings {
    /// The file's settings with the environment's laid over them, in place of those that were.
    ///
    /// # Errors
    /// `settings.wrong-value` when the two contradict each other.
    pub fn with(&self, overrides: &Overrides) -> Result<Self, Failure> {
        if overrides.is_empty() && self.layers.environment.is_empty() {
            return Ok(self.clone());
        }
        let mut table = self.layers.file.table()?;
        schema::lay_over(&mut table, overrides.table()?);
        let mut merged = schema::read(table).map_err(together)?;
        merged.layers = Layers { file: self.layers.file.clone(), environment: overrides.clone() };
        Ok(merged)
    }

    /// Whether it was stored by a version that did not note what the file says, so that nothing can be
    /// laid over it.
    pub fn is_without_layers(&self) -> bool {
        self.layers.is_empty() && *self != Self::default()
    }

    /// The same for an artifact that was built with other settings: what is part of it, and how it was
    /// found healthy, stays as it was.
    #[must_use]
    pub fn for_artifact_of(mut self, built: &Self) -> Self {
        self.build = built.build.clone();
        self.health = built.health.clone();
        self.migrate = built.migrate.clone();
        self.cron = built.cron.clone();
        self.run.command = built.run.command.clone();
        let now = std::mem::replace(&mut self.run.processes, built.run.processes.clone());
        for (name, process) in &mut self.run.processes {
            if let Some(now) = now.get(name) {
                process.replicas = now.replicas;
            }
        }
        self
    }
}

pub(super) fn json_of(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(is) => (*is).into(),
        // No key takes a time: as text it is refused by what the key takes.
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => items.iter().map(json_of).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.iter().map(|(key, value)| (key.clone(), json_of(value))).collect())
        }
    }
}

fn toml_of(key: &str, value: &Value) -> Result<toml::Value, Failure> {
    let no_value = || in_environment(schema::wrong(key, "a value that windlass.toml can hold"));
    Ok(match value {
        Value::Null => return Err(no_value()),
        Value::Bool(is) => toml::Value::Boolean(*is),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => toml::Value::Integer(whole),
            (None, Some(number)) if !value.is_u64() => toml::Value::Float(number),
            _ => return Err(no_value()),
        },
        Value::String(text) => toml::Value::String(text.clone()),
        Value::Array(items) => toml::Value::Array(
            items.iter().map(|item| toml_of(key, item)).collect::<Result<_, _>>()?,
        ),
        Value::Object(map) => {
            let pair = |(inner, value): (&String, &Value)| {
                Ok((inner.clone(), toml_of(&format!("{key}.{inner}"), value)?))
            };
            toml::Value::Table(map.iter().map(pair).collect::<Result<_, Failure>>()?)
        }
    })
}

fn not_here(key: &str) -> Failure {
    Failure::app(
        "settings.wrong-value",
        format!("the settings of an environment: the value of `{key}` cannot be used"),
        "expected nothing here: these are the settings of one environment of one project",
        format!("leave `{key}` out"),
    )
}

fn only_in_file(key: &str) -> Failure {
    Failure::app(
        "settings.only-in-file",
        format!("`{key}` can be set in windlass.toml alone"),
        "it is read of each commit, before there is a deployment that settings could be in force for",
        format!("set `{key}` in windlass.toml, for one environment under [environments.NAME]"),
    )
}

/// The key that a failure of the schema names.
fn key_of(failure: &Failure) -> String {
    failure.what.split('`').nth(1).unwrap_or("KEY").to_owned()
}

/// A failure of the schema in the words of what was set, rather than of a file.
fn in_environment(mut failure: Failure) -> Failure {
    let key = key_of(&failure);
    failure.what = match failure.what.strip_prefix("windlass.toml: ") {
        Some(rest) => format!("the settings of an environment: {rest}"),
        None => failure.what.replace("windlass.toml holds", "the settings hold"),
    };
    failure.why = failure.why.replace(
        "everyone who can read the repository can read it",
        "everyone who can see the environment can read it",
    );
    failure.fix = match failure.code.as_str() {
        "settings.wrong-value" => format!("give such a value: `windlass settings set {key}=VALUE`"),
        "settings.unknown-key" => format!("use the nearest key, or leave `{key}` out"),
        _ => "store it with `windlass env set NAME=VALUE --secret`, and use the variable here"
            .to_owned(),
    };
    failure
}

/// A failure of a value that neither the file nor the environment has alone.
fn together(mut failure: Failure) -> Failure {
    let key = key_of(&failure);
    failure.what = failure.what.replacen(
        "windlass.toml:",
        "windlass.toml and the settings of the environment together:",
        1,
    );
    failure.fix = format!(
        "set it with `windlass settings set {key}=VALUE`, take back what contradicts it with `windlass \
         settings unset KEY` (`windlass settings show` lists both), or correct windlass.toml"
    );
    failure
}

#[cfg(test)]
#[path = "overrides_tests.rs"]
mod tests;
