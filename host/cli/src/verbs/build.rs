//! `windlass build`: a folder or a repository is built on the host, and nothing is deployed.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::json;
use ureq::http::Method;
use windlass_model::DeploymentStatus;
use windlass_model::ProjectName;
use windlass_model::api::{CreateDeployment, DeploymentView};
use windlass_model::build::{BuildWhy, StepWhy};
use windlass_model::deployment::Artifact;
use windlass_model::image::SavedView;

use super::deploy::{
    check_settings, is_git_address, only_for_git, project_of_file, project_of_repository, say_file,
    say_packed,
};
use super::{environment_path, save, unreadable, unreadable_file};
use crate::client::{self, Client, with_query};
use crate::exit::{CliError, CliResult, Exit};
use crate::render::{bytes, harmless, took};
use crate::session::{Session, project_of_folder};
use crate::watch::{Watched, until_settled_with};
use crate::{archive, render};

mod folder;

/// Build a folder or a Git repository on the host, and deploy nothing.
///
/// It is built exactly as `windlass deploy` would, with the build variables of the project's environment,
/// through the same cache. The project and the environment are made when they do not exist. Nothing of a
/// build runs, and it is never a version to go back to.
///
/// The output is one of `image` or `image=NAME` (kept on the host until a newer build of the same name, or
/// `windlass prune --images`), `oci=FILE` or `docker=FILE` (an archive of the image, written here), and
/// `folder=DIR` (the static files, or the image's file system, written here without owners and devices).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass build                                    # this folder
  windlass build https://github.com/me/shop.git --ref v2 --output image=shop:2
  windlass build --output oci=shop.tar
  windlass build ../site --output folder=public")]
pub struct Build {
    /// A Git address, a folder, or an archive of the source (zip, tar, tar.gz, tar.zst).
    #[arg(value_name = "GIT_URL|PATH", default_value = ".")]
    source: String,
    /// Branch, tag or commit of a Git address [default: the repository's default branch].
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// What becomes of it: image[=NAME], oci=FILE, docker=FILE or folder=DIR.
    #[arg(short, long, value_name = "TYPE[=WHERE]", default_value = "image", value_parser = output)]
    output: Output,
    /// Which output of the plan [default: the static files, or that of the web process].
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// Carry out every step, whatever is in the cache.
    #[arg(long)]
    no_cache: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Output {
    Image(String),
    Archive(&'static str, PathBuf),
    Folder(PathBuf),
}

fn output(text: &str) -> Result<Output, String> {
    match text.split_once('=').unwrap_or((text, "")) {
        ("image", name) => Ok(Output::Image(name.to_owned())),
        ("oci", file) if !file.is_empty() => Ok(Output::Archive("oci", file.into())),
        ("docker", file) if !file.is_empty() => Ok(Output::Archive("docker", file.into())),
        ("folder", dir) if !dir.is_empty() => Ok(Output::Folder(dir.into())),
        _ => Err("give image, image=NAME, oci=FILE, docker=FILE or folder=DIR".to_owned()),
    }
}

impl Build {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        self.refuse_reference()?;
        match &self.output {
            Output::Folder(dir) => folder::refuse_full(dir)?,
            Output::Archive(_, file) => save::refuse_unwritable(file)?,
            Output::Image(_) => {}
        }
        if session.common.project.is_none() {
            session.common.project = Some(self.project()?);
        }
        let client = session.client()?;
        let accepted = self.send(session, &client)?;
        let (number, project) = (accepted.deployment.number, accepted.deployment.project.clone());
        let (mut said, mut latest) = (BTreeSet::new(), None);
        let mut news = |view: &DeploymentView| {
            latest = steps(&client, view).or_else(|| latest.take());
            let ended = latest.iter().flatten();
            ended.filter(|step| said.insert(step.id.clone())).map(line).collect()
        };
        let watching = session.client()?;
        let watched = until_settled_with(session, watching, accepted, Some(&mut news))?;
        let view = match watched {
            Watched::Settled(view) => view,
            Watched::Interrupted => {
                session.console.note(&format!(
                    "\ninterrupted: the build goes on; stop it with `windlass cancel --project \
                     {project} {number}`"
                ));
                return Ok(Exit::Interrupted);
            }
        };
        // They were asked for last when it was over, unless it was from the beginning.
        let steps = latest.or_else(|| steps(&client, &view)).unwrap_or_default();
        if view.deployment.status != DeploymentStatus::Built {
            return Ok(self.ended(session, &view, &steps));
        }
        if let (Some(name), Some(artifact)) = (&self.from, &view.deployment.outputs.artifact) {
            refuse_absent(name, artifact)?;
        }
        let written = self.fetch(session, &client, &view)?;
        if session.json() {
            session.print_json(&json!({ "deployment": view, "steps": steps, "output": written }));
        } else {
            let text = render::deployment::success(&view, session.console.color());
            session.console.out(&text);
        }
        Ok(Exit::Ok)
    }

    fn ended(
        &self,
        session: &mut Session<'_, '_>,
        view: &DeploymentView,
        steps: &[StepWhy],
    ) -> Exit {
        if session.json() {
            session.print_json(&json!({ "deployment": view, "steps": steps, "output": null }));
        } else {
            let text = render::deployment::ending(view, session.console.color());
            session.console.err(&text);
        }
        Exit::Failed
    }

    /// What lies in a folder has no branches to choose from.
    fn refuse_reference(&self) -> CliResult<()> {
        match self.reference.is_some() && !is_git_address(&self.source) {
            true => Err(only_for_git("--ref is", &self.source, "built")),
            false => Ok(()),
        }
    }

    fn project(&self) -> CliResult<ProjectName> {
        if is_git_address(&self.source) {
            return project_of_repository(&self.source);
        }
        let path = Path::new(&self.source);
        if path.is_file() { project_of_file(path) } else { project_of_folder(path) }
    }

    fn send(&self, session: &mut Session<'_, '_>, client: &Client) -> CliResult<DeploymentView> {
        let mut query = vec![("create", "true")];
        if let Output::Image(name) = &self.output
            && !name.is_empty()
        {
            query.push(("keep", name));
        }
        if is_git_address(&self.source) {
            let body = CreateDeployment {
                git_url: Some(self.source.clone()),
                reference: self.reference.clone(),
                no_cache: self.no_cache,
                ..CreateDeployment::default()
            };
            let path = environment_path(session, &["builds"])?;
            return client.send(Method::POST, &with_query(&path, &query), &body);
        }
        if self.no_cache {
            query.push(("no_cache", "true"));
        }
        let path = Path::new(&self.source);
        let absolute = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let name = absolute.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        query.push(("name", &name));
        let to = with_query(&environment_path(session, &["builds", "archive"])?, &query);
        if path.is_file() {
            let file = File::open(path).map_err(|e| unreadable_file(path, &e))?;
            say_file(session, path);
            return client.upload(&to, "application/octet-stream", &file);
        }
        check_settings(path, &session.environment())?;
        let archive = archive::pack(path)?;
        say_packed(session, &archive);
        client.upload(&to, "application/gzip", &archive.file)
    }

    /// Writes what was asked for, and says what it is.
    fn fetch(
        &self,
        session: &mut Session<'_, '_>,
        client: &Client,
        view: &DeploymentView,
    ) -> CliResult<serde_json::Value> {
        let of =
            |what: &str| client::path(&["v1", "deployments", view.deployment.id.as_str(), what]);
        let mut query: Vec<(&str, &str)> =
            self.from.iter().map(|name| ("output", &**name)).collect();
        let (told, value) = match &self.output {
            Output::Image(name) => {
                let digest =
                    view.deployment.outputs.artifact.as_ref().map(|it| it.digest.to_string());
                let digest = digest.unwrap_or_default();
                let kept =
                    if name.is_empty() { "kept".to_owned() } else { format!("kept as {name}") };
                (format!("{kept}: {digest}"), json!({ "image": name, "digest": digest }))
            }
            Output::Archive(format, file) => {
                query.push(("format", format));
                let path = with_query(&of("image"), &query);
                let (told, body) = client.download(&path, SavedView::HEADER)?;
                let saved: SavedView = serde_json::from_str(&told)
                    .map_err(|e| unreadable("what the host says of the image", e))?;
                save::write(body, file, saved.bytes)?;
                let text = format!("{}: {}, {}", file.display(), bytes(saved.bytes), saved.digest);
                (text, json!({ "file": file, "image": saved }))
            }
            Output::Folder(dir) => {
                let (_, body) =
                    client.download(&with_query(&of("files"), &query), "content-type")?;
                let files = folder::write(body, dir)?;
                (
                    format!("{}: {files} files", dir.display()),
                    json!({ "folder": dir, "files": files }),
                )
            }
        };
        if !session.json() {
            session.console.line(&harmless(&told));
        }
        Ok(value)
    }
}

/// Refuses the name of an output that was not built. Which there are is known when the plan is.
fn refuse_absent(name: &str, artifact: &Artifact) -> CliResult<()> {
    if artifact.output(name).is_some() {
        return Ok(());
    }
    let names: Vec<&str> = artifact.outputs.iter().map(|output| output.name.as_str()).collect();
    let first = names.first().unwrap_or(&"NAME");
    Err(CliError::bad_input(
        "export.no-such-output",
        format!("the build has no output {name:?}"),
        format!("its outputs are {}", names.join(", ")),
        format!("name one of them, as in `--from {first}`; what was built is in the cache"),
    ))
}

/// What became of the steps; nothing when the host does not say. None are there when the build did not come so far.
fn steps(client: &Client, view: &DeploymentView) -> Option<Vec<StepWhy>> {
    let path = client::path(&["v1", "deployments", view.deployment.id.as_str(), "why"]);
    client.get::<BuildWhy>(&path).map(|why| why.steps).ok()
}

/// A step that ended: cached, built or failed, and in what time.
fn line(step: &StepWhy) -> String {
    let outcome = match (step.cached, step.succeeded) {
        (true, _) => "cached",
        (false, true) => "built",
        (false, false) => "failed",
    };
    format!("    {outcome:<6}  {:>9}  {}", took(step.took_ms), harmless(&step.name))
}

#[cfg(test)]
mod tests {
    use windlass_model::Digest;
    use windlass_model::deployment::{ArtifactKind, ArtifactOutput};
    use windlass_model::plan::RunConfig;

    use super::*;

    #[test]
    fn an_output_that_was_not_built_is_refused_with_those_that_were() {
        let output = |name: &str| ArtifactOutput {
            name: name.to_owned(),
            snapshot: String::new(),
            kind: ArtifactKind::Image { config: RunConfig::default() },
        };
        let artifact = Artifact {
            digest: Digest::of(b"artifact"),
            outputs: vec![output("app"), output("worker")],
            processes: Vec::new(),
            bases: Vec::new(),
            toolchains: Vec::new(),
            plan: Digest::of(b"plan"),
        };
        assert!(refuse_absent("worker", &artifact).is_ok());
        let refused = refuse_absent("nope", &artifact).unwrap_err();
        assert_eq!(refused.exit, Exit::BadInput);
        let failure = refused.failure;
        assert_eq!(failure.code, "export.no-such-output");
        assert!(failure.what.contains("\"nope\"") && failure.why.contains("app, worker"));
        assert!(failure.fix.contains("--from app"), "{failure:?}");
    }

    #[test]
    fn outputs_name_what_becomes_of_it() {
        assert_eq!(output("image"), Ok(Output::Image(String::new())));
        assert_eq!(output("image=shop:1"), Ok(Output::Image("shop:1".to_owned())));
        assert_eq!(output("oci=a.tar"), Ok(Output::Archive("oci", "a.tar".into())));
        assert_eq!(output("folder=out"), Ok(Output::Folder("out".into())));
        for wrong in ["oci", "folder=", "zip=x", ""] {
            assert!(output(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn steps_are_shown_with_their_times_and_marked_when_cached() {
        let step = |name: &str, cached, took_ms| StepWhy {
            id: name.to_owned(),
            name: name.to_owned(),
            key: String::new(),
            cached,
            succeeded: true,
            took_ms,
            reasons: Vec::new(),
            said: Vec::new(),
        };
        assert_eq!(line(&step("npm ci", true, 3)), "    cached       3 ms  npm ci");
        assert_eq!(line(&step("copy files", false, 2100)), "    built       2.1 s  copy files");
    }
}
