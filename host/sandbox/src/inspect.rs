//! Reads what a file says of itself, before anything in it is compiled.

use std::path::Path;

use wasmparser::{Encoding, Parser, Payload};
use windlass_model::Digest;
use windlass_model::plugin::{Manifest, PluginInfo, Stage};

use crate::fault::LoadError;

/// Version of every interface of the contract that this host speaks.
pub(crate) const VERSION: &str = "0.1.0";

/// Interfaces that are stages, with the function that a report names.
const STAGES: [(&str, Stage); 6] = [
    ("windlass:detector/detector", Stage::Detector),
    ("windlass:builder/builder", Stage::Builder),
    ("windlass:migrator/migrator", Stage::Migrator),
    ("windlass:health/health", Stage::Health),
    ("windlass:rollout/rollout", Stage::Rollout),
    ("windlass:custom/custom", Stage::Custom),
];
/// Interfaces that every plugin gets.
const ALWAYS: [&str; 4] = [
    "windlass:types/types",
    "windlass:log/log",
    "windlass:source/source",
    "windlass:images/images",
];
/// Interfaces that must be granted.
const GRANTED: [&str; 2] = ["windlass:exec/exec", "windlass:http/http"];
/// Packages of WASI that are linked, with nothing behind them.
const WASI: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
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
}

/// Reads a component's manifest, stages and imports.
///
/// # Errors
/// It is unreadable, no component, without a manifest, or does not fit this host's contract.
pub fn inspect(path: &Path) -> Result<Inspected, LoadError> {
    let bytes = std::fs::read(path)
        .map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })?;
    inspect_bytes(&bytes)
}

pub(crate) fn inspect_bytes(bytes: &[u8]) -> Result<Inspected, LoadError> {
    let Outline { manifest, imports, exports } = outline(bytes)?;
    let manifest = manifest.ok_or(LoadError::NoManifest)?;
    let manifest = parse_manifest(&manifest)?;
    let stages = stages_of(&exports)?;
    imports.iter().try_for_each(|import| check_import(import))?;
    let digest = Digest::of(bytes);
    let bytes = bytes.len() as u64;
    let info = PluginInfo { manifest, digest, stages, bundled: false, bytes };
    Ok(Inspected { info, imports, exports })
}

#[derive(Default)]
struct Outline {
    manifest: Option<Vec<u8>>,
    imports: Vec<String>,
    exports: Vec<String>,
}

fn outline(bytes: &[u8]) -> Result<Outline, LoadError> {
    let not_wasm = |error: wasmparser::BinaryReaderError| LoadError::NotWasm {
        reason: error.message().to_owned(),
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
                    outline.imports.push(import.map_err(not_wasm)?.name.0.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    outline.exports.push(export.map_err(not_wasm)?.name.0.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(outline)
}

fn parse_manifest(json: &[u8]) -> Result<Manifest, LoadError> {
    let bad = |reason: String| LoadError::BadManifest { reason };
    let manifest: Manifest =
        serde_json::from_slice(json).map_err(|error| bad(error.to_string()))?;
    let alphabet = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let name = &manifest.name;
    if !(1..=40).contains(&name.len()) || !name.chars().all(alphabet) {
        let rule = "1 to 40 lower-case letters, digits and hyphens";
        return Err(bad(format!("the name {name:?} is not valid: use {rule}")));
    }
    if manifest.version.is_empty() || manifest.summary.is_empty() {
        return Err(bad("version and summary must not be empty".to_owned()));
    }
    crate::known::check(&manifest).map_err(bad)?;
    Ok(manifest)
}

fn stages_of(exports: &[String]) -> Result<Vec<Stage>, LoadError> {
    let offered = || STAGES.iter().map(|(name, _)| format!("{name}@{VERSION}")).collect();
    let mut stages = Vec::new();
    for export in exports.iter().filter(|name| name.starts_with("windlass:")) {
        let (name, version) = export.split_once('@').unwrap_or((export, ""));
        match STAGES.iter().find(|(known, _)| *known == name) {
            Some((_, stage)) if version == VERSION => stages.push(*stage),
            _ => {
                let interface = export.clone();
                return Err(LoadError::UnknownInterface { interface, offered: offered() });
            }
        }
    }
    if stages.is_empty() {
        return Err(LoadError::NoStage { exports: exports.to_vec() });
    }
    stages.sort_unstable();
    Ok(stages)
}

fn check_import(import: &str) -> Result<(), LoadError> {
    let interface = || import.to_owned();
    let (name, version) = import.split_once('@').unwrap_or((import, ""));
    if WASI.iter().any(|package| name.starts_with(package)) {
        return Ok(());
    }
    if !name.starts_with("windlass:") {
        return Err(LoadError::ForbiddenImport { interface: interface() });
    }
    if GRANTED.contains(&name) {
        return Err(LoadError::NotGranted { interface: interface() });
    }
    if ALWAYS.contains(&name) && version == VERSION {
        return Ok(());
    }
    let offered = ALWAYS.iter().map(|name| format!("{name}@{VERSION}")).collect();
    Err(LoadError::UnknownInterface { interface: interface(), offered })
}
