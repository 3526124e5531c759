//! Who carries out the jobs of Sidekiq and its like: what to say where no process does.

use windlass_plugin_common::assets::Files;
use windlass_plugin_common::queues;

use crate::facts::Facts;

/// Gems of queues: the gem, its name, words of a command line that works on the queue, and that command line.
const QUEUES: [(&str, &str, &[&str], &str); 6] = [
    ("sidekiq", "Sidekiq", &["sidekiq"], "bundle exec sidekiq"),
    ("good_job", "GoodJob", &["good_job"], "bundle exec good_job start"),
    ("resque", "Resque", &["resque"], "QUEUE=* bundle exec rake resque:work"),
    ("delayed_job", "Delayed Job", &["jobs:work", "delayed_job"], "bundle exec rake jobs:work"),
    ("shoryuken", "Shoryuken", &["shoryuken"], "bundle exec shoryuken -R"),
    ("solid_queue", "Solid Queue", &["bin/jobs", "solid_queue"], "bin/jobs"),
];
/// Files of settings in which a queue can be told to work inside the web process.
const SETTINGS: [&str; 5] = [
    "config/puma.rb",
    "config/application.rb",
    "config/initializers/good_job.rb",
    "config/environments/production.rb",
    "config/initializers/sidekiq.rb",
];
/// Folders of jobs.
const JOBS: [&str; 4] =
    ["app/jobs/**/*.rb", "app/workers/**/*.rb", "app/sidekiq/**/*.rb", "app/mailers/**/*.rb"];
/// What Rails writes into them for every application.
const GENERATED: [&str; 2] = ["/application_job.rb", "/application_mailer.rb"];
const JOBS_MAX: u32 = 200;
const DEPTH: u32 = 6;

/// What to say of jobs that no process carries out.
pub(crate) fn hint(facts: &Facts) -> Option<String> {
    let (gem, name, signs, line) =
        QUEUES.into_iter().find(|(gem, ..)| facts.named(gem).is_some())?;
    let inside = within_web(facts, gem);
    // Rails brings it for every application: one without jobs has no use for a process.
    if inside == Some(true) || gem == "solid_queue" && !has_jobs(facts) {
        return None;
    }
    let hint = queues::hint(&facts.declared, name, signs, line)?;
    let or = ", or set the variable SOLID_QUEUE_IN_PUMA to 1, and the web process does it";
    Some(if inside.is_some() { format!("{hint}{or}") } else { hint })
}

/// Whether the web process works on the queue; false where a variable that is not set would make it.
fn within_web(facts: &Facts, gem: &str) -> Option<bool> {
    facts.source.prefetch(&SETTINGS);
    let texts = SETTINGS.into_iter().filter_map(|file| facts.text(file));
    let lines: Vec<String> = texts
        .flat_map(|text| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>())
        .collect();
    let mut lines = lines.iter().filter(|line| !line.starts_with('#'));
    match gem {
        "solid_queue" => {
            let plugin = lines.find(|line| line.contains("plugin :solid_queue"))?;
            let variable = "SOLID_QUEUE_IN_PUMA";
            let set = facts.variables.iter().any(|name| name == variable);
            Some(set || !plugin.contains(variable))
        }
        "good_job" => lines
            .any(|line| line.contains("execution_mode") && line.contains(":async"))
            .then_some(true),
        _ => None,
    }
}

fn has_jobs(facts: &Facts) -> bool {
    let listed = facts.source.list(&JOBS, DEPTH, JOBS_MAX);
    let entries = listed.map(|listing| listing.entries).unwrap_or_default();
    let own = |path: &str| !GENERATED.iter().any(|name| path.ends_with(name));
    entries.iter().any(|entry| own(&entry.path))
}
