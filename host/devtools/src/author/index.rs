//! Writes the entry of a plugin into the file of an index.
//!
//! **Invariant: what is written is read.** The file is the one before when anything is wrong with it, with the entry
//! or with the component; a version that is in it keeps its digest.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use windlass_model::Failure;
use windlass_model::author::{Checked, IndexPlugin, Indexed};
use windlass_model::plugin::index::{BYTES_MAX, Entry, Index, PublishError, Release, Skipped};

use super::check;
use crate::local::Config;

/// Adds a version of a plugin to the file, or begins the file with it.
///
/// # Errors
/// As [`check`]; `plugin.index-invalid`, `plugin.index-full`, `plugin.not-written`.
pub async fn index(config: &Config, request: &IndexPlugin) -> Result<Indexed, Failure> {
    let checked = check(config, &request.plugin).await?;
    let mut index = read(&request.index)?;
    let entry = entry(&checked, request);
    index.publish(entry).map_err(|error| refused(&request.index, &checked, &error))?;
    write(&request.index, &index)?;
    Ok(Indexed {
        plugin: checked.info.manifest.name,
        version: checked.info.manifest.version,
        index: request.index.clone(),
        url: request.url.clone(),
        component: checked.info.digest,
    })
}

fn entry(checked: &Checked, request: &IndexPlugin) -> Entry {
    let manifest = &checked.info.manifest;
    let imports = checked.imports.iter().map(|import| import.interface.clone());
    let asks = manifest.capabilities.iter().map(|capability| match capability.optional {
        true => format!("{} (optional)", capability.request),
        false => capability.request.to_string(),
    });
    let release = Release {
        version: manifest.version.clone(),
        url: request.url.clone(),
        digest: checked.info.digest.clone(),
        bytes: Some(checked.info.bytes),
        interfaces: checked.exports.iter().cloned().chain(imports).collect(),
        asks: asks.collect(),
        signed_by: signed_by(&checked.component),
    };
    Entry {
        name: manifest.name.clone(),
        summary: manifest.summary.clone(),
        licence: manifest.licence.clone(),
        stages: checked.info.stages.clone(),
        keywords: request.keywords.clone(),
        homepage: request.homepage.clone(),
        versions: vec![release],
    }
}

/// The id of the minisign key whose signature lies beside a component, as minisign shows it.
fn signed_by(component: &Path) -> Option<String> {
    let mut beside = component.as_os_str().to_owned();
    beside.push(".minisig");
    key_id(&std::fs::read_to_string(beside).ok()?)
}

/// Two bytes of the algorithm, then eight of the key's id, lowest first.
fn key_id(signature: &str) -> Option<String> {
    let bytes = STANDARD.decode(signature.lines().nth(1)?.trim()).ok()?;
    let id: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
    Some(format!("{:016X}", u64::from_le_bytes(id)))
}

fn read(path: &Path) -> Result<Index, Failure> {
    let invalid = |why: String| {
        Failure::app(
            "plugin.index-invalid",
            format!("{} is no index that could be added to", path.display()),
            why,
            "correct the file, or name one that is not there yet",
        )
    };
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Index::default()),
        text => text.map_err(|error| invalid(error.to_string()))?,
    };
    let parsed = Index::parse(&text).map_err(|error| invalid(error.to_string()))?;
    match parsed.skipped.first() {
        // What is not read would not be written again.
        Some(Skipped { at, why }) => Err(invalid(format!("{at}: {why}"))),
        None => Ok(parsed.index),
    }
}

fn write(path: &Path, index: &Index) -> Result<(), Failure> {
    let text = index.to_text();
    if text.len() as u64 > BYTES_MAX {
        return Err(full(path, &format!("it would have more than {BYTES_MAX} bytes")));
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| {
        Failure::app(
            "plugin.not-written",
            format!("{} cannot be written", path.display()),
            error.to_string(),
            "check that the folder is yours",
        )
    })
}

fn refused(path: &Path, checked: &Checked, error: &PublishError) -> Failure {
    let manifest = &checked.info.manifest;
    let fix = match error {
        PublishError::Full(_) => return full(path, &error.to_string()),
        PublishError::OtherDigest { .. } => {
            "give it another version in its manifest: what was published stays what it is"
        }
        PublishError::Invalid(_) => "correct the manifest, or what is said about it here",
    };
    let what =
        format!("{} {} cannot be added to {}", manifest.name, manifest.version, path.display());
    Failure::app("plugin.index-invalid", what, error.to_string(), fix)
}

fn full(path: &Path, why: &str) -> Failure {
    Failure::app(
        "plugin.index-full",
        format!("{} has no room for it", path.display()),
        why,
        "begin another index, or take old versions out",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_key_is_shown_as_minisign_shows_it() {
        let signature = "untrusted comment: signature from minisign secret key\n\
            RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n";
        assert_eq!(key_id(signature).as_deref(), Some("E7620F1842B4E81F"));
        assert_eq!(key_id("one line"), None);
        assert_eq!(key_id("a\nRUQf\n"), None);
    }

    #[test]
    fn a_file_that_is_not_wholly_read_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugins.json");
        assert_eq!(read(&path).unwrap(), Index::default());
        write(&path, &Index::default()).unwrap();
        assert_eq!(read(&path).unwrap(), Index::default());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        for text in ["{", r#"{"version": 1, "plugins": [{"name": "odd"}]}"#] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read(&path).unwrap_err().code, "plugin.index-invalid");
        }
    }
}
