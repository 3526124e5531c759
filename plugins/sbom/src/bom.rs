//! An inventory as CycloneDX 1.6: <https://cyclonedx.org/docs/1.6/json/>.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use windlass_plugin_locked::{Component, Ecosystem, Inventory, Note};

use crate::licence;

/// The reference of the application itself.
const APPLICATION: &str = "application";

/// A document.
#[derive(Debug)]
pub(crate) struct Bom {
    /// It, indented.
    pub(crate) text: String,
    /// `urn:uuid:…`
    pub(crate) serial_number: String,
}

/// Writes the document of a project at a commit.
pub(crate) fn of(inventory: &Inventory, project: &str, commit: Option<&str>) -> Bom {
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": metadata(inventory, project, commit),
        "components": inventory.components.values().map(component).collect::<Vec<_>>(),
        "dependencies": dependencies(inventory),
    });
    let serial_number = serial_number(&document.to_string());
    document["serialNumber"] = serial_number.as_str().into();
    Bom { text: format!("{document:#}\n"), serial_number }
}

/// A UUID of version 8, made of the content's hash: the same content has the same one.
fn serial_number(content: &str) -> String {
    let hash = Sha256::digest(content.as_bytes());
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&hash[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex::encode(bytes);
    let part = |from: usize, to: usize| &digits[from..to];
    format!(
        "urn:uuid:{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    )
}

fn metadata(inventory: &Inventory, project: &str, commit: Option<&str>) -> Value {
    let mut application = json!({ "type": "application", "bom-ref": APPLICATION, "name": project });
    if let Some(commit) = commit {
        application["version"] = commit.into();
    }
    let tool = json!({
        "type": "application",
        "name": "windlass-plugin-sbom",
        "version": env!("CARGO_PKG_VERSION"),
    });
    let mut metadata = json!({ "component": application, "tools": { "components": [tool] } });
    let property = |name: &str, note: &Note| json!({ "name": name, "value": format!("{}: {}", note.path, note.what) });
    let unread = inventory.unread.iter().map(|note| property("windlass:unread", note));
    let notes = inventory.notes.iter().map(|note| property("windlass:incomplete", note));
    let properties: Vec<Value> = unread.chain(notes).collect();
    if !properties.is_empty() {
        metadata["properties"] = properties.into();
    }
    metadata
}

fn component(component: &Component) -> Value {
    let mut members = Map::new();
    let mut set = |name: &str, value: Value| members.insert(name.to_owned(), value);
    let (group, name) = group_and_name(component);
    set("type", "library".into());
    set("bom-ref", component.purl.as_str().into());
    if let Some(group) = group {
        set("group", group.into());
    }
    set("name", name.into());
    set("version", component.version.as_str().into());
    set("scope", if component.development { "excluded" } else { "required" }.into());
    // What is from a repository somewhere is not the registry's, and has no package URL that says so.
    if component.from_registry {
        set("purl", component.purl.as_str().into());
    }
    let hashes: Vec<Value> = component
        .hashes
        .iter()
        .map(|hash| json!({ "alg": hash.algorithm, "content": hash.hex }))
        .collect();
    if !hashes.is_empty() {
        set("hashes", hashes.into());
    }
    let licences = licence::choices(component.licences.iter().map(String::as_str));
    if !licences.is_empty() {
        set("licenses", licences.into());
    }
    let places: Vec<Value> =
        component.files.iter().map(|path| json!({ "location": path })).collect();
    set("evidence", json!({ "occurrences": places }));
    Value::Object(members)
}

/// Who publishes it, where that is a part of the name.
fn group_and_name(component: &Component) -> (Option<&str>, &str) {
    let apart = match component.ecosystem {
        Ecosystem::Npm if component.name.starts_with('@') => component.name.split_once('/'),
        Ecosystem::Packagist => component.name.split_once('/'),
        Ecosystem::Maven => component.name.split_once(':'),
        _ => None,
    };
    apart.map_or((None, &component.name), |(group, name)| (Some(group), name))
}

/// The graph. A component of which nobody says what it needs is not in it.
fn dependencies(inventory: &Inventory) -> Vec<Value> {
    let mut graph = vec![json!({ "ref": APPLICATION, "dependsOn": inventory.roots })];
    for component in inventory.components.values() {
        if let Some(needs) = &component.needs {
            let needs: Vec<&String> = needs.iter().collect();
            graph.push(json!({ "ref": component.purl, "dependsOn": needs }));
        }
    }
    graph
}
