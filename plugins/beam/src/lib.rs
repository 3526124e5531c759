//! The plugin for the Erlang VM: applications in Elixir, Gleam and Erlang.
//!
//! Reading order: `facts` (what is known), `mix`, `gleam` and `rebar` (what each manifest says),
//! `version`, `plan`.

mod facts;
mod gleam;
mod mix;
mod plan;
mod rebar;
mod version;

use windlass_plugin_common::{forced, settings, spelling};
use windlass_sdk::plan::BuildPlan;
use windlass_sdk::{
    Builder, Context, DetectReport, Detection, Detector, NearMiss, PluginError, Source,
};

use facts::Facts;

const IDS: [&str; 4] = ["phoenix", "elixir", "gleam", "erlang"];
const FILES: [&str; 4] = ["mix.exs", "mix.lock", "gleam.toml", "rebar.config"];

/// The plugin.
#[derive(Debug)]
pub struct Beam;

/// What was found.
#[derive(Debug, Clone)]
pub(crate) enum App {
    Mix(mix::Mix),
    Gleam(gleam::Gleam),
    Rebar(rebar::Rebar),
}

impl Detector for Beam {
    fn detect(ctx: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        let asked = facts.settings.build.framework.clone();
        let asked = asked.as_deref();
        let mine = asked.filter(|id| IDS.contains(id));
        let app = match decide(&facts, mine) {
            Ok(app) => app,
            Err(mut misses) => {
                if let Some(id) = mine {
                    let found = Detection::new(id, id, ecosystem(id)).refuse(no_start(&misses));
                    return Ok(forced::certain(found, id).into());
                }
                misses.extend(spelling::near_misses(source, "elixir", &FILES));
                return Ok(DetectReport { detections: Vec::new(), near_misses: misses });
            }
        };
        let mut found = match &app {
            App::Mix(mix) => mix.detection(mine),
            App::Gleam(gleam) => gleam.detection(),
            App::Rebar(rebar) => rebar.detection(),
        };
        if let Some((_, file, sign)) = &facts.declared.web {
            found = found.evidence(*file, sign.clone());
        }
        let chosen = version::choose(&facts, &app);
        found.toolchains.push(chosen.toolchain);
        found.evidence.extend(chosen.evidence);
        let report = forced::apply(found.into(), asked);
        Ok(spelling::beside(report, source, "elixir", &["Procfile"]))
    }
}

impl Builder for Beam {
    fn plan(ctx: &Context, source: &Source, chosen: &Detection) -> Result<BuildPlan, PluginError> {
        settings::say_for_server(ctx, source);
        let facts = Facts::gather(ctx, source)?;
        let app = decide(&facts, Some(chosen.id.as_str())).map_err(|misses| no_start(&misses))?;
        let version = version::choose(&facts, &app);
        Ok(plan::plan(&facts, &app, &version))
    }
}

fn decide(facts: &Facts, asked: Option<&str>) -> Result<App, Vec<NearMiss>> {
    let mut misses = Vec::new();
    let wants = |ids: &[&str]| asked.is_none_or(|id| ids.contains(&id));
    if wants(&["phoenix", "elixir"])
        && let Some(found) = mix::decide(facts, asked.is_some())
    {
        match found {
            Ok(mix) => return Ok(App::Mix(mix)),
            Err(miss) => misses.push(miss),
        }
    }
    if wants(&["gleam"])
        && let Some(found) = gleam::decide(facts)
    {
        match found {
            Ok(gleam) => return Ok(App::Gleam(gleam)),
            Err(miss) => misses.push(miss),
        }
    }
    if wants(&["erlang"])
        && let Some(found) = rebar::decide(facts)
    {
        match found {
            Ok(rebar) => return Ok(App::Rebar(rebar)),
            Err(miss) => misses.push(miss),
        }
    }
    Err(misses)
}

fn ecosystem(id: &str) -> &str {
    if id == "phoenix" { "elixir" } else { id }
}

fn no_start(misses: &[NearMiss]) -> PluginError {
    let otherwise = "there is no mix.exs, gleam.toml or rebar.config";
    forced::no_start("beam.no-start", misses, otherwise).hint("set run.command in windlass.toml")
}

windlass_sdk::export! {
    Beam: [detector, builder],
    name: "beam",
    failures: "failures.toml",
}
