//! The Dockerfile plugin: it lowers a Dockerfile to a plan, a step for each instruction that changes files.
//!
//! **Invariant: an application with a Dockerfile is never built as something else**, and a plan is the whole of
//! what the file says: what is not supported is refused, with its line, before anything runs. Whoever wants the
//! application built without its Dockerfile says so, with `build.framework`.

use windlass_plugin_common::{command, forced, spelling};
use windlass_sdk::config::Settings;
use windlass_sdk::plan::{Artifact, BuildPlan, ImageOutput, Output, Process, ProcessKind};
use windlass_sdk::{
    Builder, Context, DetectReport, Detection, Detector, PluginError, Source, images, log,
};

mod ignore;
mod instruction;
mod lines;
mod lower;
mod problem;
mod stages;
mod words;

use lower::{Given, Lowered, lower};
use stages::Dockerfile;

const ID: &str = "dockerfile";
const FILES: [&str; 2] = ["Dockerfile", "Containerfile"];
const OUTPUT: &str = "app";

/// The plugin.
#[derive(Debug)]
pub struct Docker;

impl Detector for Docker {
    fn detect(ctx: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        let build = Settings::of(ctx)?.build;
        let asked = build.framework.as_deref() == Some(ID);
        let named = build.dockerfile.map(|path| ignore::clean(&path));
        let found = match &named {
            Some(path) => Some(path.as_str()).filter(|path| source.is_file(path)),
            None => {
                source.prefetch(&FILES);
                FILES.into_iter().find(|file| source.is_file(file))
            }
        };
        let wanted = found.is_some() || named.is_some();
        if let Some(other) = build.framework.filter(|_| wanted && !asked) {
            let reason = format!("build.framework in windlass.toml asks for {other:?} instead");
            return Ok(DetectReport::near_miss(ID, reason));
        }
        let recognised = Detection::new(ID, "Dockerfile", ID).confidence(100);
        match found {
            Some(file) => Ok(recognised.evidence(file, "").with_notes(&file).into()),
            None if asked || named.is_some() => {
                Ok(forced::certain(recognised, ID).refuse(missing(named.as_deref())).into())
            }
            None => Ok(DetectReport {
                detections: Vec::new(),
                near_misses: spelling::near_misses(source, ID, &FILES),
            }),
        }
    }
}

impl Builder for Docker {
    fn plan(ctx: &Context, source: &Source, chosen: &Detection) -> Result<BuildPlan, PluginError> {
        let settings = Settings::of(ctx)?;
        let name: String = chosen.notes()?;
        let text = source.text(&name)?.ok_or_else(|| missing(Some(&name)))?;
        let given = Given {
            args: &settings.build.args,
            target: settings.build.target.as_deref(),
            platform: &ctx.platform,
            ignore: ignore::rules(source, &name)?,
            variables: &ctx.variable_names,
            images: images::config,
        };
        let lowered = Dockerfile::read(&text).and_then(|file| lower(&file, given));
        let lowered = lowered.map_err(|problem| problem.error(&name))?;
        lowered.warnings.iter().for_each(log::warn);
        Ok(of(lowered, &settings))
    }
}

/// The plan: the image, and the processes that run from it. An image without a command can be built; the host
/// refuses to deploy it.
fn of(lowered: Lowered, settings: &Settings) -> BuildPlan {
    let Lowered { steps, step, state, .. } = lowered;
    let run = &settings.run;
    let process = |name: &str, kind, argv| Process {
        name: name.to_owned(),
        output: OUTPUT.to_owned(),
        kind,
        argv,
        ports: Vec::new(),
    };
    let argv = run.command.as_deref().map(command::argv).unwrap_or_default();
    let mut web = process("web", ProcessKind::Web, argv);
    web.ports = run.port.map_or_else(|| state.tcp_ports(), |port| vec![port]);
    let workers = run
        .processes
        .iter()
        .map(|(name, worker)| process(name, ProcessKind::Worker, command::argv(&worker.command)));
    let mut plan = BuildPlan::new();
    plan.processes = std::iter::once(web).chain(workers).collect();
    let artifact = Artifact::Image(ImageOutput { step, config: state.config() });
    plan.outputs.push(Output { name: OUTPUT.to_owned(), artifact });
    plan.steps = steps;
    plan
}

fn missing(name: Option<&str>) -> PluginError {
    let name = name.unwrap_or(FILES[0]);
    PluginError::new(
        "dockerfile.missing",
        format!("there is no {name} in the application's folder"),
    )
    .hint("commit it, or correct build.dockerfile or build.framework in windlass.toml")
}

windlass_sdk::export! {
    Docker: [detector, builder],
    name: "dockerfile",
    failures: "failures.toml",
}

#[cfg(test)]
mod tests;
