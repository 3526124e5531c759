//! Railway's configuration and that of its builders: Railpack, Nixpacks.

use serde_json::Value;

use super::{Field, File, at, list, table};

/// `railway.json` and `railway.toml`
pub(super) fn railway(file: &mut File, keys: &Value) {
    file.take(Field::Build, keys, "build.buildCommand");
    file.take(Field::Dockerfile, keys, "build.dockerfilePath");
    file.take(Field::Start, keys, "deploy.startCommand");
    file.take(Field::Release, keys, "deploy.preDeployCommand");
    file.take(Field::Health, keys, "deploy.healthcheckPath");
    let known = [
        "$schema",
        "build.buildCommand",
        "build.dockerfilePath",
        "build.builder",
        "deploy.startCommand",
        "deploy.preDeployCommand",
        "deploy.healthcheckPath",
    ];
    file.list_rest(keys, &known);
}

/// `railpack.json`
pub(super) fn railpack(file: &mut File, keys: &Value) {
    file.take(Field::Start, keys, "deploy.startCommand");
    for (field, key) in
        [(Field::Install, "steps.install.commands"), (Field::Build, "steps.build.commands")]
    {
        commands(file, field, keys, key);
    }
    for (name, version) in table(keys, "packages").into_iter().flatten() {
        let field = Field::Version(name.clone());
        file.put(field, &format!("packages.{name}"), version);
    }
    for key in ["deploy.variables", "steps.build.variables"] {
        if let Some(variables) = table(keys, key) {
            file.take_versions(variables, key);
        }
    }
    let known = [
        "$schema",
        "provider",
        "deploy.startCommand",
        "deploy.variables",
        "steps.install.commands",
        "steps.build.commands",
        "steps.build.variables",
        "packages",
    ];
    file.list_rest(keys, &known);
}

/// `nixpacks.toml`
pub(super) fn nixpacks(file: &mut File, keys: &Value) {
    file.take(Field::Start, keys, "start.cmd");
    commands(file, Field::Install, keys, "phases.install.cmds");
    commands(file, Field::Build, keys, "phases.build.cmds");
    if let Some(variables) = table(keys, "variables") {
        file.take_versions(variables, "variables");
    }
    let known = [
        "start.cmd",
        "phases.install.cmds",
        "phases.install.dependsOn",
        "phases.build.cmds",
        "phases.build.dependsOn",
        "phases.setup.dependsOn",
        "variables",
        "providers",
    ];
    file.list_rest(keys, &known);
}

/// A list of command lines; one that extends the builder's own list says nothing by itself.
fn commands(file: &mut File, field: Field, keys: &Value, key: &str) {
    if at(keys, key).is_none() {
        return;
    }
    let lines = list(keys, key);
    let line = |one: &Value| {
        let cmd = one.get("cmd").or(Some(one))?;
        cmd.as_str().map(str::to_owned)
    };
    let texts: Option<Vec<String>> = lines.iter().map(line).collect();
    match texts {
        Some(texts) if !texts.iter().any(|text| text.trim() == "...") => {
            file.put(field, key, &Value::String(texts.join(" && ")));
        }
        _ => file.ignored.push(format!("{key} (it extends commands that are that builder's own)")),
    }
}
