//! The command, environment and limits of what a deployment runs: instances and migrations.

use windlass_containers::runtime::{Attachment, LogSpec, Mount, ResourceLimits, Rootfs};
use windlass_containers::{ContainerSpec, signal};
use windlass_model::deployment::{ArtifactKind, ArtifactOutput};
use windlass_model::plan::RunConfig;
use windlass_model::settings::Volume;
use windlass_model::{Deployment, Failure, Limits, StepName};

use super::{Run, names};
use crate::volumes;

/// Variables that Windlass sets itself, with what they hold. `PORT` is for web processes.
pub(crate) const INJECTED: [(&str, &str); 8] = [
    ("PORT", "the port that a web process must listen on"),
    ("WINDLASS_PROJECT", "the project's name"),
    ("WINDLASS_ENVIRONMENT", "the environment's name"),
    ("WINDLASS_DEPLOYMENT", "the deployment's id"),
    ("WINDLASS_NUMBER", "the deployment's number within the project"),
    ("WINDLASS_COMMIT", "the full commit id, when the source is a Git repository"),
    (
        "WINDLASS_PROCESS",
        "the process: `web`, `worker`, or `migrate`, `validate`, `before-switch`, `cron.NAME`",
    ),
    ("WINDLASS_INSTANCE", "process and ordinal: `web.0`"),
];

/// Whether a variable of this name need not be set by anybody.
pub(crate) fn is_injected(name: &str) -> bool {
    INJECTED.iter().any(|(injected, _)| *injected == name)
}

/// What is to run, from which output.
pub(crate) struct Command<'a> {
    pub id: String,
    /// Folder of its log, below the deployment's instances.
    pub log: &'a str,
    pub step: StepName,
    pub output: &'a ArtifactOutput,
    /// Empty takes the output's own command.
    pub argv: &'a [String],
    pub cwd: Option<&'a str>,
    pub port: Option<u16>,
    pub aliases: Vec<String>,
}

/// The container of a command in the deployment's environment: its network, its variables.
///
/// Later values win: the image's, then Windlass's own, then the environment's variables.
pub(crate) fn container(run: &Run, command: Command<'_>) -> Result<ContainerSpec, Failure> {
    let ArtifactKind::Image { config } = &command.output.kind else {
        return Err(Failure::plugin(
            plugin(&run.deployment),
            "plan.process-without-image",
            format!(
                "the output {:?} is a static tree and cannot run a command",
                command.output.name
            ),
            "the plan lets a process run from it",
            "report it to the plugin's author, or set `build.framework` to choose another plugin",
        ));
    };
    let argv = argv(config, command.argv);
    if argv.is_empty() {
        return Err(no_command());
    }
    let deployment = &run.deployment;
    let limits = &run.host.config.limits;
    let logs = &run.host.logs;
    let mask = run.variables.iter().filter(|v| v.secret).map(|v| v.value.expose().clone());
    let log =
        LogSpec::instance(logs.instance_dir(&deployment.id, command.log), limits, mask.collect());
    let mut spec = ContainerSpec::new(
        command.id,
        Rootfs::Committed(command.output.snapshot.clone()),
        argv,
        log,
    );
    spec.labels = names::labels(deployment, command.step);
    spec.labels.extend(command.port.map(names::port_label));
    let stop_signal = config.stop_signal.as_deref().and_then(signal::number);
    spec.labels.extend(stop_signal.map(names::stop_signal_label));
    spec.env = environment(run, config, command.port, command.log);
    spec.cwd = command.cwd.map_or_else(|| config.cwd.clone(), str::to_owned);
    if spec.cwd.is_empty() {
        "/".clone_into(&mut spec.cwd);
    }
    spec.user = (!config.user.is_empty()).then(|| config.user.clone());
    spec.network = Some(Attachment::member(
        names::network(&deployment.project, &deployment.environment),
        command.aliases,
    ));
    spec.limits = resources(run, limits);
    spec.mounts = volumes(run)?;
    Ok(spec)
}

/// Nothing says what is to run.
pub(crate) fn no_command() -> Failure {
    Failure::app(
        "start.no-command",
        "there is no command to start",
        "neither the plan nor the image (CMD, ENTRYPOINT) names one",
        "set `run.command` in windlass.toml, for instance \"node server.js\", or give the image a CMD",
    )
}

/// The environment's volumes, each made at its first use.
fn volumes(run: &Run) -> Result<Vec<Mount>, Failure> {
    let deployment = &run.deployment;
    let settings = deployment.outputs.settings.as_ref();
    let volumes = settings.map(|settings| settings.run.volumes.as_slice()).unwrap_or_default();
    let data_dir = &run.host.config.data_dir;
    let mount = |volume: &Volume| {
        let (project, environment) = (&deployment.project, &deployment.environment);
        let source = volumes::ensure(data_dir, project, environment, &volume.name)?;
        Ok(Mount::Bind { source, target: volume.path.clone(), read_only: false })
    };
    volumes.iter().map(mount).collect()
}

fn argv(config: &RunConfig, own: &[String]) -> Vec<String> {
    if own.is_empty() {
        return config.entrypoint.iter().chain(&config.cmd).cloned().collect();
    }
    own.to_vec()
}

fn environment(
    run: &Run,
    config: &RunConfig,
    port: Option<u16>,
    log: &str,
) -> Vec<(String, String)> {
    let deployment = &run.deployment;
    let mut env: Vec<(String, String)> = config.env.clone();
    let mut set = |name: &str, value: String| {
        env.retain(|(known, _)| known != name);
        env.push((name.to_owned(), value));
    };
    set("WINDLASS_PROJECT", deployment.project.to_string());
    set("WINDLASS_ENVIRONMENT", deployment.environment.to_string());
    set("WINDLASS_DEPLOYMENT", deployment.id.to_string());
    set("WINDLASS_NUMBER", deployment.number.to_string());
    set("WINDLASS_PROCESS", log.rsplit_once('.').map_or(log, |(process, _)| process).to_owned());
    set("WINDLASS_INSTANCE", log.to_owned());
    if let Some(commit) = deployment.outputs.fetched.as_ref().and_then(|f| f.commit.clone()) {
        set("WINDLASS_COMMIT", commit);
    }
    for variable in run.variables.iter().filter(|variable| variable.scope.in_run()) {
        set(variable.name.as_str(), variable.value.expose().clone());
    }
    // The port that the proxy dials. It may come from the variable itself: `start` looks there first.
    if let Some(port) = port {
        set("PORT", port.to_string());
    }
    env
}

fn resources(run: &Run, limits: &Limits) -> ResourceLimits {
    let settings = run.deployment.outputs.settings.as_ref().map(|settings| &settings.run);
    ResourceLimits {
        memory_bytes: settings
            .and_then(|s| s.memory_bytes)
            .unwrap_or(limits.instance.memory_bytes_max),
        cpu_millis: settings.and_then(|s| s.cpu_millis).unwrap_or(limits.instance.cpu_millis_max),
        pids: limits.instance.pids_max,
        ..ResourceLimits::default()
    }
}

/// The plugin that decided, for messages.
pub(crate) fn plugin(deployment: &Deployment) -> String {
    deployment.outputs.chosen.as_ref().map_or_else(|| "builder".to_owned(), |c| c.plugin.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_s_page_lists_the_injected_variables_as_they_are() {
        let page = include_str!("../../../OPERATIONS.md");
        let table =
            page.split("## Injected variables").nth(1).unwrap().split("\n## ").next().unwrap();
        let listed: Vec<String> =
            table.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
        let expected: Vec<String> =
            INJECTED.iter().map(|(name, what)| format!("| `{name}` | {what} |")).collect();
        assert_eq!(listed, expected);
        // Every name that is set above is in the list.
        let source = include_str!("runtime_env.rs");
        let set = source.split("set(\"").skip(1).filter_map(|rest| rest.split('"').next());
        for name in set.filter(|name| name.starts_with(char::is_uppercase)) {
            assert!(is_injected(name), "{name}");
        }
    }
}
