//! Heroku's and Dokku's files: `app.json`, `heroku.yml` and the `Aptfile`.

use serde_json::Value;

use super::{Field, File, PACKAGES, at, list, table};
use crate::{procfile, yaml};

/// `app.json`, if it is not an Expo or React Native application's.
pub(super) fn app_json(file: &mut File, keys: &Value) {
    const SIGNS: [&str; 10] = [
        "buildpacks",
        "formation",
        "addons",
        "scripts",
        "env",
        "environments",
        "stack",
        "healthchecks",
        "image",
        "cron",
    ];
    let heroku = SIGNS.iter().any(|sign| keys.get(*sign).is_some());
    if !heroku || keys.get("expo").is_some() {
        return;
    }
    let checks = list(keys, "healthchecks.web");
    if let Some(path) = checks.iter().find_map(|check| at(check, "path")) {
        file.put(Field::Health, "healthchecks.web.path", path);
    }
    file.take(Field::Release, keys, "scripts.dokku.predeploy");
    if at(keys, "scripts.postdeploy").is_some() {
        let once = "scripts.postdeploy (it runs once, for a new application: run it yourself)";
        file.ignored.push(once.to_owned());
    }
    let known = [
        "name",
        "description",
        "keywords",
        "repository",
        "logo",
        "website",
        "success_url",
        "$schema",
        "healthchecks",
        "scripts.postdeploy",
        "scripts.dokku.predeploy",
    ];
    file.list_rest(keys, &known);
}

/// `heroku.yml`
pub(super) fn heroku_yml(file: &mut File, keys: &Value) {
    file.take(Field::Dockerfile, keys, "build.docker.web");
    for (name, run) in table(keys, "run").into_iter().flatten() {
        let key = format!("run.{name}");
        let field = match procfile::process_name(name).as_str() {
            "web" => Field::Start,
            other => Field::Process(other.to_owned()),
        };
        file.put(field, &key, &command(run));
    }
    if let Some(release) = at(keys, "release") {
        file.put(Field::Release, "release.command", &command(release));
    }
    let known = ["build.docker.web", "run", "release"];
    file.list_rest(keys, &known);
}

/// `Aptfile`: a Debian package a line, none of which is installed.
pub(super) fn aptfile(file: &mut File, text: &str) {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let packages: Vec<&str> =
        lines.filter(|line| !line.is_empty() && !line.starts_with(":repo:")).collect();
    if !packages.is_empty() {
        file.ignored.push(format!("{} ({PACKAGES})", packages.join(", ")));
    }
}

/// A line, `{command: line}` or `{command: [words]}`.
fn command(run: &Value) -> Value {
    let line = run.get("command").unwrap_or(run);
    match line {
        Value::Array(words) => {
            Value::String(words.iter().map(yaml::text_of).collect::<Vec<_>>().join(" "))
        }
        other => other.clone(),
    }
}
