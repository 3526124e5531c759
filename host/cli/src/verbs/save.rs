//! `windlass save`: a deployment's image as a file.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use windlass_model::image::SavedView;

use super::{taken, unreadable};
use crate::client;
use crate::exit::{CliError, CliResult, Exit};
use crate::render::{bytes, harmless};
use crate::session::Session;

/// Form of the archive.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Format {
    /// An OCI image layout.
    #[default]
    Oci,
    /// What `docker load` reads.
    Docker,
}

/// Save a deployment's image to a file.
///
/// `windlass deploy --image-archive` reads it, and others do; `docker load` wants `--format docker`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass save production --output shop.tar
  windlass save 12 --output shop.tar --format docker --project shop && docker load -i shop.tar")]
pub struct Save {
    /// Environment, whose live deployment is taken; or id, start of an id, or number of a deployment.
    deployment: String,
    /// The file; one that is there is replaced when the new one is whole.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Form of the archive.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Which output of the build [default: that of the web process, or the only one].
    #[arg(long, value_name = "NAME")]
    image: Option<String>,
}

impl Save {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        refuse_unwritable(&self.output)?;
        let client = session.client()?;
        let view = taken(session, &client, &self.deployment)?;
        let format = match self.format {
            Format::Oci => "oci",
            Format::Docker => "docker",
        };
        let mut query = vec![("format", format)];
        query.extend(self.image.as_deref().map(|name| ("output", name)));
        let path = client::path(&["v1", "deployments", view.deployment.id.as_str(), "image"]);
        let (told, body) =
            client.download(&client::with_query(&path, &query), SavedView::HEADER)?;
        let saved: SavedView = serde_json::from_str(&told)
            .map_err(|e| unreadable("what the host says of the image", e))?;
        write(body, &self.output, saved.bytes)?;
        if session.json() {
            session.print_json(&saved);
            return Ok(Exit::Ok);
        }
        for note in &saved.notes {
            session.console.err(&format!("note: {}\n", harmless(note)));
        }
        let (layers, size, digest) = (saved.layers, bytes(saved.bytes), saved.digest);
        let file = self.output.display().to_string();
        let file = harmless(&file);
        session.console.out(&format!("{file}: {layers} layers, {size}, {digest}\n"));
        Ok(Exit::Ok)
    }
}

/// Refuses a file that cannot be written, before anything is made for it.
///
/// # Errors
/// `cli.not-saved`.
pub(super) fn refuse_unwritable(file: &Path) -> CliResult<()> {
    let dir = folder_of(file);
    let why = if file.is_dir() {
        "it is a folder".to_owned()
    } else if !dir.is_dir() {
        format!("there is no folder {}", dir.display())
    } else if let Err(error) = tempfile::tempfile_in(dir) {
        error.to_string()
    } else {
        return Ok(());
    };
    Err(CliError::new(
        Exit::Usage,
        "cli.not-saved",
        format!("{} cannot be written", file.display()),
        why,
        "name a file in a folder that is there and that you may write to",
    ))
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes beside the file, and renames when all of it is there.
pub(super) fn write(mut body: impl std::io::Read, to: &Path, bytes: u64) -> CliResult<()> {
    let failed = |why: String| {
        CliError::new(
            Exit::Failed,
            "cli.not-saved",
            format!("it could not be written to {}", to.display()),
            why,
            "check the folder and its free space, then run it again",
        )
    };
    let io = |e: std::io::Error| failed(e.to_string());
    let mut partial = tempfile::Builder::new()
        .prefix(".windlass-image-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder_of(to))
        .map_err(io)?;
    let copied = std::io::copy(&mut body, &mut partial).map_err(io)?;
    if copied != bytes {
        return Err(failed(format!("the connection was cut after {copied} of {bytes} bytes")));
    }
    partial.as_file().sync_all().map_err(io)?;
    partial.persist(to).map_err(|e| io(e.error))?;
    Ok(())
}
