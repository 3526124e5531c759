//! An image in a folder: an OCI layout, or what `docker save` packs.
//!
//! **Invariant: nothing in the folder is believed.** Documents and layers are read by the names that
//! digests give them and checked against these; a layer of the old form is hashed here. No name and no
//! link leads out of the folder.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use windlass_model::plan::RunConfig;
use windlass_model::{Digest, Failure};

use super::client::ImageSource;
use super::error::RegistryError;
use super::manifest::{self, ImageConfig};
use super::{ImageManifest, Layer};
use crate::rooted::Root;

const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
const WHAT: &str = "the uploaded image";

/// An image in a folder.
#[derive(Debug)]
pub struct Layout {
    root: Root,
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
        let root = Root::open(dir).map_err(|e| invalid(&e.to_string()))?;
        let opened = if is_file(&root, Path::new("index.json")) {
            Self::of_index(root)
        } else if is_file(&root, Path::new("manifest.json")) {
            Self::of_saved(root)
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

    fn of_index(root: Root) -> Result<Self, RegistryError> {
        let index = document(&root, Path::new("index.json"))?;
        let (mut found, mut refused) = (Vec::new(), None);
        let candidates = manifest::candidates(WHAT, &index)?;
        if candidates.len() < 2 {
            found.push(Self::of_manifest(&root, Digest::of(&index), &index)?);
        } else {
            // Several that do not say what they are for: their configurations do.
            for digest in candidates {
                let bytes = blob_document(&root, &digest)?;
                match Self::of_manifest(&root, digest, &bytes) {
                    Ok(manifest) => found.push(manifest),
                    Err(error @ RegistryError::UnsupportedPlatform { .. }) => refused = Some(error),
                    Err(error) => return Err(error),
                }
            }
        }
        let images = found.len();
        let (Some(manifest), true) = (found.pop(), images == 1) else {
            let several = || protocol(&format!("it holds {images} images, and one is wanted"));
            return Err(refused.filter(|_| images == 0).unwrap_or_else(several));
        };
        let of = |layer: &Layer| (layer.digest.clone(), blob(&layer.digest));
        let files: BTreeMap<_, _> = manifest.layers.iter().map(of).collect();
        match files.values().find(|file| !is_file(&root, file)) {
            Some(file) => Err(protocol(&format!("the layer {} is missing", file.display()))),
            None => Ok(Self { root, manifest, files }),
        }
    }

    fn of_manifest(root: &Root, top: Digest, bytes: &[u8]) -> Result<ImageManifest, RegistryError> {
        manifest::read(WHAT, WHAT, top, bytes, |_, wanted| blob_document(root, wanted))
    }

    fn of_saved(root: Root) -> Result<Self, RegistryError> {
        let saved = document(&root, Path::new("manifest.json"))?;
        let saved: Vec<Saved> = manifest::json(WHAT, &saved)?;
        let [saved] = saved.as_slice() else {
            return Err(protocol(&format!("it holds {} images, and one is wanted", saved.len())));
        };
        let config_bytes = document(&root, &inside(&root, &saved.config)?)?;
        let config: ImageConfig = manifest::json(WHAT, &config_bytes)?;
        manifest::check_platform(WHAT, &config)?;
        if config.rootfs.diff_ids.len() != saved.layers.len() {
            return Err(protocol("the configuration names other layers than the manifest"));
        }
        let (mut layers, mut files) = (Vec::new(), BTreeMap::new());
        for (name, diff_id) in saved.layers.iter().zip(config.rootfs.diff_ids) {
            let file = inside(&root, name)?;
            let (digest, bytes, media_type) =
                hashed(&root, &file).map_err(|e| unreadable(&file, &e))?;
            files.insert(digest.clone(), file);
            layers.push(Layer { digest, bytes, diff_id, media_type: media_type.to_owned() });
        }
        let author = config.author.filter(|author| !author.is_empty());
        let mut config = RunConfig::from(config.config.unwrap_or_default());
        config.details.author = author;
        let digest = Digest::of(&config_bytes);
        Ok(Self { root, manifest: ImageManifest { digest, config, layers }, files })
    }
}

impl ImageSource for Layout {
    fn manifest(&self, _: Option<ImageManifest>) -> Result<ImageManifest, RegistryError> {
        Ok(self.manifest.clone())
    }

    fn layer(&self, layer: &Layer, _: usize) -> Result<Box<dyn Read + Send>, RegistryError> {
        let file = self.files.get(&layer.digest);
        let file = file.ok_or_else(|| protocol("a layer that the manifest does not name"))?;
        Ok(Box::new(self.root.open_file(file).map_err(|e| unreadable(file, &e))?))
    }
}

fn blob(digest: &Digest) -> PathBuf {
    Path::new("blobs/sha256").join(digest.hex())
}

fn blob_document(root: &Root, wanted: &Digest) -> Result<Vec<u8>, RegistryError> {
    let bytes = document(root, &blob(wanted))?;
    let got = Digest::of(&bytes);
    if got == *wanted {
        return Ok(bytes);
    }
    let what = format!("the document {}", wanted.short());
    Err(RegistryError::DigestMismatch { what, expected: wanted.clone(), got })
}

/// A name of the manifest, below the folder.
fn inside(root: &Root, name: &str) -> Result<PathBuf, RegistryError> {
    let path = Path::new(name);
    let plain = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    match plain && is_file(root, path) {
        true => Ok(path.to_owned()),
        false => Err(protocol(&format!("it names {name:?}, and has no such file"))),
    }
}

fn is_file(root: &Root, path: &Path) -> bool {
    root.open_file(path).and_then(|file| file.metadata()).is_ok_and(|meta| meta.is_file())
}

fn document(root: &Root, path: &Path) -> Result<Vec<u8>, RegistryError> {
    let read = root.open_file(path).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(DOCUMENT_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    read.map_err(|e| unreadable(path, &e))
}

/// Digest, size and media type of a layer's file.
fn hashed(root: &Root, path: &Path) -> io::Result<(Digest, u64, &'static str)> {
    let mut file: File = root.open_file(path)?;
    let mut first = Vec::new();
    (&mut file).take(4).read_to_end(&mut first)?;
    file.seek(SeekFrom::Start(0))?;
    let mut sha = Sha256::new();
    let bytes = io::copy(&mut file, &mut sha)?;
    let media_type = match first.as_slice() {
        [0x1f, 0x8b, ..] => manifest::LAYER_TYPE,
        [0x28, 0xb5, 0x2f, 0xfd] => "application/vnd.oci.image.layer.v1.tar+zstd",
        _ => "application/vnd.oci.image.layer.v1.tar",
    };
    Ok((Digest::from_sha256(sha.finalize().into()), bytes, media_type))
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
        layout.layer(layer, 0).unwrap().read_to_end(&mut read).unwrap();
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
        // A link within the archive cannot lead out of it, however it was put together.
        let linked = saved(architecture());
        std::os::unix::fs::symlink("/etc", linked.path().join("out")).unwrap();
        let manifest = r#"[{"Config":"out/passwd","Layers":[]}]"#;
        std::fs::write(linked.path().join("manifest.json"), manifest).unwrap();
        let failure = Layout::open(linked.path()).unwrap_err();
        assert!(failure.why.contains("no such file"), "{failure:?}");
        let index = tempfile::tempdir().unwrap();
        let text = format!(r#"{{"manifests":[{{"digest":"{}"}}]}}"#, Digest::of(b"x"));
        std::fs::write(index.path().join("index.json"), text).unwrap();
        assert_eq!(code(index.path()), "image.archive-invalid");
    }

    /// Puts an image without layers into an OCI layout; its descriptor.
    fn put(dir: &Path, architecture: &str, name: &str) -> serde_json::Value {
        let blobs = dir.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        let put = |value: serde_json::Value| {
            let text = value.to_string();
            let digest = Digest::of(text.as_bytes());
            std::fs::write(blobs.join(digest.hex()), text).unwrap();
            serde_json::json!({ "digest": digest, "size": 0 })
        };
        let config = put(serde_json::json!({
            "architecture": architecture, "os": "linux", "config": {"Cmd": [name]},
            "rootfs": {"diff_ids": []},
        }));
        put(serde_json::json!({ "config": config, "layers": [] }))
    }

    fn opened(dir: &Path, manifests: &serde_json::Value) -> Result<Layout, Failure> {
        let index = serde_json::json!({ "manifests": manifests });
        std::fs::write(dir.join("index.json"), index.to_string()).unwrap();
        Layout::open(dir)
    }

    #[test]
    fn of_several_manifests_the_one_that_fits_is_taken_and_two_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let (ours, other) = (put(dir, architecture(), "ours"), put(dir, "s390x", "other"));
        let second = put(dir, architecture(), "second");
        let layout = opened(dir, &serde_json::json!([other, ours])).unwrap();
        assert_eq!(layout.image().config.cmd, ["ours"]);
        let failure = opened(dir, &serde_json::json!([ours, second])).unwrap_err();
        assert_eq!(failure.code, "image.archive-invalid");
        assert!(failure.why.contains("2 images"), "{failure:?}");
        let failure = opened(dir, &serde_json::json!([other, put(dir, "mips", "x")])).unwrap_err();
        assert_eq!(failure.code, "registry.unsupported-platform");

        let mut attested = put(dir, "s390x", "attestation");
        attested["platform"] = serde_json::json!({"os": "unknown", "architecture": "unknown"});
        let mut named = ours;
        named["platform"] = serde_json::json!({"os": "linux", "architecture": architecture()});
        let index = serde_json::json!([attested, named]);
        assert_eq!(opened(dir, &index).unwrap().image().config.cmd, ["ours"]);

        // An index within the index, as a build for several platforms has it.
        let nested = serde_json::json!({ "manifests": index }).to_string();
        let digest = Digest::of(nested.as_bytes());
        std::fs::write(dir.join("blobs/sha256").join(digest.hex()), nested).unwrap();
        let outer = serde_json::json!([{ "digest": digest }]);
        assert_eq!(opened(dir, &outer).unwrap().image().config.cmd, ["ours"]);
    }

    #[test]
    fn a_document_that_is_not_what_its_digest_says_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let ours = put(dir, architecture(), "ours");
        let digest: Digest = ours["digest"].as_str().unwrap().parse().unwrap();
        std::fs::write(dir.join("blobs/sha256").join(digest.hex()), "{}").unwrap();
        let failure = opened(dir, &serde_json::json!([ours])).unwrap_err();
        assert_eq!(failure.code, "image.archive-invalid");
        assert!(failure.why.contains(digest.hex()), "{failure:?}");
    }
}
