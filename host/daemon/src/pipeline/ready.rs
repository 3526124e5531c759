//! What needs no decision: an image that runs as it is, and finished files that are served as they are.
//! No detector and no builder is asked; the plan of one step that they would answer with is written
//! here, and goes through the table, the cache and the artifact's record like any other.

use std::path::Path;

use windlass_model::deployment::Chosen;
use windlass_model::id::ProcessName;
use windlass_model::plan::{
    Base, BuildPlan, BuildStep, Copy, Detection, Op, Origin, Output, OutputKind, ProcessKind,
    ProcessPlan, RunConfig,
};
use windlass_model::{Deployment, Digest, Failure, Source, settings};

use super::{Run, missing};

/// Who made the plan, where no plugin did.
pub(crate) const BY: &str = "windlass";
const OUTPUT: &str = "app";
/// Where the files lie in the step's result.
const SITE: &str = "/site";
const INDEX: &str = "index.html";
const NOT_FOUND: &str = "404.html";

/// The choice that is none; `None` for a source that has to be looked at.
pub(crate) fn chosen(deployment: &Deployment) -> Option<Chosen> {
    let (id, name) = match deployment.source {
        Source::Image { .. } | Source::ImageArchive { .. } => ("image", "An image"),
        Source::Static { .. } => ("static-files", "Finished files"),
        Source::Git { .. } | Source::Archive { .. } => return None,
    };
    Some(Chosen {
        plugin: BY.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        digest: Digest::of(BY.as_bytes()),
        detection: Detection::new(id, name, id, 100),
        others: Vec::new(),
    })
}

/// The plan of such a source; `None` for one that has to be looked at.
pub(crate) fn plan(run: &mut Run) -> Result<Option<BuildPlan>, Failure> {
    match run.deployment.source.clone() {
        Source::Image { .. } | Source::ImageArchive { .. } => image(run).map(Some),
        Source::Static { spa, .. } => site(run, spa).map(Some),
        Source::Git { .. } | Source::Archive { .. } => Ok(None),
    }
}

fn image(run: &Run) -> Result<BuildPlan, Failure> {
    let fetched = run.deployment.outputs.fetched.as_ref();
    let image =
        fetched.and_then(|fetched| fetched.image.clone()).ok_or_else(|| missing("image"))?;
    let settings = run.settings()?;
    let argv = |command: &str| ["/bin/sh", "-c", command].map(str::to_owned).to_vec();
    let declared = |process: &ProcessName| settings.run.processes.get(process).map(|p| &p.command);
    let web_name = ProcessName::web();
    let web = settings.run.command.as_ref().or_else(|| declared(&web_name));
    let web = ProcessPlan {
        name: web_name.to_string(),
        output: OUTPUT.to_owned(),
        kind: ProcessKind::Web,
        argv: web.map(|command| argv(command)).unwrap_or_default(),
        ports: image.port.into_iter().collect(),
    };
    let others = settings.run.processes.iter().filter(|(name, _)| **name != web_name);
    let workers = others.map(|(name, process)| ProcessPlan {
        name: name.to_string(),
        output: OUTPUT.to_owned(),
        kind: ProcessKind::Worker,
        argv: argv(&process.command),
        ports: Vec::new(),
    });
    let processes = std::iter::once(web).chain(workers).collect();
    let output = OutputKind::Image { step: OUTPUT.to_owned(), config: RunConfig::default() };
    let step = step("take the image", Base::Image(image.reference), Vec::new());
    Ok(BuildPlan { processes, ..of(step, output) })
}

fn site(run: &mut Run, spa: bool) -> Result<BuildPlan, Failure> {
    let app_dir = run.settings()?.build.app_dir.clone();
    let root = run.host.source_dir(&run.deployment.id).join(app_dir);
    let folder = root_folder(&root)?;
    if let Some(folder) = &folder {
        let message = format!(
            "all files lie in the folder {folder}: it is served as the root. Pack what is in it to do \
             without this guess"
        );
        run.warn("static.folder-taken", message);
    }
    let top = folder.as_ref().map_or_else(|| root.clone(), |folder| root.join(folder));
    let copy = Copy {
        origin: Origin::Source,
        sources: vec![folder.unwrap_or_else(|| ".".to_owned())],
        exclude: vec![settings::FILE.to_owned()],
        dest: format!("{SITE}/"),
        chown: None,
        chmod: None,
        parents: false,
    };
    let step = step("take the files", Base::Scratch, vec![Op::Copy(copy)]);
    let output = OutputKind::StaticTree {
        step: OUTPUT.to_owned(),
        root: SITE.to_owned(),
        spa_fallback: spa.then(|| INDEX.to_owned()),
        not_found: top.join(NOT_FOUND).is_file().then(|| NOT_FOUND.to_owned()),
    };
    Ok(of(step, output))
}

/// The one folder that holds the site, where the bundle has it in a folder; `None` for its root.
fn root_folder(root: &Path) -> Result<Option<String>, Failure> {
    if root.join(INDEX).is_file() {
        return Ok(None);
    }
    let entries = std::fs::read_dir(root).map_err(|e| {
        Failure::host(
            "static.unreadable",
            "the unpacked files cannot be read",
            e.to_string(),
            "check the data directory's disk, then deploy again",
        )
    })?;
    let with_index: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().join(INDEX).is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    match with_index.as_slice() {
        [folder] if !folder.contains(['*', '?', '[', '{', '\\']) => Ok(Some(folder.clone())),
        found => {
            let why = match found {
                [] => "there is none at its root, and none in a folder there".to_owned(),
                found => format!("there is none at its root, but in: {}", found.join(", ")),
            };
            Err(Failure::app(
                "static.no-index",
                format!("the bundle has no {INDEX}"),
                why,
                "deploy the folder that holds the built site: windlass deploy --static dist; to have \
                 it built first, deploy its source without --static",
            ))
        }
    }
}

fn step(name: &str, base: Base, ops: Vec<Op>) -> BuildStep {
    BuildStep {
        id: OUTPUT.to_owned(),
        name: name.to_owned(),
        base,
        env: Vec::new(),
        cwd: String::new(),
        user: String::new(),
        ops,
    }
}

fn of(step: BuildStep, artifact: OutputKind) -> BuildPlan {
    let output = Output { name: OUTPUT.to_owned(), artifact };
    BuildPlan { steps: vec![step], outputs: vec![output], ..BuildPlan::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_in_one_folder_is_found_and_none_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let code = |dir: &Path| root_folder(dir).unwrap_err().code;
        assert_eq!(code(dir.path()), "static.no-index");
        for folder in ["dist", "docs"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        std::fs::write(dir.path().join("dist/index.html"), "hi").unwrap();
        assert_eq!(root_folder(dir.path()).unwrap().as_deref(), Some("dist"));
        std::fs::write(dir.path().join("docs/index.html"), "hi").unwrap();
        assert_eq!(code(dir.path()), "static.no-index");
        std::fs::write(dir.path().join("index.html"), "hi").unwrap();
        assert_eq!(root_folder(dir.path()).unwrap(), None);
    }
}
