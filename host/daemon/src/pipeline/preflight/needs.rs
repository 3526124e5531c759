//! What an environment must have before a deployment starts: variables, and services that answer.

use std::collections::BTreeSet;

use windlass_model::Failure;
use windlass_model::settings::Settings;
use windlass_model::variable::{Variable, VariableName};

use super::super::{Run, runtime_env, validate};

/// Files that name the variables of an application, as its authors keep them.
const EXAMPLES: [&str; 4] = [".env.example", ".env.sample", ".env.template", ".env.dist"];
/// Bytes of such a file that are read.
const EXAMPLE_BYTES_MAX: usize = 256 * 1024;

/// All that is missing as one failure: a single one as it is, several with one line each.
pub(in super::super) fn merge(mut missing: Vec<Failure>) -> Option<Failure> {
    if missing.len() < 2 {
        return missing.pop();
    }
    let line = |failure: &Failure| format!("{}: {}", failure.what, failure.why);
    let why: Vec<String> = missing.iter().map(line).collect();
    let fix: Vec<&str> = missing.iter().map(|failure| failure.fix.as_str()).collect();
    Some(Failure::app(
        "preflight.incomplete",
        format!("{} things are missing before this deployment can start", missing.len()),
        why.join("\n"),
        fix.join("\n"),
    ))
}

/// The variables that the settings require.
pub(super) fn variables(run: &Run, settings: &Settings) -> Option<Failure> {
    let lacking = |names: &[VariableName], fits: fn(&Variable) -> bool| -> Vec<String> {
        let is_set = |name: &&VariableName| {
            let mut set = run.variables.iter().filter(|variable| fits(variable));
            set.any(|variable| variable.name == **name && !variable.value.expose().is_empty())
        };
        names.iter().filter(|name| !is_set(name)).map(ToString::to_string).collect()
    };
    let run_time = lacking(&settings.run.required_variables, |variable| variable.scope.in_run());
    let build = lacking(&settings.build.required_variables, |variable| variable.scope.in_build());
    let all: BTreeSet<&String> = run_time.iter().chain(&build).collect();
    if all.is_empty() {
        return None;
    }
    let names: Vec<&str> = all.iter().map(|name| name.as_str()).collect();
    let (what, are) = if names.len() == 1 { ("variable", "is") } else { ("variables", "are") };
    Some(Failure::app(
        "preflight.variable-missing",
        format!("the {what} {} {are} not set in {}", names.join(", "), environment(run)),
        "windlass.toml requires them (`required_variables`), and without them the application cannot \
         run",
        command(run, &names, &run_time, &build),
    ))
}

/// The command that sets them, a scope at a time.
fn command(run: &Run, names: &[&str], run_time: &[String], build: &[String]) -> String {
    let scope = |name: &str| {
        let of = |list: &[String]| list.iter().any(|other| other == name);
        match (of(run_time), of(build)) {
            (true, false) => "",
            _ => " --scope both",
        }
    };
    let mut commands = Vec::new();
    for (flags, secret) in
        [("", false), ("", true), (" --scope both", false), (" --scope both", true)]
    {
        let chosen: Vec<String> = names
            .iter()
            .filter(|name| scope(name) == flags && looks_secret(name) == secret)
            .map(|name| format!("{name}=…"))
            .collect();
        if !chosen.is_empty() {
            let secret = if secret { " --secret" } else { "" };
            commands.push(format!(
                "windlass env set{secret}{flags} {} --project {} -e {}",
                chosen.join(" "),
                run.deployment.project,
                run.deployment.environment
            ));
        }
    }
    commands.join("\n")
}

fn looks_secret(name: &str) -> bool {
    ["SECRET", "PASSWORD", "TOKEN", "KEY", "DATABASE_URL", "DSN", "CREDENTIAL"]
        .iter()
        .any(|word| name.contains(word))
}

fn environment(run: &Run) -> String {
    format!("{}/{}", run.deployment.project, run.deployment.environment)
}

/// Warns of the names in `.env.example` that are not set.
pub(super) fn example_file(run: &mut Run, settings: &Settings) {
    let app = run.host.source_dir(&run.deployment.id).join(&settings.build.app_dir);
    let found = EXAMPLES.iter().find_map(|name| {
        let file = app.join(name);
        // Only a file of the source itself: a link may lead anywhere.
        let is_file = std::fs::symlink_metadata(&file).is_ok_and(|meta| meta.is_file());
        let text = is_file.then(|| std::fs::read(&file).ok()).flatten()?;
        let text = &text[..text.len().min(EXAMPLE_BYTES_MAX)];
        Some((*name, keys(&String::from_utf8_lossy(text))))
    });
    let Some((file, keys)) = found else { return };
    let set: BTreeSet<&str> = run.variables.iter().map(|variable| variable.name.as_str()).collect();
    let unset: Vec<String> = keys
        .into_iter()
        .filter(|key| !set.contains(key.as_str()) && !runtime_env::is_injected(key))
        .collect();
    if !unset.is_empty() {
        let (project, environment) = (&run.deployment.project, &run.deployment.environment);
        let assignments: Vec<String> = unset.iter().map(|name| format!("{name}=…")).collect();
        let message = format!(
            "{file} names variables that are not set: {}. If they are needed: `windlass env set {} \
             --project {project} -e {environment}`",
            unset.join(", "),
            assignments.join(" ")
        );
        run.warn("preflight.variables-unset", message);
    }
}

/// Names before `=`, in order, each once.
fn keys(text: &str) -> Vec<String> {
    let mut keys = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, _)) = line.split_once('=') else { continue };
        let name = name.trim();
        if name.parse::<VariableName>().is_ok() && !keys.iter().any(|known| known == name) {
            keys.push(name.to_owned());
        }
    }
    keys
}

/// The services of the environment that do not resolve or do not answer.
pub(super) async fn services(run: &mut Run) -> Result<Vec<Failure>, Failure> {
    let deployment = &run.deployment;
    let services = run.host.services(&deployment.project, &deployment.environment)?;
    if services.is_empty() {
        return Ok(Vec::new());
    }
    let (_, gateway) = run.network().await?;
    let asked = services.iter().map(|service| validate::reach(service, gateway));
    let answers = futures::future::join_all(asked).await;
    let mut missing = Vec::new();
    for (service, answer) in services.iter().zip(answers) {
        match answer {
            Ok(address) => run.log.say(format!("{} answers at {address}", service.name)),
            Err(why) => missing.push(Failure::app(
                "preflight.service-unreachable",
                format!("the service {} does not answer on {}", service.name, service.address),
                why,
                format!(
                    "start it, or correct its address: `windlass service add {} --address HOST:PORT \
                     --project {} -e {}`",
                    service.name, run.deployment.project, run.deployment.environment
                ),
            )),
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: &str) -> Failure {
        Failure::app(code, format!("what {code}"), "why", format!("fix {code}"))
    }

    #[test]
    fn several_missing_things_are_one_failure_that_names_each() {
        assert_eq!(merge(Vec::new()), None);
        assert_eq!(merge(vec![failure("a.b")]).unwrap().code, "a.b");
        let merged = merge(vec![failure("a.b"), failure("c.d")]).unwrap();
        assert_eq!(merged.code, "preflight.incomplete");
        assert_eq!(merged.fix, "fix a.b\nfix c.d");
        assert!(merged.why.contains("what a.b: why\nwhat c.d: why"));
    }

    #[test]
    fn names_of_an_example_file_are_read() {
        let text = "# comment\nexport A=1\nB = \nnot a line\nA=2\nlower-case=1\n";
        assert_eq!(keys(text), ["A", "B"]);
    }

    #[test]
    fn what_looks_secret_is_set_as_a_secret() {
        assert!(looks_secret("DATABASE_URL") && looks_secret("API_KEY"));
        assert!(!looks_secret("GREETING"));
    }
}
