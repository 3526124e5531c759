//! `render.yaml` and `fly.toml`.

use serde_json::{Map, Value};

use super::{Field, File, at, list, table, text};
use crate::{procfile, yaml};

/// `render.yaml`: its first web service or static site, and the workers beside it.
pub(super) fn render(file: &mut File, keys: &Value) {
    let services = list(keys, "services");
    let runtime = |service: &Value| {
        text(service, "runtime").or_else(|| text(service, "env")).unwrap_or_default().to_owned()
    };
    let is_web = |service: &&Value| matches!(text(service, "type"), Some("web" | "static"));
    let web = services.iter().find(is_web);
    if let Some(web) = web {
        render_web(file, web, &runtime(web));
    }
    for service in services {
        if web.is_some_and(|web| std::ptr::eq(web, service)) {
            continue;
        }
        let name = text(service, "name").unwrap_or("without a name");
        let same = |key: &str| web.is_some_and(|web| at(web, key) == at(service, key));
        let beside = same("rootDir") && same("buildCommand") && same("dockerfilePath");
        match text(service, "type") {
            Some("worker") if beside && at(service, "startCommand").is_some() => {
                let process = Field::Process(procfile::process_name(name));
                let command = at(service, "startCommand").cloned().unwrap_or_default();
                file.put(process, &format!("services.{name}.startCommand"), &command);
            }
            kind => {
                let kind = kind.unwrap_or("service");
                let advice = match kind {
                    "redis" | "keyvalue" => {
                        "run it beside, and name it with `windlass service add`"
                    }
                    "cron" => super::SCHEDULES,
                    _ => "deploy it as a project of its own",
                };
                file.ignored.push(format!("the {kind} {name} ({advice})"));
            }
        }
    }
    file.list_rest(keys, &["services", "version"]);
}

fn render_web(file: &mut File, web: &Value, runtime: &str) {
    let name = text(web, "name").unwrap_or("web");
    let mut part = File { name: file.name, ..File::default() };
    if let Some(folder) = text(web, "rootDir").filter(|folder| !matches!(*folder, "" | "." | "./"))
    {
        let why = format!("rootDir {folder} of {name} (set build.app_dir, and its commands)");
        file.ignored.push(why);
        return;
    }
    part.take(Field::Build, web, "buildCommand");
    part.take(Field::Output, web, "staticPublishPath");
    part.take(Field::Start, web, "startCommand");
    part.take(Field::Release, web, "preDeployCommand");
    part.take(Field::Health, web, "healthCheckPath");
    if runtime == "docker" {
        part.take(Field::Dockerfile, web, "dockerfilePath");
    }
    let rewrites = |route: &Value| {
        text(route, "type") == Some("rewrite")
            && text(route, "source").is_some_and(super::sites::is_everything)
            && text(route, "destination").is_some_and(super::sites::is_index)
    };
    if list(web, "routes").iter().any(rewrites) {
        part.put(Field::SinglePage, "routes", &Value::Bool(true));
    } else if at(web, "routes").is_some() {
        part.ignored.push(format!("routes ({})", super::RULES));
    }
    let mut variables = Map::new();
    for variable in list(web, "envVars") {
        let name = text(variable, "key").unwrap_or_default();
        match at(variable, "value") {
            Some(port) if name == "PORT" => part.put(Field::Port, "envVars.PORT", port),
            value if !name.is_empty() => {
                variables.insert(name.to_owned(), value.cloned().unwrap_or_default());
            }
            _ => {}
        }
    }
    part.take_versions(&variables, "envVars");
    let known = [
        "type",
        "name",
        "runtime",
        "env",
        "plan",
        "region",
        "branch",
        "repo",
        "rootDir",
        "autoDeploy",
        "buildCommand",
        "staticPublishPath",
        "startCommand",
        "preDeployCommand",
        "healthCheckPath",
        "dockerfilePath",
        "routes",
        "envVars",
    ];
    part.list_rest(web, &known);
    let below = |key: &str| format!("services.{name}.{key}");
    for mut taken in part.taken {
        taken.key = below(&taken.key);
        file.taken.push(taken);
    }
    file.ignored.extend(part.ignored.iter().map(|line| below(line)));
}

/// `fly.toml`
pub(super) fn fly(file: &mut File, keys: &Value) {
    file.take(Field::Dockerfile, keys, "build.dockerfile");
    file.take(Field::Release, keys, "deploy.release_command");
    if file.taken.iter().any(|one| one.field == Field::Release && one.value.starts_with('/')) {
        file.taken.retain(|one| one.field != Field::Release);
        file.ignored.push("deploy.release_command (it names a file of an image)".to_owned());
    }
    let served: Vec<String> =
        list(keys, "http_service.processes").iter().map(yaml::text_of).collect();
    for (name, line) in table(keys, "processes").into_iter().flatten() {
        let web =
            if served.is_empty() { name == "app" || name == "web" } else { served.contains(name) };
        let field = if web { Field::Start } else { Field::Process(procfile::process_name(name)) };
        file.put(field, &format!("processes.{name}"), line);
    }
    let services = list(keys, "services");
    file.take(Field::Port, keys, "http_service.internal_port");
    if let Some(port) = services.iter().find_map(|service| at(service, "internal_port")) {
        file.put(Field::Port, "services.internal_port", port);
    }
    let checks = list(keys, "http_service.checks").iter();
    let checks = checks.chain(services.iter().flat_map(|service| list(service, "http_checks")));
    let named = table(keys, "checks").into_iter().flatten().map(|(_, check)| check);
    if let Some(path) = checks.chain(named).find_map(|check| at(check, "path")) {
        file.put(Field::Health, "checks.path", path);
    }
    if let Some(variables) = table(keys, "env") {
        let rest: Vec<&str> =
            variables.keys().map(String::as_str).filter(|name| *name != "PORT").collect();
        if let Some(port) = variables.get("PORT") {
            file.put(Field::Port, "env.PORT", port);
        }
        file.list_variables("env", &rest);
    }
    let known = [
        "app",
        "primary_region",
        "build.dockerfile",
        "deploy.release_command",
        "processes",
        "http_service.internal_port",
        "http_service.processes",
        "http_service.checks",
        "http_service.force_https",
        "services",
        "checks",
        "env",
        "kill_signal",
    ];
    file.list_rest(keys, &known);
}
