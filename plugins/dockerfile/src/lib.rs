//! The Dockerfile plugin: it lowers a Dockerfile to a plan, a step for each instruction that changes files.
//!
//! **Invariant: an application with a Dockerfile is never built as something else**, and a plan is the whole of
//! what the file says: what is not supported is refused, with its line, before anything runs. Whoever wants the
//! application built without its Dockerfile says so, with `build.framework`.

use windlass_plugin_common::layout::Declared;
use windlass_plugin_common::others::{self, Field};
use windlass_plugin_common::{command, compose, forced, settings, spelling};
use windlass_sdk::config::Settings;
use windlass_sdk::plan::{Artifact, BuildPlan, ImageOutput, Output, Process, ProcessKind};
use windlass_sdk::{
    Builder, Context, DetectReport, Detection, Detector, Evidence, Kind, NearMiss, PluginError,
    Source, images, log,
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
        let others = others::read(source);
        let other = others.get(&Field::Dockerfile).filter(|_| named.is_none());
        let elsewhere = other.map(|(taken, _)| ignore::clean(&taken.value));
        let found = match named.as_ref().or(elsewhere.as_ref()) {
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
        let mut recognised = Detection::new(ID, "Dockerfile", ID).confidence(100);
        if let Some(file) = found.filter(|_| !asked && named.is_none() && other.is_none())
            && !source.text(file)?.is_some_and(|text| says_anything(&text))
        {
            let reason = format!("{file} has no instruction in it");
            return Ok(DetectReport::near_miss(ID, reason));
        }
        match found {
            Some(file) => {
                recognised = recognised.evidence(file, "");
                recognised
                    .evidence
                    .extend(other.map(|(taken, name)| {
                        Evidence::new(name, format!("{}: {file}", taken.key))
                    }));
                let compose = compose::read(source);
                recognised
                    .evidence
                    .extend(compose.map(|compose| Evidence::new(compose.file, compose.summary())));
                Ok(recognised.with_notes(&file).into())
            }
            None if asked || named.is_some() => {
                Ok(forced::certain(recognised, ID).refuse(missing(named.as_deref())).into())
            }
            None => Ok(DetectReport { detections: Vec::new(), near_misses: near_misses(source) }),
        }
    }
}

/// Whether a Dockerfile has more than comments.
fn says_anything(text: &str) -> bool {
    text.lines().map(str::trim).any(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Misspelled names, Dockerfiles for other occasions, and a compose file that stands alone.
fn near_misses(source: &Source) -> Vec<NearMiss> {
    let mut found = spelling::near_misses(source, ID, &FILES);
    let variants =
        ["Dockerfile.*", "Dockerfile-*", "Containerfile.*", "*.Dockerfile", "*.dockerfile"];
    let deeper =
        ["docker/Dockerfile", "docker/Dockerfile.*", "build/Dockerfile", ".docker/Dockerfile"];
    let globs: Vec<&str> = variants.into_iter().chain(deeper).collect();
    let listing = source.list(&globs, 2, 20).map(|listing| listing.entries).unwrap_or_default();
    let paths = listing.into_iter().map(|entry| entry.path);
    for path in paths.filter(|path| !path.ends_with(".dockerignore")) {
        let reason = format!(
            "there is {path:?}, but no Dockerfile: to build with it, set build.dockerfile = {path:?} in \
             windlass.toml"
        );
        found.push(NearMiss { id: ID.to_owned(), reason });
    }
    let said = |file: compose::Compose| if is_alone(source) { file.alone() } else { file.beside() };
    found.extend(
        compose::read(source).map(|file| NearMiss { id: ID.to_owned(), reason: said(file) }),
    );
    found
}

/// Whether the folder has no file but compose files and what describes them.
fn is_alone(source: &Source) -> bool {
    let described = |name: &str| {
        let lower = name.to_ascii_lowercase();
        compose::FILES.contains(&name)
            || name.starts_with('.')
            || lower.ends_with(".md")
            || lower.starts_with("license")
    };
    let listing = source.list(&[], 1, 200).map(|listing| listing.entries).unwrap_or_default();
    listing.iter().all(|entry| entry.kind == Kind::Directory || described(&entry.path))
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
        let completed = settings::read(ctx, source)?;
        // What another platform was told of the port stands in for an EXPOSE.
        let exposes = !lowered.state.tcp_ports().is_empty();
        let port = if exposes { settings.run.port } else { completed.run.port };
        settings::say_for_image(ctx, source, exposes);
        let declared = Declared::read(&completed, source)?;
        if let Some((line, file, _)) = &declared.web {
            log::info(format!(
                "{file} says what the web process runs, instead of the image's own command: {line}"
            ));
        }
        Ok(of(lowered, &declared, port))
    }
}

/// The plan: the image, and the processes that run from it: those that are declared, and a web process with the
/// image's own command where none is. An image without a command can be built; the host refuses to deploy it.
fn of(lowered: Lowered, declared: &Declared, port: Option<u16>) -> BuildPlan {
    let Lowered { steps, step, state, .. } = lowered;
    let process = |name: &str, kind, argv| Process {
        name: name.to_owned(),
        output: OUTPUT.to_owned(),
        kind,
        argv,
        ports: Vec::new(),
    };
    let argv = declared.web.as_ref().map(|(line, ..)| command::argv(line)).unwrap_or_default();
    let mut web = process("web", ProcessKind::Web, argv);
    web.ports = port.map_or_else(|| state.tcp_ports(), |port| vec![port]);
    let workers = declared
        .workers
        .iter()
        .map(|(name, line)| process(name, ProcessKind::Worker, command::argv(line)));
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
