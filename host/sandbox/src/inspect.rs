//! Reads what a file says of itself, before anything in it is compiled.

use std::cmp::Reverse;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use wasmparser::{Encoding, Parser, Payload};
use windlass_model::Digest;
use windlass_model::plugin::lock::{NAME_RULE, is_name};
use windlass_model::plugin::{self, Kind, Manifest, PluginInfo, Stage};

use crate::fault::LoadError;
use crate::versions::{self, Offer, Served};

/// Packages of WASI that are linked, with nothing behind them.
const WASI: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
/// How compiled code begins: it is kept as an ELF file.
const MACHINE_CODE: &[u8] = b"\x7fELF";
/// How every WebAssembly file begins, module or component.
const MAGIC: &[u8] = b"\0asm";
/// A section longer than this is no manifest.
const MANIFEST_BYTES_MAX: usize = 256 * 1024;

/// What a file says of itself.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// Manifest, stages, digest and size.
    pub info: PluginInfo,
    /// Interfaces that it imports, by their full names.
    pub imports: Vec<String>,
    /// Interfaces that it exports, by their full names.
    pub exports: Vec<String>,
    /// The versions of the contract's interfaces that serve it.
    pub(crate) uses: Vec<&'static Offer>,
}

impl Inspected {
    /// What of its imports must be granted.
    pub fn needs(&self) -> Vec<Kind> {
        let granted = self.uses.iter().filter_map(|offer| match offer.served {
            Served::Granted(kind, _) => Some(kind),
            Served::Always(_) | Served::Stage(..) => None,
        });
        granted.collect()
    }
}

/// Reads a component's manifest, stages and imports.
///
/// # Errors
/// It is unreadable, no component, without a manifest, or does not fit this host's contract.
pub fn inspect(path: &Path) -> Result<Inspected, LoadError> {
    inspect_bytes(&read(path, u64::MAX)?)
}

/// The bytes of a component's file. A pipe, a device or a folder is no file, and is not waited for.
pub(crate) fn read(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), source };
    let file = open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    if bytes > limit_bytes {
        return Err(LoadError::TooLarge { bytes, limit_bytes });
    }
    let mut read = Vec::new();
    file.take(limit_bytes).read_to_end(&mut read).map_err(unreadable)?;
    if path.extension().is_some_and(|extension| extension == "cwasm") {
        return Err(LoadError::MachineCode);
    }
    Ok(read)
}

fn open(path: &Path) -> io::Result<File> {
    // A pipe that nobody writes to would hold up whoever opens it.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
}

pub(crate) fn inspect_bytes(bytes: &[u8]) -> Result<Inspected, LoadError> {
    if bytes.starts_with(MACHINE_CODE) {
        return Err(LoadError::MachineCode);
    }
    let Outline { manifest, imports, exports } = outline(bytes)?;
    let manifest = manifest.ok_or(LoadError::NoManifest)?;
    let manifest = parse_manifest(&manifest)?;
    let (stages, mut uses) = stages_of(&exports)?;
    for import in &imports {
        uses.extend(check_import(import, &manifest)?);
    }
    check_custom(&manifest, &stages)?;
    let digest = Digest::of(bytes);
    let bytes = bytes.len() as u64;
    let info = PluginInfo { manifest, digest, stages, bundled: false, bytes };
    Ok(Inspected { info, imports, exports, uses })
}

#[derive(Default)]
struct Outline {
    manifest: Option<Vec<u8>>,
    imports: Vec<String>,
    exports: Vec<String>,
}

fn outline(bytes: &[u8]) -> Result<Outline, LoadError> {
    if !bytes.starts_with(MAGIC) {
        let reason = match bytes.is_empty() {
            true => "the file is empty",
            false => "it does not begin as every WebAssembly file does",
        };
        return Err(LoadError::NotWasm { reason: reason.to_owned() });
    }
    let not_wasm = |error: wasmparser::BinaryReaderError| LoadError::NotWasm {
        reason: crate::text::plain_line(error.message()),
    };
    let mut outline = Outline::default();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(not_wasm)? {
            Payload::Version { encoding, .. } => {
                if depth == 0 && encoding == Encoding::Module {
                    return Err(LoadError::CoreModule);
                }
                depth += 1;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if section.name() == Manifest::SECTION => {
                if section.data().len() > MANIFEST_BYTES_MAX {
                    let reason = format!("it is longer than {MANIFEST_BYTES_MAX} bytes");
                    return Err(LoadError::BadManifest { reason });
                }
                // The outermost one wins; inside, the module of the plugin comes first.
                outline.manifest.get_or_insert_with(|| section.data().to_vec());
            }
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    outline.imports.push(name_of(import.map_err(not_wasm)?.name.0)?);
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    outline.exports.push(name_of(export.map_err(not_wasm)?.name.0)?);
                }
            }
            _ => {}
        }
    }
    Ok(outline)
}

/// A name as it is shown: it was not validated yet.
fn name_of(name: &str) -> Result<String, LoadError> {
    if name.contains(char::is_control) {
        let reason = format!("the name {name:?} holds control characters");
        return Err(LoadError::NotWasm { reason });
    }
    Ok(name.to_owned())
}

fn parse_manifest(json: &[u8]) -> Result<Manifest, LoadError> {
    let bad = |reason: String| LoadError::BadManifest { reason };
    let manifest: Manifest =
        serde_json::from_slice(json).map_err(|error| bad(error.to_string()))?;
    let name = &manifest.name;
    if !is_name(name) {
        return Err(bad(format!("the name {name:?} is not valid: use {NAME_RULE}")));
    }
    if manifest.version.is_empty() || manifest.summary.is_empty() {
        return Err(bad("version and summary must not be empty".to_owned()));
    }
    crate::text::check_manifest(&manifest).map_err(bad)?;
    crate::known::check(&manifest).map_err(bad)?;
    plugin::check(&manifest.capabilities).map_err(bad)?;
    Ok(manifest)
}

/// The stages that it fills, and what serves each: of one that it exports in several versions the newest.
fn stages_of(exports: &[String]) -> Result<(Vec<Stage>, Vec<&'static Offer>), LoadError> {
    let ours = exports.iter().filter(|name| name.starts_with("windlass:"));
    let mut found = ours.map(|name| versions::exported(name)).collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() {
        return Err(LoadError::NoStage { exports: exports.to_vec() });
    }
    found.sort_by_key(|(offer, stage)| {
        (*stage, Reverse(semver::Version::parse(offer.version).ok()))
    });
    found.dedup_by_key(|(_, stage)| *stage);
    Ok(found.into_iter().map(|(offer, stage)| (stage, offer)).unzip())
}

/// What serves this import, if it is one of the contract's.
fn check_import(import: &str, manifest: &Manifest) -> Result<Option<&'static Offer>, LoadError> {
    let interface = || import.to_owned();
    if WASI.iter().any(|package| import.starts_with(package)) {
        return Ok(None);
    }
    if !import.starts_with("windlass:") {
        return Err(LoadError::ForbiddenImport { interface: interface() });
    }
    let (offer, kind) = versions::imported(import)?;
    let asks = |kind| manifest.capabilities.iter().any(|one| one.request.kind() == kind);
    match kind {
        Some(kind) if !asks(kind) => {
            Err(LoadError::NotAskedFor { interface: interface(), capability: kind })
        }
        _ => Ok(Some(offer)),
    }
}

/// Whether this host speaks an interface in that version, as an import or as a stage.
pub fn speaks(interface: &str) -> bool {
    WASI.iter().any(|package| interface.starts_with(package)) || versions::is_served(interface)
}

/// Custom stages in one manifest, and entries of each of their lists.
const CUSTOM_MAX: usize = 20;

fn check_custom(manifest: &Manifest, stages: &[Stage]) -> Result<(), LoadError> {
    let bad = |reason: String| Err(LoadError::BadManifest { reason });
    if stages.contains(&Stage::Custom) == manifest.custom.is_empty() {
        return bad(match manifest.custom.is_empty() {
            true => "it exports the stage custom and declares no custom stage".to_owned(),
            false => "it declares custom stages and does not export the stage custom".to_owned(),
        });
    }
    for (place, stage) in manifest.custom.iter().enumerate() {
        let name = &stage.name;
        let lists = [stage.hooks.len(), stage.needs.len(), stage.provides.len(), place + 1];
        if lists.iter().any(|entries| *entries > CUSTOM_MAX) {
            return bad(format!(
                "it has more than {CUSTOM_MAX} custom stages, or entries in a list"
            ));
        }
        let names = std::iter::once(name).chain(&stage.needs).chain(&stage.provides);
        if let Some(odd) = names.into_iter().find(|name| !is_name(name)) {
            return bad(format!(
                "the custom stage {name:?}: the name {odd:?} is not valid: use {NAME_RULE}"
            ));
        }
        if stage.hooks.is_empty() || stage.summary.trim().is_empty() {
            return bad(format!("the custom stage {name} needs a hook and a summary"));
        }
        if manifest.custom[..place].iter().any(|other| other.name == *name) {
            return bad(format!("the custom stage {name} is declared twice"));
        }
    }
    Ok(())
}
