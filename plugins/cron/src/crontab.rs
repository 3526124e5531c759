//! `crontab`: a table of a user, as `crontab(5)` describes it.

use windlass_sdk::{PluginError, Source};

use super::{Found, Read, Work};

const FILE: &str = "crontab";
/// Assignments that are for cron itself, and change nothing here.
const OF_CRON: [&str; 3] = ["MAILTO", "MAILFROM", "SHELL"];

pub(super) fn read(source: &Source, into: &mut Read) -> Result<(), PluginError> {
    if let Some(text) = source.text(FILE)? {
        parse(&text, into);
    }
    Ok(())
}

/// Takes the lines of a table; a time zone holds for the lines below it.
pub(super) fn parse(text: &str, into: &mut Read) {
    let mut timezone = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some((name, value)) = assignment(line) {
            match name {
                "CRON_TZ" | "TZ" => timezone = Some(value.to_owned()),
                name if OF_CRON.contains(&name) => {}
                name => into.left_out.push(format!(
                    "the variable {name} in line {number} of {FILE}: set it with `windlass env set`"
                )),
            }
            continue;
        }
        match job(line) {
            Ok((cron, command)) => into.found.push(Found {
                place: format!("line {number} of {FILE}"),
                name: None,
                cron,
                timezone: timezone.clone(),
                work: Work::Line(command),
            }),
            Err(why) => into.left_out.push(format!("line {number} of {FILE}: {why}")),
        }
    }
}

/// `NAME = value`, with or without quotes.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name =
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(letter);
    is_name.then(|| (name, value.trim().trim_matches(['"', '\''])))
}

/// The expression and the command of a line.
fn job(line: &str) -> Result<(String, String), String> {
    let fields = if line.starts_with('@') { 1 } else { 5 };
    let mut rest = line;
    let mut cron = Vec::new();
    for _ in 0..fields {
        let (field, after) = rest.split_once(char::is_whitespace).ok_or("it has no command")?;
        cron.push(field);
        rest = after.trim_start();
    }
    if cron[0].eq_ignore_ascii_case("@reboot") {
        return Err(
            "@reboot is no time: what runs with the application is a process of it".to_owned()
        );
    }
    let command = rest.replace(r"\%", "\0");
    if command.contains('%') {
        return Err("cron takes its % as a line break; write \\%".to_owned());
    }
    match command.replace('\0', "%").trim() {
        "" => Err("it has no command".to_owned()),
        command => Ok((cron.join(" "), command.to_owned())),
    }
}
