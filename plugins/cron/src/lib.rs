//! Schedules that a repository already has, registered with the host: those of a `crontab`, of `render.yaml`,
//! `railway.json`, Dokku's `app.json`, and, where an address is set, `vercel.json`.
//!
//! **Invariant: nothing is left out in silence.** What a file says and the host cannot do is a warning with the
//! reason, in the log and beside the deployment.

mod crontab;
mod platforms;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use windlass_sdk::annotations::{Annotation, Tone};
use windlass_sdk::custom::{Facts, Input, Outcome, Schedule};
use windlass_sdk::{Context, Custom, PluginError, Source, log};

/// Characters of a schedule's name.
const NAME_MAX: usize = 40;
/// Schedules that the host takes of one stage.
const SCHEDULES_MAX: usize = 50;
/// Characters that the host takes of one line for the shell.
const LINE_CHARS_MAX: usize = 4_096;

/// The plugin.
#[derive(Debug)]
pub struct Cron;

/// What is set for the stage.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// Where requests of `vercel.json` go.
    url: Option<String>,
    /// Of schedules whose file says none.
    timezone: Option<String>,
    /// The process whose image the commands run in.
    process: Option<String>,
}

/// What is to happen at a schedule's times.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Work {
    /// A line for the shell.
    Line(String),
    /// A request to this path of the application.
    Request(String),
}

/// One schedule of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    /// Where it stands.
    place: String,
    /// What it is called, as far as the file says.
    name: Option<String>,
    /// Its expression.
    cron: String,
    timezone: Option<String>,
    work: Work,
}

/// What the files say.
#[derive(Debug, Default)]
struct Read {
    found: Vec<Found>,
    /// What is not registered, and why: sentences for people.
    left_out: Vec<String>,
}

impl Custom for Cron {
    fn run(
        _: &str,
        ctx: &Context,
        _: &Source,
        facts: &Facts,
        _: &[Input],
    ) -> Result<Outcome, PluginError> {
        let options: Options = ctx.options()?;
        let is_address = |url: &String| url.starts_with("http://") || url.starts_with("https://");
        if let Some(url) = options.url.as_ref().filter(|url| !is_address(url)) {
            let what = format!("the url {url:?} has neither http:// nor https://");
            return Err(PluginError::new("cron.option-invalid", what)
                .hint("set where the web process answers, as url = \"http://web:3000\""));
        }
        let source = Source::of(ctx);
        let mut read = Read::default();
        crontab::read(&source, &mut read)?;
        platforms::read(&source, &mut read)?;
        if read.found.is_empty() && read.left_out.is_empty() {
            return Ok(Outcome::skipped("no file has schedules"));
        }
        if facts.processes.is_empty() {
            return Ok(Outcome::skipped("the result runs nothing, so no command can be run in it"));
        }
        if let Some(name) = &options.process
            && facts.processes.iter().all(|process| process.name != *name)
        {
            let names: Vec<&str> = facts.processes.iter().map(|it| it.name.as_str()).collect();
            let what = format!("there is no process {name:?}, but {names:?}");
            return Err(PluginError::new("cron.option-invalid", what).hint(
                "correct `process` in the stage's options, or leave it out for the web process",
            ));
        }
        read.found.iter().try_for_each(check)?;
        let schedules = schedules(&mut read, &options)?;
        for why in &read.left_out {
            log::warn(format!("not registered: {why}"));
        }
        let summary = summary(schedules.len(), &read.left_out);
        note(&summary, !read.left_out.is_empty());
        Ok(schedules.into_iter().fold(Outcome::done(summary), Outcome::with_schedule))
    }
}

/// Refuses an expression that the host would not read, with the place where it stands.
fn check(found: &Found) -> Result<(), PluginError> {
    use croner::parser::{CronParser, Seconds, Year};
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(&found.cron).map(drop).map_err(|_| {
        let what = format!("{}: {:?} is no schedule", found.place, found.cron);
        PluginError::new("cron.schedule-invalid", what).hint(
            "write minute, hour, day of the month, month and day of the week, as \"0 3 * * *\", or @daily and the like",
        )
    })
}

/// Refuses what would be more than the host takes, with the place where it stands.
fn check_room(place: &str, line: &str, before: usize) -> Result<(), PluginError> {
    let refused = |what: String, hint: &str| {
        Err(PluginError::new("cron.schedule-invalid", format!("{place}: {what}")).hint(hint))
    };
    if before >= SCHEDULES_MAX {
        let what = format!("it has more than the {SCHEDULES_MAX} schedules that a stage may have");
        return refused(what, "leave some out, or write them as [[cron]] in windlass.toml");
    }
    if line.chars().count() > LINE_CHARS_MAX {
        let what = format!("its command has more than {LINE_CHARS_MAX} characters");
        return refused(what, "put it into a script of the repository, and run that");
    }
    if line.contains('\0') {
        return refused("its command has a NUL character".to_owned(), "take it out");
    }
    Ok(())
}

/// As the host takes them, each with a name of its own.
fn schedules(read: &mut Read, options: &Options) -> Result<Vec<Schedule>, PluginError> {
    let mut all: Vec<Schedule> = Vec::new();
    for found in std::mem::take(&mut read.found) {
        let line = match (&found.work, &options.url) {
            (Work::Line(line), _) => line.clone(),
            (Work::Request(path), Some(url)) => request(url, path),
            (Work::Request(path), None) => {
                read.left_out.push(format!(
                    "{path} of vercel.json is a request and no command: set `url` in the stage's options to where \
                     the web process answers, as http://web:3000, or [[cron]] in windlass.toml"
                ));
                continue;
            }
        };
        check_room(&found.place, &line, all.len())?;
        let wanted = match (&found.name, &found.work) {
            (Some(name), _) | (None, Work::Line(name) | Work::Request(name)) => slug(name),
        };
        let name = free(&wanted, &all);
        let mut schedule = Schedule::new(name, found.cron, ["/bin/sh", "-c", &line]);
        if let Some(zone) = found.timezone.or_else(|| options.timezone.clone()) {
            schedule = schedule.timezone(zone);
        }
        if let Some(process) = &options.process {
            schedule = schedule.process(process);
        }
        all.push(schedule);
    }
    Ok(all)
}

/// A request with what the image has for it; with the header by which Vercel's own requests are known.
fn request(url: &str, path: &str) -> String {
    let address = format!("{}/{}", url.trim_end_matches('/'), path.trim_start_matches('/'));
    let address = quoted(&address);
    format!(
        "if command -v curl >/dev/null; then exec curl -fsS -H \"authorization: Bearer $CRON_SECRET\" {address}; fi; \
         if command -v wget >/dev/null; then exec wget -qO- --header \"authorization: Bearer $CRON_SECRET\" \
         {address}; fi; echo 'the image has neither curl nor wget to send the request with' >&2; exit 127"
    )
}

/// A word for the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The letters and digits of a text, with hyphens between.
fn slug(text: &str) -> String {
    let letters = text.to_ascii_lowercase();
    let words = letters.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut name = words.collect::<Vec<_>>().join("-");
    name.truncate(NAME_MAX);
    let name = name.trim_matches('-');
    if name.is_empty() { "job".to_owned() } else { name.to_owned() }
}

/// The name, with a number behind it where another schedule has it.
fn free(wanted: &str, all: &[Schedule]) -> String {
    let is_free = |name: &String| all.iter().all(|other| other.name != *name);
    let numbered = (2..).map(|number: u32| {
        let ending = format!("-{number}");
        let end = wanted.len().min(NAME_MAX - ending.len());
        format!("{}{ending}", wanted[..end].trim_end_matches('-'))
    });
    let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
    names.find(is_free).unwrap_or_else(|| wanted.to_owned())
}

fn summary(registered: usize, left_out: &[String]) -> String {
    let registered = match registered {
        1 => "1 schedule registered".to_owned(),
        number => format!("{number} schedules registered"),
    };
    match left_out {
        [] => registered,
        [one] => format!("{registered}, 1 left out: {one}"),
        more => format!("{registered}, {} left out, among them: {}", more.len(), more[0]),
    }
}

/// Says beside the deployment what came of it.
fn note(summary: &str, is_warning: bool) {
    let tone = if is_warning { Tone::Warning } else { Tone::Neutral };
    if let Err(error) = Annotation::new("schedules", summary).tone(tone).set() {
        log::debug(format!("the number of schedules was not noted: {}", error.message));
    }
}

windlass_sdk::export! {
    Cron: [custom],
    name: "cron",
    capabilities: [
        { name: "source", reason: "reads the files that have schedules", paths: [
            "**/crontab", "**/render.yaml", "**/railway.json", "**/railway.toml", "**/app.json",
            "**/vercel.json",
        ] },
        { name: "annotations", optional: true, reason: "says beside the deployment what is registered" },
    ],
    custom: [
        { name: "register", hooks: ["after-build"], provides: ["schedules"],
          summary: "Registers the schedules of crontab, render.yaml, railway.json, app.json and vercel.json" },
    ],
    options_schema: r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "url": { "type": "string", "pattern": "^https?://",
                "description": "Where requests of vercel.json go: the web process, as http://web:3000" },
            "timezone": { "type": "string",
                "description": "Time zone of schedules whose file says none; UTC" },
            "process": { "type": "string",
                "description": "The process whose image the commands run in; the web process" }
        }
    }"#,
    failures: "failures.toml",
}
