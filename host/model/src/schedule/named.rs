//! Who set a schedule, and what it is called.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cron::Schedule;

/// Characters of a name.
const NAME_MAX: usize = 40;

/// Who set a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum ScheduleSource {
    /// `[[cron]]` of the settings.
    Settings,
    /// A custom stage of a plugin, when the version was built.
    Plugin {
        /// Its name.
        plugin: String,
    },
}

impl ScheduleSource {
    /// By the name of the schedule: a plugin's has the plugin's name and a dot before it.
    pub fn of(schedule: &Schedule) -> Self {
        match schedule.name.split_once('.') {
            Some((plugin, _)) => Self::Plugin { plugin: plugin.to_owned() },
            None => Self::Settings,
        }
    }
}

impl fmt::Display for ScheduleSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings => f.write_str("[[cron]]"),
            Self::Plugin { plugin } => write!(f, "plugin {plugin}"),
        }
    }
}

/// Whether this can be the name of a schedule: 1 to 40 lower-case letters, digits and hyphens.
pub fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=NAME_MAX).contains(&name.len()) && name.chars().all(letter)
}

/// What a schedule is called that has no name of its own: `node jobs/clean.js` is `node-jobs-clean-js`. `None`
/// where nothing is left of the command.
pub fn name_of_command(command: &str) -> Option<String> {
    let letters = command.to_ascii_lowercase();
    let words = letters.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut name = words.collect::<Vec<_>>().join("-");
    name.truncate(NAME_MAX);
    let name = name.trim_matches('-');
    is_name(name).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_gives_its_schedule_a_name() {
        for (command, name) in [
            ("node jobs/clean.js", Some("node-jobs-clean-js")),
            ("  php artisan schedule:run  ", Some("php-artisan-schedule-run")),
            ("./émile", Some("mile")),
            ("***", None),
            ("", None),
        ] {
            assert_eq!(name_of_command(command).as_deref(), name, "{command}");
        }
        let long = name_of_command(&"word ".repeat(20)).unwrap();
        assert!(is_name(&long) && long.len() <= 40, "{long}");
    }
}
