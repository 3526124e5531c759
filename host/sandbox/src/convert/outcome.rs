//! What a custom stage answers.

use std::collections::HashSet;

use globset::GlobBuilder;
use windlass_model::cron::{Overlap, Schedule};
use windlass_model::plan::Refusal;
use windlass_model::plugin::{Hook, lock};
use windlass_model::schedule::Times;
use windlass_model::stage::{Facts, Outcome, OutputKind, Withheld};

use crate::bindings::custom;
use crate::text::plain_line;

/// What a stage may pass on to others, in bytes.
pub const OUTPUTS_BYTES_MAX: usize = 256 * 1024;
/// Characters of a summary that are kept.
const SUMMARY_CHARS_MAX: usize = 500;
/// Schedules in one answer.
const SCHEDULES_MAX: usize = 50;
/// Characters of a schedule's expression and of its time zone.
const CRON_CHARS_MAX: usize = 200;
/// Words of a schedule's command.
const ARGV_MAX: usize = 100;
/// Characters of one word.
const WORD_CHARS_MAX: usize = 4_096;
/// Globs of withheld files in one answer.
const GLOBS_MAX: usize = 1_000;
/// Characters of one glob.
const GLOB_CHARS_MAX: usize = 255;

/// An answer to a stage that was told these facts.
pub(crate) fn outcome(from: custom::Outcome, told: &Facts) -> Result<Outcome, String> {
    let custom::Outcome { skipped, summary, outputs_json, schedules, withheld } = from;
    if outputs_json.len() > OUTPUTS_BYTES_MAX {
        let bytes = outputs_json.len();
        return Err(format!("its outputs have {bytes} bytes, more than {OUTPUTS_BYTES_MAX}"));
    }
    let outputs = match outputs_json.trim() {
        "" => serde_json::Map::new(),
        text => serde_json::from_str(text)
            .map_err(|error| format!("its outputs are no JSON object: {error}"))?,
    };
    if told.hook != Hook::AfterBuild && !(schedules.is_empty() && withheld.is_empty()) {
        let hook = told.hook.as_str();
        return Err(format!(
            "it has schedules or withheld files at {hook}: only stages at after-build may"
        ));
    }
    let first = summary.lines().next().unwrap_or_default();
    Ok(Outcome {
        skipped,
        summary: first.chars().take(SUMMARY_CHARS_MAX).collect(),
        outputs,
        schedules: all_schedules(schedules)?,
        withheld: all_withheld(withheld, told)?,
    })
}

fn all_schedules(all: Vec<custom::Schedule>) -> Result<Vec<Schedule>, String> {
    if all.len() > SCHEDULES_MAX {
        return Err(format!("it has {} schedules, more than {SCHEDULES_MAX}", all.len()));
    }
    let mut names = HashSet::new();
    for one in &all {
        let name = &one.name;
        if !lock::is_name(name) {
            let rule = "1 to 40 lower-case letters, digits and hyphens";
            return Err(format!("the name {name:?} of a schedule is not valid: use {rule}"));
        }
        if !names.insert(name.as_str()) {
            return Err(format!("the schedule {name} is there twice"));
        }
        check_command(one).map_err(|why| format!("the schedule {name}: {why}"))?;
    }
    Ok(all.into_iter().map(schedule).collect())
}

fn check_command(one: &custom::Schedule) -> Result<(), String> {
    let is_word = |word: &String| word.chars().count() <= WORD_CHARS_MAX && !word.contains('\0');
    if one.argv.first().is_none_or(String::is_empty) {
        return Err("its argv has no program".to_owned());
    }
    if one.argv.len() > ARGV_MAX || !one.argv.iter().all(is_word) {
        return Err(format!(
            "its argv has more than {ARGV_MAX} words, or one of more than {WORD_CHARS_MAX} characters"
        ));
    }
    Ok(())
}

/// The first schedule that cannot be used, and why. Its times and its process stand in files of the application or
/// in options: they are for whoever wrote those to correct, and not for the plugin's author.
pub(crate) fn unusable(answer: &Outcome, told: &Facts) -> Option<Refusal> {
    let all = &answer.schedules;
    let wrong = all.iter().find_map(|one| Some((one, check_use(one, told).err()?)));
    let (one, (why, fix)) = wrong?;
    Some(Refusal {
        code: "cron.unusable".to_owned(),
        message: format!("the schedule {}: {why}", one.name),
        hint: Some(fix),
        retryable: false,
    })
}

/// Why a schedule cannot be used, and what to do about it.
fn check_use(one: &Schedule, told: &Facts) -> Result<(), (String, String)> {
    let is_short = |text: &str| text.chars().count() <= CRON_CHARS_MAX;
    let cron = one.cron.as_str();
    let is_expression = cron.starts_with('@') || cron.split_whitespace().count() == 5;
    if !is_expression || !is_short(cron) || cron.contains(char::is_control) {
        let why = format!("{:?} has neither five fields nor a name such as @hourly", short(cron));
        return Err((
            why,
            "write five fields, as \"0 3 * * *\", or @daily and the like".to_owned(),
        ));
    }
    let zone = one.timezone.as_deref().unwrap_or("UTC");
    let letter = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
    if zone.is_empty() || !is_short(zone) || !zone.chars().all(letter) {
        let why = format!("{:?} is no name of a time zone", short(zone));
        return Err((why, "write one such as Europe/Vienna".to_owned()));
    }
    let known = |name: &String| told.processes.iter().any(|process| process.name == *name);
    if let Some(name) = one.process.as_ref().filter(|name| !known(name)) {
        let names: Vec<&str> = told.processes.iter().map(|it| it.name.as_str()).collect();
        let why = format!("there is no process {:?}, but {names:?}", short(name));
        return Err((why, "name one of them, or none for the web process".to_owned()));
    }
    let times = Times::read(cron, one.timezone.as_deref());
    times.map(drop).map_err(|invalid| (invalid.to_string(), invalid.fix))
}

/// The beginning of a text, for people.
fn short(text: &str) -> String {
    plain_line(&text.chars().take(CRON_CHARS_MAX).collect::<String>())
}

fn schedule(from: custom::Schedule) -> Schedule {
    Schedule {
        name: from.name,
        cron: from.cron.trim().to_owned(),
        timezone: from.timezone,
        argv: from.argv,
        process: from.process,
        overlap: match from.overlap {
            custom::Overlap::Skip => Overlap::Skip,
            custom::Overlap::Queue => Overlap::Queue,
            custom::Overlap::Replace => Overlap::Replace,
        },
        timeout_ms: from.timeout_ms,
    }
}

fn all_withheld(all: Vec<custom::Withheld>, told: &Facts) -> Result<Vec<Withheld>, String> {
    if all.iter().map(|one| one.paths.len().max(1)).sum::<usize>() > GLOBS_MAX {
        return Err(format!("it has more than {GLOBS_MAX} globs of withheld files"));
    }
    for one in &all {
        let output = &one.output;
        if !told.outputs.contains(&(output.clone(), OutputKind::StaticTree)) {
            return Err(format!("it withholds files of {output:?}, which is no static tree"));
        }
        if let Some(bad) = one.paths.iter().find(|glob| !is_glob(glob)) {
            return Err(format!(
                "{:?} of the withheld files is no glob from the root of {output}",
                plain_line(bad)
            ));
        }
    }
    Ok(all.into_iter().map(|it| Withheld { output: it.output, paths: it.paths }).collect())
}

/// Whether it reads as a glob, and names nothing outside its root.
fn is_glob(text: &str) -> bool {
    (1..=GLOB_CHARS_MAX).contains(&text.chars().count())
        && !text.contains(char::is_control)
        && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && GlobBuilder::new(text).literal_separator(true).build().is_ok()
}

#[cfg(test)]
mod tests {
    use windlass_model::stage::{Process, State};

    use super::*;

    fn told(hook: Hook) -> Facts {
        Facts {
            hook,
            attempt: 1,
            project: "shop".to_owned(),
            environment: "production".to_owned(),
            deployment: "01j00000000000000000000000".to_owned(),
            number: 7,
            actor: "test".to_owned(),
            state: State::Running,
            failure: None,
            commit: None,
            commit_subject: None,
            commit_author: None,
            detected: None,
            outputs: vec![
                ("app".to_owned(), OutputKind::Image),
                ("site".to_owned(), OutputKind::StaticTree),
            ],
            processes: vec![Process {
                name: "web".to_owned(),
                output: "app".to_owned(),
                web: true,
                addresses: Vec::new(),
            }],
            urls: Vec::new(),
            previous_number: None,
            previous_commit: None,
            variables: Vec::new(),
        }
    }

    fn nightly() -> custom::Schedule {
        custom::Schedule {
            name: "nightly".to_owned(),
            cron: "0 3 * * *".to_owned(),
            timezone: Some("Europe/Vienna".to_owned()),
            argv: vec!["bin/clean".to_owned()],
            process: Some("web".to_owned()),
            overlap: custom::Overlap::Queue,
            timeout_ms: 60_000,
        }
    }

    fn withheld(output: &str, path: &str) -> custom::Withheld {
        custom::Withheld { output: output.to_owned(), paths: vec![path.to_owned()] }
    }

    fn answer(
        hook: Hook,
        schedules: Vec<custom::Schedule>,
        withheld: Vec<custom::Withheld>,
    ) -> Result<Outcome, String> {
        let (summary, outputs_json) = ("done\nand more".to_owned(), String::new());
        let raw = custom::Outcome { skipped: false, summary, outputs_json, schedules, withheld };
        outcome(raw, &told(hook))
    }

    #[test]
    fn schedules_and_withheld_files_arrive_as_they_are() {
        let kept = answer(Hook::AfterBuild, vec![nightly()], vec![withheld("site", "**/*.map")]);
        let kept = kept.unwrap();
        assert_eq!(kept.summary, "done");
        let [schedule] = &kept.schedules[..] else { panic!("{kept:?}") };
        assert_eq!((schedule.name.as_str(), schedule.cron.as_str()), ("nightly", "0 3 * * *"));
        assert_eq!((schedule.overlap, schedule.timeout_ms), (Overlap::Queue, 60_000));
        assert_eq!(kept.withheld[0].paths, ["**/*.map"]);
    }

    #[test]
    fn what_cannot_be_carried_out_is_refused_with_its_place() {
        let changed = |change: fn(&mut custom::Schedule)| {
            let mut one = nightly();
            change(&mut one);
            answer(Hook::AfterBuild, vec![one], Vec::new()).unwrap_err()
        };
        for (why, says) in [
            (
                changed(|it| it.name = "Nightly".to_owned()),
                "\"Nightly\" of a schedule is not valid",
            ),
            (changed(|it| it.argv.clear()), "nightly: its argv has no program"),
            (changed(|it| it.argv = vec!["a".to_owned(); 101]), "more than 100 words"),
        ] {
            assert!(why.contains(says), "{why}");
        }
        let twice = answer(Hook::AfterBuild, vec![nightly(), nightly()], Vec::new());
        assert_eq!(twice.unwrap_err(), "the schedule nightly is there twice");
        for (output, path) in
            [("app", "*.map"), ("site", "/a.map"), ("site", "../a"), ("site", "[a"), ("site", "")]
        {
            let why = answer(Hook::AfterBuild, Vec::new(), vec![withheld(output, path)]);
            assert!(why.unwrap_err().contains(output), "{output} {path}");
        }
    }

    #[test]
    fn what_somebody_misspelled_is_no_fault_of_the_plugin_that_passes_it_on() {
        let refused = |change: fn(&mut custom::Schedule)| {
            let mut one = custom::Schedule { name: "other".to_owned(), ..nightly() };
            change(&mut one);
            let answer = answer(Hook::AfterBuild, vec![nightly(), one], Vec::new());
            unusable(&answer.unwrap(), &told(Hook::AfterBuild)).unwrap()
        };
        for (refusal, says) in [
            (refused(|it| it.cron = "0 3 *".to_owned()), "\"0 3 *\" has neither five"),
            (refused(|it| it.timezone = Some("a b".to_owned())), "no name of a time zone"),
            (refused(|it| it.cron = "0 25 * * *".to_owned()), "\"0 25 * * *\" is no schedule"),
            (refused(|it| it.cron = "0 0 31 2 *".to_owned()), "no day has such a date"),
            (refused(|it| it.cron = "@reboot".to_owned()), "\"@reboot\" is no schedule"),
            (refused(|it| it.timezone = Some("Europe/Viena".to_owned())), "no time zone"),
            (
                refused(|it| it.process = Some("job".to_owned())),
                "no process \"job\", but [\"web\"]",
            ),
        ] {
            assert_eq!(refusal.code, "cron.unusable");
            assert!(refusal.message.starts_with("the schedule other: "), "{refusal:?}");
            assert!(refusal.message.contains(says) && refusal.hint.is_some(), "{refusal:?}");
        }
        let good = answer(Hook::AfterBuild, vec![nightly()], Vec::new()).unwrap();
        assert!(unusable(&good, &told(Hook::AfterBuild)).is_none());
    }

    #[test]
    fn only_a_stage_behind_the_build_changes_what_is_deployed() {
        for hook in [Hook::AfterFetch, Hook::BeforeSwitch, Hook::AfterSwitch] {
            assert!(answer(hook, Vec::new(), Vec::new()).is_ok());
            let why = answer(hook, vec![nightly()], Vec::new()).unwrap_err();
            assert!(why.contains("only stages at after-build may"), "{why}");
        }
    }
}
