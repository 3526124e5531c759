//! The files of an artifact as a tar: a static tree, or the file system of an image.
//!
//! **Invariant: what is being read is not pruned meanwhile**, and nothing else is kept for it, however slowly it
//! is read. Links are written as links; devices and sockets are left out, and a file with several names is
//! written once for each.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;
use tokio_util::bytes::Bytes;
use windlass_containers::runtime::{Access, Mounted};
use windlass_model::Failure;
use windlass_model::deployment::{Artifact, ArtifactKind, ArtifactOutput};

use crate::artifact::static_dir;
use crate::builder::Builder;
use crate::disk::Held;
use crate::pipe::Pipe;

/// Pieces of a tar that wait for the reader.
const AHEAD: usize = 16;

/// The pieces of a tar, in order; an error ends it before its time.
pub type Pieces = mpsc::Receiver<io::Result<Bytes>>;

impl Builder {
    /// The files of an output as a tar. Without a name it is the static tree, or what the web process
    /// runs from, or the only output.
    ///
    /// # Errors
    /// `export.no-such-output`, `artifact.missing`, the runtime's.
    pub async fn files(
        &self,
        artifact: &Artifact,
        output: Option<&str>,
    ) -> Result<Pieces, Failure> {
        let output = choose(artifact, output)?;
        // Its record keeps its snapshots and its static trees.
        let held = self.hold(&artifact.digest).await;
        self.verify_artifact(artifact).await?;
        let from = match &output.kind {
            ArtifactKind::StaticTree { tree, .. } => {
                From::Folder(static_dir(self.data_dir(), tree))
            }
            ArtifactKind::Image { .. } => {
                let mounted = self.runtime().mount_snapshot(&output.snapshot, Access::ReadOnly);
                let failed = "The image's files could not be read";
                From::Mounted(mounted.await.map_err(|e| e.failure(failed))?)
            }
        };
        let (to, pieces) = mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || write(&from, to, held));
        Ok(pieces)
    }
}

enum From {
    Folder(PathBuf),
    Mounted(Mounted),
}

impl From {
    fn path(&self) -> &Path {
        match self {
            Self::Folder(path) => path,
            Self::Mounted(mounted) => mounted.path(),
        }
    }
}

fn choose<'a>(artifact: &'a Artifact, name: Option<&str>) -> Result<&'a ArtifactOutput, Failure> {
    let web = || artifact.web().and_then(|web| artifact.output(&web.output));
    let only = || artifact.outputs.first().filter(|_| artifact.outputs.len() == 1);
    let found = match name {
        Some(name) => artifact.output(name),
        None => artifact.static_output().or_else(web).or_else(only),
    };
    found.ok_or_else(|| {
        let names: Vec<&str> = artifact.outputs.iter().map(|output| output.name.as_str()).collect();
        Failure::app(
            "export.no-such-output",
            match name {
                Some(name) => format!("the build has no output {name:?}"),
                None => "it is not clear which output is meant".to_owned(),
            },
            format!("its outputs are {}", names.join(", ")),
            "name one of them: windlass build --from OUTPUT",
        )
    })
}

fn write(from: &From, to: mpsc::Sender<io::Result<Bytes>>, _in_use: Held) {
    let mut tar = tar::Builder::new(Pipe::new(to.clone()));
    tar.follow_symlinks(false);
    let outcome = append(&mut tar, from.path(), Path::new("."));
    let outcome = outcome.and_then(|()| tar.into_inner()?.flush());
    if let Err(error) = outcome {
        // Nobody reads any more, or the reader learns that it is cut off.
        let _nobody_reads = to.blocking_send(Err(error));
    }
}

/// A folder and everything below it, in the order of the names.
fn append(tar: &mut tar::Builder<Pipe>, from: &Path, name: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt as _;
    let kind = from.symlink_metadata()?.file_type();
    if kind.is_block_device() || kind.is_char_device() || kind.is_fifo() || kind.is_socket() {
        return Ok(());
    }
    if !kind.is_dir() {
        return tar.append_path_with_name(from, name);
    }
    tar.append_dir(name, from)?;
    let mut names: Vec<_> =
        std::fs::read_dir(from)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
    names.sort();
    names.iter().try_for_each(|entry| append(tar, &from.join(entry), &name.join(entry)))
}
