//! Schedules in the files of other platforms.
//!
//! Times in them are UTC on those platforms, so they are here, unless the stage's options say otherwise.

use serde_json::Value;
use windlass_plugin_common::yaml;
use windlass_sdk::{PluginError, Source};

use super::{Found, Read, Work};

/// Takes what all of the files say.
pub(super) fn read(source: &Source, into: &mut Read) -> Result<(), PluginError> {
    source.prefetch(&["render.yaml", "railway.json", "railway.toml", "app.json", "vercel.json"]);
    if let Some(text) = source.text("render.yaml")? {
        let document = yaml::parse(&text).map_err(|why| invalid("render.yaml", &why))?;
        render(&document, into);
    }
    if let Some(document) = source.json::<Value>("railway.json")? {
        railway("railway.json", &document, into);
    } else if let Some(text) = source.text("railway.toml")? {
        let document = toml::from_str::<Value>(&text);
        let document = document.map_err(|error| invalid("railway.toml", error.message()))?;
        railway("railway.toml", &document, into);
    }
    if let Some(document) = source.json::<Value>("app.json")? {
        dokku(&document, into);
    }
    if let Some(document) = source.json::<Value>("vercel.json")? {
        vercel(&document, into);
    }
    Ok(())
}

fn invalid(file: &str, why: &str) -> PluginError {
    PluginError::new("cron.file-invalid", format!("{file} cannot be read: {why}"))
        .hint(format!("correct {file} and deploy again"))
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty())
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// Services of the type `cron`. One that is built otherwise than the application would need another image.
fn render(document: &Value, into: &mut Read) {
    for service in list(document, "services").filter(|one| text(one, "type") == Some("cron")) {
        let name = text(service, "name").unwrap_or("cron");
        let folder = text(service, "rootDir").unwrap_or("").trim_start_matches("./");
        let command = text(service, "startCommand").or_else(|| text(service, "dockerCommand"));
        match (text(service, "schedule"), command) {
            _ if !matches!(folder, "" | ".") => into.left_out.push(format!(
                "{name} of render.yaml runs in {folder}, which is not what is deployed here"
            )),
            (Some(schedule), Some(command)) => {
                into.found.push(found(&format!("{name} of render.yaml"), name, schedule, command));
            }
            (None, _) => into.left_out.push(format!("{name} of render.yaml has no schedule")),
            (_, None) => into.left_out.push(format!("{name} of render.yaml has no startCommand")),
        }
    }
}

/// On Railway the whole service runs at its times.
fn railway(file: &str, document: &Value, into: &mut Read) {
    let Some(deploy) = document.get("deploy") else { return };
    match (text(deploy, "cronSchedule"), text(deploy, "startCommand")) {
        (Some(schedule), Some(command)) => {
            into.found.push(found(file, "railway", schedule, command));
        }
        (Some(_), None) => into.left_out.push(format!(
            "the cronSchedule of {file} has no startCommand: set [[cron]] in windlass.toml with the command"
        )),
        (None, _) => {}
    }
}

/// `cron` of `app.json`, as Dokku has it.
fn dokku(document: &Value, into: &mut Read) {
    for (number, job) in (1..).zip(list(document, "cron")) {
        match (text(job, "schedule"), text(job, "command")) {
            (Some(schedule), Some(command)) => into.found.push(Found {
                place: format!("entry {number} of cron in app.json"),
                name: None,
                cron: schedule.trim().to_owned(),
                timezone: None,
                work: Work::Line(command.to_owned()),
            }),
            _ => into
                .left_out
                .push(format!("entry {number} of cron in app.json has no schedule or no command")),
        }
    }
}

/// `crons` of `vercel.json`: requests to paths.
fn vercel(document: &Value, into: &mut Read) {
    for (number, job) in (1..).zip(list(document, "crons")) {
        match (text(job, "schedule"), text(job, "path")) {
            (Some(schedule), Some(path)) => into.found.push(Found {
                place: format!("entry {number} of crons in vercel.json"),
                name: None,
                cron: schedule.trim().to_owned(),
                timezone: None,
                work: Work::Request(path.to_owned()),
            }),
            _ => into
                .left_out
                .push(format!("entry {number} of crons in vercel.json has no schedule or no path")),
        }
    }
}

fn found(place: &str, name: &str, schedule: &str, command: &str) -> Found {
    Found {
        place: place.to_owned(),
        name: Some(name.to_owned()),
        cron: schedule.trim().to_owned(),
        timezone: None,
        work: Work::Line(command.to_owned()),
    }
}
