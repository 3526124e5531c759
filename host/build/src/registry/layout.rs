//! An image in a folder: an OCI layout, or what `docker save` packs.
//!
//! **Invariant: nothing in the folder is believed.** Documents and layers are read by the names that
//! digests give them and checked against these; a layer of the old form is hashed here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use windlass_model::plan::RunConfig;
use windlass_model::{Digest, Failure};

use super::client::{ImageSource, RegistryError};
use super::manifest::{self, ImageConfig};
use super::{ImageManifest, Layer};

const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
const WHAT: &str = "the uploaded image";

/// An image in a folder.
#[derive(Debug)]
pub struct Layout {
    manifest: ImageManifest,
    files: BTreeMap<Digest, PathBuf>,
}

/// Of `manifest.json`, as `docker save` writes it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    layers: Vec<String>,
}

impl Layout {
    /// The registry that names of uploaded images begin with; no such host exists.
    pub const REGISTRY: &'static str = "upload.windlass.invalid";

    /// Reads what is in a folder. Blocks.
    ///
    /// # Errors
    /// `image.archive-invalid`, `registry.unsupported-platform`.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        let opened = if dir.join("index.json").is_file() {
            Self::of_index(dir)
        } else if dir.join("manifest.json").is_file() {
            Self::of_saved(dir)
        } else {
            return Err(invalid("it has neither an index.json nor a manifest.json at its root"));
        };
        opened.map_err(|error| match error {
            RegistryError::UnsupportedPlatform { .. } => Failure::app(
                error.code(),
                "the uploaded image does not fit this machine",
                error.to_string(),
                "build it for this machine, for instance with `docker build --platform`",
            ),
            RegistryError::Protocol { why, .. } => invalid(&why),
            other => invalid(&other.to_string()),
        })
    }

    /// The image's manifest.
    pub fn image(&self) -> &ImageManifest {
        &self.manifest
    }

    /// The name that a plan calls it by.
    pub fn reference(&self) -> String {
        format!("{}/image@{}", Self::REGISTRY, self.manifest.digest)
    }

    fn of_index(dir: &Path) -> Result<Self, RegistryError> {
        let index = document(&dir.join("index.json"))?;
        let top = Digest::of(&index);
        let manifest = manifest::read(WHAT, WHAT, top, &index, |_, wanted| {
            let bytes = document(&blob(dir, wanted))?;
            let got = Digest::of(&bytes);
            if got == *wanted {
                return Ok(bytes);
            }
            let what = format!("the document {}", wanted.short());
            Err(RegistryError::DigestMismatch { what, expected: wanted.clone(), got })
        })?;
        let files: BTreeMap<_, _> =
            manifest.layers.iter().map(|l| (l.digest.clone(), blob(dir, &l.digest))).collect();
        match files.values().find(|file| !is_file(file)) {
            Some(file) => Err(protocol(&format!("the layer {} is missing", file.display()))),
            None => Ok(Self { manifest, files }),
        }
    }

    fn of_saved(dir: &Path) -> Result<Self, RegistryError> {
        let saved: Vec<Saved> = manifest::json(WHAT, &document(&dir.join("manifest.json"))?)?;
        let [saved] = saved.as_slice() else {
            return Err(protocol(&format!("it holds {} images, and one is wanted", saved.len())));
        };
        let config_bytes = document(&inside(dir, &saved.config)?)?;
        let config: ImageConfig = manifest::json(WHAT, &config_bytes)?;
        manifest::check_platform(WHAT, &config)?;
        if config.rootfs.diff_ids.len() != saved.layers.len() {
            return Err(protocol("the configuration names other layers than the manifest"));
        }
        let (mut layers, mut files) = (Vec::new(), BTreeMap::new());
        for (name, diff_id) in saved.layers.iter().zip(config.rootfs.diff_ids) {
            let file = inside(dir, name)?;
            let (digest, bytes) = hashed(&file).map_err(|e| unreadable(&file, &e))?;
            files.insert(digest.clone(), file);
            layers.push(Layer { digest, bytes, diff_id });
        }
        let author = config.author.filter(|author| !author.is_empty());
        let mut config = RunConfig::from(config.config.unwrap_or_default());
        config.details.author = author;
        let digest = Digest::of(&config_bytes);
        Ok(Self { manifest: ImageManifest { digest, config, layers }, files })
    }
}

impl ImageSource for Layout {
    fn manifest(&self) -> Result<ImageManifest, RegistryError> {
        Ok(self.manifest.clone())
    }

    fn layer(&self, layer: &Layer) -> Result<Box<dyn Read + Send>, RegistryError> {
        let file = self.files.get(&layer.digest);
        let file = file.ok_or_else(|| protocol("a layer that the manifest does not name"))?;
        Ok(Box::new(File::open(file).map_err(|e| unreadable(file, &e))?))
    }
}

fn blob(dir: &Path, digest: &Digest) -> PathBuf {
    dir.join("blobs/sha256").join(digest.hex())
}

/// A name of the manifest, below the folder. Links in it were checked to stay inside when it was
/// unpacked.
fn inside(dir: &Path, name: &str) -> Result<PathBuf, RegistryError> {
    let path = Path::new(name);
    let plain = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let file = dir.join(path);
    match plain && is_file(&file) {
        true => Ok(file),
        false => Err(protocol(&format!("it names {name:?}, and has no such file"))),
    }
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file())
}

fn document(path: &Path) -> Result<Vec<u8>, RegistryError> {
    let read = File::open(path).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(DOCUMENT_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    read.map_err(|e| unreadable(path, &e))
}

fn hashed(path: &Path) -> io::Result<(Digest, u64)> {
    let mut sha = Sha256::new();
    let bytes = io::copy(&mut File::open(path)?, &mut sha)?;
    Ok((Digest::from_sha256(sha.finalize().into()), bytes))
}

fn unreadable(path: &Path, error: &io::Error) -> RegistryError {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    protocol(&format!("{name} cannot be read: {error}"))
}

fn protocol(why: &str) -> RegistryError {
    RegistryError::Protocol { host: WHAT.to_owned(), why: why.to_owned() }
}

fn invalid(why: &str) -> Failure {
    Failure::app(
        "image.archive-invalid",
        "the upload is no archive of an image",
        why,
        "make it with `docker save -o image.tar NAME`, or `skopeo copy docker://NAME \
         oci-archive:image.tar`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::architecture;

    fn saved(architecture: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let layer = b"a layer";
        std::fs::create_dir(dir.path().join("abc")).unwrap();
        std::fs::write(dir.path().join("abc/layer.tar"), layer).unwrap();
        let config = serde_json::json!({
            "architecture": architecture, "os": "linux", "config": {"Cmd": ["/run"]},
            "rootfs": {"diff_ids": [Digest::of(layer)]},
        });
        std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let manifest =
            r#"[{"Config":"config.json","RepoTags":["a:1"],"Layers":["abc/layer.tar"]}]"#;
        std::fs::write(dir.path().join("manifest.json"), manifest).unwrap();
        dir
    }

    #[test]
    fn what_docker_saves_is_read_and_its_layers_are_hashed() {
        let dir = saved(architecture());
        let layout = Layout::open(dir.path()).unwrap();
        assert_eq!(layout.image().config.cmd, ["/run"]);
        let layer = &layout.image().layers[0];
        assert_eq!(layer.digest, Digest::of(b"a layer"));
        let mut read = Vec::new();
        layout.layer(layer).unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, b"a layer");
        assert!(layout.reference().parse::<super::super::Reference>().is_ok());
    }

    #[test]
    fn what_is_no_image_is_told_apart() {
        let code = |dir: &Path| Layout::open(dir).unwrap_err().code;
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(code(empty.path()), "image.archive-invalid");
        assert_eq!(code(saved("s390x").path()), "registry.unsupported-platform");
        let cut = saved(architecture());
        std::fs::remove_file(cut.path().join("abc/layer.tar")).unwrap();
        assert_eq!(code(cut.path()), "image.archive-invalid");
        let escaping = saved(architecture());
        let manifest = r#"[{"Config":"../../etc/passwd","Layers":[]}]"#;
        std::fs::write(escaping.path().join("manifest.json"), manifest).unwrap();
        assert_eq!(code(escaping.path()), "image.archive-invalid");
        let index = tempfile::tempdir().unwrap();
        let text = format!(r#"{{"manifests":[{{"digest":"{}"}}]}}"#, Digest::of(b"x"));
        std::fs::write(index.path().join("index.json"), text).unwrap();
        assert_eq!(code(index.path()), "image.archive-invalid");
    }
}
