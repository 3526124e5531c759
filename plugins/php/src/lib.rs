//! The PHP plugin: what kind of PHP application it is, and how it is built and served.
//!
//! Reading order: `facts` (what is known), `framework` (what it is, and which folder is served), `version`,
//! `extensions`, `server` (Apache's configuration), `plan`.

mod extensions;
mod facts;
mod framework;
mod plan;
mod server;
mod version;

use windlass_plugin_common::assets::Files;
use windlass_plugin_common::composer::{self, Lock};
use windlass_plugin_common::{forced, settings, spelling};
use windlass_sdk::plan::BuildPlan;
use windlass_sdk::{
    Builder, Context, DetectReport, Detection, Detector, NearMiss, PluginError, Source, log,
};

use facts::Facts;

const FILES: [&str; 4] = ["composer.json", "composer.lock", "index.php", "artisan"];

/// The plugin.
#[derive(Debug)]
pub struct Php;

impl Detector for Php {
    fn detect(ctx: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        let asked = facts.settings.build.framework.as_deref();
        if let Some(broken) = facts.broken.clone() {
            let found = Detection::new(own_id(asked), "PHP", "php").confidence(90);
            let found = found.evidence(composer::FILE, broken.message.clone()).refuse(broken);
            return Ok(forced::apply(found.supersedes("static").into(), asked));
        }
        let decision = match framework::decide(&facts, asked) {
            Ok(decision) => decision,
            Err(miss) if asked == Some("php") => {
                let found = Detection::new("php", "PHP", "php").refuse(no_start(miss));
                return Ok(forced::certain(found, "php").into());
            }
            Err(miss) => {
                let mut near_misses: Vec<NearMiss> = miss.into_iter().collect();
                if near_misses.is_empty() {
                    near_misses.extend(spelling::near_misses(source, "php", &FILES));
                    near_misses.extend(spelling::below(source, "php", &["composer.json"]));
                }
                return Ok(DetectReport { detections: Vec::new(), near_misses });
            }
        };
        let mut found = decision.detection;
        let chosen = version::choose(&facts, &[]);
        found.toolchains.push(chosen.toolchain);
        found.evidence.extend(chosen.evidence);
        let report = forced::apply(found.into(), asked);
        Ok(spelling::beside(report, source, "php", &["composer.json", "Procfile"]))
    }
}

/// The id under which a broken manifest is reported: what the settings ask for, if it is this plugin's.
fn own_id(asked: Option<&str>) -> &str {
    match asked {
        Some(
            id @ ("laravel" | "symfony" | "slim" | "codeigniter" | "cakephp" | "yii" | "drupal"
            | "wordpress"),
        ) => id,
        _ => "php",
    }
}

impl Builder for Php {
    fn plan(ctx: &Context, source: &Source, chosen: &Detection) -> Result<BuildPlan, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        if let Some(broken) = facts.broken {
            return Err(broken);
        }
        let decision = framework::decide(&facts, Some(chosen.id.as_str())).map_err(no_start)?;
        match decision.start {
            framework::Start::Server(_) => settings::say(ctx, source),
            framework::Start::Script(..) => settings::say_for_server(ctx, source),
        }
        let lock = facts.text(composer::LOCK).map(|text| Lock::parse(&text)).unwrap_or_default();
        let version = version::choose(&facts, &lock.php);
        if let Some(warning) = version.warning {
            log::warn(warning);
        }
        let toolchain = version.toolchain;
        Ok(plan::Planner { facts: &facts, toolchain, lock: &lock, decision }.plan())
    }
}

fn no_start(miss: Option<NearMiss>) -> PluginError {
    let reason = miss.map_or_else(|| "nothing here says what to serve".to_owned(), |m| m.reason);
    PluginError::new("php.no-start", reason).hint(
        "name the folder that is served with build.output in windlass.toml, or set run.command",
    )
}

windlass_sdk::export! {
    Php: [detector, builder],
    name: "php",
    failures: "failures.toml",
}
