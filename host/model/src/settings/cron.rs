//! `[[cron]]`: commands that run at their times.

use toml::Value;

use super::schema::{get, string, unknown_of, wrong};
use super::units::parse_duration_ms;
use crate::cron::{Overlap, Schedule};
use crate::failure::Failure;
use crate::id::ProcessName;
use crate::schedule::{is_name, name_of_command};

const KEY: &str = "cron";
/// Entries of the list.
const ENTRIES_MAX: usize = 50;
/// Longest `timeout`.
const TIMEOUT_MS_MAX: u32 = 3_600_000_000;
/// What an entry can say.
const KEYS: [&str; 7] =
    ["name", "schedule", "command", "timezone", "overlap", "timeout", "process"];

pub(super) fn read(root: &Value) -> Result<Vec<Schedule>, Failure> {
    let shape = || {
        let example = "schedule = \"0 3 * * *\" and command = \"node cleanup.js\"";
        wrong(KEY, &format!("at most {ENTRIES_MAX} tables as [[cron]] with {example}"))
    };
    let list = match get(root, KEY) {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) if list.len() <= ENTRIES_MAX => list,
        Some(_) => return Err(shape()),
    };
    let mut all: Vec<Schedule> = Vec::new();
    for value in list {
        let table = value.as_table().ok_or_else(shape)?;
        if let Some(unknown) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(unknown_of(KEY, unknown, &KEYS));
        }
        let one = one(value)?;
        if all.iter().any(|other| other.name == one.name) {
            let each =
                format!("each name once; {:?} comes twice, so give one of them a name", one.name);
            return Err(named("name", &each));
        }
        all.push(one);
    }
    Ok(all)
}

/// What is wrong with a key of an entry.
fn named(key: &str, expected: &str) -> Failure {
    wrong(&format!("{KEY}.{key}"), expected)
}

fn one(value: &Value) -> Result<Schedule, Failure> {
    let text = |key: &str| string(value, key).map_err(|_| named(key, "text in quotes"));
    let (argv, line) = command(value)?;
    let name = match text("name")? {
        Some(name) if is_name(&name) => name,
        Some(_) => return Err(named("name", "1 to 40 lower-case letters, digits and hyphens")),
        None => name_of_command(&line).ok_or_else(|| {
            named("name", "a name in each of them whose command has no letters or digits")
        })?,
    };
    let overlap = match text("overlap")?.as_deref() {
        None | Some("skip") => Overlap::Skip,
        Some("queue") => Overlap::Queue,
        Some("replace") => Overlap::Replace,
        Some(_) => return Err(named("overlap", "\"skip\", \"queue\" or \"replace\"")),
    };
    let timeout_ms = match text("timeout")? {
        None => 0,
        Some(text) => parse_duration_ms(&text)
            .and_then(|ms| u32::try_from(ms).ok())
            .filter(|ms| (1_000..=TIMEOUT_MS_MAX).contains(ms))
            .ok_or_else(|| named("timeout", "a duration from \"1s\" to \"1000h\", as \"30m\""))?,
    };
    let process = text("process")?;
    if process.as_ref().is_some_and(|name| name.parse::<ProcessName>().is_err()) {
        return Err(named("process", "the name of a process, as \"worker\""));
    }
    let cron = text("schedule")?.ok_or_else(|| {
        named("schedule", "a schedule in each of them, as schedule = \"0 3 * * *\"")
    })?;
    let timezone = text("timezone")?;
    let schedule = Schedule { name, cron, timezone, argv, process, overlap, timeout_ms };
    match schedule.times() {
        Ok(_) => Ok(schedule),
        Err(invalid) => Err(Failure::app(
            "settings.wrong-value",
            format!("windlass.toml: the value of `{KEY}.{}` cannot be used", invalid.field),
            invalid.to_string(),
            invalid.fix,
        )),
    }
}

/// `command` as a line for the shell or as a list, and as one line.
fn command(value: &Value) -> Result<(Vec<String>, String), Failure> {
    let expected = || {
        let forms = "command = \"node cleanup.js\" or command = [\"node\", \"cleanup.js\"]";
        named("command", &format!("a command in each of them, as {forms}"))
    };
    match value.get("command") {
        Some(Value::String(line)) if !line.trim().is_empty() && !line.contains('\0') => {
            let argv = ["/bin/sh", "-c", line].map(str::to_owned).to_vec();
            Ok((argv, line.clone()))
        }
        Some(Value::Array(words)) => {
            let words = words.iter().map(|word| word.as_str().map(str::to_owned));
            let argv: Vec<String> = words.collect::<Option<_>>().ok_or_else(expected)?;
            let line = argv.join(" ");
            Ok((argv, line))
        }
        _ => Err(expected()),
    }
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
    fn schedules_are_read_with_their_defaults_and_come_back_from_the_store() {
        let text = r#"
            [[cron]]
            schedule = "0 3 * * *"
            command = "node cleanup.js"
            [[cron]]
            name = "report"
            schedule = "@hourly"
            command = ["node", "report.js", "--all files"]
            timezone = "Europe/Vienna"
            overlap = "queue"
            timeout = "10m"
            process = "worker"
            [[environments.staging.cron]]
            schedule = "*/5 * * * *"
            command = "true"
        "#;
        let settings = parse(text).unwrap();
        let [cleanup, report] = &settings.cron[..] else { panic!("{settings:?}") };
        assert_eq!(cleanup.name, "node-cleanup-js");
        assert_eq!(cleanup.argv, ["/bin/sh", "-c", "node cleanup.js"]);
        assert_eq!((cleanup.overlap, cleanup.timeout_ms), (Overlap::Skip, 0));
        assert_eq!(report.argv, ["node", "report.js", "--all files"]);
        assert_eq!((report.overlap, report.timeout_ms), (Overlap::Queue, 600_000));
        assert_eq!(report.process.as_deref(), Some("worker"));
        let stored = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&stored).unwrap(), settings);
        // An environment's list stands in place of the common one.
        let staging = Settings::parse(text, &"staging".parse().unwrap()).unwrap();
        assert_eq!(staging.cron.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["true"]);
    }

    #[test]
    fn what_does_not_fit_says_which_key_and_what_is_expected() {
        let daily = "[[cron]]\nschedule = '@daily'";
        for (text, key, says) in [
            ("cron = 1".to_owned(), "`cron`", "[[cron]]"),
            ("cron = [1]".to_owned(), "`cron`", "[[cron]]"),
            (daily.to_owned(), "`cron.command`", "command ="),
            (format!("{daily}\ncommand = ''"), "`cron.command`", "command ="),
            (format!("{daily}\ncommand = ['a', 1]"), "`cron.command`", "command ="),
            (format!("{daily}\ncommand = []\nname = 'a'"), "`cron.command`", "empty"),
            (format!("{daily}\ncommand = '***'"), "`cron.name`", "no letters"),
            (format!("{daily}\ncommand = 'a'\nname = 'A b'"), "`cron.name`", "lower-case"),
            (format!("{daily}\ncommand = 'a'\n{daily}\ncommand = 'a'"), "`cron.name`", "twice"),
            ("[[cron]]\ncommand = 'a'".to_owned(), "`cron.schedule`", "0 3 * * *"),
            ("[[cron]]\ncommand = 'a'\nschedule = 3".to_owned(), "`cron.schedule`", "quotes"),
            (
                "[[cron]]\ncommand = 'a'\nschedule = '0 25 * * *'".to_owned(),
                "`cron.schedule`",
                "25",
            ),
            (format!("{daily}\ncommand = 'a'\ntimezone = 'Wien'"), "`cron.timezone`", "Wien"),
            (format!("{daily}\ncommand = 'a'\noverlap = 'both'"), "`cron.overlap`", "replace"),
            (format!("{daily}\ncommand = 'a'\ntimeout = '10'"), "`cron.timeout`", "30m"),
            (format!("{daily}\ncommand = 'a'\ntimeout = '2000h'"), "`cron.timeout`", "1000h"),
            (format!("{daily}\ncommand = 'a'\nprocess = 'A'"), "`cron.process`", "worker"),
        ] {
            let failure = parse(&text).unwrap_err();
            assert_eq!(failure.code, "settings.wrong-value", "{text}");
            assert!(failure.what.contains(key), "{text}: {}", failure.what);
            assert!(failure.why.contains(says), "{text}: {}", failure.why);
        }
        let unknown = parse(&format!("{daily}\ncomand = 'a'")).unwrap_err();
        assert_eq!(unknown.code, "settings.unknown-key");
        assert!(unknown.why.contains("`cron.command`"), "{}", unknown.why);
        let secret = format!("{daily}\ncommand = 'curl https://u:hunter2@h'");
        assert_eq!(parse(&secret).unwrap_err().code, "settings.secret-in-file");
    }
}
