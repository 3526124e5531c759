//! The static plugin: folders of files that are served as they are, and the generators of sites that need no
//! application at run time.
//!
//! **Invariant: it never wins against a plugin that knows more.** Plain files have the lowest confidence of
//! all, and where the files of another ecosystem lie beside an `index.html` or a generator's configuration,
//! they only give a hint.
//!
//! Reading order: `facts` (what is known), `generators`, `server` (web servers' configurations), `plain`,
//! `plan`.

mod facts;
mod generators;
mod plain;
mod plan;
mod releases;
mod server;

use windlass_plugin_common::others::Field;
use windlass_plugin_common::{forced, procfile, settings, spelling};
use windlass_sdk::plan::BuildPlan;
use windlass_sdk::{
    Builder, Context, DetectReport, Detection, Detector, NearMiss, PluginError, Source, log,
};

use facts::Facts;

const ID: &str = "static";

/// The plugin.
#[derive(Debug)]
pub struct Static;

/// What the folder is.
enum Decision {
    Generated(generators::Generator),
    Plain(plain::Found),
}

impl Decision {
    /// Decides; `asked` is `build.framework`. The near misses come with either answer.
    fn of(facts: &Facts<'_>, asked: Option<&str>) -> (Option<Self>, Vec<NearMiss>) {
        let plain_only = asked.is_some_and(|asked| !generators::is_one(asked));
        let (found, mut misses) =
            if plain_only { (None, Vec::new()) } else { generators::find(facts, asked) };
        if let Some(found) = found {
            return (Some(Self::Generated(found)), misses);
        }
        match plain::find(facts, asked) {
            Ok(found) => (Some(Self::Plain(found)), misses),
            Err(more) => {
                misses.extend(more);
                (None, misses)
            }
        }
    }

    fn detection(self) -> Detection {
        let site = match self {
            Self::Plain(found) => return found.detection,
            Self::Generated(site) => site,
        };
        let mut found = Detection::new(site.id, site.name, ID).confidence(site.confidence);
        found.evidence = site.evidence;
        found.supersedes = site.supersedes.iter().map(|id| (*id).to_owned()).collect();
        found
    }
}

impl Detector for Static {
    fn detect(ctx: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        let framework = facts.settings.build.framework.as_deref();
        let (decision, mut near_misses) = Decision::of(&facts, framework);
        let Some(decision) = decision else {
            near_misses.extend(nothing(source, framework == Some(ID)));
            near_misses.extend(unknown_build(&facts));
            return Ok(DetectReport { detections: Vec::new(), near_misses });
        };
        let report = DetectReport { detections: vec![decision.detection()], near_misses };
        Ok(forced::apply(report, framework))
    }
}

impl Builder for Static {
    fn plan(ctx: &Context, source: &Source, chosen: &Detection) -> Result<BuildPlan, PluginError> {
        let facts = Facts::gather(ctx, source)?;
        settings::say(ctx, source);
        unrun(source).iter().for_each(log::warn);
        match Decision::of(&facts, Some(&chosen.id)).0 {
            Some(Decision::Generated(site)) => plan::generated(&facts, &site, &ctx.platform),
            Some(Decision::Plain(found)) => match found.detection.refusal {
                Some(refusal) => Err(refusal),
                None => Ok(plan::plain(&found.plain, &facts.settings)),
            },
            None => Err(no_index()),
        }
    }
}

/// What to say of a Procfile: a static site runs nothing.
fn unrun(source: &Source) -> Option<String> {
    let entries = procfile::read(source).unwrap_or_default();
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "{}: ignored: {} (a static site runs nothing; to run a program, name its language in build.framework)",
            procfile::FILE,
            names.join(", ")
        )
    })
}

/// A folder that another platform's file builds and serves, where nothing else is known.
fn unknown_build(facts: &Facts<'_>) -> Option<NearMiss> {
    if facts.other_project(&[]).is_some() {
        return None;
    }
    let said = |field: &Field| facts.others.get(field);
    let folder =
        said(&Field::Output).map(|(taken, file)| (file, format!("into {:?}", taken.value)));
    let build = said(&Field::Build).map(|(taken, file)| (file, format!("with `{}`", taken.value)));
    let (file, what) = match (build, folder) {
        (Some((file, with)), Some((other, into))) if file == other => {
            (file, format!("{with} {into}"))
        }
        (Some((file, with)), _) => (file, with),
        (None, Some((file, into))) => (file, into),
        (None, None) => return None,
    };
    let reason = format!(
        "{file} builds a site {what}, and no file here names a tool that the plugins know: write a Dockerfile that builds \
         and serves it, or deploy the finished folder"
    );
    Some(NearMiss { id: ID.to_owned(), reason })
}

fn nothing(source: &Source, asked: bool) -> Vec<NearMiss> {
    let known = ["index.html", "mkdocs.yml", "hugo.toml", "_config.yml", "book.toml", "Staticfile"];
    let mut near_misses = spelling::near_misses(source, ID, &known);
    if asked {
        let error = no_index();
        let reason = format!("{}; {}", error.message, error.hint.unwrap_or_default());
        near_misses.push(NearMiss { id: ID.to_owned(), reason });
    }
    near_misses
}

fn no_index() -> PluginError {
    let name = |root: &str| match root {
        "" => "the application's folder".to_owned(),
        folder => folder.to_owned(),
    };
    let looked = plain::ROOTS.map(name).join(", ");
    PluginError::new("static.no-index", format!("there is no index.html in {looked}"))
        .hint("name the folder: build.output = \"htdocs\" in windlass.toml")
}

windlass_sdk::export! {
    Static: [detector, builder],
    name: "static",
    failures: "failures.toml",
}

#[cfg(test)]
mod tests;
