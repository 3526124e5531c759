//! `windlass build`: a folder or a repository is built on the host, and nothing is deployed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::json;
use ureq::http::Method;
use windlass_model::DeploymentStatus;
use windlass_model::ProjectName;
use windlass_model::api::{CreateDeployment, DeploymentView};
use windlass_model::build::{BuildWhy, StepWhy};
use windlass_model::image::SavedView;

use super::deploy::{check_settings, is_git_address, project_of_file, project_of_repository};
use super::{environment_path, save, unreadable, unreadable_file};
use crate::client::{self, Client, with_query};
use crate::exit::{CliError, CliResult, Exit};
use crate::render::{bytes, harmless, took};
use crate::session::{Session, project_of_folder};
use crate::watch::{Watched, until_settled_with};
use crate::{archive, render};

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
        if let Output::Folder(dir) = &self.output {
            refuse_full(dir)?;
        }
        if session.common.project.is_none() {
            session.common.project = Some(self.project()?);
        }
        let client = session.client()?;
        let accepted = self.send(session, &client)?;
        let (number, project) = (accepted.deployment.number, accepted.deployment.project.clone());
        let mut said = BTreeSet::new();
        let mut news = |view: &DeploymentView| {
            let ended = steps(&client, view).into_iter();
            let new = ended.filter(|step| said.insert(step.id.clone()));
            new.map(|step| line(&step)).collect()
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
        let steps = steps(&client, &view);
        if view.deployment.status != DeploymentStatus::Built {
            return Ok(self.ended(session, &view, &steps));
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
            return client.upload(&to, "application/octet-stream", &file);
        }
        check_settings(path, &session.environment())?;
        let archive = archive::pack(path)?;
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
                let files = unpack(body, dir)?;
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

/// What became of the steps; nothing when the build did not come so far.
fn steps(client: &Client, view: &DeploymentView) -> Vec<StepWhy> {
    let path = client::path(&["v1", "deployments", view.deployment.id.as_str(), "why"]);
    client.get::<BuildWhy>(&path).map(|why| why.steps).unwrap_or_default()
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

fn refuse_full(dir: &Path) -> CliResult<()> {
    let is_empty = std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
    if is_empty && !dir.is_file() {
        return Ok(());
    }
    Err(CliError::new(
        Exit::Usage,
        "cli.not-saved",
        format!("{} is not an empty folder", dir.display()),
        "what is built is not mixed with what lies there",
        "name a folder that is empty or not there yet",
    ))
}

/// Unpacks a tar into a folder, without owners; how many files came out.
fn unpack(body: impl Read, dir: &Path) -> CliResult<u64> {
    let failed = |e: std::io::Error| {
        CliError::new(
            Exit::Failed,
            "cli.not-saved",
            format!("the files could not be written to {}", dir.display()),
            e.to_string(),
            "check the folder and its free space, empty it, and build again",
        )
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    let mut tar = tar::Archive::new(body);
    tar.set_preserve_permissions(false);
    let (mut files, mut folders) = (0, 0);
    for entry in tar.entries().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        let counted = if entry.header().entry_type().is_dir() { &mut folders } else { &mut files };
        *counted += 1;
        if !entry.unpack_in(dir).map_err(failed)? {
            return Err(failed(std::io::Error::other("an entry leads out of the folder")));
        }
    }
    // Also an empty output has its own folder in it.
    if folders == 0 { Err(failed(std::io::Error::other("nothing came"))) } else { Ok(files) }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_tar_is_unpacked_and_one_that_is_cut_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("made");
        std::fs::create_dir_all(made.join("inner")).unwrap();
        std::fs::write(made.join("inner/file"), "text").unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_dir_all(".", &made).unwrap();
        let bytes = tar.into_inner().unwrap();
        let to = dir.path().join("to");
        assert_eq!(unpack(&bytes[..], &to).unwrap(), 1);
        assert_eq!(std::fs::read_to_string(to.join("inner/file")).unwrap(), "text");
        assert!(refuse_full(&to).is_err());
        let cut = dir.path().join("cut");
        assert!(unpack(&bytes[..700], &cut).is_err());
        assert!(unpack(&[][..], &cut).is_err());
    }
}
